//! User metadata between Python and JSON.

use cacheness_core::formats::plain::Value;
use cacheness_core::formats::plain::tagged_json::{from_json, to_json};
use cacheness_core::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PySet, PyString, PyTuple};

use super::dump::dump;
use super::ffi::exact;
use super::load::load;
use crate::errors::{IntoPyResult, to_py};

/// The JSON object of a dict whose keys are strings; the error names the place of a part that is not plain.
pub(crate) fn metadata_to_json(metadata: &Bound<'_, PyDict>) -> PyResult<String> {
    let mut bytes = Vec::with_capacity(256);
    if !dump(metadata, &mut bytes)? {
        return Err(not_plain(metadata)?);
    }
    Value::decode(&bytes).and_then(|value| to_json(&value)).into_py_result()
}

/// The dict of a JSON object.
pub(crate) fn json_to_metadata<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    if let Some(metadata) = super::json::untagged(py, json) {
        return Ok(metadata);
    }
    let mut bytes = Vec::with_capacity(json.len());
    from_json(json).and_then(|value| value.encode(&mut bytes)).into_py_result()?;
    load(py, &bytes)
}

/// The error that names the first part that is not plain.
#[cold]
fn not_plain(metadata: &Bound<'_, PyDict>) -> PyResult<PyErr> {
    let mut path = String::from("metadata");
    let mut value = metadata.as_any().clone();
    // Recursive values have no innermost part.
    for _ in 0..=cacheness_core::formats::plain::tagged_json::MAX_DEPTH {
        match first_not_plain(&value)? {
            Some((step, part)) => {
                path.push_str(&step);
                value = part;
            }
            None if value.cast::<PyString>().is_ok_and(|text| text.to_str().is_err()) => {
                let sentence = format!("{path} holds half of a surrogate pair, which is not valid Unicode");
                return Ok(to_py(
                    Error::new(ErrorKind::Serialization, sentence)
                        .with_hint("use text.encode('utf-8', 'replace') to replace it"),
                ));
            }
            None => {
                let class = value.get_type().fully_qualified_name()?;
                return Ok(to_py(
                    Error::new(ErrorKind::Serialization, format!("{path} is a {class}, which metadata cannot store"))
                        .with_hint("metadata can store plain values: builtin types, dates, Decimal, UUID, Path, dtypes, NumPy scalars and arrays"),
                ));
            }
        }
    }
    Ok(to_py(Error::new(ErrorKind::Serialization, format!("{path} is nested too deeply for metadata"))))
}

/// The step to the first part of a container that is not plain, and that part.
fn first_not_plain<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<(String, Bound<'py, PyAny>)>> {
    let mut scratch = Vec::new();
    if let Some(dict) = exact::<PyDict>(value) {
        for (key, value) in dict.iter() {
            scratch.clear();
            if !dump(&key, &mut scratch)? {
                return Ok(Some((".keys()".into(), key)));
            }
            if !dump(&value, &mut scratch)? {
                return Ok(Some((format!("[{}]", key.repr()?), value)));
            }
        }
    } else if exact::<PyList>(value).is_some() || exact::<PyTuple>(value).is_some() {
        for (i, item) in value.try_iter()?.enumerate() {
            scratch.clear();
            let item = item?;
            if !dump(&item, &mut scratch)? {
                return Ok(Some((format!("[{i}]"), item)));
            }
        }
    } else if exact::<PySet>(value).is_some() || exact::<PyFrozenSet>(value).is_some() {
        for item in value.try_iter()? {
            scratch.clear();
            let item = item?;
            if !dump(&item, &mut scratch)? {
                return Ok(Some((" member".into(), item)));
            }
        }
    }
    Ok(None)
}
