//! The behaviour of every metadata backend.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use cacheness_core::backend::{
    AccessRecord, EntryUpdate, MetadataBackend, Operation, Outcome, Part, Position, PutOutcome, Query,
};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{Entry, Location, Totals};
use cacheness_core::{ErrorKind, Result};

use super::listings::{self, keys};
use super::{
    Check, MetadataFixture, commit, custom, custom_queries, custom_tables, eviction, filters, garbage, guard, reads,
    search, sharing, sql,
};
use crate::ext::{MetadataExt as _, Scan};
use crate::sample::{NOW, blob, full, inline};

/// The checks of a metadata backend; a model test runs besides them.
pub const CHECKS: &[Check<MetadataFixture>] = &[
    ("an empty backend", empty),
    ("every field comes back", every_field),
    ("extreme values come back", extreme_values),
    ("hostile keys are keys like others", listings::hostile_keys),
    ("a put replaces, and keeps the access count", replace),
    ("a replaced or deleted blob is orphaned when no entry names it", orphans),
    ("equal blobs are shared", sharing::equal_blobs),
    ("a damaged blob is replaced for all entries that name it", sharing::damaged_blobs),
    ("an update changes only its fields, of the expected entry", update),
    ("deleting a version leaves an entry that has been replaced", delete_version),
    ("a batch of deletions reports the outcome for each entry", delete_batch),
    ("accesses are recorded", accesses),
    ("scans give pages in the order of keys", listings::pages),
    ("scans by prefix, in Unicode", listings::prefixes),
    ("scans of expired entries", listings::expired),
    ("a walk shows every entry once", search::every_entry_once),
    ("entries may be removed during a walk", search::removals_between_steps),
    ("a filter with a mistake finds nothing", filters::mistakes),
    ("damaged metadata is reported", filters::damage),
    ("indexes of metadata", filters::indexes),
    ("full-text search", filters::text_search),
    ("entries are evicted in the requested order", eviction::orders),
    ("expired entries are evicted first", eviction::expired_first),
    ("pinned and just written entries stay", eviction::kept),
    ("an entry put with a pin stays", eviction::put_pinned),
    ("evictable entries are found among pinned ones", eviction::many_pinned),
    ("evicted blobs are orphaned, bytes are counted", eviction::blobs_and_bytes),
    ("of many entries, cold ones are evicted", eviction::many),
    ("clear names every blob once", clear),
    ("unused space is returned and nothing else changes", shrink),
    ("a commit has one outcome for each operation, in order", commit::outcomes),
    ("an operation sees the changes of the previous ones", commit::in_order),
    ("a blob is orphaned when no entry names it after the commit", commit::orphans_of_the_whole),
    ("a commit is atomic", commit::all_or_nothing),
    ("a commit of thousands of operations", commit::large),
    ("user-defined tables are refused if unsupported", custom::unsupported),
    ("values of user-defined tables come back", custom_tables::every_type),
    ("conditions about rows", custom_queries::conditions),
    ("orders, limits and aggregates of rows", custom_queries::orders_and_aggregates),
    ("rows are joined by their entry, and with it", custom_queries::joins),
    ("a refused row changes nothing", custom::constraints),
    ("rows go with their entry on every way out", custom::ways_out),
    ("a table is extended, or says what to do", custom_tables::extended),
    ("primary keys of user-defined tables", custom_tables::primary_keys),
    ("a table is created once", custom::many_handles),
    ("a closed store answers nothing about rows", custom::closed),
    ("tags and versions of blobs come back", commit::tags_and_versions),
    ("a guard that does not hold changes nothing", guard::refusal),
    ("a guard holds for all handles", guard::two_handles),
    ("a guard holds for all threads", guard::threads),
    ("blobs for later deletion are recorded", garbage::recorded),
    ("garbage is listed when it is due, until it is collected", garbage::due),
    ("a blob that an entry names is not garbage", garbage::named),
    ("many entries are read at once", reads::batch),
    ("keys are listed like entries", reads::keys),
    ("the capability does not change", reads::capability),
    ("queries in SQL see every field", sql::every_field),
    ("values of parameters and rows of queries", sql::values),
    ("queries only read", sql::refused),
    ("a query can be stopped", sql::stopped),
    ("a closed store answers no query", sql::closed),
    ("a large inline payload is stored", large_payload),
    ("totals stay exact over many puts and deletes", many_totals),
    ("threads at once", threads),
    ("entries outlive the backend", reopen),
    ("a closed backend reports that it is closed", closed),
];

pub(super) fn put(backend: &dyn MetadataBackend, entry: &Entry) -> PutOutcome {
    backend.put(entry).expect("put")
}

fn change(backend: &dyn MetadataBackend, expected: &Entry, update: &EntryUpdate) -> bool {
    backend.update(expected, update).expect("updated, or no error")
}

pub(super) fn get(backend: &dyn MetadataBackend, key: &str) -> Option<Entry> {
    let entry = backend.whole(key).expect("got");
    let summary = backend.summary(key).expect("got");
    match (&entry, summary) {
        (None, None) => {}
        (Some(entry), Some(summary)) => assert_summary(entry, &summary.entry, summary.inline),
        _ => panic!("the whole entry and its summary disagree about {key:?}"),
    }
    entry
}

/// A summary is the entry without its inline payload.
pub(super) fn assert_summary(entry: &Entry, summary: &Entry, inline: bool) {
    assert_eq!(inline, matches!(entry.location, Location::Inline(_)));
    let expected =
        if inline { Entry { location: Location::Inline(Vec::new()), ..entry.clone() } } else { entry.clone() };
    assert_eq!(*summary, expected);
}

pub(super) fn totals(backend: &dyn MetadataBackend) -> (u64, u64) {
    let Totals { entries, bytes } = backend.totals().expect("totals");
    (entries, bytes)
}

fn empty(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    assert_eq!(get(backend, "nothing"), None);
    assert_eq!(backend.delete("nothing").expect("no error"), None);
    assert_eq!(backend.delete_version(&inline("nothing", b"").version()).expect("no error"), None);
    assert_eq!(backend.equal_blob(&blob("nothing", "blobs/a-000000000001", Some([1; 32]), 1)).expect("looked"), None);
    assert!(!change(backend, &inline("nothing", b""), &EntryUpdate::default()));
    backend.record_accesses(&[]).expect("no error");
    backend.record_accesses(&[AccessRecord { key: "nothing".into(), at: NOW, count: 1 }]).expect("passed over");
    assert!(keys(backend, &Scan::default()).is_empty());
    assert_eq!(totals(backend), (0, 0));
    assert_eq!(backend.created_range().expect("looked"), None);
    assert_eq!(backend.clear().expect("cleared"), (0, vec![]));
    assert!(!backend.name().is_empty());
}

fn every_field(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    for entry in [
        inline("none", b"payload"),
        inline("empty", b""),
        full("all", b"payload"),
        blob("blob", "blobs/ab/ab-0123456789ab.npy", Some([3; 32]), 1 << 40),
        Entry { description: Some(String::new()), metadata: Some(String::new()), ..inline("blank", b"x") },
        Entry { params: Some(Vec::new()), ..inline("no params", b"x") },
    ] {
        assert_eq!(put(backend, &entry), PutOutcome::default());
        assert_eq!(get(backend, &entry.key), Some(entry));
    }
    assert_eq!(totals(backend), (6, 7 + 7 + (1 << 40) + 2));
}

fn extreme_values(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    for (key, time) in [("a", i64::MIN), ("b", -1), ("c", 0), ("d", i64::MAX)] {
        let time = Timestamp(time);
        let entry = Entry {
            created_at: time,
            accessed_at: time,
            expires_at: Some(time),
            access_count: i64::MAX.cast_unsigned(),
            file_hash: time.0.cast_unsigned(),
            ..inline(key, b"")
        };
        put(backend, &entry);
        assert_eq!(get(backend, key), Some(entry));
    }
    let range = (Timestamp(i64::MIN), Timestamp(i64::MAX));
    assert_eq!(backend.created_range().expect("looked"), Some(range));
    let huge = blob("huge", "blobs/a-0123456789ab", None, i64::MAX.cast_unsigned());
    put(backend, &huge);
    assert_eq!(get(backend, "huge"), Some(huge));
    backend.delete("huge").expect("deleted");
    // One more read of an entry with the maximum access count.
    backend.record_accesses(&[AccessRecord { key: "a".into(), at: NOW, count: u64::MAX }]).expect("recorded");
    assert!(get(backend, "a").expect("there").access_count >= i64::MAX.cast_unsigned());
}

fn replace(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    put(backend, &Entry { access_count: 2, ..inline("k", b"old") });
    backend.record_accesses(&[AccessRecord { key: "k".into(), at: NOW, count: 3 }]).expect("recorded");
    let new = Entry { created_at: Timestamp(NOW.0 + 9), access_count: 0, ..full("k", b"new payload") };
    assert_eq!(put(backend, &new), PutOutcome { replaced: true, ..PutOutcome::default() });
    assert_eq!(get(backend, "k"), Some(Entry { access_count: 5, ..new }));
    assert_eq!(totals(backend), (1, 11));
    // Fields of the previous entry that the new one lacks are gone.
    put(backend, &inline("k", b""));
    assert_eq!(get(backend, "k"), Some(Entry { access_count: 5, ..inline("k", b"") }));
    assert_eq!(totals(backend), (1, 0));
}

fn orphans(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let (one, two) = ("blobs/a-000000000001", "blobs/a-000000000002");
    assert!(put(backend, &blob("a", one, None, 10)).orphaned.is_empty());
    assert_eq!(put(backend, &blob("a", two, None, 20)).orphaned, [one], "replaced by another blob");
    assert!(put(backend, &blob("a", two, None, 20)).orphaned.is_empty(), "replaced by the same blob");
    assert_eq!(put(backend, &inline("a", b"x")).orphaned, [two], "replaced by an inline payload");
    // Two entries that name one blob, with and without a digest.
    for digest in [None, Some([1; 32])] {
        put(backend, &blob("a", one, digest, 10));
        put(backend, &blob("b", one, digest, 10));
        let deleted = backend.delete("a").expect("deleted").expect("there");
        assert_eq!(deleted.orphaned, None, "b still names it");
        assert_eq!(backend.delete("b").expect("deleted").expect("there").orphaned.as_deref(), Some(one));
        put(backend, &blob("a", one, digest, 10));
        put(backend, &blob("b", one, digest, 10));
        assert!(put(backend, &inline("a", b"")).orphaned.is_empty(), "b still names it");
        assert_eq!(put(backend, &blob("b", two, digest, 5)).orphaned, [one]);
        backend.clear().expect("cleared");
    }
    assert_eq!(totals(backend), (0, 0));
}

fn update(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let entry = full("k", b"payload");
    put(backend, &entry);
    assert!(change(backend, &entry, &EntryUpdate::default()));
    assert_eq!(get(backend, "k"), Some(entry.clone()), "the update named no field");
    let update = EntryUpdate {
        expires_at: Some(None),
        description: Some(Some("new".into())),
        metadata: Some(None),
        signature: Some(Some([1; 32])),
        created_at: None,
    };
    assert!(change(backend, &entry, &update));
    let changed = Entry {
        expires_at: None,
        description: Some("new".into()),
        metadata: None,
        signature: Some([1; 32]),
        ..entry.clone()
    };
    assert_eq!(get(backend, "k"), Some(changed.clone()));
    // An update based on an older state is refused, even if only metadata and description have changed since.
    assert!(!change(backend, &entry, &update));
    let touch = EntryUpdate {
        created_at: Some(Timestamp(5)),
        expires_at: Some(Some(Timestamp(6))),
        description: Some(None),
        signature: Some(None),
        metadata: Some(Some("{}".into())),
    };
    for stale in [
        Entry { expires_at: Some(Timestamp(5)), ..changed.clone() },
        Entry { signature: None, ..changed.clone() },
        Entry { signature: Some([2; 32]), ..changed.clone() },
    ] {
        assert!(!change(backend, &stale, &update), "{stale:?}");
    }
    assert!(change(backend, &changed, &touch));
    let touched = Entry {
        created_at: Timestamp(5),
        accessed_at: Timestamp(5),
        expires_at: Some(Timestamp(6)),
        description: None,
        signature: None,
        metadata: Some("{}".into()),
        ..changed.clone()
    };
    assert_eq!(get(backend, "k"), Some(touched.clone()));
    // The expected entry no longer exists: another time, another payload, removed.
    assert!(!change(backend, &changed, &update));
    let other = Entry { file_hash: touched.file_hash ^ 1, ..touched.clone() };
    assert!(!change(backend, &other, &update));
    assert_eq!(get(backend, "k"), Some(touched.clone()));
    backend.delete("k").expect("deleted");
    assert!(!change(backend, &touched, &update));
    assert_eq!(get(backend, "k"), None);
}

fn delete_version(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let old = blob("k", "blobs/a-000000000001", None, 10);
    put(backend, &old);
    let newer = Entry { created_at: Timestamp(NOW.0 + 1), ..old.clone() };
    let other = Entry { file_hash: !old.file_hash, ..old.clone() };
    assert_eq!(backend.delete_version(&newer.version()).expect("no error"), None);
    assert_eq!(backend.delete_version(&other.version()).expect("no error"), None);
    assert_eq!(totals(backend), (1, 10));
    let removed = backend.delete_version(&old.version()).expect("deleted").expect("there");
    assert_eq!(removed.orphaned.as_deref(), Some("blobs/a-000000000001"));
    assert_eq!(get(backend, "k"), None);
    assert_eq!(totals(backend), (0, 0));
}

fn delete_batch(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let shared = "blobs/a-000000000001";
    let entries = [blob("a", shared, None, 10), inline("b", b"xy"), blob("c", shared, None, 10), inline("d", b"")];
    entries.iter().for_each(|entry| drop(put(backend, entry)));
    let replaced = Entry { created_at: Timestamp(NOW.0 + 1), ..entries[1].clone() };
    put(backend, &replaced);
    backend.set_pinned("a", true).expect("pinned");
    let [a, b, c, _] = entries.each_ref().map(Entry::version);
    let gone = inline("gone", b"").version();
    assert!(backend.delete_batch(&[]).expect("nothing to do").is_empty());
    let outcomes = backend.delete_batch(&[c.clone(), gone, b, a, c]).expect("deleted");
    let orphaned = outcomes.iter().map(|outcome| outcome.as_ref().map(|outcome| outcome.orphaned.as_deref()));
    assert!(orphaned.eq([Some(None), None, None, Some(Some(shared)), None]), "{outcomes:?}");
    assert_eq!(keys(backend, &Scan::default()), ["b", "d"]);
    assert_eq!(totals(backend), (2, 2));
    assert!(backend.pinned().expect("listed").is_empty());
}

fn accesses(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    for key in ["a", "b"] {
        put(backend, &full(key, b"x"));
    }
    let access = |key: &str, at: i64, count| AccessRecord { key: key.into(), at: Timestamp(at), count };
    let later = NOW.0 + 1_000;
    backend
        .record_accesses(&[access("a", later, 3), access("gone", later, 1), access("a", NOW.0, 2), access("b", 0, 1)])
        .expect("recorded");
    let a = get(backend, "a").expect("there");
    assert_eq!((a.access_count, a.accessed_at), (9, Timestamp(later)), "a time never goes back");
    let b = get(backend, "b").expect("there");
    assert_eq!((b.access_count, b.accessed_at), (5, Timestamp(NOW.0 + 2)));
    assert_eq!(get(backend, "gone"), None);
}

fn clear(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    for i in 0..100 {
        put(backend, &inline(&format!("inline {i}"), b"123"));
        put(backend, &blob(&format!("blob {i}"), &format!("blobs/a-{:012x}", i / 2), Some([4; 32]), 5));
    }
    assert_eq!(totals(backend), (200, 800));
    let (removed, named) = backend.clear().expect("cleared");
    assert_eq!(removed, 200);
    let distinct: BTreeSet<_> = named.iter().cloned().collect();
    assert_eq!((distinct.len(), named.len()), (50, 50), "no blob is named twice");
    assert_eq!(distinct, (0..50).map(|i| format!("blobs/a-{i:012x}")).collect());
    assert_eq!(totals(backend), (0, 0));
    assert!(keys(backend, &Scan::default()).is_empty());
    // Orphans may be read later: the removal is already committed, and the backend may be used meanwhile.
    put(backend, &blob("k", "blobs/a-000000000001", None, 5));
    let Outcome::Cleared { entries: 1, orphaned } = backend.apply_one(Operation::Clear).expect("cleared") else {
        panic!("one entry is cleared");
    };
    assert_eq!(backend.totals().expect("totals").entries, 0);
    put(backend, &blob("k", "blobs/a-000000000002", None, 5));
    assert_eq!(orphaned.collect::<Result<Vec<_>>>().expect("read"), ["blobs/a-000000000001"]);
}

fn shrink(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let entries: Vec<_> = (0..50).map(|i| inline(&format!("{i}"), &[7; 9000])).collect();
    for _ in 0..2 {
        backend.shrink().expect("shrunk");
        entries.iter().for_each(|entry| drop(put(backend, entry)));
        backend.delete("7").expect("deleted");
        backend.shrink().expect("shrunk");
        for entry in &entries {
            assert_eq!(get(backend, &entry.key).as_ref(), Some(entry).filter(|entry| entry.key != "7"));
        }
        assert_eq!(totals(backend), (49, 49 * 9000));
        backend.clear().expect("cleared");
        backend.shrink().expect("shrunk");
        assert_eq!(totals(backend), (0, 0));
    }
}

fn large_payload(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    for size in [4_000, 4_096, 32 * 1024, 1 << 20] {
        let payload: Vec<u8> = (0..size).map(|i: u32| i.to_le_bytes()[i as usize % 2]).collect();
        let entry = inline(&format!("{size}"), &payload);
        put(backend, &entry);
        assert!(get(backend, &entry.key) == Some(entry), "{size} bytes");
    }
}

fn many_totals(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let mut sizes = std::collections::BTreeMap::new();
    // More puts than deletes of the newest, the oldest and a middle entry, so that the store grows and shrinks at both
    // ends.
    for i in 0..400_u32 {
        let key = format!("{i:04}");
        put(backend, &inline(&key, &[0; 13][..(i % 13) as usize]));
        sizes.insert(key, u64::from(i % 13));
        let victim = match i % 5 {
            0 => sizes.keys().next_back().cloned(),
            1 => sizes.keys().next().cloned(),
            2 => sizes.keys().nth(sizes.len() / 2).cloned(),
            _ => None,
        };
        if let Some(victim) = victim {
            assert!(backend.delete(&victim).expect("deleted").is_some());
            sizes.remove(&victim);
        }
        if let (3, Some((key, size))) = (i % 5, sizes.iter_mut().next()) {
            put(backend, &inline(key, &[0; 20]));
            *size = 20;
        }
        assert_eq!(totals(backend), (sizes.len() as u64, sizes.values().sum()), "after {i}");
        if i == 250 {
            backend.clear().expect("cleared");
            sizes.clear();
        }
    }
}

fn threads(fixture: &MetadataFixture) {
    const THREADS: u64 = 16;
    const ROUNDS: u64 = 150;
    let backend = &*fixture.backend;
    let puts = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let puts = &puts;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let own = format!("own {thread} {}", round % 10);
                    let payload = format!("{thread}:{round}").repeat(10);
                    put(backend, &inline(&own, payload.as_bytes()));
                    puts.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(get_own(backend, &own), payload.as_bytes(), "a thread sees its own writes");
                    // All threads put one key: the entry is consistent, whichever put wins.
                    put(backend, &inline("shared", payload.as_bytes()));
                    if let Some(entry) = backend.whole("shared").expect("got") {
                        let Location::Inline(bytes) = &entry.location else { panic!("the payload is inline") };
                        assert_eq!(entry.size, bytes.len() as u64);
                        assert_eq!(entry.file_hash, crate::sample::hash(bytes));
                    }
                    match round % 7 {
                        0 => drop(backend.delete("shared").expect("deleted")),
                        1 => {
                            drop(backend.scan(&Scan { prefix: "own", limit: 50, ..Scan::default() }).expect("scanned"));
                        }
                        2 => backend.record_accesses(&[AccessRecord { key: own, at: NOW, count: 1 }]).expect("written"),
                        3 => drop(backend.totals().expect("totals")),
                        _ => {}
                    }
                }
            });
        }
    });
    assert_eq!(puts.load(Ordering::Relaxed), THREADS * ROUNDS);
    let found = backend.scan(&Scan::default()).expect("scanned");
    let bytes = found.iter().map(|summary| summary.entry.size).sum();
    assert_eq!(totals(backend), (found.len() as u64, bytes));
    assert!(found.len() as u64 >= THREADS * 10);
}

fn get_own(backend: &dyn MetadataBackend, key: &str) -> Vec<u8> {
    match backend.whole(key).expect("got").expect("there").location {
        Location::Inline(bytes) => bytes,
        Location::Blob(blob) => panic!("{blob:?} was never written"),
    }
}

fn reopen(fixture: &MetadataFixture) {
    let Some(reopen) = &fixture.reopen else { return };
    let entry = full("k", b"payload");
    put(&*fixture.backend, &entry);
    {
        let second = reopen();
        assert_eq!(get(&*second, "k"), Some(entry.clone()), "seen while the first is open");
        put(&*second, &inline("from the second", b"12"));
    }
    assert!(get(&*fixture.backend, "from the second").is_some());
    fixture.backend.close().expect("closed");
    let third = reopen();
    assert_eq!(get(&*third, "k"), Some(entry));
    assert_eq!(totals(&*third), (2, 9));
    third.delete("k").expect("deleted");
    third.close().expect("closed");
    let fourth = reopen();
    assert_eq!(get(&*fourth, "k"), None);
    assert_eq!(totals(&*fourth), (1, 2));
}

fn closed(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let entry = inline("k", b"x");
    put(backend, &entry);
    backend.close().expect("closed");
    backend.close().expect("closing twice is no error");
    let access = AccessRecord { key: "k".into(), at: NOW, count: 1 };
    let errors = [
        backend.whole("k").err(),
        backend.summary("k").err(),
        backend.get_batch(&["k"], Part::Whole).err(),
        backend.put(&entry).err(),
        backend.update(&entry, &EntryUpdate::default()).err(),
        backend.equal_blob(&entry).err(),
        backend.knows_blobs(&["blobs/a-000000000001"]).err(),
        backend.garbage(NOW, 1).err(),
        backend.delete("k").err(),
        backend.delete_version(&entry.version()).err(),
        backend.clear().err(),
        backend.search(&Query::default(), &Position::Start, 1).err(),
        backend.count(&Query::default()).err(),
        backend.created_range().err(),
        backend.scan(&Scan::default()).err(),
        backend.record_accesses(&[access]).err(),
        backend.totals().err(),
    ];
    for (call, error) in errors.into_iter().enumerate() {
        let error = error.unwrap_or_else(|| panic!("call {call} succeeded on a closed backend"));
        assert_eq!(error.kind(), ErrorKind::Closed, "call {call}: {error}");
    }
}
