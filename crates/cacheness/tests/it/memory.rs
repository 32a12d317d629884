//! Entries kept in memory are always true.

use std::sync::atomic::{AtomicU64, Ordering};

use cacheness::prelude::*;
use cacheness::{CacheConfig, ErrorKind};

/// A cache with the system's clock.
fn open(directory: &std::path::Path) -> Cache {
    Cache::open(directory).unwrap()
}

/// Enough gets for a store to begin keeping entries.
fn warm(cache: &Cache) {
    for _ in 0..10 {
        cache.get::<u64>(params! { name: "nothing" }).unwrap();
    }
}

#[test]
fn changes_through_another_cache_are_seen_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (open(dir.path()), open(dir.path()));
    warm(&here);
    warm(&there);
    for round in 0..200_u64 {
        let key = format!("key {}", round % 3);
        let key = || Named(&key);
        there.put(&round, key()).unwrap();
        for _ in 0..3 {
            assert_eq!(here.get::<u64>(key()).unwrap(), Some(round));
        }
        match round % 5 {
            0 => assert!(here.invalidate(key()).unwrap()),
            1 => {
                there.clear().unwrap();
            }
            _ => continue,
        }
        assert_eq!(here.get::<u64>(key()).unwrap(), None);
        assert_eq!(there.get::<u64>(key()).unwrap(), None);
    }
}

#[test]
fn a_get_never_returns_what_was_replaced_before_it_began() {
    const KEYS: usize = 3;
    let dir = tempfile::tempdir().unwrap();
    let caches = [open(dir.path()), open(dir.path())];
    caches.iter().for_each(warm);
    // The number last written under each key, by a put that has returned. Each key has one writer.
    let written: [AtomicU64; KEYS] = Default::default();
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for key in 0..KEYS {
            let (caches, written, done) = (&caches, &written, &done);
            scope.spawn(move || {
                for number in 1..=300 {
                    caches[usize::from(number % 2 == 1)].put(&number, params! { key: key }).unwrap();
                    written[key].store(number, Ordering::SeqCst);
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        for reader in 0..3 {
            let (caches, written, done) = (&caches, &written, &done);
            scope.spawn(move || {
                let mut round = reader;
                while done.load(Ordering::SeqCst) < KEYS as u64 {
                    round += 1;
                    let key = round % KEYS;
                    let least = written[key].load(Ordering::SeqCst);
                    let found = caches[round % 2].get::<u64>(params! { key: key }).unwrap().unwrap_or(0);
                    assert!(found >= least, "key {key}: {found} after {least} had been written");
                }
            });
        }
    });
    for key in 0..KEYS {
        for cache in &caches {
            assert_eq!(cache.get::<u64>(params! { key: key }).unwrap(), Some(300));
        }
    }
}

#[test]
fn an_entry_that_was_changed_behind_the_store_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    warm(&cache);
    cache.put(&1_u64, params! { key: "k" }).unwrap();
    assert_eq!(cache.get::<u64>(params! { key: "k" }).unwrap(), Some(1));
    // Another process, because a second SQLite in this one would drop its locks.
    let script = "import sqlite3, sys\n\
                  c = sqlite3.connect(sys.argv[1])\n\
                  c.execute('UPDATE cache_entries SET created_at = created_at + 1')\n\
                  c.commit()";
    let python = std::env::var("CACHENESS_PYTHON").expect("CACHENESS_PYTHON names an interpreter");
    let database = dir.path().join("cache_metadata.db");
    let status = std::process::Command::new(python).args(["-c", script]).arg(database).status().unwrap();
    assert!(status.success());
    assert_eq!(cache.get::<u64>(params! { key: "k" }).unwrap(), None, "its signature is wrong");
}

#[test]
fn what_is_kept_is_bounded_and_can_be_switched_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = CacheConfig::default();
    config.store.memory.memory_cache_maxsize = 4;
    let cache = Cache::builder().directory(dir.path()).config(config.clone()).open().unwrap();
    warm(&cache);
    for key in 0..500_u64 {
        cache.put(&vec![key; 100], params! { key: key }).unwrap();
    }
    for key in 0..500_u64 {
        assert_eq!(cache.get::<Vec<u64>>(params! { key: key }).unwrap(), Some(vec![key; 100]));
    }
    drop(cache);
    config.store.memory.enable_memory_cache = false;
    let cache = Cache::builder().directory(dir.path()).config(config.clone()).open().unwrap();
    for _ in 0..20 {
        assert_eq!(cache.get::<Vec<u64>>(params! { key: 7_u64 }).unwrap(), Some(vec![7; 100]));
    }
    config.store.memory.memory_cache_max_mb = f64::NAN;
    let error = Cache::builder().directory(dir.path()).config(config).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("memory_cache_max_mb"), "{error}");
}

#[test]
fn a_closed_cache_serves_nothing_from_memory() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    warm(&cache);
    cache.put(&1_u64, params! { key: "k" }).unwrap();
    assert_eq!(cache.get::<u64>(params! { key: "k" }).unwrap(), Some(1));
    cache.close().unwrap();
    assert_eq!(cache.get::<u64>(params! { key: "k" }).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(cache.exists(params! { key: "k" }).unwrap_err().kind(), ErrorKind::Closed);
}
