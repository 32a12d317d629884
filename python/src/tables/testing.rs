//! The codec without a store, for the package's own tests.

use cacheness_core::config::CompressionConfig;
use cacheness_core::entry::Format;
use cacheness_core::payload::{Encoded, Stored};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::{decode, encode};
use crate::errors::IntoPyResult;

/// Encodes a table: a dictionary that describes it, and the payload; `None` where it is not
/// for the table handlers.
#[pyfunction]
#[pyo3(signature = (value, config_json = None))]
fn table_dumps<'py>(
    value: &Bound<'py, PyAny>,
    config_json: Option<&str>,
) -> PyResult<Option<(Bound<'py, PyDict>, Bound<'py, PyBytes>)>> {
    let py = value.py();
    let config: CompressionConfig = match config_json {
        Some(text) => serde_json::from_str(text).map_err(|e| PyValueError::new_err(e.to_string()))?,
        None => CompressionConfig::default(),
    };
    let Some(Encoded { format, extension, payload }) = encode(value, &config, &mut None)? else { return Ok(None) };
    let bytes = py.detach(|| payload.into_bytes()).into_py_result()?;
    let meta = PyDict::new(py);
    meta.set_item("handler", format.handler.as_ref())?;
    meta.set_item("data_type", format.data_type.as_ref())?;
    meta.set_item("storage_format", format.storage_format.as_ref())?;
    meta.set_item("compression", format.compression.as_ref())?;
    meta.set_item("object_type", format.object_type.as_ref())?;
    meta.set_item("extension", extension.as_ref())?;
    Ok(Some((meta, PyBytes::new(py, &bytes))))
}

/// Decodes what [`table_dumps`] returned.
#[pyfunction]
fn table_loads(py: Python<'_>, meta: &Bound<'_, PyDict>, payload: Vec<u8>) -> PyResult<Py<PyAny>> {
    let field = |name: &str| -> PyResult<cacheness_core::entry::Name> {
        let value = meta.get_item(name)?.ok_or_else(|| PyValueError::new_err(format!("{name} is missing")))?;
        Ok(value.extract::<String>()?.into())
    };
    let format = Format {
        handler: field("handler")?,
        data_type: field("data_type")?,
        storage_format: field("storage_format")?,
        compression: field("compression")?,
        object_type: field("object_type")?,
        handler_meta: Vec::new(),
        raw_size: None,
    };
    decode(py, Stored::from_bytes(format, payload))
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(table_dumps, m)?)?;
    m.add_function(wrap_pyfunction!(table_loads, m)?)
}
