//! Classes that the walk knows, looked up once.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use super::arrays::NumPy;
use crate::numpy_api;
use crate::once::Once as _;

/// The classes of `cacheness._keys` and of the standard library.
pub(crate) struct Reducer {
    pub(crate) reduce: Py<PyAny>,
    pub(crate) zone_name: Py<PyAny>,
    pub(crate) unencodable: Py<PyType>,
    pub(crate) tuple_parts: Py<PyType>,
    pub(crate) list_parts: Py<PyType>,
    pub(crate) map_parts: Py<PyType>,
    pub(crate) named: Py<PyType>,
    pub(crate) reference: Py<PyType>,
    pub(crate) member: Py<PyType>,
    pub(crate) scalar: Py<PyType>,
    pub(crate) typed_array: Py<PyType>,
    pub(crate) text: Py<PyType>,
    pub(crate) column: Py<PyType>,
    pub(crate) table: Py<PyType>,
    pub(crate) datetime: Py<PyType>,
    pub(crate) date: Py<PyType>,
    pub(crate) time: Py<PyType>,
    pub(crate) timedelta: Py<PyType>,
    pub(crate) timezone: Py<PyType>,
    pub(crate) decimal: Py<PyType>,
    pub(crate) uuid: Py<PyType>,
    pub(crate) paths: [Py<PyType>; 2],
    pub(crate) pure_paths: [Py<PyType>; 2],
}

static REDUCER: PyOnceLock<Reducer> = PyOnceLock::new();

impl Reducer {
    pub(crate) fn get(py: Python<'_>) -> PyResult<&Self> {
        REDUCER.get_or_make(py, || Self::load(py))
    }

    fn load(py: Python<'_>) -> PyResult<Self> {
        let keys = py.import("cacheness._keys")?;
        let parts = py.import("cacheness._keys_parts")?;
        let class = |module: &str, name: &str| -> PyResult<Py<PyType>> {
            let module = if module.is_empty() { parts.clone() } else { py.import(module)? };
            Ok(module.getattr(name)?.cast_into::<PyType>()?.unbind())
        };
        Ok(Self {
            reduce: keys.getattr("reduce")?.unbind(),
            zone_name: parts.getattr("zone_name")?.unbind(),
            unencodable: class("", "Unencodable")?,
            tuple_parts: class("", "TupleParts")?,
            list_parts: class("", "ListParts")?,
            map_parts: class("", "MapParts")?,
            named: class("", "Named")?,
            reference: class("", "Ref")?,
            member: class("", "Member")?,
            scalar: class("", "Scalar")?,
            typed_array: class("", "TypedArray")?,
            text: class("", "Text")?,
            column: class("", "Column")?,
            table: class("", "Table")?,
            datetime: class("datetime", "datetime")?,
            date: class("datetime", "date")?,
            time: class("datetime", "time")?,
            timedelta: class("datetime", "timedelta")?,
            timezone: class("datetime", "timezone")?,
            decimal: class("decimal", "Decimal")?,
            uuid: class("uuid", "UUID")?,
            paths: [class("pathlib", "PosixPath")?, class("pathlib", "WindowsPath")?],
            pure_paths: [class("pathlib", "PurePosixPath")?, class("pathlib", "PureWindowsPath")?],
        })
    }
}

static NUMPY: PyOnceLock<NumPy> = PyOnceLock::new();

/// NumPy's classes, if NumPy has been imported: before that no value can be one of its objects.
pub(crate) fn numpy(py: Python<'_>) -> PyResult<Option<&NumPy>> {
    if let Some(numpy) = NUMPY.get(py) {
        return Ok(Some(numpy));
    }
    match numpy_api::loaded(py)? {
        Some(_) => NUMPY.get_or_make(py, || NumPy::load(py)).map(Some),
        None => Ok(None),
    }
}

/// Whether `class` is the type of an object, given by its pointer.
pub(crate) fn is(class: &Py<PyType>, pointer: *mut ffi::PyTypeObject) -> bool {
    class.as_ptr() == pointer.cast()
}
