//! Commits whose answers are lost, each in a chosen way: they are looked up, and made exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cacheness_core::backend::{AccessRecord, Commit, EntryUpdate, MetadataBackend as _, Operation, Outcome, Put};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::Entry;
use cacheness_postgres::{PostgresMetadata, PostgresOptions};
use cacheness_testkit::ext::MetadataExt as _;
use cacheness_testkit::proxy::{Cut, Proxy};
use cacheness_testkit::sample::{NOW, blob, inline};

use super::server::{Schema, url, with_client};

/// A store behind a proxy, and the same store beside it.
struct Behind {
    proxy: Proxy,
    store: PostgresMetadata,
    direct: PostgresMetadata,
    schema: Schema,
}

impl Behind {
    fn new() -> Self {
        let (proxy, address) = Proxy::of_postgres(&url());
        let schema = Schema::new();
        let direct = schema.open();
        let options = PostgresOptions::from_url(&address).expect("a URL").schema(&schema.name).expect("a name");
        let store = PostgresMetadata::open(options.pool(2, 2)).expect("opened");
        // Statements are prepared, so that the next request is the commit.
        store.put(&inline("warm", b"")).expect("put");
        store.delete("warm").expect("deleted");
        Self { proxy, store, direct, schema }
    }

    /// Cuts the next request, and no other.
    fn cut_once(&self, cut: Cut) -> Arc<AtomicUsize> {
        self.cut_at(0, cut)
    }

    /// Cuts a request after some others.
    fn cut_at(&self, place: usize, cut: Cut) -> Arc<AtomicUsize> {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        self.proxy.cut(move |_| if count.fetch_add(1, Ordering::AcqRel) == place { cut } else { Cut::None });
        seen
    }

    fn count(&self, sql: &str) -> i64 {
        let sql = sql.replace("{}", &format!("\"{}\".cache_", self.schema.name));
        with_client(async |client| client.query_one(&sql, &[]).await.expect("counted").get(0))
    }
}

const CUTS: [Cut; 8] = [
    Cut::Request,
    Cut::HalfRequest,
    Cut::Answer,
    Cut::HalfAnswer(1),
    Cut::HalfAnswer(20),
    Cut::Late(Duration::ZERO),
    Cut::Late(Duration::from_millis(30)),
    Cut::Delay(Duration::from_millis(5)),
];

fn stamped(entry: Entry, number: i64) -> Entry {
    Entry { created_at: Timestamp(NOW.0 + number), ..entry }
}

#[test]
fn a_put_is_made_once() {
    let behind = Behind::new();
    let put = |store: &PostgresMetadata, entry: &Entry| {
        let due = Some(Timestamp(NOW.0 + 1));
        let operations = [Operation::Put(Put::of(entry))];
        let commit = Commit { garbage_due: due, ..Commit::of(&operations) };
        match store.commit(&commit).expect("put") {
            cacheness_core::backend::Committed::Done(mut outcomes) => match outcomes.pop() {
                Some(Outcome::Put(outcome)) => outcome,
                other => panic!("{other:?}"),
            },
            refused => panic!("{refused:?}"),
        }
    };
    let (mut rounds, mut locators) = (0, 0);
    for (number, cut) in CUTS.into_iter().enumerate() {
        let number = i64::try_from(number).expect("few");
        // A new key.
        let key = format!("key {number}");
        let first = stamped(blob(&key, &format!("blobs/a-{locators:012x}"), None, 5), number);
        behind.cut_once(cut);
        assert!(!put(&behind.store, &first).replaced, "{cut:?}");
        assert_eq!(behind.direct.whole(&key).expect("got"), Some(first), "{cut:?}");
        // The same key again, at once: the put before is known to be earlier.
        for payload in 0..3_u8 {
            locators += 1;
            let next = stamped(blob(&key, &format!("blobs/a-{locators:012x}"), None, u64::from(payload)), number + 100);
            behind.cut_once(cut);
            assert!(put(&behind.store, &next).replaced, "{cut:?}");
            assert_eq!(behind.direct.whole(&key).expect("got"), Some(next), "{cut:?}");
            rounds += 1;
        }
        locators += 1;
    }
    // Each replaced blob was noted, and none of those that are named.
    assert_eq!(behind.count("SELECT count(*) FROM {}garbage"), rounds);
    assert_eq!(behind.count("SELECT count(*) FROM {}garbage JOIN {}entries USING (locator)"), 0);
    assert_eq!(behind.direct.totals().expect("totals").entries, 8);
}

/// Another writer replaces the entry, or removes it, between the put and its look-up.
#[test]
fn a_put_that_was_made_is_not_made_again() {
    for removes in [false, true] {
        let behind = Behind::new();
        let first = blob("k", "blobs/a-000000000001", None, 5);
        let second = stamped(inline("k", b"second"), 1);
        // The answer is lost; the next connection of the store is held until the other writer is done.
        let (seen, open) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
        let gate = Arc::clone(&open);
        behind.proxy.cut(move |_| {
            if seen.fetch_add(1, Ordering::AcqRel) == 0 {
                return Cut::Answer;
            }
            while !gate.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Cut::None
        });
        std::thread::scope(|scope| {
            let (store, entry) = (&behind.store, &first);
            let putting = scope.spawn(move || store.put(entry));
            while behind.direct.whole("k").expect("got").is_none() {}
            // Out of the margin within which nobody could tell.
            std::thread::sleep(Duration::from_millis(120));
            if removes {
                behind.direct.delete("k").expect("deleted");
            } else {
                behind.direct.put(&second).expect("put");
            }
            open.store(true, Ordering::Release);
            let outcome = putting.join().expect("no panic");
            if removes {
                // Whether the put was made cannot be told: it says so, and is not made again.
                let error = outcome.expect_err("unknown");
                assert!(error.is_uncertain() && error.is_retryable(), "{}", error.with_causes());
            } else {
                outcome.expect("made, and replaced since");
            }
        });
        let left = behind.direct.whole("k").expect("got");
        assert_eq!(left, (!removes).then_some(second), "removes: {removes}");
        assert_eq!(behind.direct.totals().expect("totals").entries, u64::from(!removes));
    }
}

/// What does something twice if it is repeated: counts of accesses, and what a deletion finds.
#[test]
fn other_changes_are_made_once() {
    let behind = Behind::new();
    let entries: Vec<Entry> = (0..3).map(|i| inline(&format!("{i}"), b"x")).collect();
    let puts: Vec<Operation<'_>> = entries.iter().map(|entry| Operation::Put(Put::of(entry))).collect();
    for cut in CUTS {
        // The first request is the transaction without its end, the second one its end.
        for place in 0..3 {
            let what = format!("{cut:?} at {place}");
            behind.cut_at(place, cut);
            behind.store.apply(&puts).unwrap_or_else(|error| panic!("{what}: {}", error.with_causes()));
            assert_eq!(behind.direct.totals().expect("totals").entries, 3, "{what}");
            let before = behind.direct.whole("0").expect("got").expect("there").access_count;
            behind.cut_at(place, cut);
            let access = AccessRecord { key: "0".into(), at: NOW, count: 2 };
            behind.store.record_accesses(&[access]).unwrap_or_else(|error| panic!("{what}: {}", error.with_causes()));
            let now = behind.direct.whole("0").expect("got").expect("there");
            assert_eq!(now.access_count, before + 2, "{what}");
            behind.cut_at(place, cut);
            let update = EntryUpdate { description: Some(Some(what.clone())), ..EntryUpdate::default() };
            assert!(behind.store.update(&now, &update).expect("updated"), "{what}");
            behind.cut_at(place, cut);
            assert!(behind.store.delete("1").expect("deleted").is_some(), "{what}");
            behind.cut_at(place, cut);
            let version = behind.direct.whole("2").expect("got").expect("there").version();
            assert!(behind.store.delete_version(&version).expect("deleted").is_some(), "{what}");
            behind.cut_at(place, cut);
            assert_eq!(behind.store.clear().expect("cleared").0, 1, "{what}");
        }
    }
}

/// A server that stays away: the error says so within seconds, and that the outcome is unknown if it is.
#[test]
fn a_server_that_goes_away() {
    let behind = Behind::new();
    behind.proxy.go_down();
    let error = behind.store.put(&inline("k", b"1")).expect_err("nobody answers");
    assert!(error.is_retryable(), "{}", error.with_causes());
    assert!(behind.direct.whole("k").expect("got").is_none());
    behind.proxy.heal();
    behind.store.put(&inline("k", b"2")).expect("put");
    // The request arrives, and no answer and no other connection afterwards.
    let seen = Arc::new(AtomicUsize::new(0));
    behind.proxy.cut(move |_| match seen.fetch_add(1, Ordering::AcqRel) {
        0 => Cut::Answer,
        _ => Cut::Request,
    });
    let error = behind.store.put(&inline("k", b"3")).expect_err("nobody answers");
    assert!(error.is_retryable() && error.is_uncertain(), "{}", error.with_causes());
    behind.proxy.heal();
    let left = behind.store.whole("k").expect("got").map(|entry| entry.location);
    assert_eq!(left, Some(inline("k", b"3").location), "it was made");
}
