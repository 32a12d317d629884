//! Writing Parquet: one row group after the other, the columns of each in parallel.

use std::cmp::Reverse;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata, parquet_to_arrow_schema};
use parquet::basic::{Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

use super::sample::{Shape, shape};
use super::tasks;
use super::types::parquet_keeps;
use crate::config::{CompressionConfig, TableCodec};
use crate::error::{Error, ErrorKind, Result};

/// The maximum number of rows of a row group. Readers decode one row group at a time.
pub(super) const ROW_GROUP_ROWS: usize = 1 << 20;

/// The maximum bytes of a row group's largest column, unless a single row is larger: strings and lists with 32-bit offsets
/// are decoded one row group at a time and must not overflow.
const ROW_GROUP_COLUMN_BYTES: usize = 512 << 20;

/// Tables of fewer values than this are written on one thread.
const PARALLEL_FROM: usize = 1 << 16;

/// The plan for writing a table.
pub(super) struct Plan {
    schema: SchemaRef,
    descriptor: SchemaDescriptor,
    codec: TableCodec,
    parallel: bool,
}

impl Plan {
    /// `None` if Parquet would not restore the schema.
    pub(super) fn new(
        schema: &SchemaRef,
        config: &CompressionConfig,
        dictionaries_by_value: bool,
    ) -> Result<Option<Self>> {
        let keeps = |data_type: &DataType| parquet_keeps(data_type, dictionaries_by_value);
        if schema.fields().is_empty() || !schema.fields().iter().all(|field| keeps(field.data_type())) {
            return Ok(None);
        }
        let descriptor = ArrowSchemaConverter::new().convert(schema).map_err(unencodable)?;
        // The check above is for types; this one is for the whole schema, with its names and metadata.
        let mut properties = WriterProperties::builder().build();
        add_encoded_arrow_schema_to_metadata(schema, &mut properties);
        match parquet_to_arrow_schema(&descriptor, properties.key_value_metadata()) {
            Ok(back) if back == **schema => {}
            _ => return Ok(None),
        }
        let (schema, codec) = (Arc::clone(schema), config.parquet_compression);
        Ok(Some(Self { schema, descriptor, codec, parallel: config.parallel }))
    }

    /// Writes the file.
    pub(super) fn write<W: Write + Send>(&self, batches: &[RecordBatch], out: W) -> Result<()> {
        let mut properties = self.properties(batches).build();
        add_encoded_arrow_schema_to_metadata(&self.schema, &mut properties);
        let root = self.descriptor.root_schema_ptr();
        let mut file = SerializedFileWriter::new(out, root, Arc::new(properties)).map_err(unencodable)?;
        let factory = ArrowRowGroupWriterFactory::new(&file, Arc::clone(&self.schema));
        for (number, slices) in row_groups(batches).into_iter().enumerate() {
            let writers = factory.create_column_writers(number).map_err(unencodable)?;
            let writers = self.by_root(writers);
            let rows: usize = slices.iter().map(RecordBatch::num_rows).sum();
            let parallel = self.parallel && rows * self.schema.fields().len() >= PARALLEL_FROM;
            let order = self.by_cost(&slices);
            let mut group = file.next_row_group().map_err(unencodable)?;
            tasks::run(
                &order,
                parallel,
                |column| {
                    let writers = writers[column].lock().take().expect("each column is taken once");
                    self.column(column, writers, &slices)
                },
                |_, chunks: Result<Vec<ArrowColumnChunk>, ParquetError>| {
                    chunks?.into_iter().try_for_each(|chunk| chunk.append_to_row_group(&mut group))
                },
            )
            .map_err(unencodable)?;
            group.close().map_err(unencodable)?;
        }
        file.close().map_err(unencodable)?;
        Ok(())
    }

    fn column(
        &self,
        column: usize,
        mut writers: Vec<ArrowColumnWriter>,
        slices: &[RecordBatch],
    ) -> Result<Vec<ArrowColumnChunk>, ParquetError> {
        let field = self.schema.field(column);
        for slice in slices {
            let leaves = compute_leaves(field, slice.column(column))?;
            for (writer, leaf) in writers.iter_mut().zip(leaves) {
                writer.write(&leaf)?;
            }
        }
        writers.into_iter().map(ArrowColumnWriter::close).collect()
    }

    /// The writers of leaves, grouped by the column they belong to.
    fn by_root(&self, writers: Vec<ArrowColumnWriter>) -> Vec<parking_lot::Mutex<Option<Vec<ArrowColumnWriter>>>> {
        let mut roots: Vec<Vec<ArrowColumnWriter>> = self.schema.fields().iter().map(|_| Vec::new()).collect();
        for (leaf, writer) in writers.into_iter().enumerate() {
            roots[self.descriptor.get_column_root_idx(leaf)].push(writer);
        }
        roots.into_iter().map(|writers| parking_lot::Mutex::new(Some(writers))).collect()
    }

    /// The columns, the slowest first, so that no core is left with it at the end.
    fn by_cost(&self, slices: &[RecordBatch]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.schema.fields().len()).collect();
        order.sort_by_key(|&column| Reverse(slices.iter().map(|s| column_size(s.column(column))).sum::<usize>()));
        order
    }

    fn properties(&self, batches: &[RecordBatch]) -> WriterPropertiesBuilder {
        let compression = match self.codec {
            TableCodec::None => Compression::UNCOMPRESSED,
            TableCodec::Lz4 => Compression::LZ4_RAW,
            TableCodec::Zstd => Compression::ZSTD(ZstdLevel::default()),
            TableCodec::Snappy => Compression::SNAPPY,
            TableCodec::Gzip => Compression::GZIP(GzipLevel::default()),
        };
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("cacheness version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(compression)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_data_page_row_count_limit(ROW_GROUP_ROWS)
            .set_write_batch_size(8192);
        for (leaf, column) in self.descriptor.columns().iter().enumerate() {
            let root = self.descriptor.get_column_root_idx(leaf);
            let path = ColumnPath::from(column.path().parts().to_vec());
            let top_level = !self.schema.field(root).data_type().is_nested();
            match if top_level { shape(batches.iter().map(|batch| batch.column(root))) } else { Shape::Unknown } {
                Shape::Unknown => {}
                Shape::Distinct => properties = properties.set_column_dictionary_enabled(path, false),
                Shape::Steps => {
                    properties = properties
                        .set_column_dictionary_enabled(path.clone(), false)
                        .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
                }
            }
        }
        properties
    }
}

/// The slices of `batches` that make up each row group.
fn row_groups(batches: &[RecordBatch]) -> Vec<Vec<RecordBatch>> {
    let mut groups = Vec::new();
    let mut group: Vec<RecordBatch> = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for batch in batches {
        let mut rest = 0..batch.num_rows();
        while !rest.is_empty() {
            let (take, size) = fitting(batch, rest.clone(), ROW_GROUP_ROWS - rows, ROW_GROUP_COLUMN_BYTES - bytes);
            if take == 0 && !group.is_empty() {
                groups.push(std::mem::take(&mut group));
                (rows, bytes) = (0, 0);
                continue;
            }
            let take = take.max(1);
            group.push(batch.slice(rest.start, take));
            rest.start += take;
            rows += take;
            bytes = (bytes + size).min(ROW_GROUP_COLUMN_BYTES);
            if rows == ROW_GROUP_ROWS || bytes == ROW_GROUP_COLUMN_BYTES {
                groups.push(std::mem::take(&mut group));
                (rows, bytes) = (0, 0);
            }
        }
    }
    if !group.is_empty() {
        groups.push(group);
    }
    groups
}

/// How many rows from the start of `range` fit into `max_rows` and, column by column, into `max_bytes`; and the bytes of
/// the largest of these columns.
fn fitting(batch: &RecordBatch, range: Range<usize>, max_rows: usize, max_bytes: usize) -> (usize, usize) {
    let mut take = range.len().min(max_rows);
    loop {
        let slice = batch.slice(range.start, take);
        let size = slice.columns().iter().map(column_size).max().unwrap_or(0);
        if size <= max_bytes || take == 0 {
            return (take, size);
        }
        take /= 2;
    }
}

/// Bytes of the values of a column; for a dictionary, a quick estimate of its decoded values.
fn column_size(column: &ArrayRef) -> usize {
    let own = column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size());
    match column.as_any_dictionary_opt() {
        Some(dictionary) if !dictionary.values().is_empty() => {
            let values = dictionary.values();
            let mean = values.get_array_memory_size() / values.len();
            own.saturating_add(column.len().saturating_mul(mean))
        }
        _ => own,
    }
}

fn unencodable(error: ParquetError) -> Error {
    let (kind, what) = match &error {
        ParquetError::External(source) if source.downcast_ref::<std::io::Error>().is_some() => {
            (ErrorKind::Storage, "cannot write the table's file")
        }
        _ => (ErrorKind::Serialization, "cannot encode the table as Parquet"),
    };
    Error::new(kind, what).with_source(error)
}
