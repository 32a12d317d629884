//! Backends that are written in Python.
//!
//! The registry of the engine has one factory for each name of such a backend. Its `open` takes the object that was given
//! to the store which this thread is opening.

mod blobs;
mod metadata;

use std::cell::RefCell;
use std::sync::Arc;

use cacheness::registry::{self, BlobFactory, MetadataFactory};
use cacheness_core::backends::RecordsMetadata;
use cacheness_core::{Error, ErrorKind};
use pyo3::prelude::*;

use self::blobs::PyBlobs;
use self::metadata::PyRecords;
use crate::errors::IntoPyResult;

/// The prefix of their names in the engine, which no other backend has: a directory records the name.
const PREFIX: &str = "python:";

/// The backends that a store is given.
#[derive(Debug, Default)]
pub(crate) struct Plugged {
    metadata: Option<Py<PyAny>>,
    blobs: Option<Py<PyAny>>,
}

thread_local! {
    static GIVEN: RefCell<Plugged> = const { RefCell::new(Plugged { metadata: None, blobs: None }) };
}

impl Plugged {
    pub(crate) fn new(metadata: Option<Py<PyAny>>, blobs: Option<Py<PyAny>>) -> Self {
        Self { metadata, blobs }
    }

    /// Calls `open`, in which the factories find these backends.
    pub(crate) fn during<T>(self, open: impl FnOnce() -> T) -> T {
        struct Restore(Option<Plugged>);
        impl Drop for Restore {
            fn drop(&mut self) {
                let given = GIVEN.replace(self.0.take().unwrap_or_default());
                Python::attach(|_| drop(given));
            }
        }
        let _restore = Restore(Some(GIVEN.replace(self)));
        open()
    }
}

/// The name that the program gave the backend.
fn plain(name: &str) -> String {
    name.strip_prefix(PREFIX).unwrap_or(name).to_owned()
}

/// The object for a factory.
fn given(name: &str, pick: impl FnOnce(&Plugged) -> Option<&Py<PyAny>>) -> Result<Py<PyAny>, Error> {
    let found = GIVEN.with_borrow(|given| Python::attach(|py| pick(given).map(|object| object.clone_ref(py))));
    found.ok_or_else(|| {
        let what = format!("the backend {name:?} is written in Python, and was not given");
        Error::new(ErrorKind::Unsupported, what).with_hint(
            "open the store with the backend that it was made with, as an instance or under its registered name",
        )
    })
}

/// Makes the name of a backend known to the engine; returns the name that the engine has for it.
#[pyfunction]
pub(crate) fn plug_metadata(name: &str) -> PyResult<String> {
    let own = format!("{PREFIX}{name}");
    if !registry::metadata_backends().contains(&own.as_str()) {
        let called = own.clone();
        let factory = MetadataFactory::new(own.clone(), move |_context| {
            let object = given(&called, |given| given.metadata.as_ref())?;
            Ok(Box::new(RecordsMetadata::new(PyRecords::new(plain(&called), object))))
        });
        let registered = registry::register_metadata(factory.options(&[]).remote());
        // Another thread may have been faster.
        if !registry::metadata_backends().contains(&own.as_str()) {
            registered.into_py_result()?;
        }
    }
    Ok(own)
}

/// As [`plug_metadata`].
#[pyfunction]
pub(crate) fn plug_blobs(name: &str) -> PyResult<String> {
    let own = format!("{PREFIX}{name}");
    if !registry::blob_backends().contains(&own.as_str()) {
        let called = own.clone();
        let factory = BlobFactory::new(own.clone(), move |_context| {
            let object = given(&called, |given| given.blobs.as_ref())?;
            Ok(Arc::new(PyBlobs::new(plain(&called), object)?))
        });
        let registered = registry::register_blobs(factory.options(&[]));
        if !registry::blob_backends().contains(&own.as_str()) {
            registered.into_py_result()?;
        }
    }
    Ok(own)
}
