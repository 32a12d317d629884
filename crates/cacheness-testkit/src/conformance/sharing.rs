//! Blobs that several entries name.

use cacheness_core::backend::{MetadataBackend, Put, PutOutcome, Share};
use cacheness_core::entry::{BlobRef, Entry};

use super::MetadataFixture;
use super::metadata::{get, put};
use crate::ext::MetadataExt as _;
use crate::sample::{blob, inline};

/// Puts `entry` with the blob of an equal entry, and returns that blob with the outcome.
fn share(backend: &dyn MetadataBackend, entry: &Entry) -> (Option<String>, PutOutcome) {
    let equal = backend.equal_blob(entry).expect("looked");
    let share = equal.as_ref().map_or(Share::No, |blob| Share::With(&blob.locator));
    let outcome = backend.put_with(Put { share, ..Put::of(entry) }).expect("put");
    (equal.filter(|_| outcome.shared).map(|BlobRef { locator, .. }| locator), outcome)
}

fn replace_blob(backend: &dyn MetadataBackend, entry: &Entry, damaged: &str) -> PutOutcome {
    let share = Share::InPlaceOf(damaged);
    backend.put_with(Put { share, ..Put::of(entry) }).expect("put")
}

pub(super) fn equal_blobs(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let (one, two, three) = ("blobs/a-000000000001", "blobs/a-000000000002", "blobs/a-000000000003");
    let digest = Some([1; 32]);
    let found = |entry: &Entry| share(backend, entry).0;
    assert_eq!(share(backend, &blob("a", one, digest, 10)), (None, PutOutcome::default()), "nothing to share yet");
    assert_eq!(found(&blob("b", two, digest, 10)).as_deref(), Some(one));
    assert_eq!(get(backend, "b").expect("there").location.locator(), Some(one));
    assert_eq!(found(&blob("c", three, digest, 11)), None, "another size");
    assert_eq!(found(&blob("d", two, None, 10)), None, "no digest");
    assert!(!put(backend, &blob("e", two, digest, 10)).shared, "not asked for");
    assert_eq!(found(&blob("f", one, digest, 10)), None, "an entry names its own blob, which must not be deleted");
    // The found blob may have been deleted meanwhile, or belong to another entry.
    let with = |key, locator| {
        let entry = blob(key, "blobs/a-0000000000ff", digest, 10);
        backend.put_with(Put { share: Share::With(locator), ..Put::of(&entry) }).expect("put")
    };
    assert!(!with("z", "blobs/a-0000000000fe").shared, "no entry names it");
    assert!(!with("z", three).shared, "it has another size");
    assert_eq!(get(backend, "z").expect("there").location.locator(), Some("blobs/a-0000000000ff"));
    backend.delete("z").expect("deleted");
    // An inline payload of the same digest cannot be shared.
    let key = "inline";
    put(backend, &Entry { digest: Some([2; 32]), ..inline(key, b"0123456789") });
    assert_eq!(found(&blob("g", three, Some([2; 32]), 10)), None);
    // Sharing while replacing: the old blob is orphaned, the new one is shared.
    put(backend, &blob("h", "blobs/h-000000000009", Some([9; 32]), 1));
    let (shared, outcome) = share(backend, &blob("h", "blobs/h-00000000000a", digest, 10));
    assert_eq!(shared.as_deref(), Some(one));
    assert_eq!(outcome.orphaned, ["blobs/h-000000000009"]);
    // A blob is not shared with the entry being replaced: putting a value again repairs its blob.
    backend.clear().expect("cleared");
    put(backend, &blob("a", one, digest, 10));
    let (shared, outcome) = share(backend, &blob("a", two, digest, 10));
    assert_eq!((shared, outcome.orphaned), (None, vec![one.to_owned()]));
}

pub(super) fn damaged_blobs(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let (one, two, three) = ("blobs/a-000000000001", "blobs/a-000000000002", "blobs/a-000000000003");
    let digest = Some([1; 32]);
    let named = |key| get(backend, key).expect("there").location.locator().map(str::to_owned);
    for key in ["a", "b"] {
        put(backend, &blob(key, one, digest, 10));
    }
    put(backend, &blob("other size", one, digest, 11));
    put(backend, &blob("elsewhere", two, digest, 10));
    // Equal entries name the new blob, all others keep theirs.
    let outcome = replace_blob(backend, &blob("c", three, digest, 10), one);
    assert_eq!(outcome, PutOutcome::default(), "an entry of another size still names the damaged blob");
    for key in ["a", "b", "c"] {
        assert_eq!(named(key).as_deref(), Some(three), "{key}");
    }
    assert_eq!((named("other size").as_deref(), named("elsewhere").as_deref()), (Some(one), Some(two)));
    // No entry names it any more: the backend reports it. The same if the entry replaces one that named it.
    put(backend, &blob("d", "blobs/a-000000000004", digest, 10));
    let outcome = replace_blob(backend, &blob("a", "blobs/a-000000000005", digest, 10), three);
    assert_eq!(outcome.orphaned, [three]);
    for key in ["a", "b", "c"] {
        assert_eq!(named(key).as_deref(), Some("blobs/a-000000000005"), "{key}");
    }
    // Only the entry itself named it: it is orphaned as usual. Nothing happens if no entry named it.
    let outcome = replace_blob(backend, &blob("d", "blobs/a-000000000006", digest, 10), "blobs/a-000000000004");
    assert_eq!(outcome.orphaned, ["blobs/a-000000000004"]);
    let outcome = replace_blob(backend, &blob("e", "blobs/a-000000000007", digest, 10), "blobs/a-0000000000ff");
    assert_eq!(outcome, PutOutcome::default());
    // Removed one by one: each blob is orphaned with the last entry that names it.
    assert_eq!(backend.delete("a").expect("deleted").and_then(|outcome| outcome.orphaned), None);
    assert_eq!(backend.delete("b").expect("deleted").and_then(|outcome| outcome.orphaned), None);
    let orphaned = backend.delete("c").expect("deleted").and_then(|outcome| outcome.orphaned);
    assert_eq!(orphaned.as_deref(), Some("blobs/a-000000000005"));
}
