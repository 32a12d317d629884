//! Rows as Arrow record batches.

use std::sync::Arc;

use arrow::array::builder::{
    ArrayBuilder, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, NullBuilder, StringBuilder,
};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, RecordBatchReader};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use cacheness_core::backend::{SqlColumn, SqlRows, SqlType, SqlValue};
use cacheness_core::{Error, ErrorKind, Result};

use super::QueryRows;
use super::row::exact;

/// A batch ends with the row that reaches this many bytes of texts and blobs, whose offsets have 32 bits.
const BATCH_BYTES: usize = 64 << 20;

/// The rows of a query as record batches, which are made one at a time.
#[derive(Debug)]
pub struct QueryBatches {
    schema: SchemaRef,
    rows: SqlRows,
    /// The maximum number of rows of a batch.
    size: usize,
}

impl QueryRows {
    /// The rows as record batches of at most `size` rows each. The type of a column is that of all its values: `Int64`,
    /// `Float64` (also for integers among floating-point numbers), `Utf8`, `Binary`, `Boolean`, or `Null`.
    ///
    /// # Errors
    /// `InvalidInput` for a column whose values have several types.
    pub fn into_batches(self, size: usize) -> Result<QueryBatches> {
        let rows = self.into_values();
        let fields = rows.columns().iter().map(|column| Ok(Field::new(&column.name, data_type(column)?, true)));
        let schema = Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?));
        Ok(QueryBatches { schema, rows, size: size.max(1) })
    }
}

fn data_type(column: &SqlColumn) -> Result<DataType> {
    let types: Vec<SqlType> = column.types().collect();
    Ok(match types[..] {
        [] => DataType::Null,
        [SqlType::Bool] => DataType::Boolean,
        [SqlType::Int] => DataType::Int64,
        [SqlType::Float] | [SqlType::Int, SqlType::Float] => DataType::Float64,
        [SqlType::Text] => DataType::Utf8,
        [SqlType::Bytes] => DataType::Binary,
        _ => {
            let what = format!("the column {} has values of several types: {types:?}", column.name);
            return Err(Error::new(ErrorKind::InvalidInput, what).with_hint("give it one type: CAST(… AS TEXT)"));
        }
    })
}

/// Builds a column.
enum Column {
    Null(NullBuilder),
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
}

impl Column {
    fn new(kind: &DataType) -> Self {
        match kind {
            DataType::Boolean => Self::Bool(BooleanBuilder::new()),
            DataType::Int64 => Self::Int(Int64Builder::new()),
            DataType::Float64 => Self::Float(Float64Builder::new()),
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Binary => Self::Bytes(BinaryBuilder::new()),
            _ => Self::Null(NullBuilder::new()),
        }
    }

    /// Adds a value; returns its bytes, if it is a text or a blob. A value of another type is `NULL`: there is none.
    fn push(&mut self, value: SqlValue, name: &str) -> Result<usize> {
        match (self, value) {
            (Self::Null(column), _) => column.append_null(),
            (Self::Bool(column), SqlValue::Bool(value)) => column.append_value(value),
            (Self::Int(column), SqlValue::Int(value)) => column.append_value(value),
            (Self::Float(column), SqlValue::Float(value)) => column.append_value(value),
            (Self::Float(column), SqlValue::Int(value)) => column.append_value(exact(value).ok_or_else(|| {
                let what = format!("the column {name} has floating-point numbers, and {value}, which none of them is");
                Error::new(ErrorKind::InvalidInput, what).with_hint("give it one type: CAST(… AS REAL)")
            })?),
            (Self::Text(column), SqlValue::Text(value)) => {
                column.append_value(&value);
                return Ok(value.len());
            }
            (Self::Bytes(column), SqlValue::Bytes(value)) => {
                column.append_value(&value);
                return Ok(value.len());
            }
            (column, _) => column.append_null(),
        }
        Ok(0)
    }

    fn append_null(&mut self) {
        match self {
            Self::Null(column) => column.append_null(),
            Self::Bool(column) => column.append_null(),
            Self::Int(column) => column.append_null(),
            Self::Float(column) => column.append_null(),
            Self::Text(column) => column.append_null(),
            Self::Bytes(column) => column.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Null(column) => ArrayBuilder::finish(column),
            Self::Bool(column) => ArrayBuilder::finish(column),
            Self::Int(column) => ArrayBuilder::finish(column),
            Self::Float(column) => ArrayBuilder::finish(column),
            Self::Text(column) => ArrayBuilder::finish(column),
            Self::Bytes(column) => ArrayBuilder::finish(column),
        }
    }
}

impl QueryBatches {
    fn batch(&mut self) -> Result<RecordBatch> {
        let fields = self.schema.fields();
        let mut columns: Vec<Column> = fields.iter().map(|field| Column::new(field.data_type())).collect();
        let (mut count, mut bytes) = (0, 0);
        while count < self.size && bytes < BATCH_BYTES {
            let Some(row) = self.rows.next() else { break };
            for ((column, field), value) in columns.iter_mut().zip(fields).zip(row?) {
                bytes += column.push(value, field.name())?;
            }
            count += 1;
        }
        let arrays = columns.iter_mut().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(|e| Error::new(ErrorKind::Serialization, "the rows of a query form no table").with_source(e))
    }
}

impl Iterator for QueryBatches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.rows.left() > 0).then(|| self.batch().map_err(|error| ArrowError::ExternalError(Box::new(error))))
    }
}

impl RecordBatchReader for QueryBatches {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
