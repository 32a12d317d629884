//! The catalog: details of connections, and the cache of metadata. Metadata and credentials are passed as JSON.

use std::path::PathBuf;
use std::time::Duration;

use cacheness_catalog::{Details, MetadataCache};
use cacheness_core::{Error, ErrorKind};
use pyo3::prelude::*;
use serde_json::Value;

use crate::clock::PyClock;
use crate::errors::{IntoPyResult, to_py};

/// The cache key of a connection, its engine, and the fields that are known.
type Described = (String, &'static str, Vec<(&'static str, String)>);

/// The canonical details of a connection.
#[pyfunction]
fn catalog_details(db_type: &str, credentials: &str) -> PyResult<Described> {
    let credentials: Value = serde_json::from_str(credentials)
        .map_err(|_| to_py(Error::new(ErrorKind::InvalidInput, "a value in db_creds is no plain value")))?;
    let details = Details::of(db_type, &credentials).into_py_result()?;
    let names = ["host", "port", "database", "user", "schema", "search_path"];
    let fields = names.into_iter().filter_map(|name| Some((name, details.get(name)?.to_owned()))).collect();
    Ok((details.cache_key(), details.engine().name(), fields))
}

/// Metadata of databases in files.
#[pyclass(frozen, module = "cacheness._core")]
struct CatalogCache(MetadataCache);

#[pymethods]
impl CatalogCache {
    #[new]
    #[pyo3(signature = (directory, ttl_seconds, clock=None))]
    fn new(directory: PathBuf, ttl_seconds: Option<f64>, clock: Option<&Bound<'_, PyClock>>) -> PyResult<Self> {
        let ttl = ttl_seconds.map(|seconds| {
            Duration::try_from_secs_f64(seconds).map_err(|_| {
                let what = format!("ttl_seconds is {seconds}");
                to_py(Error::new(ErrorKind::InvalidInput, what).with_hint("give seconds, 0 or more, or None"))
            })
        });
        let cache = MetadataCache::new(directory, ttl.transpose()?);
        Ok(Self(match clock {
            Some(clock) => cache.with_clock(clock.get().0.clone()),
            None => cache,
        }))
    }

    fn get(&self, py: Python<'_>, key: &str) -> PyResult<Option<String>> {
        py.detach(|| self.0.get_text(key)).into_py_result()
    }

    fn set(&self, py: Python<'_>, key: &str, metadata: &str) -> PyResult<()> {
        py.detach(|| self.0.set_text(key, metadata)).into_py_result()
    }

    fn invalidate(&self, py: Python<'_>, key: &str) -> PyResult<bool> {
        py.detach(|| self.0.invalidate(key)).into_py_result()
    }

    fn clear_all(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.0.clear_all()).into_py_result()
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<CatalogCache>()?;
    m.add_function(wrap_pyfunction!(catalog_details, m)?)
}
