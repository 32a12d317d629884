//! A blob backend that refuses every blob, for the package's own tests of errors.

use std::sync::Arc;

use cacheness::registry::{self, BlobFactory};
use cacheness_core::backend::{BlobBackend, BlobCapability, BlobHint, BlobInfo, BlobReader, BlobWriter};
use cacheness_core::entry::BlobRef;
use cacheness_core::{Error, ErrorKind, Result};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::IntoPyResult;

/// Its errors have this kind, and say this about a retry.
#[derive(Clone, Copy, Debug)]
struct Failing {
    kind: ErrorKind,
    retryable: Option<bool>,
}

impl Failing {
    fn fail<T>(self) -> Result<T> {
        let error = Error::new(self.kind, "the backend fails");
        Err(match self.retryable {
            Some(retryable) => error.retryable(retryable),
            None => error,
        })
    }
}

impl BlobBackend for Failing {
    fn name(&self) -> &str {
        "failing"
    }

    fn capability(&self) -> BlobCapability {
        BlobCapability::LOCAL
    }

    fn create(&self, _hint: BlobHint<'_>) -> Result<Box<dyn BlobWriter>> {
        self.fail()
    }

    fn open(&self, _blob: &BlobRef) -> Result<Box<dyn BlobReader>> {
        self.fail()
    }

    fn delete(&self, _locators: &[&str]) -> Result<()> {
        self.fail()
    }

    fn list(&self, _after: Option<&str>, _limit: usize) -> Result<Vec<BlobInfo>> {
        self.fail()
    }
}

/// Registers the blob backend `name`, whose errors have the kind of this name.
#[pyfunction]
fn register_failing_blobs(name: String, kind: &str, retryable: Option<bool>) -> PyResult<()> {
    let kinds = [ErrorKind::Busy, ErrorKind::Storage, ErrorKind::Unavailable, ErrorKind::Denied];
    let kind = kinds.into_iter().find(|known| format!("{known:?}") == kind);
    let kind = kind.ok_or_else(|| PyValueError::new_err("no kind that a test needs"))?;
    registry::register_blobs(BlobFactory::new(name, move |_| Ok(Arc::new(Failing { kind, retryable }))))
        .into_py_result()
}

pub(crate) fn register_testing(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(register_failing_blobs, m)?)
}
