//! Several processes on one store, and processes that die.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cacheness_core::ErrorKind;
use cacheness_core::backend::{Commit, Committed, Guard, KeyId, MetadataBackend, Operation, Position, Put, Query};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::Entry;
use cacheness_sqlite::{FilesystemKind, SqliteMetadata, SqliteOptions};
use cacheness_testkit::child::{Child, Line};
use cacheness_testkit::ext::{MetadataExt as _, Scan};
use cacheness_testkit::sample;
use common::{examine, get, open, place, put};

#[test]
fn twenty_processes_open_a_fresh_directory() {
    for kind in [FilesystemKind::Local, FilesystemKind::Network("nfs")] {
        let (dir, _) = place();
        let path = dir.path().join("not/there/yet/cache_metadata.db");
        let (children, mut lines): (Vec<_>, Vec<_>) = (0..20)
            .map(|child| {
                let path = &path;
                Child::with_line(move |line| {
                    line.wait();
                    let store = SqliteMetadata::open(SqliteOptions::new(path).filesystem(kind)).expect("opened");
                    put(&store, &format!("{child}"), "x");
                    assert!(get(&store, &format!("{child}")).is_some());
                })
            })
            .unzip();
        lines.iter_mut().for_each(Line::send);
        children.into_iter().for_each(Child::join);
        assert_eq!(examine(&path).len(), 20, "{kind:?}");
    }
}

/// A reader that has not finished keeps no other thread from reading or writing.
#[test]
fn threads_read_at_the_same_time_and_beside_a_writer() {
    let (_dir, path) = place();
    let store = open(&path);
    for number in 0..10 {
        put(&store, &format!("{number}"), "before");
    }
    let reader = rusqlite::Connection::open(&path).expect("opened");
    reader.execute_batch("BEGIN").expect("begun");
    let before = || {
        let sql = "SELECT count(*) FROM cache_entries WHERE payload = CAST('before' AS BLOB)";
        reader.query_row(sql, (), |row| row.get::<_, i64>(0)).expect("read")
    };
    assert_eq!(before(), 10);
    for number in 0..10 {
        let number = number.to_string();
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..4).map(|_| scope.spawn(|| get(&store, &number))).collect();
            readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap().as_deref(), Some("before")));
            scope.spawn(|| put(&store, &number, "after")).join().unwrap();
        });
        assert_eq!(get(&store, &number).as_deref(), Some("after"));
        assert_eq!(before(), 10, "a read sees the entries of the time when it began");
    }
}

/// One thread puts ten entries with each commit, while others list them.
#[test]
fn a_listing_sees_all_of_a_commit_or_nothing() {
    const ROUNDS: i64 = 300;
    let (_dir, path) = place();
    let store = open(&path);
    let commit = |round: i64| {
        let entry = |number| Entry { created_at: Timestamp(round), ..sample::inline(&format!("{number}"), b"x") };
        let entries: Vec<_> = (0..10).map(entry).collect();
        let puts: Vec<_> = entries.iter().map(|entry| Operation::Put(Put::of(entry))).collect();
        store.apply(&puts).expect("committed");
    };
    commit(0);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (1..=ROUNDS).for_each(commit);
            is_over.store(true, Ordering::Release);
        });
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Acquire) {
                    let found = store.scan(&Scan::default()).expect("listed");
                    let rounds: BTreeSet<_> = found.iter().map(|found| found.entry.created_at).collect();
                    assert_eq!((found.len(), rounds.len()), (10, 1), "{rounds:?}");
                    let found = store.search(&Query::default(), &Position::Start, 100).expect("searched").versions;
                    let rounds: BTreeSet<_> = found.iter().map(|found| found.created_at).collect();
                    assert_eq!((found.len(), rounds.len()), (10, 1), "{rounds:?}");
                }
            });
        }
    });
    assert!(store.scan(&Scan::default()).expect("listed").iter().all(|found| found.entry.created_at.0 == ROUNDS));
}

/// Processes put with the key that they know while another one changes it: when that has returned, no entry is committed
/// with a former key.
#[test]
fn a_guard_holds_for_all_processes() {
    const ROTATIONS: u8 = 20;
    for kind in [FilesystemKind::Local, FilesystemKind::Network("nfs")] {
        let (_dir, path) = place();
        let open = || SqliteMetadata::open(SqliteOptions::new(&path).filesystem(kind)).expect("opened");
        open().close().expect("closed");
        let write = |child: usize| {
            let store = open();
            let mut key: Option<KeyId> = None;
            for number in 0.. {
                // So that what others commit is watched for, where that can be done.
                let _ = store.outside_changes();
                let entry = Entry {
                    signature: key.map(|key| [key[0]; 32]),
                    ..sample::inline(&format!("{child}/{number}"), b"")
                };
                let put = [Operation::Put(Put::of(&entry))];
                let commit = Commit { guard: Some(Guard { signing_key: key }), ..Commit::of(&put) };
                match store.commit(&commit).expect("committed") {
                    Committed::Done(_) => {}
                    Committed::Refused(Some([255, ..])) => return,
                    Committed::Refused(recorded) => key = recorded,
                }
            }
        };
        let children: Vec<_> = (0..3).map(|child| Child::start(|| write(child))).collect();
        let store = open();
        let signed_before = |number: u8| {
            let found = store.scan(&Scan::default()).expect("listed");
            found.iter().filter(|found| found.entry.signature.is_none_or(|signature| signature[0] < number)).count()
        };
        let mut counts = Vec::new();
        for number in 1..=ROTATIONS {
            let before = store.totals().expect("totals").entries;
            while store.totals().expect("totals").entries < before + 10 {
                std::thread::yield_now();
            }
            store.apply_one(Operation::SignWith([number; 16])).expect("committed");
            counts.push(signed_before(number));
        }
        store.apply_one(Operation::SignWith([255; 16])).expect("committed");
        children.into_iter().for_each(Child::join);
        for (number, count) in (1..).zip(counts) {
            assert_eq!(signed_before(number), count, "{kind:?}: an entry came after key {number} with a former one");
        }
        store.close().expect("closed");
        assert!(examine(&path).len() >= 10 * usize::from(ROTATIONS));
    }
}

#[test]
fn processes_and_threads_mixed() {
    let (_dir, path) = place();
    let children: Vec<_> = (0..4)
        .map(|child| {
            let path = &path;
            Child::start(move || {
                let store = open(path);
                std::thread::scope(|scope| {
                    for thread in 0..3 {
                        let store = &store;
                        scope.spawn(move || {
                            for i in 0..60 {
                                let key = format!("{child}/{thread}/{i}");
                                put(store, &key, &key);
                                put(store, "shared", &key.repeat(50));
                                let shared = get(store, "shared").expect("always there");
                                let first = shared.split_at(shared.len() / 50).0;
                                assert_eq!(shared, first.repeat(50), "a reader never sees a mixture");
                                if i % 3 == 0 {
                                    store.delete(&key).expect("deleted").expect("there");
                                }
                            }
                        });
                    }
                });
            })
        })
        .collect();
    children.into_iter().for_each(Child::join);
    assert_eq!(examine(&path).len(), 1 + 4 * 3 * 40);
}

/// A child puts, replaces and deletes and says so after each; it is killed, and the store has what was said.
#[test]
fn nothing_acknowledged_is_lost_when_a_writer_is_killed() {
    let (_dir, path) = place();
    let mut acknowledged: BTreeMap<String, u32> = BTreeMap::new();
    let mut next = 1_u32;
    for round in 0..25_u64 {
        let (child, line) = Child::with_line(|line| {
            let store = open(&path);
            for value in next.. {
                // Replaced every 50 values, so that the number in an entry says how far it got. Some are large.
                let key = format!("{}", value % 50);
                let payload = format!("{value:010}").repeat(if value % 7 == 0 { 2_000 } else { 1 });
                store.put(&sample::inline(&key, payload.as_bytes())).expect("put");
                line.send_bytes(&value.to_le_bytes());
            }
        });
        std::thread::sleep(Duration::from_millis(3 + round * 7 % 40));
        child.kill();
        for value in line.rest().chunks_exact(4).map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four"))) {
            acknowledged.insert(format!("{}", value % 50), value);
            next = value + 1;
        }
        let found = examine(&path);
        for (key, value) in &mut acknowledged {
            let payload = found.get(key).unwrap_or_else(|| panic!("round {round}: {key} is lost"));
            assert_eq!(payload.len() % 10, 0);
            assert_eq!(*payload, payload[..10].repeat(payload.len() / 10), "round {round}: {key} is torn");
            let stored: u32 = payload[..10].parse().expect("a number");
            // The one put that was not acknowledged may have happened.
            assert!(stored == *value || stored == next, "round {round}: {key} is {stored} instead of {value}");
            *value = stored;
        }
        next += 1;
    }
    assert!(!acknowledged.is_empty(), "no round got as far as a put");
}

#[test]
fn a_process_that_holds_the_lock_makes_others_busy_in_time() {
    let (_dir, path) = place();
    drop(open(&path));
    let (child, mut line) = Child::with_line(|line| {
        let connection = rusqlite::Connection::open(&path).expect("opened");
        connection.execute_batch("BEGIN IMMEDIATE").expect("begun");
        line.send();
        line.wait();
    });
    line.wait();
    let options = SqliteOptions::new(&path).busy_timeout(Duration::from_millis(50));
    let store = SqliteMetadata::open(options).expect("opening needs no lock for writing");
    assert_eq!(get(&store, "k"), None, "reading needs none either");
    let error = store.put(&sample::inline("k", b"x")).expect_err("locked");
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.is_retryable() && error.hint().is_some());
    line.send();
    child.join();
    put(&store, "k", "x");
}

#[test]
fn a_lock_that_is_given_back_is_waited_for() {
    let (_dir, path) = place();
    let store = open(&path);
    let (child, mut line) = Child::with_line(|line| {
        let connection = rusqlite::Connection::open(&path).expect("opened");
        connection.execute_batch("BEGIN IMMEDIATE").expect("begun");
        line.send();
        std::thread::sleep(Duration::from_millis(100));
        connection.execute_batch("COMMIT").expect("committed");
    });
    line.wait();
    put(&store, "k", "x");
    child.join();
    assert_eq!(examine(&path).len(), 1);
}

/// Statements stay prepared while others change the schema: SQLite prepares them again.
#[test]
fn another_program_adds_an_index() {
    let (_dir, path) = place();
    let store = open(&path);
    let use_it = |round: u32| {
        for payload in ["a", "b"] {
            put(&store, &format!("{round}"), payload);
            put(&store, "same", payload);
            assert_eq!(get(&store, "same").as_deref(), Some(payload));
        }
        assert_eq!(store.scan(&Scan::default()).expect("listed").len(), round as usize + 1);
    };
    use_it(1);
    for round in 2..5 {
        let other = rusqlite::Connection::open(&path).expect("opened");
        other.execute_batch(&format!("CREATE INDEX by_handler_{round} ON cache_entries (handler)")).expect("made");
        use_it(round);
        other.execute_batch(&format!("DROP INDEX by_handler_{round}")).expect("removed");
        drop(other);
    }
    store.close().expect("closed");
    assert_eq!(examine(&path).len(), 5);
}
