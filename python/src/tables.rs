//! Tables: pandas, Polars and Arrow objects to and from the formats of `cacheness_core::formats::table`.
//!
//! `cacheness._tables` handles the Python side (indexes, dtypes, attributes). This module transfers Arrow data without
//! copying it, and releases the GIL while encoding and decoding.

mod check;
mod column;
mod described;
mod strings;
#[cfg(feature = "testing")]
mod testing;
mod texts;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StructArray};
use arrow::datatypes::{Field, SchemaRef};
use arrow::ffi::FFI_ArrowSchema;
use cacheness_core::config::{CompressionConfig, TableFormat};
use cacheness_core::formats::table::{self, TableOptions};
use cacheness_core::payload::{Encoded, Stored};
use cacheness_core::{Error, ErrorKind};
use column::Column;
use parking_lot::Mutex;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use pyo3_arrow::PySchema;
use pyo3_arrow::ffi::{ArrayIterator, to_stream_pycapsule};
use pyo3_arrow::input::AnyRecordBatch;

use crate::errors::IntoPyResult;

#[cfg(feature = "testing")]
pub(crate) use testing::register as register_testing;

/// The Python module that knows pandas, Polars and PyArrow.
const MODULE: &str = "cacheness._tables";

/// Encodes a pandas, Polars or Arrow object; `None` if its handlers cannot restore it unchanged. `refused` then has the
/// reason, unless the value is simply not a table.
pub(crate) fn encode(
    value: &Bound<'_, PyAny>,
    config: &CompressionConfig,
    refused: &mut Option<PyErr>,
) -> PyResult<Option<Encoded<'static>>> {
    let py = value.py();
    let encoded = match describe(value) {
        Ok(None) => return Ok(None),
        Ok(Some(described)) => encode_described(py, described, config),
        Err(error) => Err(error),
    };
    match encoded {
        Ok(encoded) => Ok(Some(encoded)),
        Err(error) if is_refusal(py, &error)? => {
            log::debug!("{error}");
            *refused = Some(error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn describe<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Described>> {
    let py: Python<'py> = value.py();
    let described = py.import(MODULE)?.call_method1(intern!(py, "encode"), (value,))?;
    if described.is_none() { Ok(None) } else { described.extract().map(Some) }
}

fn encode_described(py: Python<'_>, described: Described, config: &CompressionConfig) -> PyResult<Encoded<'static>> {
    let Described { stream, description, handler, data_type, object_type, by_value, arrow_only } = described;
    let options = TableOptions {
        handler: known(&handler),
        data_type: known(&data_type),
        object_type: object_type.into(),
        description: Some(description.into()),
        dictionaries_by_value: by_value && !arrow_only,
        nullability_by_value: by_value,
    };
    let config = match arrow_only {
        true => CompressionConfig { dataframe_format: TableFormat::Arrow, ..config.clone() },
        false => config.clone(),
    };
    let (schema, batches) = import(stream.bind(py))?;
    // Polars inspects the value.
    let trusted = options.handler.starts_with("polars");
    let encoded = py.detach(|| {
        if !trusted {
            check::batches(&batches)?;
        }
        table::encode(&schema, batches, &config, &options)
    });
    encoded.map_err(|error| match error.kind() {
        ErrorKind::Serialization => unsupported(crate::errors::to_py(error)),
        _ => crate::errors::to_py(error),
    })
}

/// Whether an error means that another handler should store the table.
fn is_refusal(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    let class = py.import(intern!(py, "cacheness._labels"))?.getattr(intern!(py, "Unsupported"))?;
    Ok(error.is_instance(py, &class))
}

/// Decodes a result of [`encode`], or record batches that Rust wrote. The caller owns the result.
pub(crate) fn decode(py: Python<'_>, stored: Stored) -> PyResult<Py<PyAny>> {
    let object_type = stored.format().object_type.to_string();
    let table =
        py.detach(|| table::decode_with_dictionaries(stored, described::columns_of_objects)).into_py_result()?;
    rebuild(py, table, &object_type)
}

/// Maps an Arrow file instead of reading it; `None` if the payload is not an Arrow file. The result is read-only.
pub(crate) fn decode_mmap(py: Python<'_>, stored: &Stored) -> PyResult<Option<Py<PyAny>>> {
    let object_type = stored.format().object_type.to_string();
    match py.detach(|| table::decode_mmap(stored)).into_py_result()? {
        Some(table) => rebuild(py, table, &object_type).map(Some),
        None => Ok(None),
    }
}

fn rebuild(py: Python<'_>, decoded: table::Table, object_type: &str) -> PyResult<Py<PyAny>> {
    if !is_exportable(&decoded.schema) {
        let error =
            Error::new(ErrorKind::Serialization, "the table has a name with a NUL, which cannot be passed to Python");
        return Err(crate::errors::to_py(error));
    }
    let table = Bound::new(py, Table::new(decoded))?;
    Ok(py.import(MODULE)?.call_method1(intern!(py, "decode"), (table, object_type))?.unbind())
}

/// Whether the schema can pass through the Arrow C interface, whose names are C strings. Arrow panics for some that
/// cannot, and a panic in a callback from C would abort the process.
fn is_exportable(schema: &SchemaRef) -> bool {
    let schema = std::panic::AssertUnwindSafe(schema);
    std::panic::catch_unwind(|| FFI_ArrowSchema::try_from(schema.as_ref()).is_ok()).unwrap_or(false)
}

/// The result of `cacheness._tables.encode`.
#[derive(FromPyObject)]
struct Described {
    stream: Py<PyAny>,
    description: String,
    handler: String,
    data_type: String,
    object_type: String,
    by_value: bool,
    arrow_only: bool,
}

fn known(name: &str) -> cacheness_core::entry::Name {
    const KNOWN: [&str; 8] = [
        "pandas_dataframes",
        "pandas_series",
        "polars_dataframes",
        "polars_series",
        "arrow_tables",
        "dataframe",
        "series",
        "table",
    ];
    match KNOWN.iter().find(|known| **known == name) {
        Some(known) => (*known).into(),
        None => name.to_owned().into(),
    }
}

/// The schema and batches of an object with the Arrow C interface. Arrow data is shared, not copied.
fn import(stream: &Bound<'_, PyAny>) -> PyResult<(SchemaRef, Vec<RecordBatch>)> {
    let reader = stream.extract::<AnyRecordBatch>().and_then(AnyRecordBatch::into_reader).map_err(unsupported)?;
    let py = stream.py();
    py.detach(|| {
        let schema = reader.schema();
        let batches = reader.collect::<Result<Vec<_>, _>>();
        batches.map(|batches| (schema, batches)).map_err(|error| unsupported(PyValueError::new_err(error.to_string())))
    })
}

/// Whether an exception counts as a refusal by [`encode`].
fn unsupported(error: PyErr) -> PyErr {
    Python::attach(|py| {
        let refusal = py
            .import("cacheness._labels")
            .and_then(|labels| labels.getattr("Unsupported")?.call1((error.value(py).to_string(),)));
        match refusal {
            Ok(refusal) => {
                let refusal = PyErr::from_value(refusal);
                refusal.set_cause(py, Some(error));
                refusal
            }
            Err(other) => other,
        }
    })
}

/// Adds the reason why no table handler accepted the value to `error`.
pub(crate) fn because(py: Python<'_>, error: PyErr, refused: Option<PyErr>) -> PyErr {
    let Some(refused) = refused else { return error };
    let mut last = error.clone_ref(py);
    while let Some(cause) = last.cause(py) {
        last = cause;
    }
    last.set_cause(py, Some(refused));
    error
}

/// A table passed to or from Python, with the Arrow C stream interface.
///
/// Columns can be taken out one by one; the stream has the remaining ones.
#[pyclass(module = "cacheness._core", frozen)]
pub(crate) struct Table {
    schema: SchemaRef,
    description: Option<String>,
    num_rows: usize,
    /// `None` once its columns have been taken.
    columns: Mutex<Option<Vec<Vec<ArrayRef>>>>,
    batches: Mutex<Vec<RecordBatch>>,
}

impl Table {
    pub(crate) fn new(table: table::Table) -> Self {
        Self {
            num_rows: table.num_rows(),
            schema: table.schema,
            description: table.description,
            columns: Mutex::new(None),
            batches: Mutex::new(table.batches),
        }
    }
}

#[pymethods]
impl Table {
    /// A table without rows of the schema of `source`, an Arrow schema or a stream: shows whether its types survive.
    #[staticmethod]
    fn empty_like(source: &Bound<'_, PyAny>) -> PyResult<Self> {
        let schema = match source.hasattr(intern!(source.py(), "__arrow_c_schema__"))? {
            true => source.extract::<PySchema>()?.into_inner(),
            // The batches are not read: Polars exports malformed ones without rows for some types.
            false => source.extract::<AnyRecordBatch>()?.into_reader()?.schema(),
        };
        Ok(Self::new(table::Table { schema, batches: Vec::new(), description: None }))
    }

    /// The stored description of the table, or `None`.
    #[getter]
    fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Rows.
    #[getter]
    fn num_rows(&self) -> usize {
        self.num_rows
    }

    /// Columns.
    #[getter]
    fn num_columns(&self) -> usize {
        self.schema.fields().len()
    }

    /// Takes out column `index`: the caller then owns its memory alone. After this the table exports no stream.
    fn take(&self, index: usize) -> PyResult<Column> {
        let mut columns = self.columns.lock();
        let columns = columns.get_or_insert_with(|| {
            let mut columns: Vec<Vec<ArrayRef>> = self.schema.fields().iter().map(|_| Vec::new()).collect();
            for batch in std::mem::take(&mut *self.batches.lock()) {
                for (chunks, array) in columns.iter_mut().zip(batch.into_parts().1) {
                    chunks.push(array);
                }
            }
            columns
        });
        let chunks = columns.get_mut(index).ok_or_else(|| PyIndexError::new_err("no such column"))?;
        Ok(Column::new(Arc::clone(&self.schema.fields()[index]), std::mem::take(chunks)))
    }

    /// The Arrow C stream of all rows.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        if self.columns.lock().is_some() {
            return Err(PyValueError::new_err("columns have been taken out of this table"));
        }
        let batches = self.batches.lock().clone();
        let arrays = batches.into_iter().map(|batch| Ok(Arc::new(StructArray::from(batch)) as ArrayRef));
        let field =
            Field::new_struct("", self.schema.fields().clone(), false).with_metadata(self.schema.metadata().clone());
        Ok(to_stream_pycapsule(py, Box::new(ArrayIterator::new(arrays, field.into())), requested_schema)?)
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Table>()?;
    m.add_class::<Column>()?;
    Ok(())
}
