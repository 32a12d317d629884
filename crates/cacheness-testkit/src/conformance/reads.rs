//! Reads of many entries at once, and read-only backends.

use cacheness_core::ErrorKind;
use cacheness_core::backend::{
    AccessRecord, EntryUpdate, Eviction, EvictionOrder, MetadataBackend, Operation, Part, Position, Query,
};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{Entry, EntrySummary, Totals};

use super::MetadataFixture;
use super::metadata::{get, put};
use crate::ext::{MetadataExt as _, Scan};
use crate::sample::{NOW, blob, full, inline};

pub(super) fn batch(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let entries = [full("a", b"payload"), inline("b", b""), blob("c", "blobs/c-000000000001", None, 5)];
    entries.iter().for_each(|entry| drop(put(backend, entry)));
    let keys = ["c", "missing", "a", "", "b", "a"];
    let find = |key: &&str| entries.iter().find(|entry| entry.key == *key).cloned();
    let wholes: Vec<_> = keys.iter().map(find).collect();
    assert_eq!(backend.get_batch(&keys, Part::Whole).expect("got"), wholes);
    let summaries: Vec<_> =
        wholes.into_iter().map(|found| found.map(|entry| EntrySummary::from(entry).entry)).collect();
    assert_eq!(backend.get_batch(&keys, Part::Summary).expect("got"), summaries);
    assert!(backend.get_batch(&[], Part::Whole).expect("got").is_empty());
    let many: Vec<String> = (0..3000).map(|i| format!("{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain(["b"]).collect();
    let found = backend.get_batch(&many, Part::Whole).expect("got");
    assert_eq!((found.len(), found.iter().flatten().count()), (3001, 1));
}

/// `keys` returns the keys of `select`, for every query and page.
pub(super) fn keys(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let mut entries = Vec::new();
    for i in 0..60_i64 {
        let expires_at = (i % 3 == 0).then_some(Timestamp(NOW.0 + i));
        let entry = Entry { expires_at, ..inline(&format!("{}/{i:02}", i % 2), b"x") };
        put(backend, &entry);
        if i % 4 == 0 {
            assert!(backend.set_pinned(&entry.key, true).expect("pinned"));
        }
        entries.push((entry, i % 4 == 0));
    }
    // Pins of removed entries.
    for key in ["0/08", "0/16"] {
        backend.delete(key).expect("deleted");
        entries.retain(|(entry, _)| entry.key != key);
    }
    entries.sort_by(|(one, _), (other, _)| one.key.cmp(&other.key));
    for prefix in ["", "0/", "1/4", "none"] {
        for expired_at in [None, Some(Timestamp(NOW.0 + 30))] {
            for pinned in [false, true] {
                for after in [None, Some("0/20"), Some("0/2x"), Some("1/")] {
                    for limit in [0, 1, 5, 100] {
                        let scan = Scan { prefix, expired_at, pinned, after, limit };
                        let fits = |(entry, is_pinned): &&(Entry, bool)| {
                            entry.key.starts_with(prefix)
                                && (*is_pinned || !pinned)
                                && expired_at.is_none_or(|time| entry.expires_at.is_some_and(|expiry| expiry <= time))
                                && after.is_none_or(|after| entry.key.as_str() > after)
                        };
                        let most = if limit == 0 { usize::MAX } else { limit };
                        let expected: Vec<_> =
                            entries.iter().filter(fits).take(most).map(|(entry, _)| entry.key.clone()).collect();
                        assert_eq!(backend.keys(&scan.query(), &scan.page()).expect("listed"), expected, "{scan:?}");
                        let found = backend.scan(&scan).expect("listed");
                        assert!(found.iter().map(|found| &found.entry.key).eq(&expected), "{scan:?}");
                    }
                }
            }
        }
    }
}

pub(super) fn capability(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let first = backend.capability();
    assert!(first.batch > 0);
    if first.change_notice {
        // The backend may begin to watch only after a few calls; from then on it reports every change.
        (0..20).for_each(|_| _ = backend.outside_changes());
        let before = backend.outside_changes().expect("the capability promises it");
        if let Some(reopen) = &fixture.reopen {
            put(&*reopen(), &inline("from another handle", b"x"));
            assert!(backend.outside_changes().expect("still") > before, "the result includes a committed change");
        }
    } else {
        put(backend, &inline("k", b"x"));
        assert_eq!(backend.outside_changes(), None);
    }
    assert_eq!(backend.capability(), first);
    backend.close().expect("closed");
    assert_eq!(backend.capability(), first);
}

/// Checks the read-only backend `reader` on the empty store of `writer`.
pub(super) fn read_only(writer: &dyn MetadataBackend, reader: &dyn MetadataBackend) {
    let entry = full("k", b"payload");
    put(writer, &entry);
    put(writer, &blob("pinned", "blobs/a-000000000001", Some([1; 32]), 5));
    writer.set_pinned("pinned", true).expect("pinned");
    assert!(reader.is_read_only() && !writer.is_read_only());
    assert_eq!(get(reader, "k"), Some(entry.clone()));
    let access = AccessRecord { key: "k".into(), at: NOW, count: 1 };
    let update = EntryUpdate { description: Some(None), ..EntryUpdate::default() };
    let eviction = Eviction {
        order: EvictionOrder::FirstIn,
        expired_at: NOW,
        keep: "",
        target: Totals::default(),
        count: 10,
        garbage_due: None,
    };
    let refused = [
        reader.put(&entry).err(),
        reader.update(&entry, &update).err(),
        reader.delete("k").err(),
        reader.delete("missing").err(),
        reader.delete_version(&entry.version()).err(),
        reader.clear().err(),
        reader.set_pinned("k", true).err(),
        reader.record_accesses(&[access]).err(),
        reader.apply_one(Operation::SignWith([1; 16])).err(),
        reader.apply_one(Operation::Collected(&[])).err(),
        reader.evict(&eviction).err(),
    ];
    for (call, error) in refused.into_iter().enumerate() {
        let error = error.unwrap_or_else(|| panic!("call {call} wrote to a read-only store"));
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "call {call}: {error}");
    }
    // Every read works as usual and sees the writer's commits.
    put(writer, &inline("later", b"xy"));
    assert_eq!(reader.totals().expect("totals"), Totals { entries: 3, bytes: 7 + 5 + 2 });
    assert_eq!(reader.pinned().expect("listed"), ["pinned"]);
    assert_eq!(reader.search(&Query::default(), &Position::Start, 0).expect("searched").versions.len(), 3);
    assert_eq!(reader.get_batch(&["later", "no"], Part::Summary).expect("got").iter().flatten().count(), 1);
    assert_eq!(reader.knows_blobs(&["blobs/a-000000000001"]).expect("looked"), [true]);
    assert!(reader.equal_blob(&blob("x", "blobs/x-000000000001", Some([1; 32]), 5)).expect("looked").is_some());
    assert!(reader.garbage(NOW, 1).expect("listed").is_empty());
    assert!(reader.created_range().expect("looked").is_some());
    reader.shrink().expect("nothing to do");
    reader.close().expect("closed");
    assert_eq!(reader.totals().expect_err("closed").kind(), ErrorKind::Closed);
    assert_eq!(get(writer, "k"), Some(entry));
}
