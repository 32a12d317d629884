//! Signing keys that are replaced while others read and write.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cacheness::ErrorKind;
use cacheness::core::sign::SignatureState;
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
        let rotations = [0, 1].map(|number| {
            let store = &stores[number];
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(300 * number as u64));
                store.engine().rotate_signing_key()
            })
        });
        let [first, second] = rotations.map(|rotation| rotation.join().unwrap());
        assert!(first.is_ok(), "{first:?}");
        assert_eq!(second.unwrap_err().kind(), ErrorKind::Busy);
        // One that comes later is not refused.
        stores[1].engine().rotate_signing_key().unwrap();
        over.store(true, Ordering::Relaxed);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(fs::read(dir.path().join("cache_signing_key.bin")).unwrap().len(), 32);
    let store = BlobStore::open(dir.path()).unwrap();
    assert!(written.len() > 100);
    assert!(written.iter().all(|key| is_valid(&store, key)));
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
    let begun = Instant::now();
    assert_eq!(store.engine().rotate_signing_key().unwrap(), 1);
    assert!(begun.elapsed() >= 2 * Duration::from_secs(1), "the others have their second each time");
    let last = fs::read(&file).unwrap();
    assert_eq!(last.len(), 32);
    assert!(most.chunks(32).all(|key| key != last), "a new key");
    assert!(is_valid(&BlobStore::open(dir.path()).unwrap(), "a"));
}
