//! What a backend says about a retry of its error is what callers of the typed API see, whatever the error's kind.

use std::sync::Arc;

use cacheness::core::backends::{MemoryBlobs, MemoryMetadata};
use cacheness::core::store::Store;
use cacheness::prelude::*;
use cacheness::{BlobStore, CacheConfig, Clock, ErrorKind, Result, StoreConfig};
use cacheness_testkit::faulty::{FaultyBlobs, FaultyMetadata, Plan};
use ndarray::Array1;

use crate::noise;

/// An empty store on backends whose calls `plan` counts. It keeps nothing in memory, so that every get reads.
fn store(plan: &Plan) -> Store {
    let blobs = FaultyBlobs { inner: MemoryBlobs::new(), plan: plan.clone() };
    let metadata = FaultyMetadata { inner: MemoryMetadata::new(), plan: plan.clone() };
    let mut config = StoreConfig { inline_threshold_bytes: 100, ..StoreConfig::default() };
    config.memory.enable_memory_cache = false;
    Store::new(Box::new(metadata), Arc::new(blobs), None, config, Clock::system())
}

fn array() -> Array1<f64> {
    Array1::linspace(0.0, 1.0, 5_000)
}

/// What a backend says of its error: the kind, whether it is retryable in spite of it; and whether it then is.
const SAID: [(ErrorKind, Option<bool>, bool); 6] = [
    (ErrorKind::Busy, Some(false), false),
    (ErrorKind::Unavailable, Some(false), false),
    (ErrorKind::Storage, Some(true), true),
    (ErrorKind::Denied, Some(true), true),
    (ErrorKind::Storage, None, false),
    (ErrorKind::TimedOut, None, true),
];

/// Makes each call of the backends fail in turn, on a new `T` each time.
fn check<T>(name: &str, make: impl Fn(&Plan) -> T, operation: impl Fn(&T) -> Result<()>) {
    for (kind, said, retryable) in SAID {
        let mut failures = 0;
        for call in 1.. {
            let plan = Plan::new();
            let made = make(&plan);
            plan.fail_with(call, kind, said);
            if let Err(error) = operation(&made) {
                failures += 1;
                let what = format!("{name}, call {call}, {said:?}: {error:?}");
                assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{what}");
            }
            if plan.calls() < call {
                break;
            }
        }
        assert!(failures > 0, "{name} reports no error of a backend");
    }
}

#[test]
fn of_a_store() {
    type Operation = (&'static str, fn(&BlobStore) -> Result<()>);
    let operations: [Operation; 11] = [
        ("put", |store| store.put("new", &1_i32)),
        ("put a blob", |store| store.put("large", &noise(2))),
        ("put an array", |store| store.put("new", &array())),
        ("get", |store| store.get::<i32>("small").map(drop)),
        ("get a blob", |store| store.get::<Vec<u8>>("large").map(drop)),
        ("get an array", |store| store.get::<Array1<f64>>("array").map(drop)),
        ("update", |store| store.update_metadata("small", serde_json::json!({"a": 1}).as_object().unwrap()).map(drop)),
        ("list", |store| store.list("", None).map(drop)),
        ("exists", |store| store.exists("small").map(drop)),
        ("delete", |store| store.delete("small").map(drop)),
        ("clear", |store| store.clear().map(drop)),
    ];
    let make = |plan: &Plan| {
        let store = BlobStore::from_store(store(plan));
        store.put("small", &1_i32).unwrap();
        store.put("large", &noise(1)).unwrap();
        store.put("array", &array()).unwrap();
        store
    };
    for (name, operation) in operations {
        check(name, make, operation);
    }
}

#[test]
fn of_a_cache() {
    type Operation = (&'static str, fn(&Cache) -> Result<()>);
    let operations: [Operation; 8] = [
        ("put", |cache| cache.put(&noise(2), params! { new: 1 }).map(drop)),
        ("get", |cache| cache.get::<i32>(params! { small: 1 }).map(drop)),
        ("get a blob", |cache| cache.get::<Vec<u8>>(params! { large: 1 }).map(drop)),
        ("compute", |cache| cache.get_or_insert_with(params! { new: 1 }, || noise(2)).map(drop)),
        ("touch", |cache| cache.touch(params! { small: 1 }, None).map(drop)),
        ("pin", |cache| cache.pin(params! { small: 1 }).map(drop)),
        ("invalidate", |cache| cache.invalidate(params! { large: 1 }).map(drop)),
        ("list", |cache| cache.list_entries().map(drop)),
    ];
    let make = |plan: &Plan| {
        let cache = Cache::from_store(store(plan), &CacheConfig::default()).unwrap();
        cache.put(&1_i32, params! { small: 1 }).unwrap();
        cache.put(&noise(1), params! { large: 1 }).unwrap();
        cache
    };
    for (name, operation) in operations {
        check(name, make, operation);
    }
}
