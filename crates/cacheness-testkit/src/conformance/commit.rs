//! Commits of several operations.

use cacheness_core::ErrorKind;
use cacheness_core::backend::{
    AccessRecord, Commit, CustomRow, EntryUpdate, MetadataBackend, Operation, Outcome, Put, PutOutcome, Share,
};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{BlobRef, Entry, Location, Totals};

use super::MetadataFixture;
use super::guard::signing_key;
use super::metadata::{get, put};
use crate::ext::{MetadataExt as _, Scan};
use crate::sample::{NOW, blob, full, inline};

const ONE: &str = "blobs/a-000000000001";
const TWO: &str = "blobs/a-000000000002";

fn new(replaced: bool) -> PutOutcome {
    PutOutcome { replaced, ..PutOutcome::default() }
}

/// Outcomes as text: most of their types cannot be compared.
fn texts(outcomes: &[Outcome]) -> Vec<String> {
    outcomes.iter().map(|outcome| format!("{outcome:?}")).collect()
}

pub(super) fn outcomes(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    assert!(backend.apply(&[]).expect("nothing to do").is_empty());
    let (a, b) = (full("a", b"payload"), blob("b", ONE, None, 5));
    let update = EntryUpdate { description: Some(None), ..EntryUpdate::default() };
    let access = |key: &str| AccessRecord { key: key.into(), at: NOW, count: 1 };
    let (stale, accesses) = (inline("a", b"").version(), [access("a"), access("missing")]);
    let (missing, found) = (Outcome::Deleted { found: false, orphaned: None }, |orphaned: Option<&str>| {
        Outcome::Deleted { found: true, orphaned: orphaned.map(str::to_owned) }
    });
    let outcomes = backend.apply(&[
        Operation::DeleteVersion(&stale),
        Operation::Put(Put::of(&a)),
        Operation::DeleteVersion(&stale),
        Operation::Put(Put::of(&a)),
        Operation::Access(&accesses[0]),
        Operation::Access(&accesses[1]),
        Operation::Update { expected: &a, update: &update },
        Operation::Update { expected: &a, update: &update },
        Operation::Pin { key: "a", pinned: true },
        Operation::Pin { key: "b", pinned: true },
        Operation::Put(Put::of(&b)),
        Operation::SignWith([7; 16]),
        Operation::Collected(&[]),
        Operation::Delete("missing"),
        Operation::DeleteVersion(&a.version()),
        Operation::Delete("b"),
    ]);
    let expected = [
        Outcome::Deleted { found: false, orphaned: None },
        Outcome::Put(new(false)),
        Outcome::Deleted { found: false, orphaned: None },
        Outcome::Put(new(true)),
        Outcome::Done,
        Outcome::Done,
        Outcome::Found(true),
        Outcome::Found(false),
        Outcome::Found(true),
        Outcome::Found(false),
        Outcome::Put(new(false)),
        Outcome::Done,
        Outcome::Done,
        missing,
        found(None),
        found(Some(ONE)),
    ];
    assert_eq!(texts(&outcomes.expect("committed")), texts(&expected));
    assert_eq!(backend.totals().expect("totals"), Totals::default());
    let outcomes = backend.apply(&[Operation::Put(Put::of(&b)), Operation::Clear, Operation::Put(Put::of(&a))]);
    let outcomes = outcomes.expect("committed");
    assert!(matches!(outcomes[1], Outcome::Cleared { entries: 1, .. }), "{outcomes:?}");
    assert_eq!(backend.totals().expect("totals"), Totals { entries: 1, bytes: 7 });
}

/// Each operation sees the changes of the previous ones.
pub(super) fn in_order(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let first = full("k", b"first");
    let description = |text: &str| EntryUpdate { description: Some(Some(text.into())), ..EntryUpdate::default() };
    let (one, two) = (description("one"), description("two"));
    let between = Entry { description: Some("one".into()), ..first.clone() };
    let access = AccessRecord { key: "k".into(), at: Timestamp(NOW.0 + 50), count: 3 };
    let operations = [
        Operation::Put(Put { pin: true, ..Put::of(&first) }),
        Operation::Update { expected: &first, update: &one },
        Operation::Update { expected: &between, update: &two },
        Operation::Access(&access),
        Operation::Pin { key: "k", pinned: false },
    ];
    let outcomes = backend.apply(&operations).expect("committed");
    assert!(outcomes[1..3].iter().all(|outcome| matches!(outcome, Outcome::Found(true))), "{outcomes:?}");
    let expected = Entry {
        description: Some("two".into()),
        accessed_at: Timestamp(NOW.0 + 50),
        access_count: first.access_count + 3,
        ..first
    };
    assert_eq!(get(backend, "k"), Some(expected));
    assert!(backend.pinned().expect("listed").is_empty());
}

/// A blob is orphaned when no entry names it after the whole commit.
pub(super) fn orphans_of_the_whole(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    put(backend, &blob("old", ONE, None, 5));
    // An entry that moves to another key keeps its blob, in either order.
    let moved = blob("new", ONE, None, 5);
    let outcomes = backend.apply(&[Operation::Delete("old"), Operation::Put(Put::of(&moved))]).expect("committed");
    assert!(matches!(outcomes[0], Outcome::Deleted { found: true, orphaned: None }), "{outcomes:?}");
    let back = blob("old", ONE, None, 5);
    let outcomes = backend.apply(&[Operation::Put(Put::of(&back)), Operation::Delete("new")]).expect("committed");
    assert!(matches!(outcomes[1], Outcome::Deleted { found: true, orphaned: None }), "{outcomes:?}");
    // The same for a replacement, and for all entries.
    let (other, again) = (blob("old", TWO, None, 6), blob("third", ONE, None, 5));
    let outcomes = backend.apply(&[Operation::Put(Put::of(&other)), Operation::Put(Put::of(&again))]);
    assert_eq!(texts(&outcomes.expect("committed")), texts(&[Outcome::Put(new(true)), Outcome::Put(new(false))]));
    let outcomes = backend.apply(&[Operation::Clear, Operation::Put(Put::of(&again))]).expect("committed");
    let Some(Outcome::Cleared { entries: 2, orphaned }) = outcomes.into_iter().next() else { panic!("cleared") };
    assert_eq!(orphaned.map(|locator| locator.expect("read")).collect::<Vec<_>>(), [TWO]);
    // Named again and orphaned again: it is reported once.
    let outcomes = backend.apply(&[
        Operation::Delete("third"),
        Operation::Put(Put::of(&moved)),
        Operation::Delete("new"),
        Operation::Delete("third"),
    ]);
    let deleted = |orphaned: Option<&str>| Outcome::Deleted { found: true, orphaned: orphaned.map(str::to_owned) };
    let missing = Outcome::Deleted { found: false, orphaned: None };
    let expected = [deleted(None), Outcome::Put(new(false)), deleted(Some(ONE)), missing];
    assert_eq!(texts(&outcomes.expect("committed")), texts(&expected));
}

/// The state that a failed commit must not change.
fn state(backend: &dyn MetadataBackend) -> impl PartialEq + std::fmt::Debug + use<> {
    let entries: Vec<_> =
        backend.scan(&Scan::default()).expect("listed").into_iter().map(|found| found.entry).collect();
    let wholes: Vec<_> = entries.iter().map(|entry| get(backend, &entry.key)).collect();
    let garbage = backend.garbage(Timestamp(i64::MAX), 100).expect("listed");
    (wholes, backend.totals().expect("totals"), backend.pinned().expect("listed"), garbage, signing_key(backend))
}

pub(super) fn all_or_nothing(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let (a, b) = (full("a", b"payload"), blob("b", ONE, Some([1; 32]), 5));
    backend.apply(&[Operation::Put(Put::of(&a)), Operation::Put(Put { pin: true, ..Put::of(&b) })]).expect("committed");
    put(backend, &blob("c", TWO, None, 6));
    let commit = Commit { garbage_due: Some(NOW), ..Commit::of(&[Operation::Delete("c")]) };
    backend.commit(&commit).expect("committed");
    let before = state(backend);
    // A row for a table that does not exist, or for a backend without tables.
    let rows = [CustomRow::new("no such table", None, Vec::new())];
    let (new, other) = (inline("new", b"x"), blob("b", TWO, None, 6));
    let refused = Operation::Put(Put { rows: &rows, ..Put::of(&new) });
    let update = EntryUpdate { expires_at: Some(Some(NOW)), ..EntryUpdate::default() };
    let access = AccessRecord { key: "a".into(), at: Timestamp(i64::MAX), count: 100 };
    let others = [
        Operation::Put(Put::of(&other)),
        Operation::Put(Put { share: Share::InPlaceOf(ONE), ..Put::of(&other) }),
        Operation::Put(Put { pin: true, ..Put::of(&new) }),
        Operation::Update { expected: &a, update: &update },
        Operation::Access(&access),
        Operation::Delete("a"),
        Operation::DeleteVersion(&b.version()),
        Operation::Pin { key: "b", pinned: false },
        Operation::SignWith([9; 16]),
        Operation::Collected(&[TWO.to_owned()]),
        Operation::Clear,
    ];
    let mut commits: Vec<Vec<Operation<'_>>> = others.iter().map(|operation| vec![*operation, refused]).collect();
    commits.push([&others[..5], &[refused], &others[5..]].concat());
    commits.push([&others[..], &[refused]].concat());
    commits.push([&[refused], &others[..]].concat());
    for operations in commits {
        for garbage_due in [None, Some(NOW)] {
            let commit = Commit { garbage_due, ..Commit::of(&operations) };
            let error = backend.commit(&commit).expect_err("a row that cannot be stored");
            if !backend.capability().custom_rows {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            }
            assert_eq!(state(backend), before, "{operations:?}");
        }
    }
    // The backend still works.
    put(backend, &new);
    assert_eq!(get(backend, "new"), Some(new));
}

pub(super) fn large(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let entries: Vec<_> = (0..5000).map(|i| inline(&format!("{i:04}"), &[1; 3])).collect();
    let puts: Vec<_> = entries.iter().map(|entry| Operation::Put(Put::of(entry))).collect();
    assert_eq!(backend.apply(&puts).expect("committed").len(), 5000);
    assert_eq!(backend.totals().expect("totals"), Totals { entries: 5000, bytes: 15_000 });
    let versions: Vec<_> = entries.iter().step_by(2).map(Entry::version).collect();
    assert!(backend.delete_batch(&versions).expect("committed").iter().all(Option::is_some));
    assert_eq!(backend.totals().expect("totals"), Totals { entries: 2500, bytes: 7500 });
}

/// The properties of a blob are returned wherever its entry is.
pub(super) fn tags_and_versions(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let tagged = |locator: &str, etag: Option<&str>, version: Option<&str>| BlobRef {
        etag: etag.map(str::to_owned),
        version: version.map(str::to_owned),
        ..BlobRef::new(locator, 10)
    };
    let entry = |key: &str, blob: &BlobRef| Entry {
        location: Location::Blob(blob.clone()),
        ..self::blob(key, "", Some([1; 32]), 10)
    };
    let first = tagged(ONE, Some("\"0123\""), Some("v 1"));
    let listed = |key: &str| {
        let found = backend.scan(&Scan { prefix: key, limit: 1, ..Scan::default() }).expect("listed");
        found.into_iter().next().map(|found| found.entry.location)
    };
    let check = |key: &str, blob: &BlobRef| {
        let expected = Some(Location::Blob(blob.clone()));
        assert_eq!(get(backend, key).map(|entry| entry.location), expected, "{key}");
        assert_eq!(listed(key), expected, "{key}");
    };
    put(backend, &entry("a", &first));
    check("a", &first);
    for (key, blob) in [("b", tagged(TWO, None, Some(""))), ("c", tagged("blobs/c-000000000003", Some("e"), None))] {
        put(backend, &entry(key, &blob));
        check(key, &blob);
    }
    // An entry that shares a blob has the same properties.
    let own = tagged("blobs/d-000000000004", Some("own"), None);
    assert_eq!(backend.equal_blob(&entry("d", &own)).expect("looked"), Some(first.clone()));
    let put_shared =
        |key: &str, blob: &BlobRef, share| backend.put_with(Put { share, ..Put::of(&entry(key, blob)) }).expect("put");
    assert!(put_shared("d", &own, Share::With(ONE)).shared);
    check("d", &first);
    // A damaged blob is replaced with its tag and its version.
    let mended = tagged("blobs/e-000000000005", Some("new"), Some("v 2"));
    put_shared("e", &mended, Share::InPlaceOf(ONE));
    for key in ["a", "d", "e"] {
        check(key, &mended);
    }
    // A replacement keeps nothing of the previous one.
    put(backend, &inline("e", b"x"));
    put(backend, &blob("e", ONE, None, 10));
    check("e", &BlobRef::new(ONE, 10));
    if let Some(reopen) = &fixture.reopen {
        let second = reopen();
        assert_eq!(get(&*second, "a").map(|entry| entry.location), Some(Location::Blob(mended)));
    }
}
