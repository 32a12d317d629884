//! Directories whose entries are in a JSON file, and how the choice of a backend is kept.

use std::fs;

use cacheness::prelude::*;
use cacheness::{ErrorKind, OpenMode, Place, StoreConfig};
use serde_json::json;

use crate::files;
use crate::python::python;

#[test]
fn the_directory_says_which_backend_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let cache = Cache::builder().directory(&path).metadata_backend("json").open().unwrap();
    cache.put_with(&vec![1, 2, 3], params! { x: 1 }, PutOptions::new().metadata(json!({ "stage": "prod" }))).unwrap();
    cache.put(&vec![7_u8; 100_000], params! { x: 2 }).unwrap();
    cache.close().unwrap();
    let names = files(&path);
    assert!(names.iter().any(|name| name == "cache_metadata.json"), "{names:?}");
    assert!(!names.iter().any(|name| name.contains(".db")), "{names:?}");
    assert!(fs::read_to_string(path.join("cacheness.toml")).unwrap().contains("backend = \"json\""));
    let cache = Cache::open(&path).unwrap();
    assert_eq!(cache.engine().store().metadata().name(), "json");
    let (value, info) = cache.get_with_metadata::<Vec<i32>>(params! { x: 1 }).unwrap().unwrap();
    assert_eq!(value, [1, 2, 3]);
    assert_eq!(info.metadata()["stage"], "prod");
    assert!(info.is_signed());
    assert_eq!(cache.get::<Vec<u8>>(params! { x: 2 }).unwrap().unwrap().len(), 100_000);
    drop(cache);
    // The counts of reads are written down when the cache is closed.
    let counts: Vec<u64> =
        Cache::open(&path).unwrap().list_entries().unwrap().iter().map(|e| e.access_count()).collect();
    assert_eq!(counts, [1, 1]);
    assert_eq!(Cache::builder().directory(&path).metadata_backend("json").open().unwrap().clear().unwrap(), 2);
    assert!(!files(&path).iter().any(|name| name.starts_with("blobs/")), "no payload is left");
}

#[test]
fn another_backend_than_the_directory_has_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (has, asked) in [("json", "sqlite"), ("sqlite", "json")] {
        let path = dir.path().join(has);
        Cache::builder().directory(&path).metadata_backend(has).open().unwrap();
        let before = files(&path);
        let error = Cache::builder().directory(&path).metadata_backend(asked).open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&format!("backend {has:?}, not {asked:?}")), "{error}");
        assert!(error.hint().unwrap().contains("leave the backend out"));
        assert_eq!(files(&path), before);
    }
    let path = dir.path().join("new");
    let error = Cache::builder().directory(&path).metadata_backend("oracle").open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.hint().unwrap().contains("sqlite, json, sqlite_memory, memory"), "{error:?}");
    assert!(!path.exists());
}

#[test]
fn backends_in_memory_write_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    for name in ["memory", "sqlite_memory"] {
        let cache = Cache::builder().directory(&path).metadata_backend(name).open().unwrap();
        cache.put(&vec![7_u8; 100_000], params! { x: 2 }).unwrap();
        assert_eq!(cache.get::<Vec<u8>>(params! { x: 2 }).unwrap().unwrap().len(), 100_000, "{name}");
        assert!(!path.exists());
    }
    for (name, found) in [("memory", "memory"), ("sqlite_memory", "sqlite_memory"), ("sqlite", "sqlite_memory")] {
        let cache = Cache::builder().in_memory().metadata_backend(name).open().unwrap();
        cache.put(&1, params! { x: 2 }).unwrap();
        assert_eq!(cache.engine().store().metadata().name(), found);
    }
    let error = Cache::builder().in_memory().metadata_backend("json").open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_damaged_file_is_an_error_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::builder().directory(dir.path()).metadata_backend("json").open().unwrap();
    cache.put(&1, params! { x: 1 }).unwrap();
    cache.close().unwrap();
    let file = dir.path().join("cache_metadata.json");
    let whole = fs::read(&file).unwrap();
    for (content, kind) in [
        (&whole[..whole.len() - 20], ErrorKind::Metadata),
        (b"{\"name\": \"mine\"}", ErrorKind::NotAStore),
        (b"{\"format\": 9, \"application\": \"cacheness\"}", ErrorKind::NewerFormat),
    ] {
        fs::write(&file, content).unwrap();
        assert_eq!(Cache::open(dir.path()).unwrap_err().kind(), kind);
        assert_eq!(fs::read(&file).unwrap(), content);
    }
    // An entry that somebody has changed does not have the signature that it had.
    let text = String::from_utf8(whole).unwrap();
    fs::write(&file, text.replace("rust:i32", "rust:u32").replace("\"object_type\": \"", "\"object_type\": \"x"))
        .unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    assert_eq!(cache.get::<i32>(params! { x: 1 }).unwrap(), None);
    assert_eq!(cache.stats().unwrap().counts.failures, 1);
}

#[test]
fn a_store_of_artifacts_in_json() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { metadata_backend: Some("json".into()), ..StoreConfig::default() };
    let place = Place::Directory(dir.path().join("store"));
    let store = BlobStore::open_with(&place, config, OpenMode::CreateOrOpen).unwrap();
    store.put_with("modèle/ü", &vec![0.5; 10_000], json!({ "accuracy": 0.1 })).unwrap();
    drop(store);
    let store = BlobStore::open_with(&place, StoreConfig::default(), OpenMode::ReadOnly).unwrap();
    assert_eq!(store.get::<Vec<f64>>("modèle/ü").unwrap().unwrap().len(), 10_000);
    assert!(store.engine().verify_integrity("modèle/ü").unwrap().unwrap().valid);
}

#[test]
fn both_languages_share_a_json_directory() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::builder().directory(dir.path()).metadata_backend("json").open().unwrap();
    cache
        .put_with(&vec![1.5, f64::NAN], params! { from: "rust" }, PutOptions::new().metadata(json!({ "µ": [1, 1e-3] })))
        .unwrap();
    python(
        dir.path(),
        "value, meta = cache.get_with_metadata(params={'from': 'rust'})\n\
         assert value[0] == 1.5 and value[1] != value[1], value\n\
         assert meta == {'µ': [1, 0.001]}, meta\n\
         assert cache.get_stats()['backend_type'] == 'json'\n\
         cache.put({'a': (1, None)}, kind='python', metadata={'stage': 'prod', 'x': 0.1})\n\
         cache.put(np.arange(60000.0), kind='array')\n",
    );
    let (value, info) = cache.get_with_metadata::<both::Both>(params! { kind: "python" }).unwrap().unwrap();
    assert_eq!(value.a, (1, None));
    assert_eq!(serde_json::Value::Object(info.metadata()), json!({ "stage": "prod", "x": 0.1 }));
    let array: ndarray::Array1<f64> = cache.get(params! { kind: "array" }).unwrap().unwrap();
    assert_eq!(array[59_999], 59_999.0);
    assert_eq!(cache.stats().unwrap().counts.failures, 0);
}

mod both {
    use cacheness::prelude::*;

    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    pub(super) struct Both {
        pub(super) a: (i32, Option<i32>),
    }

    impl Plain for Both {}
}
