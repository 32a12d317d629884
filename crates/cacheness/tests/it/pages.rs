//! Bytes of the metadata as they lie on the disk are flipped, one at a time, whatever they mean to SQLite or JSON: no get
//! gives another value than was put, nothing that is broken is made anew, and a put that succeeds can be read.

use std::fs;
use std::path::Path;

use cacheness::prelude::*;
use cacheness::{OpenMode, Place, StoreConfig};

use crate::{noise_of, scratch, soak};

const SMALL: u64 = 40;
const LARGE: u64 = 2;

fn open(dir: &Path, backend: &str, access: OpenMode) -> cacheness::Result<BlobStore> {
    let config = StoreConfig {
        inline_threshold_bytes: 1024,
        metadata_backend: Some(backend.to_owned()),
        ..StoreConfig::default()
    };
    BlobStore::open_with(&Place::Directory(dir.to_owned()), config, access)
}

fn value(number: u64) -> Vec<u8> {
    noise_of(number, if number < SMALL { 20 + 5 * usize::try_from(number).unwrap() } else { 5000 })
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What a flipped byte led to.
#[derive(Debug, Default)]
struct Seen {
    refused: u64,
    errors: u64,
    missing: u64,
    equal: u64,
    puts: u64,
}

fn look(dir: &Path, backend: &str, what: &str, seen: &mut Seen) -> bool {
    let Ok(store) = open(dir, backend, OpenMode::Existing) else {
        seen.refused += 1;
        return false;
    };
    for number in 0..SMALL + LARGE {
        match store.get::<Vec<u8>>(&format!("entry {number}")) {
            Err(_) => seen.errors += 1,
            Ok(None) => seen.missing += 1,
            Ok(Some(found)) => {
                assert!(found == value(number), "{what}: entry {number} has another value");
                seen.equal += 1;
            }
        }
    }
    let _ = store.list("", None);
    for (key, number) in [("entry 1", 7), ("entry 41", 40), ("new", 3)] {
        if store.put(key, &value(number)).is_ok() {
            seen.puts += 1;
            // Broken pages may hide what is beside them, but a value is that one or none.
            match store.get::<Vec<u8>>(key) {
                Ok(Some(found)) => assert!(found == value(number), "{what}: {key} after a put"),
                Ok(None) => panic!("{what}: {key} is put and not there"),
                Err(_) => seen.errors += 1,
            }
        }
    }
    true
}

/// Flips bytes of `file` in copies of the store in `honest`, `trials` of them, spread over the file.
fn flip(honest: &Path, backend: &str, file: &str, trials: u64) -> Seen {
    let bytes = fs::read(honest.join(file)).unwrap();
    let length = bytes.len() as u64;
    let mut seen = Seen::default();
    for trial in 0..trials {
        // The head of the file describes the rest, so every byte of it has its turn.
        let at = if trial < 100 { trial } else { (trial - 100) * length / trials.max(101).saturating_sub(100) };
        let at = usize::try_from(at.min(length - 1)).unwrap();
        let mask = [1, 0x80, 0xff, 4][(trial % 4) as usize];
        let dir = scratch();
        copy(honest, dir.path());
        let mut flipped = bytes.clone();
        flipped[at] ^= mask;
        fs::write(dir.path().join(file), &flipped).unwrap();
        let what = format!("{backend}, {file}: byte {at} ^ {mask:#x}");
        if !look(dir.path(), backend, &what, &mut seen) && !file.ends_with("-wal") {
            assert!(fs::read(dir.path().join(file)).unwrap() == flipped, "{what}: refused and written to");
        }
    }
    assert!(seen.equal > seen.errors, "{backend}, {file}: most entries lie elsewhere: {seen:?}");
    assert!(seen.puts > trials / 10, "{backend}, {file}: {seen:?}");
    seen
}

fn fill(dir: &Path, backend: &str) -> BlobStore {
    let store = open(dir, backend, OpenMode::default()).unwrap();
    for number in 0..SMALL + LARGE {
        store.put(&format!("entry {number}"), &value(number)).unwrap();
    }
    store
}

#[test]
fn flipped_bytes_of_a_database() {
    let dir = scratch();
    fill(dir.path(), "sqlite").close().unwrap();
    let seen = flip(dir.path(), "sqlite", "cache_metadata.db", soak(2000));
    assert!(seen.refused > 0 && seen.errors > 0, "{seen:?}");
}

#[test]
fn flipped_bytes_of_a_log() {
    let dir = scratch();
    let store = fill(dir.path(), "sqlite");
    // As a process leaves it that is killed.
    let left = scratch();
    copy(dir.path(), left.path());
    drop(store);
    fs::remove_file(left.path().join("cache_metadata.db-shm")).unwrap();
    let seen = flip(left.path(), "sqlite", "cache_metadata.db-wal", soak(600));
    // SQLite takes what lies before the first broken checksum.
    assert!(seen.missing > 0, "{seen:?}");
}

#[test]
fn flipped_bytes_of_a_json_file() {
    let dir = scratch();
    fill(dir.path(), "json").close().unwrap();
    let seen = flip(dir.path(), "json", "cache_metadata.json", soak(1000));
    assert!(seen.refused > 0 && seen.errors > 0, "{seen:?}");
}
