//! What is opened, what is refused, and in which words.
#![allow(unsafe_code)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cacheness_core::ErrorKind;
use cacheness_core::backend::{AccessRecord, MetadataBackend};
use cacheness_core::clock::Timestamp;
use cacheness_sqlite::{FilesystemKind, SqliteAccess, SqliteMetadata, SqliteOptions};
use cacheness_testkit::child::Child;
use cacheness_testkit::ext::MetadataExt as _;
use cacheness_testkit::sample;
use common::{examine, get, open, place, put};

fn refused(path: &Path) -> cacheness_core::Error {
    SqliteMetadata::open(SqliteOptions::new(path)).expect_err("refused")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
}

#[test]
fn only_the_owner_can_read_a_new_database() {
    let (dir, _) = place();
    let path = dir.path().join("store/cache_metadata.db");
    let store = open(&path);
    put(&store, "k", "x");
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().expect("a parent")), 0o700);
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&beside(&path, suffix)), 0o600, "{suffix}");
    }
    assert_eq!(store.path(), Some(path.as_path()));
    assert!(!store.is_read_only());
}

#[test]
fn settings_are_as_documented() {
    let (_dir, path) = place();
    let store = open(&path);
    put(&store, "k", "x");
    let connection = rusqlite::Connection::open(&path).expect("opened");
    let ask = |sql: &str| -> String {
        connection
            .query_row(sql, (), |row| row.get::<_, rusqlite::types::Value>(0))
            .map(|v| format!("{v:?}"))
            .expect(sql)
    };
    assert_eq!(ask("PRAGMA journal_mode"), "Text(\"wal\")");
    assert_eq!(ask("PRAGMA application_id"), format!("Integer({})", 0x6361_6368));
    assert_eq!(ask("PRAGMA user_version"), "Integer(3)");
    assert_eq!(
        ask("SELECT value FROM cache_info WHERE name = 'written_by'"),
        format!("Text({:?})", env!("CARGO_PKG_VERSION"))
    );
    let plan = |sql: &str| -> String {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(sql);
        let lines = statement.query_map((), |row| row.get::<_, String>(3)).expect(sql);
        lines.map(|line| line.expect("text")).collect::<Vec<_>>().join("; ")
    };
    let uses = |sql: &str, index: &str| assert!(plan(sql).contains(index), "{sql}: {}", plan(sql));
    uses("SELECT 1 FROM cache_entries WHERE locator = 'x' LIMIT 1", "cache_entries_locator");
    uses("SELECT 1 FROM cache_entries WHERE digest = x'00' AND locator IS NOT NULL", "cache_entries_digest");
    uses("SELECT 1 FROM cache_entries WHERE +cache_key >= 'x' AND expires_at <= 5", "cache_entries_expiry");
    uses("SELECT locator FROM cache_garbage WHERE due <= 5 ORDER BY due LIMIT 9", "cache_garbage_due");
}

#[test]
fn rows_of_other_tables_go_with_their_entry() {
    let (_dir, path) = place();
    let store = open(&path);
    put(&store, "k", "x");
    let connection = rusqlite::Connection::open(&path).expect("opened");
    connection
        .execute_batch(
            "CREATE TABLE mine (id INTEGER PRIMARY KEY, \
             cache_key TEXT NOT NULL REFERENCES cache_entries(cache_key) ON DELETE CASCADE); \
             INSERT INTO mine (cache_key) VALUES ('k')",
        )
        .expect("made");
    let count = || connection.query_row("SELECT count(*) FROM mine", (), |row| row.get::<_, i64>(0)).expect("counted");
    put(&store, "k", "another value");
    assert_eq!(count(), 0, "they belong to the former entry");
    connection.execute("INSERT INTO mine (cache_key) VALUES ('k')", ()).expect("inserted");
    store.delete("k").expect("deleted");
    assert_eq!(count(), 0);
    put(&store, "k", "x");
    connection.execute("INSERT INTO mine (cache_key) VALUES ('k')", ()).expect("inserted");
    store.clear().expect("cleared");
    assert_eq!(count(), 0);
}

#[test]
fn what_is_no_store_is_refused() {
    let (dir, path) = place();
    std::fs::write(&path, "this is a text file, and a long one, ".repeat(100)).expect("written");
    let error = refused(&path);
    assert_eq!(error.kind(), ErrorKind::NotAStore, "{error:?}");
    assert!(error.to_string().contains("cache_metadata.db") && error.hint().is_some(), "{error:?}");
    assert_eq!(refused(dir.path()).kind(), ErrorKind::NotAStore, "a directory");
    assert_eq!(refused(&path.join("below")).kind(), ErrorKind::NotAStore, "below a file");
    let link = dir.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).expect("linked");
    assert_eq!(refused(&link).kind(), ErrorKind::NotAStore, "a link");

    let foreign = dir.path().join("foreign.db");
    let connection = rusqlite::Connection::open(&foreign).expect("opened");
    connection.execute_batch("CREATE TABLE t (x)").expect("made");
    drop(connection);
    let before = std::fs::read(&foreign).expect("read");
    assert_eq!(refused(&foreign).kind(), ErrorKind::NotAStore, "another program's");
    assert_eq!(std::fs::read(&foreign).expect("read"), before, "and it is left as it was");
    let connection = rusqlite::Connection::open(&foreign).expect("opened");
    connection.execute_batch("DROP TABLE t; VACUUM; PRAGMA application_id = 5").expect("changed");
    assert_eq!(refused(&foreign).kind(), ErrorKind::NotAStore, "another program's, empty");
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let (_dir, path) = place();
    let store = open(&path);
    put(&store, "k", "x");
    store.close().expect("closed");
    let connection = rusqlite::Connection::open(&path).expect("opened");
    connection
        .execute_batch("PRAGMA user_version = 99; UPDATE cache_info SET value = '7.1.0' WHERE name = 'written_by'")
        .expect("changed");
    for access in [SqliteAccess::Auto, SqliteAccess::ReadOnly] {
        let error = SqliteMetadata::open(SqliteOptions::new(&path).access(access)).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::NewerFormat, "{error:?}");
        assert!(error.to_string().contains("cacheness 7.1.0"), "{error}");
        assert!(error.hint().expect("a hint").contains("7.1.0"));
    }
    connection.execute_batch("DROP TABLE cache_info").expect("dropped");
    assert_eq!(refused(&path).kind(), ErrorKind::NewerFormat, "also without the release's name");
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let (_dir, path) = place();
    let store = open(&path);
    for i in 0..500 {
        put(&store, &format!("{i:04}"), &"payload ".repeat(30));
    }
    drop(store);
    let good = std::fs::read(&path).expect("read");
    let mut kinds = std::collections::BTreeSet::new();
    // Pages 1 to the last, each overwritten in turn with rubbish.
    for page in 0..good.len() / 4096 {
        let mut bad = good.clone();
        for (i, byte) in bad[page * 4096..][..4096].iter_mut().enumerate() {
            *byte = (i * 31 + page).to_le_bytes()[0] | 1;
        }
        std::fs::write(&path, &bad).expect("written");
        match SqliteMetadata::open(SqliteOptions::new(&path)) {
            Err(error) => drop(kinds.insert(format!("{:?}", error.kind()))),
            Ok(store) => {
                for i in (0..500).step_by(7) {
                    if let Err(error) = store.whole(&format!("{i:04}")) {
                        kinds.insert(format!("{:?}", error.kind()));
                    }
                }
                for result in [store.scan(&Default::default()).err(), store.totals().err()].into_iter().flatten() {
                    kinds.insert(format!("{:?}", result.kind()));
                }
            }
        }
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&path, suffix));
        }
    }
    let known = ["Integrity", "Metadata", "NotAStore"];
    assert!(kinds.contains("Metadata") && kinds.contains("NotAStore"), "{kinds:?}");
    assert!(kinds.iter().all(|kind| known.contains(&kind.as_str())), "{kinds:?}");
}

#[test]
fn a_row_that_was_tampered_with_is_an_integrity_error() {
    let (_dir, path) = place();
    let store = open(&path);
    put(&store, "k", "x");
    let connection = rusqlite::Connection::open(&path).expect("opened");
    for change in
        ["digest = x'00'", "fingerprint = x''", "file_size = -1", "access_count = -5", "handler = CAST(x'ff' AS TEXT)"]
    {
        put(&store, "k", "x");
        connection.execute(&format!("UPDATE cache_entries SET {change}"), ()).expect(change);
        let error = store.whole("k").expect_err(change);
        assert_eq!(error.kind(), ErrorKind::Integrity, "{change}: {error}");
        assert!(error.to_string().contains("entry k"), "{error}");
        assert_eq!(store.summary("k").expect_err(change).kind(), ErrorKind::Integrity);
        connection.execute("UPDATE cache_entries SET access_count = 0", ()).expect("mended");
    }
    // The entry can still be deleted and put again.
    assert!(store.delete("k").expect("deleted").is_some());
}

#[test]
fn a_database_that_is_deleted_is_not_made_anew() {
    let (_dir, path) = place();
    let store = open(&path);
    put(&store, "k", "x");
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(beside(&path, suffix)).expect("removed");
    }
    // Whatever the open connection does, a further one must not find an empty store.
    let errors: Vec<_> = std::thread::scope(|scope| {
        let work = || (0..200).filter_map(|_| store.whole("other").err()).map(|error| error.kind()).next();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(errors.iter().all(|kind| *kind == ErrorKind::Metadata || *kind == ErrorKind::Storage), "{errors:?}");
    assert!(!path.exists());
}

#[test]
fn reading_only() {
    let (_dir, path) = place();
    let options = || SqliteOptions::new(&path).access(SqliteAccess::ReadOnly);
    assert_eq!(SqliteMetadata::open(options()).expect_err("nothing there").kind(), ErrorKind::ReadOnly);
    let writer = open(&path);
    put(&writer, "k", "x");
    let reader = SqliteMetadata::open(options()).expect("opened");
    assert!(reader.is_read_only());
    assert_eq!(get(&reader, "k").as_deref(), Some("x"));
    put(&writer, "later", "y");
    assert_eq!(get(&reader, "later").as_deref(), Some("y"), "it follows the writer");
    let entry = sample::inline("k", b"y");
    for error in [
        reader.put(&entry).err(),
        reader.delete("k").err(),
        reader.clear().err(),
        reader.update(&entry, &Default::default()).err(),
    ] {
        let error = error.expect("refused");
        assert_eq!(error.kind(), ErrorKind::ReadOnly);
        assert!(error.hint().is_some());
    }
    assert_eq!(get(&writer, "k").as_deref(), Some("x"));
}

/// Runs `work` as a user whom permissions bind.
fn as_nobody(work: impl FnOnce()) {
    Child::start(|| {
        // SAFETY: plain system calls; the child has no other thread that they would have to agree with.
        unsafe {
            if libc::geteuid() == 0 {
                assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
                assert_eq!(libc::setgid(65_534), 0);
                assert_eq!(libc::setuid(65_534), 0);
            }
        }
        work();
    })
    .join();
}

fn read_as_nobody(path: &Path, key: &str) {
    as_nobody(|| {
        let store = open(path);
        assert!(store.is_read_only(), "{store:?}");
        assert_eq!(get(&store, key).as_deref(), Some("x"));
        assert_eq!(store.totals().expect("totals").entries, 1);
        let error = store.put(&sample::inline("k", b"y")).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
        store.close().expect("closed");
    });
}

#[test]
fn a_directory_that_can_only_be_read() {
    let (dir, path) = place();
    let store = open(&path);
    put(&store, "k", "x");
    store.close().expect("closed");
    assert!(!beside(&path, "-wal").exists(), "the last one to leave has emptied the log");
    set_mode(&path, 0o444);
    set_mode(dir.path(), 0o555);
    read_as_nobody(&path, "k");
    assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 1, "nothing was made");
    as_nobody(|| {
        let error = refused(&path.with_file_name("other.db"));
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error:?}");
    });
    set_mode(dir.path(), 0o700);
}

#[test]
fn a_directory_that_can_only_be_read_with_a_log_left_in_it() {
    let (dir, path) = place();
    // A writer that dies leaves the log; its content counts.
    Child::start(|| {
        let store = open(&path);
        put(&store, "k", "x");
        std::mem::forget(store);
    })
    .join();
    assert!(std::fs::metadata(beside(&path, "-wal")).expect("a log").len() > 0);
    for suffix in ["", "-wal", "-shm"] {
        set_mode(&beside(&path, suffix), 0o444);
    }
    set_mode(dir.path(), 0o555);
    read_as_nobody(&path, "k");
    // Without the shared memory SQLite cannot read the log: that is said, and the log is never passed over.
    set_mode(dir.path(), 0o755);
    std::fs::remove_file(beside(&path, "-shm")).expect("removed");
    set_mode(dir.path(), 0o555);
    as_nobody(|| {
        let error = refused(&path);
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error:?}");
        assert!(error.hint().expect("a hint").contains("written"), "{error:?}");
    });
    set_mode(dir.path(), 0o700);
    for suffix in ["", "-wal"] {
        set_mode(&beside(&path, suffix), 0o600);
    }
    assert_eq!(examine(&path).len(), 1);
}

#[test]
fn a_network_file_system_gets_no_shared_memory() {
    let (_dir, path) = place();
    // Filled on a local disk by a process that died with the log in use, then moved to a network.
    Child::start(|| {
        let store = open(&path);
        put(&store, "local", "x");
        std::mem::forget(store);
    })
    .join();
    assert!(beside(&path, "-wal").exists());
    let options = || SqliteOptions::new(&path).filesystem(FilesystemKind::Network("nfs"));
    let store = SqliteMetadata::open(options()).expect("opened");
    let second = SqliteMetadata::open(options()).expect("two at a time");
    assert_eq!(get(&store, "local").as_deref(), Some("x"));
    put(&store, "a", "1");
    put(&second, "b", "2");
    assert_eq!(get(&store, "b").as_deref(), Some("2"));
    assert!(!beside(&path, "-wal").exists());
    drop((store, second));
    // Back on a local disk.
    let store = open(&path);
    put(&store, "c", "3");
    assert!(beside(&path, "-wal").exists());
    drop(store);
    assert_eq!(examine(&path).len(), 4);
}

#[test]
fn readers_that_come_and_go_do_not_make_the_log_longer_and_longer() {
    let (_dir, path) = place();
    let store = open(&path);
    put(&store, "k", "x");
    store.close().expect("closed");
    let log = || std::fs::metadata(beside(&path, "-wal")).map_or(0, |found| found.len());
    let mut kept = 0;
    for read in 1..=200 {
        let store = open(&path);
        assert!(get(&store, "k").is_some());
        let access = AccessRecord { key: "k".into(), at: Timestamp(sample::NOW.0 + read), count: 1 };
        store.record_accesses(&[access]).expect("written down");
        store.close().expect("closed");
        kept += usize::from(log() > 0);
        assert!(log() < 50 * 4120, "{} bytes after {read} readers", log());
    }
    assert!(kept > 100, "most of them leave the log to the next: {kept}");
    let entry = open(&path).summary("k").expect("read").expect("there").entry;
    assert_eq!(entry.access_count, 200);
}

#[test]
fn an_interrupted_creation_is_completed() {
    let (dir, path) = place();
    std::fs::write(&path, b"").expect("an empty file");
    put(&open(&path), "k", "x");
    assert_eq!(examine(&path).len(), 1);

    // Killed after the migration library had made its own table, and no more.
    let path = dir.path().join("other.db");
    let connection = rusqlite::Connection::open(&path).expect("opened");
    connection
        .execute_batch(
            "CREATE TABLE refinery_schema_history (version INT4 PRIMARY KEY, name VARCHAR(255), \
             applied_on VARCHAR(255), checksum VARCHAR(255))",
        )
        .expect("made");
    drop(connection);
    put(&open(&path), "k", "x");
    assert_eq!(examine(&path).len(), 1);
}
