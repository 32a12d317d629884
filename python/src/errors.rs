//! Errors of the engine as the Python classes of `cacheness.errors`.

use std::cell::RefCell;

use cacheness_core::{Error, ErrorKind, interrupt};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use rustix::io::Errno;

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
        let raised = match class.cast_into::<PyType>() {
            Ok(class) => PyErr::from_type(class, (message, error.hint().map(str::to_owned), error.is_retryable())),
            Err(failed) => return failed.into(),
        };
        if let Some(cause) = python_cause(&error) {
            raised.set_cause(py, Some(cause.clone_ref(py)));
        }
        raised
    })
}

/// The exception of a backend written in Python that caused `error`.
fn python_cause(error: &Error) -> Option<&PyErr> {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source())
        .find_map(|cause| cause.downcast_ref())
}

/// The error of a call into Python that raised `raised`: `what` says what failed. An exception that is none of a class that
/// tells more has this kind.
///
/// What is no `Exception`, as that of Ctrl-C, comes out unchanged in [`to_py`].
pub(crate) fn from_py(py: Python<'_>, raised: PyErr, kind: ErrorKind, what: String) -> Error {
    if !raised.is_instance_of::<PyException>(py) {
        RAISED.set(Some(raised));
        return interrupt::cancelled();
    }
    let mro = raised.get_type(py).mro();
    let names = mro.iter().filter_map(|class| class.getattr("__name__").ok()?.extract::<String>().ok());
    let found = names.filter_map(|name| kind_named(&name)).next();
    let value = raised.value(py);
    let retryable = value.getattr("retryable").and_then(|retryable| retryable.extract::<bool>()).ok();
    let number = value.getattr("errno").and_then(|number| number.extract::<i32>()).ok();
    let mut error = Error::new(found.unwrap_or(kind), what);
    if let Some(retryable) = retryable {
        error = error.retryable(retryable);
    }
    let full = [Errno::NOSPC, Errno::DQUOT].map(Errno::raw_os_error);
    if number.is_some_and(|number| full.contains(&number)) {
        error = error.for_want_of_space();
    }
    error.with_source(raised)
}

/// The kind of the exceptions with this name: classes of this package, of Python, and of clients that name theirs like
/// those of Python.
fn kind_named(class: &str) -> Option<ErrorKind> {
    Some(match class {
        "CacheConfigurationError" => ErrorKind::InvalidInput,
        "CacheSerializationError" => ErrorKind::Serialization,
        "CacheMetadataError" => ErrorKind::Metadata,
        "CacheIntegrityError" => ErrorKind::Integrity,
        "CacheUnsupportedError" => ErrorKind::Unsupported,
        "CacheReadOnlyError" => ErrorKind::ReadOnly,
        "CacheClosedError" => ErrorKind::Closed,
        "CacheBusyError" => ErrorKind::Busy,
        "CacheFullError" => ErrorKind::Full,
        "CacheStorageError" => ErrorKind::Storage,
        "CacheUnavailableError" | "ConnectionError" => ErrorKind::Unavailable,
        "CacheTimeoutError" | "TimeoutError" => ErrorKind::TimedOut,
        "CacheDeniedError" | "PermissionError" | "AuthenticationError" => ErrorKind::Denied,
        "FileNotFoundError" => ErrorKind::NotFound,
        _ => return None,
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
