//! Random operations on a backend and on a model of it, which must agree after each.

use std::collections::BTreeMap;

use cacheness_core::backend::{AccessRecord, EntryUpdate, Put, Share};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{BlobRef, Entry, Location, Totals};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::MetadataFixture;
use crate::ext::{MetadataExt as _, Scan};
use crate::sample::{NOW, blob, inline};

/// An operation; there are few keys, locators and digests, so that they collide.
#[derive(Clone, Debug)]
enum Operation {
    PutInline { key: String, payload: Vec<u8>, expires: Option<i64> },
    PutBlob { key: String, locator: u8, digest: Option<u8>, size: u64, share: bool },
    Delete { key: String },
    DeleteVersion { key: String, stale: bool },
    Update { key: String, stale: bool, expires: Option<i64>, description: Option<String> },
    Access { keys: Vec<String> },
    ScanExpired { prefix: String, time: i64, limit: usize },
    Clear,
}

fn operations(any_text: bool) -> impl Strategy<Value = Vec<Operation>> {
    let key = prop_oneof!["[abä]{0,2}", if any_text { "[a\u{0}%😀]{1,2}" } else { "[a\u{1}%😀]{1,2}" }];
    let one = prop_oneof![
        4 => (key.clone(), prop::collection::vec(any::<u8>(), 0..40), prop::option::of(-3..3_i64))
            .prop_map(|(key, payload, expires)| Operation::PutInline { key, payload, expires }),
        4 => (key.clone(), 0..6_u8, prop::option::of(0..2_u8), 1..3_u64, any::<bool>()).prop_map(
            |(key, locator, digest, size, share)| Operation::PutBlob { key, locator, digest, size, share }
        ),
        2 => key.clone().prop_map(|key| Operation::Delete { key }),
        2 => (key.clone(), any::<bool>()).prop_map(|(key, stale)| Operation::DeleteVersion { key, stale }),
        2 => (key.clone(), any::<bool>(), prop::option::of(-3..3_i64), prop::option::of("[a-z]{0,3}")).prop_map(
            |(key, stale, expires, description)| Operation::Update { key, stale, expires, description }
        ),
        1 => prop::collection::vec(key.clone(), 0..4).prop_map(|keys| Operation::Access { keys }),
        2 => (key, -4..4_i64, 0..4_usize)
            .prop_map(|(prefix, time, limit)| Operation::ScanExpired { prefix, time, limit }),
        1 => Just(Operation::Clear),
    ];
    prop::collection::vec(one, 1..60)
}

/// The model: a direct implementation of the trait's documentation, without indexes.
#[derive(Default)]
struct Model {
    entries: BTreeMap<String, Entry>,
    /// Counts puts, so that each entry has its own creation time.
    clock: i64,
}

impl Model {
    fn is_named(&self, locator: &str) -> bool {
        self.entries.values().any(|entry| entry.location.locator() == Some(locator))
    }

    /// Puts `entry` and returns the orphaned and shared blobs.
    fn put(&mut self, mut entry: Entry, share: bool) -> (Vec<String>, Option<BlobRef>) {
        let may_share =
            share && entry.digest.is_some() && entry.location.locator().is_some_and(|own| !self.is_named(own));
        let former = self.entries.remove(&entry.key);
        let mut shared = None;
        if may_share {
            let equal = |other: &&Entry| other.digest == entry.digest && other.size == entry.size;
            let mut blobs = self.entries.values().filter(equal).filter_map(|other| other.location.blob());
            shared = blobs.next().cloned();
        }
        if let Some(blob) = &shared {
            entry.location = Location::Blob(blob.clone());
        }
        if let Some(former) = &former {
            entry.access_count = former.access_count;
        }
        self.entries.insert(entry.key.clone(), entry);
        let orphan = former.and_then(|former| former.location.locator().map(str::to_owned));
        (orphan.into_iter().filter(|orphan| !self.is_named(orphan)).collect(), shared)
    }

    fn delete(&mut self, key: &str) -> Option<Option<String>> {
        let former = self.entries.remove(key)?;
        let orphan = former.location.locator().map(str::to_owned);
        Some(orphan.filter(|orphan| !self.is_named(orphan)))
    }

    fn totals(&self) -> Totals {
        let bytes = self.entries.values().map(|entry| entry.size).sum();
        Totals { entries: self.entries.len() as u64, bytes }
    }
}

pub(super) fn metadata(factory: &impl Fn() -> MetadataFixture) {
    println!("metadata: random operations agree with a model");
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&operations(factory().any_text), |operations| {
        play(&factory(), &operations);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

fn play(fixture: &MetadataFixture, operations: &[Operation]) {
    let backend = &*fixture.backend;
    let mut model = Model::default();
    let at = |time: i64| Timestamp(NOW.0 + time);
    for operation in operations {
        model.clock += 1;
        let created_at = at(model.clock);
        let stamp = |entry: Entry| Entry { created_at, ..entry };
        match operation.clone() {
            Operation::PutInline { key, payload, expires } => {
                let entry = Entry { expires_at: expires.map(at), ..stamp(inline(&key, &payload)) };
                put(fixture, &mut model, entry, false);
            }
            Operation::PutBlob { key, locator, digest, size, share } => {
                let locator = format!("blobs/a-{locator:012x}");
                put(fixture, &mut model, stamp(blob(&key, &locator, digest.map(|d| [d; 32]), size)), share);
            }
            Operation::Delete { key } => {
                let outcome = backend.delete(&key).expect("deleted");
                assert_eq!(outcome.map(|outcome| outcome.orphaned), model.delete(&key));
            }
            Operation::DeleteVersion { key, stale } => {
                let Some(mut expected) = model.entries.get(&key).cloned() else { continue };
                expected.created_at.0 -= i64::from(stale);
                let outcome =
                    backend.delete_version(&expected.version()).expect("deleted").map(|outcome| outcome.orphaned);
                assert_eq!(outcome, if stale { None } else { model.delete(&key) });
            }
            Operation::Update { key, stale, expires, description } => {
                let Some(entry) = model.entries.get_mut(&key) else { continue };
                let mut expected = entry.clone();
                expected.created_at.0 -= i64::from(stale);
                let (expires_at, description) = (Some(expires.map(at)), description.map(Some));
                let update = EntryUpdate { expires_at, description: description.clone(), ..EntryUpdate::default() };
                assert_eq!(backend.update(&expected, &update).expect("updated"), !stale);
                if !stale {
                    entry.expires_at = expires.map(at);
                    if let Some(description) = description {
                        entry.description = description;
                    }
                }
            }
            Operation::Access { keys } => {
                let time = at(model.clock);
                let accesses: Vec<_> = keys.into_iter().map(|key| AccessRecord { key, at: time, count: 2 }).collect();
                backend.record_accesses(&accesses).expect("recorded");
                for access in accesses {
                    if let Some(entry) = model.entries.get_mut(&access.key) {
                        entry.access_count += 2;
                        entry.accessed_at = entry.accessed_at.max(time);
                    }
                }
            }
            Operation::ScanExpired { prefix, time, limit } => {
                let scan = Scan { prefix: &prefix, limit, expired_at: Some(at(time)), ..Scan::default() };
                let found: Vec<_> =
                    backend.scan(&scan).expect("scanned").into_iter().map(|summary| summary.entry.key).collect();
                let expired = |entry: &&Entry| {
                    entry.key.starts_with(&prefix) && entry.expires_at.is_some_and(|expiry| expiry <= at(time))
                };
                let limit = if limit == 0 { usize::MAX } else { limit };
                let expected: Vec<_> =
                    model.entries.values().filter(expired).take(limit).map(|entry| entry.key.clone()).collect();
                assert_eq!(found, expected);
            }
            Operation::Clear => {
                let (removed, mut named) = backend.clear().expect("cleared");
                named.sort();
                let mut expected: Vec<_> =
                    model.entries.values().filter_map(|entry| entry.location.locator().map(str::to_owned)).collect();
                expected.sort();
                expected.dedup();
                assert_eq!((removed, named), (model.entries.len() as u64, expected));
                model.entries.clear();
            }
        }
        assert_eq!(backend.totals().expect("totals"), model.totals());
    }
    let times = || model.entries.values().map(|entry| entry.created_at);
    assert_eq!(backend.created_range().expect("looked"), times().min().zip(times().max()));
    let found = backend.scan(&Scan::default()).expect("scanned");
    assert!(found.iter().map(|summary| &summary.entry.key).eq(model.entries.keys()));
    for (key, entry) in &model.entries {
        assert_eq!(backend.whole(key).expect("got").as_ref(), Some(entry));
    }
}

fn put(fixture: &MetadataFixture, model: &mut Model, entry: Entry, share_blob: bool) {
    let equal = fixture.backend.equal_blob(&entry).expect("looked").filter(|_| share_blob);
    let share = equal.as_ref().map_or(Share::No, |blob| Share::With(&blob.locator));
    let outcome = fixture.backend.put_with(Put { share, ..Put::of(&entry) }).expect("put");
    assert_eq!(outcome.replaced, model.entries.contains_key(&entry.key));
    let shared = equal.filter(|_| outcome.shared);
    assert_eq!((outcome.orphaned, shared), model.put(entry, share_blob));
}
