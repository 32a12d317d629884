//! The engine on backends of which every call fails once: whatever it is, the value that was there stays, the one that was
//! acknowledged is there, and no blob is left that nobody names, but where deleting it has failed.

use std::collections::BTreeMap;
use std::sync::Arc;

use cacheness_core::backend::BlobBackend;
use cacheness_core::backend::{EntryUpdate, Eviction, EvictionOrder};
use cacheness_core::backends::{MemoryBlobs, MemoryMetadata};
use cacheness_core::clock::Clock;
use cacheness_core::config::StoreConfig;
use cacheness_core::entry::{Format, Totals};
use cacheness_core::payload::{Encoded, Payload};
use cacheness_core::sign::{SignedFields, Signer};
use cacheness_core::store::{EntryKey, Fetched, PutAttributes, ReadOptions, Store};
use cacheness_core::{ErrorKind, Result};
use cacheness_testkit::faulty::{FaultyBlobs, FaultyMetadata, INJECTED, Plan};
use cacheness_testkit::sample;

struct Place {
    store: Store,
    blobs: Arc<FaultyBlobs<MemoryBlobs>>,
    plan: Plan,
}

fn place(content_addressable: bool) -> Place {
    let plan = Plan::new();
    let blobs = Arc::new(FaultyBlobs { inner: MemoryBlobs::new(), plan: plan.clone() });
    let metadata = FaultyMetadata { inner: MemoryMetadata::new(), plan: plan.clone() };
    let config = StoreConfig { inline_threshold_bytes: 100, content_addressable, ..StoreConfig::default() };
    let signer = Signer::in_memory(SignedFields::ALL).expect("a key");
    let store = Store::new(Box::new(metadata), Arc::clone(&blobs) as _, Some(signer), config, Clock::system());
    Place { store, blobs, plan }
}

type Values = BTreeMap<&'static str, Vec<u8>>;

fn former() -> Values {
    BTreeMap::from([("inline", vec![1; 50]), ("blob", vec![2; 500]), ("other", vec![3; 600])])
}

fn put(store: &Store, key: &str, bytes: &[u8]) -> Result<()> {
    let format = Format { ..sample::inline("", b"").format };
    let encoded = Encoded { format, payload: Payload::Bytes(bytes.to_vec().into()), extension: "bin".into() };
    store.put(&EntryKey::Name(key.to_owned()), encoded, PutAttributes::default()).map(drop)
}

fn get(store: &Store, key: &str) -> Result<Option<Vec<u8>>> {
    let options = ReadOptions { verify: true, strict: true };
    match store.fetch(&EntryKey::Name(key.to_owned()), options, |_| true)? {
        Fetched::Found(stored) => stored.into_bytes().map(|bytes| Some(bytes.to_vec())),
        Fetched::Missing => Ok(None),
        other => panic!("{other:?}"),
    }
}

/// A name, what it does, and what is there if it has been done.
type Operation = (&'static str, fn(&Store) -> Result<()>, fn(&mut Values));

fn evict(store: &Store) -> Result<()> {
    let target = Totals { entries: 0, bytes: u64::MAX };
    let order = EvictionOrder::FirstIn;
    let expired_at = store.clock().now();
    store.evict(&Eviction { order, expired_at, keep: "", target, count: 100, garbage_due: None }).map(drop)
}

const OPERATIONS: &[Operation] = &[
    ("put inline", |store| put(store, "inline", &[9; 50]), |values| drop(values.insert("inline", vec![9; 50]))),
    ("put a blob", |store| put(store, "blob", &[9; 500]), |values| drop(values.insert("blob", vec![9; 500]))),
    ("put a blob for inline", |s| put(s, "inline", &[9; 500]), |values| drop(values.insert("inline", vec![9; 500]))),
    ("put a shared blob", |store| put(store, "new", &[3; 600]), |values| drop(values.insert("new", vec![3; 600]))),
    ("delete", |store| store.delete("blob").map(drop), |values| drop(values.remove("blob"))),
    ("clear", |store| store.clear().map(drop), BTreeMap::clear),
    ("evict", evict, BTreeMap::clear),
    (
        "update",
        |store| {
            let update = EntryUpdate { description: Some(Some("x".into())), ..EntryUpdate::default() };
            store.update_entry("blob", |_| Ok(update.clone())).map(drop)
        },
        |_| {},
    ),
    ("get", |store| get(store, "blob").map(drop), |_| {}),
];

fn check(place: &Place, values: &Values, spare: usize, what: &str) {
    for key in ["inline", "blob", "other", "new"] {
        let found = get(&place.store, key).unwrap_or_else(|error| panic!("{what}: {key}: {error:?}"));
        assert_eq!(found.as_ref(), values.get(key), "{what}: {key}");
    }
    let totals = place.store.totals().expect("totals");
    assert_eq!(totals.entries, values.len() as u64, "{what}");
    let mut named = std::collections::BTreeSet::new();
    let mut note = |locator: Option<&str>| named.extend(locator.map(str::to_owned));
    place
        .store
        .for_each("", |summary| {
            note(summary.entry.location.locator());
            Ok(())
        })
        .expect("listed");
    let blobs = place.blobs.list(None, usize::MAX).expect("listed").len();
    assert!((named.len()..=named.len() + spare).contains(&blobs), "{what}: {blobs} blobs, {} named", named.len());
}

/// A backend knows more than the kind of its error tells: its word comes out of every operation, also out of those that
/// write through `std::io::Write`.
#[test]
fn a_backend_says_whether_its_error_is_retryable() {
    let says = [
        (ErrorKind::Storage, Some(true), true),
        (ErrorKind::Storage, None, false),
        (ErrorKind::Denied, Some(true), true),
        (ErrorKind::Busy, Some(false), false),
        (ErrorKind::Conflict, None, true),
        (ErrorKind::Unavailable, Some(false), false),
        (ErrorKind::TimedOut, None, true),
    ];
    for (name, operation, _) in OPERATIONS {
        for (kind, said, retryable) in says {
            let mut failures = 0;
            for call in 1.. {
                let place = place(false);
                for (key, bytes) in former() {
                    put(&place.store, key, &bytes).expect(name);
                }
                place.plan.fail_with(call, kind, said);
                let result = operation(&place.store);
                if let Err(error) = result {
                    failures += 1;
                    let what = format!("{name}, call {call}, {said:?}: {error:?}");
                    assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{what}");
                }
                if place.plan.calls() < call {
                    break;
                }
            }
            assert!(failures > 0, "{name} calls a backend");
        }
    }
}

#[test]
fn every_call_of_a_backend_fails_once() {
    for content_addressable in [false, true] {
        for (name, operation, apply) in OPERATIONS {
            let mut failures = 0;
            for call in 1.. {
                let what = format!("{name}, call {call}, content_addressable {content_addressable}");
                let place = place(content_addressable);
                for (key, bytes) in former() {
                    put(&place.store, key, &bytes).expect(&what);
                }
                place.plan.fail(call);
                let result = operation(&place.store);
                let calls = place.plan.calls();
                place.plan.fail(0);
                let mut values = former();
                match &result {
                    Ok(()) => apply(&mut values),
                    Err(error) => {
                        failures += 1;
                        assert_eq!(error.kind(), ErrorKind::Storage, "{what}: {error:?}");
                        assert!(format!("{error:?}").contains(INJECTED), "{what}: {error:?}");
                    }
                }
                // A blob that cannot be deleted behind a success is left.
                check(&place, &values, usize::from(result.is_ok() && calls >= call), &what);
                operation(&place.store).unwrap_or_else(|error| panic!("{what}, again: {error:?}"));
                apply(&mut values);
                check(&place, &values, usize::from(calls >= call), &format!("{what}, again"));
                if calls < call {
                    break;
                }
            }
            assert!(failures > 0, "{name} calls a backend");
        }
    }
}
