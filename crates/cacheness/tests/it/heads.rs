//! The head of an array says how much memory its items need, and is read before the hash of the whole is known. Whatever
//! becomes of it: a cache computes the array again, and a store says that it is damaged.

use std::fs;
use std::path::Path;

use cacheness::config::ArrayFormat;
use cacheness::core::formats::array::slice;
use cacheness::core::store::{EntryKey, Fetched, ReadOptions};
use cacheness::prelude::*;
use cacheness::{CacheConfig, ErrorKind, OpenMode, Place};
use ndarray::Array2;

use crate::{blobs, cache_at};

const ROWS: usize = 40;

fn array() -> Array2<f64> {
    Array2::from_shape_fn((ROWS, 50), |(row, column)| (row + column) as f64)
}

/// Bytes that are no array's: every byte of the head changed, of the rest some, and heads without content.
fn damaged(honest: &[u8]) -> Vec<(String, Vec<u8>)> {
    let places = (0..300).chain((300..honest.len()).step_by(991)).chain([honest.len() - 1]);
    let flips = places.flat_map(|at| [1_u8, 0x80, 0xff].map(|mask| (at, mask)));
    let mut all: Vec<_> = flips
        .map(|(at, mask)| {
            let mut bytes = honest.to_vec();
            bytes[at] ^= mask;
            (format!("byte {at} ^ {mask:#x}"), bytes)
        })
        .collect();
    for length in [1, 64, 300, honest.len()] {
        all.push((format!("{length} bytes of nothing"), [&vec![0; length][..], &honest[length..]].concat()));
    }
    all
}

/// Puts an array, damages it with `write`, and looks from all sides.
fn every_damage_is_noticed(dir: &Path, config: &CacheConfig, read: impl Fn() -> Vec<u8>, write: impl Fn(&[u8])) {
    let (cache, _) = cache_at(dir, config.clone());
    let key = cache.put(&array(), params! { x: 1 }).unwrap();
    let place = Place::Directory(dir.into());
    let store = BlobStore::open_with(&place, config.store.clone(), OpenMode::Existing).unwrap();
    let part = |verify: bool| {
        let key = EntryKey::from_name(&key).unwrap();
        let found = store.engine().fetch(&key, ReadOptions { verify: true, strict: true }, |_| true)?;
        let Fetched::Found(stored) = found else { panic!("the entry is there") };
        slice(*stored, &[3..5, 0..50], verify)
    };
    let honest = read();
    let expected = part(false).unwrap();
    for (what, bytes) in damaged(&honest) {
        write(&bytes);
        assert_eq!(cache.get::<Array2<f64>>(params! { x: 1 }).unwrap(), None, "{what}");
        let error = store.get::<Array2<f64>>(&key).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{what}: {error}");
        assert_eq!(part(true).unwrap_err().kind(), ErrorKind::Integrity, "{what}");
        // Without verification a part may be another one, or outside of what the head says; it is not undecodable.
        if let Err(error) = part(false) {
            assert!(matches!(error.kind(), ErrorKind::Integrity | ErrorKind::InvalidInput), "{what}: {error}");
        }
    }
    let computed = cache.get_or_insert_with(params! { x: 1 }, array).unwrap();
    assert_eq!(computed, array());
    assert_eq!(cache.get::<Array2<f64>>(params! { x: 1 }).unwrap(), Some(array()), "and it is there again");
    assert_eq!(part(true).unwrap(), expected);
}

fn config(array_format: ArrayFormat, inline_threshold_bytes: u64) -> CacheConfig {
    let mut config = CacheConfig::default();
    config.store.compression.array_format = array_format;
    config.store.inline_threshold_bytes = inline_threshold_bytes;
    config
}

#[test]
fn the_head_of_an_array_in_a_file_is_bound() {
    for array_format in [ArrayFormat::Npy, ArrayFormat::Blosc2] {
        let dir = tempfile::tempdir().unwrap();
        let path = || dir.path().join(&blobs(dir.path())[0]);
        let read = || fs::read(path()).unwrap();
        every_damage_is_noticed(dir.path(), &config(array_format, 100), read, |bytes| {
            fs::write(path(), bytes).unwrap();
        });
    }
}

#[test]
fn the_head_of_an_array_in_its_entry_is_bound() {
    for array_format in [ArrayFormat::Npy, ArrayFormat::Blosc2] {
        let dir = tempfile::tempdir().unwrap();
        let database = || rusqlite::Connection::open(dir.path().join("cache_metadata.db")).unwrap();
        let read =
            || database().query_row("SELECT payload FROM cache_entries", (), |row| row.get::<_, Vec<u8>>(0)).unwrap();
        every_damage_is_noticed(dir.path(), &config(array_format, 32 << 10), read, |bytes| {
            database().execute("UPDATE cache_entries SET payload = ?1", [bytes]).unwrap();
        });
    }
}
