//! Put, get, expiry, listings, statistics.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use cacheness::prelude::*;
use cacheness::{CacheConfig, Error, ErrorKind, GetOptions};
use serde::{Deserialize, Serialize};

use crate::{blobs, cache_at, files, noise};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Linear,
    Tree { depth: u8 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Report {
    accuracy: f64,
    kind: Kind,
    notes: Option<String>,
    scores: BTreeMap<String, Vec<f32>>,
}

impl Plain for Report {}

fn report() -> Report {
    Report {
        accuracy: 0.95,
        kind: Kind::Tree { depth: 7 },
        notes: None,
        scores: BTreeMap::from([("a".into(), vec![1.0, f32::MIN_POSITIVE]), ("ß".into(), vec![])]),
    }
}

#[test]
fn values_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    macro_rules! round_trip {
        ($($name:literal: $type:ty = $value:expr),* $(,)?) => {$(
            let value: $type = $value;
            cache.put(&value, params! { name: $name }).unwrap();
            assert_eq!(cache.get::<$type>(params! { name: $name }).unwrap(), Some(value), $name);
        )*};
    }
    round_trip! {
        "struct": Report = report(),
        "string": String = "héllo".into(),
        "empty": String = String::new(),
        "bytes": Vec<u8> = vec![0, 255, 10],
        "big bytes": Vec<u8> = vec![7; 100_000],
        "u128": u128 = u128::MAX,
        "i128": i128 = i128::MIN,
        "map": HashMap<String, Option<i64>> = HashMap::from([("x".into(), Some(-1)), ("y".into(), None)]),
        "tuple": (u8, String, Vec<bool>) = (1, "two".into(), vec![true, false]),
        "unit": () = (),
        "list": Vec<f64> = (0..10_000).map(f64::from).collect(),
    }
    assert_eq!(cache.list_entries().unwrap().len(), 11);
}

#[test]
fn a_stored_none_is_a_hit() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    cache.put(&None::<i64>, params! { x: 1 }).unwrap();
    assert_eq!(cache.get::<Option<i64>>(params! { x: 1 }).unwrap(), Some(None));
    assert_eq!(cache.get::<Option<i64>>(params! { x: 2 }).unwrap(), None);
    let counts = cache.stats().unwrap().counts;
    assert_eq!((counts.hits, counts.misses, counts.puts), (1, 1, 1));
}

#[test]
fn the_order_of_parameters_does_not_matter_and_their_types_do() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let key = cache.put(&1, params! { a: 1, b: "x" }).unwrap();
    assert_eq!(cache.put(&2, params! { b: "x", a: 1 }).unwrap(), key);
    assert_eq!(cache.get::<i32>(params! { a: 1, b: "x" }).unwrap(), Some(2));
    for other in [
        cache.get::<i32>(params! { a: 1.0, b: "x" }),
        cache.get::<i32>(params! { a: true, b: "x" }),
        cache.get::<i32>(params! { a: "1", b: "x" }),
        cache.get::<i32>(params! { a: 1 }),
    ] {
        assert_eq!(other.unwrap(), None);
    }
}

#[test]
fn entries_expire_at_their_time_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let config = CacheConfig { default_ttl_seconds: Some(60.0), ..CacheConfig::default() };
    let (cache, clock) = cache_at(dir.path(), config);
    cache.put(&1, params! { ttl: "default" }).unwrap();
    cache.put_with(&2, params! { ttl: "own" }, PutOptions::new().ttl(Duration::from_secs(10))).unwrap();
    cache.put_with(&3, params! { ttl: "none" }, PutOptions::new().forever()).unwrap();
    let get = |ttl: &str| cache.get::<i32>(params! { ttl: ttl }).unwrap();
    clock.advance(9_999_999);
    assert_eq!(get("own"), Some(2));
    clock.advance(1);
    assert_eq!(get("own"), None);
    assert!(!cache.exists(params! { ttl: "own" }).unwrap());
    assert_eq!(get("default"), Some(1));
    clock.advance(50_000_000);
    assert_eq!(get("default"), None);
    assert_eq!(get("none"), Some(3));
    assert_eq!(cache.list_entries().unwrap().len(), 3);
    assert_eq!(cache.cleanup_expired().unwrap(), 2);
    assert_eq!(cache.list_entries().unwrap().len(), 1);
    // A clock that is set back does not bring anything back or lose anything.
    clock.advance(-1_000_000_000);
    assert_eq!(get("none"), Some(3));
    assert_eq!(get("default"), None);
}

#[test]
fn metadata_and_descriptions_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let options = PutOptions::new()
        .metadata(serde_json::json!({ "accuracy": 0.95, "tags": ["a", "ü"], "nested": { "x": null } }))
        .description("baseline");
    let key = cache.put_with(&report(), params! { model: "tree", fold: 3 }, options).unwrap();
    let (value, info) = cache.get_with_metadata::<Report>(params! { model: "tree", fold: 3 }).unwrap().unwrap();
    assert_eq!(value, report());
    assert_eq!(info.metadata()["tags"][1], "ü");
    let listed = cache.list_entries().unwrap();
    assert_eq!(listed.len(), 1);
    let entry = &listed[0];
    assert_eq!(entry.key(), key);
    assert_eq!(entry.description(), Some("baseline"));
    assert_eq!(entry.metadata()["accuracy"], 0.95);
    assert_eq!(entry.params().unwrap().unwrap(), serde_json::json!({ "fold": 3, "model": "tree" }));
    assert_eq!((entry.data_type(), entry.storage_format()), ("plain", "msgpack"));
    assert_eq!(entry.access_count(), 1);
    assert!(entry.is_inline() && entry.is_signed() && entry.size() > 0);
    assert_eq!(cache.get::<Report>(Named(&key)).unwrap(), Some(report()));
    let error = cache.put_with(&1, params! { x: 1 }, PutOptions::new().metadata(5)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn large_values_are_files_that_go_with_their_entries() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    cache.put(&noise(1), params! { x: 1 }).unwrap();
    let first = blobs(dir.path());
    assert_eq!(first.len(), 1);
    cache.put(&noise(2), params! { x: 1 }).unwrap();
    let second = blobs(dir.path());
    assert_eq!(second.len(), 1);
    assert_ne!(first, second, "a blob is never overwritten in place");
    assert_eq!(cache.get::<Vec<u8>>(params! { x: 1 }).unwrap(), Some(noise(2)));
    assert_eq!(cache.stats().unwrap().totals.bytes, std::fs::metadata(dir.path().join(&second[0])).unwrap().len());
    cache.put(&1, params! { x: 1 }).unwrap();
    assert_eq!(blobs(dir.path()), Vec::<String>::new());
    cache.put(&noise(3), params! { x: 2 }).unwrap();
    cache.put(&noise(4), params! { x: 3 }).unwrap();
    assert!(cache.invalidate(params! { x: 2 }).unwrap());
    assert!(!cache.invalidate(params! { x: 2 }).unwrap());
    assert_eq!(blobs(dir.path()).len(), 1);
    assert_eq!(cache.clear().unwrap(), 2);
    assert_eq!(files(dir.path()), ["cache_signing_key.bin", "cacheness.toml", "reserve"]);
    assert_eq!(cache.stats().unwrap().totals, Default::default());
}

#[test]
fn get_or_insert_computes_once_and_keeps_nothing_of_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let mut calls = 0;
    for _ in 0..3 {
        let value = cache
            .get_or_insert_with(params! { x: 1 }, || {
                calls += 1;
                42_u32
            })
            .unwrap();
        assert_eq!(value, 42);
    }
    assert_eq!(calls, 1);
    let failed: Result<u32, Error> =
        cache.get_or_try_insert_with(params! { x: 2 }, || Err(Error::new(ErrorKind::InvalidInput, "no")));
    assert_eq!(failed.unwrap_err().to_string(), "no");
    assert!(!cache.exists(params! { x: 2 }).unwrap());
}

#[test]
fn a_value_of_another_type_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    cache.put(&"text".to_owned(), params! { x: 1 }).unwrap();
    let error = cache.get::<u32>(params! { x: 1 }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Serialization, "{error:?}");
    assert!(error.to_string().starts_with("entry "), "{error}");
}

#[test]
fn a_closed_cache_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    cache.put(&1, params! { x: 1 }).unwrap();
    cache.close().unwrap();
    cache.close().unwrap();
    for error in [
        cache.put(&1, params! { x: 1 }).unwrap_err(),
        cache.get::<i32>(params! { x: 1 }).unwrap_err(),
        cache.list_entries().unwrap_err(),
        cache.stats().unwrap_err(),
        cache.clear().unwrap_err(),
        cache.invalidate(params! { x: 1 }).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
    assert_eq!(Cache::open(dir.path()).unwrap().get::<i32>(params! { x: 1 }).unwrap(), Some(1));
}

#[test]
fn a_negative_time_to_live_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for seconds in [-1.0, f64::NAN, f64::INFINITY] {
        let config = CacheConfig { default_ttl_seconds: Some(seconds), ..CacheConfig::default() };
        let error = Cache::builder().directory(dir.path()).config(config).open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("default_ttl_seconds"), "{error}");
    }
}

#[test]
fn threads_share_a_cache() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let cache = cache.clone();
            scope.spawn(move || {
                for i in 0..50_u32 {
                    let value: Vec<u32> = vec![thread * 1000 + i; if i % 10 == 0 { 20_000 } else { 3 }];
                    cache.put(&value, params! { thread: thread, i: i }).unwrap();
                    assert_eq!(cache.get::<Vec<u32>>(params! { thread: thread, i: i }).unwrap(), Some(value));
                    // All threads write and read this one.
                    cache.put(&vec![i; 30_000], params! { shared: true }).unwrap();
                    let shared: Vec<u32> = cache.get(params! { shared: true }).unwrap().unwrap();
                    assert!(shared.len() == 30_000 && shared.iter().all(|x| *x == shared[0]), "a mixture was read");
                }
            });
        }
    });
    assert_eq!(cache.stats().unwrap().totals.entries, 8 * 50 + 1);
    let sizes: u64 = cache.list_entries().unwrap().iter().map(|e| e.size()).sum();
    assert_eq!(cache.stats().unwrap().totals.bytes, sizes);
}

#[test]
fn a_get_may_ask_for_a_recent_value() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, clock) = cache_at(dir.path(), CacheConfig::default());
    cache.put(&1, params! { x: 1 }).unwrap();
    clock.advance(10_000_000);
    let get =
        |seconds| cache.get_with::<i32>(params! { x: 1 }, GetOptions::new().max_age(Duration::from_secs(seconds)));
    assert_eq!((get(10).unwrap(), get(9).unwrap()), (Some(1), None));
    assert_eq!(cache.get::<i32>(params! { x: 1 }).unwrap(), Some(1), "it stays");
    assert_eq!(cache.get_with::<i32>(params! { x: 1 }, GetOptions::new()).unwrap(), Some(1));
    cache.touch(params! { x: 1 }, None).unwrap();
    assert_eq!(get(0).unwrap(), Some(1));
    assert_eq!(get(u64::MAX).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn what_is_known_of_an_expired_entry_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, clock) = cache_at(dir.path(), CacheConfig::default());
    let options = PutOptions::new().ttl(Duration::from_secs(1)).metadata(serde_json::json!({ "stage": "test" }));
    cache.put_with(&1, params! { x: 1 }, options).unwrap();
    clock.advance(2_000_000);
    assert_eq!(cache.get_metadata(params! { x: 1 }).unwrap(), None);
    let entry = cache.get_entry(params! { x: 1 }).unwrap().unwrap();
    assert_eq!(entry.metadata()["stage"], "test");
    assert!(entry.expires_at().unwrap() < clock.now());
    assert_eq!(cache.get_entry(params! { x: 2 }).unwrap(), None);
    assert_eq!(cache.stats().unwrap().counts.misses, 0, "nothing is counted");
}

#[test]
fn a_cache_for_answers_of_services() {
    let builder = Cache::builder().max_entries(3).for_api();
    let options = builder.options();
    assert_eq!(options.default_ttl_seconds, Some(21_600.0));
    assert_eq!(options.store.compression.pickle_compression_codec.name(), "lz4");
    assert_eq!(options.limits.max_entries, Some(3));
    let builder = builder.default_ttl(Duration::from_secs(60)).unlimited();
    assert_eq!(builder.options().default_ttl_seconds, Some(60.0));
    assert_eq!((builder.options().limits.max_entries, builder.options().limits.max_cache_size_mb), (None, None));
}

#[test]
fn a_cache_shows_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    cache.put(&vec![0_u8; 1 << 20], params! { x: 1 }).unwrap();
    cache.get::<Vec<u8>>(params! { x: 1 }).unwrap();
    cache.get::<Vec<u8>>(params! { x: 2 }).unwrap();
    let size = cache.stats().unwrap().totals.bytes as f64 / f64::from(1 << 20);
    let path = dir.path().display();
    let expected = format!(
        "Cache {{ directory: \"{path}\", backend: \"sqlite\", entries: 1, size_mb: {size:.1}, hit_rate: 0.50 }}"
    );
    assert_eq!(format!("{cache:?}"), expected);
    cache.close().unwrap();
    assert_eq!(format!("{cache:?}"), format!("Cache {{ directory: \"{path}\", backend: \"sqlite\", closed: true }}"));
    let memory = Cache::builder().in_memory().open().unwrap();
    assert!(
        format!("{memory:?}").starts_with("Cache { directory: None, backend: \"memory\", entries: 0"),
        "{memory:?}"
    );
}

#[test]
fn contents_have_hashes_and_sizes() {
    use cacheness::hash::{hash_content, hash_path, size_mb};

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("below/file");
    std::fs::create_dir(dir.path().join("below")).unwrap();
    std::fs::write(&file, vec![7; 1 << 20]).unwrap();
    std::os::unix::fs::symlink(&file, dir.path().join("link")).unwrap();
    assert!((1.0..1.001).contains(&size_mb(dir.path()).unwrap()));
    assert_eq!(size_mb(dir.path().join("link")).unwrap(), 1.0);
    assert_eq!(hash_path(&file).unwrap(), hash_path(dir.path().join("link")).unwrap());
    let nowhere = dir.path().join("nowhere");
    assert!(size_mb(&nowhere).unwrap_err().to_string().contains("nowhere"));
    assert!(hash_path(&nowhere).unwrap_err().to_string().contains("nowhere"));
    let script = "from cacheness.utils import hash_content, hash_file_path\n\
                  print(hash_content({'a': [1, None, 'ä']}), hash_file_path(sys.argv[1] + '/../below/file'))";
    let content = BTreeMap::from([("a", (1, (), "ä"))]);
    let hashes = crate::python::python(&dir.path().join("cache"), script);
    let (of_list, of_file) = hashes.trim_end().split_once(' ').unwrap();
    assert_eq!(hash_path(&file).unwrap(), of_file);
    assert_ne!(hash_content(&content).unwrap(), of_list, "a tuple is no list");
    assert_eq!(hash_content(&BTreeMap::from([("a", [Item::Int(1), Item::None, Item::Text("ä")])])).unwrap(), of_list);
}

/// One of several things in a list.
enum Item {
    None,
    Int(i64),
    Text(&'static str),
}

impl cacheness::ToKey for Item {
    fn encode(&self, encoder: &mut cacheness::KeyEncoder) -> cacheness::Result<()> {
        match self {
            Self::None => encoder.none(),
            Self::Int(value) => encoder.int(*value),
            Self::Text(text) => encoder.str(text),
        }
        Ok(())
    }
}
