//! The engine on an object store without POSIX promises: a reader sees the old value, the new one or none, and what a
//! crash leaves is found.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use cacheness_core::backend::{BlobHint, Parts};
use cacheness_core::backends::MemoryMetadata;
use cacheness_core::cache::{CacheAttributes, CacheEngine, InPlace};
use cacheness_core::clock::Clock;
use cacheness_core::config::{CacheConfig, StoreConfig};
use cacheness_core::entry::Format;
use cacheness_core::payload::{Encoded, Payload, Stored};
use cacheness_core::sign::{SignedFields, Signer};
use cacheness_core::store::{Collected, EntryKey, Fetched, Found, PutAttributes, ReadOptions, Store};
use cacheness_core::{Error, ErrorKind, Result};
use cacheness_testkit::objects::{Bucket, BucketOptions, Objects, Request};
use cacheness_testkit::sample;

const HOUR: Duration = Duration::from_secs(3600);

/// Values have some parts, so that a blob can vanish between two requests: that of 100 has four.
const PARTS: Parts = Parts { size: 1000, concurrency: 2 };

struct Place {
    store: Store,
    bucket: Arc<Bucket>,
    clock: Clock,
}

fn place_with(options: BucketOptions) -> Place {
    // Some hours ago, so that time can pass without being in the future of the system's clock, by which blobs are dated.
    let clock = Clock::manual(Clock::system().now());
    clock.advance(-micros(48 * HOUR));
    let bucket = Bucket::new(clock.clone(), options);
    let signer = Signer::in_memory(SignedFields::ALL).expect("a key");
    let config = StoreConfig { inline_threshold_bytes: 100, ..StoreConfig::default() };
    let blobs = Arc::new(Objects::of(&bucket));
    let store = Store::new(Box::new(MemoryMetadata::new()), blobs, Some(signer), config, clock.clone());
    Place { store, bucket, clock }
}

fn place() -> Place {
    place_with(BucketOptions { parts: PARTS, ..BucketOptions::default() })
}

/// Garbage is due as soon as the clock moves.
fn hasty_place() -> Place {
    place_with(BucketOptions { parts: PARTS, grace: Duration::from_micros(1), ..BucketOptions::default() })
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).expect("a short time")
}

fn name(key: &str) -> EntryKey {
    EntryKey::from_name(key).expect("a name")
}

fn encoded(payload: Payload<'_>) -> Encoded<'_> {
    Encoded { format: Format { ..sample::inline("", b"").format }, payload, extension: "bin".into() }
}

/// A value of several parts, all bytes of which are the same.
fn value(number: u64) -> Vec<u8> {
    let byte = number.to_le_bytes()[0];
    vec![byte; 2000 + usize::from(byte) * 20]
}

fn put(store: &Store, key: &str, number: u64) {
    store.put(&name(key), encoded(Payload::Bytes(value(number).into())), PutAttributes::default()).expect("put");
}

/// Decodes as a handler of arrays does: a header, then the rest; the check sees a mixture of two values.
fn decode(stored: Stored) -> Result<u64> {
    let header = stored.peek(10)?;
    let size = usize::try_from(stored.size()).expect("small");
    let mut rest = vec![0; size - header.len()];
    stored.read_into(&header, &mut rest)?;
    let byte = header[0];
    assert!(header.iter().chain(&rest).all(|other| *other == byte), "a mixture of two values");
    assert_eq!(size, value(byte.into()).len(), "a value of another size");
    Ok(byte.into())
}

fn read(store: &Store, key: &str, verify: bool) -> Result<Option<u64>> {
    match store.read(&name(key), ReadOptions { verify, strict: true }, |_| true, decode)? {
        Found::Value(number) => Ok(Some(number)),
        Found::Missing => Ok(None),
        other => panic!("{other:?}"),
    }
}

/// Deletes garbage that has just been made.
fn collect(place: &Place) {
    place.clock.advance(10);
    place.store.collect_garbage().expect("collected");
}

/// Calls `act` ahead of the `number`-th read of an object, once.
fn before_read(bucket: &Bucket, number: u64, act: impl Fn() + Send + Sync + 'static) {
    let reads = AtomicU64::new(0);
    bucket.before_each(move |request| {
        if matches!(request, Request::Get(_)) && reads.fetch_add(1, Ordering::Relaxed) + 1 == number {
            act();
        }
    });
}

#[test]
fn a_blob_that_vanishes_at_any_request_is_replaced_by_the_new_value() {
    for verify in [true, false] {
        for number in 1..=4 {
            let place = Arc::new(hasty_place());
            put(&place.store, "k", 100);
            let other = Arc::clone(&place);
            before_read(&place.bucket, number, move || {
                put(&other.store, "k", 7);
                collect(&other);
            });
            assert_eq!(read(&place.store, "k", verify).expect("no error"), Some(7), "request {number}");
            assert_eq!(place.bucket.objects().len(), 1);
        }
    }
}

#[test]
fn an_entry_that_is_deleted_at_any_request_is_a_miss() {
    for number in 1..=4 {
        let place = Arc::new(hasty_place());
        put(&place.store, "k", 100);
        let other = Arc::clone(&place);
        before_read(&place.bucket, number, move || {
            assert!(other.store.delete("k").expect("deleted"));
            collect(&other);
        });
        assert_eq!(read(&place.store, "k", true).expect("no error"), None, "request {number}");
    }
}

/// The cache looks up and decodes through a driver of its own.
#[test]
fn a_cache_reads_the_new_value_when_a_blob_vanishes() {
    for number in 1..=4 {
        let Place { store, bucket, clock } = hasty_place();
        let cache = Arc::new(CacheEngine::new(store, &CacheConfig::default()).expect("a cache"));
        let put = |cache: &CacheEngine, number| {
            let encoded = encoded(Payload::Bytes(value(number).into()));
            cache.put(&name("k"), encoded, CacheAttributes::default()).expect("put");
        };
        put(&cache, 100);
        let other = Arc::clone(&cache);
        before_read(&bucket, number, move || {
            put(&other, 7);
            clock.advance(10);
            other.store().collect_garbage().expect("collected");
        });
        let options = cache.store().read_options();
        let found = cache.read(&name("k"), None, options, &InPlace, decode).expect("no error");
        assert_eq!(found, Some(7), "request {number}");
        let counts = cache.counts();
        assert_eq!((counts.hits, counts.misses, counts.failures), (1, 0, 0), "it is one hit");
    }
}

/// A blob that is gone although its entry names it is damage, however often it is looked at.
#[test]
fn a_lost_blob_is_an_error() {
    let place = place();
    put(&place.store, "k", 100);
    let lost = place.bucket.objects();
    place.store.blobs().delete(&[&lost[0]]).expect("deleted");
    let error = read(&place.store, "k", true).expect_err("its blob is lost");
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
    assert!(error.to_string().contains(&lost[0]) && error.hint().is_some(), "{error}");
    // Also where decoding has failed for another reason before.
    let found = place.store.read(
        &name("k"),
        place.store.read_options(),
        |_| true,
        |_| Err::<(), _>(Error::new(ErrorKind::Serialization, "not decodable")),
    );
    assert_eq!(found.expect_err("its own error").kind(), ErrorKind::Serialization);
}

#[test]
fn threads_that_put_replace_delete_and_read() {
    const ROUNDS: u64 = 600;
    let place = hasty_place();
    let (store, is_over) = (&place.store, AtomicBool::new(false));
    let (found, missed) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        put(store, "k", round * 2 + writer);
                        if round % 5 == writer {
                            store.delete("k").expect("deleted");
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                collect(&place);
            }
        });
        for verify in [true, false] {
            let (is_over, found, missed) = (&is_over, &found, &missed);
            scope.spawn(move || {
                while !is_over.load(Ordering::Acquire) {
                    let counter = if read(store, "k", verify).expect("no error").is_some() { found } else { missed };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
        is_over.store(true, Ordering::Release);
    });
    assert!(found.load(Ordering::Relaxed) > 0, "no reader has found a value");
    collect(&place);
    assert!(place.bucket.objects().len() <= 1, "{:?}", place.bucket.objects());
    assert_eq!(place.bucket.uploads(), 0);
}

#[test]
fn a_reader_has_the_grace_to_end() {
    let place = place();
    put(&place.store, "k", 100);
    let Fetched::Found(stored) = place.store.fetch(&name("k"), place.store.read_options(), |_| true).expect("got")
    else {
        panic!("it is there")
    };
    put(&place.store, "k", 7);
    place.clock.advance(micros(Duration::from_secs(599)));
    assert_eq!(place.store.collect_garbage().expect("collected"), 0);
    assert_eq!(decode(*stored).expect("still there"), 100);
    place.clock.advance(micros(Duration::from_secs(1)));
    assert_eq!(place.store.collect_garbage().expect("collected"), 1);
    assert_eq!(read(&place.store, "k", true).expect("got"), Some(7));
}

#[test]
fn garbage_is_collected_without_being_asked() {
    let place = place();
    let steps = 20;
    for round in 0..steps {
        put(&place.store, "k", round);
        place.clock.advance(micros(Duration::from_secs(601)));
    }
    // Each put deletes what those before it have orphaned.
    assert!(place.bucket.objects().len() <= 3, "{} objects", place.bucket.objects().len());
    assert_eq!(read(&place.store, "k", true).expect("got"), Some(steps - 1));
}

#[test]
fn everything_that_removes_entries_leaves_garbage_to_be_collected() {
    let place = place();
    for number in 0..10 {
        put(&place.store, &format!("{number}"), number);
    }
    assert!(place.store.delete("0").expect("deleted"));
    let version = place.store.get_entry("1").expect("got").expect("there").entry.version();
    assert!(place.store.delete_batch(&[version]).expect("deleted").is_empty());
    put(&place.store, "2", 20);
    assert_eq!(place.store.clear().expect("cleared"), 8);
    assert_eq!(place.bucket.objects().len(), 11, "all are still there");
    // Not yet due, and no orphans either.
    place.bucket.settle();
    assert_eq!(place.store.gc(Some(Duration::ZERO)).expect("collected"), Collected::default());
    place.clock.advance(micros(Duration::from_secs(600)));
    assert_eq!(place.store.gc(None).expect("collected").garbage, 11);
    assert!(place.bucket.objects().is_empty());
}

/// A writer that was killed before its commit, and one that was killed while it wrote.
#[test]
fn what_a_crash_leaves_is_found_when_it_is_old() {
    let place = place();
    let hint = BlobHint { stem: "0123456789abcdef", extension: "bin", size: None };
    let killed = |bytes: &[u8]| {
        let mut writer = place.store.blobs().create(hint).expect("a writer");
        writer.write_all(bytes).expect("written");
        writer
    };
    let orphan = killed(&[1; 1234]).commit().expect("committed");
    drop(killed(&[2; 5000]));
    assert_eq!((place.bucket.objects().len(), place.bucket.uploads()), (1, 1));
    put(&place.store, "k", 100);
    place.clock.advance(micros(HOUR / 2));
    // The process that is still alive began later.
    let running = killed(&[3; 5000]);
    // The system's clock, by which the age of a blob is told, is 47 and a half hours ahead.
    assert_eq!(place.store.gc(Some(49 * HOUR)).expect("collected"), Collected::default(), "too young");
    place.clock.advance(micros(HOUR));
    let age = 47 * HOUR;
    let collected = place.store.gc(Some(age)).expect("collected");
    assert_eq!((collected.garbage, collected.orphans, collected.orphan_bytes), (0, 1, 1234));
    assert!(!place.bucket.objects().contains(&orphan.locator));
    assert_eq!(place.store.blobs().sweep(HOUR).expect("swept"), 1, "the upload of the killed one, and no other");
    assert_eq!(running.commit().expect("committed").size, 5000);
    assert_eq!(read(&place.store, "k", true).expect("got"), Some(100));
}

/// A late listing shows an object that has been deleted, or not yet one that exists.
#[test]
fn a_late_listing_confuses_no_collection() {
    let place = place();
    put(&place.store, "k", 100);
    let hint = BlobHint { stem: "0123456789abcdef", extension: "bin", size: None };
    let orphan = place.store.blobs().create(hint).expect("a writer").commit().expect("committed");
    assert_eq!(place.store.gc(Some(Duration::ZERO)).expect("collected").orphans, 0, "nothing is listed yet");
    place.bucket.settle();
    // The same orphan is listed until its deletion shows.
    for _ in 0..2 {
        assert_eq!(place.store.gc(Some(Duration::ZERO)).expect("collected").orphans, 1);
        assert!(!place.bucket.objects().contains(&orphan.locator));
    }
    place.bucket.settle();
    assert_eq!(place.store.gc(Some(Duration::ZERO)).expect("collected").orphans, 0);
    assert_eq!(read(&place.store, "k", true).expect("got"), Some(100));
}

/// While puts run, `gc` deletes what is old and has no entry, and no blob of a put.
#[test]
fn a_collection_beside_running_puts() {
    let place = place();
    let hint = BlobHint { stem: "0123456789abcdef", extension: "bin", size: None };
    for _ in 0..2500 {
        place.store.blobs().create(hint).expect("a writer").commit().expect("committed");
    }
    // To the present: what is put from now on is young.
    place.clock.advance(micros(48 * HOUR));
    let (store, is_over) = (&place.store, AtomicBool::new(false));
    let orphans = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| scope.spawn(move || (0..300).for_each(|i| put(store, &format!("{writer}/{}", i % 20), i))))
            .collect();
        let collector = scope.spawn(|| {
            let (mut orphans, begun) = (0, place.clock.now());
            while !is_over.load(Ordering::Acquire) {
                orphans += store.gc(Some(HOUR)).expect("collected").orphans;
                // A put that is under way all the time must not become an hour old.
                if place.clock.now() < begun.saturating_add(HOUR / 2) {
                    place.bucket.settle();
                }
            }
            place.bucket.settle();
            orphans + store.gc(Some(HOUR)).expect("collected").orphans
        });
        let written: Vec<_> = writers.into_iter().map(ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Release);
        written.into_iter().for_each(|written| written.expect("no panic"));
        collector.join().expect("no panic")
    });
    assert!(orphans >= 2500, "{orphans}");
    for writer in 0..3 {
        for key in 0..20 {
            let found = read(store, &format!("{writer}/{key}"), true).expect("its blob is there");
            assert_eq!(found, Some((280 + key) % 256));
        }
    }
}

/// Killed between deleting garbage and forgetting it, and two that collect at once.
#[test]
fn garbage_that_is_deleted_already_is_no_error() {
    let place = place();
    for number in 0..30 {
        put(&place.store, &format!("{number}"), number);
    }
    assert_eq!(place.store.clear().expect("cleared"), 30);
    place.clock.advance(micros(Duration::from_secs(600)));
    let due = place.store.metadata().garbage(place.clock.now(), 10).expect("listed");
    let locators: Vec<&str> = due.iter().map(String::as_str).collect();
    place.store.blobs().delete(&locators).expect("deleted");
    let store = &place.store;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| store.collect_garbage().expect("collected"))).collect();
        assert!(threads.into_iter().map(|thread| thread.join().expect("no panic")).sum::<u64>() >= 30);
    });
    assert_eq!(store.collect_garbage().expect("collected"), 0);
    assert!(place.bucket.objects().is_empty());
    assert!(store.metadata().garbage(place.clock.now(), 10).expect("listed").is_empty());
}

/// An encoder that fails after some parts leaves neither an upload nor an object.
#[test]
fn a_failed_put_leaves_nothing() {
    let place = place();
    put(&place.store, "k", 100);
    let before = place.bucket.objects();
    let stream = Payload::Stream(Box::new(|writer| {
        writer.write_all(&[1; 5500]).map_err(|e| Error::io("cannot write", e))?;
        Err(Error::new(ErrorKind::Serialization, "cannot encode"))
    }));
    let error = place.store.put(&name("k"), encoded(stream), PutAttributes::default()).expect_err("it fails");
    assert_eq!(error.kind(), ErrorKind::Serialization);
    assert_eq!((place.bucket.objects(), place.bucket.uploads()), (before.clone(), 0));
    // One that turns out to be too large when it is written.
    let stream = Payload::Stream(Box::new(|writer| writer.write_all(&[1; 5500]).map_err(|e| Error::io("cannot", e))));
    let attributes = PutAttributes { max_bytes: Some(5000), ..PutAttributes::default() };
    let error = place.store.put(&name("k"), encoded(stream), attributes).expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Full);
    assert_eq!((place.bucket.objects(), place.bucket.uploads()), (before, 0));
    assert_eq!(read(&place.store, "k", true).expect("got"), Some(100));
}

/// A reader that opens before the writer commits, at every request of a put.
#[test]
fn a_reader_at_any_request_of_a_put_sees_one_of_the_values() {
    let place = Arc::new(hasty_place());
    put(&place.store, "k", 100);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (other, seeing) = (Arc::clone(&place), Arc::clone(&seen));
    place.bucket.before_each(move |request| {
        if !matches!(request, Request::Get(_)) {
            seeing.lock().expect("no panic").push(read(&other.store, "k", true).expect("no error"));
        }
    });
    put(&place.store, "k", 200);
    collect(&place);
    let seen = seen.lock().expect("no panic").clone();
    assert!(seen.len() > 5, "{seen:?}");
    let new = seen.iter().position(|value| *value == Some(200)).expect("the deletion comes after the commit");
    assert!(seen[..new].iter().all(|value| *value == Some(100)), "{seen:?}");
    assert!(seen[new..].iter().all(|value| *value == Some(200)), "{seen:?}");
}
