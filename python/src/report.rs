//! Reports as Python dictionaries.

use cacheness_core::cache::report::{Group, Totals};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::cache::PyCache;
use crate::entries::iso;
use crate::errors::IntoPyResult;
use crate::plain;
use crate::searching::optional_filter;

/// What the entries of a cache that match a filter are together, and by the values of fields: `time`, the totals, `by`.
#[pyfunction]
#[pyo3(signature = (cache, by, r#where, /))]
fn report<'py>(
    py: Python<'py>,
    cache: &PyCache,
    by: Vec<String>,
    r#where: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let engine = cache.engine()?;
    let filter = optional_filter(r#where)?;
    let report = py.detach(|| engine.report(&filter, &by)).into_py_result()?;
    let dict = PyDict::new(py);
    dict.set_item(intern!(py, "time"), iso(py, report.time, None))?;
    add_totals(&dict, &report.totals)?;
    let fields = PyDict::new(py);
    for (name, groups) in &report.by {
        let list = PyList::empty(py);
        for Group { value, totals, .. } in groups {
            let mut encoding = Vec::new();
            value.encode(&mut encoding).into_py_result()?;
            let group = PyDict::new(py);
            group.set_item(intern!(py, "value"), plain::load(py, &encoding)?)?;
            add_totals(&group, totals)?;
            list.append(group)?;
        }
        fields.set_item(name, list)?;
    }
    dict.set_item(intern!(py, "by"), fields)?;
    Ok(dict)
}

fn add_totals(dict: &Bound<'_, PyDict>, totals: &Totals) -> PyResult<()> {
    let py = dict.py();
    let time = |time| iso(py, time, None);
    dict.set_item(intern!(py, "entries"), totals.entries)?;
    dict.set_item(intern!(py, "bytes"), totals.bytes)?;
    dict.set_item(intern!(py, "oldest"), totals.created.map(|(oldest, _)| time(oldest)))?;
    dict.set_item(intern!(py, "newest"), totals.created.map(|(_, newest)| time(newest)))?;
    dict.set_item(intern!(py, "expired"), totals.expired)?;
    dict.set_item(intern!(py, "pinned"), totals.pinned)?;
    dict.set_item(intern!(py, "reads"), totals.reads)?;
    dict.set_item(intern!(py, "seconds_saved"), totals.seconds_saved)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(report, m)?)
}
