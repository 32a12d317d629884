//! Small values in PostgreSQL beside one bare statement of tokio-postgres, and a hundred objects of S3 at once beside one by
//! one, with 10 ms for every request.
//!
//! `CACHENESS_TEST_POSTGRES_URL` is the address of a server. Small values are put in its default configuration, where a
//! commit waits for the disk, and without waiting, which shows what the statements take. Each table is of one run, whose ways take turns, so that what
//! disturbs one disturbs the other. `cargo bench --all-features --bench postgres`.

use std::time::{Duration, Instant};

use cacheness::prelude::*;
use cacheness::{CacheConfig, Params, StoreConfig};
use cacheness_core::config::BackendOptions;
use cacheness_testkit::s3::{ACCESS_KEY, BUCKET, Fault, S3Server, SECRET_KEY};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls, Statement};

/// What an experiment notes down: about 100 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Report {
    run: u64,
    loss: f64,
    accuracy: f64,
    model: String,
    tags: Vec<String>,
}

impl Plain for Report {}

fn report(run: u64) -> Report {
    Report { run, loss: 0.125, accuracy: 0.9375, model: "ridge".into(), tags: vec!["a".into(), "baseline".into()] }
}

const ENTRIES: u64 = 1000;
const CALLS: u64 = 3000;
const OBJECTS: u64 = 100;
const LATENCY: Duration = Duration::from_millis(10);

/// The client library alone: a table with a key and a payload, and its two prepared statements.
struct Bare {
    runtime: Runtime,
    client: Client,
    insert: Statement,
    select: Statement,
}

impl Bare {
    fn connect(url: &str, schema: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (client, insert, select) = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connected");
            tokio::spawn(connection);
            let table = format!("CREATE TABLE {schema}.bare (key text PRIMARY KEY, payload bytea NOT NULL)");
            client.batch_execute(&table).await.expect("created");
            let insert = format!(
                "INSERT INTO {schema}.bare VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET payload = excluded.payload"
            );
            let insert = client.prepare(&insert).await.expect("prepared");
            let select = format!("SELECT payload FROM {schema}.bare WHERE key = $1");
            let select = client.prepare(&select).await.expect("prepared");
            (client, insert, select)
        });
        Self { runtime, client, insert, select }
    }

    fn put(&self, key: &str, payload: &[u8]) {
        self.runtime.block_on(self.client.execute(&self.insert, &[&key, &payload])).expect("put");
    }

    fn get(&self, key: &str) -> Vec<u8> {
        self.runtime.block_on(self.client.query_one(&self.select, &[&key])).expect("got").get(0)
    }

    fn run(&self, sql: &str) {
        self.runtime.block_on(self.client.batch_execute(sql)).expect("run");
    }
}

fn options(value: Value) -> BackendOptions {
    match value {
        Value::Object(map) => map.into(),
        other => panic!("{other}"),
    }
}

fn on_postgres(url: &str, schema: &str) -> StoreConfig {
    StoreConfig {
        metadata_backend: Some("postgresql".into()),
        metadata_backend_options: options(json!({"connection_url": url, "schema": schema})),
        ..StoreConfig::default()
    }
}

fn open(dir: &std::path::Path, store: StoreConfig) -> Cache {
    let builder = Cache::builder().directory(dir).config(CacheConfig { store, ..CacheConfig::default() });
    builder.open().expect("opened")
}

/// The median of each of several ways, which take turns.
fn turns(count: u64, ways: &mut [&mut dyn FnMut(u64)]) -> Vec<f64> {
    let mut times: Vec<Vec<Duration>> = ways.iter().map(|_| Vec::new()).collect();
    for turn in 0..count {
        for (way, times) in ways.iter_mut().zip(&mut times) {
            let begun = Instant::now();
            way(turn);
            times.push(begun.elapsed());
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e6
    };
    times.into_iter().map(median).collect()
}

fn row(what: &str, ours: f64, bare: f64, target: &str) {
    println!("| {what} | {ours:.0} | {bare:.0} | {:.2} | {target} |", ours / bare);
}

fn small_values(url: &str, dir: &std::path::Path, waits: bool) {
    let separator = if url.contains('?') { '&' } else { '?' };
    // Without TLS, which `prefer` finds where the server has it: the bare client has none.
    let commits = if waits { "" } else { "&options=-c%20synchronous_commit%3Doff" };
    let url = format!("{url}{separator}sslmode=disable{commits}");
    let schema = format!("bench_{}_{waits}", std::process::id());
    let cache = open(&dir.join(&schema), on_postgres(&url, &schema));
    let bare = Bare::connect(&url, &schema);
    for run in 0..ENTRIES {
        cache.put(&report(run), params! { run: run }).expect("put");
        bare.put(&format!("{run:016x}"), &[7; 120]);
    }
    let how = if waits { "waiting for the disk" } else { "not waiting" };
    println!("| small values, {how} | cacheness, µs | bare statement, µs | ratio | target |\n|---|---|---|---|---|");
    let of = |turn: u64| turn * 7919 % ENTRIES;
    let found = turns(
        CALLS,
        &mut [
            &mut |turn| drop(cache.put(&report(turn + ENTRIES), params! { run: turn + ENTRIES }).expect("put")),
            &mut |turn| bare.put(&format!("{:016x}", turn + ENTRIES), &[7; 120]),
        ],
    );
    row("put, new key", found[0], found[1], "1.3");
    let found = turns(
        CALLS,
        &mut [&mut |turn| drop(cache.put(&report(of(turn)), params! { run: of(turn) }).expect("put")), &mut |turn| {
            bare.put(&format!("{:016x}", of(turn)), &[7; 120]);
        }],
    );
    row("put, existing key", found[0], found[1], "1.3");
    let found = turns(
        CALLS,
        &mut [
            &mut |turn| {
                let run = of(turn);
                assert_eq!(cache.get::<Report>(params! { run: run }).expect("got"), Some(report(run)));
            },
            &mut |turn| drop(bare.get(&format!("{:016x}", of(turn)))),
        ],
    );
    row("get", found[0], found[1], "1.2");
    let found = turns(
        CALLS,
        &mut [
            &mut |turn| assert!(cache.get::<Report>(params! { run: turn + 1_000_000 }).expect("asked").is_none()),
            &mut |turn| drop(bare.get(&format!("{:016x}", of(turn)))),
        ],
    );
    row("get, missing", found[0], found[1], "1.2");
    bare.run(&format!("DROP SCHEMA {schema} CASCADE"));
}

fn objects(url: &str, dir: &std::path::Path) {
    let server = S3Server::start();
    let schema = format!("bench_objects_{}", std::process::id());
    let store = StoreConfig {
        blob_backend: Some("s3".into()),
        blob_backend_options: options(json!({"bucket": BUCKET, "prefix": "bench", "endpoint_url": server.endpoint(),
            "access_key": ACCESS_KEY, "secret_key": SECRET_KEY})),
        ..on_postgres(url, &schema)
    };
    let cache = open(&dir.join("objects"), store);
    let value = |run: u64| -> Vec<f64> { (0..6_000).map(|i| ((i * (run + 1)) as f64).sin()).collect() };
    for run in 0..OBJECTS {
        cache.put(value(run), params! { run: run }).expect("put");
    }
    server.fail(|_| Fault::Delay(LATENCY));
    let found = turns(
        3,
        &mut [
            &mut |_| {
                let keys = (0..OBJECTS).map(|run| Params::new().with("run", run));
                let values = cache.get_batch::<Vec<f64>>(keys);
                assert!(values.into_iter().all(|value| value.is_ok_and(|value| value.is_some())));
            },
            &mut |_| {
                for run in 0..OBJECTS {
                    assert!(cache.get::<Vec<f64>>(params! { run: run }).expect("got").is_some());
                }
            },
        ],
    );
    println!(
        "\n| 100 objects, 10 ms per request | together, ms | one by one, ms | times as fast | target |\n|---|---|---|---|---|"
    );
    println!("| get_batch | {:.0} | {:.0} | {:.1} | 10 |", found[0] / 1e3, found[1] / 1e3, found[1] / found[0]);
    Bare::connect(url, &schema).run(&format!("DROP SCHEMA {schema} CASCADE"));
}

fn main() {
    let url = std::env::var("CACHENESS_TEST_POSTGRES_URL").expect("CACHENESS_TEST_POSTGRES_URL is a server's address");
    let dir = tempfile::tempdir().expect("there is a temporary directory");
    small_values(&url, dir.path(), true);
    small_values(&url, dir.path(), false);
    objects(&url, dir.path());
}
