//! How Arrow arrays and record batches are encoded.

use arrow::array::types::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, ByteArrayType, ByteViewType, RunEndIndexType,
};
use arrow::array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, FixedSizeBinaryArray, FixedSizeListArray, GenericByteArray,
    GenericByteViewArray, GenericListArray, MapArray, NullArray, OffsetSizeTrait, PrimitiveArray, RecordBatch, RunArray,
    StructArray, make_array,
};
use arrow::datatypes::Field;

use crate::error::Result;
use crate::key::{Collection, KeyEncoder, Segment, ToKey, column_digest};

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
        let table = encoder.begin_parts(Collection::Tuple, 2)?;
        let columns = encoder.begin_parts(Collection::List, self.num_columns())?;
        for (field, column) in self.schema_ref().fields().iter().zip(self.columns()) {
            encode_field_column(encoder, field, std::slice::from_ref(column))
                .inspect_err(|_| encoder.locate(Segment::Name(field.name().clone())))?;
        }
        encoder.end(columns)?;
        encoder.uint128(self.num_rows() as u128);
        encoder.end(table)?;
        encoder.end_named();
        Ok(())
    }
}

/// Encodes one column of a table: the tuple `(name, nullable, column)`. A column of an Arrow extension type is `62` named
/// `arrow.extension` around `(name, metadata, column)`.
pub fn encode_field_column(encoder: &mut KeyEncoder, field: &Field, chunks: &[ArrayRef]) -> Result<()> {
    let digest = column_digest(chunks, field.data_type())?;
    let parts = encoder.begin_parts(Collection::Tuple, 3)?;
    encoder.str(field.name());
    encoder.bool(field.is_nullable());
    match field.extension_type_name() {
        None => encoder.column(&digest),
        Some(name) => {
            encoder.begin_named("arrow.extension")?;
            let extension = encoder.begin_parts(Collection::Tuple, 3)?;
            encoder.str(name);
            match field.extension_type_metadata() {
                Some(metadata) => encoder.str(metadata),
                None => encoder.none(),
            }
            encoder.column(&digest);
            encoder.end(extension)?;
            encoder.end_named();
        }
    }
    encoder.end(parts)
}

