//! NumPy as a module: whether it is there, and its table of C functions.

use std::thread;

use numpy::{PyArrayDescr, PyUntypedArray};
use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyImportError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// What to do where NumPy cannot be imported, as for the packages of tables.
pub(crate) const HINT: &str = "pip install 'cacheness[dataframes]'";

/// NumPy, if the process has imported all of it: before that no value can be of it.
pub(crate) fn loaded(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?.cast_into::<PyDict>()?;
    match modules.get_item(intern!(py, "numpy"))? {
        Some(numpy) if !is_begun(&numpy)? => Ok(Some(numpy)),
        _ => Ok(None),
    }
}

/// Whether a module is being imported, by another thread or by one that was interrupted to call us. The import system
/// itself knows it from this attribute.
fn is_begun(module: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = module.py();
    let spec = module.getattr_opt(intern!(py, "__spec__"))?;
    let begun = spec.map(|spec| spec.getattr_opt(intern!(py, "_initializing"))).transpose()?.flatten();
    begun.map_or(Ok(false), |begun| begun.is_truthy())
}

/// Imports NumPy, and finds its C functions: anything of the `numpy` crate may be used after this, and nothing before.
///
/// That crate finds them when it needs the first, with code in Python, and panics where that fails. In the main thread
/// such code ends with `KeyboardInterrupt` where Ctrl-C comes at the wrong time; so another thread runs it, in which
/// Python raises no signals.
///
/// # Errors
/// `ImportError` if there is no NumPy, if it is of another C interface, or if its import has begun and has not ended.
pub(crate) fn ready(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static READY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if let Some(numpy) = READY.get(py) {
        return Ok(numpy.bind(py).clone());
    }
    let numpy = py.import(intern!(py, "numpy"))?.into_any();
    if is_begun(&numpy)? {
        // Another thread would wait for the import, and we for the other thread.
        return Err(PyImportError::new_err("NumPy is being imported: arrays can be used when that has ended"));
    }
    let found =
        py.detach(|| thread::Builder::new().name("cacheness-numpy".into()).spawn(find).map(|found| found.join()));
    match found {
        Ok(Ok(Some(()))) => {}
        Ok(Ok(None)) => return Err(PyRuntimeError::new_err("arrays cannot be used while Python ends")),
        Ok(Err(_)) => {
            return Err(PyImportError::new_err("this NumPy has not the C interface that cacheness is built for"));
        }
        // No thread can be had: what follows is as good, unless Ctrl-C comes now.
        Err(_) => touch(py),
    }
    READY.get_or_init(py, || numpy.clone().unbind());
    Ok(numpy)
}

fn find() -> Option<()> {
    Python::try_attach(touch)
}

fn touch(py: Python<'_>) {
    PyUntypedArray::type_object(py);
    PyArrayDescr::type_object(py);
}
