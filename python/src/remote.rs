//! What a server knows of the blob of an entry: its properties, URLs for other programs.

use std::time::Duration;

use cacheness_core::backend::BlobProperties;
use cacheness_core::entry::{BlobRef, Entry};
use cacheness_core::store::Store;
use cacheness_core::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::entries;
use crate::errors::{IntoPyResult, to_py};
use crate::kwargs::{Call, Method, text};
use crate::searching::Held;

/// A store, and the blob of an entry with the entry, unless the entry contains its payload.
type Found<'a> = (&'a Store, Option<(BlobRef, Entry)>);

/// The entry that is meant; `None` if there is none.
fn blob<'a>(py: Python<'_>, held: &'a Held<'_>, params: Option<&Bound<'_, PyDict>>) -> PyResult<Option<Found<'a>>> {
    let (store, found) = match held {
        Held::Cache(cache) => {
            let engine = cache.engine()?;
            let key = Call::new(py, params, Method::Keyed)?.key(&engine.store().config().serialization)?;
            (engine.store(), py.detach(|| engine.get_entry(&key, true)).into_py_result()?)
        }
        Held::Store(store) => {
            let given = params.map(|params| params.get_item("key")).transpose()?.flatten();
            let given = given.ok_or_else(|| {
                to_py(Error::new(ErrorKind::InvalidInput, "there is no key").with_hint("give the key of an entry"))
            })?;
            let key = text(&given, "key")?;
            let store = store.engine()?;
            (store, py.detach(|| store.get_entry(key)).into_py_result()?)
        }
    };
    Ok(found.map(|found| {
        let blob = found.entry.location.blob().filter(|_| !found.inline).cloned();
        (store, blob.map(|blob| (blob, found.entry)))
    }))
}

/// A URL of the payload of an entry for other programs; `None` if there is no entry.
#[pyfunction]
#[pyo3(signature = (held, seconds, /, **params))]
fn presign(
    py: Python<'_>,
    held: Held<'_>,
    seconds: f64,
    params: Option<&Bound<'_, PyDict>>,
) -> PyResult<Option<String>> {
    let Some((store, blob)) = blob(py, &held, params)? else { return Ok(None) };
    let Some((blob, _)) = blob else {
        return Err(to_py(
            Error::new(ErrorKind::Unsupported, "the value is stored inside its entry, and has no URL")
                .with_hint("set inline_threshold_bytes=0 before the value is put"),
        ));
    };
    let expires = Duration::try_from_secs_f64(seconds).map_err(|_| {
        to_py(
            Error::new(ErrorKind::InvalidInput, format!("expires is {seconds}")).with_hint("give a number of seconds"),
        )
    })?;
    py.detach(|| store.blobs().presign(&blob, expires)).into_py_result().map(Some)
}

/// What the server tells about the payload of an entry; `None` if there is no entry, or it contains its payload.
#[pyfunction]
#[pyo3(signature = (held, /, **params))]
fn blob_properties<'py>(
    py: Python<'py>,
    held: Held<'py>,
    params: Option<&Bound<'py, PyDict>>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let Some((store, Some((blob, entry)))) = blob(py, &held, params)? else { return Ok(None) };
    let mut found = py.detach(|| store.blobs().properties(&blob)).into_py_result()?;
    // The hashes of a payload that was encoded while it was sent are in its entry alone. The tag says that the server still
    // has that payload.
    if found.etag.is_some() && found.etag == blob.etag {
        found.hashes.entry("xxh3".into()).or_insert_with(|| format!("{:016x}", entry.file_hash));
        if let Some(digest) = entry.digest {
            let text = || digest.iter().map(|byte| format!("{byte:02x}")).collect();
            found.hashes.entry("blake3".into()).or_insert_with(text);
        }
    }
    dict(py, &found).map(Some)
}

/// The properties of a blob as a dictionary.
pub(crate) fn dict<'py>(py: Python<'py>, found: &BlobProperties) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("size", found.size)?;
    dict.set_item("content_type", &found.content_type)?;
    dict.set_item("cache_control", &found.cache_control)?;
    dict.set_item("etag", &found.etag)?;
    dict.set_item("version_id", &found.version)?;
    dict.set_item("last_modified", found.modified.map(|time| entries::iso(py, time, None)))?;
    dict.set_item("metadata", &found.metadata)?;
    dict.set_item("hashes", &found.hashes)?;
    for (name, value) in &found.place {
        dict.set_item(name, value)?;
    }
    Ok(dict)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(presign, m)?)?;
    m.add_function(wrap_pyfunction!(blob_properties, m)?)
}
