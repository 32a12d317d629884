//! The common part of caches and stores: `__init__` opens them once and sets the encoder and decoder of their values.

use std::path::PathBuf;
use std::sync::OnceLock;

use cacheness::{Clock, OpenMode, Place, open_store, registry};
use cacheness_core::config::{CacheConfig, StoreConfig};
use cacheness_core::store::Store;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::errors::IntoPyResult;
use crate::values::Values;

/// A cache or a store that has been opened.
pub(crate) struct Opened<E> {
    pub(crate) engine: E,
    pub(crate) values: Values,
}

/// The reference of a Python object to an opened cache or store: empty until `__init__` has opened it.
pub(crate) struct Handle<E: Send> {
    opened: OnceLock<Opened<E>>,
    /// `cache` or `store`, for messages.
    kind: &'static str,
}

impl<E: Send> Handle<E> {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self { opened: OnceLock::new(), kind }
    }

    /// Opens the cache or store; called once, by `__init__`.
    pub(crate) fn open(
        &self,
        py: Python<'_>,
        config: &StoreConfig,
        registry: Py<PyAny>,
        open: impl FnOnce() -> cacheness_core::Result<E> + Send,
    ) -> PyResult<()> {
        // Loads what a warning needs, because at that time no file can be opened any more.
        py.import("cacheness._log")?;
        let values = Values::new(py, config, registry)?;
        let engine = py.detach(open).into_py_result()?;
        self.opened
            .set(Opened { engine, values })
            .map_err(|_| PyRuntimeError::new_err(format!("the {} has already been opened", self.kind)))
    }

    pub(crate) fn get(&self) -> PyResult<&Opened<E>> {
        self.if_opened().ok_or_else(|| {
            PyRuntimeError::new_err(format!("the {} has not been opened: call super().__init__()", self.kind))
        })
    }

    pub(crate) fn if_opened(&self) -> Option<&Opened<E>> {
        self.opened.get()
    }

    /// Reports the object's references to the garbage collector. Each cycle passes through the registry, which is
    /// cleared.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.if_opened().map_or(Ok(()), |opened| opened.values.traverse(visit))
    }
}

/// Not closed explicitly: flushing may take a while, so other threads run meanwhile.
impl<E: Send> Drop for Handle<E> {
    fn drop(&mut self) {
        let Some(Opened { engine, values }) = self.opened.take() else { return };
        drop(values);
        Python::attach(|py| py.detach(|| drop(engine)));
    }
}

/// Reads a configuration in the form of `CacheConfig._to_json`.
pub(crate) fn parse_config(json: &str) -> PyResult<CacheConfig> {
    CacheConfig::read(&mut serde_json::Deserializer::from_str(json)).into_py_result()
}

/// Refuses a configuration in the form of `CacheConfig._to_json` whose values are invalid.
#[pyfunction]
pub(crate) fn check_config(json: &str) -> PyResult<()> {
    registry::check_url(&parse_config(json)?.store).into_py_result()
}

/// Refuses a configuration whose blob backend does not take its options.
#[pyfunction]
pub(crate) fn check_blob_options(json: &str) -> PyResult<()> {
    registry::check_blob_options(&parse_config(json)?.store).into_py_result()
}

/// The names of this release's metadata backends and blob backends.
#[pyfunction]
pub(crate) fn backends() -> (Vec<&'static str>, Vec<&'static str>) {
    (registry::metadata_backends(), registry::blob_backends())
}

/// Opens the store in `directory`; `:memory:` opens one in memory.
pub(crate) fn open(
    directory: PathBuf,
    config: StoreConfig,
    read_only: bool,
    clock: Clock,
) -> cacheness_core::Result<Store> {
    let place = if directory.as_os_str() == ":memory:" { Place::Memory } else { Place::Directory(directory) };
    let access = if read_only { OpenMode::ReadOnly } else { OpenMode::CreateOrOpen };
    open_store(&place, config, access, clock)
}
