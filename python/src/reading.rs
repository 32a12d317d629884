//! How this door reads: the interpreter is released while the engine may wait, and errors are those of Python.

use cacheness_core::Error;
use cacheness_core::cache::{Blocking, Failure, ReadError};
use pyo3::prelude::*;

use crate::errors::to_py;

/// Releases the interpreter while the engine may wait.
pub(crate) struct Detached<'py>(pub(crate) Python<'py>);

impl Blocking for Detached<'_> {
    const COSTS: bool = true;

    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.0.detach(work)
    }
}

/// Why a value cannot be read.
pub(crate) enum ReadFailure {
    /// The engine says so.
    Engine(Error),
    /// Decoding it raised this.
    Python(PyErr),
}

impl From<Error> for ReadFailure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<PyErr> for ReadFailure {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<ReadFailure> for PyErr {
    fn from(failure: ReadFailure) -> Self {
        match failure {
            ReadFailure::Engine(error) => to_py(error),
            ReadFailure::Python(error) => error,
        }
    }
}

impl ReadError for ReadFailure {
    fn failure(&self) -> Failure {
        let error = match self {
            Self::Engine(error) => return error.failure(),
            Self::Python(error) => error,
        };
        Python::attach(|py| {
            let is = |class: &str| {
                let class = py.import("cacheness.errors").and_then(|errors| errors.getattr(class));
                class.is_ok_and(|class| error.is_instance(py, &class))
            };
            if is("CacheIntegrityError") {
                Failure::Damaged
            } else if is("CacheError") {
                Failure::Unreadable
            } else {
                Failure::Unrelated
            }
        })
    }

    fn log_miss(&self) {
        Python::attach(|py| {
            let message = match self {
                Self::Engine(error) => error.with_causes().to_string(),
                Self::Python(error) => error.value(py).to_string(),
            };
            let logged = py.import("cacheness._log").and_then(|log| log.call_method1("miss", (message,)));
            if let Err(error) = logged {
                error.write_unraisable(py, None);
            }
        });
    }
}
