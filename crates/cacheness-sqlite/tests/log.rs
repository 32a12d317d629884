//! The write-ahead log is moved into the database beside its writers.
#![allow(unsafe_code)]

mod common;

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cacheness_core::backend::MetadataBackend;
use cacheness_sqlite::{SqliteAccess as Access, SqliteMetadata, SqliteOptions};
use cacheness_testkit::child::Child;
use cacheness_testkit::ext::MetadataExt as _;
use common::{examine, get, place, put};

/// A log that is moved this often is moved many times in a short test.
const PAGES: u32 = 50;

fn open(path: &Path) -> SqliteMetadata {
    SqliteMetadata::open(SqliteOptions::new(path).log_pages(PAGES)).expect("opened")
}

fn length(path: &Path, suffix: &str) -> u64 {
    let mut path = path.to_owned().into_os_string();
    path.push(suffix);
    std::fs::metadata(path).map_or(0, |found| found.len())
}

fn key(i: u32) -> String {
    // Each in another place of the index.
    format!("{:08x}", i.wrapping_mul(0x9e37_79b9))
}

#[test]
fn it_stays_short_while_entries_are_put() {
    let (_dir, path) = place();
    let store = open(&path);
    let mut longest = 0;
    for i in 0..10_000 {
        put(&store, &key(i), &key(i));
        longest = longest.max(length(&path, "-wal"));
    }
    assert!(longest > u64::from(PAGES) * 4000, "{longest}");
    // Some 30,000 pages have been written to it. Writers wait where it is six times as long again as it should be, and it may
    // have to be tried again.
    assert!(longest < u64::from(PAGES) * 4120 * 30, "{longest}");
    assert!(length(&path, "") > 500_000, "the database has what the log had");
    store.close().expect("closed");
    assert_eq!(length(&path, "-wal"), 0, "nobody has it open any more");
    assert_eq!(examine(&path).len(), 10_000);
}

#[test]
fn it_begins_anew_although_threads_read_all_the_time() {
    let (_dir, path) = place();
    let store = open(&path);
    put(&store, "read", "x");
    let stop = AtomicBool::new(false);
    let mut longest = 0;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(get(&store, "read").as_deref(), Some("x"));
                }
            });
        }
        for i in 0..5_000 {
            put(&store, &key(i), &key(i));
            longest = longest.max(length(&path, "-wal"));
        }
        stop.store(true, Ordering::Relaxed);
    });
    // Some 15,000 pages have been written to it, 60 MB, by one thread of six on any number of cores.
    assert!(longest < 20_000_000, "{longest}");
    store.close().expect("closed");
    assert_eq!(examine(&path).len(), 5_001);
}

#[test]
fn threads_and_stores_share_it() {
    let (_dir, path) = place();
    let stores = [open(&path), open(&path)];
    std::thread::scope(|scope| {
        for (number, store) in stores.iter().enumerate() {
            for thread in 0..2 {
                scope.spawn(move || {
                    for i in 0..1_000 {
                        let name = format!("{number}/{thread}/{}", key(i));
                        put(store, &name, &name);
                        assert_eq!(get(store, &name), Some(name));
                    }
                });
            }
        }
    });
    let [one, two] = stores;
    one.close().expect("closed");
    drop(two);
    assert_eq!(examine(&path).len(), 4_000);
}

#[test]
fn whoever_reads_an_old_state_keeps_it_and_ends_nothing() {
    let (_dir, path) = place();
    let store = open(&path);
    put(&store, "first", "1");
    let reader = rusqlite::Connection::open(&path).expect("opened");
    reader.execute_batch("BEGIN").expect("begun");
    let count =
        || reader.query_row("SELECT count(*) FROM cache_entries", (), |row| row.get::<_, i64>(0)).expect("read");
    assert_eq!(count(), 1);
    let started = Instant::now();
    for i in 0..2_000 {
        put(&store, &key(i), "x");
    }
    assert!(started.elapsed() < Duration::from_secs(60), "nobody waits for the reader");
    assert_eq!(count(), 1);
    let long = length(&path, "-wal");
    reader.execute_batch("COMMIT").expect("over");
    assert_eq!(count(), 2_001);
    for i in 2_000..6_000 {
        put(&store, &key(i), "x");
    }
    assert!(length(&path, "-wal") <= long + u64::from(PAGES) * 4120 * 8 + 500 * 4120, "it has begun anew");
    drop(reader);
    store.close().expect("closed");
    assert_eq!(examine(&path).len(), 6_001);
}

#[test]
fn processes_fork_while_it_is_moved() {
    let (_dir, path) = place();
    let store = open(&path);
    for round in 0..20 {
        for i in 0..200 {
            put(&store, &key(round * 1_000 + i), "parent");
        }
        // Most forks meet a thread that moves the log, which no child has.
        let child = Child::start(|| {
            for i in 200..400 {
                put(&store, &key(round * 1_000 + i), "child");
            }
            store.close().expect("closed");
        });
        for i in 400..500 {
            put(&store, &key(round * 1_000 + i), "parent");
        }
        child.join();
    }
    store.close().expect("closed");
    assert_eq!(examine(&path).len(), 20 * 500);
}

/// A fork copies the mutex that threads of the standard library take when they start and end.
#[test]
fn a_child_moves_it_although_threads_started_and_ended_during_the_fork() {
    let (_dir, path) = place();
    let store = SqliteMetadata::open(SqliteOptions::new(&path).log_pages(1)).expect("opened");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::thread::spawn(|| ()).join().expect("ends");
                }
            });
        }
        for round in 0..400 {
            let child = Child::start(|| {
                // SAFETY: ends this process if it hangs.
                unsafe { libc::alarm(60) };
                put(&store, &format!("{round}/1"), "x");
                put(&store, &format!("{round}/2"), "x");
                store.close().expect("closed");
            });
            child.join();
        }
        stop.store(true, Ordering::Relaxed);
    });
    store.close().expect("closed");
    assert_eq!(examine(&path).len(), 800);
}

#[test]
fn nothing_is_lost_when_processes_are_killed_that_move_it() {
    let (_dir, path) = place();
    drop(open(&path));
    let mut promised = 0_u32;
    for round in 0..12_u32 {
        let (child, mut line) = Child::with_line(|line| {
            let store = open(&path);
            let promised = std::fs::File::create(path.with_file_name("promised")).expect("made");
            line.send();
            for i in 0_u32.. {
                put(&store, &format!("{round}/{}", key(i)), "x");
                promised.write_all_at(&i.to_le_bytes(), 0).expect("noted");
            }
        });
        line.wait();
        std::thread::sleep(Duration::from_millis(50 + u64::from(round) * 17));
        child.kill();
        let noted = std::fs::read(path.with_file_name("promised")).expect("noted");
        let last = u32::from_le_bytes(noted.try_into().expect("four bytes"));
        let store = open(&path);
        for i in 0..=last {
            assert_eq!(get(&store, &format!("{round}/{}", key(i))).as_deref(), Some("x"), "{round}, {i} of {last}");
        }
        promised += last + 1;
        store.close().expect("closed");
    }
    assert!(promised > 1_000, "{promised}");
    assert!(examine(&path).len() >= promised as usize);
}

#[test]
fn a_directory_that_goes_meanwhile_is_no_end() {
    let (dir, path) = place();
    let store = open(&path);
    for i in 0..500 {
        put(&store, &key(i), "x");
    }
    std::fs::remove_dir_all(dir.path()).expect("removed");
    let entry = cacheness_testkit::sample::inline("late", b"x");
    store.put(&entry).expect_err("gone");
    store.close().expect("closed");
}

/// Whoever only reads could not remove it: the last who writes does as much as can be done.
#[test]
fn a_writer_leaves_no_long_log_to_readers() {
    let (_dir, path) = place();
    let never = SqliteOptions::new(&path).log_pages(u32::MAX);
    let writer = SqliteMetadata::open(never).expect("opened");
    put(&writer, "first", "x");
    let reader = SqliteMetadata::open(SqliteOptions::new(&path).access(Access::ReadOnly)).expect("opened");
    let text = "x".repeat(20_000);
    for i in 0..1_000 {
        put(&writer, &key(i), &text);
    }
    assert!(length(&path, "-wal") > 16 << 20, "it is long");
    assert_eq!(get(&reader, &key(7)).as_deref(), Some(text.as_str()));
    writer.close().expect("closed");
    assert_eq!(length(&path, "-wal"), 0);
    assert!(length(&path, "") > 16 << 20, "the database has what the log had");
    for i in 0..1_000 {
        assert_eq!(get(&reader, &key(i)).as_deref(), Some(text.as_str()));
    }
    reader.close().expect("closed");
    drop((reader, writer));
    assert_eq!(length(&path, "-wal"), 0);
    assert_eq!(examine(&path).len(), 1_001);
}

/// Other writers go on while one after the other closes the store.
#[test]
fn writers_that_close_beside_others() {
    let (_dir, path) = place();
    let last = open(&path);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for round in 0..5 {
                    let store = SqliteMetadata::open(SqliteOptions::new(path).log_pages(u32::MAX)).expect("opened");
                    for i in 0..100 {
                        let name = format!("{thread}/{round}/{i}");
                        put(&store, &name, &name.repeat(2_000));
                    }
                    store.close().expect("closed");
                }
            });
        }
        for i in 0..500 {
            put(&last, &key(i), &key(i));
        }
    });
    last.close().expect("closed");
    assert_eq!(examine(&path).len(), 4 * 5 * 100 + 500);
}
