//! The names of NumPy that are needed, looked up once.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::numpy_api;
use crate::once::Once as _;

pub(super) struct Numpy {
    pub(super) ndarray: Py<PyType>,
    pub(super) generic: Py<PyType>,
    pub(super) void: Py<PyType>,
    pub(super) masked_array: Py<PyType>,
    pub(super) nomask: Py<PyAny>,
    pub(super) array: Py<PyAny>,
    pub(super) asarray: Py<PyAny>,
    pub(super) ascontiguousarray: Py<PyAny>,
    pub(super) empty: Py<PyAny>,
    pub(super) dtype: Py<PyAny>,
    pub(super) descr_to_dtype: Py<PyAny>,
    pub(super) literal_eval: Py<PyAny>,
}

static NUMPY: PyOnceLock<Numpy> = PyOnceLock::new();

impl Numpy {
    /// NumPy, imported if it is not yet.
    pub(super) fn import(py: Python<'_>) -> PyResult<&'static Self> {
        NUMPY.get_or_make(py, || {
            let numpy = numpy_api::ready(py)?;
            let class = |name: &str| PyResult::Ok(numpy.getattr(name)?.cast_into::<PyType>()?.unbind());
            let masked = numpy.getattr("ma")?;
            Ok(Self {
                ndarray: class("ndarray")?,
                generic: class("generic")?,
                void: class("void")?,
                masked_array: masked.getattr("MaskedArray")?.cast_into::<PyType>()?.unbind(),
                nomask: masked.getattr("nomask")?.unbind(),
                array: numpy.getattr("array")?.unbind(),
                asarray: numpy.getattr("asarray")?.unbind(),
                ascontiguousarray: numpy.getattr("ascontiguousarray")?.unbind(),
                empty: numpy.getattr("empty")?.unbind(),
                dtype: numpy.getattr("dtype")?.unbind(),
                descr_to_dtype: py.import("numpy.lib.format")?.getattr("descr_to_dtype")?.unbind(),
                literal_eval: py.import("ast")?.getattr("literal_eval")?.unbind(),
            })
        })
    }

    /// NumPy, if the process has imported all of it: otherwise no value can be of it.
    pub(super) fn loaded(py: Python<'_>) -> PyResult<Option<&'static Self>> {
        if let Some(numpy) = NUMPY.get(py) {
            return Ok(Some(numpy));
        }
        match numpy_api::loaded(py)? {
            Some(_) => Self::import(py).map(Some),
            None => Ok(None),
        }
    }
}
