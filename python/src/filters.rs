//! Filters given as dictionaries.

use cacheness_core::formats::plain::Value;
use cacheness_core::query::{Filter, Sort};
use cacheness_core::{Error, ErrorKind};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::errors::{IntoPyResult, to_py};
use crate::plain;

/// How deep dictionaries and lists of a filter are looked through.
const MAX_DEPTH: usize = 64;

/// The filter of a dictionary.
pub(crate) fn filter(where_: &Bound<'_, PyAny>) -> PyResult<Filter> {
    if !where_.is_instance_of::<PyDict>() {
        let class = where_.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "a filter is a dictionary such as {{'accuracy': {{'$gte': 0.9}}}}, not a {class}"
        )));
    }
    Filter::from_value(&value(where_, 0)?).into_py_result()
}

/// The filter of keywords, each of which is looked up in all places.
pub(crate) fn named(values: &Bound<'_, PyDict>) -> PyResult<Filter> {
    Filter::named(&value(values.as_any(), 0)?).into_py_result()
}

/// The fields by which a listing is sorted: a string or several of them.
pub(crate) fn sort(sort: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<Sort>> {
    let Some(sort) = sort else { return Ok(Vec::new()) };
    if let Ok(one) = sort.cast::<PyString>() {
        return Ok(vec![Sort::parse(one.to_str()?).into_py_result()?]);
    }
    let wrong = || PyTypeError::new_err("sort is the name of a field, '-name' for descending, or a list of them");
    let items = sort.try_iter().map_err(|_| wrong())?;
    items.map(|item| Sort::parse(item?.cast::<PyString>().map_err(|_| wrong())?.to_str()?).into_py_result()).collect()
}

/// A part of a filter as a plain value; compiled regular expressions become their operator.
fn value(found: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    if depth > MAX_DEPTH {
        return Err(to_py(Error::new(ErrorKind::InvalidInput, "a filter is nested too deep")));
    }
    if let Ok(dict) = found.cast::<PyDict>() {
        let pairs = dict.iter().map(|(name, part)| Ok((value(&name, depth + 1)?, value(&part, depth + 1)?)));
        return pairs.collect::<PyResult<_>>().map(Value::Map);
    }
    let items = |items: PyResult<Vec<Value>>| items;
    if let Ok(list) = found.cast_exact::<PyList>() {
        return items(list.iter().map(|item| value(&item, depth + 1)).collect()).map(Value::List);
    }
    if let Ok(tuple) = found.cast_exact::<PyTuple>() {
        return items(tuple.iter().map(|item| value(&item, depth + 1)).collect()).map(Value::Tuple);
    }
    let mut encoding = Vec::new();
    if plain::dump(found, &mut encoding)? {
        return Value::decode(&encoding).into_py_result();
    }
    if let Some(base) = base(found)? {
        return value(&base, depth + 1);
    }
    if let Some(expression) = expression(found)? {
        return Ok(expression);
    }
    let class = found.get_type().name()?;
    let what = format!("a {class} is no value of a filter");
    Err(to_py(Error::new(ErrorKind::InvalidInput, what).with_hint("a filter compares values that metadata can have")))
}

/// The plain string or number that a value of a derived class is: a member of an enumeration, for example.
fn base<'py>(found: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = found.py();
    let of = |class: Bound<'py, PyAny>, method: &str| class.getattr(method)?.call1((found,)).map(Some);
    let is_derived = |exact: bool| !exact && !found.is_instance_of::<PyBool>();
    if let Ok(text) = found.cast::<PyString>() {
        return match is_derived(found.is_exact_instance_of::<PyString>()) {
            true => of(py.get_type::<PyString>().into_any(), "__str__"),
            // Half of a surrogate pair.
            false => text.to_str().map(|_| None),
        };
    }
    if found.is_instance_of::<PyInt>() && is_derived(found.is_exact_instance_of::<PyInt>()) {
        return of(py.get_type::<PyInt>().into_any(), "__int__");
    }
    if found.is_instance_of::<PyFloat>() && is_derived(found.is_exact_instance_of::<PyFloat>()) {
        return of(py.get_type::<PyFloat>().into_any(), "__float__");
    }
    Ok(None)
}

/// `re.compile(…)` as an operator.
fn expression(found: &Bound<'_, PyAny>) -> PyResult<Option<Value>> {
    let py = found.py();
    if !found.is_instance(&py.import(intern!(py, "re"))?.getattr(intern!(py, "Pattern"))?)? {
        return Ok(None);
    }
    let Ok(pattern) = found.getattr(intern!(py, "pattern"))?.extract::<String>() else { return Ok(None) };
    let flags: u32 = found.getattr(intern!(py, "flags"))?.extract()?;
    // `re.I`, `re.M`, `re.S`, `re.X`.
    let letters = [(2, 'i'), (8, 'm'), (16, 's'), (64, 'x')];
    let options: String = letters.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, letter)| letter).collect();
    let pairs = [("$regex", pattern), ("$options", options)];
    Ok(Some(Value::Map(pairs.map(|(name, text)| (name.into(), text.into())).into())))
}
