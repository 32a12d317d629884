//! The NumPy module: whether it is imported, and its table of C functions.

use std::thread;

use numpy::{PyArrayDescr, PyUntypedArray};
use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyImportError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// The hint if NumPy cannot be imported, as for the packages of tables.
pub(crate) const HINT: &str = "pip install 'cacheness[dataframes]'";

/// NumPy, if the process has imported it completely: before that no value can be one of its types.
pub(crate) fn loaded(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?.cast_into::<PyDict>()?;
    match modules.get_item(intern!(py, "numpy"))? {
        Some(numpy) if !is_begun(&numpy)? => Ok(Some(numpy)),
        _ => Ok(None),
    }
}

/// Whether a module is being imported, by another thread or by one that was interrupted to call this. The import system
/// itself uses this attribute.
fn is_begun(module: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = module.py();
    let spec = module.getattr_opt(intern!(py, "__spec__"))?;
    let begun = spec.map(|spec| spec.getattr_opt(intern!(py, "_initializing"))).transpose()?.flatten();
    begun.map_or(Ok(false), |begun| begun.is_truthy())
}

/// Imports NumPy, and finds its C functions: anything of the `numpy` crate may be used after this, and nothing before.
///
/// That crate finds them at the first use, with code in Python, and panics if that fails. In the main thread, Ctrl-C at
/// the wrong time would end that code with `KeyboardInterrupt`; so another thread runs it, where Python raises no signals.
///
/// # Errors
/// `ImportError` if NumPy is missing, has another C interface, or is still being imported.
pub(crate) fn ready(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static READY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if let Some(numpy) = READY.get(py) {
        return Ok(numpy.bind(py).clone());
    }
    let numpy = py.import(intern!(py, "numpy"))?.into_any();
    if is_begun(&numpy)? {
        // The other thread would wait for the import, and this one for the other thread.
        return Err(PyImportError::new_err("NumPy is still being imported: use arrays after the import has ended"));
    }
    let found =
        py.detach(|| thread::Builder::new().name("cacheness-numpy".into()).spawn(find).map(|found| found.join()));
    match found {
        Ok(Ok(Some(()))) => {}
        Ok(Ok(None)) => return Err(PyRuntimeError::new_err("arrays cannot be used while Python shuts down")),
        Ok(Err(_)) => {
            return Err(PyImportError::new_err("this NumPy does not have the C interface that cacheness is built for"));
        }
        // No thread is available: run it here, where only Ctrl-C at this moment could interrupt it.
        Err(_) => touch(py),
    }
    let _ = READY.set(py, numpy.clone().unbind());
    Ok(numpy)
}

fn find() -> Option<()> {
    Python::try_attach(touch)
}

fn touch(py: Python<'_>) {
    PyUntypedArray::type_object(py);
    PyArrayDescr::type_object(py);
}
