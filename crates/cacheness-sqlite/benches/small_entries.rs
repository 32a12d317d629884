//! Puts and gets of small entries, against the same bytes through bare rusqlite with the same settings.
//!
//! Each round does the same work on both, so that the ratio means something on a noisy machine.

use std::hint::black_box;
use std::path::Path;

use cacheness_core::backend::MetadataBackend;
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{Entry, Location};
use cacheness_sqlite::{SqliteMetadata, SqliteOptions};
use cacheness_testkit::ext::MetadataExt as _;
use cacheness_testkit::sample;
use criterion::{Criterion, criterion_group, criterion_main};
use rusqlite::{Connection, params};

const PAYLOAD: usize = 200;

fn raw(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("opened");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -8192; \
             PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 33554432; \
             PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; \
             CREATE TABLE kv (k TEXT PRIMARY KEY, v BLOB)",
        )
        .expect("set up");
    connection
}

fn key(i: u64) -> String {
    format!("{:016x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn change(entry: &mut Entry, number: u64) {
    entry.created_at = Timestamp(sample::NOW.0 + number.cast_signed());
    entry.file_hash = number;
    if let Location::Inline(payload) = &mut entry.location {
        payload[..8].copy_from_slice(&number.to_le_bytes());
    }
}

fn benches(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let raw = raw(&dir.path().join("raw.db"));
    let path = dir.path().join("store/cache_metadata.db");
    let store = SqliteMetadata::open(SqliteOptions::new(&path)).expect("opened");
    let mut entry = sample::inline("", &[7; PAYLOAD]);
    entry.fingerprint = Some([1; 16]);
    entry.digest = Some([2; 32]);
    entry.signature = Some([3; 32]);
    entry.params = Some(vec![4; 40]);
    // Every value differs: SQLite writes no page that stays as it is.
    let mut payload = [7_u8; PAYLOAD];

    const INSERT: &str = "INSERT OR REPLACE INTO kv VALUES (?1, ?2)";
    const SELECT: &str = "SELECT v FROM kv WHERE k = ?1";
    let mut group = criterion.benchmark_group("put_new");
    let mut next = 0_u64;
    group.bench_function("raw", |b| {
        b.iter(|| {
            next += 1;
            payload[..8].copy_from_slice(&next.to_le_bytes());
            raw.prepare_cached(INSERT).expect("prepared").execute(params![key(next), &payload[..]]).expect("put")
        });
    });
    let mut next = 0_u64;
    group.bench_function("store", |b| {
        b.iter(|| {
            next += 1;
            change(&mut entry, next);
            entry.key = key(next);
            store.put(&entry).expect("put")
        });
    });
    group.finish();

    for i in 0..1_000 {
        raw.execute(INSERT, params![key(i), &payload[..]]).expect("put");
        entry.key = key(i);
        store.put(&entry).expect("put");
    }
    let mut group = criterion.benchmark_group("put_replace");
    let mut next = 0;
    let mut puts = 0_u64;
    group.bench_function("raw", |b| {
        b.iter(|| {
            next = (next + 1) % 1_000;
            puts += 1;
            payload[..8].copy_from_slice(&puts.to_le_bytes());
            raw.prepare_cached(INSERT).expect("prepared").execute(params![key(next), &payload[..]]).expect("put")
        });
    });
    group.bench_function("store", |b| {
        b.iter(|| {
            next = (next + 1) % 1_000;
            puts += 1;
            change(&mut entry, puts);
            entry.key = key(next);
            store.put(&entry).expect("put")
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("get");
    group.bench_function("raw", |b| {
        b.iter(|| {
            next = (next + 1) % 1_000;
            let mut statement = raw.prepare_cached(SELECT).expect("prepared");
            let value: Vec<u8> = statement.query_row([key(next)], |row| row.get(0)).expect("got");
            black_box(value)
        });
    });
    group.bench_function("store", |b| {
        b.iter(|| {
            next = (next + 1) % 1_000;
            black_box(store.whole(&key(next)).expect("got").expect("there"))
        });
    });
    group.finish();

    store.close().expect("closed");
    let mut group = criterion.benchmark_group("open");
    group.bench_function("open and close", |b| {
        b.iter(|| SqliteMetadata::open(SqliteOptions::new(&path)).expect("opened").close());
    });
    let held = SqliteMetadata::open(SqliteOptions::new(&path)).expect("opened");
    group.bench_function("open while another has it open", |b| {
        b.iter(|| SqliteMetadata::open(SqliteOptions::new(&path)).expect("opened"));
    });
    group.finish();
    drop(held);
}

criterion_group! {
    name = small;
    config = Criterion::default().sample_size(30).measurement_time(std::time::Duration::from_secs(3));
    targets = benches
}
criterion_main!(small);
