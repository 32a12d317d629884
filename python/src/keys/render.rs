//! Parameters as listings show them, straight into Python objects.

use cacheness_core::key::{self, Shape};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyString};

use crate::errors::IntoPyResult;
use crate::plain;

/// What a listing shows of an encoding of parameters.
pub(crate) fn to_python<'py>(py: Python<'py>, encoding: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let mut objects = Objects { py, failed: None };
    let shown = key::render_as(encoding, &mut objects).into_py_result()?;
    match objects.failed {
        Some(error) => Err(error),
        None => Ok(shown),
    }
}

struct Objects<'py> {
    py: Python<'py>,
    /// The first thing that Python could not make: it is out of memory.
    failed: Option<PyErr>,
}

impl<'py> Objects<'py> {
    fn or_none<T>(&mut self, made: PyResult<Bound<'py, T>>) -> Bound<'py, PyAny> {
        made.map(Bound::into_any).unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            self.py.None().into_bound(self.py)
        })
    }
}

impl<'py> Shape for Objects<'py> {
    type Shown = Bound<'py, PyAny>;
    type Name = Bound<'py, PyString>;

    fn null(&mut self) -> Self::Shown {
        self.py.None().into_bound(self.py)
    }

    fn bool(&mut self, value: bool) -> Self::Shown {
        PyBool::new(self.py, value).to_owned().into_any()
    }

    fn int(&mut self, value: i64) -> Self::Shown {
        let Ok(number) = value.into_pyobject(self.py);
        number.into_any()
    }

    fn uint(&mut self, value: u64) -> Self::Shown {
        let Ok(number) = value.into_pyobject(self.py);
        number.into_any()
    }

    fn float(&mut self, value: f64) -> Self::Shown {
        PyFloat::new(self.py, value).into_any()
    }

    fn text(&mut self, value: &str) -> Self::Shown {
        PyString::new(self.py, value).into_any()
    }

    fn list(&mut self, items: Vec<Self::Shown>) -> Self::Shown {
        let made = PyList::new(self.py, items);
        self.or_none(made)
    }

    fn name(&mut self, name: &str) -> Self::Name {
        plain::name(self.py, name)
    }

    fn shown(name: Self::Name) -> Self::Shown {
        name.into_any()
    }

    fn object(&mut self, fields: Vec<(Self::Name, Self::Shown)>) -> Self::Shown {
        let dict = PyDict::new(self.py);
        let filled = fields.into_iter().try_for_each(|(name, value)| dict.set_item(name, value));
        self.or_none(filled.map(|()| dict))
    }
}
