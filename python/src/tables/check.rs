//! Importing foreign Arrow data does not validate it: this module refuses data that a reader of the file would refuse.

use std::collections::HashSet;

use arrow::array::{Array, ArrayData, RecordBatch};
use arrow::datatypes::{ArrowNativeType, DataType};
use cacheness_core::{Error, ErrorKind, Result};

/// Refuses strings that are not UTF-8, and indices of dictionaries that are out of range.
pub(super) fn batches(batches: &[RecordBatch]) -> Result<()> {
    let mut seen = HashSet::new();
    for batch in batches {
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            if has_text(column.data_type()) {
                data(&column.to_data(), &mut seen).map_err(|what| {
                    Error::new(ErrorKind::Serialization, format!("column {:?} has {what}", field.name()))
                })?;
            }
        }
    }
    Ok(())
}

fn has_text(data_type: &DataType) -> bool {
    data_type.is_nested()
        || matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(_, _))
}

/// Batches often share children: each is checked once, identified by its buffers and its offset in them.
type Seen = HashSet<(Vec<usize>, usize, usize)>;

fn data(array: &ArrayData, seen: &mut Seen) -> std::result::Result<(), String> {
    if array.is_empty() {
        return Ok(());
    }
    match array.data_type() {
        DataType::Utf8 => text::<i32>(array)?,
        DataType::LargeUtf8 => text::<i64>(array)?,
        DataType::Utf8View | DataType::Dictionary(_, _) => array.validate_values().map_err(|e| e.to_string())?,
        _ => {}
    }
    for child in array.child_data() {
        if has_text(child.data_type()) {
            let buffers = child.buffers().iter().map(|buffer| buffer.as_ptr().addr());
            let nested = child.child_data().iter().flat_map(ArrayData::buffers).map(|buffer| buffer.as_ptr().addr());
            let place = (buffers.chain(nested).collect::<Vec<_>>(), child.offset(), child.len());
            if place.0.is_empty() || seen.insert(place) {
                data(child, seen)?;
            }
        }
    }
    Ok(())
}

/// Checks only the array's own rows: several arrays may be parts of one buffer.
fn text<O: ArrowNativeType>(array: &ArrayData) -> std::result::Result<(), String> {
    let [offsets, values] = array.buffers() else { return Err("strings without their buffers".to_owned()) };
    let offsets = offsets
        .typed_data::<O>()
        .get(array.offset()..=array.offset() + array.len())
        .ok_or_else(|| "strings without their offsets".to_owned())?;
    let (start, end) = (offsets[0].as_usize(), offsets[array.len()].as_usize());
    let bytes = values.get(start..end).ok_or_else(|| "strings outside their buffer".to_owned())?;
    let text = std::str::from_utf8(bytes).map_err(|e| format!("strings that are not UTF-8: {e}"))?;
    if text.is_ascii() || offsets.iter().all(|o| text.is_char_boundary(o.as_usize().wrapping_sub(start))) {
        Ok(())
    } else {
        Err("strings that are not UTF-8: one ends within a character".to_owned())
    }
}
