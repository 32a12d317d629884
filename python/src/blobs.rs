//! The blob backends of this release without a store, for the classes of `cacheness.storage.backends`.

use std::path::PathBuf;
use std::sync::Arc;

use cacheness_core::backend::{BlobBackend, BlobHint};
use cacheness_core::backends::{FilesystemBlobs, FilesystemOptions, MemoryBlobs};
use cacheness_core::config::Durability;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::IntoPyResult;

/// Bytes under names that the backend creates.
#[pyclass(module = "cacheness._core", name = "Blobs", frozen)]
pub(crate) struct PyBlobs(Arc<dyn BlobBackend>);

#[pymethods]
impl PyBlobs {
    /// Files below `directory/blobs`, spread over directories with names of this many digits.
    #[staticmethod]
    fn filesystem(directory: PathBuf, shard_chars: u8) -> PyResult<Self> {
        let options = FilesystemOptions { shard_chars, durability: Durability::Normal };
        let blobs = FilesystemBlobs::new(directory, options).into_py_result()?;
        Ok(Self(Arc::new(blobs)))
    }

    /// In memory; it ends with the object.
    #[staticmethod]
    fn memory() -> Self {
        Self(Arc::new(MemoryBlobs::new()))
    }

    /// Writes a new blob and returns its name, which begins with `stem`.
    fn write(&self, py: Python<'_>, stem: &str, extension: &str, data: &[u8]) -> PyResult<String> {
        py.detach(|| {
            let size = Some(data.len() as u64);
            let mut writer = self.0.create(BlobHint { stem, extension, size })?;
            std::io::Write::write_all(&mut writer, data).map_err(|e| cacheness_core::Error::io("cannot write", e))?;
            writer.commit()
        })
        .into_py_result()
    }

    /// The bytes of a blob; `None` if it does not exist.
    fn read<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let Some(reader) = py.detach(|| self.0.open(name)).into_py_result()? else { return Ok(None) };
        let size = usize::try_from(reader.size()).unwrap_or(usize::MAX);
        PyBytes::new_with(py, size, |buffer| py.detach(|| reader.read_exact_at(buffer, 0)).into_py_result()).map(Some)
    }

    /// Whether a blob with this name exists.
    fn exists(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        py.detach(|| self.0.open(name).map(|found| found.is_some())).into_py_result()
    }

    /// Removes a blob; `False` if it does not exist.
    fn delete(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        py.detach(|| self.0.delete(name)).into_py_result()
    }

    /// The names of all blobs and their sizes, in no order.
    fn list(&self, py: Python<'_>) -> PyResult<Vec<(String, u64)>> {
        py.detach(|| {
            let mut found = Vec::new();
            self.0.list(&mut |name, size| {
                found.push((name.to_owned(), size));
                Ok(())
            })?;
            Ok(found)
        })
        .into_py_result()
    }
}
