//! Changing entries that are there: what `cacheness.Cache` offers besides `put` and `get`.

use cacheness_core::cache::{CacheEngine, Matches, Ttl};
use cacheness_core::entry::{EntrySummary, EntryVersion};
use cacheness_core::formats::plain::Value;
use cacheness_core::metadata::Position;
use cacheness_core::pattern::Pattern;
use cacheness_core::store::EntryKey;
use cacheness_core::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyString};

use crate::engine::PyCache;
use crate::entries::{self, Detail, Writer};
use crate::errors::{IntoPyResult, to_py};
use crate::kwargs::{Call, Method};
use crate::{keys, plain};

/// How many entries are looked at, or removed, between two looks for signals.
const PAGE: usize = 1000;
const REMOVED: usize = 6000;

/// Removes the entries that were chosen; returns how many. Asks `choose` again about those that have been touched or
/// replaced since. Leaves `chosen` empty.
fn remove(
    py: Python<'_>,
    engine: &CacheEngine,
    chosen: &mut Vec<EntryVersion>,
    mut choose: impl FnMut(&EntrySummary) -> PyResult<bool>,
) -> PyResult<u64> {
    let mut removed = 0;
    let mut again = Vec::new();
    loop {
        chosen.sort_unstable();
        // Also where nothing was chosen: a cache that is read-only says so.
        for part in chosen.chunks(REMOVED).chain(chosen.is_empty().then_some(&[][..])) {
            let removal = py.detach(|| engine.delete_batch(part)).into_py_result()?;
            removed += removal.count;
            for found in &removal.changed {
                if choose(found)? {
                    again.push(found.entry.version());
                }
            }
            py.check_signals()?;
        }
        *chosen = std::mem::take(&mut again);
        if chosen.is_empty() {
            return Ok(removed);
        }
    }
}

/// Removes the entries for which a function of their dictionary is true, once it has been asked about all of them.
#[pyfunction]
#[pyo3(signature = (cache, function, /))]
fn delete_where(py: Python<'_>, cache: &PyCache, function: &Bound<'_, PyAny>) -> PyResult<u64> {
    let engine = cache.engine()?;
    let mut writer = Writer::new(py, Detail::Full);
    let mut choose = |found: &EntrySummary| -> PyResult<bool> {
        function.call1((writer.entry(&found.entry, found.inline)?,))?.is_truthy()
    };
    let mut chosen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = py.detach(|| engine.page(after.as_deref(), PAGE)).into_py_result()?;
        py.check_signals()?;
        for found in &page {
            if choose(found)? {
                chosen.push(found.entry.version());
            }
        }
        if page.len() < PAGE {
            return remove(py, engine, &mut chosen, choose);
        }
        after = page.into_iter().last().map(|found| found.entry.key);
    }
}

/// The values as a pattern. One that is no plain value stays with Python.
fn pattern(values: &Bound<'_, PyDict>) -> PyResult<Pattern> {
    let mut pattern = Pattern::new();
    for (name, value) in values {
        let mut encoding = Vec::new();
        let plain = plain::dump(&value, &mut encoding)?;
        let value = plain.then(|| Value::decode(&encoding)).transpose().into_py_result()?;
        pattern = pattern.with(name.extract::<String>()?, value);
    }
    Ok(pattern)
}

/// Whether an entry has all these values, where only Python can compare them.
fn matches(
    py: Python<'_>,
    metadata: Option<&str>,
    encoding: Option<&[u8]>,
    values: &Bound<'_, PyDict>,
) -> PyResult<bool> {
    let metadata = entries::metadata(py, metadata)?;
    let mut params = None;
    for (name, value) in values {
        let mut found = metadata.cast::<PyDict>()?.get_item(&name)?;
        if found.is_none()
            && let Some(encoding) = encoding
        {
            let params = match &params {
                Some(params) => params,
                None => params.insert(keys::render_params(py, encoding)?),
            };
            found = params.cast::<PyDict>()?.get_item(&name)?;
        }
        let Some(found) = found else { return Ok(false) };
        if !found.eq(&value)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Looks for the entries that have all these values in their metadata, or, where it lacks the name, among their
/// parameters; hands them to `take` from time to time, who leaves nothing.
fn search(
    py: Python<'_>,
    engine: &CacheEngine,
    values: &Bound<'_, PyDict>,
    mut take: impl FnMut(&mut Vec<EntryVersion>) -> PyResult<()>,
) -> PyResult<()> {
    let pattern = pattern(values)?;
    let mut found = Matches::default();
    let mut next = Some(Position::Start);
    while let Some(from) = next {
        next = py.detach(|| engine.find_matching(&pattern, &from, &mut found)).into_py_result()?;
        py.check_signals()?;
        for entry in found.undecided.drain(..) {
            if matches(py, entry.metadata.as_deref(), entry.params.as_deref(), values)? {
                found.versions.push(entry.version);
            }
        }
        if found.are_many() || next.is_none() {
            take(&mut found.versions)?;
        }
    }
    Ok(())
}

/// Removes the entries that have all these values in their metadata, or, where it lacks the name, among their parameters.
#[pyfunction]
#[pyo3(signature = (cache, values, /))]
fn delete_matching(py: Python<'_>, cache: &PyCache, values: &Bound<'_, PyDict>) -> PyResult<u64> {
    let engine = cache.engine()?;
    let mut removed = 0;
    search(py, engine, values, |chosen| {
        removed += remove(py, engine, chosen, |EntrySummary { entry, .. }| {
            matches(py, entry.metadata.as_deref(), entry.params.as_deref(), values)
        })?;
        Ok(())
    })?;
    Ok(removed)
}

/// Makes the entries fresh that have all these values in their metadata, or, where it lacks the name, among their
/// parameters; returns how many had not expired.
#[pyfunction]
#[pyo3(signature = (cache, values, /))]
fn touch_matching(py: Python<'_>, cache: &PyCache, values: &Bound<'_, PyDict>) -> PyResult<u64> {
    let engine = cache.engine()?;
    let mut touched = 0;
    search(py, engine, values, |chosen| {
        for part in chosen.chunks(PAGE) {
            let touch = |version: &EntryVersion| {
                let key = EntryKey::from_name(version.key.as_str())?;
                engine.touch(&key, Ttl::Default).map(u64::from)
            };
            touched += py.detach(|| part.iter().map(touch).sum::<Result<u64, Error>>()).into_py_result()?;
            py.check_signals()?;
        }
        chosen.clear();
        Ok(())
    })?;
    Ok(touched)
}

/// Removes the entries of these keywords, each a dictionary as `invalidate` takes them; returns how many were there.
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

/// The keys of all pinned entries, in ascending order.
#[pyfunction]
#[pyo3(signature = (cache, /))]
fn pinned(py: Python<'_>, cache: &PyCache) -> PyResult<Vec<String>> {
    let engine = cache.engine()?;
    py.detach(|| engine.pinned()).into_py_result()
}

/// Keeps an entry from being evicted, or no longer; `False` if there is none.
#[pyfunction]
#[pyo3(signature = (cache, pinned, /, **params))]
fn set_pinned(py: Python<'_>, cache: &PyCache, pinned: bool, params: Option<&Bound<'_, PyDict>>) -> PyResult<bool> {
    let engine = cache.engine()?;
    let key = Call::new(py, params, Method::Other)?.key(&engine.store().config().serialization)?;
    py.detach(|| engine.set_pinned(&key, pinned)).into_py_result()
}

/// Makes an entry as fresh as if it had just been put; `False` if there is none.
#[pyfunction]
#[pyo3(signature = (cache, /, **params))]
fn touch(py: Python<'_>, cache: &PyCache, params: Option<&Bound<'_, PyDict>>) -> PyResult<bool> {
    let engine = cache.engine()?;
    let call = Call::new(py, params, Method::Other)?;
    let key = call.key(&engine.store().config().serialization)?;
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
            Error::new(ErrorKind::InvalidInput, "the cache does not keep parameters, which say whose entry it is")
                .with_hint("open it with store_cache_key_params, or clear the entries of some arguments"),
        ));
    }
    let name = function.to_str()?;
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    // The name stands in the encoding as it is; whether it stands in the right place is seen below.
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
    m.add_function(wrap_pyfunction!(delete_where, m)?)?;
    m.add_function(wrap_pyfunction!(delete_matching, m)?)?;
    m.add_function(wrap_pyfunction!(touch_matching, m)?)?;
    m.add_function(wrap_pyfunction!(delete_batch, m)?)?;
    m.add_function(wrap_pyfunction!(pinned, m)?)?;
    m.add_function(wrap_pyfunction!(set_pinned, m)?)?;
    m.add_function(wrap_pyfunction!(touch, m)?)?;
    m.add_function(wrap_pyfunction!(update_data, m)?)?;
    m.add_function(wrap_pyfunction!(clear_function, m)?)
}
