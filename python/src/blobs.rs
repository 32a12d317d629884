//! The blob backends of this release without a store, for the classes of `cacheness.storage.backends`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cacheness::registry;
use cacheness_core::backend::{BlobBackend, BlobHint, BlobReader, BlobRef};
use cacheness_core::backends::{FilesystemBlobs, FilesystemOptions, MemoryBlobs};
use cacheness_core::config::{BackendOptions, Durability, StoreConfig};
use cacheness_core::{Error, ErrorKind, Result};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::errors::{IntoPyResult, to_py};
use crate::remote;

/// Blobs of one page of a listing.
const PAGE: usize = 1000;

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

    /// Objects of a bucket; `options` is a JSON object of the options of S3.
    #[staticmethod]
    fn s3(options: &str, shard_chars: u8) -> PyResult<Self> {
        let config = StoreConfig {
            blob_backend: Some("s3".into()),
            blob_backend_options: parse_options(options)?,
            shard_chars,
            ..StoreConfig::default()
        };
        registry::open_blobs(&config).into_py_result().map(Self)
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
            match std::io::Write::write_all(&mut writer, data) {
                Ok(()) => Ok(writer.commit()?.locator),
                Err(error) => {
                    writer.abort()?;
                    Err(Error::io("cannot write a blob", error))
                }
            }
        })
        .into_py_result()
    }

    /// What the storage tells about a blob; `None` if it does not exist.
    fn properties<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyDict>>> {
        match py.detach(|| self.0.properties(&BlobRef::new(name, 0))) {
            Ok(found) => remote::dict(py, &found).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(to_py(error)),
        }
    }

    /// A URL with which anyone can read the blob for so many seconds.
    fn presign(&self, py: Python<'_>, name: &str, seconds: u64) -> PyResult<String> {
        py.detach(|| self.0.presign(&BlobRef::new(name, 0), Duration::from_secs(seconds))).into_py_result()
    }

    /// The bytes of a blob; `None` if it does not exist.
    fn read<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let Some(reader) = py.detach(|| self.open(name)).into_py_result()? else { return Ok(None) };
        let size = usize::try_from(reader.size()).unwrap_or(usize::MAX);
        PyBytes::new_with(py, size, |buffer| py.detach(|| reader.read_exact_at(buffer, 0)).into_py_result()).map(Some)
    }

    /// Whether a blob with this name exists.
    fn exists(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        py.detach(|| self.open(name).map(|found| found.is_some())).into_py_result()
    }

    /// Removes a blob; `False` if it does not exist.
    fn delete(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        py.detach(|| {
            let found = self.open(name)?.is_some();
            self.0.delete(&[name])?;
            Ok(found)
        })
        .into_py_result()
    }

    /// The names of the blobs that begin with `start` and end with a random part, the oldest first.
    fn of_stem(&self, py: Python<'_>, start: &str) -> PyResult<Vec<String>> {
        py.detach(|| {
            let mut found = Vec::new();
            let mut after = start.to_owned();
            loop {
                let page = self.0.list(Some(&after), PAGE)?;
                let is_last = page.len() < PAGE;
                after = page.last().map_or(after, |last| last.locator.clone());
                let count = page.len();
                let same = page.into_iter().take_while(|blob| blob.locator.starts_with(start));
                let before = found.len();
                // Of an id that this one is the beginning of, the rest is no random part.
                found.extend(same.map(|blob| (blob.modified, blob.locator)));
                if is_last || found.len() - before < count {
                    found
                        .retain(|(_, name)| name[start.len()..].split('.').next().is_some_and(|rest| rest.len() == 12));
                    found.sort_unstable();
                    return Ok(found.into_iter().map(|(_, name)| name).collect());
                }
            }
        })
        .into_py_result()
    }

    /// A page of all blobs in ascending order: name, size, and time in microseconds since 1970.
    fn page(&self, py: Python<'_>, after: Option<&str>, limit: usize) -> PyResult<Vec<(String, u64, i64)>> {
        let page = py.detach(|| self.0.list(after, limit)).into_py_result()?;
        Ok(page.into_iter().map(|blob| (blob.locator, blob.size, blob.modified.0)).collect())
    }

    /// The names of all blobs and their sizes, in ascending order.
    fn list(&self, py: Python<'_>) -> PyResult<Vec<(String, u64)>> {
        py.detach(|| {
            let mut found: Vec<(String, u64)> = Vec::new();
            loop {
                let page = self.0.list(found.last().map(|(name, _)| name.as_str()), PAGE)?;
                let is_last = page.len() < PAGE;
                found.extend(page.into_iter().map(|blob| (blob.locator, blob.size)));
                if is_last {
                    return Ok(found);
                }
            }
        })
        .into_py_result()
    }
}

impl PyBlobs {
    fn open(&self, name: &str) -> Result<Option<Box<dyn BlobReader>>> {
        // A backend on a server asks for nothing when it opens a blob: its size comes from the server.
        let blob = match self.0.capability().parts {
            None => Ok(BlobRef::new(name, 0)),
            Some(_) => self.0.properties(&BlobRef::new(name, 0)).map(|found| BlobRef::new(name, found.size)),
        };
        match blob.and_then(|blob| self.0.open(&blob)) {
            Ok(reader) => Ok(Some(reader)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn parse_options(json: &str) -> PyResult<BackendOptions> {
    serde_json::from_str(json)
        .map_err(|_| to_py(Error::new(ErrorKind::InvalidInput, "an option of the blob backend is no plain value")))
}
