//! Nothing that stands in a directory or in a row makes the engine read, write or delete outside of the directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cacheness::prelude::*;
use cacheness::{CacheConfig, ErrorKind, OpenMode, Place, StoreConfig};
use proptest::prelude::*;

use crate::{blobs, cache_at, noise};

/// A directory with a store that does not sign, and beside it a file with the payload of its entry and a blob's name.
struct Beside {
    dir: tempfile::TempDir,
    before: Vec<(PathBuf, Vec<u8>)>,
}

fn unsigned() -> CacheConfig {
    let mut config = CacheConfig::default();
    config.store.security.enable_entry_signing = false;
    config
}

impl Beside {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (cache, _) = cache_at(&dir.path().join("store"), unsigned());
        cache.put(&noise(1), Named("k")).unwrap();
        cache.close().unwrap();
        let blob = dir.path().join("store").join(&blobs(&dir.path().join("store"))[0]);
        let outside = dir.path().join("outside");
        fs::create_dir_all(outside.join("aa")).unwrap();
        fs::copy(&blob, outside.join("aa/aa-0123456789ab.msgpack")).unwrap();
        fs::copy(&blob, outside.join(blob.file_name().unwrap())).unwrap();
        fs::copy(&blob, dir.path().join("secret")).unwrap();
        let mut beside = Self { dir, before: Vec::new() };
        beside.before = beside.found();
        beside
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// All that is outside of the store.
    fn found(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut directories = vec![self.dir.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path == self.store() {
                    continue;
                }
                if path.is_dir() {
                    directories.push(path.clone());
                }
                found.push((path.clone(), fs::read(&path).unwrap_or_default()));
            }
        }
        found.sort();
        found
    }

    /// Does all that programs do with a store, and looks whether anything outside has been read or changed.
    fn nothing_is_touched(&self, what: &str) {
        let wrong = |error: &cacheness::Error| {
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::Integrity | ErrorKind::Metadata | ErrorKind::Storage | ErrorKind::NotAStore
                ),
                "{what}: {error:?}"
            );
        };
        let use_store = || -> cacheness::Result<()> {
            let cache = Cache::builder().directory(self.store()).config(unsigned()).open()?;
            assert_eq!(cache.get::<Vec<u8>>(Named("k"))?, None, "{what}: nothing from outside is served");
            let store = BlobStore::open_with(&Place::Directory(self.store()), unsigned().store, OpenMode::Existing)?;
            match store.get::<Vec<u8>>("k") {
                Ok(found) => assert_eq!(found, None, "{what}"),
                Err(error) => wrong(&error),
            }
            if let Ok(Some(report)) = store.verify_integrity("k") {
                assert!(!report.valid, "{what}");
            }
            let _ = store.engine().blobs().list(None, 1000);
            for outcome in [
                cache.touch(Named("k"), Some(Duration::from_secs(60))).map(drop),
                cache.put(&noise(2), Named("k")).map(drop),
                cache.put(&noise(3), Named("other")).map(drop),
                cache.invalidate(Named("k")).map(drop),
                cache.clear().map(drop),
            ] {
                let _ = outcome.inspect_err(wrong);
            }
            Ok(())
        };
        let _ = use_store().inspect_err(wrong);
        assert!(self.found() == self.before, "{what}: something outside has changed");
    }
}

#[test]
fn no_locator_leads_outside() {
    let secret = "store/../secret";
    let long = format!("blobs/{}", "a/".repeat(3000));
    for locator in [
        "/etc/passwd",
        "../secret",
        secret,
        "blobs/../../secret",
        "blobs/../../outside/aa/aa-0123456789ab.msgpack",
        "../outside/aa/aa-0123456789ab.msgpack",
        "blobs/aa/../../../secret",
        "blobs//../../secret",
        "./../secret",
        "",
        ".",
        "..",
        "/",
        "blobs",
        "blobs/",
        "cacheness.toml",
        "cache_metadata.db",
        "cache_signing_key.bin",
        "tmp/aa-0123456789ab.msgpack",
        "blobs/aa/aa-0123456789ab.msgpack/../../../../secret",
        "file:///etc/passwd",
        "\\\\?\\secret",
        "blobs/aa/aa-0123456789ab.msgpack\n../../secret",
        "blobs/\u{ff0e}\u{ff0e}/\u{ff0e}\u{ff0e}/secret",
        "~/secret",
        "$HOME",
        "-rf",
        &long,
    ] {
        let beside = Beside::new();
        let absolute = beside.dir.path().join("secret");
        for locator in [locator, absolute.to_str().unwrap()] {
            let database = rusqlite::Connection::open(beside.store().join("cache_metadata.db")).unwrap();
            database.execute("UPDATE cache_entries SET locator = ?1", [locator]).unwrap();
            database.execute("UPDATE cache_entries SET locator = CAST(?1 AS TEXT) WHERE 0", [locator]).unwrap();
            drop(database);
            beside.nothing_is_touched(&format!("the locator {locator:?}"));
        }
    }
    // SQLite's texts may have zero bytes inside, and need not be UTF-8.
    for bytes in [&b"blobs/aa/aa-0123456789ab.msgpack\0"[..], b"\0", b"../secret\0.msgpack", b"blobs/\xff\xfe"] {
        let beside = Beside::new();
        let database = rusqlite::Connection::open(beside.store().join("cache_metadata.db")).unwrap();
        database.execute("UPDATE cache_entries SET locator = CAST(?1 AS TEXT)", [bytes]).unwrap();
        drop(database);
        beside.nothing_is_touched(&format!("the locator {bytes:?}"));
    }
}

#[test]
fn no_link_leads_outside() {
    let replace = |path: &Path, to: &Path| {
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).unwrap();
        } else {
            let _ = fs::remove_file(path);
        }
        symlink(to, path).unwrap();
    };
    let beside = Beside::new();
    replace(&beside.store().join("blobs"), &beside.outside());
    beside.nothing_is_touched("blobs as a link");

    let beside = Beside::new();
    let blob = beside.store().join(&blobs(&beside.store())[0]);
    replace(blob.parent().unwrap(), &beside.outside());
    beside.nothing_is_touched("a shard as a link");

    let beside = Beside::new();
    let blob = beside.store().join(&blobs(&beside.store())[0]);
    replace(&blob, &beside.dir.path().join("secret"));
    beside.nothing_is_touched("a blob as a link");

    for (target, name) in [("outside", "tmp"), ("outside", "blobs"), ("secret", "tmp"), ("secret", "flights.lock")] {
        let beside = Beside::new();
        fs::remove_dir_all(beside.store().join("blobs")).unwrap();
        replace(&beside.store().join(name), &beside.dir.path().join(target));
        beside.nothing_is_touched(&format!("{name} as a link"));
    }
    for name in [
        "cache_metadata.db",
        "cache_metadata.db-wal",
        "cache_metadata.db-shm",
        "cache_metadata.db-journal",
        "cacheness.toml",
        "cache_signing_key.bin",
    ] {
        let beside = Beside::new();
        fs::remove_dir_all(beside.store().join("blobs")).unwrap();
        replace(&beside.store().join(name), &beside.dir.path().join("secret"));
        beside.nothing_is_touched(&format!("{name} as a link"));
        // A link to what is not there yet makes nothing there.
        replace(&beside.store().join(name), &beside.dir.path().join("absent"));
        beside.nothing_is_touched(&format!("{name} as a dangling link"));
    }
}

#[test]
fn no_link_of_a_json_store_leads_outside() {
    for name in ["cache_metadata.json", "cache_metadata.json.tmp", "cache_metadata.lock"] {
        let dir = tempfile::tempdir().unwrap();
        let (store, outside) = (dir.path().join("store"), dir.path().join("outside"));
        fs::write(&outside, "outside").unwrap();
        let open = || Cache::builder().directory(&store).metadata_backend("json").open();
        open().unwrap().put(&1_u8, Named("k")).unwrap();
        let _ = fs::remove_file(store.join(name));
        symlink(&outside, store.join(name)).unwrap();
        match open() {
            Ok(cache) => {
                let _ = cache.put(&2_u8, Named("k"));
                let _ = cache.clear();
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotAStore, "{name}"),
        }
        assert_eq!(fs::read(&outside).unwrap(), b"outside", "{name}");
    }
}

#[test]
fn nobody_waits_for_pipes_and_devices() {
    let pipe = |path: &Path| {
        let _ = fs::remove_file(path);
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
    };
    for name in ["cacheness.toml", "cache_metadata.db", "cache_metadata.db-wal", "cache_metadata.db-journal"] {
        let beside = Beside::new();
        fs::remove_dir_all(beside.store().join("blobs")).unwrap();
        pipe(&beside.store().join(name));
        beside.nothing_is_touched(&format!("{name} as a pipe"));
    }
    for name in ["flights.lock", "tmp/aa-0123456789ab.msgpack"] {
        let beside = Beside::new();
        pipe(&beside.store().join(name));
        let (cache, _) = cache_at(&beside.store(), unsigned());
        assert_eq!(cache.get_or_insert_with(Named("new"), || 7_u8).unwrap(), 7);
    }
    let beside = Beside::new();
    pipe(&beside.store().join(&blobs(&beside.store())[0]));
    beside.nothing_is_touched("a blob as a pipe");
    let beside = Beside::new();
    fs::remove_dir_all(beside.store().join("blobs")).unwrap();
    let _ = fs::remove_file(beside.store().join("cacheness.toml"));
    symlink("/dev/zero", beside.store().join("cacheness.toml")).unwrap();
    beside.nothing_is_touched("the manifest as an endless device");
    fs::remove_file(beside.store().join("cacheness.toml")).unwrap();
    fs::write(beside.store().join("cacheness.toml"), "#".repeat(1 << 20)).unwrap();
    beside.nothing_is_touched("a manifest of a megabyte");
}

#[test]
fn a_second_name_of_a_file_is_read_and_never_written() {
    // A hard link is the file itself: nobody can tell. It is read if it has the hash, and deleting takes the name away.
    let beside = Beside::new();
    let blob = beside.store().join(&blobs(&beside.store())[0]);
    fs::remove_file(&blob).unwrap();
    fs::hard_link(beside.dir.path().join("secret"), &blob).unwrap();
    let (cache, _) = cache_at(&beside.store(), unsigned());
    assert_eq!(cache.get::<Vec<u8>>(Named("k")).unwrap(), Some(noise(1)));
    cache.put(&noise(2), Named("k")).unwrap();
    assert!(!blob.exists());
    assert!(beside.found() == beside.before);
}

#[test]
fn a_database_with_a_program_in_it_is_refused() {
    for (sql, refused) in [
        // What computes when a row is read or written.
        ("CREATE TRIGGER t AFTER INSERT ON cache_entries BEGIN DELETE FROM cache_entries; END", false),
        (
            "ALTER TABLE cache_entries RENAME TO hidden; \
             CREATE VIEW cache_entries AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) \
             SELECT hidden.* FROM hidden, n",
            true,
        ),
        ("ALTER TABLE cache_entries ADD COLUMN bomb BLOB AS (zeroblob(900000000)) VIRTUAL", true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        store.put("k", &1_u8).unwrap();
        store.close().unwrap();
        rusqlite::Connection::open(dir.path().join("cache_metadata.db")).unwrap().execute_batch(sql).unwrap();
        match BlobStore::open(dir.path()) {
            Err(error) => {
                assert!(refused, "{sql}: {error:?}");
                assert_eq!(error.kind(), ErrorKind::NotAStore, "{sql}: {error:?}");
            }
            Ok(store) => {
                assert!(!refused, "{sql}");
                store.put("other", &2_u8).unwrap();
                assert_eq!(store.get::<u8>("k").unwrap(), Some(1), "no trigger has run");
                assert_eq!(store.get::<u8>("other").unwrap(), Some(2));
            }
        }
    }
}

fn names() -> impl Strategy<Value = String> {
    let hostile = prop_oneof![
        Just("..".to_owned()),
        Just("/".to_owned()),
        Just("../".repeat(40)),
        Just("\u{202e}txt.exe".to_owned()),
        Just("\u{ff0e}\u{ff0f}".to_owned()),
        Just("\0".to_owned()),
        Just("CON".to_owned()),
        Just("%00%2e%2e".to_owned()),
        Just("'; DROP TABLE cache_entries; --".to_owned()),
        Just("e\u{301}".to_owned()),
        Just("\u{e9}".to_owned()),
        Just("blobs/aa/aa-0123456789ab.msgpack".to_owned()),
        "\\PC{0,20}",
        "[\\x00-\\x20]{1,4}",
        "a{900,1100}",
    ];
    proptest::collection::vec(hostile, 1..4).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_name_is_a_name_and_never_a_path(names in proptest::collection::hash_set(names(), 1..4)) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/b/store");
        let config = StoreConfig { inline_threshold_bytes: 0, ..StoreConfig::default() };
        let store = BlobStore::open_with(&Place::Directory(root), config, OpenMode::CreateOrOpen).unwrap();
        let mut kept = Vec::new();
        for name in &names {
            match store.put(name, name) {
                Ok(()) => kept.push(name),
                Err(error) => {
                    prop_assert_eq!(error.kind(), ErrorKind::InvalidInput);
                    prop_assert!(name.is_empty() || name.len() > cacheness::MAX_NAME || name.contains('\0'));
                    prop_assert_eq!(store.get::<String>(name).unwrap_err().kind(), ErrorKind::InvalidInput);
                }
            }
        }
        for name in &kept {
            let found = store.get::<String>(name).unwrap();
            prop_assert_eq!(found.as_ref(), Some(*name), "names that look alike are different names");
            prop_assert_eq!(store.list(name, None).unwrap().contains(name), true);
            prop_assert!(store.verify_integrity(name).unwrap().unwrap().valid);
        }
        let outside = |path: &Path| fs::read_dir(path).unwrap().count();
        prop_assert_eq!((outside(dir.path()), outside(&dir.path().join("a")), outside(&dir.path().join("a/b"))), (1, 1, 1));
        for name in &kept {
            prop_assert!(store.delete(name).unwrap());
        }
        prop_assert_eq!(blobs(&dir.path().join("a/b/store")), Vec::<String>::new());
    }
}
