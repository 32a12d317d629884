//! An entry and its rows are one transaction: a process is killed at every place that a put with rows passes, and after
//! that either both are there or neither; the former entry keeps its own rows. Sessions, and what they may not do.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use cacheness::core::backend::{CustomRow, CustomRows};
use cacheness::core::cache::CacheAttributes;
use cacheness::core::failpoint::POINTS;
use cacheness::core::formats::plain::Value;
use cacheness::core::payload::{Encoded, Payload};
use cacheness::core::store::EntryKey;
use cacheness::prelude::*;
use cacheness::sql::{self, SqlValue};
use cacheness::{ErrorKind, Format};

/// Names the directory of the store that a process works on.
const WORK: &str = "CACHENESS_TEST_ROWS";

const TABLES: [&str; 2] = [
    "CREATE TABLE custom_runs (id INTEGER PRIMARY KEY, \
     cache_key TEXT NOT NULL REFERENCES cache_entries (cache_key) ON DELETE CASCADE, number INTEGER NOT NULL UNIQUE)",
    "CREATE TABLE custom_steps (id INTEGER PRIMARY KEY, \
     run INTEGER NOT NULL REFERENCES custom_runs (id) ON DELETE CASCADE, number INTEGER NOT NULL)",
];

fn open(dir: &Path) -> Cache {
    Cache::builder().directory(dir).open().unwrap()
}

fn run(cache: &Cache, statement: &str) -> Vec<SqlValue> {
    let session = sql::session(cache.engine().store()).unwrap();
    let done = session.execute(statement, &[], usize::MAX, &mut || true).unwrap();
    session.commit(&mut || true).unwrap();
    done.values
}

/// A run with this number, which belongs to the entry, and two steps of it.
fn rows(number: i64) -> CustomRows {
    let step = |number: i64| {
        CustomRow::new("custom_steps", None, vec![("number".into(), Value::Int(number))]).with_reference("run", 0)
    };
    let owner = CustomRow::new("custom_runs", Some("cache_key"), vec![("number".into(), Value::Int(number))]);
    CustomRows::new(vec![owner, step(number), step(number)])
}

/// The size of the payload of a number: too large for an entry.
fn size(number: i64) -> usize {
    80_000 + usize::try_from(number).unwrap()
}

fn put(cache: &Cache, name: &str, number: i64, rows: &CustomRows) -> cacheness::Result<()> {
    let format = Format {
        handler: "mine".into(),
        data_type: "numbers".into(),
        storage_format: "bytes".into(),
        compression: "none".into(),
        object_type: "numbers".into(),
        handler_meta: Vec::new(),
        raw_size: None,
    };
    let payload = Payload::Bytes(vec![7; size(number)].into());
    let encoded = Encoded { format, payload, extension: "bin".into() };
    let key = EntryKey::from_name(name)?;
    cache.engine().put_with(Some(&key), encoded, CacheAttributes::default(), rows).map(drop)
}

/// By itself nothing; in a process that another test has started, a put over an entry, and one of a new entry.
#[test]
fn a_process_puts_rows() {
    let Ok(dir) = std::env::var(WORK) else { return };
    let cache = open(Path::new(&dir));
    put(&cache, "old", 2, &rows(2)).unwrap();
    put(&cache, "new", 3, &rows(3)).unwrap();
    cache.close().unwrap();
}

/// The numbers of an entry's payload, of its run, and of the run's steps; all agree, or there are none.
fn number(cache: &Cache, name: &str) -> Option<i64> {
    let entry = run(cache, &format!("SELECT file_size FROM cache_entries WHERE cache_key = '{name}'"));
    let runs = run(cache, &format!("SELECT number FROM custom_runs WHERE cache_key = '{name}'"));
    if entry.is_empty() {
        assert_eq!(runs, [], "{name}: rows without an entry");
        return None;
    }
    let [SqlValue::Integer(number)] = runs[..] else { panic!("{name}: {runs:?}") };
    let steps =
        format!("SELECT s.number FROM custom_steps s JOIN custom_runs r ON s.run = r.id WHERE r.cache_key = '{name}'");
    assert_eq!(run(cache, &steps), [SqlValue::Integer(number), SqlValue::Integer(number)], "{name}");
    let stored = cache.engine().store().verify_integrity(name).unwrap().unwrap();
    assert!(stored.valid, "{name}: {stored:?}");
    let expected = i64::try_from(size(number)).unwrap();
    assert_eq!(entry, [SqlValue::Integer(expected)], "{name}: the payload is that of the rows");
    Some(number)
}

#[test]
fn an_entry_and_its_rows_are_one_transaction() {
    let others = ["delete/", "update/", "evict/", "clear/", "garbage/", "migrate/", "json/"];
    for point in POINTS.iter().filter(|point| !others.iter().any(|other| point.starts_with(other))) {
        // Three rows are inserted by each put.
        let most = if *point == "put/row" { 6 } else { 2 };
        for count in 1..=most {
            let dir = tempfile::tempdir().unwrap();
            let what = format!("{point}:{count}");
            let cache = open(dir.path());
            TABLES.iter().for_each(|table| drop(run(&cache, table)));
            put(&cache, "old", 1, &rows(1)).unwrap();
            cache.close().unwrap();
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "custom_rows::a_process_puts_rows", "--nocapture"]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.env(WORK, dir.path()).env("CACHENESS_FAILPOINT", &what);
            let status = command.status().unwrap();
            // The second deletion of a blob does not happen.
            assert!(status.signal() == Some(9) || point == &"blob/deleted" && count == 2, "{what}: {status}");
            let cache = open(dir.path());
            let (old, new) = (number(&cache, "old"), number(&cache, "new"));
            assert!(matches!((old, new), (Some(1 | 2), None) | (Some(2), Some(3))), "{what}: {old:?}, {new:?}");
            assert_eq!(run(&cache, "PRAGMA integrity_check"), [SqlValue::Text("ok".into())], "{what}");
            assert_eq!(run(&cache, "PRAGMA foreign_key_check"), [], "{what}");
            let total = run(&cache, "SELECT count(*) FROM custom_steps");
            assert_eq!(total, [SqlValue::Integer(2 + 2 * i64::from(new.is_some()))], "{what}");
        }
    }
}

#[test]
fn a_refused_row_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    TABLES.iter().for_each(|table| drop(run(&cache, table)));
    let stored = rows(1);
    put(&cache, "one", 1, &stored).unwrap();
    assert_eq!(stored.ids(), [1, 1, 2]);
    put(&cache, "two", 2, &rows(2)).unwrap();
    let error = put(&cache, "two", 1, &rows(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Constraint);
    assert_eq!(error.to_string(), "a row of custom_runs is refused: UNIQUE constraint failed: custom_runs.number");
    let missing = CustomRows::new(vec![CustomRow::new("custom_none", Some("cache_key"), Vec::new())]);
    assert_eq!(put(&cache, "two", 1, &missing).unwrap_err().kind(), ErrorKind::Metadata);
    let list = CustomRow::new("custom_runs", Some("cache_key"), vec![("number".into(), Value::List(Vec::new()))]);
    assert_eq!(put(&cache, "two", 1, &CustomRows::new(vec![list])).unwrap_err().kind(), ErrorKind::InvalidInput);
    let later = CustomRows::new(vec![CustomRow::new("custom_steps", None, Vec::new()).with_reference("run", 0)]);
    assert_eq!(put(&cache, "two", 1, &later).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!((number(&cache, "one"), number(&cache, "two")), (Some(1), Some(2)));
    // A put without rows takes the former ones away.
    put(&cache, "two", 3, &CustomRows::default()).unwrap();
    assert_eq!(run(&cache, "SELECT number FROM custom_runs"), [SqlValue::Integer(1)]);
    assert!(cache.clear().unwrap() == 2 && run(&cache, "SELECT * FROM custom_steps").is_empty());
    // Other backends refuse rows, and have no sessions.
    let memory = Cache::builder().in_memory().open().unwrap();
    assert_eq!(put(&memory, "one", 1, &rows(1)).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(sql::session(memory.engine().store()).unwrap_err().kind(), ErrorKind::Unsupported);
}
