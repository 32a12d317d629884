//! Entries on disk: `cache_metadata.json`, and rows of `cache_entries` with any value in any column.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use cacheness::{BlobStore, OpenMode, Place, StoreConfig};
use cacheness_core::ErrorKind;
use cacheness_core::backend::EntryUpdate;
use cacheness_core::backends::{FilesystemBlobs, FilesystemOptions, JsonMetadata, JsonOptions};
use cacheness_core::clock::Clock;
use cacheness_core::formats::plain::Value;
use cacheness_core::sign::{SignedFields, Signer};
use cacheness_core::storable::Loadable;
use cacheness_core::store::{EntryKey, Fetched, ReadOptions, Store};
use ndarray::ArrayD;
use rusqlite::Connection;
use rusqlite::types::Value as Sql;

/// The columns of `cache_entries` after `id` and `cache_key`.
const COLUMNS: usize = 20;

thread_local! {
    static SCRATCH: tempfile::TempDir = tempfile::tempdir().expect("a scratch directory");
    static ROWS: RefCell<Option<Rows>> = const { RefCell::new(None) };
}

/// A directory of this thread for inputs.
pub(crate) fn scratch() -> PathBuf {
    SCRATCH.with(|dir| dir.path().to_owned())
}

pub(crate) fn run(bytes: &[u8]) {
    if bytes.first() == Some(&b'{') {
        return json(bytes);
    }
    ROWS.with_borrow_mut(|rows| rows.get_or_insert_with(Rows::new).run(bytes));
}

/// A whole file of entries.
fn json(bytes: &[u8]) {
    let dir = scratch();
    let path = dir.join("cache_metadata.json");
    std::fs::write(&path, bytes).expect("a scratch directory");
    let metadata = match JsonMetadata::open(&path, JsonOptions::default()) {
        Ok(metadata) => metadata,
        Err(error) => {
            super::refused(&error, &[ErrorKind::Metadata, ErrorKind::NotAStore, ErrorKind::NewerFormat]);
            return;
        }
    };
    let blobs = FilesystemBlobs::new(&dir, FilesystemOptions::default()).expect("a directory");
    let signer = Signer::in_memory(SignedFields::ALL).expect("random bytes");
    let store = Store::new(Box::new(metadata), Arc::new(blobs), Some(signer), StoreConfig::default(), Clock::system());
    use_entries(&store);
    store.clear().expect("entries can be removed, whatever they are");
}

/// A database that accepts any value in any column, and a store on it.
struct Rows {
    store: BlobStore,
    connection: Connection,
    _dir: tempfile::TempDir,
}

impl Rows {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a scratch directory");
        drop(BlobStore::open(dir.path()).expect("a store"));
        let connection = Connection::open(dir.path().join("cache_metadata.db")).expect("its database");
        // An attacker who can write the file can make the table accept anything.
        connection
            .execute_batch(
                "PRAGMA journal_mode = DELETE; PRAGMA writable_schema = ON; \
                 UPDATE sqlite_schema SET sql = replace(replace(sql, ') STRICT', ')'), 'NOT NULL', '') \
                 WHERE name = 'cache_entries'; PRAGMA writable_schema = RESET; PRAGMA journal_mode = WAL",
            )
            .expect("a changed schema");
        let place = Place::Directory(dir.path().into());
        let store = BlobStore::open_with(&place, StoreConfig::default(), OpenMode::Existing).expect("a store");
        Self { store, connection, _dir: dir }
    }

    fn run(&self, bytes: &[u8]) {
        let values = row(bytes);
        let places = (1..=COLUMNS).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
        let sql = format!("INSERT INTO cache_entries VALUES (1, 'k', {places})");
        self.connection.execute("DELETE FROM cache_entries", ()).expect("an empty table");
        if self.connection.execute(&sql, rusqlite::params_from_iter(values)).is_err() {
            return;
        }
        use_entries(self.store.engine());
        match self.store.delete("k") {
            Ok(_) => {}
            Err(error) => super::refused(&error, &[ErrorKind::Metadata, ErrorKind::Integrity]),
        }
    }
}

/// The values of a row: for each column its type, a length in two bytes if the type has one, then its bytes.
fn row(mut bytes: &[u8]) -> Vec<Sql> {
    let mut take = |count: usize| {
        let (taken, rest) = bytes.split_at(count.min(bytes.len()));
        bytes = rest;
        taken.to_vec()
    };
    let eight = |bytes: Vec<u8>| bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    (0..COLUMNS)
        .map(|_| match take(1).first().map(|kind| kind % 5) {
            Some(1) => Sql::Integer(eight(take(8)).cast_signed()),
            Some(2) => Sql::Real(f64::from_bits(eight(take(8)))),
            Some(3) => {
                let length = eight(take(2));
                Sql::Text(String::from_utf8_lossy(&take(usize::try_from(length).unwrap_or(0))).into_owned())
            }
            Some(4) => {
                let length = eight(take(2));
                Sql::Blob(take(usize::try_from(length).unwrap_or(0)))
            }
            _ => Sql::Null,
        })
        .collect()
}

/// A row in the form that [`row`] reads.
pub(crate) fn encode_row(values: &[Sql]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        match value {
            Sql::Null => out.push(0),
            Sql::Integer(value) => {
                out.push(1);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Sql::Real(value) => {
                out.push(2);
                out.extend_from_slice(&value.to_bits().to_be_bytes());
            }
            Sql::Text(text) => {
                out.push(3);
                out.extend_from_slice(&u16::try_from(text.len()).expect("a short text").to_be_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            Sql::Blob(bytes) => {
                out.push(4);
                out.extend_from_slice(&u16::try_from(bytes.len()).expect("a short blob").to_be_bytes());
                out.extend_from_slice(bytes);
            }
        }
    }
    out
}

/// The row of a store's only entry.
pub(crate) fn only_row(dir: &Path) -> Vec<u8> {
    let connection = Connection::open(dir.join("cache_metadata.db")).expect("a database");
    let columns = |row: &rusqlite::Row<'_>| (2..2 + COLUMNS).map(|index| row.get(index)).collect();
    let values: Vec<Sql> =
        connection.query_row("SELECT * FROM cache_entries", (), columns).expect("a store with one entry");
    encode_row(&values)
}

/// Uses the entries like a program.
fn use_entries(store: &Store) {
    let mut keys = Vec::new();
    let listed = store.for_each("", |summary| {
        let info = cacheness::EntryInfo::from(summary);
        let _ = (info.metadata(), info.params(), info.file_hash());
        keys.push(info.key().to_owned());
        Ok(())
    });
    if let Err(error) = listed {
        super::refused(&error, &[ErrorKind::Metadata, ErrorKind::Integrity]);
        keys.push("k".to_owned());
    }
    let _ = store.totals();
    for key in keys.iter().take(4) {
        let Ok(name) = EntryKey::from_name(key.clone()) else { continue };
        for strict in [true, false] {
            read::<Value>(store, &name, strict);
            read::<ArrayD<f64>>(store, &name, strict);
            read::<RecordBatch>(store, &name, strict);
        }
        let _ = store.verify_integrity(key);
        let touched = store.update_entry(key, |_| {
            Ok(EntryUpdate { description: Some(Some("touched".into())), ..EntryUpdate::default() })
        });
        // No entry has a signature of this store, and none gets one.
        if touched.is_ok()
            && let Ok(Some(found)) = store.get_entry(key)
        {
            let state = store.check_signature(&found.entry).expect("a key");
            assert_ne!(state, cacheness_core::sign::SignatureState::Valid, "a forged entry has been signed");
        }
    }
}

fn read<T: Loadable>(store: &Store, key: &EntryKey, strict: bool) {
    let options = ReadOptions { verify: strict, strict };
    let Ok(Fetched::Found(stored)) = store.fetch(key, options, |_| true) else { return };
    assert!(!stored.is_signed(), "it has no signature");
    assert!(!stored.format().runs_code(), "a pickle without a signature is returned");
    let plain = stored.format().compression == "none";
    if plain || stored.size() < 4096 {
        let _ = T::decode(*stored);
    }
}
