//! Custom handlers, written in Python: they write and read files.

use std::borrow::Cow;
use std::path::Path;

use cacheness_core::entry::{Format, Name};
use cacheness_core::payload::{Encoded, Payload, Stored};
use cacheness_core::store::Store;
use cacheness_core::{Error, ErrorKind};
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::{Reading, Values, object_type};
use crate::errors::{IntoPyResult, to_py};

impl Values {
    pub(super) fn custom<'py, R>(
        &self,
        py: Python<'py>,
        name: &str,
        handler: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        store: &Store,
        write: impl FnOnce(Python<'py>, Encoded<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let failed = |e| to_py(Error::io("cannot create a temporary directory for a handler", e));
        let mut builder = tempfile::Builder::new();
        builder.prefix("handler-");
        let directory = match store.blobs().temp_dir().into_py_result()? {
            Some(parent) => builder.tempdir_in(parent),
            None => builder.tempdir(),
        }
        .map_err(failed)?;
        let module = py.import(intern!(py, "cacheness.handlers"))?;
        let (path, extension, storage_format, extra): (String, String, String, Vec<u8>) = module
            .call_method1(
                intern!(py, "_write_custom"),
                (name, handler, value, directory.path(), self.python_config.bind(py)),
            )?
            .extract()?;
        let data_type: String = handler.getattr(intern!(py, "data_type"))?.extract()?;
        let encoded = Encoded {
            format: Format {
                handler: Name::Owned(name.to_owned()),
                data_type: Name::Owned(data_type),
                storage_format: Name::Owned(storage_format),
                compression: Name::Borrowed("none"),
                object_type: object_type(value)?,
                handler_meta: extra,
                raw_size: None,
            },
            extension: Cow::Owned(safe_extension(&extension)),
            payload: Payload::File(path.into()),
        };
        write(py, encoded)
    }

    pub(super) fn decode_custom<'py>(
        &self,
        py: Python<'py>,
        stored: &Stored,
        reading: Reading<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let format = stored.format();
        if !matches!(reading, Reading::Own) {
            return Err(to_py(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "entry {} was stored by the handler {:?}: it cannot be sliced or mapped",
                    stored.key(),
                    format.handler
                ),
            )));
        }
        py.detach(|| stored.verified_file().map(drop)).into_py_result()?;
        let module = py.import(intern!(py, "cacheness.handlers"))?;
        let read = |path: &Path| {
            let extra = PyBytes::new(py, &format.handler_meta);
            module.call_method1(
                intern!(py, "_read_custom"),
                (self.registry.bind(py), &*format.handler, path, extra, stored.key()),
            )
        };
        if let Some(path) = stored.local_path() {
            match read(path) {
                // Replaced or removed since it was opened; the open file still has the value.
                Err(error) if error.is_instance_of::<PyException>(py) && !path.exists() => {}
                result => return result,
            }
        }
        // Handlers may check the suffix that they chose.
        let suffix = stored.entry().location.locator().and_then(|locator| locator.find('.').map(|dot| &locator[dot..]));
        let file = tempfile::Builder::new()
            .suffix(suffix.unwrap_or_default())
            .tempfile()
            .map_err(|e| to_py(Error::io("cannot create a temporary file for a handler", e)))?;
        let mut bytes = vec![0; usize::try_from(stored.size()).unwrap_or(usize::MAX)];
        py.detach(|| stored.read_into(&[], &mut bytes)).into_py_result()?;
        std::fs::write(file.path(), &bytes)
            .map_err(|e| to_py(Error::io("cannot write a temporary file for a handler", e)))?;
        read(file.path())
    }
}

/// An extension of letters, digits and inner dots only.
fn safe_extension(extension: &str) -> String {
    let kept: String =
        extension.to_ascii_lowercase().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').take(32).collect();
    let kept = kept.trim_matches('.').to_owned();
    if kept.is_empty() { "bin".to_owned() } else { kept }
}
