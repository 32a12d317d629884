//! Management of existing entries: the methods of `cacheness.Cache` besides `put` and `get`.

use cacheness_core::entry::EntrySummary;
use cacheness_core::store::EntryKey;
use cacheness_core::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyString};

use crate::cache::PyCache;
use crate::errors::{IntoPyResult, to_py};
use crate::keys;
use crate::kwargs::{Call, Method};

/// How many entries are removed between two checks for signals.
const PAGE: usize = 1000;

/// Removes the entries of these keywords, each a dictionary as for `invalidate`; returns the number of removed entries.
#[pyfunction]
#[pyo3(signature = (cache, kwargs_list, /))]
fn delete_batch(py: Python<'_>, cache: &PyCache, kwargs_list: &Bound<'_, PyAny>) -> PyResult<u64> {
    let engine = cache.engine()?;
    let config = &engine.store().config().serialization;
    let mut keys = Vec::new();
    for kwargs in kwargs_list.try_iter()? {
        let given = kwargs?;
        let kwargs = PyDict::new(py);
        kwargs.update(given.cast::<PyMapping>()?)?;
        keys.push(Call::new(py, Some(&kwargs), Method::Other)?.key(config)?);
    }
    let mut removed = 0;
    for part in keys.chunks(PAGE) {
        removed += py.detach(|| engine.invalidate_batch(part)).into_py_result()?;
        py.check_signals()?;
    }
    Ok(removed)
}

/// A key, whether there is a value, and the value; or the key, `None`, and the error.
type Looked<'py> = (String, Option<bool>, Option<Bound<'py, PyAny>>);

/// The results of `get` with each of these keywords, looked up together.
#[pyfunction]
#[pyo3(signature = (cache, kwargs_list, /))]
fn get_batch<'py>(py: Python<'py>, cache: &PyCache, kwargs_list: &Bound<'py, PyAny>) -> PyResult<Vec<Looked<'py>>> {
    let mut calls = Vec::new();
    for kwargs in kwargs_list.try_iter()? {
        let given = kwargs?;
        let kwargs = PyDict::new(py);
        kwargs.update(given.cast::<PyMapping>()?)?;
        calls.push(Call::new(py, Some(&kwargs), Method::Get)?);
    }
    let found = cache.read_batch(py, &calls)?;
    let found = found.into_iter().map(|(key, found)| match found {
        Ok(value) => (key, Some(value.is_some()), value),
        Err(error) => (key, None, Some(error.into_value(py).into_bound(py).into_any())),
    });
    Ok(found.collect())
}

/// The keys of all pinned entries, in ascending order.
#[pyfunction]
#[pyo3(signature = (cache, /))]
fn pinned(py: Python<'_>, cache: &PyCache) -> PyResult<Vec<String>> {
    let engine = cache.engine()?;
    py.detach(|| engine.pinned()).into_py_result()
}

/// Counts of this process's connections to the server of the metadata backend; empty if it has no server.
#[pyfunction]
#[pyo3(signature = (cache, /))]
fn pool_stats<'py>(py: Python<'py>, cache: &PyCache) -> PyResult<Bound<'py, PyDict>> {
    let counts = PyDict::new(py);
    if let Some(stats) = cache.engine()?.store().metadata().pool_stats() {
        counts.set_item("pool_size", stats.pool_size)?;
        counts.set_item("max_overflow", stats.max_overflow)?;
        counts.set_item("open", stats.open)?;
        counts.set_item("in_use", stats.in_use)?;
        counts.set_item("idle", stats.idle)?;
        counts.set_item("overflow", stats.open.saturating_sub(stats.pool_size))?;
        counts.set_item("opened", stats.opened)?;
        counts.set_item("waits", stats.waits)?;
    }
    Ok(counts)
}

/// Pins or unpins an entry; `False` if it does not exist.
#[pyfunction]
#[pyo3(signature = (cache, pinned, /, **params))]
fn set_pinned(py: Python<'_>, cache: &PyCache, pinned: bool, params: Option<&Bound<'_, PyDict>>) -> PyResult<bool> {
    let engine = cache.engine()?;
    let key = Call::new(py, params, Method::Keyed)?.key(&engine.store().config().serialization)?;
    py.detach(|| engine.set_pinned(&key, pinned)).into_py_result()
}

/// Restarts the time to live of an entry; `False` if it does not exist.
#[pyfunction]
#[pyo3(signature = (cache, /, **params))]
fn touch(py: Python<'_>, cache: &PyCache, params: Option<&Bound<'_, PyDict>>) -> PyResult<bool> {
    let engine = cache.engine()?;
    let call = Call::new(py, params, Method::Keyed)?;
    let key = call.key(&engine.store().config().serialization)?;
    let ttl = call.ttl()?;
    py.detach(|| engine.touch(&key, ttl)).into_py_result()
}

/// Replaces the value of an entry and keeps its description and metadata; `False` if it does not exist.
#[pyfunction]
#[pyo3(signature = (cache, data, /, **params))]
fn update_data<'py>(
    py: Python<'py>,
    cache: &PyCache,
    data: &Bound<'py, PyAny>,
    params: Option<&Bound<'py, PyDict>>,
) -> PyResult<bool> {
    let engine = cache.engine()?;
    let call = Call::new(py, params, Method::Keyed)?;
    let key = call.key(&engine.store().config().serialization)?;
    let ttl = call.ttl()?;
    let Some((key, attributes)) = py.detach(|| engine.replacing(key, ttl)).into_py_result()? else { return Ok(false) };
    cache.values()?.encode(py, data, engine.store(), |py, encoded| {
        py.detach(|| engine.put(&key, encoded, attributes)).into_py_result().map(drop)
    })?;
    Ok(true)
}

/// Removes the entries whose parameters have `function` as their `__function__`, and returns how many.
#[pyfunction]
fn clear_function(py: Python<'_>, cache: &PyCache, function: &Bound<'_, PyString>) -> PyResult<u64> {
    let engine = cache.engine()?;
    if !engine.store().config().store_cache_key_params {
        return Err(to_py(
            Error::new(
                ErrorKind::InvalidInput,
                "the cache does not store parameters, which name the function of an entry",
            )
            .with_hint("open it with store_cache_key_params, or clear the entries of single arguments"),
        ));
    }
    let name = function.to_str()?;
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    // The encoding contains the name unchanged; the place of the name is checked below.
    let visit = |summary: EntrySummary| {
        if let Some(params) = summary.entry.params
            && params.windows(name.len().max(1)).any(|part| part == name.as_bytes())
        {
            found.push((summary.entry.key, params));
        }
        Ok(())
    };
    py.detach(|| engine.for_each(visit)).into_py_result()?;
    let mut removed = 0;
    for (key, params) in found {
        let params = keys::render_params(py, &params)?;
        let of = params.cast::<PyDict>().ok().map(|params| params.get_item("__function__")).transpose()?.flatten();
        if of.is_some_and(|of| of.eq(function).unwrap_or(false)) {
            let key = EntryKey::from_name(key).into_py_result()?;
            removed += u64::from(py.detach(|| engine.invalidate(&key)).into_py_result()?);
        }
    }
    Ok(removed)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(delete_batch, m)?)?;
    m.add_function(wrap_pyfunction!(get_batch, m)?)?;
    m.add_function(wrap_pyfunction!(pinned, m)?)?;
    m.add_function(wrap_pyfunction!(pool_stats, m)?)?;
    m.add_function(wrap_pyfunction!(set_pinned, m)?)?;
    m.add_function(wrap_pyfunction!(touch, m)?)?;
    m.add_function(wrap_pyfunction!(update_data, m)?)?;
    m.add_function(wrap_pyfunction!(clear_function, m)?)
}
