//! A store that is open while a process forks.
#![allow(unsafe_code, clippy::cast_possible_truncation)]

mod common;

use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cacheness_core::ErrorKind;
use cacheness_core::backend::MetadataBackend;
use cacheness_sqlite::SqliteMetadata;
use cacheness_testkit::child::Child;
use common::{examine, get, open, place, put};

/// The process that holds a lock on byte `offset` of the file at `path`, which this process must not have open in SQLite.
fn lock_holder(path: &Path, offset: libc::off_t) -> Option<libc::pid_t> {
    let file = std::fs::File::options().read(true).write(true).open(path).expect("opened");
    // SAFETY: `flock` is plain data for which all zeros are a value, and the descriptor is open.
    unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = libc::F_WRLCK as _;
        lock.l_whence = libc::SEEK_SET as _;
        lock.l_start = offset;
        lock.l_len = 1;
        assert_eq!(libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock), 0);
        (libc::c_int::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid)
    }
}

#[test]
fn a_child_goes_on_when_the_parent_has_closed() {
    let (_dir, path) = place();
    let mut slot = Some(open(&path));
    put(slot.as_ref().expect("open"), "before", "parent");
    let (child, mut line) = Child::with_line(|line| {
        let store = slot.take().expect("inherited");
        line.wait();
        for i in 0..200 {
            put(&store, &format!("child {i}"), "child");
        }
        line.send();
        line.wait();
        for i in 200..300 {
            put(&store, &format!("child {i}"), "child");
        }
        assert_eq!(get(&store, "before").as_deref(), Some("parent"));
        assert_eq!(get(&store, "between").as_deref(), Some("parent"));
        drop(store);
    });
    // The last connection that this process knows of: without the child's locks it would delete the log under it.
    put(slot.as_ref().expect("open"), "last", "parent");
    drop(slot);
    let mut shared_memory = path.clone().into_os_string();
    shared_memory.push("-shm");
    assert_eq!(lock_holder(&path, 0x4000_0002), Some(child.pid()), "the child holds SHARED");
    assert_eq!(lock_holder(Path::new(&shared_memory), 128), Some(child.pid()), "the child holds the dead man's switch");
    line.send();
    line.wait();
    // Another user comes and goes while the child has the store open.
    let second = open(&path);
    assert_eq!(get(&second, "child 199").as_deref(), Some("child"));
    put(&second, "between", "parent");
    second.close().expect("closed");
    line.send();
    child.join();
    let found = examine(&path);
    assert_eq!(found.len(), 303);
}

#[test]
fn many_children_write_at_once() {
    let (_dir, path) = place();
    let store = open(&path);
    put(&store, "parent", "0");
    let children: Vec<_> = (0..8)
        .map(|child| {
            Child::start(|| {
                std::thread::scope(|scope| {
                    for thread in 0..2 {
                        let store = &store;
                        scope.spawn(move || {
                            for i in 0..40 {
                                let key = format!("{child}/{thread}/{i}");
                                put(store, &key, &key);
                                assert_eq!(get(store, &key), Some(key));
                            }
                        });
                    }
                });
                if child % 2 == 0 {
                    store.close().expect("closed");
                    assert_eq!(store.totals().expect_err("closed").kind(), ErrorKind::Closed);
                }
            })
        })
        .collect();
    for i in 0..40 {
        put(&store, &format!("parent/{i}"), "parent");
    }
    children.into_iter().for_each(Child::join);
    store.close().expect("closed");
    assert_eq!(examine(&path).len(), 1 + 40 + 8 * 2 * 40);
}

#[test]
fn a_fork_while_other_threads_write() {
    let (dir, path) = place();
    let other = dir.path().join("other.db");
    let store = open(&path);
    let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (store, stop, written) = (&store, &stop, &written);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let i = written.fetch_add(1, Ordering::Relaxed);
                    put(store, &format!("thread/{i}"), &format!("{thread}"));
                    assert!(get(store, &format!("thread/{i}")).is_some());
                }
            });
        }
        scope.spawn(|| {
            // Stores that come and go, so that a fork meets opening and closing too.
            while !stop.load(Ordering::Relaxed) {
                let store = open(&other);
                put(&store, "k", "x");
                store.close().expect("closed");
            }
        });
        for round in 0..25 {
            let child = Child::start(|| {
                for i in 0..4 {
                    put(&store, &format!("child/{round}/{i}"), "child");
                }
            });
            if round % 2 == 0 {
                child.join();
            } else {
                std::thread::sleep(std::time::Duration::from_millis(round % 5));
                Child::start(|| drop(get(&store, "thread/0"))).join();
                child.join();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    store.close().expect("closed");
    let found = examine(&path);
    assert_eq!(found.keys().filter(|key| key.starts_with("child/")).count(), 100);
    assert_eq!(found.keys().filter(|key| key.starts_with("thread/")).count(), written.load(Ordering::Relaxed));
}

#[test]
fn a_grandchild_goes_on_when_child_and_parent_have_closed() {
    let (_dir, path) = place();
    let mut slot = Some(open(&path));
    put(slot.as_ref().expect("open"), "parent", "x");
    let child = Child::start(|| {
        let store = slot.take().expect("inherited");
        put(&store, "child", "x");
        let mut slot = Some(store);
        let (grandchild, mut line) = Child::with_line(|line| {
            let store = slot.take().expect("inherited");
            line.wait();
            for i in 0..100 {
                put(&store, &format!("grandchild {i}"), "x");
            }
        });
        drop(slot);
        line.send();
        grandchild.join();
    });
    drop(slot);
    child.join();
    assert_eq!(examine(&path).len(), 102);
}

#[test]
fn a_child_that_drops_the_store_takes_nothing_from_the_parent() {
    let (_dir, path) = place();
    let mut slot = Some(open(&path));
    put(slot.as_ref().expect("open"), "a", "1");
    Child::start(|| drop(slot.take())).join();
    // If the child had released locks or deleted the log, another process would now see another database.
    let store = slot.expect("still open here");
    put(&store, "b", "2");
    Child::start(|| {
        let own = open(&path);
        assert_eq!(get(&own, "b").as_deref(), Some("2"));
        put(&own, "c", "3");
    })
    .join();
    assert_eq!(get(&store, "c").as_deref(), Some("3"));
    drop(store);
    assert_eq!(examine(&path).len(), 3);
}

#[test]
fn a_child_opens_a_store_of_its_own_beside_the_inherited_one() {
    let (_dir, path) = place();
    let store = open(&path);
    put(&store, "a", "1");
    let child = Child::start(|| {
        let own = open(&path);
        put(&own, "b", "2");
        own.close().expect("closed");
        // Closing it must not have dropped the locks that the inherited one counts on.
        put(&store, "c", "3");
    });
    child.join();
    store.close().expect("closed");
    assert_eq!(examine(&path).len(), 3);
}

#[test]
fn a_store_in_memory_is_copied() {
    let _alone = common::alone();
    let store = SqliteMetadata::open_in_memory().expect("opened");
    put(&store, "a", "1");
    let child = Child::start(|| {
        assert_eq!(get(&store, "a").as_deref(), Some("1"));
        put(&store, "b", "2");
        assert_eq!(store.totals().expect("totals").entries, 2);
        store.close().expect("closed");
    });
    child.join();
    assert_eq!(get(&store, "b"), None);
    put(&store, "c", "3");
    assert_eq!(store.totals().expect("totals").entries, 2);
}
