//! How every metadata backend evicts entries.

use std::collections::BTreeSet;

use cacheness_core::backend::{AccessRecord, Evicted, Eviction, EvictionOrder, MetadataBackend, Put};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::Totals;

use super::MetadataFixture;
use crate::ext::MetadataExt as _;
use crate::sample::{NOW, blob, inline};

const SIZE: usize = 10;

fn file(backend: &dyn MetadataBackend, number: i64, expires_at: Option<Timestamp>) {
    let mut entry = inline(&format!("k{number}"), &[7; SIZE]);
    entry.created_at = Timestamp(NOW.0 + number);
    entry.accessed_at = entry.created_at;
    entry.access_count = 0;
    entry.expires_at = expires_at;
    backend.put(&entry).expect("put");
}

fn access(backend: &dyn MetadataBackend, number: i64, at: i64, count: u64) {
    let access = AccessRecord { key: format!("k{number}"), at: Timestamp(NOW.0 + at), count };
    backend.record_accesses(&[access]).expect("recorded");
}

fn evict(backend: &dyn MetadataBackend, order: EvictionOrder, keep: i64, entries: u64, count: usize) -> Evicted {
    let keep = format!("k{keep}");
    let target = Totals { entries, bytes: u64::MAX };
    let expired_at = Timestamp(NOW.0 + 1_000_000);
    backend.evict(&Eviction { order, expired_at, keep: &keep, target, count, garbage_due: None }).expect("evicted")
}

fn numbers(evicted: &Evicted) -> Vec<i64> {
    evicted.keys.iter().map(|key| key[1..].parse().expect("a number")).collect()
}

pub(super) fn orders(fixture: &MetadataFixture) {
    for (order, expected) in [
        (EvictionOrder::FirstIn, [0, 1, 2, 3]),
        (EvictionOrder::LeastRecentlyRead, [1, 3, 4, 5]),
        (EvictionOrder::LeastOftenRead, [1, 3, 4, 5]),
    ] {
        let backend = &*fixture.backend;
        for number in 0..10 {
            file(backend, number, None);
        }
        access(backend, 0, 500, 9);
        access(backend, 2, 400, 1);
        // Put again: the key keeps its place.
        if order == EvictionOrder::FirstIn {
            file(backend, 0, None);
        }
        let evicted = evict(backend, order, 9, 6, 100);
        assert_eq!(numbers(&evicted), expected, "{order:?}");
        assert_eq!(evicted.left, Totals { entries: 6, bytes: 6 * SIZE as u64 });
        assert_eq!(backend.totals().expect("counted"), evicted.left);
        assert!(evicted.orphaned.is_empty());
        assert!(evict(backend, order, 9, 6, 100).keys.is_empty(), "the target is reached");
        backend.clear().expect("cleared");
    }
}

pub(super) fn expired_first(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    for number in 0..6 {
        let expires_at = (number >= 4).then_some(Timestamp(NOW.0 + 1000 - number));
        file(backend, number, expires_at);
    }
    access(backend, 4, 900, 99);
    let evicted = evict(backend, EvictionOrder::LeastRecentlyRead, 0, 3, 100);
    assert_eq!(numbers(&evicted), [5, 4, 1]);
}

pub(super) fn kept(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    for number in 0..5 {
        file(backend, number, Some(Timestamp(NOW.0)));
    }
    assert!(backend.set_pinned("k1", true).expect("pinned"));
    assert!(backend.set_pinned("k1", true).expect("pinned"));
    assert!(!backend.set_pinned("missing", true).expect("looked up"));
    file(backend, 1, Some(Timestamp(NOW.0)));
    assert_eq!(backend.pinned().expect("listed"), ["k1"]);
    let evicted = evict(backend, EvictionOrder::FirstIn, 3, 0, 100);
    assert_eq!(numbers(&evicted).into_iter().collect::<BTreeSet<_>>(), [0, 2, 4].into());
    assert_eq!(evicted.left.entries, 2);
    assert!(backend.set_pinned("k1", false).expect("unpinned"));
    assert_eq!(numbers(&evict(backend, EvictionOrder::FirstIn, 3, 0, 100)), [1]);
    // A pin ends with its entry.
    assert!(backend.set_pinned("k3", true).expect("pinned"));
    backend.delete("k3").expect("deleted");
    file(backend, 3, None);
    assert!(backend.pinned().expect("listed").is_empty());
    assert!(backend.set_pinned("k3", true).expect("pinned"));
    backend.clear().expect("cleared");
    assert!(backend.pinned().expect("listed").is_empty());
}

/// A put with a pin pins the entry, and the pin stays.
pub(super) fn put_pinned(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let put = |pin| backend.put_with(Put { pin, ..Put::of(&inline("k1", b"x")) }).expect("put");
    for number in [0, 2, 3] {
        file(backend, number, None);
    }
    put(true);
    put(false);
    assert_eq!(backend.pinned().expect("listed"), ["k1"]);
    assert_eq!(numbers(&evict(backend, EvictionOrder::FirstIn, 3, 0, 100)), [0, 2]);
    assert!(backend.set_pinned("k1", false).expect("unpinned"));
    put(true);
    assert_eq!(backend.pinned().expect("listed"), ["k1"], "also if the entry existed");
    backend.delete("k1").expect("deleted");
    put(false);
    assert!(backend.pinned().expect("listed").is_empty());
}

/// Evictable entries are found after and among many pinned ones.
pub(super) fn many_pinned(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let count = i64::from(fixture.many);
    let may_go = |number: i64| number > count * 4 / 5 && number % 2 == 0;
    for number in 0..count {
        let mut entry = inline(&format!("k{number}"), b"x");
        entry.accessed_at = Timestamp(NOW.0 + number);
        backend.put_with(Put { pin: !may_go(number), ..Put::of(&entry) }).expect("put");
    }
    for order in [EvictionOrder::FirstIn, EvictionOrder::LeastRecentlyRead, EvictionOrder::LeastOftenRead] {
        // One in six samples of eight places holds only pinned entries; so do twenty samples in a row with probability
        // 10^-15.
        let mut samples = (0..20).map(|_| numbers(&evict(backend, order, count - 1, 0, 2)));
        let gone = samples.find(|gone| !gone.is_empty()).unwrap_or_default();
        assert!(!gone.is_empty() && gone.iter().all(|number| may_go(*number)), "{order:?}: {gone:?}");
    }
}

pub(super) fn blobs_and_bytes(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let large = |key: &str, locator: &str| blob(key, locator, None, 1000);
    for entry in [large("k0", "blobs/a"), large("k1", "blobs/a"), large("k2", "blobs/b"), large("k3", "blobs/c")] {
        backend.put(&entry).expect("put");
    }
    let eviction = |bytes, count| Eviction {
        order: EvictionOrder::FirstIn,
        expired_at: Timestamp(i64::MIN),
        keep: "",
        target: Totals { entries: u64::MAX, bytes },
        count,
        garbage_due: None,
    };
    let evicted = backend.evict(&eviction(2500, 1)).expect("evicted");
    assert_eq!((evicted.keys, evicted.orphaned), (vec!["k0".to_owned()], vec![]), "k1 names the blob too");
    let evicted = backend.evict(&eviction(1000, 100)).expect("evicted");
    assert_eq!(evicted.keys, ["k1", "k2"]);
    assert_eq!(evicted.orphaned, ["blobs/a", "blobs/b"]);
    assert_eq!(evicted.left, Totals { entries: 1, bytes: 1000 });
}

pub(super) fn many(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let count = i64::from(fixture.many);
    let (step, enough) = (fixture.many as usize / 60, fixture.many as usize / 6);
    for number in 0..count {
        file(backend, number, None);
    }
    // Half of them have been read recently.
    let accesses: Vec<_> = (0..count)
        .step_by(2)
        .map(|n| AccessRecord { key: format!("k{n}"), at: Timestamp(NOW.0 + 2 * count + n), count: 3 })
        .collect();
    backend.record_accesses(&accesses).expect("recorded");
    let mut evicted = Vec::new();
    while evicted.len() < enough {
        let gone = evict(backend, EvictionOrder::LeastRecentlyRead, 1, 0, step);
        assert_eq!(gone.keys.len(), step);
        evicted.extend(numbers(&gone));
    }
    let read = evicted.iter().filter(|number| *number % 2 == 0).count();
    assert!(read <= enough / 20, "{read} of {} had been read recently", evicted.len());
    assert_eq!(backend.totals().expect("counted").entries, u64::from(fixture.many) - enough as u64);
}
