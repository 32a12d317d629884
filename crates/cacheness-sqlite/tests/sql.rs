//! Queries of users on SQLite: hostile statements, forks, and files that stay as they are.
#![allow(unsafe_code)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cacheness_core::backend::{Cancel, MetadataBackend, Sql, SqlParams, SqlValue};
use cacheness_core::{Error, ErrorKind};
use cacheness_sqlite::{FilesystemKind, SqliteAccess, SqliteMetadata, SqliteOptions};
use cacheness_testkit::child::Child;
use cacheness_testkit::conformance::ENDLESS;
use cacheness_testkit::ext::MetadataExt as _;
use cacheness_testkit::sample;
use common::{open, place, put};

fn query(store: &SqliteMetadata, text: &str) -> Result<Vec<Vec<SqlValue>>, Error> {
    let params = SqlParams::default();
    store.sql(&Sql { timeout: Some(Duration::from_secs(60)), ..Sql::new(text, &params) })?.collect()
}

fn one(store: &SqliteMetadata, text: &str) -> SqlValue {
    let rows = query(store, text).unwrap_or_else(|error| panic!("{text}: {}", error.with_causes()));
    rows[0][0].clone()
}

/// The names and the content of all files of a directory.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(directory).expect("read").map(|file| file.expect("read").path());
    files.map(|path| (path.display().to_string(), std::fs::read(path).expect("read"))).collect()
}

/// Statements, and what the error says was refused.
const HOSTILE: &[(&str, &str)] = &[
    // Writes.
    ("INSERT INTO main.cache_entries DEFAULT VALUES", "INSERT INTO cache_entries"),
    ("REPLACE INTO cache_pins VALUES ('a')", "INSERT INTO cache_pins"),
    ("UPDATE main.cache_entries SET access_count = 9", "UPDATE cache_entries"),
    ("DELETE FROM main.cache_entries", "DELETE FROM cache_entries"),
    ("DELETE FROM main.cache_entries RETURNING cache_key", "DELETE FROM cache_entries"),
    ("DELETE FROM entries", "queries only read"),
    ("UPDATE cache_entries SET access_count = 9", "queries only read"),
    ("WITH gone AS (SELECT 1) DELETE FROM main.cache_pins", "DELETE FROM cache_pins"),
    ("WITH x(y) AS (VALUES (1)) INSERT INTO main.cache_pins SELECT y FROM x", "INSERT INTO cache_pins"),
    ("WITH x AS (DELETE FROM main.cache_entries RETURNING 1) SELECT * FROM x", "syntax error"),
    ("UPDATE sqlite_schema SET sql = ''", "sqlite_master"),
    // Schema.
    ("CREATE TABLE x (y)", "sqlite_master"),
    ("CREATE TEMP TABLE x (y)", "sqlite_temp_master"),
    ("CREATE TABLE main.x AS SELECT * FROM entries", "sqlite_master"),
    ("CREATE VIEW x AS SELECT 1", "sqlite_master"),
    ("CREATE TEMP TRIGGER x INSTEAD OF INSERT ON entries BEGIN SELECT 1; END", "refused"),
    ("CREATE INDEX x ON cache_pins (cache_key)", "refused"),
    ("CREATE VIRTUAL TABLE temp.x USING fts5(y)", "refused"),
    ("CREATE VIRTUAL TABLE x USING dbstat", "refused"),
    ("DROP TABLE main.cache_entries", "refused"),
    ("DROP VIEW entries", "refused"),
    ("DROP VIEW IF EXISTS temp.cache_entries", "refused"),
    ("ALTER TABLE main.cache_pins RENAME TO x", "refused"),
    ("ALTER TABLE main.cache_entries ADD COLUMN x", "refused"),
    ("REINDEX", "REINDEX"),
    ("ANALYZE", "refused"),
    ("VACUUM", "refused"),
    ("VACUUM INTO '/tmp/stolen.db'", "refused"),
    // Transactions and connections.
    ("BEGIN IMMEDIATE", "BEGIN"),
    ("BEGIN", "BEGIN"),
    ("COMMIT", "COMMIT"),
    ("END", "COMMIT"),
    ("ROLLBACK", "ROLLBACK"),
    ("SAVEPOINT x", "SAVEPOINT"),
    ("RELEASE x", "SAVEPOINT"),
    ("ATTACH ':memory:' AS other", "ATTACH"),
    ("ATTACH DATABASE '/etc/passwd' AS p", "ATTACH"),
    ("DETACH DATABASE main", "DETACH"),
    ("DETACH temp", "DETACH"),
    // Pragmas, also the harmless ones, which tell of the tables.
    ("PRAGMA writable_schema = ON", "PRAGMA writable_schema"),
    ("PRAGMA query_only = OFF", "PRAGMA query_only"),
    ("PRAGMA trusted_schema = ON", "PRAGMA trusted_schema"),
    ("PRAGMA journal_mode = DELETE", "PRAGMA journal_mode"),
    ("PRAGMA main.journal_mode", "PRAGMA journal_mode"),
    ("PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA wal_checkpoint"),
    ("PRAGMA user_version = 99", "PRAGMA user_version"),
    ("PRAGMA application_id", "PRAGMA application_id"),
    ("PRAGMA locking_mode = EXCLUSIVE", "PRAGMA locking_mode"),
    ("PRAGMA temp_store_directory = '/'", "refused"),
    ("PRAGMA table_info(cache_entries)", "PRAGMA table_info"),
    ("PRAGMA database_list", "PRAGMA database_list"),
    ("PRAGMA optimize", "PRAGMA optimize"),
    ("PRAGMA hard_heap_limit = 1", "PRAGMA hard_heap_limit"),
    ("SELECT * FROM pragma_table_info('cache_entries')", "pragma_table_info"),
    ("SELECT * FROM pragma_table_list", "pragma_table_list"),
    ("SELECT * FROM pragma_database_list()", "pragma_database_list"),
    ("SELECT * FROM pragma_journal_mode", "pragma_journal_mode"),
    // Tables, by every way that leads to them.
    ("SELECT * FROM main.cache_entries", "reading main.cache_entries"),
    ("SELECT payload FROM main.cache_entries", "reading main.cache_entries"),
    ("SELECT count(*) FROM main.cache_entries", "reading main.cache_entries"),
    ("SELECT 1 FROM \"main\".\"cache_entries\"", "reading main.cache_entries"),
    ("SELECT /**/ * /**/ FROM /**/ main /**/ . /**/ cache_entries", "reading main.cache_entries"),
    ("SELECT * FROM entries, main.cache_entries", "reading main.cache_entries"),
    ("SELECT (SELECT max(payload) FROM main.cache_entries)", "reading main.cache_entries"),
    ("SELECT * FROM entries WHERE EXISTS (SELECT 1 FROM main.cache_entries)", "reading main.cache_entries"),
    ("SELECT cache_key FROM entries UNION ALL SELECT payload FROM main.cache_entries", "reading main.cache_entries"),
    ("SELECT cache_key IN main.cache_pins FROM entries", "reading main.cache_pins"),
    ("SELECT * FROM cache_info", "reading main.cache_info"),
    ("SELECT * FROM cache_totals", "reading main.cache_totals"),
    ("SELECT * FROM cache_garbage", "reading main.cache_garbage"),
    ("SELECT * FROM cache_pins", "reading main.cache_pins"),
    ("SELECT count(*) FROM cache_pins", "reading cache_pins"),
    ("SELECT 1 FROM Cache_Info", "reading Cache_Info"),
    ("SELECT count(*) FROM sqlite_schema", "sqlite_"),
    ("SELECT count(*) FROM sqlite_temp_schema", "sqlite_"),
    ("SELECT count(*) FROM pragma_database_list", "pragma_database_list"),
    ("SELECT count(*) FROM dbstat", "reading dbstat"),
    ("SELECT * FROM refinery_schema_history", "reading main.refinery_schema_history"),
    ("SELECT * FROM sqlite_master", "sqlite_master"),
    ("SELECT * FROM main.sqlite_schema", "sqlite_master"),
    ("SELECT sql FROM sqlite_temp_master", "sqlite_temp_master"),
    ("SELECT sql FROM temp.sqlite_schema", "sqlite_temp_master"),
    ("SELECT * FROM sqlite_stat4", "no such table"),
    ("SELECT * FROM dbstat", "reading"),
    ("SELECT * FROM sqlite_dbpage", "no such table"),
    // A common table expression with the name of a view, which SQLite reports as the origin of what it reads.
    ("WITH entries AS (SELECT payload FROM main.cache_entries) SELECT * FROM entries", "reading main.cache_entries"),
    (
        "WITH cache_entries AS MATERIALIZED (SELECT * FROM main.cache_entries) SELECT * FROM cache_entries",
        "reading main.cache_entries",
    ),
    ("SELECT * FROM (SELECT * FROM main.cache_entries) AS entries", "reading main.cache_entries"),
    ("WITH entries AS (SELECT cacheness_params(x'00') AS p) SELECT p FROM entries", "the function cacheness_params"),
    // Functions.
    ("SELECT load_extension('/tmp/x.so')", "load_extension"),
    ("SELECT load_extension('/tmp/x.so', 'init')", "load_extension"),
    ("SELECT fts3_tokenizer('simple')", "refused"),
    ("SELECT fts5(1)", "refused"),
    ("SELECT fts5_source_id()", "refused"),
    ("SELECT sqlite_log(1, 'x')", "refused"),
    ("SELECT sqlite_compileoption_get(1)", "sqlite_compileoption_get"),
    ("SELECT rtreecheck('cache_entries')", "rtreecheck"),
    ("SELECT cacheness_time(0)", "the function cacheness_time"),
    ("SELECT readfile('/etc/passwd')", "no such function"),
    ("SELECT writefile('/tmp/x', 'x')", "no such function"),
    ("SELECT edit('x')", "no such function"),
    ("SELECT * FROM fsdir('/')", "no such table"),
    ("SELECT * FROM generate_series(1, 2)", "no such table"),
    // More than one statement.
    ("SELECT 1; SELECT 2", "a second statement"),
    ("SELECT 1; DROP TABLE main.cache_entries", "a second statement"),
    ("SELECT cache_key FROM entries; DROP TABLE cache_entries --", "a second statement"),
    (";; SELECT 1; PRAGMA query_only = OFF", "a second statement"),
    ("SELECT 1;;; this is not SQL", "a second statement"),
    ("/* SELECT 1 */ DROP TABLE main.cache_entries", "refused"),
    ("SELECT 1 /* ; */ ; /* */ DELETE FROM main.cache_entries", "a second statement"),
    // Plans show names of tables and of the hidden view.
    ("EXPLAIN SELECT * FROM entries", "EXPLAIN"),
    ("EXPLAIN QUERY PLAN SELECT * FROM entries", "EXPLAIN"),
    ("EXPLAIN DELETE FROM main.cache_entries", "DELETE FROM cache_entries"),
    // Sizes.
    ("SELECT randomblob(1000000000)", "exceeds 64 MiB"),
    ("SELECT zeroblob(2000000000)", "exceeds 64 MiB"),
    ("SELECT hex(zeroblob(60000000))", "exceeds 64 MiB"),
    ("SELECT printf('%.*c', 900000000, 'x')", "exceeds 64 MiB"),
    ("SELECT printf('%900000000d', 1)", "exceeds 64 MiB"),
    ("SELECT replace(hex(zeroblob(1000000)), '0', hex(zeroblob(1000)))", "exceeds 64 MiB"),
    ("WITH RECURSIVE x(t) AS (SELECT 'x' UNION ALL SELECT t || t FROM x) SELECT length(t) FROM x", "exceeds 64 MiB"),
    ("SELECT group_concat(hex(zeroblob(9000000))) FROM json_each('[1,2,3,4,5]')", "exceeds 64 MiB"),
    // Errors while it runs, and texts that are none.
    ("SELECT json_extract('{', '$')", "malformed JSON"),
    ("SELECT abs(-9223372036854775808)", "integer overflow"),
    ("SELECT CAST(x'ff' AS TEXT) AS broken", "the column broken is not UTF-8"),
    ("SELECT\n  cache_key\nFORM entries", "line 3, column 6"),
    ("SELECT 'ключ', nothing", "line 1, column 16"),
];

#[test]
fn hostile_statements_are_refused_and_change_nothing() {
    let (dir, path) = place();
    let store = open(&path);
    put(&store, "a", "payload");
    assert_eq!(one(&store, "SELECT count(*) FROM entries"), SqlValue::Int(1));
    let before = files(dir.path());
    let mut wrong = Vec::new();
    for (statement, what) in HOSTILE {
        match query(&store, statement) {
            // The name of the hidden view has 32 digits.
            Err(error) if error.to_string().split(|c: char| !c.is_ascii_hexdigit()).any(|word| word.len() >= 32) => {
                wrong.push(format!("{statement}: {error}"));
            }
            Err(error) if error.kind() == ErrorKind::InvalidInput && error.to_string().contains(what) => {}
            other => wrong.push(format!("{statement}: {other:?}, expected {what}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!Path::new("/tmp/stolen.db").exists());
    let deep = format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let sum = format!("SELECT {}", vec!["1"; 100_000].join("+"));
    let statements = "SELECT 1;".repeat(100_000);
    let columns = format!("SELECT {}", vec!["randomblob(60000000)"; 600].join(","));
    let compound = vec!["SELECT 1"; 10_000].join(" UNION ALL ");
    let long = format!("SELECT '{}'", "x".repeat(2 << 20));
    for statement in [deep, sum, statements, columns, compound, long] {
        let error = query(&store, &statement).expect_err("too much");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{}", error.with_causes());
    }
    let patterns = format!("SELECT 'x' LIKE '{}'", "%x".repeat(1000));
    assert_eq!(query(&store, &patterns).expect_err("too long").kind(), ErrorKind::InvalidInput);
    assert_eq!(files(dir.path()), before, "no file of the store has changed");
    assert_eq!(one(&store, "SELECT count(*) FROM entries"), SqlValue::Int(1));
}

#[test]
fn ordinary_queries_are_answered() {
    let (_dir, path) = place();
    let store = open(&path);
    for i in 0..100_i64 {
        let mut entry = sample::inline(&format!("{i:02}"), b"1");
        entry.metadata = Some(format!(r#"{{"fold":{},"nested":{{"deep":[1,{i}]}}}}"#, i % 5));
        entry.created_at.0 += i * 1_000_000;
        store.put(&entry).expect("put");
    }
    let int = SqlValue::Int;
    for (statement, expected) in [
        ("SELECT count(*) FROM entries", int(100)),
        ("SELECT count(*) FROM temp.entries AS e JOIN cache_entries AS c USING (cache_key)", int(100)),
        ("SELECT count(*) FROM entries WHERE json_extract(metadata, '$.fold') = 3", int(20)),
        ("SELECT count(*) FROM entries WHERE metadata ->> '$.nested.deep[1]' >= 50", int(50)),
        ("SELECT count(*) FROM entries, json_each(entries.metadata, '$.nested.deep')", int(200)),
        (
            "SELECT count(*) FROM entries WHERE unixepoch(created) - unixepoch('2026-11-20T12:00:00+00:00') < 10",
            int(10),
        ),
        ("SELECT count(*) FROM entries WHERE created < '2026-11-20T12:00:10'", int(10)),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT sum(i) FROM n",
            int(500_500),
        ),
        ("SELECT max(number) FROM (SELECT row_number() OVER (ORDER BY created DESC) AS number FROM entries)", int(100)),
        ("WITH entries AS (SELECT 7 AS cache_key) SELECT cache_key FROM entries", int(7)),
        ("WITH n AS (SELECT cache_key FROM entries) SELECT count(*) FROM n", int(100)),
        ("SELECT count(*) FROM (SELECT * FROM entries LIMIT 7)", int(7)),
        ("SELECT count(*) FROM entries AS a, json_each('[1, 2]') AS b", int(200)),
        (
            "SELECT count(*) FROM (SELECT DISTINCT data_type FROM entries), (SELECT 1 FROM cache_entries LIMIT 3)",
            int(3),
        ),
        ("VALUES (3)", int(3)),
        ("SELECT cache_key FROM Entries WHERE CACHE_KEY = '07'", SqlValue::Text("07".into())),
    ] {
        assert_eq!(one(&store, statement), expected, "{statement}");
    }
}

#[test]
fn what_another_program_has_added_does_not_run() {
    let (_dir, path) = place();
    let store = open(&path);
    put(&store, "a", "payload");
    store.close().expect("closed");
    let other = rusqlite::Connection::open(&path).expect("opened");
    let added =
        "CREATE VIEW entries AS SELECT 'forged' AS cache_key; CREATE VIEW stolen AS SELECT payload FROM cache_entries;
         CREATE TABLE notes (text)";
    other.execute_batch(added).expect("added");
    drop(other);
    let store = open(&path);
    assert_eq!(one(&store, "SELECT cache_key FROM entries"), SqlValue::Text("a".into()));
    for statement in ["SELECT * FROM stolen", "SELECT * FROM main.entries", "SELECT * FROM notes"] {
        assert_eq!(query(&store, statement).expect_err(statement).kind(), ErrorKind::InvalidInput, "{statement}");
    }
}

#[test]
fn a_store_that_is_read_only_answers() {
    for kind in [FilesystemKind::Local, FilesystemKind::Network("nfs")] {
        let (_dir, path) = place();
        let writer = SqliteMetadata::open(SqliteOptions::new(&path).filesystem(kind)).expect("opened");
        put(&writer, "a", "payload");
        let options = SqliteOptions::new(&path).filesystem(kind).access(SqliteAccess::ReadOnly);
        let reader = SqliteMetadata::open(options).expect("opened");
        assert_eq!(one(&reader, "SELECT cache_key FROM entries"), SqlValue::Text("a".into()));
        assert_eq!(one(&writer, "SELECT cache_key FROM entries"), SqlValue::Text("a".into()));
        put(&writer, "b", "payload");
        assert_eq!(one(&reader, "SELECT count(*) FROM entries"), SqlValue::Int(2));
    }
}

#[test]
fn a_query_sees_one_moment_and_writers_go_on() {
    let (_dir, path) = place();
    let store = open(&path);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..300 {
                put(&store, &format!("{i}/1"), "1");
                let both = [format!("{i}/2"), format!("{i}/3")].map(|key| sample::inline(&key, b"1"));
                let puts = both
                    .each_ref()
                    .map(|entry| cacheness_core::backend::Operation::Put(cacheness_core::backend::Put::of(entry)));
                store.apply(&puts).expect("put together");
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            let pairs = "SELECT (SELECT count(*) FROM entries WHERE cache_key LIKE '%/2') - \
                         (SELECT count(*) FROM entries WHERE cache_key LIKE '%/3')";
            assert_eq!(one(&store, pairs), SqlValue::Int(0));
        }
    });
    assert_eq!(one(&store, "SELECT count(*) FROM entries"), SqlValue::Int(900));
}

#[test]
fn a_fork_stops_a_query_which_starts_again() {
    let (_dir, path) = place();
    let store = open(&path);
    put(&store, "a", "payload");
    let (cancel, running) = (Cancel::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let endless = scope.spawn(|| {
            running.store(true, Ordering::Release);
            let params = SqlParams::default();
            store.sql(&Sql { cancel: cancel.clone(), ..Sql::new(ENDLESS, &params) }).expect_err("endless")
        });
        while !running.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        // Each of them waits until the query has given way.
        for _ in 0..5 {
            Child::start(|| {
                assert_eq!(one(&store, "SELECT cache_key FROM entries"), SqlValue::Text("a".into()));
                put(&store, "child", "payload");
            })
            .join();
        }
        assert!(!endless.is_finished(), "it has started again");
        cancel.cancel();
        assert_eq!(endless.join().expect("no panic").kind(), ErrorKind::Cancelled);
    });
    assert_eq!(one(&store, "SELECT count(*) FROM entries"), SqlValue::Int(2));
}

#[test]
fn a_query_ends_in_a_process_that_forks_all_the_time() {
    let (_dir, path) = place();
    let store = open(&path);
    put(&store, "a", "payload");
    let (done, forks) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) || forks.load(Ordering::Relaxed) == 0 {
                Child::start(|| {}).join();
                forks.fetch_add(1, Ordering::Relaxed);
            }
        });
        let counted =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT count(*) FROM n";
        let found = query(&store, counted);
        done.store(true, Ordering::Release);
        assert_eq!(found.expect("counted"), [[SqlValue::Int(300_000)]]);
    });
    assert!(forks.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_query_does_not_outlive_its_store_with_the_log() {
    let (dir, path) = place();
    let store = open(&path);
    put(&store, "a", "payload");
    let cancel = Cancel::default();
    std::thread::scope(|scope| {
        let endless = scope.spawn(|| {
            let params = SqlParams::default();
            store.sql(&Sql { cancel: cancel.clone(), ..Sql::new(ENDLESS, &params) }).expect_err("stopped")
        });
        std::thread::sleep(Duration::from_millis(50));
        store.close().expect("closed");
        cancel.cancel();
        endless.join().expect("no panic");
    });
    let names: Vec<String> = files(dir.path()).into_keys().collect();
    assert_eq!(names, [path.display().to_string()], "the last connection has moved the log into the database");
}
