//! Directories that are no stores, of newer releases, read-only, in use.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cacheness::prelude::*;
use cacheness::{CacheConfig, Durability, ErrorKind};

use crate::files;

#[test]
fn a_store_is_private_and_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/store");
    let cache = Cache::open(&path).unwrap();
    cache.put(&vec![1_u8; 1], params! { x: 1 }).unwrap();
    let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("cache_signing_key.bin"), 0o600);
    assert_eq!(mode("cache_metadata.db") & 0o077, 0);
    let manifest = fs::read_to_string(path.join("cacheness.toml")).unwrap();
    assert!(manifest.contains("format = 1") && manifest.contains("sqlite"), "{manifest}");
}

#[test]
fn what_is_no_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    assert_eq!(Cache::open(&file).unwrap_err().kind(), ErrorKind::NotAStore);
    assert_eq!(Cache::open(file.join("below")).unwrap_err().kind(), ErrorKind::NotAStore);
    let missing = Cache::builder().directory(dir.path().join("missing")).read_only().open().unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotAStore);
    let empty = Cache::builder().directory(dir.path()).existing().open().unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::NotAStore);
    assert_eq!(files(dir.path()), ["file"], "nothing was made");
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    Cache::open(dir.path()).unwrap().close().unwrap();
    let manifest = "format = 2\nwritten_by = \"3.1.4\"\nsomething_new = [1]\n";
    fs::write(dir.path().join("cacheness.toml"), manifest).unwrap();
    let error = Cache::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NewerFormat);
    assert!(error.to_string().contains("3.1.4"), "{error}");
    assert!(error.hint().unwrap().contains("upgrade"));
    assert_eq!(fs::read_to_string(dir.path().join("cacheness.toml")).unwrap(), manifest, "nothing was changed");
}

#[test]
fn a_damaged_manifest_and_database_are_named() {
    let dir = tempfile::tempdir().unwrap();
    Cache::open(dir.path()).unwrap().put(&1, params! { x: 1 }).unwrap();
    let manifest = fs::read(dir.path().join("cacheness.toml")).unwrap();
    fs::write(dir.path().join("cacheness.toml"), "format = [").unwrap();
    let error = Cache::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAStore);
    assert!(error.to_string().contains("cacheness.toml"), "{error}");
    fs::write(dir.path().join("cacheness.toml"), manifest).unwrap();
    fs::write(dir.path().join("cache_metadata.db"), vec![b'x'; 8192]).unwrap();
    let error = Cache::open(dir.path()).and_then(|cache| cache.get::<i32>(params! { x: 1 })).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotAStore | ErrorKind::Metadata), "{error:?}");
    assert!(error.to_string().contains("cache_metadata.db"), "{error}");
}

#[test]
fn a_store_opened_for_reading_is_read_and_not_written() {
    let dir = tempfile::tempdir().unwrap();
    Cache::open(dir.path()).unwrap().put(&vec![5_u32; 50_000], params! { x: 1 }).unwrap();
    let before = files(dir.path());
    let cache = Cache::builder().directory(dir.path()).read_only().open().unwrap();
    assert_eq!(cache.get::<Vec<u32>>(params! { x: 1 }).unwrap().unwrap().len(), 50_000);
    for error in [
        cache.put(&1, params! { x: 2 }).unwrap_err(),
        cache.invalidate(params! { x: 1 }).unwrap_err(),
        cache.clear().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error:?}");
    }
    cache.close().unwrap();
    assert_eq!(files(dir.path()), before);
}

#[test]
fn full_durability_keeps_values_too() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::builder().directory(dir.path()).durability(Durability::Full).open().unwrap();
    cache.put(&vec![1_u64; 100_000], params! { x: 1 }).unwrap();
    drop(cache);
    assert_eq!(Cache::open(dir.path()).unwrap().get::<Vec<u64>>(params! { x: 1 }).unwrap().unwrap().len(), 100_000);
}

#[test]
fn many_may_open_a_new_store_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    std::thread::scope(|scope| {
        for i in 0..16 {
            let path = &path;
            scope.spawn(move || {
                let cache = Cache::open(path).unwrap();
                cache.put(&i, params! { i: i }).unwrap();
            });
        }
    });
    let cache = Cache::open(&path).unwrap();
    for i in 0..16 {
        assert_eq!(cache.get::<i32>(params! { i: i }).unwrap(), Some(i), "all sign with one key");
    }
}

#[test]
fn a_cache_in_memory_needs_no_directory() {
    let cache = Cache::builder().in_memory().open().unwrap();
    cache.put(&vec![1_u8; 100_000], params! { x: 1 }).unwrap();
    assert_eq!(cache.get::<Vec<u8>>(params! { x: 1 }).unwrap().unwrap().len(), 100_000);
    assert_eq!(cache.stats().unwrap().totals.entries, 1);
}

#[test]
fn files_of_dead_writers_are_removed_and_those_of_living_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    Cache::open(dir.path()).unwrap().put(&vec![1_u8; 10], params! { x: 1 }).unwrap();
    let tmp = dir.path().join("tmp");
    fs::create_dir_all(&tmp).unwrap();
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let make = |name: &str, old: bool| {
        let file = fs::File::create(tmp.join(name)).unwrap();
        if old {
            file.set_modified(hour_ago).unwrap();
        }
        file
    };
    make("dead-000000000000.npy", true);
    make("young-000000000000.npy", false);
    let living = make("living-000000000000.npy", true);
    living.lock().unwrap();
    Cache::open(dir.path()).unwrap();
    let mut left: Vec<_> = fs::read_dir(&tmp).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["living-000000000000.npy", "young-000000000000.npy"]);
}

#[test]
fn what_means_another_place_makes_no_directory() {
    for (path, what) in [
        ("s3://bucket/cache", "is a URL"),
        ("file:///tmp/cache", "is a URL"),
        ("postgresql+psycopg://host/db", "is a URL"),
        ("~/cache", "begins with ~"),
        ("~", "begins with ~"),
    ] {
        let error = Cache::open(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path}");
        assert_eq!(error.to_string().strip_prefix(path).unwrap().trim().split(',').next(), Some(what), "{path}");
        assert!(!Path::new(path.split('/').next().unwrap()).exists());
    }
    let dir = tempfile::tempdir().unwrap();
    for path in ["a~", "~a", "a:b"] {
        Cache::open(dir.path().join(path)).unwrap().close().unwrap();
    }
}

#[test]
fn a_database_may_lie_elsewhere_and_belongs_to_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let (store, database) = (dir.path().join("store"), dir.path().join("fast/x.db"));
    let opened = |store: &Path, url: Option<&Path>| {
        let mut config = CacheConfig::default();
        config.store.database_url = url.map(|path| path.to_str().unwrap().to_owned());
        Cache::builder().directory(store).config(config).open()
    };
    opened(&store, Some(&database)).unwrap().put(&1_i32, params! { x: 1 }).unwrap();
    assert!(database.is_file() && !store.join("cache_metadata.db").exists());
    for url in [None, Some(database.as_path())] {
        assert_eq!(opened(&store, url).unwrap().get::<i32>(params! { x: 1 }).unwrap(), Some(1));
    }
    let error = opened(&store, Some(&dir.path().join("y.db"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let error = opened(&dir.path().join("other"), Some(&database)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAStore, "{error}");
    fs::remove_file(&database).unwrap();
    assert_eq!(opened(&store, None).unwrap_err().kind(), ErrorKind::Integrity);
    assert!(!database.exists());
}
