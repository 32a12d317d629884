//! A metadata backend that is written in Python, as a store of records.

use cacheness_core::backends::{Change, Expected, RecordStore};
use cacheness_core::{ErrorKind, Result};
use pyo3::intern;
use pyo3::prelude::*;

use crate::errors::from_py;

/// An object derived from `MetadataBackend`.
#[derive(Debug)]
pub(super) struct PyRecords {
    name: String,
    object: Py<PyAny>,
}

impl PyRecords {
    pub(super) fn new(name: String, object: Py<PyAny>) -> Self {
        Self { name, object }
    }

    /// Calls a function of `cacheness._plugged`.
    fn call<T>(&self, action: &str, call: impl FnOnce(Python<'_>, &Bound<'_, PyAny>) -> PyResult<T>) -> Result<T> {
        Python::attach(|py| {
            let module = py.import(intern!(py, "cacheness._plugged"));
            module.and_then(|module| call(py, &module)).map_err(|error| {
                let what = format!("the metadata backend {} cannot {action}", self.name);
                from_py(py, error, ErrorKind::Metadata, what)
            })
        })
    }
}

impl RecordStore for PyRecords {
    fn name(&self) -> &str {
        &self.name
    }

    fn get(&self, keys: &[&str]) -> Result<Vec<Option<String>>> {
        self.call("read entries", |py, glue| glue.call_method1(intern!(py, "records"), (&self.object, keys))?.extract())
    }

    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.call("list entries", |py, glue| {
            glue.call_method1(intern!(py, "scan"), (&self.object, prefix, after, limit))?.extract()
        })
    }

    fn commit(&self, changes: &[Change<'_>], expected: &[Expected<'_>]) -> Result<bool> {
        let changes: Vec<_> = changes.iter().map(|change| (change.key, change.record)).collect();
        let expected: Vec<_> = expected.iter().map(|expected| (expected.key, expected.revision)).collect();
        self.call("commit", |py, glue| {
            glue.call_method1(intern!(py, "commit"), (&self.object, changes, expected))?.extract()
        })
    }

    fn close(&self) -> Result<()> {
        self.call("be closed", |py, _| self.object.call_method0(py, intern!(py, "close")).map(drop))
    }
}
