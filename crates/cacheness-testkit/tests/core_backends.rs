//! The backends of the core crate pass the suites.

use std::sync::Arc;

use cacheness_core::backend::{BlobBackend, Parts};
use cacheness_core::backends::{
    FilesystemBlobs, FilesystemOptions, JsonMetadata, JsonOptions, LockFile, MemoryBlobs, MemoryMetadata,
};
use cacheness_core::clock::Clock;
use cacheness_core::config::Durability;
use cacheness_testkit::conformance::{self, BlobFixture, LocksFixture, MetadataFixture};
use cacheness_testkit::latency::{DistantBlobs, DistantMetadata, Trips};
use cacheness_testkit::objects::{Bucket, BucketOptions, Objects};

#[test]
fn memory_metadata() {
    conformance::metadata(|| MetadataFixture::new(MemoryMetadata::new()));
}

fn json(durability: Durability) -> MetadataFixture {
    // In memory where the system has such a file system: every write is synced, and what is tested here is not the disk.
    let shared = std::path::Path::new("/dev/shm");
    let dir = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.expect("a directory");
    let path = dir.path().join("store/cache_metadata.json");
    let open = move || JsonMetadata::open(&path, JsonOptions { durability, ..JsonOptions::default() }).expect("opened");
    // It writes all entries with every change, and its order is always exact.
    MetadataFixture { many: 300, ..MetadataFixture::persistent(open, dir) }
}

#[test]
fn json_metadata() {
    conformance::metadata(|| json(Durability::Normal));
}

#[test]
fn json_metadata_that_survives_a_power_loss() {
    conformance::metadata(|| json(Durability::Full));
}

#[test]
fn json_metadata_for_reading_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("cache_metadata.json");
    let open = |read_only| JsonMetadata::open(&path, JsonOptions { read_only, ..JsonOptions::default() });
    let writer = open(false).expect("opened");
    conformance::read_only(&writer, &open(true).expect("opened"));
}

#[test]
fn memory_blobs() {
    conformance::blobs(|| BlobFixture::new(MemoryBlobs::new()));
}

fn objects_behind<B: BlobBackend>(options: BucketOptions, wrap: impl Fn(Objects) -> B) -> BlobFixture {
    let clock = Clock::manual(Clock::system().now());
    let bucket = Bucket::new(clock.clone(), options);
    let (settling, left) = (Arc::clone(&bucket), Arc::clone(&bucket));
    BlobFixture {
        settle: Box::new(move || settling.settle()),
        assert_no_leftovers: Box::new(move || assert_eq!(left.uploads(), 0, "an upload is left")),
        clock,
        ..BlobFixture::new(wrap(Objects::of(&bucket)))
    }
}

#[test]
fn objects_without_posix_promises() {
    for parts in [Parts { size: 8 << 20, concurrency: 8 }, Parts { size: 100_000, concurrency: 3 }] {
        let options = BucketOptions { parts, ..BucketOptions::default() };
        conformance::blobs(|| objects_behind(options, |inner| inner));
    }
}

/// The wrappers change nothing.
#[test]
fn distant_backends() {
    let trips = Trips::default();
    conformance::metadata(|| MetadataFixture::new(DistantMetadata::new(MemoryMetadata::new(), &trips)));
    conformance::blobs(|| BlobFixture::new(DistantBlobs::new(MemoryBlobs::new(), &trips)));
    conformance::blobs(|| objects_behind(BucketOptions::default(), |inner| DistantBlobs::new(inner, &trips)));
    conformance::blobs(|| files_behind(2, Durability::Normal, |inner| DistantBlobs::new(inner, &trips)));
}

fn files(shard_chars: u8, durability: Durability) -> BlobFixture {
    files_behind(shard_chars, durability, |inner| inner)
}

fn files_behind<B: BlobBackend>(
    shard_chars: u8,
    durability: Durability,
    wrap: impl Fn(FilesystemBlobs) -> B,
) -> BlobFixture {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("store");
    let backend = FilesystemBlobs::new(&root, FilesystemOptions { shard_chars, durability }).expect("valid options");
    let assert_no_leftovers = Box::new(move || {
        let Ok(mut left) = std::fs::read_dir(root.join("tmp")) else { return };
        assert!(left.next().is_none(), "tmp/ is not empty");
    });
    BlobFixture { assert_no_leftovers, keep: Some(Box::new(dir)), ..BlobFixture::new(wrap(backend)) }
}

#[test]
fn files_in_shards() {
    for shard_chars in 0..=4 {
        conformance::blobs(|| files(shard_chars, Durability::Normal));
    }
}

#[test]
fn files_that_survive_a_power_loss() {
    conformance::blobs(|| files(2, Durability::Full));
}

#[test]
fn lock_file() {
    conformance::locks(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().to_owned();
        LocksFixture::new(move || LockFile::new(&path), dir)
    });
}
