//! The guard of a commit: which key signs the entries of a store.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cacheness_core::backend::{Commit, Committed, Guard, KeyId, MetadataBackend, Operation, Put};
use cacheness_core::entry::Entry;

use super::MetadataFixture;
use super::metadata::{get, put};
use crate::ext::{MetadataExt as _, Scan};
use crate::sample::inline;

const A: KeyId = [0xaa; 16];
const B: KeyId = [0xbb; 16];

/// Commits `operations` if `key` is the signing key; otherwise returns the signing key.
fn guarded(
    backend: &dyn MetadataBackend,
    key: Option<KeyId>,
    operations: &[Operation<'_>],
) -> Result<(), Option<KeyId>> {
    let guard = Some(Guard { signing_key: key });
    match backend.commit(&Commit { guard, ..Commit::of(operations) }).expect("no error") {
        Committed::Done(outcomes) => {
            assert_eq!(outcomes.len(), operations.len());
            Ok(())
        }
        Committed::Refused(recorded) => Err(recorded),
    }
}

/// The signing key.
pub(super) fn signing_key(backend: &dyn MetadataBackend) -> Option<KeyId> {
    // No real key has this id.
    guarded(backend, Some([0x55; 16]), &[]).expect_err("another key signs")
}

pub(super) fn refusal(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let (old, new) = (inline("k", b"old"), inline("k", b"new"));
    assert_eq!(guarded(backend, Some(A), &[Operation::Put(Put::of(&old))]), Err(None), "no key signs yet");
    assert_eq!(get(backend, "k"), None);
    assert_eq!(guarded(backend, None, &[Operation::Put(Put::of(&old))]), Ok(()));
    backend.apply_one(Operation::SignWith(A)).expect("committed");
    let changes = [
        Operation::Put(Put { pin: true, ..Put::of(&new) }),
        Operation::Delete("k"),
        Operation::Pin { key: "k", pinned: true },
        Operation::Clear,
        Operation::SignWith(B),
    ];
    for wrong in [None, Some(B), Some([0; 16])] {
        for operations in [&changes[..], &changes[..1], &changes[1..2], &changes[4..], &[]] {
            assert_eq!(guarded(backend, wrong, operations), Err(Some(A)), "{wrong:?}");
            assert_eq!(get(backend, "k"), Some(old.clone()));
            assert!(backend.pinned().expect("listed").is_empty());
        }
    }
    // The guard is checked before any change, even if the commit changes the key.
    assert_eq!(guarded(backend, Some(A), &[Operation::SignWith(B), Operation::Put(Put::of(&new))]), Ok(()));
    assert_eq!(get(backend, "k"), Some(new));
    assert_eq!(guarded(backend, Some(A), &[]), Err(Some(B)));
    // A commit without a guard is never refused, and the key stays when all entries are removed.
    backend.clear().expect("cleared");
    backend.shrink().expect("shrunk");
    assert_eq!(signing_key(backend), Some(B));
    if let Some(reopen) = &fixture.reopen {
        backend.close().expect("closed");
        assert_eq!(signing_key(&*reopen()), Some(B), "the key outlives the backend");
    }
}

/// A commit through one handle is refused as soon as another has recorded a new key.
pub(super) fn two_handles(fixture: &MetadataFixture) {
    let Some(reopen) = &fixture.reopen else { return };
    let (rotating, writing) = (&*fixture.backend, reopen());
    let writing = &*writing;
    put(writing, &inline("k", b"x"));
    // A backend may begin to watch for changes by others only after a few calls.
    let ask = |backend: &dyn MetadataBackend| (0..10).for_each(|_| _ = backend.outside_changes());
    // Actions of the writer between its last commit with the old key and its first one after the rotation.
    let between: [&dyn Fn(); 6] = [
        &|| (),
        &|| drop(get(writing, "k")),
        &|| _ = writing.outside_changes(),
        &|| drop(put(writing, &inline("other", b"x"))),
        &|| drop(writing.delete("other").expect("deleted")),
        &|| _ = guarded(writing, None, &[]),
    ];
    let mut key = None;
    for (number, (act, watched)) in
        (1..).zip(between.iter().flat_map(|act| [(act, false), (act, true)]).cycle().take(36))
    {
        if watched {
            ask(writing);
            ask(rotating);
        }
        let entry = inline("k", format!("{number}").as_bytes());
        let operations = [Operation::Put(Put::of(&entry))];
        assert_eq!(guarded(writing, key, &operations), Ok(()), "{number}");
        assert_eq!(guarded(writing, key, &operations), Ok(()), "{number}");
        let next = [number; 16];
        rotating.apply_one(Operation::SignWith(next)).expect("committed");
        act();
        // Twice, because the backend may cache its last read.
        for _ in 0..2 {
            assert_eq!(guarded(writing, key, &operations), Err(Some(next)), "{number}");
        }
        act();
        assert_eq!(guarded(writing, key, &operations), Err(Some(next)), "{number}");
        key = Some(next);
    }
}

/// Threads put while the key changes: after `SignWith` returns, no entry is committed with an older key.
pub(super) fn threads(fixture: &MetadataFixture) {
    const WRITERS: usize = 4;
    const ROTATIONS: u8 = 12;
    let backend = &*fixture.backend;
    let second = fixture.reopen.as_ref().map(|reopen| reopen());
    let handle = |number: usize| second.as_deref().filter(|_| number % 2 == 1).unwrap_or(backend);
    let (is_over, committed, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let write = |thread: usize| {
        let backend = handle(thread);
        let mut key = None;
        let mut number = 0;
        while !is_over.load(Ordering::Acquire) {
            let signature = key.map(|key: KeyId| [key[0]; 32]);
            let entry = Entry { signature, ..inline(&format!("{thread}/{number}"), b"x") };
            match guarded(backend, key, &[Operation::Put(Put::of(&entry))]) {
                Ok(()) => {
                    number += 1;
                    committed.fetch_add(1, Ordering::AcqRel);
                }
                Err(recorded) => {
                    assert_ne!(recorded, key, "refused although the key matches");
                    refused.fetch_add(1, Ordering::Relaxed);
                    key = recorded;
                }
            }
        }
    };
    // The number of entries signed with an older key.
    let signed_before = |number: u8| {
        let found = backend.scan(&Scan::default()).expect("listed");
        found.iter().filter(|found| found.entry.signature.is_none_or(|signature| signature[0] < number)).count()
    };
    std::thread::scope(|scope| {
        let write = &write;
        (0..WRITERS).for_each(|thread| drop(scope.spawn(move || write(thread))));
        let mut counts = Vec::new();
        for number in 1..=ROTATIONS {
            let before = committed.load(Ordering::Acquire);
            while committed.load(Ordering::Acquire) < before + 5 {
                std::thread::yield_now();
            }
            handle(number.into()).apply_one(Operation::SignWith([number; 16])).expect("committed");
            counts.push(signed_before(number));
        }
        is_over.store(true, Ordering::Release);
        for (number, count) in (1..).zip(counts) {
            assert_eq!(signed_before(number), count, "an entry with an older key was committed after key {number}");
        }
    });
    assert!(refused.load(Ordering::Relaxed) > 0, "no writer met a rotation");
    assert_eq!(backend.totals().expect("totals").entries, committed.load(Ordering::Relaxed));
}
