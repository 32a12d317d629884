//! Searches through all entries in steps, with removals in between.

use std::collections::BTreeMap;

use cacheness_core::backend::{MetadataBackend, Position, Query, Versions};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{Entry, EntryVersion};

use super::MetadataFixture;
use crate::ext::MetadataExt as _;
use crate::sample::{NOW, blob, full, inline};

fn put(backend: &dyn MetadataBackend, entry: &Entry) {
    backend.put(entry).expect("put");
}

/// Walks in steps of `limit`, and calls `visit` with the result of each step.
fn walk(backend: &dyn MetadataBackend, limit: usize, mut visit: impl FnMut(&[EntryVersion])) {
    let mut next = Some(Position::Start);
    while let Some(from) = next {
        let found = backend.search(&Query::default(), &from, limit).expect("searched");
        let Versions { versions, next: then } = found;
        assert!(limit == 0 || versions.len() <= limit, "{} entries in a step of {limit}", versions.len());
        assert!(then.as_ref() != Some(&from), "the search does not advance");
        visit(&versions);
        next = then;
    }
}

pub(super) fn every_entry_once(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    walk(backend, 10, |found| assert!(found.is_empty(), "{found:?}"));
    let mut expected = BTreeMap::new();
    for i in 0..100_u64 {
        let key = format!("{:02}", (i * 37) % 100);
        let entry = match i % 3 {
            0 => Entry { file_hash: u64::MAX - i, ..full(&key, b"payload") },
            1 => Entry { created_at: Timestamp(NOW.0 + 7), ..inline(&key, b"") },
            _ => blob(&key, &format!("blobs/{key}-0123456789ab"), None, 5),
        };
        put(backend, &entry);
        expected.insert(key, entry);
    }
    // Another entry under an existing key.
    let entry = Entry { metadata: Some("{}".into()), ..inline("50", b"new") };
    put(backend, &entry);
    expected.insert("50".into(), entry);
    for limit in [0, 1, 7, 99, 100, 101] {
        let mut seen = BTreeMap::new();
        walk(backend, limit, |found| {
            for version in found {
                assert_eq!(*version, expected[&version.key].version());
                assert!(seen.insert(version.key.clone(), ()).is_none(), "{} twice", version.key);
            }
        });
        assert_eq!(seen.len(), expected.len(), "limit {limit}");
    }
}

pub(super) fn removals_between_steps(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    for i in 0..60 {
        put(backend, &inline(&format!("{i:02}"), b"x"));
    }
    let mut seen = 0;
    walk(backend, 7, |found| {
        seen += found.len();
        let is_even = |version: &&EntryVersion| version.key.as_bytes()[1].is_multiple_of(2);
        let versions: Vec<_> = found.iter().filter(is_even).cloned().collect();
        let outcomes = backend.delete_batch(&versions).expect("deleted");
        assert!(outcomes.iter().all(Option::is_some));
    });
    assert_eq!(seen, 60);
    assert_eq!(backend.totals().expect("totals").entries, 30);
    // Later entries are counted too, even if row ids are reused.
    for i in 0..80 {
        put(backend, &inline(&format!("new {i}"), b"xy"));
    }
    assert_eq!(backend.totals().expect("totals").bytes, 30 + 160);
}
