//! Arrow IPC files.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use arrow::ipc::{Block, CompressionType, root_as_footer, root_as_message};
use bytes::Bytes;

use super::types::unencodable;
use crate::config::TableCodec;
use crate::error::{Error, ErrorKind, Result};

/// The codec of Arrow files for a configured codec, or its replacement.
pub(super) fn codec(codec: TableCodec) -> TableCodec {
    match codec {
        TableCodec::None => TableCodec::None,
        TableCodec::Zstd | TableCodec::Gzip => TableCodec::Zstd,
        TableCodec::Lz4 | TableCodec::Snappy => TableCodec::Lz4,
    }
}

/// Writes the file.
pub(super) fn write<W: Write>(schema: &SchemaRef, batches: &[RecordBatch], codec: TableCodec, out: W) -> Result<()> {
    let compression = match codec {
        TableCodec::None => None,
        TableCodec::Zstd | TableCodec::Gzip => Some(CompressionType::ZSTD),
        TableCodec::Lz4 | TableCodec::Snappy => Some(CompressionType::LZ4_FRAME),
    };
    let options = IpcWriteOptions::default().try_with_compression(compression).map_err(unencodable)?;
    let mut writer = FileWriter::try_new_with_options(out, schema, options).map_err(failed)?;
    for batch in batches {
        writer.write(batch).map_err(failed)?;
    }
    writer.finish().map_err(failed)
}

fn failed(error: ArrowError) -> Error {
    match error {
        ArrowError::IoError(what, source) => {
            Error::new(ErrorKind::Storage, format!("cannot write the table's file: {what}")).with_source(source)
        }
        other => unencodable(other),
    }
}

/// A file has one dictionary for each dictionary column: batches with different dictionaries become one batch.
pub(super) fn one_dictionary_each(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let Some((first, rest)) = batches.split_first() else { return Ok(batches) };
    if rest.iter().all(|batch| first.columns().iter().zip(batch.columns()).all(|(a, b)| same_dictionaries(a, b))) {
        return Ok(batches);
    }
    Ok(vec![concat_batches(schema, &batches).map_err(unencodable)?])
}

fn same_dictionaries(a: &ArrayRef, b: &ArrayRef) -> bool {
    if !a.data_type().is_nested() && !matches!(a.data_type(), DataType::Dictionary(_, _)) {
        return true;
    }
    if let (Some(a), Some(b)) = (a.as_any_dictionary_opt(), b.as_any_dictionary_opt()) {
        let (a, b) = (a.values(), b.values());
        return Arc::ptr_eq(a, b) || a.to_data().ptr_eq(&b.to_data()) || a == b;
    }
    let (a, b) = (a.to_data(), b.to_data());
    let children = a.child_data().iter().zip(b.child_data());
    children
        .into_iter()
        .all(|(a, b)| same_dictionaries(&arrow::array::make_array(a.clone()), &arrow::array::make_array(b.clone())))
}

/// The schema and rows of an Arrow file. Uncompressed columns are views of `file`.
pub(super) fn read(file: Bytes) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    read_parts(file).map_err(|e| Error::new(ErrorKind::Serialization, "cannot decode the Arrow file").with_source(e))
}

fn read_parts(file: Bytes) -> Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
    const TRAILER: usize = 10; // the footer's length and the magic number
    let malformed = |what: &str| ArrowError::ParseError(what.to_owned());
    let body = file.len().checked_sub(TRAILER).ok_or_else(|| malformed("it is too short"))?;
    let trailer: [u8; TRAILER] = file[body..].try_into().expect("the trailer has this length");
    let footer_length = read_footer_length(trailer)?;
    let start = body.checked_sub(footer_length).ok_or_else(|| malformed("its footer is longer than the file"))?;
    let footer = file.slice(start..body);
    let footer = root_as_footer(&footer).map_err(|e| malformed(&format!("its footer cannot be read: {e}")))?;
    let schema = footer.schema().ok_or_else(|| malformed("it has no schema"))?;
    let schema = Arc::new(fb_to_schema(schema));
    let buffer = Buffer::from(file.slice(..start));
    let slice = |block: &Block| {
        let offset = usize::try_from(block.offset()).ok();
        let body = usize::try_from(block.bodyLength()).ok();
        let metadata = usize::try_from(block.metaDataLength()).ok();
        match (offset, body.zip(metadata).and_then(|(body, metadata)| body.checked_add(metadata))) {
            (Some(offset), Some(length)) if offset.checked_add(length).is_some_and(|end| end <= buffer.len()) => {
                Ok(buffer.slice_with_length(offset, length))
            }
            _ => Err(malformed("a block is outside the file")),
        }
    };
    let slice = |block: &Block| slice(block).and_then(|buffer| check_lengths(block, &buffer).map(|()| buffer));
    let mut decoder = FileDecoder::new(Arc::clone(&schema), footer.version());
    for block in footer.dictionaries().iter().flatten() {
        decoder.read_dictionary(block, &slice(block)?)?;
    }
    let mut batches = Vec::new();
    for block in footer.recordBatches().iter().flatten() {
        batches.extend(decoder.read_record_batch(block, &slice(block)?)?);
    }
    Ok((schema, batches))
}

/// The decoder allocates as much memory as a compressed buffer claims: refuses lengths that the codec cannot reach.
fn check_lengths(block: &Block, buffer: &[u8]) -> Result<(), ArrowError> {
    const CONTINUATION: [u8; 4] = [0xff; 4];
    const PREFIX: usize = 8; // every compressed buffer begins with its uncompressed length
    let malformed = |what: &str| ArrowError::ParseError(what.to_owned());
    let metadata = usize::try_from(block.metaDataLength()).unwrap_or(usize::MAX);
    let (message, body) = buffer.split_at_checked(metadata).ok_or_else(|| malformed("a block is too short"))?;
    let header = if message.starts_with(&CONTINUATION) { 8 } else { 4 };
    let message = message.get(header..).ok_or_else(|| malformed("a block is too short"))?;
    let message = root_as_message(message).map_err(|e| malformed(&format!("a block cannot be read: {e}")))?;
    let batch = message.header_as_record_batch();
    let batch = batch.or_else(|| message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()));
    let Some((batch, compression)) = batch.and_then(|batch| Some((batch, batch.compression()?))) else { return Ok(()) };
    let ratio = if compression.codec() == CompressionType::LZ4_FRAME { 256 } else { 1 << 16 };
    for part in batch.buffers().iter().flatten() {
        let offset = usize::try_from(part.offset()).unwrap_or(usize::MAX);
        let length = usize::try_from(part.length()).unwrap_or(usize::MAX);
        if length == 0 {
            continue;
        }
        let prefix =
            body.get(offset..).and_then(|rest| rest.get(..length)).and_then(|part| part.first_chunk::<PREFIX>());
        let promised = i64::from_le_bytes(*prefix.ok_or_else(|| malformed("a buffer is outside its block"))?);
        // -1 marks an uncompressed buffer.
        if promised < -1 || usize::try_from(promised).is_ok_and(|size| size / ratio > length) {
            return Err(malformed("a buffer claims an impossible length"));
        }
    }
    Ok(())
}
