//! The Arrow types that come back from Parquet exactly, and the preparation of a schema for a file.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, make_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef, TimeUnit};

use super::{DESCRIPTION_KEY, RESERVED_PREFIX, TableOptions};
use crate::error::{Error, ErrorKind, Result};

/// Types nested deeper than this are refused: the codecs recurse.
const MAX_DEPTH: usize = 64;

/// A key of the user's schema metadata that begins with [`RESERVED_PREFIX`] is stored with this prefix instead.
const ESCAPED_PREFIX: &str = "cacheness:+";

/// Whether Parquet restores a column of this type with the same type and values.
///
/// Dictionaries are not restored: Parquet drops unused values and their order. If only the values of dictionaries matter
/// (`dictionaries_by_value`), those of strings are restored in that sense.
#[must_use]
pub fn parquet_keeps(data_type: &DataType, dictionaries_by_value: bool) -> bool {
    let keeps = |field: &FieldRef| parquet_keeps(field.data_type(), dictionaries_by_value);
    match data_type {
        DataType::Null
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float16
        | DataType::Float32
        | DataType::Float64
        | DataType::Timestamp(_, _)
        | DataType::Date32
        | DataType::Date64
        | DataType::Time32(TimeUnit::Second | TimeUnit::Millisecond)
        | DataType::Time64(TimeUnit::Microsecond | TimeUnit::Nanosecond)
        | DataType::Duration(_)
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView => true,
        DataType::FixedSizeBinary(width) => *width > 0,
        // The writer treats decimals of one digit as 64-bit ones.
        DataType::Decimal32(1, _) => false,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            *scale >= 0 && u8::try_from(*scale).is_ok_and(|scale| scale <= *precision)
        }
        DataType::List(field) | DataType::LargeList(field) => keeps(field),
        DataType::FixedSizeList(field, size) => *size > 0 && keeps(field),
        DataType::Struct(fields) => !fields.is_empty() && fields.iter().all(keeps),
        DataType::Map(entries, sorted) => !sorted && keeps(entries),
        DataType::Dictionary(_, values) => dictionaries_by_value && is_bytes(values),
        DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Interval(_)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::Union(_, _)
        | DataType::RunEndEncoded(_, _) => false,
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
    )
}

/// Refuses types that are nested deeper than the codecs should recurse, and types that no file format can distinguish from
/// another.
pub(super) fn check(schema: &Schema) -> Result<()> {
    fn problem(data_type: &DataType, left: usize) -> Option<&'static str> {
        let Some(left) = left.checked_sub(1) else { return Some("is nested more than 64 levels deep") };
        match data_type {
            DataType::List(f)
            | DataType::LargeList(f)
            | DataType::FixedSizeList(f, _)
            | DataType::ListView(f)
            | DataType::LargeListView(f)
            | DataType::Map(f, _) => problem(f.data_type(), left),
            // Writers of Arrow files write wrong runs for a child without rows.
            DataType::RunEndEncoded(_, _) if left + 1 < MAX_DEPTH => {
                Some("has run-end encoded values inside another type")
            }
            DataType::RunEndEncoded(_, f) => problem(f.data_type(), left),
            DataType::Struct(fields) => fields.iter().find_map(|f| problem(f.data_type(), left)),
            DataType::Union(fields, _) => fields.iter().find_map(|(_, f)| problem(f.data_type(), left)),
            DataType::Dictionary(_, values) => problem(values, left),
            DataType::Timestamp(_, Some(zone)) if zone.is_empty() => {
                Some("has a time zone without a name, which files cannot distinguish from none")
            }
            _ => None,
        }
    }
    for field in schema.fields() {
        if let Some(problem) = problem(field.data_type(), MAX_DEPTH) {
            return Err(Error::new(ErrorKind::Serialization, format!("column {:?} {problem}", field.name())));
        }
    }
    Ok(())
}

/// The schema for writing the batches, and those batches: dictionaries of string views become dictionaries of large strings
/// if only their values matter, columns without nulls are declared so if the declaration need not come back, and the
/// description is stored in the metadata.
pub(super) fn prepare(
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
    options: &TableOptions<'_>,
) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    if options.dictionaries_by_value {
        for field in &mut fields {
            if let Some(data_type) = storage_type(field.data_type()) {
                *field = Arc::new(field.as_ref().clone().with_data_type(data_type));
            }
        }
    }
    if options.nullability_by_value {
        for (index, field) in fields.iter_mut().enumerate() {
            let nullable = *field.data_type() == DataType::Null
                || batches.iter().any(|batch| batch.column(index).logical_null_count() > 0);
            if field.is_nullable() != nullable {
                *field = Arc::new(field.as_ref().clone().with_nullable(nullable));
            }
        }
    }
    let mut metadata = schema.metadata().clone();
    if metadata.keys().any(|key| key.starts_with(RESERVED_PREFIX)) {
        metadata = metadata
            .into_iter()
            .map(|(key, value)| match key.strip_prefix(RESERVED_PREFIX) {
                Some(rest) => (format!("{ESCAPED_PREFIX}{rest}"), value),
                None => (key, value),
            })
            .collect();
    }
    if let Some(description) = &options.description {
        metadata.insert(DESCRIPTION_KEY.to_owned(), description.to_string());
    }
    let storage = Arc::new(Schema::new_with_metadata(fields, metadata));
    let batches = batches.into_iter().map(|batch| conform(&batch, &storage)).collect::<Result<_>>()?;
    Ok((storage, batches))
}

/// Removes the description from a schema that was read, and restores the user's metadata.
pub(super) fn restore(schema: &SchemaRef) -> (SchemaRef, Option<String>) {
    if !schema.metadata().keys().any(|key| key.starts_with(RESERVED_PREFIX)) {
        return (Arc::clone(schema), None);
    }
    let mut metadata = schema.metadata().clone();
    let description = metadata.remove(DESCRIPTION_KEY);
    let metadata = metadata
        .into_iter()
        .map(|(key, value)| match key.strip_prefix(ESCAPED_PREFIX) {
            Some(rest) => (format!("{RESERVED_PREFIX}{rest}"), value),
            None => (key, value),
        })
        .collect();
    (Arc::new(Schema::new_with_metadata(schema.fields().clone(), metadata)), description)
}

/// The same rows under `schema`; arrays are cast if its storage types differ from theirs.
pub(super) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| to_storage(column, field.data_type()))
        .collect::<Result<_>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(unencodable)
}

pub(super) fn unencodable(error: arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::Serialization, "cannot encode the table").with_source(error)
}

/// The stored type of a dictionary of which only the values matter, if it differs: Parquet readers create dictionaries of
/// strings and large strings, not of views.
fn storage_type(data_type: &DataType) -> Option<DataType> {
    let of = |field: &FieldRef| {
        storage_type(field.data_type()).map(|t| Arc::new(field.as_ref().clone().with_data_type(t)) as FieldRef)
    };
    match data_type {
        DataType::Dictionary(key, values) => match values.as_ref() {
            DataType::Utf8View => Some(DataType::Dictionary(key.clone(), Box::new(DataType::LargeUtf8))),
            DataType::BinaryView => Some(DataType::Dictionary(key.clone(), Box::new(DataType::LargeBinary))),
            _ => None,
        },
        DataType::List(f) => of(f).map(DataType::List),
        DataType::LargeList(f) => of(f).map(DataType::LargeList),
        DataType::FixedSizeList(f, n) => of(f).map(|f| DataType::FixedSizeList(f, *n)),
        DataType::Map(f, sorted) => of(f).map(|f| DataType::Map(f, *sorted)),
        DataType::Struct(fields) => {
            let changed: Vec<_> = fields.iter().map(of).collect();
            changed.iter().any(Option::is_some).then(|| {
                let fields = fields.iter().zip(changed).map(|(f, new)| new.unwrap_or_else(|| Arc::clone(f)));
                DataType::Struct(fields.collect())
            })
        }
        _ => None,
    }
}

fn to_storage(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    if let (DataType::Dictionary(_, _), DataType::Dictionary(_, values)) = (array.data_type(), data_type) {
        let dictionary = array.as_any_dictionary();
        let values = cast(dictionary.values(), values).map_err(unencodable)?;
        return Ok(dictionary.with_values(values));
    }
    // A nested array: only the types of its descendants differ, so its data is rebuilt around new children.
    let data = array.to_data();
    let children: Vec<&DataType> = match data_type {
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) | DataType::Map(f, _) => {
            vec![f.data_type()]
        }
        DataType::Struct(fields) => fields.iter().map(|f| f.data_type()).collect(),
        other => {
            return Err(Error::new(
                ErrorKind::Serialization,
                format!("a batch has a column of {}, but its schema says {other}", array.data_type()),
            ));
        }
    };
    let children = data
        .child_data()
        .iter()
        .zip(children)
        .map(|(child, data_type)| Ok(to_storage(&make_array(child.clone()), data_type)?.to_data()))
        .collect::<Result<Vec<_>>>()?;
    let data = data.into_builder().data_type(data_type.clone()).child_data(children).build().map_err(unencodable)?;
    Ok(make_array(data))
}
