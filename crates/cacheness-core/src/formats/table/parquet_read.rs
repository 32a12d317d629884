//! Reading Parquet: row groups and columns in parallel.

use std::cmp::Reverse;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;

use super::parquet_write::ROW_GROUP_ROWS;
use super::{parquet_check, tasks, types};
use crate::error::{Error, ErrorKind, Result};

/// Files of fewer compressed bytes than this are read on one thread.
const PARALLEL_FROM: u64 = 64 << 10;

/// The maximum number of tasks for the columns of a row group.
const MAX_TASKS: usize = 64;

/// Some columns of one row group.
struct Task {
    group: usize,
    columns: std::ops::Range<usize>,
    bytes: u64,
}

/// The schema and rows of a Parquet file. Columns that `dictionaries` selects from the table's description come as
/// dictionaries if they are dictionaries in the file.
pub(super) fn read(
    file: Bytes,
    dictionaries: impl FnOnce(&str) -> Vec<usize>,
) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    read_parts(file, dictionaries)
        .map_err(|e| Error::new(ErrorKind::Serialization, "cannot decode the Parquet file").with_source(e))
}

fn read_parts(
    file: Bytes,
    dictionaries: impl FnOnce(&str) -> Vec<usize>,
) -> Result<(SchemaRef, Vec<RecordBatch>), ParquetError> {
    parquet_check::check_footer(&file)?;
    let mut metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
    if let (_, Some(description)) = types::restore(metadata.schema()) {
        metadata = with_dictionaries(metadata, dictionaries(&description))?;
    }
    let schema = Arc::clone(metadata.schema());
    // Memory for a batch is allocated in advance: bounded here, whatever the file claims.
    let batch_rows = parquet_check::check(&file, metadata.metadata(), ROW_GROUP_ROWS)?;
    let width = schema.fields().len();
    let tasks = plan(&metadata, width);
    let mut order: Vec<usize> = (0..tasks.len()).collect();
    order.sort_by_key(|&number| Reverse(tasks[number].bytes));
    let parallel = tasks.iter().map(|task| task.bytes).sum::<u64>() >= PARALLEL_FROM;

    let mut batches = Vec::new();
    let mut columns: Vec<Vec<ArrayRef>> = Vec::with_capacity(width);
    tasks::run(
        &order,
        parallel,
        |number| super::catch(|| Ok(read_columns(&file, &metadata, &tasks[number], batch_rows))),
        |number, result| {
            columns.extend(result.map_err(|e| ParquetError::External(Box::new(e)))??);
            if tasks[number].columns.end == width {
                let expected = metadata.metadata().row_group(tasks[number].group).num_rows();
                assemble(&schema, std::mem::take(&mut columns), expected, &mut batches)?;
            }
            Ok::<_, ParquetError>(())
        },
    )?;
    Ok((schema, batches))
}

/// The schema of a Parquet file, its first `rows` rows, and the number of all rows.
pub(super) fn head(file: Bytes, rows: usize) -> Result<(SchemaRef, Vec<RecordBatch>, u64)> {
    let read = || {
        parquet_check::check_footer(&file)?;
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
        let batch_rows = parquet_check::check(&file, metadata.metadata(), ROW_GROUP_ROWS)?;
        let groups = metadata.metadata().row_groups();
        let all = groups.iter().map(|group| u64::try_from(group.num_rows()).unwrap_or(0)).sum();
        let schema = Arc::clone(metadata.schema());
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata)
            .with_limit(rows)
            .with_batch_size(batch_rows.min(rows.max(1)))
            .build()?;
        let batches = reader.collect::<Result<_, _>>()?;
        Ok((schema, batches, all))
    };
    read().map_err(|e: ParquetError| {
        Error::new(ErrorKind::Serialization, "cannot decode the Parquet file").with_source(e)
    })
}

/// Reads the `wanted` columns as dictionaries if they are completely dictionary-encoded in the file. For others the reader
/// would have to build a dictionary, which costs more than it saves.
fn with_dictionaries(metadata: ArrowReaderMetadata, wanted: Vec<usize>) -> Result<ArrowReaderMetadata, ParquetError> {
    let mut fields: Vec<FieldRef> = metadata.schema().fields().iter().cloned().collect();
    let mut changed = false;
    for root in wanted {
        let Some(field) = fields.get_mut(root) else { continue };
        let texts = matches!(
            field.data_type(),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary
        );
        if texts && has_dictionaries_only(&metadata, root) {
            let data_type = DataType::Dictionary(Box::new(DataType::Int32), Box::new(field.data_type().clone()));
            *field = Arc::new(field.as_ref().clone().with_data_type(data_type));
            changed = true;
        }
    }
    if !changed {
        return Ok(metadata);
    }
    let schema = Schema::new_with_metadata(fields, metadata.schema().metadata().clone());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)
}

/// Whether column `root`, which is not nested, has a dictionary for each of its values in every row group.
fn has_dictionaries_only(metadata: &ArrowReaderMetadata, root: usize) -> bool {
    let descriptor = metadata.parquet_schema();
    let leaf = (0..descriptor.num_columns()).find(|&leaf| descriptor.get_column_root_idx(leaf) == root);
    let of = |group: &RowGroupMetaData| {
        let chunk = group.columns().get(leaf?)?;
        chunk.page_encoding_stats_mask().map(|pages| pages.is_only(Encoding::RLE_DICTIONARY))
    };
    metadata.metadata().row_groups().iter().all(|group| of(group) == Some(true))
}

fn plan(metadata: &ArrowReaderMetadata, width: usize) -> Vec<Task> {
    let mut tasks = Vec::new();
    if width == 0 {
        return tasks;
    }
    let step = width.div_ceil(MAX_TASKS);
    for group in 0..metadata.metadata().num_row_groups() {
        let mut sizes = vec![0u64; width];
        for (leaf, chunk) in metadata.metadata().row_group(group).columns().iter().enumerate() {
            let root = metadata.parquet_schema().get_column_root_idx(leaf);
            if let Some(size) = sizes.get_mut(root) {
                // Uncompressed bytes are the best estimate of the work.
                *size = size.saturating_add(u64::try_from(chunk.uncompressed_size()).unwrap_or(0));
            }
        }
        for start in (0..width).step_by(step) {
            let columns = start..(start + step).min(width);
            let bytes = sizes[columns.clone()].iter().fold(0, |sum: u64, size| sum.saturating_add(*size));
            tasks.push(Task { group, columns, bytes });
        }
    }
    tasks
}

/// The chunks of each column.
fn read_columns(
    file: &Bytes,
    metadata: &ArrowReaderMetadata,
    task: &Task,
    batch_rows: usize,
) -> Result<Vec<Vec<ArrayRef>>, ParquetError> {
    let mask = ProjectionMask::roots(metadata.parquet_schema(), task.columns.clone());
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata.clone())
        .with_projection(mask)
        .with_row_groups(vec![task.group])
        .with_batch_size(batch_rows)
        .build()?;
    let mut columns: Vec<Vec<ArrayRef>> = task.columns.clone().map(|_| Vec::new()).collect();
    let mut left = usize::try_from(metadata.metadata().row_group(task.group).num_rows()).unwrap_or(0);
    for batch in reader {
        let (_, arrays, rows) = batch?.into_parts();
        // A page of a few bytes may hold any number of equal values.
        left = left
            .checked_sub(rows)
            .ok_or_else(|| ParquetError::General("a row group is longer than it claims".into()))?;
        if arrays.len() != columns.len() {
            return Err(ParquetError::General("a row group lacks a column".into()));
        }
        for (chunks, array) in columns.iter_mut().zip(arrays) {
            chunks.push(array);
        }
    }
    Ok(columns)
}

/// Combines the columns of a row group. They were read with the same batch size, so their chunks align.
fn assemble(
    schema: &SchemaRef,
    columns: Vec<Vec<ArrayRef>>,
    expected: i64,
    batches: &mut Vec<RecordBatch>,
) -> Result<(), ParquetError> {
    let chunks = columns.first().map_or(0, Vec::len);
    if columns.iter().any(|column| column.len() != chunks) {
        return Err(ParquetError::General("the columns of a row group differ in length".into()));
    }
    let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
    let mut rows = 0;
    for _ in 0..chunks {
        let arrays: Vec<ArrayRef> = columns.iter_mut().filter_map(Iterator::next).collect();
        let count = arrays.first().map_or(0, |array| array.len());
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        batches.push(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?);
        rows += count;
    }
    if usize::try_from(expected) != Ok(rows) {
        return Err(ParquetError::General(format!("a row group has {rows} rows instead of {expected}")));
    }
    Ok(())
}
