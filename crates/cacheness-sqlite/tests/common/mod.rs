//! Databases of tests, one test at a time, and what is in them afterwards.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cacheness_core::backend::MetadataBackend;
use cacheness_core::entry::Location;
use cacheness_sqlite::{SqliteMetadata, SqliteOptions};
use cacheness_testkit::ext::{MetadataExt as _, Scan};
use cacheness_testkit::sample;

/// One test at a time: some of them use SQLite past the store, which a fork in another thread does not wait for.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A directory for one test.
pub struct Place {
    dir: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Place {
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// A directory with the path of a database in it, which is not there yet. A test has one at a time.
pub fn place() -> (Place, PathBuf) {
    let place = Place { _alone: alone(), dir: tempfile::tempdir().expect("a directory") };
    let path = place.path().join("cache_metadata.db");
    (place, path)
}

pub fn open(path: &Path) -> SqliteMetadata {
    SqliteMetadata::open(SqliteOptions::new(path)).expect("opened")
}

pub fn put(store: &SqliteMetadata, key: &str, payload: &str) {
    store.put(&sample::inline(key, payload.as_bytes())).expect("put");
}

pub fn get(store: &SqliteMetadata, key: &str) -> Option<String> {
    store.whole(key).expect("got").map(|entry| match entry.location {
        Location::Inline(bytes) => String::from_utf8(bytes).expect("UTF-8"),
        Location::Blob(blob) => blob.locator,
    })
}

/// Opens the store anew, checks the database and the totals, and returns all keys and payloads.
pub fn examine(path: &Path) -> BTreeMap<String, String> {
    let store = open(path);
    let found = store.scan(&Scan::default()).expect("scanned");
    let totals = store.totals().expect("totals");
    assert_eq!(totals.entries, found.len() as u64);
    assert_eq!(totals.bytes, found.iter().map(|summary| summary.entry.size).sum::<u64>());
    let keys: Vec<_> = found.into_iter().map(|summary| summary.entry.key).collect();
    let entries = keys.into_iter().map(|key| (get(&store, &key).expect("there"), key)).map(|(v, k)| (k, v)).collect();
    store.close().expect("closed");
    let connection = rusqlite::Connection::open(path).expect("opened");
    let verdict: String = connection.query_row("PRAGMA integrity_check", (), |row| row.get(0)).expect("checked");
    assert_eq!(verdict, "ok");
    entries
}
