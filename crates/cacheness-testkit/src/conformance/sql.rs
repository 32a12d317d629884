//! Queries in SQL: what the views show, what is refused, and what stops a query. A backend without SQL says so.

use std::time::Duration;

use cacheness_core::ErrorKind;
use cacheness_core::backend::{Cancel, MetadataBackend, Sql, SqlParams, SqlRows, SqlType, SqlValue};
use cacheness_core::config::SerializationConfig;
use cacheness_core::entry::{Entry, EntrySummary};
use cacheness_core::fields::{FIELDS, field, full_metadata};
use cacheness_core::formats::plain::Value;
use cacheness_core::key::Params;
use cacheness_core::{Error, params};

use super::MetadataFixture;
use crate::ext::MetadataExt as _;
use crate::sample::{blob, full, inline};

/// A query that counts for ever.
pub const ENDLESS: &str =
    "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) SELECT count(*) FROM numbers";

fn query(backend: &dyn MetadataBackend, text: &str, params: &SqlParams) -> Result<SqlRows, Error> {
    backend.sql(&Sql { full_metadata: true, ..Sql::new(text, params) })
}

fn rows(backend: &dyn MetadataBackend, text: &str) -> Vec<Vec<SqlValue>> {
    let found =
        query(backend, text, &SqlParams::default()).unwrap_or_else(|error| panic!("{text}: {}", error.with_causes()));
    found.map(|row| row.expect("read")).collect()
}

fn text(text: &str) -> SqlValue {
    SqlValue::Text(text.to_owned())
}

/// A backend without SQL says what it lacks. Returns whether there is something to test.
fn has_sql(backend: &dyn MetadataBackend) -> bool {
    if backend.capability().sql {
        return true;
    }
    let params = SqlParams::default();
    let error = backend.sql(&Sql::new("SELECT cache_key FROM entries", &params)).expect_err("no SQL");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("Capability::sql") && error.to_string().contains(backend.name()), "{error}");
    assert!(error.hint().is_some());
    false
}

/// The value that a listing gives, as a query gives it.
fn as_sql(value: Value) -> SqlValue {
    match value {
        Value::None => SqlValue::Null,
        Value::Bool(value) => SqlValue::Bool(value),
        Value::Int(value) => SqlValue::Int(value),
        Value::Float(value) => SqlValue::Float(value),
        Value::Str(value) => SqlValue::Text(value),
        other => panic!("no field is {other:?}"),
    }
}

/// A backend may keep a boolean as 0 or 1.
fn equal(found: &SqlValue, expected: &SqlValue) -> bool {
    match (found, expected) {
        (SqlValue::Int(found), SqlValue::Bool(expected)) => *found == i64::from(*expected),
        _ => found == expected,
    }
}

fn entries() -> Vec<Entry> {
    let encoded = |params: Params<'_>| params.key(&SerializationConfig::default()).expect("encoded").encoding;
    let parameters = encoded(params! { model: "ridge", fold: 3 });
    let other =
        Entry { metadata: Some(r#"{"fold":4,"n":{"m":{}}}"#.into()), params: Some(parameters), ..inline("b", b"12") };
    let called = encoded(params! { "__function__": "m.trips", arguments: params! { year: 2026 } });
    let called = Entry { params: Some(called), ..blob("c", "blobs/c", Some([1; 32]), 1 << 33) };
    vec![full("a", b"payload"), other, called, inline("d \u{1f600} 'quoted'", b"")]
}

pub(super) fn every_field(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    if !has_sql(backend) {
        return;
    }
    for entry in entries() {
        backend.put(&entry).expect("put");
    }
    backend.set_pinned("b", true).expect("pinned");
    for view in ["entries", "cache_entries"] {
        let sql = format!("SELECT * FROM {view} ORDER BY cache_key");
        let found = query(backend, &sql, &SqlParams::default()).expect("queried");
        let mut names: Vec<&str> = FIELDS.to_vec();
        names.extend(["metadata", "params", "pinned"]);
        if view == "cache_entries" {
            names.push("full_metadata");
        }
        assert_eq!(found.columns().iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), names);
        let found: Vec<Vec<SqlValue>> = found.map(|row| row.expect("read")).collect();
        assert_eq!(found.len(), 4);
        for (entry, row) in entries().into_iter().zip(found) {
            let summary = EntrySummary::from(entry);
            for (name, value) in names.iter().zip(&row) {
                let entry = &summary.entry;
                let expected = match *name {
                    "metadata" => entry.metadata.as_deref().map_or(SqlValue::Null, text),
                    "params" => match entry.params.as_deref().map(cacheness_core::key::render) {
                        Some(Ok(params)) => text(&params.to_string()),
                        _ => SqlValue::Null,
                    },
                    "pinned" => SqlValue::Bool(entry.key == "b"),
                    "full_metadata" => text(&full_metadata(entry.metadata.as_deref(), entry.params.as_deref())),
                    name => as_sql(field(&summary, name).expect("a field")),
                };
                assert!(equal(value, &expected), "{}: {name} is {value:?}, not {expected:?}", entry.key);
            }
        }
    }
    let params = SqlParams::default();
    let found = backend.sql(&Sql::new("SELECT full_metadata FROM cache_entries", &params)).expect("queried");
    assert!(found.flatten().all(|row| row == [SqlValue::Null]), "the option is off");
}

pub(super) fn values(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    if !has_sql(backend) {
        return;
    }
    let all = [
        SqlValue::Null,
        SqlValue::Bool(true),
        SqlValue::Int(i64::MIN),
        SqlValue::Float(0.1),
        text("\u{1f600} 'quoted' \u{0}"),
        text(""),
        SqlValue::Bytes(vec![0, 255]),
    ];
    let statement =
        format!("SELECT {}", (1..=all.len()).map(|i| format!("?{i} AS c{i}")).collect::<Vec<_>>().join(", "));
    let mut found = query(backend, &statement, &SqlParams::Positional(all.to_vec())).expect("queried");
    let types: Vec<Vec<SqlType>> = found.columns().iter().map(|column| column.types().collect()).collect();
    assert_eq!(
        types[2..],
        [vec![SqlType::Int], vec![SqlType::Float], vec![SqlType::Text], vec![SqlType::Text], vec![SqlType::Bytes]]
    );
    assert!(found.columns()[0].has_nulls() && types[0].is_empty());
    let row = found.next().expect("a row").expect("read");
    assert!(row.iter().zip(&all).all(|(found, given)| equal(found, given)), "{row:?}");
    assert!(found.next().is_none());

    let named = SqlParams::Named(vec![("n".into(), SqlValue::Int(2)), ("unused".into(), SqlValue::Null)]);
    let twice: Vec<_> = query(backend, "SELECT :n, :n + 1", &named).expect("queried").flatten().collect();
    assert_eq!(twice, [[SqlValue::Int(2), SqlValue::Int(3)]]);
    let one = SqlParams::Positional(vec![SqlValue::Int(1)]);
    for (statement, params, what) in [
        ("SELECT ?, ?", &one, "2 parameters"),
        ("SELECT 1", &one, "no parameters"),
        ("SELECT :other", &named, ":other"),
        ("SELECT ?", &named, "no name"),
    ] {
        let error = query(backend, statement, params).expect_err(statement);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{statement}");
        assert!(error.to_string().contains(what), "{statement}: {error}");
    }
}

/// Statements that every dialect refuses, or does not know.
const REFUSED: &[&str] = &[
    "",
    "-- nothing",
    "/* nothing */ ;",
    "DELETE FROM entries",
    "DELETE FROM cache_entries",
    "DELETE FROM main.cache_entries",
    "UPDATE cache_entries SET access_count = 0",
    "INSERT INTO cache_entries (cache_key) VALUES ('x')",
    "WITH x AS (SELECT 1) DELETE FROM cache_entries",
    "CREATE TABLE x (y INTEGER)",
    "CREATE VIEW x AS SELECT 1",
    "DROP TABLE cache_entries",
    "DROP VIEW entries",
    "ALTER TABLE cache_entries ADD COLUMN x INTEGER",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT x",
    "VACUUM",
    "ANALYZE",
    "SELECT 1; SELECT 2",
    "SELECT cache_key FROM entries; DROP TABLE cache_entries",
    "SELECT cache_key FROM nowhere",
    "SELECT nothing FROM entries",
    "SELEC 1",
    "SELECT 'unfinished",
    "SELECT 1\0",
];

pub(super) fn refused(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    if !has_sql(backend) {
        return;
    }
    for entry in entries() {
        backend.put(&entry).expect("put");
    }
    let before = rows(backend, "SELECT * FROM entries ORDER BY cache_key");
    for statement in REFUSED {
        let error = query(backend, statement, &SqlParams::default()).expect_err(statement);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{statement}: {}", error.with_causes());
    }
    assert_eq!(rows(backend, "SELECT * FROM entries ORDER BY cache_key"), before);
    for entry in entries() {
        assert_eq!(backend.whole(&entry.key).expect("got"), Some(entry));
    }
    for harmless in ["SELECT 1;", " -- a comment\nSELECT 1 /* another */ ; -- the end", "SELECT ';' WHERE 1 = 1"] {
        assert_eq!(rows(backend, harmless).len(), 1, "{harmless}");
    }
}

pub(super) fn stopped(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    if !has_sql(backend) {
        return;
    }
    let params = SqlParams::default();
    let timeout = Some(Duration::from_millis(20));
    let error = backend.sql(&Sql { timeout, ..Sql::new(ENDLESS, &params) }).expect_err("endless");
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::TimedOut, false), "{error}");
    let error =
        backend.sql(&Sql { timeout: Some(Duration::ZERO), ..Sql::new("SELECT 1", &params) }).expect_err("no time");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");

    let cancel = Cancel::default();
    std::thread::scope(|scope| {
        let canceller = scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            cancel.cancel();
        });
        let error = backend.sql(&Sql { cancel: cancel.clone(), ..Sql::new(ENDLESS, &params) }).expect_err("endless");
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        canceller.join().expect("no panic");
    });

    let endless = ENDLESS.replace("count(*)", "n");
    let first = backend.sql(&Sql { limit: Some(3), ..Sql::new(&endless, &params) }).expect("three rows");
    assert_eq!(
        first.flatten().map(|row| row[0].clone()).collect::<Vec<_>>(),
        (1..=3).map(SqlValue::Int).collect::<Vec<_>>()
    );

    backend.put(&inline("after", b"1")).expect("a stopped query leaves nothing behind");
    assert_eq!(rows(backend, "SELECT count(*) FROM entries"), [[SqlValue::Int(1)]]);
}

pub(super) fn closed(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    if !has_sql(backend) {
        return;
    }
    backend.put(&inline("a", b"1")).expect("put");
    let kept = query(backend, "SELECT cache_key FROM entries", &SqlParams::default()).expect("queried");
    backend.close().expect("closed");
    let error = query(backend, "SELECT 1", &SqlParams::default()).expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(kept.flatten().collect::<Vec<_>>(), [[text("a")]], "rows outlive the store");
}
