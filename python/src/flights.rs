//! The Python objects of a search for a value: the key, its turn, and the right to compute.

use cacheness_core::cache::{Search, Served};
use cacheness_core::clock::Timestamp;
use cacheness_core::flight::{Flight, Scope};
use cacheness_core::key::Caption;
use cacheness_core::payload::Stored;
use cacheness_core::store::EntryKey;
use parking_lot::Mutex;
use pyo3::exceptions::{PyBaseException, PyException, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;
use pyo3::{PyTraverseError, PyVisit};

use crate::cache::PyCache;
use crate::call_site::CallSite;

/// The result of a lookup without a value: the key for computing and putting, and other findings.
#[pyclass(frozen, module = "cacheness._core", name = "CallKey")]
pub(crate) struct CallKey {
    pub(crate) key: EntryKey,
    /// Why the cache could not be read.
    pub(crate) error: Option<Py<PyBaseException>>,
    /// A value to serve, and when it was put: it must be recomputed.
    pub(crate) due: Option<(Py<PyAny>, Timestamp)>,
    /// A value that a thread that may block must read, and when it was put if it is due.
    pub(crate) deferred: Mutex<Option<Served<Box<Stored>>>>,
}

impl CallKey {
    /// The key of a call whose value is missing.
    pub(crate) fn new(key: EntryKey) -> Self {
        Self { key, error: None, due: None, deferred: Mutex::new(None) }
    }

    /// The key of a call that failed.
    pub(crate) fn failed(py: Python<'_>, key: EntryKey, error: PyErr) -> Self {
        Self { error: Some(error.into_value(py)), ..Self::new(key) }
    }
}

#[pymethods]
impl CallKey {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.error)?;
        visit.call(self.due.as_ref().map(|(value, _)| value))
    }

    /// The key as text.
    #[getter]
    fn key(&self) -> &str {
        self.key.as_str()
    }

    /// The call or the parameters, as in listings.
    #[getter]
    fn call(&self) -> String {
        let caption = match &self.key {
            EntryKey::Params { encoding, .. } => Caption::of_params(encoding).ok(),
            EntryKey::Name(_) => None,
        };
        caption.unwrap_or_else(|| Caption::of_name(self.key.as_str())).call
    }

    /// Why the cache could not be read.
    #[getter]
    fn error<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.error.as_ref().map(|error| error.bind(py).clone().into_any())
    }

    /// Whether to serve `value` while one caller recomputes it.
    #[getter]
    fn due(&self) -> bool {
        self.due.is_some()
    }

    /// The value that is due.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.due.as_ref().map(|(value, _)| value.bind(py).clone())
    }

    /// Whether `CallSite.read` returns a value.
    #[getter]
    fn deferred(&self) -> bool {
        self.deferred.lock().is_some()
    }
}

/// The right to compute a value while others wait for it.
#[pyclass(frozen, module = "cacheness._core", name = "Flight")]
pub(crate) struct PyFlight {
    flight: Mutex<Option<Flight>>,
    scope: Scope,
}

impl PyFlight {
    pub(crate) fn new(flight: Flight) -> Self {
        Self { scope: flight.scope(), flight: Mutex::new(Some(flight)) }
    }

    /// The scope of calls that run inside this flight.
    pub(crate) fn scope_of(inside: Option<&Bound<'_, Self>>) -> Scope {
        inside.map_or_else(Scope::outside, |flight| flight.get().scope.clone())
    }
}

#[pymethods]
impl PyFlight {
    /// The entry exists: waiting callers look it up again.
    fn stored(&self) {
        if let Some(flight) = self.flight.lock().take() {
            flight.stored();
        }
    }

    /// No entry will be stored: waiting callers compute for themselves.
    fn failed(&self) {
        if let Some(flight) = self.flight.lock().take() {
            flight.failed();
        }
    }

    /// The computation was interrupted: another caller takes over.
    fn interrupted(&self) {
        drop(self.flight.lock().take());
    }
}

/// Runs code as part of a flight, which nested lookups find in a context variable.
///
/// An exception ends the flight, and waiting callers compute for themselves. After Ctrl-C, or when a task is cancelled,
/// another caller takes over. Written in Rust, because no signal handler runs between its calls.
#[pyclass(frozen, module = "cacheness._core")]
pub(crate) struct PartOf {
    variable: Py<PyAny>,
    flight: Option<Py<PyFlight>>,
    token: Mutex<Option<Py<PyAny>>>,
}

#[pymethods]
impl PartOf {
    #[new]
    fn new(variable: Py<PyAny>, flight: Option<Py<PyFlight>>) -> Self {
        Self { variable, flight, token: Mutex::new(None) }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.variable)?;
        visit.call(&self.flight)
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(flight) = &self.flight {
            let token = self.variable.call_method1(py, intern!(py, "set"), (flight,))?;
            *self.token.lock() = Some(token);
        }
        Ok(())
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        kind: Option<&Bound<'_, PyType>>,
        _error: Option<&Bound<'_, PyAny>>,
        _trace: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let Some(flight) = &self.flight else { return Ok(()) };
        match kind {
            Some(kind) if kind.is_subclass_of::<PyException>()? => flight.get().failed(),
            Some(_) => flight.get().interrupted(),
            None => {}
        }
        let token = self.token.lock().take();
        if let Some(token) = token
            && let Err(error) = self.variable.call_method1(py, intern!(py, "reset"), (token,))
            // An abandoned coroutine is closed in the context of its garbage collection.
            && !error.is_instance_of::<PyValueError>(py)
        {
            return Err(error);
        }
        Ok(())
    }
}

/// A task's request for a missing value.
#[pyclass(frozen, module = "cacheness._core", name = "Turn")]
pub(crate) struct PyTurn {
    pub(crate) site: Py<CallSite>,
    pub(crate) cache: Py<PyCache>,
    pub(crate) search: Mutex<Search>,
}

#[pymethods]
impl PyTurn {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.site)?;
        visit.call(&self.cache)
    }

    /// A `Flight` to compute with, a value, or a `CallKey` whose value must be read; `None` to ask again after
    /// `delay()`. Pass `look=False` if the entry is known to be damaged.
    #[pyo3(signature = (look=true))]
    fn step<'py>(&self, py: Python<'py>, look: bool) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut search = self.search.lock();
        if !look {
            search.distrust();
        }
        self.site.bind(py).get().step(py, self.cache.bind(py).get(), &mut search)
    }

    /// The seconds to wait.
    fn delay(&self) -> f64 {
        self.search.lock().delay().as_secs_f64()
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<CallKey>()?;
    m.add_class::<PyFlight>()?;
    m.add_class::<PartOf>()?;
    m.add_class::<PyTurn>()
}
