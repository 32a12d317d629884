//! The metadata backend over a store of records passes the suite, and holds against mistakes and conflicts of the store.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cacheness_core::backend::{Commit, MetadataBackend, Operation, Page, Part, Put, Query};
use cacheness_core::backends::{Change, Expected, RECORD_FIELDS, RESERVED, RecordStore, RecordsMetadata};
use cacheness_core::clock::Timestamp;
use cacheness_core::{ErrorKind, Result};
use cacheness_testkit::conformance::{self, MetadataFixture};
use cacheness_testkit::ext::MetadataExt as _;
use cacheness_testkit::sample::{blob, full, inline};

type Records = Arc<Mutex<BTreeMap<String, String>>>;

/// A database that knows nothing but keys and texts.
#[derive(Debug, Default)]
struct Map {
    records: Records,
    /// How many commits are refused as if another writer had been faster.
    refused: AtomicU64,
    /// Whether pages come back in the wrong order.
    backwards: AtomicBool,
    calls: Arc<AtomicU64>,
}

impl Map {
    fn of(records: &Records) -> Self {
        Self { records: Arc::clone(records), ..Self::default() }
    }
}

fn revision(record: &str) -> String {
    let record: serde_json::Value = serde_json::from_str(record).expect("a record");
    record["revision"].as_str().expect("a revision").to_owned()
}

impl RecordStore for Map {
    fn name(&self) -> &str {
        "map"
    }

    fn get(&self, keys: &[&str]) -> Result<Vec<Option<String>>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let records = self.records.lock().expect("no panic");
        Ok(keys.iter().map(|key| records.get(*key).cloned()).collect())
    }

    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let records = self.records.lock().expect("no panic");
        let page = records.range::<str, _>((start, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        let mut page: Vec<String> = page.take(limit).map(|(_, record)| record.clone()).collect();
        if self.backwards.load(Ordering::Relaxed) {
            page.reverse();
        }
        Ok(page)
    }

    fn commit(&self, changes: &[Change<'_>], expected: &[Expected<'_>]) -> Result<bool> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let refuse = |left: u64| left.checked_sub(1);
        if self.refused.fetch_update(Ordering::Relaxed, Ordering::Relaxed, refuse).is_ok() {
            return Ok(false);
        }
        let mut records = self.records.lock().expect("no panic");
        for Expected { key, revision: expected } in expected {
            if records.get(*key).map(|record| revision(record)).as_deref() != *expected {
                return Ok(false);
            }
        }
        for Change { key, record } in changes {
            assert!(expected.iter().any(|expected| expected.key == *key), "{key} is changed and not compared");
            match record {
                Some(record) => drop(records.insert((*key).to_owned(), (*record).to_owned())),
                None => drop(records.remove(*key)),
            }
        }
        Ok(true)
    }

    fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[test]
fn records_pass_the_suite() {
    conformance::metadata(|| {
        let records = Records::default();
        MetadataFixture::persistent(move || RecordsMetadata::new(Map::of(&records)), ())
    });
}

#[test]
fn a_commit_is_repeated_when_another_writer_was_faster() {
    let map = Map::default();
    map.refused.store(5, Ordering::Relaxed);
    let backend = RecordsMetadata::new(map);
    let entry = full("k", b"payload");
    backend.put(&entry).expect("put");
    assert_eq!(backend.get("k", Part::Whole).expect("read"), Some(entry));
    assert_eq!(backend.totals().expect("totals").entries, 1);
}

#[test]
fn small_puts_and_gets_take_few_calls() {
    let map = Map::default();
    let calls = Arc::clone(&map.calls);
    let backend = RecordsMetadata::new(map);
    let count = |what: &str, expected: u64, act: &dyn Fn()| {
        calls.store(0, Ordering::Relaxed);
        act();
        assert_eq!(calls.load(Ordering::Relaxed), expected, "{what}");
    };
    count("put", 2, &|| drop(backend.put(&inline("k", b"x")).expect("put")));
    count("replace", 2, &|| drop(backend.put(&inline("k", b"y")).expect("put")));
    count("get", 1, &|| assert!(backend.get("k", Part::Whole).expect("read").is_some()));
    count("put of a blob", 2, &|| drop(backend.put(&blob("b", "blobs/a-000000000001", None, 5)).expect("put")));
    count("replace a blob", 3, &|| drop(backend.put(&blob("b", "blobs/b-000000000002", None, 5)).expect("put")));
    count("delete", 3, &|| drop(backend.delete("b").expect("deleted")));
    count("totals", 1, &|| assert_eq!(backend.totals().expect("totals").entries, 1));
}

#[test]
fn nothing_is_left_when_all_entries_are_removed() {
    let records = Records::default();
    let backend = RecordsMetadata::new(Map::of(&records));
    for (key, locator) in [("a", "blobs/a-000000000001"), ("b", "blobs/a-000000000001"), ("c", "blobs/c-000000000002")]
    {
        backend.put(&blob(key, locator, Some([1; 32]), 5)).expect("put");
    }
    for key in ["a", "b", "c"] {
        backend.delete(key).expect("deleted");
    }
    let left: Vec<String> = records.lock().expect("no panic").keys().cloned().collect();
    assert!(left.iter().all(|key| key.starts_with("~cacheness/totals/")), "{left:?}");
    backend.put(&blob("a", "blobs/a-000000000001", None, 5)).expect("put");
    let commit = Commit { garbage_due: Some(Timestamp(7)), ..Commit::of(&[Operation::Delete("a")]) };
    backend.commit(&commit).expect("committed");
    assert_eq!(backend.garbage(Timestamp(7), 10).expect("listed"), ["blobs/a-000000000001"]);
    backend.clear().expect("cleared");
    assert_eq!(backend.garbage(Timestamp(7), 10).expect("listed"), ["blobs/a-000000000001"], "still to be deleted");
}

#[test]
fn mistakes_of_the_store_are_reported() {
    let records = Records::default();
    let backend = RecordsMetadata::new(Map::of(&records));
    for key in ["a", "b"] {
        backend.put(&inline(key, b"x")).expect("put");
    }
    let damage = |key: &str, text: &str| {
        records.lock().expect("no panic").insert(key.to_owned(), text.to_owned()).expect("there")
    };
    for text in ["", "null", "{}", "[1]", r#"{"cache_key": "a"}"#, r#"{"cache_key": "a", "revision": "1"}"#] {
        let former = damage("a", text);
        let error = backend.get("a", Part::Whole).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Metadata, "{error}");
        assert!(error.to_string().contains("\"a\""), "{error}");
        assert!(backend.put(&inline("a", b"y")).is_err(), "{text}: it may name a blob");
        assert!(backend.select(&Query::default(), &Page::default()).is_err(), "{text}");
        assert!(backend.get("b", Part::Whole).expect("read").is_some());
        damage("a", &former);
    }
    let other = records.lock().expect("no panic")["b"].clone();
    let former = damage("a", &other);
    assert_eq!(backend.get("a", Part::Whole).expect_err("that of b").kind(), ErrorKind::Metadata);
    damage("a", &former);
    let map = Map::of(&records);
    map.backwards.store(true, Ordering::Relaxed);
    let error = RecordsMetadata::new(map).count(&Query::default()).expect_err("the wrong order");
    assert!(error.to_string().contains("was asked for"), "{error}");
}

#[test]
fn reserved_keys_are_refused() {
    let backend = RecordsMetadata::new(Map::default());
    let entry = inline(&format!("{RESERVED}totals/00"), b"x");
    let error = backend.commit(&Commit::of(&[Operation::Put(Put::of(&entry))])).expect_err("reserved");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    backend.put(&inline("k", b"x")).expect("put");
    for part in 0..16 {
        assert_eq!(backend.get(&format!("{RESERVED}totals/{part:02x}"), Part::Whole).expect("read"), None);
    }
    for key in ["~", "~cacheness", "~cacheness0", "\u{10ffff}"] {
        backend.put(&inline(key, b"x")).expect("put");
    }
    let keys = backend.keys(&Query::default(), &Page::default()).expect("listed");
    assert_eq!(keys, ["k", "~", "~cacheness", "~cacheness0", "\u{10ffff}"]);
}

/// Every field that is written is one that is documented.
#[test]
fn all_fields_are_known() {
    let records = Records::default();
    let backend = RecordsMetadata::new(Map::of(&records));
    backend.put(&full("k", b"payload")).expect("put");
    let mut tagged = blob("b", "blobs/b-000000000001", Some([1; 32]), 5);
    if let cacheness_core::entry::Location::Blob(blob) = &mut tagged.location {
        (blob.etag, blob.version) = (Some("e".into()), Some("v".into()));
    }
    backend.put_with(Put { pin: true, ..Put::of(&tagged) }).expect("put");
    backend.put(&blob("c", "blobs/c-000000000001", None, 5)).expect("put");
    backend.apply(&[Operation::SignWith([1; 16])]).expect("committed");
    let commit = Commit { garbage_due: Some(Timestamp(7)), ..Commit::of(&[Operation::Delete("c")]) };
    backend.commit(&commit).expect("committed");
    let mut seen = std::collections::BTreeSet::new();
    for record in records.lock().expect("no panic").values() {
        let record: BTreeMap<String, serde_json::Value> = serde_json::from_str(record).expect("an object");
        seen.extend(record.into_keys());
    }
    let known: std::collections::BTreeSet<String> = RECORD_FIELDS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(seen, known);
}
