//! Reads what the Python demo (`examples/demo.py`) stored, by the same parameters.
//!
//! One JSON object per entry goes to standard output: what it was read as, its shape, and sums that the demo compares
//! with its own. `make demo` runs this; by hand: `cargo run --package read_demo -- demo_store`.

use std::time::Instant;

use cacheness::arrow::array::{Array, AsArray, RecordBatch};
use cacheness::arrow::datatypes::{DataType, Float64Type, Int64Type, UInt32Type};
use cacheness::ndarray::ArrayD;
use cacheness::prelude::*;
use cacheness::serde_json::{Value, json};
use serde::{Deserialize, Serialize};

type Failure = Box<dyn std::error::Error>;

/// The part of a fold's scores that this program cares about; the probabilities stay where they are.
#[derive(Serialize, Deserialize, Plain)]
struct Scores {
    auc: f64,
    accuracy: f64,
    rows: u64,
}

fn main() -> Result<(), Failure> {
    let directory = std::env::args_os().nth(1).ok_or("usage: read_demo STORE")?;
    let cache = Cache::open(directory)?;

    report("flights", "RecordBatch", || {
        let flights: RecordBatch = found(cache.get(params! { step: "flights", year: 2013 })?)?;
        let distance = sum(&flights, "distance")?;
        Ok(json!({ "shape": [flights.num_rows(), flights.num_columns()], "sum": distance }))
    })?;
    report("days", "RecordBatch", || {
        let days: RecordBatch = found(cache.get(params! { step: "days", year: 2013 })?)?;
        Ok(json!({ "shape": [days.num_rows(), days.num_columns()], "sum": sum(&days, "flights")? }))
    })?;
    for name in ["features", "surface"] {
        report(name, "ArrayD<f64>", || {
            let array: ArrayD<f64> = found(cache.get(params! { step: name, year: 2013 })?)?;
            Ok(json!({ "shape": array.shape(), "checksum": checksum(array.iter().map(|number| number.to_bits())) }))
        })?;
    }
    report("late", "ArrayD<i64>", || {
        let late: ArrayD<i64> = found(cache.get(params! { step: "late", year: 2013, minutes: 15 })?)?;
        let checksum = checksum(late.iter().map(|number| number.cast_unsigned()));
        Ok(json!({ "shape": late.shape(), "sum": late.sum(), "checksum": checksum }))
    })?;
    report("scores", "a serde struct", || {
        let scores: Scores = found(cache.get(params! { step: "validate", model: "boosting", fold: 0 })?)?;
        if scores.rows == 0 || !(0.0..=1.0).contains(&scores.accuracy) {
            return Err("the scores make no sense".into());
        }
        // Four fields in Python: the struct leaves out the probabilities.
        Ok(json!({ "shape": [4], "sum": scores.auc }))
    })?;
    report("model", "nothing", || match cache.get::<Serde<Value>>(params! { step: "model", model: "boosting" }) {
        Err(error) => Ok(json!({ "error": error.to_string() })),
        Ok(_) => Err("a pickle was read as plain data".into()),
    })
}

/// Runs `read` and prints what it returns, with the entry's name, the Rust type it was read as and the time it took.
fn report(name: &str, rust_type: &str, read: impl FnOnce() -> Result<Value, Failure>) -> Result<(), Failure> {
    let start = Instant::now();
    let mut line = read().map_err(|error| format!("{name}: {error}"))?;
    line["ms"] = json!(start.elapsed().as_secs_f64() * 1e3);
    line["name"] = json!(name);
    line["type"] = json!(rust_type);
    println!("{line}");
    Ok(())
}

fn found<T>(value: Option<T>) -> Result<T, Failure> {
    value.ok_or_else(|| "not in the store: run the Python demo first".into())
}

/// Sum of a column of integers or floats.
fn sum(table: &RecordBatch, column: &str) -> Result<f64, Failure> {
    let values = table.column_by_name(column).ok_or_else(|| format!("no column {column}"))?;
    match values.data_type() {
        DataType::Int64 => Ok(values.as_primitive::<Int64Type>().iter().flatten().map(|number| number as f64).sum()),
        DataType::UInt32 => Ok(values.as_primitive::<UInt32Type>().iter().flatten().map(f64::from).sum()),
        DataType::Float64 => Ok(values.as_primitive::<Float64Type>().iter().flatten().sum()),
        other => Err(format!("column {column} has the type {other}").into()),
    }
}

/// Wrapping sum of bit patterns: the same in any order and in any language.
fn checksum(bits: impl Iterator<Item = u64>) -> u64 {
    bits.fold(0, u64::wrapping_add)
}
