//! Encodings of Arrow arrays and record batches.

use std::sync::Arc;

use arrow::array::types::{ArrowDictionaryKeyType, ArrowPrimitiveType, ByteArrayType, ByteViewType, RunEndIndexType};
use arrow::array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, FixedSizeBinaryArray, FixedSizeListArray, GenericByteArray,
    GenericByteViewArray, GenericListArray, MapArray, NullArray, OffsetSizeTrait, PrimitiveArray, RecordBatch,
    RunArray, StructArray, make_array,
};
use arrow::datatypes::{Field, FieldRef, Schema};
use rayon::prelude::*;

use crate::error::{Error, ErrorKind, Result};
use crate::key::{Collection, KeyEncoder, Segment, ToKey, column_digest};
use crate::parallel;

fn encode_array(array: &dyn Array, encoder: &mut KeyEncoder) -> Result<()> {
    let digest = column_digest(&[make_array(array.to_data())], array.data_type())?;
    encoder.column(&digest);
    Ok(())
}

impl ToKey for dyn Array + '_ {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        encode_array(self, encoder)
    }
}

macro_rules! arrays {
    ($([$($parameter:tt)*] $array:ty;)+) => {$(
        impl<$($parameter)*> ToKey for $array {
            fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
                encode_array(self, encoder)
            }
        }
    )+};
}

arrays! {
    [] NullArray;
    [] BooleanArray;
    [] FixedSizeBinaryArray;
    [] FixedSizeListArray;
    [] MapArray;
    [] StructArray;
    [T: ArrowPrimitiveType] PrimitiveArray<T>;
    [T: ByteArrayType] GenericByteArray<T>;
    [T: ByteViewType] GenericByteViewArray<T>;
    [O: OffsetSizeTrait] GenericListArray<O>;
    [K: ArrowDictionaryKeyType] DictionaryArray<K>;
    [R: RunEndIndexType] RunArray<R>;
}

/// `62` named `arrow.Table`: the list of `(name, nullable, column)` and the number of rows.
impl ToKey for RecordBatch {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        encoder.begin_named("arrow.Table")?;
        encode_table(encoder, self.schema_ref(), std::slice::from_ref(self))?;
        encoder.end_named();
        Ok(())
    }
}

/// Encodes the content of a table that is cut into `batches`: the tuple of the list of `(name, nullable, column)` and the
/// number of rows. Columns are hashed in parallel.
///
/// # Errors
/// A column has no stable encoding, or the batches have another schema.
pub fn encode_table(encoder: &mut KeyEncoder, schema: &Schema, batches: &[RecordBatch]) -> Result<()> {
    if let Some(other) = batches.iter().find(|batch| batch.num_columns() != schema.fields().len()) {
        let sentence = format!("a batch of {} columns is not part of the table", other.num_columns());
        return Err(Error::new(ErrorKind::InvalidInput, sentence));
    }
    let columns: Vec<Vec<ArrayRef>> =
        (0..schema.fields().len()).map(|i| batches.iter().map(|batch| Arc::clone(batch.column(i))).collect()).collect();
    let digest = |(field, chunks): (&FieldRef, &Vec<ArrayRef>)| column_digest(chunks, field.data_type());
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let pairs = schema.fields().iter().zip(&columns);
    let digests: Vec<Result<[u8; 32]>> = if rows < 16 * 1024 {
        pairs.map(digest).collect()
    } else {
        let pairs: Vec<_> = pairs.collect();
        parallel::run(|| pairs.into_par_iter().map(digest).collect())
    };

    let table = encoder.begin_parts(Collection::Tuple, 2)?;
    let list = encoder.begin_parts(Collection::List, columns.len())?;
    for (field, digest) in schema.fields().iter().zip(digests) {
        let digest = digest.inspect_err(|_| encoder.locate(Segment::Name(field.name().clone())))?;
        let parts = encoder.begin_parts(Collection::Tuple, 3)?;
        encoder.str(field.name());
        encoder.bool(field.is_nullable());
        encode_digest(encoder, field, &digest)?;
        encoder.end(parts)?;
    }
    encoder.end(list)?;
    encoder.uint128(rows as u128);
    encoder.end(table)
}

/// Encodes one column that is cut into `chunks`. A column of an Arrow extension type is `62` named `arrow.extension`
/// around `(name, metadata, column)`.
///
/// # Errors
/// As [`column_digest`].
pub fn encode_column(encoder: &mut KeyEncoder, field: &Field, chunks: &[ArrayRef]) -> Result<()> {
    let digest = column_digest(chunks, field.data_type())?;
    encode_digest(encoder, field, &digest)
}

fn encode_digest(encoder: &mut KeyEncoder, field: &Field, digest: &[u8; 32]) -> Result<()> {
    let Some(name) = field.extension_type_name() else {
        encoder.column(digest);
        return Ok(());
    };
    encoder.begin_named("arrow.extension")?;
    let extension = encoder.begin_parts(Collection::Tuple, 3)?;
    encoder.str(name);
    match field.extension_type_metadata() {
        Some(metadata) => encoder.str(metadata),
        None => encoder.none(),
    }
    encoder.column(digest);
    encoder.end(extension)?;
    encoder.end_named();
    Ok(())
}
