//! Arrays: the first items along each dimension.

use cacheness::core::formats::array::{ArraySlicer, Order};
use cacheness::core::formats::plain::NumpyScalar;
use cacheness::core::payload::Stored;
use chrono::{DateTime, TimeDelta};
use serde_json::Value;

use super::{Preview, Shown};
use crate::output::printable;

/// The maximum number of items shown, over all dimensions.
const ITEMS: usize = 10_000;

pub(super) fn look(stored: Stored, head: usize) -> cacheness::Result<Preview> {
    let slicer = ArraySlicer::open(stored, false)?;
    let header = slicer.header().clone();
    let preview = Preview::default().with("shape", header.shape.clone()).with("dtype", header.dtype.as_str());
    let shape: Vec<usize> = header.shape.iter().map(|&extent| extent.min(head)).collect();
    let count = shape.iter().try_fold(1_usize, |all, &extent| all.checked_mul(extent)).unwrap_or(usize::MAX);
    // Records have fields, which are not read here.
    if count == 0 || count > ITEMS || header.dtype.starts_with('[') {
        return Ok(preview);
    }
    let ranges: Vec<_> = shape.iter().map(|&extent| 0..extent as u64).collect();
    let mut data = vec![0; slicer.part(&ranges)?.nbytes()];
    slicer.read_into(&ranges, &mut data)?;
    let mut steps = vec![0; shape.len()];
    let mut step = header.itemsize;
    let mut axes: Vec<usize> = (0..shape.len()).collect();
    if header.order == Order::C {
        axes.reverse();
    }
    for axis in axes {
        steps[axis] = step;
        step *= shape[axis];
    }
    let part = Part { dtype: &header.dtype, whole: &header.shape, shape: &shape, steps: &steps, data: &data };
    let lines = match shape.first() {
        None => vec![part.text(0, 0, header.itemsize)],
        Some(&extent) => {
            let mut lines: Vec<_> = (0..extent).map(|i| part.text(1, i * steps[0], header.itemsize)).collect();
            if extent < header.shape[0] {
                lines.push("…".to_owned());
            }
            lines
        }
    };
    Ok(preview.head(part.json(0, 0, header.itemsize).to_string(), Shown::Lines(lines)))
}

/// The beginning of an array.
struct Part<'a> {
    dtype: &'a str,
    /// The shape of the whole array, and of the part.
    whole: &'a [usize],
    shape: &'a [usize],
    /// Bytes from an item to the next along each dimension.
    steps: &'a [usize],
    data: &'a [u8],
}

impl Part<'_> {
    /// The items below the indices of the first `axis` dimensions; `at` is their offset.
    fn json(&self, axis: usize, at: usize, itemsize: usize) -> Value {
        match self.shape.get(axis) {
            None => item(self.dtype, self.data.get(at..at + itemsize).unwrap_or_default()),
            Some(&extent) => (0..extent).map(|i| self.json(axis + 1, at + i * self.steps[axis], itemsize)).collect(),
        }
    }

    fn text(&self, axis: usize, at: usize, itemsize: usize) -> String {
        let Some(&extent) = self.shape.get(axis) else {
            return match self.json(axis, at, itemsize) {
                Value::String(text) if self.dtype.contains(['M', 'm']) => text,
                other => printable(&other.to_string()),
            };
        };
        let mut items: Vec<_> = (0..extent).map(|i| self.text(axis + 1, at + i * self.steps[axis], itemsize)).collect();
        if extent < self.whole[axis] {
            items.push("…".to_owned());
        }
        format!("[{}]", items.join(", "))
    }
}

fn item(dtype: &str, data: &[u8]) -> Value {
    let scalar = NumpyScalar { dtype, data };
    scalar.to_display_json().or_else(|| time(dtype, data).map(Value::String)).unwrap_or(Value::Null)
}

/// A NumPy time: `<M8[ns]` is ISO 8601, `<m8[ns]` a count and its unit.
fn time(dtype: &str, data: &[u8]) -> Option<String> {
    let bytes: [u8; 8] = data.try_into().ok()?;
    let count = if dtype.starts_with('>') { i64::from_be_bytes(bytes) } else { i64::from_le_bytes(bytes) };
    let (kind, unit) = dtype.trim_start_matches(['<', '>', '=']).strip_suffix(']')?.split_once("8[")?;
    if count == i64::MIN {
        return Some("NaT".to_owned());
    }
    let counted = format!("{count} {unit}");
    if kind != "M" {
        return Some(counted);
    }
    let micros = |micros: Option<i64>| DateTime::from_timestamp_micros(micros?);
    let (moment, format) = match unit {
        "D" => (micros(count.checked_mul(86_400_000_000)), "%Y-%m-%d"),
        "h" => (micros(count.checked_mul(3_600_000_000)), "%Y-%m-%dT%H:%M"),
        "m" => (micros(count.checked_mul(60_000_000)), "%Y-%m-%dT%H:%M"),
        "s" => (micros(count.checked_mul(1_000_000)), "%Y-%m-%dT%H:%M:%S"),
        "ms" => (micros(count.checked_mul(1_000)), "%Y-%m-%dT%H:%M:%S%.3f"),
        "us" => (micros(Some(count)), "%Y-%m-%dT%H:%M:%S%.6f"),
        "ns" => (DateTime::UNIX_EPOCH.checked_add_signed(TimeDelta::nanoseconds(count)), "%Y-%m-%dT%H:%M:%S%.9f"),
        _ => (None, ""),
    };
    Some(moment.map_or(counted, |moment| moment.format(format).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_by_their_unit() {
        for (dtype, count, text) in [
            ("<M8[D]", 19_000, "2022-01-08"),
            ("<M8[s]", -1, "1969-12-31T23:59:59"),
            ("<M8[ns]", 1, "1970-01-01T00:00:00.000000001"),
            ("<M8[ns]", i64::MIN, "NaT"),
            ("<M8[ns]", i64::MAX, "2262-04-11T23:47:16.854775807"),
            ("<M8[Y]", 52, "52 Y"),
            ("<M8[D]", i64::MAX, "9223372036854775807 D"),
            ("<m8[ms]", 1500, "1500 ms"),
        ] {
            assert_eq!(time(dtype, &count.to_le_bytes()).as_deref(), Some(text), "{dtype} {count}");
        }
        assert_eq!(time(">M8[s]", &60_i64.to_be_bytes()).as_deref(), Some("1970-01-01T00:01:00"));
        assert_eq!(time("<M8", &[0; 8]), None);
        assert_eq!(time("<M8[s]", &[0; 4]), None);
    }
}
