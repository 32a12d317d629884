//! Chooses Parquet's encoding of a column from a sample of its rows.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, UInt32Type, UInt64Type};

/// The distribution of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Unknown: the writer tries a dictionary.
    Unknown,
    /// Nearly all values differ: a dictionary would be useless.
    Distinct,
    /// Whole numbers that differ by little from one row to the next.
    Steps,
}

/// Rows of a sample, in runs of [`RUN`].
const SAMPLE: usize = 4096;

/// Consecutive rows of a sample.
const RUN: usize = 512;

/// Differences between neighbours take at most this fraction of the bits of a value for [`Shape::Steps`].
const STEP_BITS: u32 = 2;

/// The shape of the column that consists of `chunks`.
pub(super) fn shape<'a>(chunks: impl Iterator<Item = &'a ArrayRef>) -> Shape {
    let chunks: Vec<&ArrayRef> = chunks.filter(|chunk| !chunk.is_empty()).collect();
    let rows: usize = chunks.iter().map(|chunk| chunk.len()).sum();
    if rows < 2 * SAMPLE {
        return Shape::Unknown;
    }
    let mut values: Vec<i64> = Vec::with_capacity(SAMPLE);
    let mut blocks = 0u64;
    let mut narrow = 0u64;
    let runs = SAMPLE / RUN;
    for run in 0..runs {
        let mut start = (rows - RUN) / (runs - 1) * run;
        let Some(chunk) = chunks.iter().find(|chunk| {
            let inside = start < chunk.len();
            if !inside {
                start -= chunk.len();
            }
            inside
        }) else {
            continue;
        };
        let Some(some) = integers(&chunk.slice(start, RUN.min(chunk.len() - start))) else { return Shape::Unknown };
        let width = some.width;
        // Encoders of differences pack 32 of them with the bits of the widest.
        for block in some.values.windows(33).step_by(32) {
            let (mut low, mut high) = (i128::MAX, i128::MIN);
            for pair in block.windows(2) {
                let step = i128::from(pair[1]) - i128::from(pair[0]);
                (low, high) = (low.min(step), high.max(step));
            }
            blocks += 1;
            let bits = 128 - (high - low).leading_zeros();
            narrow += u64::from(width.is_some_and(|width| bits * STEP_BITS <= width));
        }
        values.extend(some.values);
    }
    let distinct: HashSet<i64> = values.iter().copied().collect();
    match distinct.len() * 4 > values.len() * 3 {
        true if blocks > 0 && narrow * 4 > blocks * 3 => Shape::Steps,
        true => Shape::Distinct,
        false => Shape::Unknown,
    }
}

struct Integers {
    values: Vec<i64>,
    /// Bits of one value; `None` where values are no whole numbers and have no steps.
    width: Option<u32>,
}

/// The values of a chunk of numbers, bit by bit; `None` for other types.
fn integers(chunk: &ArrayRef) -> Option<Integers> {
    let of = |values: Vec<i64>, width| Some(Integers { values, width });
    match chunk.data_type() {
        DataType::Int32 => {
            of(chunk.as_primitive::<Int32Type>().values().iter().map(|v| i64::from(*v)).collect(), Some(32))
        }
        DataType::UInt32 => {
            of(chunk.as_primitive::<UInt32Type>().values().iter().map(|v| i64::from(*v)).collect(), Some(32))
        }
        DataType::Int64 => of(chunk.as_primitive::<Int64Type>().values().to_vec(), Some(64)),
        DataType::UInt64 => {
            of(chunk.as_primitive::<UInt64Type>().values().iter().map(|v| v.cast_signed()).collect(), Some(64))
        }
        DataType::Timestamp(_, _) | DataType::Duration(_) | DataType::Time64(_) | DataType::Date64 => {
            let values = arrow::compute::cast(chunk, &DataType::Int64).ok()?;
            of(values.as_primitive::<Int64Type>().values().to_vec(), Some(64))
        }
        DataType::Time32(TimeUnit::Millisecond) => {
            let values = arrow::compute::cast(chunk, &DataType::Int32).ok()?;
            of(values.as_primitive::<Int32Type>().values().iter().map(|v| i64::from(*v)).collect(), Some(32))
        }
        DataType::Float32 => of(
            chunk
                .as_primitive::<arrow::datatypes::Float32Type>()
                .values()
                .iter()
                .map(|v| i64::from(v.to_bits()))
                .collect(),
            None,
        ),
        DataType::Float64 => of(
            chunk
                .as_primitive::<arrow::datatypes::Float64Type>()
                .values()
                .iter()
                .map(|v| v.to_bits().cast_signed())
                .collect(),
            None,
        ),
        _ => None,
    }
}
