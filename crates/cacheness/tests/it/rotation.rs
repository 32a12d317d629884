//! Signing keys that are replaced while others read and write.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cacheness::ErrorKind;
use cacheness::core::sign::{SignatureState, SignedFields, Signer};
use cacheness::prelude::*;

/// Longer than anybody goes on with keys that have been replaced.
const A_WHILE: Duration = Duration::from_millis(1200);

fn is_valid(store: &BlobStore, key: &str) -> bool {
    store.engine().verify_integrity(key).unwrap().unwrap().signature == SignatureState::Valid
}

#[test]
fn of_two_rotations_at_once_one_is_refused_and_nothing_becomes_invalid() {
    let dir = tempfile::tempdir().unwrap();
    let stores = [BlobStore::open(dir.path()).unwrap(), BlobStore::open(dir.path()).unwrap()];
    let over = AtomicBool::new(false);
    let written: Vec<String> = std::thread::scope(|scope| {
        let writers = [0, 1].map(|number| {
            let (store, over) = (&stores[number], &over);
            scope.spawn(move || {
                let mut keys = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    keys.push(format!("{number}-{}", keys.len()));
                    store.put(keys.last().unwrap(), &number).unwrap();
                    std::thread::sleep(Duration::from_millis(5));
                }
                keys
            })
        });
        // Another process that has begun to rotate, and has not ended.
        let signer = Signer::from_file(&dir.path().join("cache_signing_key.bin"), SignedFields::ALL).unwrap();
        let rotation = signer.rotate().unwrap();
        let refused = [0, 1].map(|number| stores[number].engine().rotate_signing_key());
        drop(rotation);
        let rotated = stores[0].engine().rotate_signing_key();
        std::thread::sleep(A_WHILE);
        // One that comes later is not refused.
        let later = stores[1].engine().rotate_signing_key();
        over.store(true, Ordering::Relaxed);
        assert!(rotated.is_ok() && later.is_ok(), "{rotated:?}, {later:?}");
        assert!(refused.into_iter().all(|refused| refused.unwrap_err().kind() == ErrorKind::Busy));
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(fs::read(dir.path().join("cache_signing_key.bin")).unwrap().len(), 32);
    let store = BlobStore::open(dir.path()).unwrap();
    assert!(written.len() > 100);
    assert!(written.iter().all(|key| is_valid(&store, key)));
}

/// Handles of one database: nothing waits for a rotation, no reader sees an error, and every entry is valid afterwards.
#[test]
fn threads_put_and_read_while_the_key_is_rotated() {
    let dir = tempfile::tempdir().unwrap();
    let stores = [0, 1, 2].map(|_| BlobStore::open(dir.path()).unwrap());
    stores[0].put("read", &7).unwrap();
    let (over, puts) = (AtomicBool::new(false), AtomicU64::new(0));
    let written: Vec<String> = std::thread::scope(|scope| {
        let (over, puts) = (&over, &puts);
        let threads = stores.each_ref().map(|store| {
            let number = puts.fetch_add(1, Ordering::Relaxed);
            scope.spawn(move || {
                let mut keys = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let key = format!("{number}-{}", keys.len());
                    store.put(&key, &number).unwrap();
                    assert_eq!(store.get::<u64>(&key).unwrap(), Some(number));
                    assert_eq!(store.get::<i32>("read").unwrap(), Some(7));
                    puts.fetch_add(1, Ordering::Relaxed);
                    keys.push(key);
                }
                keys
            })
        });
        let waits = |before: u64| {
            puts.load(Ordering::Relaxed) < before + 10 && !threads.iter().any(|thread| thread.is_finished())
        };
        for store in stores.iter().cycle().take(6) {
            let before = puts.load(Ordering::Relaxed);
            store.engine().rotate_signing_key().unwrap();
            while waits(before) {
                std::thread::yield_now();
            }
        }
        over.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let store = BlobStore::open(dir.path()).unwrap();
    assert!(written.len() >= 50);
    assert!(written.iter().all(|key| is_valid(&store, key)));
    assert_eq!(fs::read(dir.path().join("cache_signing_key.bin")).unwrap().len(), 32);
}

#[test]
fn a_put_that_waited_through_a_rotation_is_signed_again() {
    for touched in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (writer, rotator) = (BlobStore::open(dir.path()).unwrap(), BlobStore::open(dir.path()).unwrap());
        writer.put("before", &1).unwrap();
        let other = rusqlite::Connection::open(dir.path().join("cache_metadata.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| match touched {
                true => {
                    let field = serde_json::json!({ "a": 1 }).as_object().unwrap().clone();
                    writer.update_metadata("before", &field).map(drop)
                }
                false => writer.put("before", &2),
            });
            std::thread::sleep(Duration::from_millis(200));
            let rotating = scope.spawn(|| rotator.engine().rotate_signing_key());
            std::thread::sleep(2 * A_WHILE);
            other.execute_batch("COMMIT").unwrap();
            waiting.join().unwrap().unwrap();
            rotating.join().unwrap().unwrap();
        });
        assert_eq!(fs::read(dir.path().join("cache_signing_key.bin")).unwrap().len(), 32);
        let fresh = BlobStore::open(dir.path()).unwrap();
        assert!(is_valid(&fresh, "before"), "touched: {touched}");
        assert_eq!(fresh.get::<i32>("before").unwrap(), Some(if touched { 1 } else { 2 }));
    }
}

#[test]
fn who_only_reads_refuses_a_key_that_has_been_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store_dir = dir.path().join("store");
    let store = BlobStore::open(&store_dir).unwrap();
    store.put("k", &"old".to_owned()).unwrap();
    let reader = BlobStore::open(&store_dir).unwrap();
    assert_eq!(reader.get::<String>("k").unwrap().as_deref(), Some("old"));
    let database = store_dir.join("cache_metadata.db");
    let old: (Vec<u8>, i64) = {
        let database = rusqlite::Connection::open(&database).unwrap();
        let sql = "SELECT signature, created_at FROM cache_entries";
        database.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    store.engine().rotate_signing_key().unwrap();
    std::thread::sleep(A_WHILE);
    // The row as it was in a backup, by somebody who has got hold of the former key, too.
    let tampered = rusqlite::Connection::open(&database).unwrap();
    tampered
        .execute("UPDATE cache_entries SET signature = ?1, created_at = ?2", rusqlite::params![old.0, old.1])
        .unwrap();
    assert_eq!(reader.get::<String>("k").unwrap_err().kind(), ErrorKind::Signature);
}

#[test]
fn rotations_that_did_not_end_leave_a_store_that_can_be_rotated() {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    store.put("a", &1).unwrap();
    store.put("b", &2).unwrap();
    let file = dir.path().join("cache_signing_key.bin");
    let first = fs::read(&file).unwrap();
    let other = rusqlite::Connection::open(dir.path().join("cache_metadata.db")).unwrap();
    other.execute("UPDATE cache_entries SET access_count = -1 WHERE cache_key = 'b'", []).unwrap();
    // An entry that cannot be read ends it: both keys are accepted from then on.
    let error = store.engine().rotate_signing_key().unwrap_err();
    assert!(error.to_string().contains("entry b"), "{error}");
    let both = fs::read(&file).unwrap();
    assert_eq!((both.len(), &both[32..]), (64, &first[..]));
    assert_eq!(store.get::<i32>("a").unwrap(), Some(1));
    // As many keys as there may be: all but a new one are dropped when the cause is gone.
    let mut most = both;
    most.splice(32..32, (0..62 * 32).map(|n| (n % 251) as u8));
    fs::write(&file, &most).unwrap();
    assert_eq!(store.engine().rotate_signing_key().unwrap_err().kind(), error.kind());
    assert_eq!(fs::read(&file).unwrap().len(), 64 * 32, "not more than can be read");
    assert_eq!(BlobStore::open(dir.path()).unwrap().get::<i32>("a").unwrap(), Some(1));
    assert!(store.delete("b").unwrap());
    assert_eq!(store.engine().rotate_signing_key().unwrap(), 1);
    let last = fs::read(&file).unwrap();
    assert_eq!(last.len(), 32);
    assert!(most.chunks(32).all(|key| key != last), "a new key");
    assert!(is_valid(&BlobStore::open(dir.path()).unwrap(), "a"));
}
