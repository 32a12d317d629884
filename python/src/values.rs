//! Python values to payloads: the order in which handlers are tried.
//!
//! | module | subject |
//! |---|---|
//! | [`decode`] | payloads to values |
//! | [`pickle`] | pickles |
//! | [`custom`] | custom handlers |
//!
//! Invariant: the engine decides whether a pickle may be written or read, before this module sees a byte of it.

mod custom;
mod decode;
mod pickle;

use std::sync::atomic::{AtomicBool, Ordering};

use cacheness_core::config::{Codec, CompressionConfig, StoreConfig};
use cacheness_core::entry::Name;
use cacheness_core::payload::Encoded;
use cacheness_core::storable::encode_plain;
use cacheness_core::store::Store;
use cacheness_core::{Error, ErrorKind};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use crate::errors::{IntoPyResult, to_py};
use crate::{arrays, plain, tables};

pub(crate) use decode::{Check, Reading};

/// Whether the registry that all caches share has custom handlers.
static DEFAULT_HANDLERS_CHANGED: AtomicBool = AtomicBool::new(false);

#[pyfunction]
fn set_default_handlers_changed(changed: bool) {
    DEFAULT_HANDLERS_CHANGED.store(changed, Ordering::Relaxed);
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(set_default_handlers_changed, m)?)
}

/// Encodes and decodes the values of one cache.
pub(crate) struct Values {
    compression: CompressionConfig,
    /// `HandlerRegistry`.
    registry: Py<PyAny>,
    /// `CompressionConfig` of the package, for custom handlers.
    python_config: Py<PyAny>,
    dill_fallback: bool,
    handlers_changed: AtomicBool,
}

impl Values {
    pub(crate) fn new(py: Python<'_>, config: &StoreConfig, registry: Py<PyAny>) -> PyResult<Self> {
        let bound = registry.bind(py);
        let changed = !bound.call_method0("_is_plain")?.is_truthy()?;
        let dill_fallback = bound.getattr("_config")?.getattr("enable_dill_fallback")?.is_truthy()?;
        let python_config = bound.getattr("_compression")?.unbind();
        Ok(Self {
            compression: config.compression.clone(),
            registry,
            python_config,
            dill_fallback,
            handlers_changed: AtomicBool::new(changed),
        })
    }

    /// A copy with another codec for plain data and pickles.
    pub(crate) fn with_codec(&self, py: Python<'_>, codec: Codec) -> Self {
        Self {
            compression: self.compression.with_pickle_codec(codec),
            registry: self.registry.clone_ref(py),
            python_config: self.python_config.clone_ref(py),
            dill_fallback: self.dill_fallback,
            handlers_changed: AtomicBool::new(self.handlers_changed.load(Ordering::Relaxed)),
        }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.registry)?;
        visit.call(&self.python_config)
    }

    pub(crate) fn set_handlers_changed(&self, changed: bool) {
        self.handlers_changed.store(changed, Ordering::Relaxed);
    }

    /// Encodes `value` with the first handler that accepts it and passes the payload to `store`.
    pub(crate) fn encode<'py, R>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        store: &Store,
        write: impl FnOnce(Python<'py>, Encoded<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let asked = self.handlers_changed.load(Ordering::Relaxed) || DEFAULT_HANDLERS_CHANGED.load(Ordering::Relaxed);
        if asked {
            return self.encode_asking(py, value, store, write);
        }
        let mut refused = None;
        if has_own_format(value)? {
            if let Some(prepared) = arrays::prepare(value)? {
                return self.array(py, &prepared, write);
            }
            if let Some(encoded) = tables::encode(value, &self.compression, &mut refused)? {
                return write(py, encoded);
            }
        }
        // A value with a format of its own is stored as plain data only if that format cannot hold it.
        if let Some(encoded) = self.plain(value)? {
            return write(py, encoded);
        }
        self.pickle(py, value, store, refused, write)
    }

    /// Calls the registry, which has custom handlers, switches and priorities.
    fn encode_asking<'py, R>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        store: &Store,
        write: impl FnOnce(Python<'py>, Encoded<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let own_format = has_own_format(value)?;
        let (mut enabled, mut no_array) = (false, false);
        let mut refused = None;
        for candidate in self.registry.bind(py).call_method1(intern!(py, "_candidates"), (value,))?.try_iter()? {
            let candidate = candidate?;
            let Ok(name) = candidate.cast::<PyString>() else {
                let (name, handler): (String, Bound<'py, PyAny>) = candidate.extract()?;
                return self.custom(py, &name, &handler, value, store, write);
            };
            let name = name.to_str()?;
            match Builtin::from_name(name) {
                Some(Builtin::Plain) if !own_format => {
                    if let Some(encoded) = self.plain(value)? {
                        return write(py, encoded);
                    }
                }
                Some(Builtin::Plain) => enabled = true,
                Some(Builtin::Arrays) => {
                    if let Some(prepared) = arrays::prepare(value)? {
                        return self.array(py, &prepared, write);
                    }
                    no_array = own_format;
                }
                Some(Builtin::Tables) if own_format => {
                    if let Some(encoded) = tables::encode(value, &self.compression, &mut refused)?
                        && encoded.format.handler == name
                    {
                        return write(py, encoded);
                    }
                }
                Some(Builtin::Pickle) => {
                    if enabled
                        && no_array
                        && let Some(encoded) = self.plain(value)?
                    {
                        return write(py, encoded);
                    }
                    return self.pickle(py, value, store, refused, write);
                }
                _ => {}
            }
        }
        if enabled
            && no_array
            && let Some(encoded) = self.plain(value)?
        {
            return write(py, encoded);
        }
        Err(tables::because(py, no_handler(value), refused))
    }

    fn array<'py, R>(
        &self,
        py: Python<'py>,
        prepared: &arrays::Prepared,
        write: impl FnOnce(Python<'py>, Encoded<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let encoded = py.detach(|| prepared.encode(&self.compression)).into_py_result()?;
        write(py, encoded)
    }

    fn plain(&self, value: &Bound<'_, PyAny>) -> PyResult<Option<Encoded<'static>>> {
        let mut payload = Vec::with_capacity(256);
        if !plain::dump(value, &mut payload)? {
            return Ok(None);
        }
        encode_plain(payload, object_type(value)?, &self.compression).into_py_result().map(Some)
    }
}

fn no_handler(value: &Bound<'_, PyAny>) -> PyErr {
    let name = object_type(value).unwrap_or(Name::Borrowed("?"));
    to_py(
        Error::new(ErrorKind::Serialization, format!("no handler stores a value of type {name}"))
            .with_hint("enable one in HandlerConfig, or register a custom handler"),
    )
}

/// `module.qualname` of the value's type.
pub(crate) fn object_type(value: &Bound<'_, PyAny>) -> PyResult<Name> {
    use pyo3::types::PyBool;
    if value.is_exact_instance_of::<PyDict>() {
        return Ok(Name::Borrowed("builtins.dict"));
    }
    if value.is_exact_instance_of::<PyList>() {
        return Ok(Name::Borrowed("builtins.list"));
    }
    if value.is_exact_instance_of::<PyString>() {
        return Ok(Name::Borrowed("builtins.str"));
    }
    if value.is_exact_instance_of::<PyTuple>() {
        return Ok(Name::Borrowed("builtins.tuple"));
    }
    if value.is_exact_instance_of::<PyBool>() {
        return Ok(Name::Borrowed("builtins.bool"));
    }
    if value.is_exact_instance_of::<PyInt>() {
        return Ok(Name::Borrowed("builtins.int"));
    }
    if value.is_exact_instance_of::<PyFloat>() {
        return Ok(Name::Borrowed("builtins.float"));
    }
    let class = value.get_type();
    // A class may have replaced its names by anything, and a metaclass may raise.
    let text = |name: PyResult<Bound<'_, PyString>>| match name {
        Ok(name) => name.to_string_lossy().into_owned(),
        Err(_) => "?".to_owned(),
    };
    Ok(Name::Owned(format!("{}.{}", text(class.module()), text(class.qualname()))))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Builtin {
    Plain,
    Arrays,
    Tables,
    Pickle,
}

impl Builtin {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "plain_objects" => Self::Plain,
            "numpy_arrays" => Self::Arrays,
            "object_pickle" => Self::Pickle,
            "pandas_dataframes" | "pandas_series" | "polars_dataframes" | "polars_series" | "arrow_tables" => {
                Self::Tables
            }
            _ => return None,
        })
    }
}

/// Whether the value is of a package whose values have formats of their own: at the top level they are not plain data.
fn has_own_format(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = value.py();
    let class = value.get_type();
    if is_builtin(&class) {
        return Ok(false);
    }
    let Ok(module) = class.getattr(intern!(py, "__module__")) else { return Ok(false) };
    let Ok(module) = module.extract::<&str>() else { return Ok(false) };
    Ok(matches!(module.split('.').next(), Some("numpy" | "pandas" | "polars" | "pyarrow")))
}

fn is_builtin(class: &Bound<'_, PyType>) -> bool {
    let py = class.py();
    class.is(py.get_type::<PyDict>())
        || class.is(py.get_type::<PyList>())
        || class.is(py.get_type::<PyString>())
        || class.is(py.get_type::<PyTuple>())
        || class.is(py.get_type::<PyFloat>())
        || class.is(py.get_type::<PyInt>())
        || class.is(py.get_type::<PyBytes>())
}
