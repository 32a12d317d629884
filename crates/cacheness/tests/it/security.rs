//! Signatures: what they notice, and what the options make of it.

use std::fs;

use cacheness::core::sign::{SignatureState, SignedFields};
use cacheness::prelude::*;
use cacheness::{CacheConfig, ErrorKind, StoreConfig};

use crate::cache_at;

fn config(change: impl FnOnce(&mut cacheness::config::SecurityConfig)) -> CacheConfig {
    let mut config = CacheConfig::default();
    change(&mut config.store.security);
    config
}

/// Changes the database behind the cache's back.
fn tamper(dir: &std::path::Path, sql: &str) {
    let db = rusqlite::Connection::open(dir.join("cache_metadata.db")).unwrap();
    assert!(db.execute(sql, []).unwrap() > 0, "{sql} changed nothing");
}

#[test]
fn every_signed_field_is_bound() {
    for change in [
        "expires_at = 9999999999999999",
        "created_at = created_at + 1",
        "metadata = '{\"accuracy\":1.0}'",
        "description = 'forged'",
        "storage_format = 'npy'",
        "compression = 'zstd'",
        "handler = 'object_pickle'",
        "data_type = 'object'",
        "object_type = 'builtins.int'",
        "handler_meta = x'00'",
        "raw_size = 5",
        "payload = x'02', file_size = 1",
        "file_hash = file_hash + 1",
        "digest = zeroblob(32)",
        "params = x'01'",
        "signature = zeroblob(32)",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (cache, _) = cache_at(dir.path(), CacheConfig::default());
        let options = PutOptions::new().metadata(serde_json::json!({ "accuracy": 0.5 })).description("honest");
        cache.put_with(&1_u8, params! { x: 1 }, options).unwrap();
        cache.close().unwrap();
        tamper(dir.path(), &format!("UPDATE cache_entries SET {change}"));
        let (cache, _) = cache_at(dir.path(), CacheConfig::default());
        assert_eq!(cache.get::<u8>(params! { x: 1 }).unwrap(), None, "{change}");
        assert_eq!(cache.stats().unwrap().counts.failures, 1, "{change}");
        let key = cache.list_entries().unwrap()[0].key().to_owned();
        cache.close().unwrap();
        let error = match BlobStore::open(dir.path()).unwrap().get::<u8>(&key) {
            Err(error) => error,
            Ok(found) => panic!("{change}: {found:?}"),
        };
        assert!(matches!(error.kind(), ErrorKind::Signature | ErrorKind::Integrity), "{change}: {error:?}");
    }
}

#[test]
fn an_entry_moved_to_another_key_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, _) = cache_at(dir.path(), CacheConfig::default());
    cache.put(&1_u8, Named("mine")).unwrap();
    cache.close().unwrap();
    tamper(dir.path(), "UPDATE cache_entries SET cache_key = 'yours'");
    let store = BlobStore::open(dir.path()).unwrap();
    assert_eq!(store.get::<u8>("yours").unwrap_err().kind(), ErrorKind::Signature);
}

#[test]
fn a_collision_is_a_miss() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, _) = cache_at(dir.path(), config(|s| s.enable_entry_signing = false));
    cache.put(&1_u8, params! { x: 1 }).unwrap();
    cache.close().unwrap();
    // Another set of parameters that has the same 64-bit key has another fingerprint.
    tamper(dir.path(), "UPDATE cache_entries SET fingerprint = zeroblob(16)");
    let (cache, _) = cache_at(dir.path(), config(|s| s.enable_entry_signing = false));
    assert_eq!(cache.get::<u8>(params! { x: 1 }).unwrap(), None);
    assert!(!cache.exists(params! { x: 1 }).unwrap());
    assert!(!cache.invalidate(params! { x: 1 }).unwrap(), "somebody else's entry stays");
    cache.put(&2_u8, params! { x: 1 }).unwrap();
    assert_eq!(cache.get::<u8>(params! { x: 1 }).unwrap(), Some(2));
}

#[test]
fn unsigned_entries_are_served_only_where_that_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, _) = cache_at(dir.path(), config(|s| s.enable_entry_signing = false));
    cache.put(&1_u8, params! { x: 1 }).unwrap();
    assert!(!cache.list_entries().unwrap()[0].is_signed());
    cache.close().unwrap();
    let (cache, _) = cache_at(dir.path(), CacheConfig::default());
    assert_eq!(cache.get::<u8>(params! { x: 1 }).unwrap(), Some(1));
    cache.close().unwrap();
    let (cache, _) = cache_at(dir.path(), config(|s| s.allow_unsigned_entries = false));
    assert_eq!(cache.get::<u8>(params! { x: 1 }).unwrap(), None);
}

#[test]
fn another_key_makes_entries_invalid_and_deletes_them_only_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, _) = cache_at(dir.path(), CacheConfig::default());
    cache.put(&1_u8, params! { x: 1 }).unwrap();
    cache.close().unwrap();
    let key = dir.path().join("cache_signing_key.bin");
    let original = fs::read(&key).unwrap();
    fs::write(&key, [7; 32]).unwrap();
    let (cache, _) = cache_at(dir.path(), CacheConfig::default());
    assert_eq!(cache.get::<u8>(params! { x: 1 }).unwrap(), None);
    cache.close().unwrap();
    fs::write(&key, &original).unwrap();
    let (cache, _) = cache_at(dir.path(), CacheConfig::default());
    assert_eq!(cache.get::<u8>(params! { x: 1 }).unwrap(), Some(1), "nothing was lost");
    cache.close().unwrap();
    fs::write(&key, [7; 32]).unwrap();
    let (cache, _) = cache_at(dir.path(), config(|s| s.delete_invalid_signatures = true));
    assert_eq!(cache.get::<u8>(params! { x: 1 }).unwrap(), None);
    assert_eq!(cache.stats().unwrap().totals.entries, 0);
    cache.close().unwrap();
    fs::write(&key, [7; 33]).unwrap();
    let error = Cache::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Signature);
    assert!(error.to_string().contains("33 bytes"), "{error}");
}

#[test]
fn a_rotated_key_signs_what_was_signed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, _) = cache_at(dir.path(), CacheConfig::default());
    cache.put(&1_u8, params! { x: 1 }).unwrap();
    cache.put(&vec![2_u8; 90_000], params! { x: 2 }).unwrap();
    cache.put(&3_u8, Named("forged")).unwrap();
    cache.close().unwrap();
    tamper(dir.path(), "UPDATE cache_entries SET description = 'x' WHERE cache_key = 'forged'");
    let key = dir.path().join("cache_signing_key.bin");
    let before = fs::read(&key).unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let other = Cache::open(dir.path()).unwrap();
    assert_eq!(cache.engine().store().rotate_signing_key().unwrap(), 2);
    let after = fs::read(&key).unwrap();
    assert_eq!((before.len(), after.len()), (32, 32));
    assert_ne!(before, after);
    for cache in [&cache, &other, &Cache::open(dir.path()).unwrap()] {
        assert_eq!(cache.get::<u8>(params! { x: 1 }).unwrap(), Some(1));
        assert_eq!(cache.get::<Vec<u8>>(params! { x: 2 }).unwrap(), Some(vec![2; 90_000]));
        assert_eq!(cache.get::<u8>(Named("forged")).unwrap(), None);
    }
    other.put(&4_u8, params! { x: 4 }).unwrap();
    assert_eq!(cache.get::<u8>(params! { x: 4 }).unwrap(), Some(4));
}

#[test]
fn a_key_in_memory_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, _) = cache_at(dir.path(), config(|s| s.use_in_memory_key = true));
    cache.put(&1_u8, params! { x: 1 }).unwrap();
    assert_eq!(cache.get::<u8>(params! { x: 1 }).unwrap(), Some(1));
    assert!(!dir.path().join("cache_signing_key.bin").exists());
}

#[test]
fn signed_fields_are_checked_with_a_suggestion() {
    let error = SignedFields::from_names(&["file_hsah"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.hint().unwrap().contains("did you mean \"file_hash\""), "{error:?}");
    let dir = tempfile::tempdir().unwrap();
    let some = || config(|s| s.custom_signed_fields = Some(vec!["cache_key".into(), "created_at".into()]));
    let (cache, _) = cache_at(dir.path(), some());
    cache.put_with(&1_u8, params! { x: 1 }, PutOptions::new().description("a")).unwrap();
    cache.close().unwrap();
    tamper(dir.path(), "UPDATE cache_entries SET description = 'b'");
    let (cache, _) = cache_at(dir.path(), some());
    assert_eq!(cache.get::<u8>(params! { x: 1 }).unwrap(), Some(1), "the description is not signed");
    cache.close().unwrap();
    let (cache, _) = cache_at(dir.path(), CacheConfig::default());
    assert_eq!(cache.get::<u8>(params! { x: 1 }).unwrap(), None, "another choice of fields is another signature");
}

#[test]
fn pickles_are_not_for_rust_and_are_refused_before_they_are_read() {
    use cacheness::core::entry::Format;
    use cacheness::core::payload::{Encoded, Payload};
    use cacheness::core::store::{EntryKey, PutAttributes};
    let pickle = || Encoded {
        format: Format {
            handler: "object_pickle".into(),
            data_type: "object".into(),
            storage_format: "pickle".into(),
            compression: "none".into(),
            object_type: "sklearn.linear_model.Ridge".into(),
            handler_meta: Vec::new(),
            raw_size: None,
        },
        extension: "pkl".into(),
        payload: Payload::Bytes(b"\x80\x05N.".as_slice().into()),
    };
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    let key = EntryKey::from_name("model").unwrap();
    store.engine().put(&key, pickle(), PutAttributes::default()).unwrap();
    let error = store.get::<u8>("model").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint().unwrap().contains("Python"), "{error:?}");
    store.close().unwrap();

    let mut strict = StoreConfig::default();
    strict.security.allow_pickle = false;
    let place = cacheness::Place::Directory(dir.path().into());
    let store = BlobStore::open_with(&place, strict, Default::default()).unwrap();
    assert_eq!(store.get::<u8>("model").unwrap_err().kind(), ErrorKind::PickleRefused);
    let refused = store.engine().put(&key, pickle(), PutAttributes::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PickleRefused);
    store.close().unwrap();

    tamper(dir.path(), "UPDATE cache_entries SET signature = NULL");
    let store = BlobStore::open(dir.path()).unwrap();
    let error = store.get::<u8>("model").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Signature, "an unsigned pickle is not decoded although unsigned entries are");
    let state = store.verify_integrity("model").unwrap().unwrap().signature;
    assert_eq!(state, SignatureState::Unsigned);
}
