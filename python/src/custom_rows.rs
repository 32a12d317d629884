//! Rows of typed metadata, as `cacheness._custom_rows` prepares them for a put.

use cacheness_core::backend::{CustomRow, CustomRows};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyInt, PyList, PyString};

use cacheness_core::formats::plain::Value;

/// Rows on their way into the store.
pub(crate) struct Prepared<'py> {
    /// The object of `cacheness._custom_rows` that has made them.
    maker: Bound<'py, PyAny>,
    pub(crate) rows: CustomRows,
}

/// A table, the column of the entry's key, columns and values, and columns that refer to earlier rows.
type Given<'py> = (String, Option<String>, Vec<(String, Bound<'py, PyAny>)>, Vec<(String, usize)>);

fn value(given: &Bound<'_, PyAny>) -> PyResult<Value> {
    Ok(if given.is_none() {
        Value::None
    } else if let Ok(text) = given.cast::<PyString>() {
        Value::Str(text.to_str()?.to_owned())
    } else if given.is_instance_of::<PyInt>() {
        Value::Int(given.extract()?)
    } else if let Ok(number) = given.cast::<PyFloat>() {
        Value::Float(number.value())
    } else if let Ok(bytes) = given.cast::<PyBytes>() {
        Value::Bytes(bytes.as_bytes().to_vec())
    } else {
        let class = given.get_type().name()?;
        return Err(PyTypeError::new_err(format!("SQLite keeps no value of type {class}")));
    })
}

impl<'py> Prepared<'py> {
    /// Prepares the objects that were passed to a put of a cache or a store.
    pub(crate) fn new(owner: &Bound<'py, PyAny>, custom: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = owner.py();
        let module = py.import(intern!(py, "cacheness._custom_rows"))?;
        let maker = module.getattr(intern!(py, "prepare"))?.call1((owner, custom))?;
        let list = maker.getattr(intern!(py, "rows"))?.cast_into::<PyList>()?;
        let rows = list.iter().map(|given| {
            let (table, owner, values, references) = given.extract::<Given<'_>>()?;
            let values = values.into_iter().map(|(column, given)| Ok((column, value(&given)?)));
            let row = CustomRow::new(table, owner.as_deref(), values.collect::<PyResult<_>>()?);
            Ok(references.into_iter().fold(row, |row, (column, other)| row.with_reference(column, other)))
        });
        let rows = CustomRows::new(rows.collect::<PyResult<_>>()?);
        Ok(Self { maker, rows })
    }

    /// Tells the objects that they are stored, or makes the error that says why they are not.
    pub(crate) fn finish(&self, put: PyResult<String>) -> PyResult<String> {
        let py = self.maker.py();
        match put {
            Ok(key) => {
                self.maker.call_method1(intern!(py, "stored"), (&key, self.rows.ids().to_vec()))?;
                Ok(key)
            }
            Err(error) => {
                let error = self.maker.call_method1(intern!(py, "refused"), (error.into_value(py),))?;
                Err(PyErr::from_value(error))
            }
        }
    }
}
