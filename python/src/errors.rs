//! Errors of the engine as the Python classes of `cacheness.errors`.

use std::cell::RefCell;

use cacheness_core::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::once::Once as _;

thread_local! {
    /// What a signal handler has raised while this thread waited for a server: the error to raise in place of
    /// `Cancelled`.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Whether a signal handler has raised, as that of Ctrl-C does.
pub(crate) fn interrupted() -> bool {
    match Python::attach(|py| py.check_signals()) {
        Ok(()) => false,
        Err(raised) => {
            RAISED.set(Some(raised));
            true
        }
    }
}

static MODULE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn class_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidInput => "CacheConfigurationError",
        ErrorKind::KeyEncoding | ErrorKind::Serialization => "CacheSerializationError",
        ErrorKind::Compression => "CacheCompressionError",
        ErrorKind::Metadata => "CacheMetadataError",
        ErrorKind::Storage | ErrorKind::NotFound => "CacheStorageError",
        ErrorKind::Integrity => "CacheIntegrityError",
        ErrorKind::Signature => "CacheSignatureError",
        ErrorKind::PickleRefused => "CachePickleError",
        ErrorKind::Unsupported => "CacheUnsupportedError",
        ErrorKind::NotAStore => "NotAStoreError",
        ErrorKind::NewerFormat => "CacheVersionError",
        ErrorKind::ReadOnly => "CacheReadOnlyError",
        ErrorKind::Closed => "CacheClosedError",
        ErrorKind::Busy | ErrorKind::Conflict => "CacheBusyError",
        ErrorKind::Unavailable => "CacheUnavailableError",
        ErrorKind::TimedOut => "CacheTimeoutError",
        ErrorKind::Denied => "CacheDeniedError",
        ErrorKind::Constraint => "CacheConstraintError",
        ErrorKind::Full => "CacheFullError",
        _ => "CacheError",
    }
}

/// The Python exception for `error`: its message with the messages of its causes, and its hint.
pub(crate) fn to_py(error: Error) -> PyErr {
    if error.kind() == ErrorKind::Cancelled
        && let Some(raised) = RAISED.take()
    {
        return raised;
    }
    Python::attach(|py| {
        let message = error.with_causes().to_string();
        let module = MODULE.get_or_make(py, || PyResult::Ok(py.import("cacheness.errors")?.into_any().unbind()));
        let class = match module.and_then(|m| m.bind(py).getattr(class_name(error.kind()))) {
            Ok(class) => class,
            Err(failed) => return failed,
        };
        match class.cast_into::<PyType>() {
            Ok(class) => PyErr::from_type(class, (message, error.hint().map(str::to_owned), error.is_retryable())),
            Err(failed) => failed.into(),
        }
    })
}

/// `?` on results of the engine in functions that return [`PyResult`].
pub(crate) trait IntoPyResult<T> {
    /// Turns the error into its Python exception.
    fn into_py_result(self) -> PyResult<T>;
}

impl<T> IntoPyResult<T> for cacheness_core::Result<T> {
    fn into_py_result(self) -> PyResult<T> {
        self.map_err(to_py)
    }
}
