//! Whoever can write the directory changes entries and payloads. Every change of what is signed is noticed, and noticed
//! before anything is decoded: [`Traced`] counts how often bytes have been handed to a decoder.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use cacheness::core::entry::{Entry, Format};
use cacheness::core::payload::{Encoded, Payload, Stored};
use cacheness::core::sign::SignatureState;
use cacheness::core::store::{EntryKey, PutAttributes};
use cacheness::prelude::*;
use cacheness::{CacheConfig, ErrorKind, OpenMode, Place, StoreConfig, config};
use ndarray::Array2;
use rusqlite::types::Value as Sql;
use serde_json::json;

use crate::{blobs, cache_at, noise};

/// A value whose decoder leaves a trace.
#[derive(Debug, PartialEq)]
struct Traced<T>(T);

static DECODED: AtomicUsize = AtomicUsize::new(0);

impl<T: Storable> Storable for Traced<T> {
    fn encode(&self, config: &config::CompressionConfig) -> cacheness::Result<Encoded<'_>> {
        self.0.encode(config)
    }
}

impl<T: Loadable> Loadable for Traced<T> {
    fn decode(stored: Stored) -> cacheness::Result<Self> {
        let format = stored.format().clone();
        // Whatever is handed out has been verified: from here on a decoder would see it.
        let bytes = stored.into_bytes()?;
        DECODED.fetch_add(1, Ordering::Relaxed);
        T::decode(Stored::from_bytes(format, bytes.to_vec())).map(Self)
    }
}

/// The cells of `cache_entries` that a signature covers.
const SIGNED: &[&str] = &[
    "cache_key",
    "fingerprint",
    "created_at",
    "expires_at",
    "handler",
    "data_type",
    "storage_format",
    "compression",
    "object_type",
    "handler_meta",
    "raw_size",
    "file_size",
    "file_hash",
    "digest",
    "signature",
    "description",
    "metadata",
    "params",
    "payload",
];

/// The value with another bit flipped in each of its bytes; an empty one gets a byte.
fn flipped(value: &Sql) -> Vec<Sql> {
    let flips = |bytes: &[u8]| -> Vec<Vec<u8>> {
        let flip = |at: usize| {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1 << (at % 8);
            changed
        };
        let mut all: Vec<_> = (0..bytes.len()).map(flip).collect();
        all.push([bytes, &[0]].concat());
        all
    };
    match value {
        Sql::Null => vec![Sql::Blob(Vec::new()), Sql::Text(String::new()), Sql::Integer(0)],
        Sql::Integer(value) => (0..64).map(|bit| Sql::Integer(value ^ 1 << bit)).collect(),
        Sql::Text(text) => flips(text.as_bytes())
            .into_iter()
            .filter_map(|bytes| String::from_utf8(bytes).ok())
            .map(Sql::Text)
            .chain([Sql::Text(String::new())])
            .collect(),
        Sql::Blob(bytes) => flips(bytes).into_iter().map(Sql::Blob).collect(),
        Sql::Real(_) => panic!("entries have no such numbers"),
    }
}

fn database(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join("cache_metadata.db")).unwrap()
}

/// Puts `value` and changes every byte of every signed cell, one after the other, while the cache is open.
fn every_change_is_noticed<T: Storable + Loadable>(value: T, change: impl Fn(&mut CacheConfig)) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let mut config = CacheConfig::default();
    change(&mut config);
    let (cache, _) = cache_at(dir.path(), config.clone());
    let options = PutOptions::new().metadata(json!({ "accuracy": 0.5 })).description("honest");
    let key = cache.put_with(&Traced(value), params! { x: 1 }, options).unwrap();
    let store = BlobStore::open_with(&Place::Directory(dir.path().into()), config.store, OpenMode::Existing).unwrap();
    let before = DECODED.load(Ordering::Relaxed);
    cache.get::<Traced<T>>(params! { x: 1 }).unwrap().unwrap();
    assert!(DECODED.load(Ordering::Relaxed) > before, "the trace works");

    let database = database(dir.path());
    let mut count = 0;
    for column in SIGNED {
        let read = format!("SELECT {column} FROM cache_entries");
        let honest: Sql = database.query_row(&read, (), |row| row.get(0)).unwrap();
        for forged in flipped(&honest) {
            let decoded = DECODED.load(Ordering::Relaxed);
            let write = format!("UPDATE cache_entries SET {column} = ?1");
            // No bytes are the same as none, to whoever reads them.
            if matches!((&honest, &forged, *column), (Sql::Null, Sql::Blob(_), "handler_meta")) {
                continue;
            }
            // The table refuses types that the column does not have, as long as nobody changes the table.
            if database.execute(&write, [&forged]).is_err() {
                continue;
            }
            count += 1;
            let found = cache.get::<Traced<T>>(params! { x: 1 });
            assert!(matches!(found, Ok(None)), "{column} = {forged:?} is a miss");
            let name = match (&forged, *column) {
                (Sql::Text(moved), "cache_key") => moved.clone(),
                _ => key.clone(),
            };
            match store.get::<Traced<T>>(&name) {
                Err(error) => assert!(
                    matches!(error.kind(), ErrorKind::Signature | ErrorKind::Integrity)
                        || name.is_empty() && error.kind() == ErrorKind::InvalidInput
                        || name.contains('\0') && error.kind() == ErrorKind::InvalidInput,
                    "{column} = {forged:?}: {error:?}"
                ),
                Ok(found) => panic!("{column} = {forged:?} is served: {}", found.is_some()),
            }
            assert_eq!(DECODED.load(Ordering::Relaxed), decoded, "{column} = {forged:?} has been decoded");
            database.execute(&write, [&honest]).unwrap();
        }
    }
    cache.get::<Traced<T>>(params! { x: 1 }).unwrap().expect("what is put right is served again");
    count
}

/// Held while the trace is counted: tests of one process share it.
static TRACE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn traced() -> std::sync::MutexGuard<'static, ()> {
    TRACE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn every_byte_of_an_entry_is_bound() {
    let _trace = traced();
    let count = every_change_is_noticed(vec![7_u8; 40], |config| config.default_ttl_seconds = Some(3600.0));
    assert!(count > 450, "{count} changes");
    every_change_is_noticed("text".repeat(300), |config| config.store.memory.enable_memory_cache = false);
}

#[test]
fn every_byte_of_arrays_and_tables_is_bound() {
    let _trace = traced();
    let numbers: ArrayRef = std::sync::Arc::new(Float64Array::from(vec![1.5, 2.5]));
    let names: ArrayRef = std::sync::Arc::new(StringArray::from(vec!["a", "b"]));
    let batch = || RecordBatch::try_from_iter([("numbers", numbers.clone()), ("names", names.clone())]).unwrap();
    every_change_is_noticed(Array2::<f64>::ones((3, 4)), |config| {
        config.store.compression.array_format = config::ArrayFormat::Npy;
    });
    every_change_is_noticed(Array2::<f64>::ones((30, 4)), |config| {
        config.store.compression.array_format = config::ArrayFormat::Blosc2;
    });
    every_change_is_noticed(batch(), |_| ());
    every_change_is_noticed(batch(), |config| {
        config.store.compression.dataframe_format = config::TableFormat::Arrow;
    });
}

#[test]
fn every_byte_of_a_file_is_bound() {
    let _trace = traced();
    for signing in [true, false] {
        // A small file whole, a large one in samples.
        for (value, step) in [(noise(1)[..3000].to_vec(), 1), (noise(2), 997)] {
            let dir = tempfile::tempdir().unwrap();
            let mut config = CacheConfig::default();
            config.store.inline_threshold_bytes = 100;
            config.store.security.enable_entry_signing = signing;
            let (cache, _) = cache_at(dir.path(), config.clone());
            let key = cache.put(&Traced(value.clone()), params! { x: 1 }).unwrap();
            let place = Place::Directory(dir.path().into());
            let store = BlobStore::open_with(&place, config.store, OpenMode::Existing).unwrap();
            let path = dir.path().join(&blobs(dir.path())[0]);
            let honest = fs::read(&path).unwrap();
            let decoded = DECODED.load(Ordering::Relaxed);
            let is_noticed = |bytes: &[u8], what: &str| {
                fs::write(&path, bytes).unwrap();
                assert_eq!(cache.get::<Traced<Vec<u8>>>(params! { x: 1 }).unwrap(), None, "{what}");
                let error = store.get::<Traced<Vec<u8>>>(&key).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Integrity, "{what}");
                assert!(!store.verify_integrity(&key).unwrap().unwrap().valid, "{what}");
                assert_eq!(DECODED.load(Ordering::Relaxed), decoded, "{what} has been decoded");
            };
            let last = honest.len() - 1;
            for at in (0..honest.len()).step_by(step).chain([last]) {
                let mut bytes = honest.clone();
                bytes[at] ^= 1 << (at % 8);
                is_noticed(&bytes, &format!("byte {at}"));
            }
            is_noticed(&honest[..last], "one byte less");
            is_noticed(&[&honest[..], &[0]].concat(), "one byte more");
            is_noticed(&[], "nothing");
            fs::write(&path, &honest).unwrap();
            assert_eq!(cache.get::<Traced<Vec<u8>>>(params! { x: 1 }).unwrap(), Some(Traced(value)));
        }
    }
}

#[test]
fn every_byte_of_a_json_file_is_bound() {
    let dir = tempfile::tempdir().unwrap();
    let config = || StoreConfig { metadata_backend: Some("json".into()), ..StoreConfig::default() };
    let place = Place::Directory(dir.path().into());
    let open = || BlobStore::open_with(&place, config(), OpenMode::CreateOrOpen);
    open().unwrap().put_with("k", &"honest".to_owned(), json!({ "accuracy": 0.5 })).unwrap();
    let path = dir.path().join("cache_metadata.json");
    let honest = fs::read(&path).unwrap();
    let (mut noticed, mut harmless) = (0, 0);
    for at in 0..honest.len() {
        for mask in [0x01, 0x20, 0x80] {
            let mut bytes = honest.clone();
            bytes[at] ^= mask;
            fs::write(&path, &bytes).unwrap();
            let read = || -> cacheness::Result<Option<(String, serde_json::Value)>> {
                let store = open()?;
                let value = store.get::<String>("k")?;
                let metadata = store.get_metadata("k")?.map(|info| info.metadata());
                Ok(value.zip(metadata.map(serde_json::Value::Object)))
            };
            match read() {
                Err(_) | Ok(None) => noticed += 1,
                // Counts and times of reads are not signed, nor is the space between members.
                Ok(Some((value, metadata))) => {
                    assert_eq!(
                        (value.as_str(), metadata),
                        ("honest", json!({ "accuracy": 0.5 })),
                        "byte {at} ^ {mask}"
                    );
                    harmless += 1;
                }
            }
        }
    }
    assert!(noticed > 5 * harmless, "{noticed} {harmless}");
    fs::write(&path, &honest).unwrap();
    assert_eq!(open().unwrap().get::<String>("k").unwrap().unwrap(), "honest");
}

#[test]
fn payloads_exchanged_between_entries_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, _) = cache_at(dir.path(), CacheConfig::default());
    for (key, value) in [("a", vec![1_u8; 40]), ("b", vec![2; 40]), ("c", noise(3)), ("d", noise(4))] {
        cache.put(&value, Named(key)).unwrap();
    }
    let database = database(dir.path());
    // With all that belongs to a payload, but for what the signature says.
    for columns in
        ["payload", "payload, file_hash", "payload, file_hash, digest", "payload, file_hash, digest, signature"]
    {
        let from = |key: &str| format!("(SELECT {columns} FROM cache_entries WHERE cache_key = '{key}')");
        let sql = format!("UPDATE cache_entries SET ({columns}) = {} WHERE cache_key = 'a'", from("b"));
        database.execute(&sql, ()).unwrap();
        assert_eq!(cache.get::<Vec<u8>>(Named("a")).unwrap(), None, "{columns}");
        cache.put(&vec![1_u8; 40], Named("a")).unwrap();
    }
    // A locator is not signed: what it leads to is.
    let sql = "UPDATE cache_entries SET locator = (SELECT locator FROM cache_entries WHERE cache_key = 'd') \
               WHERE cache_key = 'c'";
    database.execute(sql, ()).unwrap();
    assert_eq!(cache.get::<Vec<u8>>(Named("c")).unwrap(), None);
    let store = BlobStore::open(dir.path()).unwrap();
    assert_eq!(store.get::<Vec<u8>>("c").unwrap_err().kind(), ErrorKind::Integrity);
    // Whoever else names the blob keeps it.
    store.delete("c").unwrap();
    assert_eq!(store.get::<Vec<u8>>("d").unwrap(), Some(noise(4)));
}

#[test]
fn an_older_entry_with_its_payload_is_served_until_the_key_is_rotated() {
    let dir = tempfile::tempdir().unwrap();
    let backup = dir.path().join("backup.db");
    let store_dir = dir.path().join("store");
    let store = BlobStore::open(&store_dir).unwrap();
    store.put("k", &"old".to_owned()).unwrap();
    store.close().unwrap();
    fs::copy(store_dir.join("cache_metadata.db"), &backup).unwrap();
    let store = BlobStore::open(&store_dir).unwrap();
    store.put("k", &"new".to_owned()).unwrap();
    store.close().unwrap();
    fs::copy(&backup, store_dir.join("cache_metadata.db")).unwrap();
    let store = BlobStore::open(&store_dir).unwrap();
    assert_eq!(store.get::<String>("k").unwrap().as_deref(), Some("old"), "nothing says that it is old");
    assert_eq!(store.engine().rotate_signing_key().unwrap(), 1);
    assert_eq!(store.get::<String>("k").unwrap().as_deref(), Some("old"));
    store.close().unwrap();
    // The backup is of a time when another key signed.
    fs::copy(&backup, store_dir.join("cache_metadata.db")).unwrap();
    let store = BlobStore::open(&store_dir).unwrap();
    assert_eq!(store.get::<String>("k").unwrap_err().kind(), ErrorKind::Signature);
    assert_eq!(store.engine().rotate_signing_key().unwrap(), 0, "and rotating again does not make it valid");
    assert_eq!(store.get::<String>("k").unwrap_err().kind(), ErrorKind::Signature);
    store.close().unwrap();
    assert_eq!(Cache::open(&store_dir).unwrap().get::<String>(Named("k")).unwrap(), None);
}

fn pickle(handler: &'static str, storage_format: &'static str) -> Encoded<'static> {
    Encoded {
        format: Format {
            handler: handler.into(),
            data_type: "object".into(),
            storage_format: storage_format.into(),
            compression: "none".into(),
            object_type: "builtins.NoneType".into(),
            handler_meta: 4_u64.to_le_bytes().to_vec(),
            raw_size: None,
        },
        extension: "pkl".into(),
        payload: Payload::Bytes(b"\x80\x05N.".as_slice().into()),
    }
}

/// What the engine hands out for a key.
fn fetched(store: &BlobStore, key: &str, strict: bool) -> Result<bool, ErrorKind> {
    use cacheness::core::store::{Fetched, ReadOptions};
    let options = ReadOptions { verify: strict, strict };
    match store.engine().fetch(&EntryKey::from_name(key).unwrap(), options, |_| true) {
        Ok(found) => Ok(matches!(found, Fetched::Found(_))),
        Err(error) => Err(error.kind()),
    }
}

#[test]
fn what_reads_a_payload_says_whether_it_is_a_pickle() {
    // The handler decides who decodes in Python, the storage format in other places: one of them is enough.
    for (handler, storage_format) in
        [("object_pickle", "pickle"), ("object_pickle", "msgpack"), ("object_pickle", ""), ("plain_objects", "dill")]
    {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let key = EntryKey::from_name("k").unwrap();
        store.engine().put(&key, pickle(handler, storage_format), PutAttributes::default()).unwrap();
        assert_eq!(fetched(&store, "k", true), Ok(true));
        database(dir.path()).execute("UPDATE cache_entries SET signature = NULL", ()).unwrap();
        assert_eq!(fetched(&store, "k", true), Err(ErrorKind::Signature), "{handler} {storage_format}");
        assert_eq!(fetched(&store, "k", false), Err(ErrorKind::Signature));
        store.close().unwrap();
        let mut strict = StoreConfig::default();
        strict.security.allow_pickle = false;
        let place = Place::Directory(dir.path().into());
        let store = BlobStore::open_with(&place, strict, OpenMode::Existing).unwrap();
        assert_eq!(fetched(&store, "k", true), Err(ErrorKind::PickleRefused), "{handler} {storage_format}");
        let refused = store.engine().put(&key, pickle(handler, storage_format), PutAttributes::default());
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::PickleRefused);
    }
}

#[test]
fn a_handler_of_ones_own_is_shown_only_what_is_signed() {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    let key = EntryKey::from_name("k").unwrap();
    store.engine().put(&key, pickle("my_models", "joblib"), PutAttributes::default()).unwrap();
    assert_eq!(fetched(&store, "k", true), Ok(true));
    let database = database(dir.path());
    for change in ["signature = zeroblob(32)", "signature = NULL"] {
        database.execute(&format!("UPDATE cache_entries SET {change}"), ()).unwrap();
        assert_eq!(fetched(&store, "k", true), Err(ErrorKind::Signature));
        assert_eq!(fetched(&store, "k", false), Err(ErrorKind::Signature));
    }
    let open = |change: fn(&mut StoreConfig)| {
        let mut config = StoreConfig::default();
        change(&mut config);
        BlobStore::open_with(&Place::Directory(dir.path().into()), config, OpenMode::Existing).unwrap()
    };
    assert_eq!(fetched(&open(|config| config.security.trust_unsigned_pickles = true), "k", true), Ok(true));
    assert_eq!(fetched(&open(|config| config.security.enable_entry_signing = false), "k", true), Ok(true));
}

#[test]
fn changing_an_entry_signs_only_what_was_signed() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, _) = cache_at(dir.path(), CacheConfig::default());
    cache.put(&1_u8, Named("plain")).unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    let key = EntryKey::from_name("pickle").unwrap();
    store.engine().put(&key, pickle("object_pickle", "pickle"), PutAttributes::default()).unwrap();
    let state = |key: &str| {
        let found: Entry = store.engine().get_entry(key).unwrap().unwrap().entry;
        store.engine().check_signature(&found).unwrap()
    };
    let touch = |key: &str| {
        assert!(cache.touch(Named(key), Some(std::time::Duration::from_secs(60))).unwrap());
        assert!(store.update_metadata(key, json!({ "a": 1 }).as_object().unwrap()).unwrap());
    };
    touch("plain");
    assert_eq!(state("plain"), SignatureState::Valid);
    // Somebody removes the signature, changes what he likes, and waits for the entry to be touched.
    database(dir.path()).execute("UPDATE cache_entries SET signature = NULL, object_type = 'forged'", ()).unwrap();
    for key in ["plain", "pickle"] {
        touch(key);
        assert_eq!(state(key), SignatureState::Unsigned, "{key}");
    }
    assert_eq!(fetched(&store, "pickle", true), Err(ErrorKind::Signature));
    assert_eq!(store.engine().rotate_signing_key().unwrap(), 0);
    assert_eq!(fetched(&store, "pickle", true), Err(ErrorKind::Signature));
}

#[test]
fn a_store_that_does_not_sign_leaves_no_wrong_signature() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, _) = cache_at(dir.path(), CacheConfig::default());
    cache.put(&1_u8, Named("k")).unwrap();
    cache.close().unwrap();
    let mut config = CacheConfig::default();
    config.store.security.enable_entry_signing = false;
    let (cache, _) = cache_at(dir.path(), config);
    assert!(cache.touch(Named("k"), None).unwrap());
    cache.close().unwrap();
    let (cache, _) = cache_at(dir.path(), CacheConfig::default());
    assert_eq!(cache.get::<u8>(Named("k")).unwrap(), Some(1));
    assert!(!cache.list_entries().unwrap()[0].is_signed());
}

#[test]
fn without_a_key_nothing_counts_as_signed() {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    store.put("k", &1_u8).unwrap();
    store.close().unwrap();
    fs::remove_file(dir.path().join("cache_signing_key.bin")).unwrap();
    let open = |allow: bool| {
        let mut config = StoreConfig::default();
        config.security.allow_unsigned_entries = allow;
        BlobStore::open_with(&Place::Directory(dir.path().into()), config, OpenMode::ReadOnly).unwrap()
    };
    assert_eq!(open(true).get::<u8>("k").unwrap(), Some(1));
    let error = open(false).get::<u8>("k").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Signature);
    assert!(error.hint().unwrap().contains("cache_signing_key.bin"), "{error:?}");
    assert!(!dir.path().join("cache_signing_key.bin").exists());
    // Where it can be written, a new key is made, and what the lost one signed is wrong.
    let store = BlobStore::open(dir.path()).unwrap();
    assert_eq!(store.get::<u8>("k").unwrap_err().kind(), ErrorKind::Signature);
}

#[test]
fn a_damaged_key_file_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (cache, _) = cache_at(dir.path(), CacheConfig::default());
    cache.put(&1_u8, Named("k")).unwrap();
    let path = dir.path().join("cache_signing_key.bin");
    let key = fs::read(&path).unwrap();
    for damaged in [&b""[..], &key[..31], &[key.as_slice(), b"\n"].concat(), &key.repeat(65)] {
        fs::write(&path, damaged).unwrap();
        let error = BlobStore::open(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Signature);
        assert!(error.to_string().contains(&format!("{} bytes", damaged.len().min(64 * 32 + 1))), "{error}");
        // Whoever has the key already goes on reading; what would be signed is not written.
        assert_eq!(cache.get::<u8>(Named("k")).unwrap(), Some(1));
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(cache.get::<u8>(Named("k")).unwrap(), Some(1));
        assert_eq!(cache.put(&2_u8, Named("k")).unwrap_err().kind(), ErrorKind::Signature);
    }
    fs::write(&path, &key).unwrap();
    assert_eq!(cache.get::<u8>(Named("k")).unwrap(), Some(1));

    // Whatever is no file: not followed, not waited for.
    fs::rename(&path, dir.path().join("elsewhere.bin")).unwrap();
    std::os::unix::fs::symlink("elsewhere.bin", &path).unwrap();
    assert_eq!(BlobStore::open(dir.path()).unwrap_err().kind(), ErrorKind::Storage);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(BlobStore::open(dir.path()).unwrap_err().kind(), ErrorKind::Storage);
    fs::remove_dir(&path).unwrap();
    let fifo = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, &path, fifo.0, fifo.1, 0).unwrap();
    assert_eq!(BlobStore::open(dir.path()).unwrap_err().kind(), ErrorKind::Storage);
    fs::remove_file(&path).unwrap();

    // A file that others can read works, and is warned of.
    fs::write(&path, &key).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(BlobStore::open(dir.path()).unwrap().get::<u8>("k").unwrap(), Some(1));
}
