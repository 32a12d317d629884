//! The built-in handlers without a store: which of them accepts a value, and payloads without an entry.

use std::sync::Arc;

use cacheness_core::backends::{MemoryBlobs, MemoryMetadata};
use cacheness_core::clock::Clock;
use cacheness_core::entry::{Format, Name};
use cacheness_core::payload::Stored;
use cacheness_core::store::Store;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::IntoPyResult;
use crate::opened::parse_config;
use crate::values::{Reading, Values};

/// How to read a payload: handler, kind of value, storage format, codec, type of the value, metadata of the handler.
type Description = (String, String, String, String, String, Vec<u8>);

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(encode_value, m)?)?;
    m.add_function(wrap_pyfunction!(decode_value, m)?)
}

/// Encodes a value with the first handler of `registry` that accepts it.
///
/// Returns its description, the extension of a file and, unless only the handler is requested, the payload.
#[pyfunction]
fn encode_value<'py>(
    py: Python<'py>,
    value: &Bound<'py, PyAny>,
    registry: Py<PyAny>,
    config: &str,
    payload: bool,
) -> PyResult<(Description, String, Option<Bound<'py, PyBytes>>)> {
    let config = parse_config(config)?.store;
    let values = Values::new(py, &config, registry)?;
    let store =
        Store::new(Box::new(MemoryMetadata::new()), Arc::new(MemoryBlobs::new()), None, config, Clock::system());
    values.encode(py, value, &store, |py, encoded| {
        let bytes = if payload {
            Some(PyBytes::new(py, &py.detach(|| encoded.payload.into_bytes()).into_py_result()?))
        } else {
            None
        };
        let Format { handler, data_type, storage_format, compression, object_type, handler_meta, .. } = encoded.format;
        let description = (
            handler.into_owned(),
            data_type.into_owned(),
            storage_format.into_owned(),
            compression.into_owned(),
            object_type.into_owned(),
            handler_meta,
        );
        Ok((description, encoded.extension.into_owned(), bytes))
    })
}

/// Decodes a payload of [`encode_value`]. It is not verified: a pickle runs code.
#[pyfunction]
fn decode_value<'py>(
    py: Python<'py>,
    description: Description,
    payload: Vec<u8>,
    registry: Py<PyAny>,
    config: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let config = parse_config(config)?.store;
    let values = Values::new(py, &config, registry)?;
    let (handler, data_type, storage_format, compression, object_type, handler_meta) = description;
    let format = Format {
        handler: Name::Owned(handler),
        data_type: Name::Owned(data_type),
        storage_format: Name::Owned(storage_format),
        compression: Name::Owned(compression),
        object_type: Name::Owned(object_type),
        handler_meta,
        raw_size: None,
    };
    values.decode(py, Stored::from_bytes(format, payload), Reading::Own)
}
