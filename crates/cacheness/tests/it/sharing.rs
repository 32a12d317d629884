//! Blobs that several entries of a content-addressable store share, when the file is damaged.

use std::fs;
use std::path::{Path, PathBuf};

use cacheness::config::Durability;
use cacheness::prelude::*;
use cacheness::{ErrorKind, OpenMode, Place, StoreConfig};

use crate::files;

fn open(dir: &Path, json: bool, durability: Durability) -> BlobStore {
    let mut config = StoreConfig { content_addressable: true, durability, ..StoreConfig::default() };
    if json {
        config.metadata_backend = Some("json".into());
    }
    BlobStore::open_with(&Place::Directory(dir.into()), config, OpenMode::default()).unwrap()
}

fn noise() -> Vec<u8> {
    let step = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    std::iter::successors(Some(1), step).take(100_000).map(|state| (state >> 56) as u8).collect()
}

fn blobs(dir: &Path) -> Vec<PathBuf> {
    files(dir).into_iter().filter(|name| name.starts_with("blobs/")).map(|name| dir.join(name)).collect()
}

#[test]
fn putting_a_value_again_heals_the_blob_that_others_share() {
    let damages: [fn(&Path); 4] = [
        |blob| fs::remove_file(blob).unwrap(),
        |blob| fs::write(blob, b"").unwrap(),
        |blob| fs::write(blob, vec![0; 100_000]).unwrap(),
        |blob| {
            let mut bytes = fs::read(blob).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(blob, bytes).unwrap();
        },
    ];
    for (number, damage) in damages.iter().enumerate() {
        for json in [false, true] {
            for durability in [Durability::Normal, Durability::Full] {
                let dir = tempfile::tempdir().unwrap();
                let store = open(dir.path(), json, durability);
                let value = noise();
                for key in ["x", "y", "z"] {
                    store.put(key, &value).unwrap();
                }
                let shared = blobs(dir.path());
                assert_eq!(shared.len(), 1);
                damage(&shared[0]);
                assert_eq!(store.get::<Vec<u8>>("y").unwrap_err().kind(), ErrorKind::Integrity);
                store.put("x", &value).unwrap();
                let what = format!("damage {number}, json {json}, {durability:?}");
                let other = open(dir.path(), json, durability);
                for store in [&store, &other] {
                    for key in ["x", "y", "z"] {
                        assert_eq!(store.get::<Vec<u8>>(key).unwrap().as_ref(), Some(&value), "{what}: {key}");
                    }
                }
                assert_eq!(blobs(dir.path()).len(), 1, "{what}: the damaged one is gone");
                // A put of another key, and by content, shares the whole one.
                store.put("w", &value).unwrap();
                let key = store.put_by_content(&value, None).unwrap();
                assert_eq!(blobs(dir.path()).len(), 1, "{what}");
                for key in ["w", "x", "y", "z", &key] {
                    assert!(store.delete(key).unwrap(), "{what}: {key}");
                }
                assert_eq!(blobs(dir.path()).len(), 0, "{what}");
            }
        }
    }
}

#[test]
fn a_new_key_heals_it_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), false, Durability::Normal);
    let value = noise();
    store.put("x", &value).unwrap();
    fs::remove_file(&blobs(dir.path())[0]).unwrap();
    store.put("y", &value).unwrap();
    assert_eq!(store.get::<Vec<u8>>("y").unwrap().as_ref(), Some(&value));
    assert_eq!(store.get::<Vec<u8>>("x").unwrap().as_ref(), Some(&value));
}

#[test]
fn equal_values_of_many_threads_are_never_lost() {
    let dir = tempfile::tempdir().unwrap();
    let stores = [open(dir.path(), false, Durability::Normal), open(dir.path(), false, Durability::Normal)];
    let value = noise();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, value) = (&stores[thread % 2], &value);
            scope.spawn(move || {
                let key = format!("k{thread}");
                for _ in 0..50 {
                    store.put(&key, value).unwrap();
                    assert_eq!(store.get::<Vec<u8>>(&key).unwrap().as_ref(), Some(value));
                    assert!(store.delete(&key).unwrap());
                }
                store.put(&key, value).unwrap();
            });
        }
    });
    for thread in 0..4 {
        assert_eq!(stores[0].get::<Vec<u8>>(&format!("k{thread}")).unwrap().as_ref(), Some(&value));
    }
}
