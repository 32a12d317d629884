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
        config.store.database_url = url.map(|path| path.to_str().unwrap().into());
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

/// The error of opening `dir`, whose sentence and hint together have all of `words`.
fn check_way_out(result: cacheness::Result<Cache>, kind: ErrorKind, words: &[&str]) {
    let error = result.map(drop).unwrap_err();
    assert_eq!(error.kind(), kind, "{error:?}");
    let text = format!("{}\n{}", error.with_causes(), error.hint().unwrap_or_default());
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

/// A store with an entry that is inline and one that is not.
fn small_store(backend: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::builder().directory(dir.path()).metadata_backend(backend).open().unwrap();
    cache.put(&1, params! { x: 1 }).unwrap();
    cache.put(&crate::noise(1), params! { x: 2 }).unwrap();
    cache.close().unwrap();
    dir
}

#[test]
fn what_is_damaged_says_what_is_lost_and_what_to_do() {
    type Damage = fn(&Path);
    let lost = ["all entries are lost", "blobs", "copy"];
    let cases: [(&str, ErrorKind, &str, Damage); 7] = [
        ("sqlite", ErrorKind::NotAStore, "no SQLite database", |dir| {
            fs::write(dir.join("cache_metadata.db"), vec![b'x'; 8192]).unwrap();
        }),
        ("sqlite", ErrorKind::Metadata, "damaged", |dir| {
            let path = dir.join("cache_metadata.db");
            let mut bytes = fs::read(&path).unwrap();
            bytes[100..4096].fill(0xa5);
            fs::write(&path, bytes).unwrap();
        }),
        ("sqlite", ErrorKind::Metadata, "damaged", |dir| {
            let path = dir.join("cache_metadata.db");
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..4096]).unwrap();
        }),
        ("sqlite", ErrorKind::Integrity, "is empty", |dir| {
            fs::write(dir.join("cache_metadata.db"), "").unwrap();
        }),
        ("sqlite", ErrorKind::Integrity, "is gone", |dir| {
            fs::remove_file(dir.join("cache_metadata.db")).unwrap();
        }),
        ("json", ErrorKind::Metadata, "is damaged", |dir| {
            fs::write(dir.join("cache_metadata.json"), "{").unwrap();
        }),
        ("json", ErrorKind::Metadata, "is damaged", |dir| {
            let path = dir.join("cache_metadata.json");
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }),
    ];
    for (backend, kind, what, damage) in cases {
        let dir = small_store(backend);
        damage(dir.path());
        let used = || {
            let cache = Cache::open(dir.path())?;
            cache.get::<i32>(params! { x: 1 })?;
            cache.list_entries()?;
            Ok(cache)
        };
        let words: Vec<_> = lost.iter().copied().chain([what, "cache_metadata"]).collect();
        check_way_out(used(), kind, &words);
        // As it says.
        for entry in fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_string_lossy().starts_with("cache_metadata") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        fs::remove_dir_all(dir.path().join("blobs")).unwrap();
        let cache = used().unwrap_or_else(|error| panic!("{backend}, {what}: {error:?}"));
        assert_eq!(cache.list_entries().unwrap().len(), 0);
        cache.put(&2, params! { x: 1 }).unwrap();
    }
}

#[test]
fn a_manifest_that_is_damaged_or_gone_is_made_again() {
    for backend in ["sqlite", "json"] {
        let dir = small_store(backend);
        let manifest = dir.path().join("cacheness.toml");
        fs::write(&manifest, "format = [").unwrap();
        check_way_out(
            Cache::open(dir.path()),
            ErrorKind::NotAStore,
            &["cacheness.toml", "remove it", "nothing is lost"],
        );
        fs::remove_file(&manifest).unwrap();
        for existing in [Cache::builder().existing(), Cache::builder().read_only()] {
            let opened = existing.directory(dir.path()).open();
            check_way_out(opened, ErrorKind::NotAStore, &["cacheness.toml", "is gone", "nothing is lost"]);
        }
        let cache = Cache::open(dir.path()).unwrap();
        assert_eq!(cache.engine().store().metadata().name(), backend);
        assert_eq!(cache.get::<i32>(params! { x: 1 }).unwrap(), Some(1));
    }
}

#[test]
fn a_directory_of_somebody_else_is_described() {
    let dir = tempfile::tempdir().unwrap();
    let existing = || Cache::builder().existing().directory(dir.path()).open();
    check_way_out(existing(), ErrorKind::NotAStore, &["it is empty", "cacheness.toml"]);
    for name in ["letter.txt", "photo.png"] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    check_way_out(existing(), ErrorKind::NotAStore, &["letter.txt", "photo.png", "cacheness.toml"]);
    for number in 0..20 {
        fs::write(dir.path().join(format!("{number}.dat")), "x").unwrap();
    }
    check_way_out(existing(), ErrorKind::NotAStore, &["and 19 more", "cacheness.toml"]);
    // A database of another program is left as it is.
    let database = dir.path().join("cache_metadata.db");
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.execute_batch("CREATE TABLE letters (text TEXT)").unwrap();
    drop(connection);
    let before = fs::read(&database).unwrap();
    check_way_out(Cache::open(dir.path()), ErrorKind::NotAStore, &["another program", "another directory"]);
    assert_eq!(fs::read(&database).unwrap(), before);
}
