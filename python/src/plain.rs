//! Plain values: Python objects to MessagePack with exact types and back, as `docs/formats/plain.md` specifies.

mod dump;
mod ffi;
mod json;
mod load;
mod metadata;
mod names;
mod numpy;
mod types;

use pyo3::prelude::*;
#[cfg(feature = "testing")]
use pyo3::types::PyBytes;
use pyo3::types::PyDict;

pub(crate) use dump::dump;
pub(crate) use json::untagged;
pub(crate) use load::load;
pub(crate) use metadata::{json_to_metadata, metadata_to_json};
pub(crate) use names::name;

/// For the package's own tests: the encoding of a plain value, or `None` if it is not plain.
#[cfg(feature = "testing")]
#[pyfunction]
fn plain_dumps<'py>(py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let mut out = Vec::with_capacity(256);
    Ok(dump(value, &mut out)?.then(|| PyBytes::new(py, &out)))
}

/// For the package's own tests: the value of an encoding.
#[cfg(feature = "testing")]
#[pyfunction]
fn plain_loads<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    load(py, data)
}

/// The JSON text of metadata.
#[pyfunction]
fn metadata_dumps(metadata: &Bound<'_, PyDict>) -> PyResult<String> {
    metadata_to_json(metadata)
}

/// The metadata of a JSON text.
#[pyfunction]
fn metadata_loads<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    json_to_metadata(py, json)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(metadata_dumps, m)?)?;
    m.add_function(wrap_pyfunction!(metadata_loads, m)?)
}

#[cfg(feature = "testing")]
pub(crate) fn register_testing(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(plain_dumps, m)?)?;
    m.add_function(wrap_pyfunction!(plain_loads, m)?)
}
