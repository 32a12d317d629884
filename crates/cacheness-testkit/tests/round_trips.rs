//! How many round trips each operation takes on a database server and an object store: the promise of the contracts.
//!
//! A regression here costs nothing on a local disk, and tens of milliseconds for each round trip on a network.

use std::sync::Arc;

use cacheness_core::backend::{EntryUpdate, Eviction, EvictionOrder};
use cacheness_core::backends::MemoryMetadata;
use cacheness_core::cache::{CacheAttributes, CacheEngine, Ttl};
use cacheness_core::clock::Clock;
use cacheness_core::config::{CacheConfig, StoreConfig};
use cacheness_core::entry::{Format, Totals};
use cacheness_core::payload::{Encoded, Payload};
use cacheness_core::sign::{SignedFields, Signer};
use cacheness_core::store::{EntryKey, Fetched, Found, PutAttributes, Store};
use cacheness_core::{Error, Result};
use cacheness_testkit::latency::{Count, DistantBlobs, DistantMetadata, Trips};
use cacheness_testkit::objects::{Bucket, BucketOptions, Objects};
use cacheness_testkit::sample;

const SMALL: usize = 200;
const ONE_PART: usize = 1_000_000;
/// Twelve parts of 8 MiB.
const LARGE: usize = 100_000_000;

struct Place {
    store: Store,
    trips: Trips,
    bucket: Arc<Bucket>,
    clock: Clock,
    _dir: tempfile::TempDir,
}

fn place() -> Place {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(Clock::system().now());
    let trips = Trips::default();
    let bucket = Bucket::new(clock.clone(), BucketOptions::default());
    let metadata = DistantMetadata::new(MemoryMetadata::new(), &trips);
    let blobs = DistantBlobs::new(Objects::of(&bucket), &trips);
    let signer = Signer::from_file(&dir.path().join("key"), SignedFields::ALL).expect("a key");
    let config = StoreConfig { inline_threshold_bytes: 1000, ..StoreConfig::default() };
    let store = Store::new(Box::new(metadata), Arc::new(blobs), Some(signer), config, clock.clone());
    // The first signed commit of a store is refused once, and records which key signs.
    put(&store, "first", SMALL).expect("put");
    Place { store, trips, bucket, clock, _dir: dir }
}

fn encoded(bytes: Vec<u8>) -> Encoded<'static> {
    let format = Format { ..sample::inline("", b"").format };
    Encoded { format, payload: Payload::Bytes(bytes.into()), extension: "bin".into() }
}

fn name(key: &str) -> EntryKey {
    EntryKey::from_name(key).expect("a name")
}

fn put(store: &Store, key: &str, size: usize) -> Result<()> {
    store.put(&name(key), encoded(vec![7; size]), PutAttributes::default()).map(drop)
}

fn get(store: &Store, key: &str) -> Result<usize> {
    let read = store.read(&name(key), store.read_options(), |_| true, |stored| stored.into_bytes().map(|b| b.len()));
    match read? {
        Found::Value(size) => Ok(size),
        _ => Ok(0),
    }
}

fn keys(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}/{i}")).collect()
}

/// A name, what it does, and the round trips: to the database, and to the object store.
type Row = (&'static str, fn(&Place), u64, u64);

fn many(place: &Place) -> Vec<String> {
    let names = keys("many", 50);
    for name in &names {
        put(&place.store, name, SMALL).expect("put");
    }
    names
}

/// | operation | database | object store |
/// |---|---|---|
/// | put of a small value, new or not | 1 | 0 |
/// | put of a large value of one part | 1 | 1 |
/// | put of 100 MB | 1 | 12 parts + 2 |
/// | get of a small value | 1 | 0 |
/// | get of a large value of one part | 1 | 1 |
/// | get of 100 MB, signed, verified | 1 | 12 parts |
/// | get of a header, then of the rest | 1 | 12 parts |
/// | get of a missing value | 1 | 0 |
/// | delete of a small or a large value | 1 | 0: its blob is garbage |
/// | update of an entry, signed again | 2 | 0 |
/// | pin, clear, evict | 1 | 0 |
/// | look up, update, delete 50 entries | 1, 2, 1 | 0 |
/// | collect garbage that is due | 2 | 1 |
/// | rotate the key that signs | 1, and 3 for each thousand entries | 0 |
const TABLE: &[Row] = &[
    ("put small", |p| put(&p.store, "small", SMALL).expect("put"), 1, 0),
    ("put small again", |p| put(&p.store, "small", SMALL + 1).expect("put"), 1, 0),
    ("put one part", |p| put(&p.store, "part", ONE_PART).expect("put"), 1, 1),
    ("put one part again", |p| put(&p.store, "part", ONE_PART + 1).expect("put"), 1, 1),
    ("put large", |p| put(&p.store, "large", LARGE).expect("put"), 1, 14),
    ("get small", |p| assert_eq!(get(&p.store, "small").expect("got"), SMALL + 1), 1, 0),
    ("get one part", |p| assert_eq!(get(&p.store, "part").expect("got"), ONE_PART + 1), 1, 1),
    ("get large", |p| assert_eq!(get(&p.store, "large").expect("got"), LARGE), 1, 12),
    ("get a header and the rest", |p| header_and_rest(&p.store), 1, 12),
    ("verify large", |p| verify(&p.store), 1, 12),
    ("get missing", |p| assert_eq!(get(&p.store, "missing").expect("got"), 0), 1, 0),
    ("look at one entry", |p| assert!(p.store.get_entry("large").expect("got").is_some()), 1, 0),
    ("update", |p| assert!(p.store.update_entry("large", |_| Ok(description())).expect("updated")), 2, 0),
    ("pin", |p| assert!(p.store.set_pinned("part", true).expect("pinned")), 1, 0),
    ("delete small", |p| assert!(p.store.delete("small").expect("deleted")), 1, 0),
    ("delete large", |p| assert!(p.store.delete("large").expect("deleted")), 1, 0),
    ("delete missing", |p| assert!(!p.store.delete("missing").expect("deleted")), 1, 0),
    ("put 50 small", |p| drop(many(p)), 50, 0),
    ("look at 50 entries", |p| look_at_all(p, 50), 1, 0),
    ("look at 1 of 50", |p| look_at_all(p, 1), 1, 0),
    ("update 50 entries", |p| update_all(p), 2, 0),
    ("list", |p| p.store.for_each("", |_| Ok(())).expect("listed"), 1, 0),
    ("evict", evict, 1, 0),
    ("delete 25 versions", delete_all, 2, 0),
    ("collect what is due", collect, 2, 1),
    ("collect where nothing is due", |p| assert_eq!(p.store.collect_garbage().expect("collected"), 0), 1, 0),
    ("clear", |p| assert_eq!(p.store.clear().expect("cleared"), 1), 1, 0),
];

fn description() -> EntryUpdate {
    EntryUpdate { description: Some(Some("new".into())), ..EntryUpdate::default() }
}

/// As the handlers of arrays do: they read a header, get memory, and read the rest into it.
fn header_and_rest(store: &Store) {
    let decode = |stored: cacheness_core::payload::Stored| {
        let header = stored.peek(4096)?;
        let mut rest = vec![0; LARGE - header.len()];
        stored.read_into(&header, &mut rest)?;
        Ok::<_, Error>(rest.len())
    };
    let found = store.read(&name("large"), store.read_options(), |_| true, decode).expect("got");
    assert!(matches!(found, Found::Value(size) if size == LARGE - 4096));
}

fn verify(store: &Store) {
    let Fetched::Found(stored) = store.fetch(&name("large"), store.read_options(), |_| true).expect("got") else {
        panic!("it is there")
    };
    stored.verify().expect("whole");
}

fn look_at_all(place: &Place, count: usize) {
    let names = keys("many", count);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(place.store.get_entries(&names).expect("got").iter().flatten().count(), count);
}

fn update_all(place: &Place) {
    let names = keys("many", 50);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(place.store.update_entries(&names, |_| Ok(Some(description()))).expect("updated"), 50);
}

fn evict(place: &Place) {
    let Totals { entries, .. } = Totals { entries: 27, bytes: 0 };
    let eviction = Eviction {
        order: EvictionOrder::FirstIn,
        expired_at: place.clock.now(),
        keep: "",
        target: Totals { entries, bytes: u64::MAX },
        count: 100,
        garbage_due: None,
    };
    assert_eq!(place.store.evict(&eviction).expect("evicted").left.entries, 27);
}

fn delete_all(place: &Place) {
    let names = keys("many", 50);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = place.store.get_entries(&names).expect("got");
    let versions: Vec<_> = found.into_iter().flatten().map(|found| found.entry.version()).collect();
    assert!(versions.len() >= 25);
    assert!(place.store.delete_batch(&versions).expect("deleted").is_empty());
}

/// Three blobs have been replaced or deleted.
fn collect(place: &Place) {
    place.clock.advance(601_000_000);
    assert_eq!(place.store.collect_garbage().expect("collected"), 2);
    assert_eq!(place.bucket.objects().len(), 1, "the pinned one");
}

#[test]
fn every_operation_of_a_store() {
    let place = place();
    let measured: Vec<(&str, Count, Count)> = TABLE
        .iter()
        .map(|(name, operation, metadata, blobs)| {
            let before = place.bucket.requests();
            let (count, ()) = place.trips.of(|| operation(&place));
            assert_eq!(place.bucket.requests() - before, count.blobs, "{name}: the server counts as its wrapper does");
            (*name, count, Count { metadata: *metadata, blobs: *blobs })
        })
        .collect();
    let wrong: Vec<_> = measured.iter().filter(|(_, count, expected)| count != expected).collect();
    assert!(wrong.is_empty(), "operation, found, expected: {wrong:#?}");
}

/// One round trip records the key. Each thousand entries take three more: their keys, the entries, their new signatures.
#[test]
fn a_rotation_of_the_key() {
    let Place { store, trips, .. } = &place();
    for (entries, expected) in [(51, 1 + 3), (2500, 1 + 3 * 3)] {
        let known = usize::try_from(store.totals().expect("totals").entries).expect("few");
        keys("rotated", entries - 1)[known - 1..].iter().for_each(|key| put(store, key, SMALL).expect("put"));
        let (count, rotated) = trips.of(|| store.rotate_signing_key().expect("rotated"));
        assert_eq!((rotated, count), (entries as u64, Count { metadata: expected, blobs: 0 }));
        // The writer has the new key already.
        assert_eq!(trips.of(|| put(store, "first", SMALL).expect("put")).0, Count { metadata: 1, blobs: 0 });
    }
}

/// What a cache adds to a store: nothing, but for a look at the totals now and then, and accesses written down in batches.
#[test]
fn a_cache_on_a_store() {
    let Place { store, trips, bucket, clock: _, _dir } = place();
    let cache = CacheEngine::new(store, &CacheConfig::default()).expect("a cache");
    let put = |key: &str, size: usize| {
        cache.put(&name(key), encoded(vec![1; size]), CacheAttributes::default()).expect("put");
    };
    put("warm", SMALL);
    assert_eq!(trips.of(|| put("small", SMALL)).0, Count { metadata: 1, blobs: 0 });
    assert_eq!(trips.of(|| put("part", ONE_PART)).0, Count { metadata: 1, blobs: 1 });
    let (count, ()) = trips.of(|| (0..1000).for_each(|i| put(&format!("{i}"), SMALL)));
    assert!((1000..1050).contains(&count.metadata) && count.blobs == 0, "{count:?}");
    let keys: Vec<EntryKey> = (0..1000).map(|i| name(&format!("{i}"))).collect();
    let (count, removed) = trips.of(|| cache.invalidate_batch(&keys).expect("removed"));
    assert_eq!((removed, count), (1000, Count { metadata: 2, blobs: 0 }));
    assert_eq!(trips.of(|| assert!(cache.exists(&name("small")).expect("looked"))).0, Count { metadata: 1, blobs: 0 });
    assert_eq!(
        trips.of(|| assert!(cache.touch(&name("small"), Ttl::Seconds(60.0)).expect("touched"))).0,
        Count { metadata: 3, blobs: 0 }
    );
    assert_eq!(trips.of(|| cache.set_pinned(&name("small"), true).expect("pinned")).0, Count { metadata: 2, blobs: 0 });
    assert_eq!(trips.of(|| cache.invalidate(&name("part")).expect("removed")).0, Count { metadata: 1, blobs: 0 });
    assert_eq!(bucket.objects().len(), 1, "it is garbage");
    cache.close().expect("closed");
}
