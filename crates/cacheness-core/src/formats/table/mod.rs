//! Tables: Arrow record batches as Parquet or Arrow IPC files.
//!
//! A table comes back with the same schema (types, nullability, metadata of fields and schema) and values. Parquet is the
//! default; a table with a type that Parquet cannot restore exactly ([`parquet_keeps`]), or without columns, is stored as an
//! Arrow IPC file. Any Arrow tool opens the files. See `docs/formats/tables.md`.

mod head;
mod ipc;
mod map;
mod parquet_check;
mod parquet_read;
mod parquet_write;
mod sample;
mod tasks;
mod types;

use std::borrow::Cow;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
pub use head::{TableHead, head};
pub use types::parquet_keeps;

use crate::config::{CompressionConfig, TableCodec, TableFormat};
use crate::entry::{Format, Name};
use crate::error::{Error, ErrorKind, Result};
use crate::payload::{Buffer, Encoded, Payload, Stored};

/// Keys of schema metadata with this prefix are reserved; a user's keys with it are escaped and come back unchanged.
const RESERVED_PREFIX: &str = "cacheness:";

/// The key of schema metadata that holds [`TableOptions::description`].
const DESCRIPTION_KEY: &str = "cacheness:table";

/// Tables whose arrays take more bytes than this are written directly into a blob, the others in memory first.
const STREAM_FROM: usize = 8 << 20;

/// Options of [`encode`] for a table.
#[derive(Clone, Debug)]
pub struct TableOptions<'a> {
    /// The handler that created it (`pandas_dataframes`, `polars_series`, `arrow_tables`, …).
    pub handler: Name,
    /// `dataframe`, `series` or `table`.
    pub data_type: Name,
    /// The type of the value in its language.
    pub object_type: Name,
    /// The data besides the columns that is needed to rebuild the value; stored in the file's schema metadata.
    pub description: Option<Cow<'a, str>>,
    /// Only the values of dictionaries matter: their order and unused values need not come back.
    pub dictionaries_by_value: bool,
    /// The nullability of the columns need not come back: they are declared nullable if they have nulls.
    pub nullability_by_value: bool,
}

impl Default for TableOptions<'_> {
    /// The options for record batches in Rust.
    fn default() -> Self {
        Self {
            handler: "arrow_tables".into(),
            data_type: "table".into(),
            object_type: "rust:arrow::record_batch::RecordBatch".into(),
            description: None,
            dictionaries_by_value: false,
            nullability_by_value: false,
        }
    }
}

/// A decoded table.
#[derive(Clone, Debug)]
pub struct Table {
    /// The schema that was stored.
    pub schema: SchemaRef,
    /// Its rows; no batches are a table without rows.
    pub batches: Vec<RecordBatch>,
    /// [`TableOptions::description`] of the table when it was stored.
    pub description: Option<String>,
}

impl Table {
    /// Rows in all batches.
    #[must_use]
    pub fn num_rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// All rows as one batch.
    pub fn into_batch(mut self) -> Result<RecordBatch> {
        match self.batches.len() {
            // A schema may be malformed although no column is.
            0 => catch(|| Ok(RecordBatch::new_empty(self.schema))),
            1 => Ok(self.batches.remove(0)),
            _ if self.schema.fields().is_empty() => {
                let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(self.num_rows()));
                RecordBatch::try_new_with_options(self.schema, Vec::new(), &options).map_err(undecodable)
            }
            _ => catch(|| arrow::compute::concat_batches(&self.schema, &self.batches).map_err(undecodable)),
        }
    }
}

fn undecodable(error: arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::Serialization, "cannot decode the table").with_source(error)
}

/// Encodes `batches`, all of `schema`, in the configured format, or as Arrow IPC if that would lose something.
///
/// The result owns its data, and may write the payload as a stream.
pub fn encode(
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
    config: &CompressionConfig,
    options: &TableOptions<'_>,
) -> Result<Encoded<'static>> {
    if let Some(batch) = batches.iter().find(|batch| batch.num_columns() != schema.fields().len()) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("a batch has {} columns, but its schema has {}", batch.num_columns(), schema.fields().len()),
        ));
    }
    types::check(schema)?;
    let batches = batches.into_iter().filter(|batch| batch.num_rows() > 0).collect();
    let (schema, batches) = types::prepare(schema, batches, options)?;
    let parquet = match config.dataframe_format {
        TableFormat::Arrow => None,
        TableFormat::Parquet => parquet_write::Plan::new(&schema, config, options.dictionaries_by_value)?,
    };
    let size: usize = batches.iter().map(memory_size).sum();
    let format = |storage: &'static str, compression: &'static str| Format {
        handler: options.handler.clone(),
        data_type: options.data_type.clone(),
        storage_format: storage.into(),
        compression: compression.into(),
        object_type: options.object_type.clone(),
        handler_meta: Vec::new(),
        // Parquet makes tables smaller even without a codec.
        raw_size: Some(size as u64),
    };
    if let Some(plan) = parquet {
        let format = format("parquet", codec_name(config.parquet_compression));
        let payload = match size {
            0..STREAM_FROM => {
                let mut bytes = Vec::new();
                catch_encoder(|| plan.write(&batches, &mut bytes))?;
                Payload::Bytes(bytes.into())
            }
            _ => Payload::Stream(Box::new(move |writer| catch_encoder(|| plan.write(&batches, writer)))),
        };
        return Ok(Encoded { format, extension: "parquet".into(), payload });
    }
    let codec = ipc::codec(config.parquet_compression);
    let batches = ipc::one_dictionary_each(&schema, batches)?;
    let format = format("arrow", codec_name(codec));
    let payload = match size {
        0..STREAM_FROM => {
            let mut bytes = Vec::new();
            catch_encoder(|| ipc::write(&schema, &batches, codec, &mut bytes))?;
            Payload::Bytes(bytes.into())
        }
        _ => Payload::Stream(Box::new(move |writer| catch_encoder(|| ipc::write(&schema, &batches, codec, writer)))),
    };
    Ok(Encoded { format, extension: "arrow".into(), payload })
}

/// Verifies and decodes a table. The caller owns its memory.
pub fn decode(stored: Stored) -> Result<Table> {
    decode_with_dictionaries(stored, |_| Vec::new())
}

/// As [`decode`], but returns columns of strings or bytes with a dictionary in the file as dictionaries with 32-bit indices,
/// under a matching schema. `columns` gets the table's description and returns the indices of the columns to return like
/// this, whatever their types are.
pub fn decode_with_dictionaries(stored: Stored, columns: impl FnOnce(&str) -> Vec<usize>) -> Result<Table> {
    let parquet = is_parquet(&stored)?;
    let key = stored.key().to_owned();
    let bytes = bytes::Bytes::from_owner(Owned(stored.into_bytes()?));
    let read = catch(|| if parquet { parquet_read::read(bytes, columns) } else { ipc::read(bytes) });
    finish(read, &key)
}

/// Whether the file is Parquet; otherwise it is Arrow IPC.
fn is_parquet(stored: &Stored) -> Result<bool> {
    match stored.format().storage_format.as_ref() {
        "parquet" => Ok(true),
        "arrow" => Ok(false),
        other => Err(stored.undecodable(format_args!("{other:?} is not a table format"))),
    }
}

/// Maps an Arrow IPC file instead of reading it: uncompressed columns are views of the file. `None` if the payload is not a
/// local Arrow file; use [`decode`] then.
///
/// Verifies the file first, unless verification is off. The store never changes a blob in place, and a mapping outlives its
/// deletion.
pub fn decode_mmap(stored: &Stored) -> Result<Option<Table>> {
    if stored.format().storage_format != "arrow" {
        return Ok(None);
    }
    let Some(file) = stored.verified_file()? else { return Ok(None) };
    let map =
        map::read_only(file).map_err(|e| Error::io(format_args!("entry {}: cannot map its file", stored.key()), e))?;
    let bytes = bytes::Bytes::from_owner(map);
    finish(catch(|| ipc::read(bytes)), stored.key()).map(Some)
}

/// A payload in the form that its decoders share.
struct Owned(Buffer);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The decoders panic on some malformed files; turns the panic into an error.
fn catch<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_as("the file is malformed", read)
}

/// Turns the panic of an encoder, on an unexpected type, into an error, so that the caller's program continues.
fn catch_encoder<T>(write: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_as("the table encoder failed; please report the table's types", write)
}

fn catch_as<T>(sentence: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Serialization, sentence)))
}

fn finish(read: Result<(SchemaRef, Vec<RecordBatch>)>, key: &str) -> Result<Table> {
    let (schema, batches) = read.map_err(|error| error.within(format_args!("entry {key}")))?;
    let (schema, description) = types::restore(&schema);
    let batches = batches.iter().map(|batch| types::conform(batch, &schema)).collect::<Result<_>>()?;
    Ok(Table { schema, batches, description })
}

fn codec_name(codec: TableCodec) -> &'static str {
    match codec {
        TableCodec::None => "none",
        TableCodec::Lz4 => "lz4",
        TableCodec::Zstd => "zstd",
        TableCodec::Snappy => "snappy",
        TableCodec::Gzip => "gzip",
    }
}

/// Bytes of the rows of a batch, without other content of its buffers.
fn memory_size(batch: &RecordBatch) -> usize {
    batch
        .columns()
        .iter()
        .map(|column| column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size()))
        .sum()
}
