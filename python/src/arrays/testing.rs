//! The codec without a store, for the package's own tests.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cacheness_core::backend::BlobReader;
use cacheness_core::clock::Timestamp;
use cacheness_core::config::CompressionConfig;
use cacheness_core::entry::{BlobRef, Entry, Format, Location};
use cacheness_core::payload::{Check, Stored};
use cacheness_core::{Error, ErrorKind, Result};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::{decode, decode_mmap, decode_slice, prepare};
use crate::errors::IntoPyResult;

struct FileReader {
    file: File,
    path: PathBuf,
    size: u64,
}

impl BlobReader for FileReader {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let failed = |e| Error::io(format_args!("cannot read {}", self.path.display()), e);
        self.file.read_exact_at(buffer, offset).map_err(|e| failed(e).with_kind(ErrorKind::Integrity))
    }

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }

    fn local_path(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

fn format_of(meta: &Bound<'_, PyDict>) -> PyResult<Format> {
    let text = |name: &str| -> PyResult<String> {
        meta.get_item(name)?.ok_or_else(|| PyValueError::new_err(name.to_owned()))?.extract()
    };
    let handler_meta = meta.get_item("handler_meta")?.map(|bytes| bytes.extract()).transpose()?;
    Ok(Format {
        handler: text("handler")?.into(),
        data_type: text("data_type")?.into(),
        storage_format: text("storage_format")?.into(),
        compression: text("compression")?.into(),
        object_type: text("object_type")?.into(),
        handler_meta: handler_meta.unwrap_or_default(),
        raw_size: None,
    })
}

fn in_file(meta: &Bound<'_, PyDict>, path: PathBuf) -> PyResult<Stored> {
    let file = File::open(&path)?;
    let size = file.metadata()?.len();
    let entry = Entry {
        key: "test".into(),
        fingerprint: None,
        created_at: Timestamp(0),
        accessed_at: Timestamp(0),
        expires_at: None,
        access_count: 0,
        format: format_of(meta)?,
        size,
        file_hash: 0,
        digest: None,
        signature: None,
        description: None,
        metadata: None,
        params: None,
        computed: None,
        location: Location::Blob(BlobRef::new(path.display().to_string(), size)),
    };
    Stored::new(entry, Some(Box::new(FileReader { file, path, size })), Check::Skip, true).into_py_result()
}

/// Encodes `value`: a dictionary that describes the payload, and the payload; `None` if it is not stored as an array.
#[pyfunction]
#[pyo3(signature = (value, config_json = None))]
fn array_dumps<'py>(
    value: &Bound<'py, PyAny>,
    config_json: Option<&str>,
) -> PyResult<Option<(Bound<'py, PyDict>, Bound<'py, PyBytes>)>> {
    let py = value.py();
    let config: CompressionConfig = match config_json {
        Some(json) => serde_json::from_str(json).map_err(|e| PyValueError::new_err(e.to_string()))?,
        None => CompressionConfig::default(),
    };
    let Some(prepared) = prepare(value)? else { return Ok(None) };
    let encoded = py.detach(|| prepared.encode(&config)).into_py_result()?;
    let meta = PyDict::new(py);
    meta.set_item("handler", &*encoded.format.handler)?;
    meta.set_item("data_type", &*encoded.format.data_type)?;
    meta.set_item("storage_format", &*encoded.format.storage_format)?;
    meta.set_item("compression", &*encoded.format.compression)?;
    meta.set_item("object_type", &*encoded.format.object_type)?;
    meta.set_item("handler_meta", PyBytes::new(py, &encoded.format.handler_meta))?;
    meta.set_item("extension", &*encoded.extension)?;
    meta.set_item("nbytes", prepared.nbytes())?;
    let payload = py.detach(|| encoded.payload.into_bytes()).into_py_result()?;
    Ok(Some((meta, PyBytes::new(py, &payload))))
}

/// Decodes what `array_dumps` returned.
#[pyfunction]
fn array_loads<'py>(meta: &Bound<'py, PyDict>, payload: Vec<u8>) -> PyResult<Bound<'py, PyAny>> {
    decode(meta.py(), Stored::from_bytes(format_of(meta)?, payload))
}

/// Decodes a payload that is a file.
#[pyfunction]
fn array_load_file<'py>(meta: &Bound<'py, PyDict>, path: PathBuf) -> PyResult<Bound<'py, PyAny>> {
    decode(meta.py(), in_file(meta, path)?)
}

/// Maps a payload that is a file.
#[pyfunction]
fn array_map<'py>(meta: &Bound<'py, PyDict>, path: PathBuf, mode: &str) -> PyResult<Bound<'py, PyAny>> {
    decode_mmap(meta.py(), in_file(meta, path)?, mode)
}

/// Reads a part of a payload that is a file.
#[pyfunction]
#[pyo3(signature = (meta, path, index, verify = false))]
fn array_slice<'py>(
    meta: &Bound<'py, PyDict>,
    path: PathBuf,
    index: &Bound<'py, PyAny>,
    verify: bool,
) -> PyResult<Bound<'py, PyAny>> {
    decode_slice(meta.py(), in_file(meta, path)?, index, verify)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(array_dumps, m)?)?;
    m.add_function(wrap_pyfunction!(array_loads, m)?)?;
    m.add_function(wrap_pyfunction!(array_load_file, m)?)?;
    m.add_function(wrap_pyfunction!(array_map, m)?)?;
    m.add_function(wrap_pyfunction!(array_slice, m)?)
}
