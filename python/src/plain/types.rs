//! Types outside `builtins`, looked up once.
//!
//! Writing never imports a module: a value of its types cannot exist before the program has imported it.

use pyo3::exceptions::PyAttributeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

use crate::once::Once as _;

/// Whether the type of `value` is exactly `class`.
#[inline]
pub(super) fn is_exact(value: &Bound<'_, PyAny>, class: &Py<PyType>) -> bool {
    std::ptr::eq(value.get_type_ptr().cast(), class.as_ptr())
}

/// The types that one module provides.
pub(super) trait Module: Sized + Send + Sync + 'static {
    /// The module's name.
    const NAME: &'static str;

    /// Where the types are kept.
    fn cell() -> &'static PyOnceLock<Self>;

    /// Looks the types up.
    fn find(module: &Bound<'_, PyModule>) -> PyResult<Self>;

    /// The types; imports the module.
    fn import(py: Python<'_>) -> PyResult<&'static Self> {
        Self::cell().get_or_make(py, || Self::find(&py.import(Self::NAME)?))
    }

    /// The types, if the module has been imported.
    fn loaded(py: Python<'_>) -> PyResult<Option<&'static Self>> {
        static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
        if let Some(types) = Self::cell().get(py) {
            return Ok(Some(types));
        }
        let modules = MODULES
            .get_or_make(py, || PyResult::Ok(py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?.unbind()))?;
        match modules.bind(py).get_item(Self::NAME)? {
            // A module that another thread is still importing has none of its types yet.
            Some(_) => match Self::import(py) {
                Err(error) if error.is_instance_of::<PyAttributeError>(py) => Ok(None),
                types => types.map(Some),
            },
            None => Ok(None),
        }
    }
}

fn class(module: &Bound<'_, PyModule>, name: &str) -> PyResult<Py<PyType>> {
    Ok(module.getattr(name)?.cast_into::<PyType>()?.unbind())
}

/// The class itself, if a test has replaced it by a subclass to stop the clock.
fn original(module: &Bound<'_, PyModule>, name: &str) -> PyResult<Py<PyType>> {
    let class = module.getattr(name)?.cast_into::<PyType>()?;
    for base in class.mro() {
        let base = base.cast_into::<PyType>()?;
        if base.module()?.to_str()? == module.name()?.to_str()? && base.name()?.to_str()? == name {
            return Ok(base.unbind());
        }
    }
    Ok(class.unbind())
}

macro_rules! module {
    ($type:ident, $name:literal) => {
        const NAME: &'static str = $name;

        fn cell() -> &'static PyOnceLock<Self> {
            static CELL: PyOnceLock<$type> = PyOnceLock::new();
            &CELL
        }
    };
}

/// `datetime`.
pub(super) struct DateTimes {
    pub(super) datetime: Py<PyType>,
    pub(super) date: Py<PyType>,
    pub(super) time: Py<PyType>,
    pub(super) timedelta: Py<PyType>,
    pub(super) timezone: Py<PyType>,
    pub(super) utc: Py<PyAny>,
}

impl Module for DateTimes {
    module!(DateTimes, "datetime");

    fn find(module: &Bound<'_, PyModule>) -> PyResult<Self> {
        Ok(Self {
            datetime: original(module, "datetime")?,
            date: original(module, "date")?,
            time: original(module, "time")?,
            timedelta: original(module, "timedelta")?,
            timezone: original(module, "timezone")?,
            utc: module.getattr("timezone")?.getattr("utc")?.unbind(),
        })
    }
}

/// `zoneinfo`.
pub(super) struct Zones {
    pub(super) zone_info: Py<PyType>,
}

impl Module for Zones {
    module!(Zones, "zoneinfo");

    fn find(module: &Bound<'_, PyModule>) -> PyResult<Self> {
        Ok(Self { zone_info: class(module, "ZoneInfo")? })
    }
}

/// `decimal`.
pub(super) struct Decimals {
    pub(super) decimal: Py<PyType>,
}

impl Module for Decimals {
    module!(Decimals, "decimal");

    fn find(module: &Bound<'_, PyModule>) -> PyResult<Self> {
        Ok(Self { decimal: class(module, "Decimal")? })
    }
}

/// `uuid`.
pub(super) struct Uuids {
    pub(super) uuid: Py<PyType>,
}

impl Module for Uuids {
    module!(Uuids, "uuid");

    fn find(module: &Bound<'_, PyModule>) -> PyResult<Self> {
        Ok(Self { uuid: class(module, "UUID")? })
    }
}

/// `pathlib`.
pub(super) struct Paths {
    /// What `pathlib.Path()` is on this system.
    pub(super) path: Py<PyType>,
}

impl Module for Paths {
    module!(Paths, "pathlib");

    fn find(module: &Bound<'_, PyModule>) -> PyResult<Self> {
        Ok(Self { path: module.getattr("Path")?.call0()?.get_type().unbind() })
    }
}

/// `numpy`.
pub(super) struct Numpy {
    pub(super) ndarray: Py<PyType>,
    pub(super) generic: Py<PyType>,
    pub(super) void: Py<PyType>,
    pub(super) str: Py<PyType>,
    pub(super) bytes: Py<PyType>,
    /// By the number of an integer type: whether the text of its size, such as `<i8`, stands for it.
    pub(super) by_size: [bool; 24],
    pub(super) dtype: Py<PyAny>,
    pub(super) uint8: Py<PyAny>,
    /// Makes a dtype of the `descr` of a structured one.
    pub(super) descr_to_dtype: Py<PyAny>,
}

impl Module for Numpy {
    module!(Numpy, "numpy");

    fn find(module: &Bound<'_, PyModule>) -> PyResult<Self> {
        let py = module.py();
        let format = py.import(intern!(py, "numpy.lib.format"))?;
        let mut by_size = [false; 24];
        for text in ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"] {
            let number: usize = module.getattr("dtype")?.call1((text,))?.getattr("num")?.extract()?;
            by_size[number] = true;
        }
        Ok(Self {
            ndarray: class(module, "ndarray")?,
            generic: class(module, "generic")?,
            void: class(module, "void")?,
            str: class(module, "str_")?,
            bytes: class(module, "bytes_")?,
            by_size,
            dtype: module.getattr("dtype")?.unbind(),
            uint8: module.getattr("uint8")?.unbind(),
            descr_to_dtype: format.getattr("descr_to_dtype")?.unbind(),
        })
    }
}
