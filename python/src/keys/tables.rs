//! Arrow columns and tables, through the Arrow C interfaces.

use std::sync::Arc;

use arrow::array::{ArrayRef, LargeStringBuilder};
use arrow::datatypes::{DataType, Field};
use cacheness_core::{Error, ErrorKind, key};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};
use pyo3_arrow::input::{AnyArray, AnyRecordBatch};

use super::walk::{Outcome, Walker};

impl<'py> Walker<'py> {
    /// A Series, Array or ChunkedArray of any library that exports Arrow.
    pub(super) fn column(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let column = value.extract::<AnyArray>().map_err(refused)?;
        let (chunks, field) = column.into_chunked_array().map_err(|error| refused(error.into()))?.into_inner();
        let encoder = &mut self.encoder;
        self.py.detach(|| key::encode_column(encoder, &field, &chunks))?;
        Ok(())
    }

    /// A table or record batch of any library that exports Arrow.
    pub(super) fn table(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let table = value.extract::<AnyRecordBatch>().map_err(refused)?;
        let (batches, schema) = table.into_table().map_err(|error| refused(error.into()))?.into_inner();
        let encoder = &mut self.encoder;
        self.py.detach(|| key::encode_table(encoder, &schema, &batches))?;
        Ok(())
    }

    /// A list of strings and `None` as the column that Arrow would make of it.
    pub(super) fn text_column(&mut self, items: &Bound<'py, PyList>) -> Outcome {
        let mut builder = LargeStringBuilder::new();
        for item in items.iter() {
            if item.is_none() {
                builder.append_null();
            } else {
                builder.append_value(super::walk::utf8(item.cast::<PyString>()?)?);
            }
        }
        let column: ArrayRef = Arc::new(builder.finish());
        let encoder = &mut self.encoder;
        let field = Field::new("", DataType::LargeUtf8, true);
        self.py.detach(|| key::encode_column(encoder, &field, &[column]))?;
        Ok(())
    }
}

/// What the Arrow interfaces do not carry: a type that one side does not know, a malformed buffer.
fn refused(error: PyErr) -> Error {
    Error::new(ErrorKind::KeyEncoding, "the columns cannot be read through the Arrow interface")
        .with_hint("cast the columns to types that Arrow knows, or pass cache_key=…")
        .with_source(error)
}
