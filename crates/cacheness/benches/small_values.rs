//! The hot paths of the Rust API: a small value, put, got, missed and looked up by a decorator-like closure.
//!
//! The targets are 15 µs for a put and 2.5 µs for a get. `cargo bench --all-features --bench small_values`.

use std::hint::black_box;
use std::path::Path;

use cacheness::prelude::*;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};

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

/// A cache with [`ENTRIES`] entries, as the default configuration makes it: hashed and signed.
fn filled(directory: &Path) -> Cache {
    let cache = Cache::open(directory).expect("the directory is new");
    for run in 0..ENTRIES {
        cache.put(&report(run), params! { run: run }).expect("the disk has room");
    }
    cache
}

fn small_values(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let cache = filled(&directory.path().join("cache"));

    let mut fresh = ENTRIES;
    criterion.bench_function("small put", |bencher| {
        bencher.iter_batched(
            || {
                fresh += 1;
                report(fresh)
            },
            |value| cache.put(&value, params! { run: value.run }).expect("the disk has room"),
            BatchSize::SmallInput,
        );
    });

    let mut run = 0;
    criterion.bench_function("small get", |bencher| {
        bencher.iter(|| {
            run = (run + 1) % ENTRIES;
            cache.get::<Report>(params! { run: black_box(run) }).expect("the store is sound").expect("it was put")
        });
    });

    criterion.bench_function("miss", |bencher| {
        bencher.iter(|| cache.get::<Report>(params! { absent: black_box(1) }).expect("the store is sound"));
    });

    criterion.bench_function("get_or_insert_with, found", |bencher| {
        bencher.iter(|| {
            cache.get_or_insert_with(params! { run: black_box(7) }, || report(7)).expect("the store is sound")
        });
    });

    let sample = cache.get::<Report>(params! { run: 7 }).expect("the store is sound");
    assert_eq!(sample, Some(report(7)));
}

criterion_group!(benches, small_values);
criterion_main!(benches);
