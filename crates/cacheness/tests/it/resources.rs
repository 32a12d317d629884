//! What a handle holds is released when it is closed, and when it is dropped: descriptors, threads, memory, over thousands
//! of handles. Each test counts in a process of its own.

use std::path::Path;
use std::process::Command;
use std::sync::Barrier;
use std::time::Duration;

use cacheness::config::StoreConfig;
use cacheness::core::cache::InPlace;
use cacheness::prelude::*;
use cacheness::{Error, ErrorKind, OpenMode, Place};

use crate::noise_of;

/// Set in the process that counts.
const ALONE: &str = "CACHENESS_TEST_ALONE";

/// Runs `test` of this file again in a process of its own; returns whether this is that process.
fn alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("resources::{test}"), "--nocapture"])
        .env(ALONE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    false
}

/// What the process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    descriptors: Vec<String>,
    threads: usize,
}

impl Held {
    fn now() -> Self {
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        // The listing's own descriptor is among them, and cannot be read any more.
        let targets = open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
        let mut descriptors: Vec<_> = targets.map(|path| shown(&path)).collect();
        descriptors.sort();
        Self { descriptors, threads: std::fs::read_dir("/proc/self/task").unwrap().count() }
    }

    /// Nothing more than `before`, as soon as the kernel has taken away threads that have just ended.
    #[track_caller]
    fn check(before: &Self, what: &str) {
        let settled = (0..200).any(|_| {
            let now = Self::now();
            now.descriptors == before.descriptors && now.threads <= before.threads || {
                std::thread::sleep(Duration::from_millis(10));
                false
            }
        });
        assert!(settled, "{what}: {:?}, and before {before:?}", Self::now());
    }
}

/// The name of an open file, which may have been replaced since.
fn shown(path: &Path) -> String {
    path.to_string_lossy().trim_end_matches(" (deleted)").to_owned()
}

fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

const MIB: usize = 1 << 20;

#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    Drop,
    /// Closed, and kept.
    Keep,
}

const BACKENDS: [&str; 4] = ["sqlite", "json", "sqlite_memory", "memory"];
const ENDS: [End; 3] = [End::Close, End::Drop, End::Keep];

fn open_cache(dir: &Path, backend: &str) -> Cache {
    Cache::builder().directory(dir).metadata_backend(backend).open().unwrap()
}

/// Uses all that a cache holds anything for: connections, locks of flights, the memory of small entries, noted accesses.
fn use_cache(cache: &Cache, number: u64) {
    cache.put(&number, params! { small: number % 20 }).unwrap();
    cache.put(&noise_of(number, 40_000), params! { large: number % 5 }).unwrap();
    for _ in 0..6 {
        assert_eq!(cache.get::<u64>(params! { small: number % 20 }).unwrap(), Some(number));
    }
    assert!(cache.get::<Vec<u8>>(params! { large: number % 5 }).unwrap().is_some());
    cache.invalidate(params! { computed: number % 3 }).unwrap();
    assert_eq!(cache.get_or_insert_with(params! { computed: number % 3 }, || number).unwrap(), number);
    assert!(cache.list_entries().unwrap().len() > 2);
}

fn use_store(store: &BlobStore, number: u64) {
    store.put("small", &number).unwrap();
    store.put("large", &noise_of(number, 40_000)).unwrap();
    assert_eq!(store.get::<u64>("small").unwrap(), Some(number));
    assert!(store.get::<Vec<u8>>("large").unwrap().is_some());
    assert_eq!(store.list("", None).unwrap().len(), 2);
}

/// Opens, uses and ends `count` handles; nothing more is held then than before.
fn check<H>(what: &str, end: End, count: u64, one: impl Fn(u64) -> H, close: impl Fn(&H)) {
    let mut kept = Vec::new();
    let mut go = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            let handle = one(number);
            match end {
                End::Close => close(&handle),
                End::Drop => {}
                End::Keep => {
                    close(&handle);
                    kept.push(handle);
                }
            }
        }
    };
    // What is made once: a pool of threads, a memory of the allocator's.
    go(0..20);
    let (held, memory) = (Held::now(), resident());
    go(20..20 + count);
    Held::check(&held, &format!("{what}, {end:?}"));
    let grown = resident().saturating_sub(memory);
    assert!(grown < 24 * MIB, "{what}, {end:?}: {} KiB for each of {count}", grown as u64 / 1024 / count);
}

#[test]
fn of_caches() {
    if !alone("of_caches") {
        return;
    }
    for backend in BACKENDS {
        for end in ENDS {
            let dir = crate::scratch();
            let one = |number| {
                let cache = open_cache(dir.path(), backend);
                use_cache(&cache, number);
                cache
            };
            // More than there are places for the locks of flights.
            let count = if matches!(end, End::Keep) && backend == "sqlite" { 1100 } else { 150 };
            check(backend, end, crate::soak(count), one, |cache| cache.close().unwrap());
        }
    }
}

#[test]
fn of_stores() {
    if !alone("of_stores") {
        return;
    }
    for backend in BACKENDS {
        for end in ENDS {
            let dir = crate::scratch();
            let one = |number| {
                let config = StoreConfig { metadata_backend: Some(backend.into()), ..StoreConfig::default() };
                let place = Place::Directory(dir.path().to_owned());
                let store = BlobStore::open_with(&place, config, OpenMode::default()).unwrap();
                use_store(&store, number);
                store
            };
            check(backend, end, crate::soak(300), one, |store| store.close().unwrap());
        }
    }
}

#[test]
fn of_readers() {
    if !alone("of_readers") {
        return;
    }
    for backend in ["sqlite", "json"] {
        let dir = crate::scratch();
        use_cache(&open_cache(dir.path(), backend), 1);
        for end in ENDS {
            let one = |_| {
                let cache = Cache::builder().directory(dir.path()).read_only().open().unwrap();
                for _ in 0..6 {
                    assert_eq!(cache.get::<u64>(params! { small: 1 }).unwrap(), Some(1));
                }
                assert!(cache.get::<Vec<u8>>(params! { large: 1 }).unwrap().is_some());
                // It computes, and cannot store.
                let error = cache.get_or_insert_with(params! { missing: 1 }, || 5).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ReadOnly);
                cache
            };
            check(backend, end, 300, one, |cache| cache.close().unwrap());
        }
    }
}

/// Values of 0.8 MB that nobody can ask for any more.
#[test]
fn of_values_in_memory() {
    if !alone("of_values_in_memory") {
        return;
    }
    for backend in ["memory", "sqlite_memory"] {
        for end in ENDS {
            let value = noise_of(1, 800_000);
            let one = |number| {
                let config = StoreConfig {
                    metadata_backend: Some(backend.into()),
                    inline_threshold_bytes: if number % 2 == 0 { 1 << 20 } else { 1024 },
                    ..StoreConfig::default()
                };
                let store = BlobStore::open_with(&Place::Memory, config, OpenMode::default()).unwrap();
                store.put("value", &value).unwrap();
                store
            };
            check(backend, end, 200, one, |store| store.close().unwrap());
        }
    }
}

/// Connections of many threads, and of a thread that is in the middle of a call when another one closes the cache.
#[test]
fn of_threads() {
    if !alone("of_threads") {
        return;
    }
    for backend in BACKENDS {
        for end in [End::Close, End::Drop] {
            let dir = crate::scratch();
            let one = |number| {
                let cache = open_cache(dir.path(), backend);
                let together = Barrier::new(5);
                std::thread::scope(|scope| {
                    for thread in 0..4 {
                        let (cache, together) = (&cache, &together);
                        scope.spawn(move || {
                            cache.put(&thread, params! { thread: thread }).unwrap();
                            together.wait();
                            let calls = (0..10).map(|call| {
                                cache.put(&noise_of(call, 40_000), params! { thread: thread }).map(drop)?;
                                cache.get::<Vec<u8>>(params! { thread: thread }).map(drop)?;
                                cache.get_or_insert_with(params! { number: number, call: call }, || call).map(drop)?;
                                cache.list_entries().map(drop)
                            });
                            let error = calls.into_iter().find_map(Result::err).filter(|_| matches!(end, End::Close));
                            if let Some(error) = error {
                                assert_eq!(error.kind(), ErrorKind::Closed, "{backend}: {error:?}");
                            }
                        });
                    }
                    together.wait();
                    if matches!(end, End::Close) {
                        cache.close().unwrap();
                    }
                });
                cache
            };
            check(backend, end, 10, one, |cache| cache.close().unwrap());
            if backend == "sqlite" || backend == "json" {
                let cache = open_cache(dir.path(), backend);
                let named = cache.list_entries().unwrap().iter().filter(|entry| entry.size() > 32 << 10).count();
                assert_eq!(crate::blobs(dir.path()).len(), named, "{backend}: a put that was too late leaves no blob");
                assert!(crate::files(dir.path()).iter().all(|name| !name.contains("tmp/")), "{backend}");
            }
        }
    }
}

/// What has been opened before the cache is closed stays readable, and is released by itself.
#[test]
fn of_values_that_are_being_read() {
    if !alone("of_values_that_are_being_read") {
        return;
    }
    for backend in BACKENDS {
        let dir = crate::scratch();
        let before = Held::now();
        let cache = open_cache(dir.path(), backend);
        cache.put(&noise_of(3, 100_000), params! { x: 1 }).unwrap();
        let key = cache.entry_key(params! { x: 1 }).unwrap();
        let options = cache.engine().store().read_options();
        let stored = cache.engine().read(&key, None, options, &InPlace, Ok::<_, Error>).unwrap().unwrap();
        cache.close().unwrap();
        assert_eq!(cache.get::<Vec<u8>>(params! { x: 1 }).unwrap_err().kind(), ErrorKind::Closed);
        let read = <Vec<u8> as cacheness::core::storable::Loadable>::decode(stored).unwrap();
        assert_eq!(read, noise_of(3, 100_000), "{backend}");
        Held::check(&before, backend);
    }
}

/// A computation during which the cache is closed returns its value, or says that the cache is closed; the lock that others
/// wait for is free.
#[test]
fn of_computations_under_way() {
    if !alone("of_computations_under_way") {
        return;
    }
    for backend in ["sqlite", "json"] {
        let dir = crate::scratch();
        let one = |number: u64| {
            let cache = open_cache(dir.path(), backend);
            let result = cache.get_or_insert_with(params! { number: number }, || {
                cache.close().unwrap();
                // Another handle need not wait for the one that is gone.
                let other = open_cache(dir.path(), backend);
                assert_eq!(other.get_or_insert_with(params! { other: number }, || number).unwrap(), number);
                number
            });
            assert!(result.is_ok_and(|found| found == number) || cache.engine().is_closed(), "{backend}");
            cache
        };
        for end in [End::Close, End::Keep] {
            check(backend, end, 100, one, |cache| cache.close().unwrap());
        }
    }
}

/// Visitors of a listing that close the cache under it.
#[test]
fn of_listings_under_way() {
    if !alone("of_listings_under_way") {
        return;
    }
    for backend in BACKENDS {
        let dir = crate::scratch();
        let one = |number| {
            let cache = open_cache(dir.path(), backend);
            use_cache(&cache, number);
            let mut seen = 0;
            let listed = cache.for_each_entry(|_| {
                seen += 1;
                cache.close()
            });
            assert!(seen > 0 && listed.is_ok(), "{backend}: {listed:?}");
            cache
        };
        check(backend, End::Drop, 100, one, |_| {});
    }
}

/// A forked child has a copy of what its parent holds. What it opens itself it releases, as often as it likes.
#[test]
#[allow(unsafe_code)]
fn of_forked_children() {
    if !alone("of_forked_children") {
        return;
    }
    for backend in ["sqlite", "json"] {
        let dir = crate::scratch();
        let cache = open_cache(dir.path(), backend);
        use_cache(&cache, 1);
        let parent = Held::now();
        // SAFETY: the process has one thread that does anything, and the child ends without returning.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                use_cache(&cache, 2);
                cache.close().unwrap();
                let one = |number| {
                    let cache = open_cache(dir.path(), backend);
                    use_cache(&cache, number);
                    cache
                };
                for end in [End::Close, End::Drop] {
                    check(backend, end, 50, one, |cache| cache.close().unwrap());
                }
            }));
            // SAFETY: nothing of the parent's is cleaned up here.
            unsafe { libc::_exit(i32::from(good.is_err())) };
        }
        let mut status = 0;
        // SAFETY: the child is this process's own.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "{backend}");
        Held::check(&parent, backend);
        use_cache(&cache, 3);
        cache.close().unwrap();
    }
}

/// So many descriptors and no more.
#[allow(unsafe_code)]
fn limit(descriptors: u64) {
    let limit = libc::rlimit { rlim_cur: descriptors, rlim_max: descriptors };
    // SAFETY: the struct is read.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

/// All descriptors but so many are somebody else's.
fn all_but(free: usize) -> Vec<std::fs::File> {
    let mut taken: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    taken.truncate(taken.len() - free);
    taken
}

/// Every operation with every number of descriptors that are left, from none to as many as it needs: it works, or says what
/// the limit is; nothing is lost, and later everything works.
#[test]
fn of_a_limit_that_is_reached() {
    if !alone("of_a_limit_that_is_reached") {
        return;
    }
    limit(100);
    type Run = fn(&Cache, &Path) -> cacheness::Result<()>;
    let operations: [(&str, Run); 13] = [
        ("put", |cache, _| cache.put(&7_u64, params! { small: 1 }).map(drop)),
        ("put of a blob", |cache, _| cache.put(&noise_of(7, 50_000), params! { large: 1 }).map(drop)),
        ("get", |cache, _| cache.get::<u64>(params! { small: 1 }).map(drop)),
        ("get of a blob", |cache, _| cache.get::<Vec<u8>>(params! { large: 1 }).map(drop)),
        ("get in a thread", |cache, _| {
            std::thread::scope(|scope| scope.spawn(|| cache.get::<u64>(params! { small: 2 })).join().unwrap().map(drop))
        }),
        ("list", |cache, _| cache.list_entries().map(drop)),
        ("invalidate", |cache, _| cache.invalidate(params! { large: 1 }).map(drop)),
        ("compute", |cache, _| cache.get_or_insert_with(params! { computed: 1 }, || 5_u64).map(drop)),
        ("touch", |cache, _| cache.touch(params! { small: 1 }, None).map(drop)),
        ("rotate", |cache, _| cache.engine().store().rotate_signing_key().map(drop)),
        ("open", |_, path| Cache::open(path).map(drop)),
        ("open to read", |_, path| Cache::builder().directory(path).read_only().open().map(drop)),
        ("clear", |cache, _| cache.clear().map(drop)),
    ];
    for backend in ["sqlite", "json"] {
        for (name, run) in operations {
            let mut failed = 0;
            for free in 0..12 {
                if name == "rotate" && free > 4 {
                    continue;
                }
                let what = format!("{backend}, {name} with {free} descriptors");
                let dir = crate::scratch();
                let cache = open_cache(dir.path(), backend);
                for number in 1..3_u64 {
                    cache.put(&number, params! { small: number }).unwrap();
                    cache.put(&noise_of(number, 50_000), params! { large: number }).unwrap();
                }
                // As it is when it is opened: no connection that is idle, nothing in memory.
                drop(cache);
                let cache = open_cache(dir.path(), backend);
                let taken = all_but(free);
                let result = run(&cache, dir.path());
                if let Err(error) = &result {
                    failed += 1;
                    assert!(error.hint().is_some_and(|hint| hint.contains("ulimit -n")), "{what}: {error:?}");
                    assert_eq!(error.kind(), ErrorKind::Storage, "{what}: {error:?}");
                }
                drop(taken);
                let of = |which: u64, done: Option<u64>| if result.is_ok() && which == 1 { done } else { Some(which) };
                for number in 1..3 {
                    let small = if name == "put" { of(number, Some(7)) } else { Some(number) };
                    let large = match name {
                        "put of a blob" => of(number, Some(7)),
                        "invalidate" => of(number, None),
                        _ => Some(number),
                    };
                    let cleared = name == "clear" && result.is_ok();
                    let (small, large) = if cleared { (None, None) } else { (small, large) };
                    assert_eq!(cache.get::<u64>(params! { small: number }).unwrap(), small, "{what}");
                    let large = large.map(|number| noise_of(number, 50_000));
                    assert_eq!(cache.get::<Vec<u8>>(params! { large: number }).unwrap(), large, "{what}");
                }
                assert_eq!(cache.get_or_insert_with(params! { computed: 1 }, || 5_u64).unwrap(), 5, "{what}");
                let named = cache.list_entries().unwrap().iter().filter(|entry| !entry.is_inline()).count();
                // Deleting a file takes a descriptor of its directory: behind a removal, what is left over harms nothing.
                let spare =
                    if result.is_ok() && ["invalidate", "clear", "put of a blob"].contains(&name) { 2 } else { 0 };
                let files = crate::blobs(dir.path()).len();
                assert!((named..=named + spare).contains(&files), "{what}: {files} files, {named} of them named");
                run(&cache, dir.path()).unwrap_or_else(|error| panic!("{what}, again: {error:?}"));
            }
            // The JSON file is written anew by each change; what is read is in memory.
            let writes = ["put", "invalidate", "compute", "touch", "rotate", "clear"].contains(&name);
            let needs_some = name.contains("blob") || name.contains("open") || backend == "json" && writes;
            assert!(failed > 0 || !needs_some, "{backend}, {name}: the limit was never reached");
        }
    }
}
