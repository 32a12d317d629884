//! A decorated function: the code on the path of every call. `cacheness.decorators` derives from it.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::cache::PyCache;
use crate::call_site::CallSite;
use crate::flights::CallKey;
use crate::once::Once as _;

/// A function whose results are kept.
#[pyclass(frozen, subclass, module = "cacheness._core", name = "FunctionBase")]
pub(crate) struct Function {
    /// The `Site` in Python, for calls that are not plain hits.
    site: Py<PyAny>,
    calls: Py<CallSite>,
    /// Converts the arguments of a call into parameters.
    bind: Py<PyAny>,
    /// The cache, or a callable that returns the current default.
    cache: Py<PyAny>,
    /// Runs a call of a coroutine function: takes the arguments as a tuple and a dictionary or `None`.
    run: Option<Py<PyAny>>,
    /// Whether hits are reported to the site.
    verbose: bool,
}

impl Function {
    fn found<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let site = self.site.bind(py);
        let calls = self.calls.bind(py).get();
        let cache = match self.cache(py) {
            Ok(cache) => cache,
            Err(error) => return site.call_method1(intern!(py, "without_cache"), (error, args, kwargs)),
        };
        if !calls.knows_code() {
            site.call_method0(intern!(py, "note_code"))?;
        }
        let params = self.bind.bind(py).call(args, kwargs)?.cast_into::<PyDict>()?;
        let key = match calls.key_of(&params, cache.get().opened()?) {
            Ok(key) => key,
            Err(error) => return site.call_method1(intern!(py, "without_key"), (error, args, kwargs)),
        };
        let found = calls.lookup_key(py, cache.get(), key)?;
        if found.is_exact_instance_of::<CallKey>() {
            return site.call_method1(intern!(py, "missed_call"), (cache, found, args, kwargs));
        }
        if self.verbose {
            site.call_method1(intern!(py, "log_hit"), (params,))?;
        }
        Ok(found)
    }

    fn cache<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCache>> {
        let cache = self.cache.bind(py);
        match cache.cast::<PyCache>() {
            Ok(cache) => Ok(cache.clone()),
            Err(_) => Ok(cache.call0()?.cast_into()?),
        }
    }
}

#[pymethods]
impl Function {
    #[new]
    #[pyo3(signature = (site, calls, bind, cache, run=None, verbose=false))]
    fn new(
        site: Py<PyAny>,
        calls: Py<CallSite>,
        bind: Py<PyAny>,
        cache: Py<PyAny>,
        run: Option<Py<PyAny>>,
        verbose: bool,
    ) -> Self {
        Self { site, calls, bind, cache, run, verbose }
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match &self.run {
            Some(run) => run.bind(py).call1((args, kwargs)),
            None => self.found(py, args, kwargs),
        }
    }

    /// In a class the function is a method.
    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        instance: &Bound<'py, PyAny>,
        owner: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        static METHOD: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let _ = owner;
        if instance.is_none() {
            return Ok(slf.clone().into_any());
        }
        let py = slf.py();
        let method = METHOD.get_or_make(py, || {
            PyResult::Ok(py.import("types")?.getattr("MethodType")?.cast_into::<PyType>()?.unbind())
        })?;
        method.bind(py).call1((slf, instance))
    }

    /// The call site, with its counts and the function's code.
    #[getter]
    fn _site(&self, py: Python<'_>) -> Py<PyAny> {
        self.site.clone_ref(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.site)?;
        visit.call(&self.calls)?;
        visit.call(&self.bind)?;
        visit.call(&self.cache)?;
        visit.call(&self.run)
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Function>()
}
