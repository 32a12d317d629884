//! Pickles: written if no other handler accepts a value, read if the engine allows it.

use std::borrow::Cow;

use cacheness_core::config::Codec;
use cacheness_core::entry::{Format, Name};
use cacheness_core::formats::compress;
use cacheness_core::payload::{Encoded, Stored};
use cacheness_core::storable::MAX_DECOMPRESSED;
use cacheness_core::store::Store;
use cacheness_core::{Error, ErrorKind};
use pyo3::buffer::PyBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyList};

use super::{Values, has_own_format, object_type};
use crate::errors::{IntoPyResult, to_py};
use crate::tables;

impl Values {
    /// Pickles a value that no other handler accepts. `refused`, the reason of the table handlers, is the cause of every
    /// error.
    pub(super) fn pickle<'py, R>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        store: &Store,
        refused: Option<PyErr>,
        write: impl FnOnce(Python<'py>, Encoded<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let why = refused.as_ref().map(|refused| refused.value(py).to_string());
        self.pickled(py, value, store, why, write).map_err(|error| tables::because(py, error, refused))
    }

    fn pickled<'py, R>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        store: &Store,
        why: Option<String>,
        write: impl FnOnce(Python<'py>, Encoded<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let mut format = Format {
            handler: Name::Borrowed("object_pickle"),
            data_type: Name::Borrowed("object"),
            storage_format: Name::Borrowed("pickle"),
            compression: Name::Borrowed("none"),
            object_type: object_type(value)?,
            handler_meta: Vec::new(),
            raw_size: None,
        };
        store.refuse_code(&format).map_err(|error| only_pickled(value, why, error))?;
        let pickled = py.import(intern!(py, "cacheness._pickle"))?;
        let (kind, parts): (String, Vec<Bound<'py, PyAny>>) =
            pickled.call_method1(intern!(py, "dumps"), (value, self.dill_fallback))?.extract()?;
        let buffers: Vec<PyBuffer<u8>> = parts.iter().map(|part| PyBuffer::get(part)).collect::<PyResult<_>>()?;
        let slices: Vec<&[u8]> = buffers.iter().map(crate::buffers::bytes_of).collect::<PyResult<_>>()?;
        format.handler_meta = PickleParts::of(&slices).to_bytes();
        if kind == "dill" {
            format.storage_format = Name::Borrowed("dill");
        }
        let size = slices.iter().map(|slice| slice.len() as u64).sum();
        let segments = slices.into_iter().map(Cow::Borrowed).collect();
        let (codec, payload) =
            py.detach(|| compress::compress_segments(segments, &self.compression)).into_py_result()?;
        format.compression = Name::Borrowed(codec.name());
        format.raw_size = (codec != Codec::None).then_some(size);
        let extension = Cow::Owned(format!("pkl{}", codec.extension()));
        write(py, Encoded { format, extension, payload })
    }

    pub(super) fn unpickle<'py>(&self, py: Python<'py>, stored: Stored) -> PyResult<Bound<'py, PyAny>> {
        let kind = stored.format().storage_format.to_string();
        if !stored.format().runs_code() || !matches!(&*kind, "pickle" | "dill") {
            return Err(to_py(stored.undecodable("its handler is that of pickles")));
        }
        let key = stored.key().to_owned();
        let parts = PickleParts::from_bytes(&stored.format().handler_meta)
            .ok_or_else(|| to_py(stored.undecodable("its list of parts is damaged")))?;
        let codec = Codec::from_name(&stored.format().compression).into_py_result()?;
        let bytes = py
            .detach(|| {
                let bytes = stored.into_bytes()?;
                compress::decompress(codec, &bytes, MAX_DECOMPRESSED)
            })
            .into_py_result()?;
        let list = PyList::empty(py);
        for (i, part) in parts.split(&bytes).into_py_result()?.into_iter().enumerate() {
            // The caller owns arrays of these buffers and may write to them, so each gets its own memory.
            if i == 0 {
                list.append(PyBytes::new(py, part))?;
            } else {
                list.append(PyByteArray::new(py, part))?;
            }
        }
        py.import(intern!(py, "cacheness._pickle"))?.call_method1(intern!(py, "loads"), (kind, list, key))
    }
}

/// The error of a store that refuses pickles, with the part of the value that needs one.
#[cold]
fn only_pickled(value: &Bound<'_, PyAny>, why: Option<String>, error: Error) -> PyErr {
    let dtype = || value.getattr_opt(intern!(value.py(), "dtype")).ok().flatten();
    let why = why.or_else(|| match has_own_format(value) {
        Ok(true) => dtype().map(|dtype| format!("its dtype is {dtype}")),
        _ => None,
    });
    let Some(why) = why else { return to_py(error) };
    let told = Error::new(error.kind(), format!("{error}: {why}"));
    to_py(match error.hint() {
        Some(hint) => told.with_hint(hint.to_owned()),
        None => told,
    })
}

/// The lengths of the parts of a pickle: 8 bytes each, little-endian.
struct PickleParts(Vec<u64>);

impl PickleParts {
    fn of(parts: &[&[u8]]) -> Self {
        Self(parts.iter().map(|part| part.len() as u64).collect())
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|length| length.to_le_bytes()).collect()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(8) {
            return None;
        }
        Some(Self(
            bytes.chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().expect("chunks have 8 bytes"))).collect(),
        ))
    }

    fn split<'a>(&self, mut bytes: &'a [u8]) -> cacheness_core::Result<Vec<&'a [u8]>> {
        let mut parts = Vec::with_capacity(self.0.len());
        for length in &self.0 {
            let part = usize::try_from(*length).ok().and_then(|length| bytes.split_at_checked(length));
            let Some((part, rest)) = part else {
                return Err(Error::new(ErrorKind::Serialization, "a pickle is shorter than its parts"));
            };
            parts.push(part);
            bytes = rest;
        }
        if bytes.is_empty() {
            Ok(parts)
        } else {
            Err(Error::new(ErrorKind::Serialization, "a pickle is longer than its parts"))
        }
    }
}
