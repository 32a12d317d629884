//! Walks through all entries, and removals in between.

use std::collections::BTreeMap;

use cacheness_core::backend::{MetadataBackend, Position, PutOptions};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{Entry, EntryVersion, Glimpse};
use cacheness_core::{Error, ErrorKind, Result};

use super::MetadataFixture;
use crate::sample::{NOW, blob, full, inline};

fn put(backend: &dyn MetadataBackend, entry: &Entry) {
    backend.put(entry, PutOptions::default()).expect("put");
}

/// Walks in steps of `limit`, and calls `between` after each.
fn walk(
    backend: &dyn MetadataBackend,
    limit: usize,
    mut visit: impl FnMut(&Glimpse<'_>) -> Result<()>,
    mut between: impl FnMut(),
) -> Result<()> {
    let mut next = Some(Position::Start);
    while let Some(from) = next {
        let mut seen = 0;
        next = backend.skim(&from, limit, &mut |entry| {
            seen += 1;
            visit(entry)
        })?;
        assert!(limit == 0 || seen <= limit, "{seen} entries in a step of {limit}");
        assert!(next.as_ref() != Some(&from), "the walk does not go on");
        between();
    }
    Ok(())
}

pub(super) fn every_entry_once(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    walk(backend, 10, |entry| panic!("{entry:?} is not there"), || ()).expect("walked");
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
    // Another entry under a key that is there.
    let entry = Entry { metadata: Some("{}".into()), ..inline("50", b"new") };
    put(backend, &entry);
    expected.insert("50".into(), entry);
    for limit in [0, 1, 7, 99, 100, 101] {
        let mut seen = BTreeMap::new();
        let visit = |entry: &Glimpse<'_>| {
            let known = &expected[entry.key];
            assert_eq!(*entry, Glimpse::from(known));
            assert_eq!(entry.version(), known.version());
            assert!(seen.insert(entry.key.to_owned(), ()).is_none(), "{} twice", entry.key);
            Ok(())
        };
        walk(backend, limit, visit, || ()).expect("walked");
        assert_eq!(seen.len(), expected.len(), "limit {limit}");
    }
}

pub(super) fn removals_between_steps(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    for i in 0..60 {
        put(backend, &inline(&format!("{i:02}"), b"x"));
    }
    let found = std::cell::RefCell::new(Vec::<EntryVersion>::new());
    let mut seen = 0;
    let visit = |entry: &Glimpse<'_>| {
        seen += 1;
        if entry.key.as_bytes()[1].is_multiple_of(2) {
            found.borrow_mut().push(entry.version());
        }
        Ok(())
    };
    let remove = || {
        let outcomes = backend.delete_batch(&found.take()).expect("deleted");
        assert!(outcomes.iter().all(Option::is_some));
    };
    walk(backend, 7, visit, remove).expect("walked");
    assert_eq!(seen, 60);
    assert_eq!(backend.totals().expect("totals").entries, 30);
    // Whatever comes then is counted, also where the numbers of rows are used again.
    for i in 0..80 {
        put(backend, &inline(&format!("new {i}"), b"xy"));
    }
    assert_eq!(backend.totals().expect("totals").bytes, 30 + 160);
}

pub(super) fn an_error_ends_a_step(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    for key in ["a", "b", "c"] {
        put(backend, &inline(key, b""));
    }
    let mut seen = 0;
    let error = backend.skim(&Position::Start, 0, &mut |_| {
        seen += 1;
        Err(Error::new(ErrorKind::InvalidInput, "enough"))
    });
    assert_eq!(error.expect_err("its error").kind(), ErrorKind::InvalidInput);
    assert_eq!(seen, 1);
}
