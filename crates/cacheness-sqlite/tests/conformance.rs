//! SQLite passes the suite of metadata backends, in every mode.

use cacheness_core::config::Durability;
use cacheness_sqlite::{FilesystemKind, SqliteAccess, SqliteMetadata, SqliteOptions};
use cacheness_testkit::conformance::{self, MetadataFixture};

fn on_disk(change: impl Fn(SqliteOptions) -> SqliteOptions + Copy + 'static) -> MetadataFixture {
    // In memory where the system has such a file system: a rollback journal and full durability sync with every commit,
    // and what is tested here is not the disk.
    let shared = std::path::Path::new("/dev/shm");
    let dir = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.expect("a directory");
    let path = dir.path().join("store/cache_metadata.db");
    let open = move || SqliteMetadata::open(change(SqliteOptions::new(&path))).expect("opened");
    MetadataFixture::persistent(open, dir)
}

#[test]
fn a_file_with_a_write_ahead_log() {
    conformance::metadata(|| on_disk(|options| options));
}

#[test]
fn a_file_that_survives_a_power_loss() {
    conformance::metadata(|| on_disk(|options| options.durability(Durability::Full)));
}

#[test]
fn a_file_on_a_network() {
    conformance::metadata(|| on_disk(|options| options.filesystem(FilesystemKind::Network("nfs"))));
}

#[test]
fn memory() {
    conformance::metadata(|| MetadataFixture::new(SqliteMetadata::open_in_memory().expect("opened")));
}

#[test]
fn reading_only() {
    for kind in [FilesystemKind::Local, FilesystemKind::Network("nfs")] {
        let dir = tempfile::tempdir().expect("a directory");
        let options = || SqliteOptions::new(dir.path().join("cache_metadata.db")).filesystem(kind);
        let writer = SqliteMetadata::open(options()).expect("opened");
        let reader = SqliteMetadata::open(options().access(SqliteAccess::ReadOnly)).expect("opened");
        conformance::read_only(&writer, &reader);
    }
}
