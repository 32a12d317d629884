//! The few calls of the C API that are made directly, because every item of every value passes through them.
#![allow(unsafe_code)]

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt};
use pyo3::{PyTypeInfo, Python};

/// `value` as a `T`, if its type is exactly that one.
#[inline]
pub(super) fn exact<'a, 'py, T: PyTypeInfo>(value: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, T>> {
    if value.get_type_ptr() == T::type_object_raw(value.py()) {
        // SAFETY: the type has just been compared.
        Some(unsafe { value.cast_unchecked() })
    } else {
        None
    }
}

/// The integer as an `i64`; `None` if it does not fit.
#[inline]
pub(super) fn as_i64(value: &Bound<'_, PyInt>) -> Option<i64> {
    let mut overflow: c_int = 0;
    // SAFETY: `value` is an int, for which the call neither runs Python code nor fails otherwise than by overflow.
    let number = unsafe { ffi::PyLong_AsLongLongAndOverflow(value.as_ptr(), &raw mut overflow) };
    (overflow == 0).then_some(number)
}

/// The pairs of a dict.
///
/// A dict that is changed meanwhile yields fewer, more or repeated pairs, never invalid ones: the caller counts them.
pub(super) struct Pairs<'a, 'py> {
    dict: &'a Bound<'py, PyDict>,
    position: ffi::Py_ssize_t,
}

impl<'a, 'py> Pairs<'a, 'py> {
    pub(super) fn new(dict: &'a Bound<'py, PyDict>) -> Self {
        Self { dict, position: 0 }
    }
}

impl<'py> Iterator for Pairs<'_, 'py> {
    type Item = (Bound<'py, PyAny>, Bound<'py, PyAny>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let py: Python<'py> = self.dict.py();
        let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: `dict` is a dict, the GIL is held, and `position` is what the call made it; on success both pointers are
        // borrowed from the dict, and each is owned before anything else can run.
        unsafe {
            if ffi::PyDict_Next(self.dict.as_ptr(), &raw mut self.position, &raw mut key, &raw mut value) == 0 {
                return None;
            }
            Some((Bound::from_borrowed_ptr(py, key), Bound::from_borrowed_ptr(py, value)))
        }
    }
}
