//! Removing entries by their metadata.

use std::sync::atomic::{AtomicBool, Ordering};

use cacheness::core::config::SerializationConfig;
use cacheness::prelude::*;
use cacheness::{ErrorKind, IntoEntryKey};
use serde_json::json;

fn put(cache: &Cache, n: i32, metadata: serde_json::Value) {
    cache.put_with(&n, params! { n: n, kind: "x" }, PutOptions::new().metadata(metadata)).unwrap();
}

fn left(cache: &Cache) -> Vec<i32> {
    (0..10).filter(|&n| cache.exists(params! { n: n, kind: "x" }).unwrap()).collect()
}

#[test]
fn all_values_have_to_match_by_value() {
    let dir = tempfile::tempdir().unwrap();
    for backend in ["sqlite", "json"] {
        let cache = Cache::builder().metadata_backend(backend).directory(dir.path().join(backend)).open().unwrap();
        put(&cache, 0, json!({ "fold": 1, "model": "ridge" }));
        put(&cache, 1, json!({ "fold": 1.0, "model": "lasso" }));
        put(&cache, 2, json!({ "fold": "1", "model": "ridge" }));
        put(&cache, 3, json!({ "fold": 1, "model": "ridge", "tags": ["a", { "b": null }] }));
        put(&cache, 4, json!({ "fold": { "$tuple": [1, 2] }, "kind": "y" }));
        assert_eq!(cache.delete_matching(json!({ "fold": 1, "model": "lasso" })).unwrap(), 1, "{backend}");
        assert_eq!(cache.delete_matching(json!({ "tags": ["a", { "b": null }] })).unwrap(), 1);
        // A list equals a tuple, also one with the numbers of another type.
        assert_eq!(cache.delete_matching(json!({ "fold": [2, 1] })).unwrap(), 0);
        assert_eq!(cache.delete_matching(json!({ "fold": [1, 2.0] })).unwrap(), 1);
        assert_eq!(left(&cache), [0, 2]);
        // A name that the metadata lacks is looked up among the parameters.
        assert_eq!(cache.delete_matching(json!({ "kind": "x", "fold": "1" })).unwrap(), 1);
        assert_eq!(cache.delete_matching(json!({ "kind": "x" })).unwrap(), 1);
        assert_eq!(cache.stats().unwrap().totals.entries, 0);
    }
}

#[test]
fn fields_of_the_entry_come_last() {
    let dir = tempfile::tempdir().unwrap();
    for backend in ["sqlite", "json"] {
        let cache = Cache::builder().metadata_backend(backend).directory(dir.path().join(backend)).open().unwrap();
        put(&cache, 0, json!({ "data_type": "mine" }));
        put(&cache, 1, json!({}));
        cache.put(&2, params! { n: 2, kind: "x", data_type: "mine too" }).unwrap();
        let options = PutOptions::new().description("three");
        cache.put_with(&3, params! { n: 3, kind: "x" }, options).unwrap();
        assert_eq!(cache.delete_matching(json!({ "data_type": "array" })).unwrap(), 0, "{backend}");
        assert_eq!(cache.delete_matching(json!({ "data_type": "plain", "description": "three" })).unwrap(), 1);
        assert_eq!(cache.delete_matching(json!({ "data_type": "mine too" })).unwrap(), 1);
        assert_eq!(cache.delete_matching(json!({ "storage_format": "msgpack", "data_type": "plain" })).unwrap(), 1);
        assert_eq!(left(&cache), [0]);
    }
}

#[test]
fn what_is_no_pattern_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    put(&cache, 0, json!({ "a": 1 }));
    for (values, kind) in [
        (json!({}), ErrorKind::InvalidInput),
        (json!([1]), ErrorKind::InvalidInput),
        (json!({ "a": { "$nothing": 1 } }), ErrorKind::InvalidInput),
        (json!({ "a": { "$gte": [0.9] } }), ErrorKind::InvalidInput),
        (json!({ "a": { "$tuple": 1 } }), ErrorKind::InvalidInput),
        (json!({ "$or": [{ "a": 1 }] }), ErrorKind::InvalidInput),
    ] {
        assert_eq!(cache.delete_matching(&values).unwrap_err().kind(), kind, "{values}");
    }
    // A key that looks like an operator.
    assert_eq!(cache.delete_matching(json!({ "a": { "$$gte": 0.9 } })).unwrap(), 0);
    assert_eq!(cache.delete_matching(json!({ "a": { "$gt": 1 } })).unwrap(), 0);
    assert_eq!(left(&cache), [0]);
    cache.close().unwrap();
    assert_eq!(cache.delete_matching(json!({ "a": 1 })).unwrap_err().kind(), ErrorKind::Closed);
    let cache = Cache::builder().directory(dir.path()).read_only().open().unwrap();
    assert_eq!(cache.delete_matching(json!({ "a": 1 })).unwrap_err().kind(), ErrorKind::ReadOnly);
}

#[test]
fn more_than_one_transaction() {
    let cache = Cache::builder().in_memory().open().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for cache in [cache, Cache::open(dir.path()).unwrap()] {
        for n in 0..4000 {
            let options = PutOptions::new().metadata(json!({ "group": n % 2 }));
            cache.put_with(&n, params! { n: n }, options).unwrap();
        }
        cache.pin(params! { n: 1 }).unwrap();
        assert_eq!(cache.delete_matching(json!({ "group": 1 })).unwrap(), 2000);
        assert_eq!(cache.stats().unwrap().totals.entries, 2000);
        assert!(cache.pinned().unwrap().is_empty());
        assert_eq!(cache.get::<i32>(params! { n: 7 }).unwrap(), None);
        assert_eq!(cache.get(params! { n: 8 }).unwrap(), Some(8));
    }
}

#[test]
fn what_is_touched_meanwhile_is_removed_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                cache.touch(params! { n: 1 }, None).unwrap();
            }
        });
        for round in 0..400 {
            let options = PutOptions::new().metadata(json!({ "group": "a" }));
            cache.put_with(&round, params! { n: 1 }, options).unwrap();
            match round % 3 {
                0 => assert!(cache.invalidate(params! { n: 1 }).unwrap()),
                1 => assert_eq!(cache.delete_matching(json!({ "group": "a" })).unwrap(), 1),
                _ => {
                    let key = params! { n: 1 }.into_entry_key(&SerializationConfig::default()).unwrap();
                    assert_eq!(cache.engine().invalidate_batch(&[key.clone(), key]).unwrap(), 1);
                }
            }
            assert_eq!(cache.get::<i32>(params! { n: 1 }).unwrap(), None, "round {round}");
        }
        over.store(true, Ordering::Relaxed);
    });
}
