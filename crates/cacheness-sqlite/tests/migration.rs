//! A later release changes the schema, and is killed at it. The later release is this one with one migration more.
//!
//! The process that is killed is this test binary again, with one test and a place.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cacheness_core::ErrorKind;
use cacheness_core::backend::MetadataBackend;
use cacheness_sqlite::{SqliteMetadata, SqliteOptions};
use cacheness_testkit::ext::{MetadataExt as _, Scan};
use cacheness_testkit::sample;
use common::{examine, get, open, place, put};

/// Names the database and what the process does with it.
const WORK: &str = "CACHENESS_TEST_WORK";

const ENTRIES: u32 = 3000;

/// Changes every row, and takes a while.
const LATER: &str = "ALTER TABLE cache_entries ADD COLUMN later TEXT; \
     UPDATE cache_entries SET later = cache_key || '!'; \
     CREATE INDEX cache_entries_later ON cache_entries (later); \
     PRAGMA user_version = 4;";

fn later(path: &Path) -> SqliteOptions {
    SqliteOptions::new(path).later_migration(LATER)
}

fn payload(i: u32) -> String {
    format!("{i} ").repeat(20)
}

fn fill(path: &Path) {
    let store = open(path);
    (0..ENTRIES).for_each(|i| put(&store, &format!("{i:06}"), &payload(i)));
    store.close().expect("closed");
}

fn soak(few: u64) -> u64 {
    match std::env::var("CACHENESS_SOAK") {
        Ok(times) => few * times.parse::<u64>().expect("CACHENESS_SOAK is a number of times"),
        Err(_) => few,
    }
}

/// By itself nothing; in a process that another test has started, the later release that opens a store.
#[test]
fn a_process_migrates() {
    let Ok(path) = std::env::var(WORK) else { return };
    let store = SqliteMetadata::open(later(Path::new(&path))).expect("opened");
    assert_eq!(store.totals().expect("totals").entries, u64::from(ENTRIES));
    store.close().expect("closed");
}

fn start(path: &Path, failpoint: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args(["--exact", "a_process_migrates"]).stdout(Stdio::null()).stderr(Stdio::null()).env(WORK, path);
    if let Some(failpoint) = failpoint {
        command.env("CACHENESS_FAILPOINT", failpoint);
    }
    command.spawn().expect("started")
}

/// What is there is all of the former schema or all of the later one; the later release then completes it.
fn check(path: &Path, what: &str) {
    let whole = |found: BTreeMap<String, String>| {
        assert_eq!(found.len(), ENTRIES as usize, "{what}");
        for (key, text) in found {
            assert_eq!(text, payload(key.parse().expect("a number")), "{what}");
        }
    };
    match SqliteMetadata::open(SqliteOptions::new(path)) {
        Ok(store) => {
            store.close().expect("closed");
            whole(examine(path));
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NewerFormat, "{what}: {error:?}");
            assert!(error.to_string().contains("format 4"), "{what}: {error}");
        }
    }
    let store = SqliteMetadata::open(later(path)).expect(what);
    let keys: Vec<String> =
        store.scan(&Scan::default()).expect("scanned").into_iter().map(|summary| summary.entry.key).collect();
    whole(keys.into_iter().map(|key| (key.clone(), get(&store, &key).expect("there"))).collect());
    put(&store, "new", "x");
    assert_eq!(store.totals().expect("totals").entries, u64::from(ENTRIES) + 1, "{what}");
    store.close().expect("closed");
    let connection = rusqlite::Connection::open(path).expect("opened");
    let ask = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, String>(0)).expect(sql);
    assert_eq!(ask("PRAGMA integrity_check"), "ok", "{what}");
    assert_eq!(
        ask("SELECT CAST(count(*) AS TEXT) FROM cache_entries WHERE later = cache_key || '!'"),
        format!("{ENTRIES}"),
        "{what}"
    );
    assert_eq!(ask("SELECT CAST(count(*) AS TEXT) FROM refinery_schema_history"), "4", "{what}");
    assert_eq!(ask("SELECT value FROM cache_info WHERE name = 'written_by'"), env!("CARGO_PKG_VERSION"), "{what}");
}

#[test]
fn killed_before_and_after() {
    let (dir, original) = place();
    fill(&original);
    for count in [1, 2] {
        let path = dir.path().join(format!("{count}.db"));
        std::fs::copy(&original, &path).expect("copied");
        let status = start(&path, Some(&format!("migrate/step:{count}"))).wait().expect("waited");
        assert!(!status.success(), "it is killed");
        check(&path, &format!("migrate/step:{count}"));
    }
}

#[test]
fn killed_at_random_instants() {
    let (dir, original) = place();
    fill(&original);
    let mut killed = 0;
    for round in 0..soak(12) {
        let path = dir.path().join(format!("{round}.db"));
        std::fs::copy(&original, &path).expect("copied");
        let mut child = start(&path, None);
        std::thread::sleep(Duration::from_micros(1_000 + round * 7_919 % 40_000));
        child.kill().expect("killed");
        killed += u64::from(!child.wait().expect("waited").success());
        check(&path, &format!("round {round}"));
    }
    assert!(killed > 0);
}

#[test]
fn several_at_once_and_one_is_killed() {
    let (dir, original) = place();
    fill(&original);
    for round in 0..soak(3) {
        let path = dir.path().join(format!("{round}.db"));
        std::fs::copy(&original, &path).expect("copied");
        let mut dies = start(&path, Some("migrate/step:1"));
        let others: Vec<Child> = (0..3).map(|_| start(&path, None)).collect();
        dies.wait().expect("waited");
        for mut other in others {
            assert!(other.wait().expect("waited").success(), "round {round}: another process failed");
        }
        check(&path, &format!("round {round}"));
    }
}

/// This release goes on while a later one migrates: it writes nothing into a schema that it does not know.
#[test]
fn beside_this_release() {
    let (_dir, path) = place();
    fill(&path);
    let store = open(&path);
    put(&store, "before", "x");
    assert!(store.delete("before").expect("deleted").is_some());
    assert!(start(&path, None).wait().expect("waited").success());
    let error = store.put(&sample::inline("after", b"x")).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::NewerFormat, "{error:?}");
    assert_eq!(store.delete("000001").expect_err("refused").kind(), ErrorKind::NewerFormat);
    assert_eq!(store.clear().expect_err("refused").kind(), ErrorKind::NewerFormat);
    assert_eq!(get(&store, "000001"), Some(payload(1)));
    store.close().expect("closed");
    check(&path, "beside a release that does not know it");
}

/// A store of schema 1, of which every entry is kept with all that it had, rows and totals too.
#[test]
fn from_schema_1() {
    const COLUMNS: &str = "id, cache_key, fingerprint, created_at, accessed_at, expires_at, access_count, handler, data_type, \
         storage_format, compression, object_type, handler_meta, file_size, file_hash, digest, signature, description, \
         metadata, params, raw_size, locator, payload";
    const ENTRIES: i64 = 100;
    let (_dir, path) = place();
    let mut connection = rusqlite::Connection::open(&path).expect("opened");
    let first = refinery::Migration::unapplied("V1__entries", include_str!("../migrations/V1__entries.sql"));
    refinery::Runner::new(&[first.expect("a migration")]).run(&mut connection).expect("migrated");
    for i in 0..ENTRIES {
        // Every third has all fields, every second a blob; there are gaps between the rows.
        let all = if i % 3 == 0 { "x'00010203', 'a sentence', '{\"a\":1}', x'ff'" } else { "NULL, NULL, NULL, NULL" };
        let place = if i % 2 == 0 { "NULL, zeroblob(20000)".to_owned() } else { format!("'blobs/{i}', NULL") };
        let sql = format!(
            "INSERT INTO cache_entries ({COLUMNS}) SELECT {i} * 7 + 1, 'key {i}', randomblob(16), {i}, {i} + 1, \
             iif({i} % 5 = 0, {i} + 2, NULL), 3, 'h', 'd', 's', 'c', 'o', column1, 20000, -{i}, randomblob(32), \
             randomblob(32), column2, column3, column4, {i}, {place} FROM (VALUES ({all}))"
        );
        connection.execute(&sql, ()).expect("inserted");
    }
    connection.execute("INSERT INTO cache_pins VALUES ('key 1')", ()).expect("pinned");
    let rows = |connection: &rusqlite::Connection| {
        let mut statement =
            connection.prepare(&format!("SELECT {COLUMNS} FROM cache_entries ORDER BY id")).expect("sql");
        let row = |row: &rusqlite::Row<'_>| (0..23).map(|i| row.get::<_, rusqlite::types::Value>(i)).collect();
        let rows = statement.query_map((), row).expect("asked").collect::<Result<Vec<Vec<_>>, _>>();
        rows.expect("read")
    };
    let indexes = |connection: &rusqlite::Connection| {
        let sql = "SELECT group_concat(name || sql, ' ' ORDER BY name) FROM sqlite_schema \
                   WHERE type = 'index' AND tbl_name = 'cache_entries' AND sql NOT NULL";
        connection.query_row(sql, (), |row| row.get::<_, String>(0)).expect("asked")
    };
    let before = (rows(&connection), indexes(&connection));
    drop(connection);

    let store = open(&path);
    assert_eq!(store.totals().expect("totals").entries, ENTRIES as u64);
    assert_eq!(store.pinned().expect("pinned"), ["key 1"]);
    let found = store.whole("key 3").expect("got").expect("there");
    assert_eq!((found.computed, found.description.as_deref()), (None, Some("a sentence")));
    store.close().expect("closed");
    let connection = rusqlite::Connection::open(&path).expect("opened");
    assert!(rows(&connection) == before.0, "the rows differ");
    assert_eq!(indexes(&connection), before.1);
    drop(connection);

    // What comes later has a code.
    let store = open(&path);
    let entry = sample::full("new", b"payload");
    store.put(&entry).expect("put");
    assert_eq!(store.whole("new").expect("got").expect("there").computed, entry.computed);
    assert_eq!(store.summary("new").expect("got").expect("there").entry.computed, entry.computed);
    store.put(&cacheness_core::entry::Entry { computed: None, ..entry }).expect("put");
    assert_eq!(store.whole("new").expect("got").expect("there").computed, None);
    assert_eq!(store.totals().expect("totals").entries, ENTRIES as u64 + 1);
}
