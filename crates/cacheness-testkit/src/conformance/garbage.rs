//! Blobs that are deleted later than their entries.

use std::collections::BTreeSet;

use cacheness_core::backend::{
    Commit, Committed, Eviction, EvictionOrder, MetadataBackend, Operation, Outcome, Put, PutOutcome, Share,
};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::Totals;

use super::MetadataFixture;
use super::metadata::put;
use crate::ext::{Deleted, MetadataExt as _};
use crate::sample::{NOW, blob, inline};

const DUE: Timestamp = Timestamp(NOW.0 + 600_000_000);
const BEFORE: Timestamp = Timestamp(DUE.0 - 1);
const EVER: Timestamp = Timestamp(i64::MAX);

fn later(backend: &dyn MetadataBackend, due: Timestamp, operations: &[Operation<'_>]) -> Vec<Outcome> {
    match backend.commit(&Commit { garbage_due: Some(due), ..Commit::of(operations) }).expect("committed") {
        Committed::Done(outcomes) => outcomes,
        Committed::Refused(_) => panic!("a commit without a guard was refused"),
    }
}

fn put_later(backend: &dyn MetadataBackend, put: Put<'_>) -> PutOutcome {
    match later(backend, DUE, &[Operation::Put(put)]).pop() {
        Some(Outcome::Put(outcome)) => outcome,
        other => panic!("{other:?} of a put"),
    }
}

fn garbage(backend: &dyn MetadataBackend, due: Timestamp) -> BTreeSet<String> {
    let found = backend.garbage(due, usize::MAX).expect("listed");
    let distinct: BTreeSet<_> = found.iter().cloned().collect();
    assert_eq!(distinct.len(), found.len(), "no blob is listed twice");
    distinct
}

fn set<const N: usize>(locators: [&str; N]) -> BTreeSet<String> {
    locators.into_iter().map(str::to_owned).collect()
}

fn knows(backend: &dyn MetadataBackend, locator: &str) -> bool {
    backend.knows_blobs(&[locator]).expect("looked") == [true]
}

fn locator(number: u64) -> String {
    format!("blobs/a-{number:012x}")
}

pub(super) fn recorded(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let names: Vec<_> = (0..8).map(locator).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // Replaced by another blob, by an inline payload, deleted by its key, deleted by its version.
    put(backend, &blob("a", names[0], None, 5));
    let outcome = put_later(backend, Put::of(&blob("a", names[1], None, 6)));
    assert_eq!(outcome, PutOutcome { replaced: true, ..PutOutcome::default() }, "the backend reports no orphan");
    assert_eq!(garbage(backend, EVER), set([names[0]]));
    put_later(backend, Put::of(&inline("a", b"")));
    for (key, name) in [("b", names[2]), ("c", names[3])] {
        put(backend, &blob(key, name, None, 5));
    }
    let version = blob("c", names[3], None, 5).version();
    let outcomes = later(backend, DUE, &[Operation::Delete("b"), Operation::DeleteVersion(&version)]);
    let is_quiet = |outcome: &Outcome| matches!(outcome, Outcome::Deleted { found: true, orphaned: None });
    assert!(outcomes.iter().all(is_quiet), "{outcomes:?}");
    assert_eq!(garbage(backend, EVER), set([names[0], names[1], names[2], names[3]]));
    // Evicted, and cleared.
    put(backend, &blob("d", names[4], None, 5));
    put(backend, &inline("e", b""));
    let eviction = Eviction {
        order: EvictionOrder::FirstIn,
        expired_at: NOW,
        keep: "",
        target: Totals { entries: 0, bytes: u64::MAX },
        count: 10,
        garbage_due: Some(DUE),
    };
    let evicted = backend.evict(&eviction).expect("evicted");
    assert_eq!((evicted.keys.len(), evicted.orphaned), (3, vec![]));
    put(backend, &blob("f", names[5], None, 5));
    put(backend, &blob("g", names[5], None, 5));
    put(backend, &blob("h", names[6], None, 5));
    let outcome = later(backend, DUE, &[Operation::Clear]).pop();
    let Some(Outcome::Cleared { entries: 3, orphaned }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(orphaned.count(), 0, "the backend reports no orphan");
    assert_eq!(garbage(backend, EVER), names[..7].iter().map(|name| (*name).to_owned()).collect());
    // Reported blobs are not recorded.
    put(backend, &blob("i", names[7], None, 5));
    assert_eq!(backend.delete("i").expect("deleted"), Some(Deleted { orphaned: Some(names[7].to_owned()) }));
    assert!(!knows(backend, names[7]));
    let known = backend.knows_blobs(&[names[7], names[0], "blobs/other-000000000001", names[6]]).expect("looked");
    assert_eq!(known, [false, true, false, true]);
    assert_eq!(backend.totals().expect("totals"), Totals::default(), "garbage is no entry");
    if let Some(reopen) = &fixture.reopen {
        backend.close().expect("closed");
        assert_eq!(garbage(&*reopen(), EVER).len(), 7, "the garbage outlives the backend");
    }
}

pub(super) fn due(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    assert!(backend.garbage(EVER, 10).expect("listed").is_empty());
    for number in 0..20 {
        put(backend, &blob("k", &locator(number), None, 5));
        later(backend, Timestamp(DUE.0 + number.cast_signed() / 2), &[Operation::Delete("k")]);
    }
    assert!(garbage(backend, BEFORE).is_empty(), "not yet");
    assert_eq!(garbage(backend, DUE), [locator(0), locator(1)].into());
    assert_eq!(garbage(backend, Timestamp(DUE.0 + 4)), (0..10).map(locator).collect());
    let some = backend.garbage(Timestamp(DUE.0 + 4), 3).expect("listed");
    assert!(some.len() == 3 && some.iter().all(|found| garbage(backend, Timestamp(DUE.0 + 4)).contains(found)));
    // Deleted blobs are forgotten; unknown ones are no error.
    let collected = [locator(1), locator(3), locator(99), locator(3)];
    for _ in 0..2 {
        backend.apply_one(Operation::Collected(&collected)).expect("committed");
        assert_eq!(garbage(backend, DUE), [locator(0)].into());
        assert_eq!(garbage(backend, EVER).len(), 18);
        assert!(!knows(backend, &locator(1)) && knows(backend, &locator(0)));
    }
    let all: Vec<_> = (0..20).map(locator).collect();
    backend.apply_one(Operation::Collected(&all)).expect("committed");
    assert!(garbage(backend, EVER).is_empty());
}

/// A blob that an entry names is not garbage.
pub(super) fn named(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let (one, two, three) = (locator(1), locator(2), locator(3));
    let digest = Some([1; 32]);
    // Two entries name it, and one is removed in each of the ways.
    let kept = || put(backend, &blob("kept", &one, digest, 5));
    let goes = || drop(put(backend, &blob("goes", &one, digest, 5)));
    let version = blob("goes", &one, digest, 5).version();
    kept();
    for operation in
        [Operation::Delete("goes"), Operation::DeleteVersion(&version), Operation::Put(Put::of(&inline("goes", b"")))]
    {
        goes();
        later(backend, DUE, &[operation]);
        assert!(garbage(backend, EVER).is_empty(), "{operation:?}");
    }
    goes();
    let eviction = Eviction {
        order: EvictionOrder::FirstIn,
        expired_at: NOW,
        keep: "kept",
        target: Totals { entries: 0, bytes: u64::MAX },
        count: 10,
        garbage_due: Some(DUE),
    };
    assert_eq!(backend.evict(&eviction).expect("evicted").keys, ["goes"]);
    assert!(garbage(backend, EVER).is_empty());
    // Shared: the caller deletes its own blob at once. Replacing a damaged blob: the damaged one is garbage.
    let shared = put_later(backend, Put { share: Share::With(&one), ..Put::of(&blob("shares", &two, digest, 5)) });
    assert!(shared.shared && garbage(backend, EVER).is_empty() && !knows(backend, &two));
    let mended =
        put_later(backend, Put { share: Share::InPlaceOf(&one), ..Put::of(&blob("mends", &three, digest, 5)) });
    assert_eq!(mended, PutOutcome::default());
    assert_eq!(garbage(backend, EVER), [one.clone()].into());
    // An entry names it again: it must not be deleted until that entry is removed too.
    put_later(backend, Put::of(&blob("again", &one, None, 5)));
    assert!(garbage(backend, EVER).is_empty());
    assert!(knows(backend, &one));
    later(backend, Timestamp(DUE.0 + 9), &[Operation::Delete("again")]);
    assert!(garbage(backend, Timestamp(DUE.0 + 8)).is_empty(), "it has its own grace");
    assert_eq!(garbage(backend, Timestamp(DUE.0 + 9)), [one].into());
    // The same within one commit.
    put(backend, &blob("old", &two, None, 5));
    let moved = blob("new", &two, None, 5);
    later(backend, DUE, &[Operation::Delete("old"), Operation::Put(Put::of(&moved))]);
    assert_eq!(garbage(backend, EVER).len(), 1);
    assert!(knows(backend, &two));
}
