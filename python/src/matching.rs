//! Finds, removes and touches entries with given values, or those that a predicate selects.

use cacheness_core::backend::Position;
use cacheness_core::cache::{CacheEngine, Matches, Ttl};
use cacheness_core::entry::{EntrySummary, EntryVersion, Glimpse};
use cacheness_core::formats::plain::Value;
use cacheness_core::query::pattern::{Pattern, Verdict};
use cacheness_core::store::EntryKey;
use cacheness_core::{Error, ErrorKind};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::cache::PyCache;
use crate::entries::{Detail, Writer};
use crate::errors::{IntoPyResult, to_py};
use crate::plain;

/// How many entries are scanned, or touched, between two checks for signals, and how many are removed.
const PAGE: usize = 1000;
const REMOVED: usize = 6000;

/// Names and their wanted values, compared by Rust, or by Python if Rust cannot decide.
pub(crate) struct Wanted<'py> {
    pattern: Pattern,
    values: Bound<'py, PyDict>,
}

impl<'py> Wanted<'py> {
    pub(crate) fn new(values: &Bound<'py, PyDict>) -> PyResult<Self> {
        let mut pattern = Pattern::new();
        for (name, value) in values {
            let name: String = name.extract()?;
            refuse_operators(&name, &value)?;
            let mut encoding = Vec::new();
            let plain = plain::dump(&value, &mut encoding)?;
            pattern = pattern.with(name, plain.then(|| Value::decode(&encoding)).transpose().into_py_result()?);
        }
        pattern.check().into_py_result()?;
        Ok(Self { pattern, values: values.clone() })
    }

    /// Whether an entry has all values.
    pub(crate) fn matches(&self, summary: &EntrySummary) -> PyResult<bool> {
        let glimpse = Glimpse::from(&summary.entry);
        match self.pattern.judge(&glimpse, Some(summary), Value::equals).into_py_result()? {
            Verdict::Matches => Ok(true),
            Verdict::Differs => Ok(false),
            Verdict::Undecided(found) => self.are_same(&found),
        }
    }

    /// Whether the values found under some names equal the wanted ones in Python.
    fn are_same(&self, found: &[(String, Value)]) -> PyResult<bool> {
        let py = self.values.py();
        let same = py.import(intern!(py, "cacheness._equal"))?.getattr(intern!(py, "same"))?;
        for (name, value) in found {
            let Some(wanted) = self.values.get_item(name)? else { return Ok(false) };
            let mut encoding = Vec::new();
            value.encode(&mut encoding).into_py_result()?;
            if !same.call1((plain::load(py, &encoding)?, wanted))?.is_truthy()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// All entries that match; changes nothing.
    fn search(&self, py: Python<'_>, engine: &CacheEngine) -> PyResult<Vec<EntryVersion>> {
        let pattern = &self.pattern;
        let mut found = Matches::default();
        let mut next = Some(Position::Start);
        while let Some(from) = next {
            next = py.detach(|| engine.find_matching(pattern, &from, &mut found)).into_py_result()?;
            py.check_signals()?;
            for entry in found.undecided.drain(..) {
                if self.are_same(&entry.found)? {
                    found.versions.push(entry.version);
                }
            }
        }
        Ok(found.versions)
    }
}

/// Refuses comparisons, also if their operands are not plain values.
fn refuse_operators(name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let Ok(dict) = value.cast::<PyDict>() else { return Ok(()) };
    for (key, _) in dict {
        if let Ok(operator) = key.cast::<PyString>()
            && operator.to_str().is_ok_and(|operator| operator.starts_with('$'))
        {
            let value = Value::Map(vec![(operator.to_str()?.into(), Value::None)]);
            return Pattern::new().with(name, Some(value)).check().into_py_result();
        }
    }
    Ok(())
}

/// Removes the chosen entries; returns their number. Calls `choose` again for those that have been touched or replaced
/// since.
fn remove(
    py: Python<'_>,
    engine: &CacheEngine,
    mut chosen: Vec<EntryVersion>,
    mut choose: impl FnMut(&EntrySummary) -> PyResult<bool>,
) -> PyResult<u64> {
    let mut removed = 0;
    let mut again = Vec::new();
    loop {
        chosen.sort_unstable();
        // Also if nothing was chosen, so that a read-only cache raises.
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
    let by_name = if names { Some(py.import("cacheness._equal")?.getattr("by_name")?) } else { None };
    let mut writer = Writer::new(py, Detail::Full);
    let mut choose = |found: &EntrySummary| -> PyResult<bool> {
        let mut entry = writer.entry(&found.entry, found.inline)?.into_any();
        if let Some(by_name) = &by_name {
            entry = by_name.call1((entry,))?;
        }
        function.call1((entry,))?.is_truthy()
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
            return remove(py, engine, chosen, choose);
        }
        after = page.into_iter().last().map(|found| found.entry.key);
    }
}

/// Removes the entries with all these values.
#[pyfunction]
#[pyo3(signature = (cache, values, /))]
fn delete_matching(py: Python<'_>, cache: &PyCache, values: &Bound<'_, PyDict>) -> PyResult<u64> {
    let engine = cache.engine()?;
    let wanted = Wanted::new(values)?;
    let chosen = wanted.search(py, engine)?;
    remove(py, engine, chosen, |summary| wanted.matches(summary))
}

/// Restarts the time to live of the entries with all these values; returns the number of unexpired ones.
#[pyfunction]
#[pyo3(signature = (cache, values, /))]
fn touch_matching(py: Python<'_>, cache: &PyCache, values: &Bound<'_, PyDict>) -> PyResult<u64> {
    let engine = cache.engine()?;
    let mut touched = 0;
    for part in Wanted::new(values)?.search(py, engine)?.chunks(PAGE) {
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
