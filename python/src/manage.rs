//! Changing entries that are there: what `cacheness.Cache` offers besides `put` and `get`.

use cacheness_core::cache::CacheAttributes;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::engine::PyCache;
use crate::errors::IntoPyResult;
use crate::kwargs::{Call, Method};

/// The keys of all pinned entries, in ascending order.
#[pyfunction]
fn pinned(py: Python<'_>, cache: &PyCache) -> PyResult<Vec<String>> {
    let engine = cache.engine()?;
    py.detach(|| engine.pinned()).into_py_result()
}

/// Keeps an entry from being evicted, or no longer; `False` if there is none.
#[pyfunction]
#[pyo3(signature = (cache, pinned, /, **params))]
fn set_pinned(py: Python<'_>, cache: &PyCache, pinned: bool, params: Option<&Bound<'_, PyDict>>) -> PyResult<bool> {
    let engine = cache.engine()?;
    let key = Call::new(py, params, Method::Other)?.key(py, &engine.store().config().serialization)?;
    py.detach(|| engine.set_pinned(&key, pinned)).into_py_result()
}

/// Makes an entry as fresh as if it had just been put; `False` if there is none.
#[pyfunction]
#[pyo3(signature = (cache, /, **params))]
fn touch(py: Python<'_>, cache: &PyCache, params: Option<&Bound<'_, PyDict>>) -> PyResult<bool> {
    let engine = cache.engine()?;
    let call = Call::new(py, params, Method::Other)?;
    let key = call.key(py, &engine.store().config().serialization)?;
    let ttl = call.ttl()?;
    py.detach(|| engine.touch(&key, ttl)).into_py_result()
}

/// Replaces the value of an entry and keeps its description and metadata; `False` if there is none.
#[pyfunction]
#[pyo3(signature = (cache, data, /, **params))]
fn update_data<'py>(
    py: Python<'py>,
    cache: &PyCache,
    data: &Bound<'py, PyAny>,
    params: Option<&Bound<'py, PyDict>>,
) -> PyResult<bool> {
    let engine = cache.engine()?;
    let call = Call::new(py, params, Method::Other)?;
    let key = call.key(py, &engine.store().config().serialization)?;
    let ttl = call.ttl()?;
    let Some(former) = py.detach(|| engine.get_entry(&key, false)).into_py_result()? else { return Ok(false) };
    let attributes = CacheAttributes { description: former.entry.description, metadata: former.entry.metadata, ttl };
    cache.values()?.encode(py, data, engine.store(), |py, encoded| {
        py.detach(|| engine.put(&key, encoded, attributes)).into_py_result().map(drop)
    })?;
    Ok(true)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(pinned, m)?)?;
    m.add_function(wrap_pyfunction!(set_pinned, m)?)?;
    m.add_function(wrap_pyfunction!(touch, m)?)?;
    m.add_function(wrap_pyfunction!(update_data, m)?)
}
