//! Artifacts under names.

use std::time::Duration;

use cacheness::core::sign::SignatureState;
use cacheness::prelude::*;
use cacheness::{CacheConfig, ErrorKind, OpenMode, Place, StoreConfig, field};
use serde_json::{Map, Value, json};

use crate::{blobs, noise};

fn map(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { panic!("not an object") };
    map
}

#[test]
fn artifacts_are_kept_under_names() {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    for (key, value, metadata) in [
        ("model_a", 1, json!({ "version": "1.0", "accuracy": 0.9 })),
        ("model_b", 2, json!({ "version": "2.0" })),
        ("データ/é 'quoted'", 3, json!({ "version": "1.0" })),
    ] {
        store.put_with(key, &value, metadata).unwrap();
        assert_eq!(store.get::<i32>(key).unwrap(), Some(value));
    }
    assert_eq!(store.list("", None).unwrap().len(), 3);
    assert_eq!(store.list("model_", None).unwrap(), ["model_a", "model_b"]);
    let good = field("accuracy").ge(0.5) & field("entry.data_type").eq("plain");
    assert_eq!(store.list("", Some(&good)).unwrap(), ["model_a"]);
    assert_eq!(store.list("model_b", Some(&good)).unwrap(), [""; 0]);
    let refused = store.list("", Some(&field("entry.accuracy").ge(0.5))).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    let filter = field("version").eq("1.0");
    assert_eq!(store.list("", Some(&filter)).unwrap(), ["model_a", "データ/é 'quoted'"]);
    assert!(store.update_metadata("model_a", &map(json!({ "stage": "prod" }))).unwrap());
    let info = store.get_metadata("model_a").unwrap().unwrap();
    assert_eq!(Value::Object(info.metadata()), json!({ "version": "1.0", "accuracy": 0.9, "stage": "prod" }));
    assert_eq!(store.get::<i32>("model_a").unwrap(), Some(1), "the entry is signed again");
    assert!(!store.update_metadata("nobody", &Map::new()).unwrap());
    let report = store.verify_integrity("model_a").unwrap().unwrap();
    assert!(report.valid && report.signature == SignatureState::Valid);
    assert!(store.verify_integrity("nobody").unwrap().is_none());
    assert!(store.delete("model_a").unwrap() && !store.delete("model_a").unwrap());
    assert!(!store.exists("model_a").unwrap());
    assert_eq!(store.clear().unwrap(), 2);
}

#[test]
fn keys_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    for key in ["", "a\0b", &"x".repeat(1025)] {
        let error = store.put(key, &1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    for key in ["../../etc/passwd", "/etc/passwd", "blobs/../x", "%00", "a\nb"] {
        store.put(key, &noise(3)).unwrap();
        assert_eq!(store.get::<Vec<u8>>(key).unwrap(), Some(noise(3)), "{key}");
    }
    assert_eq!(blobs(dir.path()).len(), 5);
}

#[test]
fn equal_content_is_stored_once_and_goes_with_its_last_name() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { content_addressable: true, ..StoreConfig::default() };
    let place = Place::Directory(dir.path().into());
    let store = BlobStore::open_with(&place, config, OpenMode::default()).unwrap();
    let noise = noise(1);
    let key = store.put_by_content(&noise, None).unwrap();
    assert_eq!(store.put_by_content(&noise, None).unwrap(), key);
    assert_eq!(key.len(), 32);
    store.put("a", &noise).unwrap();
    store.put("b", &noise).unwrap();
    assert_eq!(blobs(dir.path()).len(), 1);
    assert!(store.delete("a").unwrap() && store.delete(&key).unwrap());
    assert_eq!(store.get::<Vec<u8>>("b").unwrap(), Some(noise));
    store.put("b", &1).unwrap();
    assert_eq!(blobs(dir.path()).len(), 0);
    let plain = BlobStore::open(dir.path().join("plain")).unwrap();
    assert_eq!(plain.put_by_content(&1, None).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn updates_of_metadata_from_many_threads_are_all_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    store.put("x", &1).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for i in 0..10 {
                    let field = map(json!({ format!("{thread}-{i}"): i }));
                    assert!(store.update_metadata("x", &field).unwrap());
                }
            });
        }
    });
    assert_eq!(store.get_metadata("x").unwrap().unwrap().metadata().len(), 80);
    assert_eq!(store.get::<i32>("x").unwrap(), Some(1));
}

#[test]
fn a_cache_on_the_directory_evicts_no_artifact() {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    for version in 0..20 {
        store.put(&format!("model_{version}"), &version).unwrap();
    }
    let kept = CacheConfig { storage_mode: true, ..CacheConfig::default() };
    let kept = Cache::builder().directory(dir.path()).config(kept).open().unwrap();
    kept.put(&"kept".to_owned(), params! { kept: 1 }).unwrap();
    let careless =
        Cache::builder().directory(dir.path()).max_entries(5).max_age(Duration::from_nanos(1)).open().unwrap();
    for part in 0..10 {
        careless.put(&part, params! { part: part }).unwrap();
    }
    assert_eq!(careless.stats().unwrap().totals.entries, 22, "the last part is all that it has left");
    assert_eq!(careless.cleanup_expired().unwrap(), 1, "artifacts are too old to be served here, and stay");
    assert_eq!(careless.pinned().unwrap().len(), 21);
    assert!(careless.unpin(Named("model_3")).unwrap());
    careless.put(&10, params! { part: 10 }).unwrap();
    assert_eq!(kept.get::<String>(params! { kept: 1 }).unwrap().as_deref(), Some("kept"));
    assert_eq!(store.list("model_", None).unwrap().len(), 19);
    assert!(!store.exists("model_3").unwrap());
}
