//! Entries in PostgreSQL and payloads in S3, both behind a network that fails: requests and answers are cut, delayed and
//! lost, servers go away and come back, the object store refuses, breaks off and lies.
//!
//! Each seed is a run. What the store answers is compared with a model of each key: which values it may have. Every call
//! ends in bounded time. When all is well again, every acknowledged value is there, and no entry names a missing object.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cacheness::prelude::*;
use cacheness::{CacheConfig, Error, StoreConfig};
use cacheness_core::backend::{Page, Query};
use cacheness_core::config::BackendOptions;
use cacheness_testkit::proxy::{Cut, Proxy};
use cacheness_testkit::s3::{ACCESS_KEY, BUCKET, Fault, S3Server, SECRET_KEY, Seen};
use serde_json::json;

use super::{number_of, numbered, soak};

/// The number of runs, and of stores that they are made on at the same time.
const RUNS: u64 = 320;
const STORES: u64 = 8;

/// The calls of one run, and their keys.
const CALLS: u64 = 12;
const KEYS: u64 = 3;

/// No call takes longer, whatever fails: five tries with their pauses, and those of each request to S3.
const BOUND: Duration = Duration::from_secs(45);

/// Pseudo-random numbers that threads can draw: the same seed gives the same plan.
#[derive(Debug)]
struct Chance(AtomicU64);

impl Chance {
    fn of(seed: u64) -> Self {
        Self(AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    fn below(&self, end: u64) -> u64 {
        let mut x = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % end
    }
}

/// A store, and what can be done to its network.
struct Network {
    proxy: Proxy,
    objects: S3Server,
    url: String,
    direct_url: String,
    schema: String,
    dir: tempfile::TempDir,
    /// A chunk of the connections' data between cuts, on average.
    is_failing: Arc<AtomicBool>,
}

fn postgres() -> String {
    std::env::var("CACHENESS_TEST_POSTGRES_URL")
        .expect("CACHENESS_TEST_POSTGRES_URL is the address of a PostgreSQL server for tests; `make test` starts one")
}

impl Network {
    fn start(name: u64) -> Self {
        let direct_url = postgres();
        let (proxy, url) = Proxy::of_postgres(&direct_url);
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let schema = format!("network_{}_{name}_{time}", std::process::id());
        let (objects, dir) = (S3Server::start(), tempfile::tempdir().unwrap());
        Self { proxy, objects, url, direct_url, schema, dir, is_failing: Arc::default() }
    }

    fn open(&self, direct: bool) -> Cache {
        let url = if direct { &self.direct_url } else { &self.url };
        let separator = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{separator}options=-c%20synchronous_commit%3Doff");
        let metadata = json!({"connection_url": url, "schema": self.schema, "pool_size": 2, "connect_timeout": 2,
            "statement_timeout": 5});
        let blobs = json!({"bucket": BUCKET, "prefix": "net", "endpoint_url": self.objects.endpoint(),
            "access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "max_retries": 2, "retry_timeout_seconds": 2,
            "request_timeout_seconds": 2, "connect_timeout_seconds": 2});
        let options = |value: serde_json::Value| match value {
            serde_json::Value::Object(map) => BackendOptions::from(map),
            other => panic!("{other}"),
        };
        let store = StoreConfig {
            metadata_backend: Some("postgresql".into()),
            metadata_backend_options: options(metadata),
            blob_backend: Some("s3".into()),
            blob_backend_options: options(blobs),
            inline_threshold_bytes: 1000,
            ..StoreConfig::default()
        };
        // Both open the same directory: the key that signs entries is there.
        let builder = Cache::builder().directory(self.dir.path());
        builder.config(CacheConfig { store, ..CacheConfig::default() }).open().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Makes both networks fail, at the moments and in the ways that the seed chooses.
    fn fail(&self, seed: u64) {
        self.is_failing.store(true, Ordering::Release);
        let (chance, failing) = (Chance::of(seed), Arc::clone(&self.is_failing));
        // Some runs have much of one trouble, others little of all.
        let one_in = [4, 8, 20, 1_000_000][usize::try_from(chance.below(4)).unwrap()];
        self.proxy.cut(move |_| {
            if !failing.load(Ordering::Acquire) || chance.below(one_in) > 0 {
                return Cut::None;
            }
            match chance.below(7) {
                0 => Cut::Delay(Duration::from_millis(chance.below(20))),
                1 => Cut::Request,
                2 => Cut::HalfRequest,
                3 => Cut::HalfAnswer(usize::try_from(chance.below(40)).unwrap()),
                4 => Cut::Late(Duration::from_millis(chance.below(60))),
                _ => Cut::Answer,
            }
        });
        let (chance, failing) = (Chance::of(seed + 1_000_000), Arc::clone(&self.is_failing));
        let one_in = [3, 6, 15, 1_000_000][usize::try_from(chance.below(4)).unwrap()];
        self.objects.fail(move |_: &Seen| {
            if !failing.load(Ordering::Acquire) || chance.below(one_in) > 0 {
                return Fault::None;
            }
            match chance.below(7) {
                0 => Fault::Status(500, "InternalError"),
                1 => Fault::Status(503, "SlowDown"),
                2 => Fault::Cut(usize::try_from(chance.below(5000)).unwrap()),
                3 => Fault::Wrong,
                4 => Fault::Lost,
                5 => Fault::Refused,
                _ => Fault::Status(503, "ServiceUnavailable"),
            }
        });
    }

    fn heal(&self) {
        self.is_failing.store(false, Ordering::Release);
        self.proxy.heal();
        self.objects.heal();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The backend's own client: the facade has no statement that removes a schema.
        let sql = format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", self.schema);
        let status = std::process::Command::new(std::env::var("CACHENESS_PYTHON").expect("CACHENESS_PYTHON"))
            .args(["-c", "import sys, psycopg; psycopg.connect(sys.argv[1], autocommit=True).execute(sys.argv[2])"])
            .args([&self.direct_url, &sql])
            .status();
        assert!(std::thread::panicking() || status.is_ok_and(|status| status.success()), "the schema is removed");
    }
}

/// What the keys of a run may hold. One writer puts them, so only calls whose outcome is unknown leave a choice.
#[derive(Default)]
struct Model(BTreeMap<u64, Vec<Option<u64>>>);

impl Model {
    fn allowed(&self, key: u64) -> &[Option<u64>] {
        self.0.get(&key).map_or(&[None], Vec::as_slice)
    }

    /// A call that was to leave `value`.
    fn ended(&mut self, key: u64, value: Option<u64>, result: Result<(), &Error>) {
        let possible = self.0.entry(key).or_insert_with(|| vec![None]);
        match result {
            Ok(()) => *possible = vec![value],
            // It may have been made, and it is over: its session is looked up, or has ended.
            Err(error) if error.is_uncertain() => possible.push(value),
            Err(_) => {}
        }
    }
}

/// How often calls failed, and how.
#[derive(Default)]
struct Tally {
    calls: AtomicU64,
    failed: AtomicU64,
    uncertain: AtomicU64,
}

fn run(network: &Network, cache: &Cache, seed: u64, tally: &Tally) -> Model {
    let (chance, mut model) = (Chance::of(seed + 2_000_000), Model::default());
    let name = |key: u64| format!("{seed}/{key}");
    network.fail(seed);
    for call in 0..CALLS {
        if chance.below(80) == 0 {
            network.proxy.go_down();
        } else if chance.below(6) == 0 {
            network.proxy.close_all();
        }
        let key = chance.below(KEYS);
        let (begun, what) = (Instant::now(), format!("seed {seed}, call {call}"));
        let error = match chance.below(10) {
            0..5 => {
                let number = seed * 1000 + call;
                // In the entry, an object of one request, an object whose bytes come in several reads.
                let size = [100, 5000, 300_000][usize::try_from(chance.below(3)).unwrap()];
                let put = cache.put(&numbered(number, size), Named(&name(key)));
                model.ended(key, Some(number), put.as_ref().map(drop));
                put.err()
            }
            5 => {
                let removed = cache.invalidate(Named(&name(key)));
                model.ended(key, None, removed.as_ref().map(drop));
                removed.err()
            }
            _ => match cache.get::<Vec<u8>>(Named(&name(key))) {
                Ok(Some(bytes)) => {
                    let number = Some(number_of(&bytes));
                    let allowed = model.allowed(key);
                    assert!(allowed.contains(&number), "{what}: {number:?} is none of {allowed:?}");
                    // From now on it is this one.
                    model.0.insert(key, vec![number]);
                    None
                }
                // A payload that arrives damaged counts as a miss.
                Ok(None) => None,
                Err(error) => Some(error),
            },
        };
        tally.calls.fetch_add(1, Ordering::Relaxed);
        if let Some(error) = error {
            tally.failed.fetch_add(1, Ordering::Relaxed);
            tally.uncertain.fetch_add(u64::from(error.is_uncertain()), Ordering::Relaxed);
            assert!(error.is_retryable(), "{what}: {} ({:?})", error.with_causes(), error.kind());
        }
        assert!(begun.elapsed() < BOUND, "{what} took {:?}", begun.elapsed());
        if chance.below(4) == 0 {
            network.proxy.heal();
            network.fail(seed + call);
        }
    }
    network.heal();
    model
}

#[test]
fn nothing_acknowledged_is_lost() {
    let tally = Tally::default();
    std::thread::scope(|scope| {
        for store in 0..STORES {
            let tally = &tally;
            scope.spawn(move || {
                let network = Network::start(store);
                let direct = network.open(true);
                for seed in (store..soak(RUNS)).step_by(usize::try_from(STORES).unwrap()) {
                    let cache = network.open(false);
                    let model = run(&network, &cache, seed, tally);
                    for key in 0..KEYS {
                        let name = format!("{seed}/{key}");
                        let found = direct.get::<Vec<u8>>(Named(&name)).unwrap().map(|bytes| number_of(&bytes));
                        let allowed = model.allowed(key);
                        assert!(allowed.contains(&found), "{name} holds {found:?}, which is none of {allowed:?}");
                    }
                }
                check_objects(&network, &direct);
            });
        }
    });
    let counts = [&tally.calls, &tally.failed, &tally.uncertain].map(|count| count.load(Ordering::Relaxed));
    println!("{} calls, {} of them failed, {} without a known outcome", counts[0], counts[1], counts[2]);
    // Most of what fails is repeated or looked up.
    assert!(counts[1] < counts[0] / 4 && counts[2] < counts[0] / 10, "{counts:?}");
    assert!(counts[1] > 0, "something failed");
}

/// No entry names an object that is not there.
fn check_objects(network: &Network, direct: &Cache) {
    let store = direct.engine().store();
    let objects = network.objects.keys();
    let mut named = 0;
    for found in store.metadata().select(&Query::default(), &Page::default()).unwrap() {
        if let Some(blob) = found.entry.location.blob() {
            let place = store.blobs().place(blob);
            let key = &place.iter().find(|(name, _)| *name == "s3_key").unwrap().1;
            assert!(objects.contains(key), "{} names {key}, which is missing", found.entry.key);
            named += 1;
        }
    }
    assert!(named > 0, "some values are objects");
}
