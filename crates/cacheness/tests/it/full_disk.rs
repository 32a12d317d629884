//! A disk that is full: what removes entries works when nothing else does, and what was not to go is still there. A real
//! file system that is full is in `mounts.rs`; here the kernel's answers are those of one.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cacheness::config::StoreConfig;
use cacheness::prelude::*;
use cacheness::{CacheConfig, Clock, Error, ErrorKind, OpenMode, Place};
use cacheness_testkit::syscalls::{Answer, Call, Kind, supervise};

use crate::{blobs, cache_at, noise_of};

const BACKENDS: [&str; 2] = ["sqlite", "json"];
const RESERVE: u64 = 512 << 10;

/// A file system with so many free bytes. Files take whole blocks; what is written over takes none.
struct Disk {
    free: AtomicU64,
    /// Nothing that is deleted makes room: somebody else is faster.
    greedy: bool,
}

fn blocks(bytes: u64) -> u64 {
    bytes.div_ceil(4096) * 4096
}

fn size(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).map_or(0, |found| found.len())
}

impl Disk {
    fn full() -> Self {
        Self { free: AtomicU64::new(0), greedy: false }
    }

    fn take(&self, bytes: u64) -> Answer {
        let taken = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(bytes));
        if taken.is_ok() { Answer::Go } else { Answer::Fail(libc::ENOSPC) }
    }

    fn give(&self, bytes: u64) -> Answer {
        if !self.greedy {
            self.free.fetch_add(bytes, Ordering::Relaxed);
        }
        Answer::Go
    }

    fn judge(&self, call: &Call) -> Answer {
        let had = size(&call.path);
        match (call.kind, call.written()) {
            (Kind::Write, Some((bytes, at))) => {
                let end = at.unwrap_or(had) + bytes.len() as u64;
                self.take(blocks(end).saturating_sub(blocks(had)))
            }
            (Kind::Length, _) if call.name == "fallocate" => {
                if call.path.ends_with("reserve") {
                    self.take(RESERVE)
                } else {
                    Answer::Go
                }
            }
            (Kind::Length, _) if call.name.contains("truncate") => {
                self.give(blocks(had).saturating_sub(blocks(call.length())))
            }
            (Kind::Unlink, _) => self.give(blocks(had)),
            (Kind::Rename, _) => self.give(call.to.as_ref().map_or(0, |to| blocks(size(to)))),
            _ => Answer::Go,
        }
    }

    fn run<T: Send>(&self, dir: &Path, work: impl FnOnce() -> T + Send) -> T {
        supervise(dir, |call| self.judge(call), work)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Inline,
    Blobs,
}

const COUNT: u64 = 12;

impl Size {
    fn value(self, number: u64) -> Vec<u8> {
        noise_of(number, if self == Self::Inline { 20_000 } else { 60_000 })
    }
}

/// Entries 0 to 11, of which the odd ones have expired.
fn filled(dir: &Path, backend: &str, size: Size) -> (Cache, Clock) {
    let mut config = CacheConfig::default();
    config.store.metadata_backend = Some(backend.into());
    let (cache, clock) = cache_at(dir, config);
    for number in 0..COUNT {
        let options = if number % 2 == 1 { PutOptions::new().ttl(Duration::from_secs(60)) } else { PutOptions::new() };
        let options = options.metadata(serde_json::json!({ "odd": number % 2 == 1 }));
        cache.put_with(&size.value(number), params! { number: number }, options).unwrap();
    }
    clock.advance(120_000_000);
    (cache, clock)
}

#[derive(Clone, Copy, Debug)]
enum Removal {
    Invalidate,
    Cleanup,
    Matching,
    Clear,
}

const REMOVALS: [Removal; 4] = [Removal::Invalidate, Removal::Cleanup, Removal::Matching, Removal::Clear];

impl Removal {
    fn run(self, cache: &Cache) -> cacheness::Result<u64> {
        match self {
            Self::Invalidate => cache.invalidate(params! { number: 1 }).map(u64::from),
            Self::Cleanup => cache.cleanup_expired(),
            Self::Matching => cache.delete_matching(serde_json::json!({ "odd": true })),
            Self::Clear => cache.clear(),
        }
    }

    fn removes(self, number: u64) -> bool {
        match self {
            Self::Invalidate => number == 1,
            Self::Cleanup | Self::Matching => number % 2 == 1,
            Self::Clear => true,
        }
    }
}

/// What was not to go is there, and nothing else.
fn check(cache: &Cache, size: Size, gone: impl Fn(u64) -> bool, what: &str) {
    let listed: Vec<_> = cache.list_entries().unwrap().into_iter().map(|entry| entry.key().to_owned()).collect();
    for number in 0..COUNT {
        let key = cache.entry_key(params! { number: number }).unwrap();
        assert_eq!(listed.iter().any(|found| found == key.as_str()), !gone(number), "{what}: {number}");
        if number % 2 == 0 {
            let expected = (!gone(number)).then(|| size.value(number));
            assert_eq!(cache.get::<Vec<u8>>(params! { number: number }).unwrap(), expected, "{what}: {number}");
        }
    }
}

fn check_refused(error: &Error, what: &str) {
    assert!(error.is_no_space() && error.kind() == ErrorKind::Storage, "{what}: {error:?}");
    let hint = error.hint().unwrap_or_default();
    for word in ["full", "free", "blobs", "tmp", "lost"] {
        let forgets = word == "lost" && hint.contains("a miss from then on");
        assert!(hint.contains(word) || forgets, "{what}: {word}: {hint}");
    }
}

#[test]
fn everything_that_removes_works() {
    for backend in BACKENDS {
        for size in [Size::Inline, Size::Blobs] {
            for removal in REMOVALS {
                for reopened in [false, true] {
                    let what = format!("{backend}, {size:?}, {removal:?}, reopened: {reopened}");
                    // The whole of a JSON file is written for each change: the reserve is too small for one with values in it.
                    if backend == "json" && size == Size::Inline && !matches!(removal, Removal::Clear) {
                        continue;
                    }
                    let dir = crate::scratch();
                    let (mut cache, clock) = filled(dir.path(), backend, size);
                    let disk = Disk::full();
                    if reopened {
                        // Full to the last byte also behind the log that is removed with the last handle.
                        disk.run(dir.path(), || drop(cache));
                        disk.free.store(0, Ordering::Relaxed);
                        let open = || Cache::builder().directory(dir.path()).clock(clock.clone()).open();
                        cache = disk.run(dir.path(), open).unwrap_or_else(|error| panic!("{what}: {error:?}"));
                        assert!(!cache.engine().store().is_read_only(), "{what}");
                    }
                    let removed = disk.run(dir.path(), || {
                        let refused = cache.put(&noise_of(1, 2 << 20), params! { large: 1 }).unwrap_err();
                        assert!(refused.is_no_space(), "{what}: {refused:?}");
                        removal.run(&cache).unwrap_or_else(|error| panic!("{what}: {error:?}"))
                    });
                    assert_eq!(removed, (0..COUNT).filter(|number| removal.removes(*number)).count() as u64, "{what}");
                    disk.run(dir.path(), || {
                        check(&cache, size, |number| removal.removes(number), &what);
                        // Where there is room again, it is used.
                        if matches!(removal, Removal::Clear) {
                            cache.put(&size.value(50), params! { number: 50 }).unwrap();
                            cache.invalidate(params! { number: 50 }).unwrap();
                        }
                        cache.close().unwrap();
                    });
                    let cache = Cache::builder().directory(dir.path()).clock(clock).open().unwrap();
                    check(&cache, size, |number| removal.removes(number), &format!("{what}, opened again"));
                    let named = cache.list_entries().unwrap().iter().filter(|entry| !entry.is_inline()).count();
                    assert_eq!(blobs(dir.path()).len(), named, "{what}");
                }
            }
        }
    }
}

/// A store that was made before there was a reserve, or whose reserve somebody has deleted.
#[test]
fn a_cache_without_a_reserve_forgets_payloads_first() {
    for backend in BACKENDS {
        for size in [Size::Inline, Size::Blobs] {
            for removal in REMOVALS {
                let what = format!("{backend}, {size:?}, {removal:?}");
                let dir = crate::scratch();
                let (cache, _clock) = filled(dir.path(), backend, size);
                std::fs::remove_file(dir.path().join("reserve")).unwrap();
                let disk = Disk::full();
                let result = disk.run(dir.path(), || removal.run(&cache));
                let gone = |number| result.is_ok() && removal.removes(number);
                match &result {
                    Ok(removed) => assert_eq!(*removed, (0..COUNT).filter(|number| gone(*number)).count() as u64),
                    Err(error) => check_refused(error, &what),
                }
                assert!(size == Size::Inline || result.is_ok(), "{what}: {result:?}");
                disk.run(dir.path(), || check(&cache, size, gone, &what));
            }
        }
    }
}

/// Room that never comes, because another program takes it: what has lost its payload is a miss, and all else is whole.
#[test]
fn what_cannot_be_removed_is_a_miss_at_most() {
    for backend in BACKENDS {
        for removal in REMOVALS {
            let what = format!("{backend}, {removal:?}");
            let dir = crate::scratch();
            let (cache, _clock) = filled(dir.path(), backend, Size::Blobs);
            let disk = Disk { greedy: true, ..Disk::full() };
            let error = disk.run(dir.path(), || removal.run(&cache)).unwrap_err();
            check_refused(&error, &what);
            for number in (0..COUNT).step_by(2) {
                let expected = (!removal.removes(number)).then(|| Size::Blobs.value(number));
                assert_eq!(cache.get::<Vec<u8>>(params! { number: number }).unwrap(), expected, "{what}: {number}");
                let computed =
                    cache.get_or_insert_with(params! { number: number }, || Size::Blobs.value(number)).unwrap();
                assert_eq!(computed, Size::Blobs.value(number));
            }
            removal.run(&cache).unwrap();
            let named = cache.list_entries().unwrap().len();
            assert_eq!(blobs(dir.path()).len(), named, "{what}");
        }
    }
}

/// An artifact is whole or gone, also where the disk is full.
#[test]
fn what_is_pinned_is_removed_as_a_whole_or_not_at_all() {
    for backend in BACKENDS {
        for reserve in [true, false] {
            for clear in [true, false] {
                for is_cache in [true, false] {
                    let what = format!("{backend}, reserve: {reserve}, clear: {clear}, cache: {is_cache}");
                    let dir = crate::scratch();
                    let config = StoreConfig { metadata_backend: Some(backend.into()), ..StoreConfig::default() };
                    let place = Place::Directory(dir.path().to_owned());
                    let store = BlobStore::open_with(&place, config, OpenMode::default()).unwrap();
                    for number in 0..6 {
                        store.put(&format!("{number}"), &Size::Blobs.value(number)).unwrap();
                    }
                    let cache = Cache::open(dir.path()).unwrap();
                    if !reserve {
                        std::fs::remove_file(dir.path().join("reserve")).unwrap();
                    }
                    let result = Disk::full().run(dir.path(), || match (clear, is_cache) {
                        (true, true) => cache.clear(),
                        (true, false) => store.clear(),
                        (false, true) => cache.invalidate(Named("1")).map(u64::from),
                        (false, false) => store.delete("1").map(u64::from),
                    });
                    match &result {
                        Ok(removed) => assert_eq!(*removed, if clear { 6 } else { 1 }, "{what}"),
                        Err(error) => check_refused(error, &what),
                    }
                    assert_eq!(result.is_ok(), reserve, "{what}: {result:?}");
                    for number in 0..6 {
                        let gone = result.is_ok() && (clear || number == 1);
                        let expected = (!gone).then(|| Size::Blobs.value(number));
                        assert_eq!(store.get::<Vec<u8>>(&format!("{number}")).unwrap(), expected, "{what}: {number}");
                    }
                    assert_eq!(blobs(dir.path()).len(), store.list("", None).unwrap().len(), "{what}");
                }
            }
        }
    }
}

/// A blob that another entry names, too, is not that entry's alone.
#[test]
fn what_is_shared_stays_for_the_others() {
    for backend in BACKENDS {
        let dir = crate::scratch();
        let mut config = CacheConfig::default();
        config.store.metadata_backend = Some(backend.into());
        config.store.content_addressable = true;
        let (cache, _clock) = cache_at(dir.path(), config);
        let value = Size::Blobs.value(1);
        for name in ["a", "b"] {
            cache.put(&value, Named(name)).unwrap();
        }
        assert_eq!(blobs(dir.path()).len(), 1);
        std::fs::remove_file(dir.path().join("reserve")).unwrap();
        let error = Disk::full().run(dir.path(), || cache.invalidate(Named("a"))).unwrap_err();
        check_refused(&error, backend);
        for name in ["a", "b"] {
            assert_eq!(cache.get::<Vec<u8>>(Named(name)).unwrap().as_ref(), Some(&value), "{backend}: {name}");
        }
        assert!(cache.invalidate(Named("a")).unwrap());
        assert_eq!(cache.get::<Vec<u8>>(Named("b")).unwrap(), Some(value));
    }
}

#[test]
fn a_store_that_cannot_be_opened_says_what_to_do() {
    let dir = crate::scratch();
    drop(filled(dir.path(), "sqlite", Size::Blobs));
    std::fs::remove_file(dir.path().join("reserve")).unwrap();
    let open = || Cache::builder().directory(dir.path()).open();
    let error = Disk::full().run(dir.path(), open).map(drop).unwrap_err();
    assert!(error.is_no_space(), "{error:?}");
    let hint = error.hint().unwrap();
    assert!(["free", "blobs", "tmp", "lost"].iter().all(|word| hint.contains(word)), "{hint}");
    // As that says.
    std::fs::remove_file(dir.path().join(&blobs(dir.path())[0])).unwrap();
    let disk = Disk { free: AtomicU64::new(60_000), greedy: false };
    disk.run(dir.path(), || assert_eq!(open().unwrap().clear().unwrap(), COUNT));
    assert!(blobs(dir.path()).is_empty());
}

/// The room is set aside again when there is some.
#[test]
fn the_reserve_comes_back() {
    for backend in BACKENDS {
        let dir = crate::scratch();
        let (cache, _clock) = filled(dir.path(), backend, Size::Blobs);
        let reserve = dir.path().join("reserve");
        assert_eq!(size(&reserve), RESERVE, "{backend}");
        let disk = Disk::full();
        assert!(disk.run(dir.path(), || cache.invalidate(params! { number: 1 }).unwrap()));
        let freed = disk.free.load(Ordering::Relaxed) + size(&reserve);
        assert_eq!(size(&reserve), if freed >= RESERVE { RESERVE } else { 0 }, "{backend}");
        disk.run(dir.path(), || cache.clear().unwrap());
        assert_eq!(size(&reserve), RESERVE, "{backend}");
        cache.close().unwrap();
        std::fs::remove_file(&reserve).unwrap();
        drop(Cache::builder().directory(dir.path()).read_only().open().unwrap());
        assert!(!reserve.exists(), "{backend}: who only reads writes nothing");
        drop(Cache::open(dir.path()).unwrap());
        assert_eq!(size(&reserve), RESERVE, "{backend}");
    }
}

/// What is only told for statistics is no reason to fail.
#[test]
fn reading_listing_and_closing_go_on() {
    for backend in BACKENDS {
        let dir = crate::scratch();
        let (cache, _clock) = filled(dir.path(), backend, Size::Inline);
        Disk { greedy: true, ..Disk::full() }.run(dir.path(), || {
            for _ in 0..3 {
                assert!(cache.get::<Vec<u8>>(params! { number: 2 }).unwrap().is_some());
            }
            let listed = cache.list_entries().unwrap();
            let key = cache.entry_key(params! { number: 2 }).unwrap();
            let read = listed.iter().find(|entry| entry.key() == key.as_str()).unwrap();
            assert_eq!(read.access_count(), 3, "{backend}: what cannot be written down is shown all the same");
            cache.close().unwrap();
        });
        assert_eq!(Cache::open(dir.path()).unwrap().list_entries().unwrap().len() as u64, COUNT, "{backend}");
    }
}
