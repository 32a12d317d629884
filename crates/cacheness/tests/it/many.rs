//! Many entries in one call, and new values for entries that are there.

use std::time::Duration;

use cacheness::prelude::*;
use cacheness::{CacheConfig, ErrorKind, Params};
use ndarray::Array1;
use serde_json::json;

use crate::cache_at;

fn keys(folds: std::ops::Range<u32>) -> impl Iterator<Item = Params<'static>> {
    folds.map(|fold| Params::new().with("fold", fold))
}

#[test]
fn a_batch_has_a_result_for_each_key() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, clock) = cache_at(dir.path(), CacheConfig::default());
    for fold in 0..4_u32 {
        cache.put(fold, params! { fold: fold }).unwrap();
    }
    cache.put("text", params! { fold: 2 }).unwrap();
    cache.put_with(3_u32, params! { fold: 3 }, PutOptions::new().ttl(Duration::from_secs(1))).unwrap();
    clock.advance(2_000_000);
    let found = cache.get_batch::<u32>(keys(0..5));
    let kinds: Vec<_> = found.iter().map(|one| one.as_ref().map_err(cacheness::Error::kind)).collect();
    assert_eq!(kinds, [Ok(&Some(0)), Ok(&Some(1)), Err(ErrorKind::Serialization), Ok(&None), Ok(&None)]);
    // The one that cannot be decoded as a number counts as well.
    assert_eq!(cache.stats().unwrap().counts.misses, 3);

    // The expired one is there.
    assert_eq!(cache.delete_batch(keys(1..9)).unwrap(), 3);
    assert_eq!(cache.list_entries().unwrap().len(), 1);
    assert_eq!(cache.delete_batch(std::iter::empty::<Named<'_>>()).unwrap(), 0);
}

#[test]
fn entries_are_removed_by_what_is_known_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    for fold in 0..20 {
        let options = PutOptions::new().metadata(json!({ "odd": fold % 2 == 1 }));
        cache.put_with(Array1::from_elem(10, fold), params! { fold: fold }, options).unwrap();
    }
    cache.put("text", Named("kept")).unwrap();
    let mut seen = 0;
    let removed = cache.delete_where(|entry| {
        seen += 1;
        entry.data_type() == "array" && entry.metadata()["odd"] == true
    });
    assert_eq!((removed.unwrap(), seen), (10, 21));
    assert_eq!(cache.delete_where(|_| false).unwrap(), 0);
    assert_eq!(cache.delete_where(|entry| entry.key() != "kept").unwrap(), 10);
    assert!(cache.exists(Named("kept")).unwrap());

    let reader = Cache::builder().directory(dir.path()).read_only().open().unwrap();
    assert_eq!(reader.delete_where(|_| false).unwrap_err().kind(), ErrorKind::ReadOnly);
    cache.close().unwrap();
    assert_eq!(cache.delete_where(|_| true).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn entries_are_made_fresh_by_their_values() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, clock) = cache_at(dir.path(), CacheConfig::default());
    let second = || PutOptions::new().ttl(Duration::from_secs(1));
    for step in 0..3 {
        cache.put_with(step, params! { project: "demo", step: step }, second()).unwrap();
    }
    cache.put_with(9, params! { other: 1 }, second().metadata(json!({ "project": "demo" }))).unwrap();
    cache.put_with(8, params! { project: "another" }, second()).unwrap();
    assert_eq!(cache.touch_batch(json!({ "project": "demo" }), Some(Duration::from_secs(60))).unwrap(), 4);
    assert_eq!(cache.touch_batch(json!({ "project": "demo", "step": 7 }), None).unwrap(), 0);
    clock.advance(2_000_000);
    assert!(cache.exists(params! { other: 1 }).unwrap() && !cache.exists(params! { project: "another" }).unwrap());
    assert_eq!(cache.touch_batch(json!({ "project": "another" }), None).unwrap(), 0, "what has expired stays so");
    // The default is for ever.
    assert_eq!(cache.touch_batch(json!({ "project": "demo" }), None).unwrap(), 4);
    clock.advance(100_000_000);
    assert_eq!(cache.get(params! { project: "demo", step: 2 }).unwrap(), Some(2));
    assert_eq!(cache.touch_batch(json!({}), None).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_new_value_keeps_what_is_said_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, clock) = cache_at(dir.path(), CacheConfig::default());
    let options = PutOptions::new().description("a draft").metadata(json!({ "stage": "test" }));
    let key = cache.put_with("first", params! { text: 1 }, options.ttl(Duration::from_secs(10))).unwrap();
    clock.advance(5_000_000);
    // By its parameters, then by the key of a listing: both lead to one entry.
    assert!(cache.update_data(&[1, 2][..], params! { text: 1 }, None).unwrap());
    assert!(cache.update_data("third", Named(&key), Some(Duration::from_secs(10))).unwrap());
    let (text, entry) = cache.get_with_metadata::<String>(params! { text: 1 }).unwrap().unwrap();
    assert_eq!((&*text, entry.description(), &entry.metadata()["stage"]), ("third", Some("a draft"), &json!("test")));
    assert_eq!((entry.key(), entry.created_at()), (&*key, clock.now()));
    assert_eq!(cache.list_entries().unwrap().len(), 1);
    clock.advance(11_000_000);
    assert!(!cache.update_data("late", params! { text: 1 }, None).unwrap(), "it has expired");
    assert!(!cache.update_data("new", Named("nothing"), None).unwrap());
    assert!(!cache.exists(Named("nothing")).unwrap());

    let nothing = Cache::builder().directory(dir.path()).read_only().open().unwrap();
    cache.put("there", Named("there")).unwrap();
    assert_eq!(nothing.update_data("x", Named("there"), None).unwrap_err().kind(), ErrorKind::ReadOnly);
}
