//! What happens to a directory behind the back of a running store: removed, moved, replaced, made read-only, filled up,
//! on a network file system, with a clock that goes back.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use cacheness::config::StoreConfig;
use cacheness::prelude::*;
use cacheness::{CacheConfig, ErrorKind, EvictionPolicy, OpenMode, Place};
use cacheness_testkit::syscalls::{Answer, Kind, supervise};

use super::{blobs, files, noise_of};

const BACKENDS: [&str; 2] = ["sqlite", "json"];

fn open_with(dir: &Path, backend: &str) -> cacheness::Result<BlobStore> {
    let config = StoreConfig {
        inline_threshold_bytes: 1024,
        metadata_backend: Some(backend.to_owned()),
        ..StoreConfig::default()
    };
    BlobStore::open_with(&Place::Directory(dir.to_owned()), config, OpenMode::default())
}

fn open(dir: &Path, backend: &str) -> BlobStore {
    open_with(dir, backend).unwrap()
}

fn small(number: u64) -> Vec<u8> {
    noise_of(number, 300)
}

fn large(number: u64) -> Vec<u8> {
    noise_of(number, 20_000)
}

/// A store with a small value under `small` and a large one under `large`.
fn filled(dir: &Path, backend: &str) -> BlobStore {
    let store = open(dir, backend);
    store.put("small", &small(1)).unwrap();
    store.put("large", &large(1)).unwrap();
    store
}

/// Every way to write is refused with an error that says why; nothing is acknowledged that nobody will find again.
fn check_nothing_is_written(store: &BlobStore, what: &str) {
    let metadata = serde_json::json!({ "x": 1 });
    let results = [
        ("put", store.put("small", &small(2))),
        ("put of a blob", store.put("large", &large(2))),
        ("put of a new key", store.put("new", &small(2))),
        ("delete", store.delete("small").map(drop)),
        ("clear", store.clear().map(drop)),
        ("update", store.update_metadata("small", metadata.as_object().unwrap()).map(drop)),
    ];
    for (name, result) in results {
        let error = result.expect_err(&format!("{what}: {name} is acknowledged"));
        let known = [ErrorKind::Metadata, ErrorKind::Storage, ErrorKind::ReadOnly];
        assert!(known.contains(&error.kind()), "{what}: {name}: {error:?}");
    }
}

#[test]
fn a_directory_that_is_removed() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let store = filled(&path, backend);
        std::fs::remove_dir_all(&path).unwrap();
        check_nothing_is_written(&store, backend);
        // What was read through files that are still open may be served; nothing else is.
        match store.get::<Vec<u8>>("small") {
            Ok(found) => assert!(found.is_none_or(|bytes| bytes == small(1)), "{backend}"),
            Err(error) => assert!(matches!(error.kind(), ErrorKind::Metadata | ErrorKind::Storage), "{error:?}"),
        }
        assert!(!path.exists(), "{backend}: nothing is made again behind the user's back");
        let _ = store.close();
        let store = open(&path, backend);
        assert_eq!(store.get::<Vec<u8>>("small").unwrap(), None, "{backend}: a new store");
        store.put("small", &small(3)).unwrap();
    }
}

#[test]
fn a_directory_that_is_replaced_by_another_store() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let store = filled(&path, backend);
        std::fs::rename(&path, dir.path().join("away")).unwrap();
        let other = open(&path, backend);
        other.put("small", &small(7)).unwrap();
        if backend == "sqlite" {
            check_nothing_is_written(&store, backend);
        } else {
            // Its one file is found by name each time: the store goes on with what is there now, blobs excepted.
            assert_eq!(store.get::<Vec<u8>>("small").unwrap(), Some(small(7)));
        }
        drop(store);
        assert_eq!(other.get::<Vec<u8>>("small").unwrap(), Some(small(7)), "{backend}: nobody has written into it");
        assert_eq!(other.list("", None).unwrap().len(), 1, "{backend}");
        other.close().unwrap();
        let moved = open(&dir.path().join("away"), backend);
        assert_eq!(moved.get::<Vec<u8>>("small").unwrap(), Some(small(1)), "{backend}");
        assert_eq!(moved.get::<Vec<u8>>("large").unwrap(), Some(large(1)), "{backend}");
        assert_eq!(blobs(&dir.path().join("away")).len(), 1, "{backend}");
    }
}

#[test]
fn metadata_that_is_removed() {
    for (backend, file) in [("sqlite", "cache_metadata.db"), ("json", "cache_metadata.json")] {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(dir.path(), backend);
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(dir.path().join(format!("{file}{suffix}")));
        }
        check_nothing_is_written(&store, backend);
        assert!(!dir.path().join(file).exists(), "{backend}");
        assert_eq!(blobs(dir.path()).len(), 1, "{backend}: a put that failed leaves nothing");
    }
}

#[test]
fn a_database_that_another_process_has_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path(), "sqlite");
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(dir.path().join(format!("cache_metadata.db{suffix}"))).unwrap();
    }
    // Payloads without a database are no new store.
    assert!(BlobStore::open(dir.path()).is_err());
    std::fs::remove_dir_all(dir.path().join("blobs")).unwrap();
    let other = open(dir.path(), "sqlite");
    other.put("small", &small(7)).unwrap();
    // Threads, so that connections to the new file are opened beside those to the old one.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                check_nothing_is_written(&store, "begun anew");
                for _ in 0..20 {
                    let found = store.get::<Vec<u8>>("small");
                    assert!(found.is_err() || found.is_ok_and(|bytes| bytes == Some(small(1))), "a mixture of both");
                }
            });
        }
    });
    let _ = store.close();
    assert_eq!(other.get::<Vec<u8>>("small").unwrap(), Some(small(7)));
    other.close().unwrap();
    assert_eq!(open(dir.path(), "sqlite").get::<Vec<u8>>("small").unwrap(), Some(small(7)));
}

/// A file system that has become read-only under the store, as Linux does it after an error of the disk.
#[test]
fn a_file_system_that_becomes_read_only() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(dir.path(), backend);
        supervise(
            dir.path(),
            |call| match call.kind {
                Kind::Write | Kind::Rename | Kind::Unlink | Kind::Mkdir | Kind::Mode => Answer::Fail(libc::EROFS),
                Kind::Length if call.name != "fallocate" => Answer::Fail(libc::EROFS),
                Kind::Open if call.open_flags() & (libc::O_ACCMODE | libc::O_CREAT) != 0 => Answer::Fail(libc::EROFS),
                _ => Answer::Go,
            },
            || {
                check_nothing_is_written(&store, backend);
                let error = store.put("small", &small(2)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ReadOnly, "{backend}: {error:?}");
                assert!(error.hint().is_some_and(|hint| hint.contains("read-only")), "{backend}: {error:?}");
                assert_eq!(store.get::<Vec<u8>>("small").unwrap(), Some(small(1)));
                assert_eq!(store.get::<Vec<u8>>("large").unwrap(), Some(large(1)));
            },
        );
        store.put("small", &small(2)).unwrap();
        store.close().unwrap();
        let store = open(dir.path(), backend);
        assert_eq!(store.get::<Vec<u8>>("small").unwrap(), Some(small(2)), "{backend}");
        assert_eq!(store.get::<Vec<u8>>("large").unwrap(), Some(large(1)), "{backend}");
        assert_eq!(blobs(dir.path()).len(), 1, "{backend}");
    }
}

/// Whoever runs the tests as the superuser is not bound by permissions: the kernel's answer to others is given instead.
#[test]
fn a_directory_that_loses_its_permissions() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(dir.path(), backend);
        supervise(
            dir.path(),
            |call| match call.kind {
                Kind::Rename | Kind::Unlink | Kind::Mkdir => Answer::Fail(libc::EACCES),
                Kind::Open if call.open_flags() & (libc::O_ACCMODE | libc::O_CREAT) != 0 => Answer::Fail(libc::EACCES),
                _ => Answer::Go,
            },
            || {
                let error = store.put("large", &large(2)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ReadOnly, "{backend}: {error:?}");
                assert!(error.hint().is_some_and(|hint| hint.contains("permissions")), "{backend}: {error:?}");
                assert_eq!(store.get::<Vec<u8>>("large").unwrap(), Some(large(1)), "{backend}");
            },
        );
        store.put("large", &large(3)).unwrap();
        assert_eq!(store.get::<Vec<u8>>("large").unwrap(), Some(large(3)), "{backend}");
    }
}

/// A disk with room for so many bytes more: writes beyond fail, the last one after a part of it.
#[test]
fn a_disk_that_fills_up() {
    for backend in BACKENDS {
        for room in [0, 5_000, 50_000, 150_000] {
            let dir = tempfile::tempdir().unwrap();
            let store = filled(dir.path(), backend);
            let left = AtomicU64::new(room);
            let mut stored = std::collections::BTreeMap::new();
            let mut uncertain = 0;
            supervise(
                dir.path(),
                |call| match (call.kind, call.written()) {
                    (Kind::Write, Some((bytes, _))) => {
                        let size = bytes.len() as u64;
                        let had = left.load(Ordering::Relaxed);
                        left.store(had.saturating_sub(size), Ordering::Relaxed);
                        match had {
                            _ if size <= had => Answer::Go,
                            0 => Answer::Fail(libc::ENOSPC),
                            _ if size > 1 && had > 1 => Answer::Done(call.perform_half()),
                            _ => Answer::Fail(libc::ENOSPC),
                        }
                    }
                    _ => Answer::Go,
                },
                || {
                    let mut failed = 0;
                    for number in 0..40 {
                        let bytes = if number % 2 == 0 { small(number) } else { large(number) };
                        match store.put(&format!("{number}"), &bytes) {
                            Ok(()) => drop(stored.insert(number, bytes)),
                            Err(error) => {
                                failed += 1;
                                uncertain += usize::from(number % 2 == 1 && error.is_uncertain());
                                assert_eq!(error.kind(), ErrorKind::Storage, "{backend}, {room}: {error:?}");
                                assert!(error.hint().is_some_and(|hint| hint.contains("space")), "{error:?}");
                            }
                        }
                    }
                    assert!(failed > 0, "{backend}, {room}: it never was full");
                    // Reading needs no room.
                    for (number, bytes) in &stored {
                        assert_eq!(store.get::<Vec<u8>>(&format!("{number}")).unwrap().as_ref(), Some(bytes));
                    }
                    assert_eq!(store.get::<Vec<u8>>("large").unwrap(), Some(large(1)));
                },
            );
            // There is room again.
            store.put("small", &small(2)).unwrap();
            store.close().unwrap();
            let store = open(dir.path(), backend);
            for (number, bytes) in &stored {
                assert_eq!(store.get::<Vec<u8>>(&format!("{number}")).unwrap().as_ref(), Some(bytes));
            }
            assert_eq!(store.list("", None).unwrap().len(), stored.len() + 2, "{backend}, {room}");
            let named = 1 + stored.keys().filter(|number| *number % 2 == 1).count();
            // A commit of which a part is in the log, and no room to write over it: its blob may still be asked for.
            let left = blobs(dir.path()).len();
            assert!((named..=named + uncertain).contains(&left), "{backend}, {room}: what failed leaves nothing");
            assert!(files(dir.path()).iter().all(|name| !name.contains("tmp")), "{backend}, {room}");
        }
    }
}

#[test]
fn a_network_file_system() {
    // NFS, as statfs(2) names it.
    const NFS: libc::c_long = 0x6969;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let log = path.join("cache_metadata.db-wal");
    supervise(
        dir.path(),
        |call| if call.name.contains("statfs") { Answer::Done(call.perform_statfs_as(NFS)) } else { Answer::Go },
        || {
            let store = filled(&path, "sqlite");
            assert!(!log.exists(), "a log needs memory that machines do not share");
            assert!(!path.join("cache_metadata.db-shm").exists());
            // A second one at the same time, as on another machine.
            let other = open(&path, "sqlite");
            other.put("other", &small(5)).unwrap();
            assert_eq!(store.get::<Vec<u8>>("other").unwrap(), Some(small(5)), "nothing is served from memory");
            store.put("other", &large(6)).unwrap();
            assert_eq!(other.get::<Vec<u8>>("other").unwrap(), Some(large(6)));
            other.close().unwrap();
            store.close().unwrap();
        },
    );
    // The same directory on a local disk.
    let store = open(&path, "sqlite");
    assert_eq!(store.get::<Vec<u8>>("other").unwrap(), Some(large(6)));
    assert!(log.exists());
}

#[test]
fn a_clock_that_is_set_back_a_day() {
    const DAY: i64 = 24 * 3600 * 1_000_000;
    for policy in [EvictionPolicy::Lru, EvictionPolicy::Lfu, EvictionPolicy::Fifo] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = CacheConfig { default_ttl_seconds: Some(3600.0), ..CacheConfig::default() };
        config.limits.max_entries = Some(10);
        config.limits.eviction_policy = policy;
        let (cache, clock) = super::cache_at(dir.path(), config);
        for i in 0..5 {
            cache.put(&i, params! { i: i }).unwrap();
            assert_eq!(cache.get::<i32>(params! { i: i }).unwrap(), Some(i));
        }
        clock.advance(-DAY);
        for i in 0..5 {
            assert_eq!(
                cache.get::<i32>(params! { i: i }).unwrap(),
                Some(i),
                "{policy:?}: what was put later is served"
            );
            assert!(cache.touch(params! { i: i }, None).unwrap());
        }
        for i in 5..40 {
            cache.put(&i, params! { i: i }).unwrap();
            assert_eq!(cache.get::<i32>(params! { i: i }).unwrap(), Some(i), "{policy:?}: what was just put stays");
            assert!(cache.stats().unwrap().totals.entries <= 10, "{policy:?}");
        }
        assert_eq!(cache.get_or_insert_with(params! { computed: 1 }, || 7).unwrap(), 7);
        // Replaced and removed under the earlier time; nothing older comes back.
        cache.put(&100, params! { i: 39 }).unwrap();
        assert_eq!(cache.get::<i32>(params! { i: 39 }).unwrap(), Some(100), "{policy:?}");
        assert!(cache.invalidate(params! { i: 39 }).unwrap());
        assert_eq!(cache.get::<i32>(params! { i: 39 }).unwrap(), None, "{policy:?}");
        cache.close().unwrap();
        // An hour by the clock that was set back: now they have expired.
        clock.advance(3_601_000_000);
        let cache = Cache::builder().directory(dir.path()).clock(clock.clone()).open().unwrap();
        assert!(cache.list_entries().unwrap().iter().all(|entry| entry.expires_at().is_some()));
        assert_eq!(cache.get_or_insert_with(params! { computed: 1 }, || 8).unwrap(), 8, "{policy:?}");
    }
}

/// A newer release has changed the directory while this one has it open.
#[test]
fn a_newer_release_beside_a_running_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path(), "sqlite");
    let connection = rusqlite::Connection::open(dir.path().join("cache_metadata.db")).unwrap();
    connection
        .execute_batch(
            "BEGIN IMMEDIATE; PRAGMA user_version = 4; \
             UPDATE cache_info SET value = '9.9.9' WHERE name = 'written_by'; COMMIT",
        )
        .unwrap();
    let metadata = serde_json::json!({ "x": 1 });
    for (name, result) in [
        ("put", store.put("small", &small(2))),
        ("put of a blob", store.put("large", &large(2))),
        ("delete", store.delete("small").map(drop)),
        ("clear", store.clear().map(drop)),
        ("update", store.update_metadata("small", metadata.as_object().unwrap()).map(drop)),
    ] {
        let error = result.expect_err(name);
        assert_eq!(error.kind(), ErrorKind::NewerFormat, "{name}: {error:?}");
        assert!(error.to_string().contains("9.9.9") && error.hint().is_some(), "{name}: {error:?}");
    }
    assert_eq!(store.get::<Vec<u8>>("small").unwrap(), Some(small(1)), "what it understands it still reads");
    let _ = store.close();
    assert_eq!(open_with(dir.path(), "sqlite").unwrap_err().kind(), ErrorKind::NewerFormat);
    connection.execute_batch("PRAGMA user_version = 3").unwrap();
    drop(connection);
    let store = open(dir.path(), "sqlite");
    assert_eq!(store.get::<Vec<u8>>("small").unwrap(), Some(small(1)));
    assert_eq!(store.get::<Vec<u8>>("large").unwrap(), Some(large(1)));
    assert_eq!(blobs(dir.path()).len(), 1);

    // In JSON the format is in the one file, which is looked at each time.
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path(), "json");
    let path = dir.path().join("cache_metadata.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let newer = text.replacen("\"format\":1", "\"format\":2", 1).replacen("\"format\": 1", "\"format\": 2", 1);
    assert_ne!(newer, text);
    std::fs::write(dir.path().join("newer"), &newer).unwrap();
    std::fs::rename(dir.path().join("newer"), &path).unwrap();
    assert_eq!(store.put("small", &small(2)).unwrap_err().kind(), ErrorKind::NewerFormat);
    assert_eq!(store.get::<Vec<u8>>("small").unwrap_err().kind(), ErrorKind::NewerFormat);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), newer, "it is left as it is");
}

#[test]
fn a_get_writes_nothing() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), backend).close().unwrap();
        let store = open(dir.path(), backend);
        let (mut calls, mut writes) = (0, Vec::new());
        supervise(
            dir.path(),
            |call| {
                calls += 1;
                if !matches!(call.kind, Kind::Open | Kind::Read | Kind::Look | Kind::Lock | Kind::Map | Kind::List) {
                    writes.push(format!("{} {}", call.name, call.path.display()));
                }
                Answer::Go
            },
            || {
                assert_eq!(store.get::<Vec<u8>>("small").unwrap(), Some(small(1)));
                assert_eq!(store.get::<Vec<u8>>("large").unwrap(), Some(large(1)));
                assert_eq!(store.get::<Vec<u8>>("missing").unwrap(), None);
            },
        );
        assert!(calls > 0, "{backend}: they do read");
        assert!(writes.is_empty(), "{backend}: {writes:?}");
    }
}
