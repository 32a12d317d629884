//! One operation of the Rust API, done so many times: `hot_paths get 1000`. Not a benchmark by itself: it is what
//! `benchmarks/instructions.py` has a processor simulated for. The same operations as in `benchmarks/hot.py`.

use cacheness::{CacheConfig, prelude::*};
use ndarray::Array1;
use serde::{Deserialize, Serialize};

type Failure = Box<dyn std::error::Error>;

/// What an experiment notes down: about 100 bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    run: u64,
    loss: f64,
    accuracy: f64,
    epoch: u32,
    model: String,
    tags: Vec<String>,
}

impl Plain for Report {}

fn report(run: u64) -> Report {
    let tags = vec!["a".to_owned(), "baseline".to_owned()];
    Report { run, loss: 0.125, accuracy: 0.9375, epoch: 12, model: "ridge".into(), tags }
}

/// Entries that are there before the first turn, and that gets take turns in.
const ENTRIES: u64 = 100;

const OPERATIONS: [&str; 9] =
    ["put", "replace", "get", "get_from_database", "miss", "hit", "list_100", "put_1MB", "get_1MB"];

/// 1 MB of bytes that nothing compresses.
fn array() -> Array1<f64> {
    let mut state = 1_u64;
    Array1::from_shape_simple_fn(125_000, || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from_bits((state >> 12) | 0x3ff0_0000_0000_0000)
    })
}

fn work(operation: &str, turns: u64) -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let mut config = CacheConfig::default();
    config.store.memory.enable_memory_cache = operation != "get_from_database";
    let cache = Cache::builder().directory(directory.path()).config(config).open()?;
    for run in 0..ENTRIES {
        let options = PutOptions::new().metadata(serde_json::json!({ "model": "ridge", "fold": run % 5 }));
        cache.put_with(&report(run), params! { run: run }, options)?;
    }
    let array = array();
    cache.put(&array, params! { array: 1 })?;

    let found = |value: Option<Report>| value.map(drop).ok_or("it was put");
    for turn in 0..turns {
        let run = turn % ENTRIES;
        match operation {
            "put" => drop(cache.put(&report(turn), params! { new: turn })?),
            "replace" => drop(cache.put(&report(turn), params! { run: run })?),
            "get" | "get_from_database" => found(cache.get(params! { run: run })?)?,
            "miss" => assert!(cache.get::<Report>(params! { absent: turn })?.is_none()),
            "hit" => drop(cache.get_or_insert_with(params! { run: run }, || report(run))?),
            "list_100" => drop(cache.list_entries()?),
            "put_1MB" => drop(cache.put(&array, params! { array: 1 })?),
            "get_1MB" => drop(cache.get::<Array1<f64>>(params! { array: 1 })?.ok_or("it was put")?),
            _ => return Err(format!("no operation {operation:?}; there are: {}", OPERATIONS.join(", ")).into()),
        }
    }
    cache.close()?;
    Ok(())
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [operation, turns] => work(operation, turns.parse()?),
        // Run with the other benchmarks (`cargo bench` says `--bench`): whether each operation works.
        _ => OPERATIONS.iter().try_for_each(|operation| work(operation, 1)),
    }
}
