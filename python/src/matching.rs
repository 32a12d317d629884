//! Finds, removes, touches and counts entries that match a filter, or those that a predicate selects.

use cacheness_core::backend::{Page, Position, Query};
use cacheness_core::cache::{CacheEngine, Ttl};
use cacheness_core::entry::{EntrySummary, EntryVersion};
use cacheness_core::query::{Filter, Sort};
use cacheness_core::store::EntryKey;
use cacheness_core::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::cache::PyCache;
use crate::entries::{Detail, Writer};
use crate::errors::{IntoPyResult, to_py};
use crate::filters;

/// How many entries are scanned, or touched, between two checks for signals, and how many are removed.
const PAGE: usize = 1000;
const REMOVED: usize = 6000;

/// The filter of a dictionary, or of values that are looked up in all places.
fn given(filter: &Bound<'_, PyAny>, named: bool) -> PyResult<Filter> {
    if named { filters::named(filter.cast()?) } else { filters::filter(filter) }
}

/// All entries that match; changes nothing.
fn find(py: Python<'_>, engine: &CacheEngine, filter: &Filter) -> PyResult<Vec<EntryVersion>> {
    CacheEngine::check_selective(filter).into_py_result()?;
    let mut found = Vec::new();
    let mut next = Some(Position::Start);
    while let Some(from) = next {
        next = py.detach(|| engine.find_matching(filter, &from, &mut found)).into_py_result()?;
        py.check_signals()?;
    }
    Ok(found)
}

/// A listing of the entries that match.
pub(crate) struct Listing {
    pub(crate) filter: Filter,
    pub(crate) sort: Vec<Sort>,
    pub(crate) limit: Option<usize>,
    pub(crate) offset: usize,
    pub(crate) after: Option<String>,
}

impl Listing {
    /// The dictionaries of the entries.
    pub(crate) fn list<'py>(
        &self,
        py: Python<'py>,
        engine: &CacheEngine,
        detail: Detail,
    ) -> PyResult<Bound<'py, PyList>> {
        let mut writer = Writer::new(py, engine.store(), detail);
        let list = PyList::empty(py);
        if self.limit == Some(0) {
            return Ok(list);
        }
        let query = Query { filter: Some(&self.filter), sort: &self.sort, ..Query::default() };
        // In the order of the keys a long listing is read in pages, between which Ctrl-C is noticed.
        let step = if self.sort.is_empty() { PAGE } else { usize::MAX };
        let mut after = self.after.clone();
        let mut offset = self.offset;
        let mut left = self.limit.unwrap_or(usize::MAX);
        while left > 0 {
            let limit = left.min(step);
            let page = Page { after: after.as_deref(), offset, limit: if limit == usize::MAX { 0 } else { limit } };
            let found = py.detach(|| engine.select(&query, &page)).into_py_result()?;
            py.check_signals()?;
            writer.append_to(&list, &found)?;
            if found.len() < limit {
                break;
            }
            left -= found.len();
            offset = 0;
            after = found.into_iter().next_back().map(|last| last.entry.key);
        }
        Ok(list)
    }
}

/// Removes the chosen entries; returns their number. Calls `choose` again for those that have been touched or replaced
/// since.
fn remove(
    py: Python<'_>,
    engine: &CacheEngine,
    mut chosen: Vec<EntryVersion>,
    mut choose: impl FnMut(&[EntrySummary]) -> PyResult<Vec<EntryVersion>>,
) -> PyResult<u64> {
    let mut removed = 0;
    let mut again = Vec::new();
    loop {
        chosen.sort_unstable();
        // Also if nothing was chosen, so that a read-only cache raises.
        for part in chosen.chunks(REMOVED).chain(chosen.is_empty().then_some(&[][..])) {
            let removal = py.detach(|| engine.delete_batch(part)).into_py_result()?;
            removed += removal.count;
            if !removal.changed.is_empty() {
                again.extend(choose(&removal.changed)?);
            }
            py.check_signals()?;
        }
        chosen = std::mem::take(&mut again);
        if chosen.is_empty() {
            return Ok(removed);
        }
    }
}

/// Removes the entries for which a predicate of their dictionary is true, after it has been called for all of them. With
/// `names` the predicate gets the values under the names that `delete_matching` looks up.
#[pyfunction]
#[pyo3(signature = (cache, function, names=false, /))]
fn delete_where(py: Python<'_>, cache: &PyCache, function: &Bound<'_, PyAny>, names: bool) -> PyResult<u64> {
    if !function.is_callable() {
        let class = function.get_type().name()?;
        return Err(to_py(
            Error::new(ErrorKind::InvalidInput, format!("a {class} is not a predicate of entries"))
                .with_hint("give a function of an entry's dictionary, or values by name to delete_matching"),
        ));
    }
    let engine = cache.engine()?;
    let by_name = if names { Some(py.import("cacheness._entries")?.getattr("by_name")?) } else { None };
    let mut writer = Writer::new(py, engine.store(), Detail::Full);
    let mut choose = |page: &[EntrySummary]| -> PyResult<Vec<EntryVersion>> {
        let mut chosen = Vec::new();
        for found in page {
            let mut entry = writer.entry(&found.entry, found.inline)?.into_any();
            if let Some(by_name) = &by_name {
                entry = by_name.call1((entry,))?;
            }
            if function.call1((entry,))?.is_truthy()? {
                chosen.push(found.entry.version());
            }
        }
        Ok(chosen)
    };
    let mut chosen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = py.detach(|| engine.page(after.as_deref(), PAGE)).into_py_result()?;
        py.check_signals()?;
        chosen.extend(choose(&page)?);
        if page.len() < PAGE {
            return remove(py, engine, chosen, choose);
        }
        after = page.into_iter().last().map(|found| found.entry.key);
    }
}

/// Removes the entries that match a filter; with `named`, those with all these values, looked up in all places.
#[pyfunction]
#[pyo3(signature = (cache, r#where, named, /))]
fn delete_matching(py: Python<'_>, cache: &PyCache, r#where: &Bound<'_, PyAny>, named: bool) -> PyResult<u64> {
    let engine = cache.engine()?;
    let filter = given(r#where, named)?;
    let chosen = find(py, engine, &filter)?;
    remove(py, engine, chosen, |changed| engine.still_matching(&filter, changed).into_py_result())
}

/// Restarts the time to live of the entries that match; returns the number of unexpired ones.
#[pyfunction]
#[pyo3(signature = (cache, r#where, named, /))]
fn touch_matching(py: Python<'_>, cache: &PyCache, r#where: &Bound<'_, PyAny>, named: bool) -> PyResult<u64> {
    let engine = cache.engine()?;
    let mut touched = 0;
    for part in find(py, engine, &given(r#where, named)?)?.chunks(PAGE) {
        let touch = |version: &EntryVersion| {
            let key = EntryKey::from_name(version.key.as_str())?;
            engine.touch(&key, Ttl::Default).map(u64::from)
        };
        touched += py.detach(|| part.iter().map(touch).sum::<Result<u64, Error>>()).into_py_result()?;
        py.check_signals()?;
    }
    Ok(touched)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(delete_where, m)?)?;
    m.add_function(wrap_pyfunction!(delete_matching, m)?)?;
    m.add_function(wrap_pyfunction!(touch_matching, m)?)
}
