//! The memory of NumPy arrays as slices, and the engine's memory as a NumPy array.
//!
//! While an array is stored, it is kept alive and borrowed without the GIL. If a Python thread writes to it meanwhile, the
//! stored array may contain the change, as with `numpy.save`.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use cacheness_core::formats::array::MappedArray;
use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

/// The items of an array that has no gaps between them, kept alive.
pub(super) struct Items {
    _array: Py<PyUntypedArray>,
    start: *const u8,
    count: usize,
}

// SAFETY: the pointer is only read from; the array that owns the memory lives as long as this does, and NumPy does not
// move the memory of an array with other references.
unsafe impl Send for Items {}
// SAFETY: as above.
unsafe impl Sync for Items {}

impl Items {
    /// `None` if there are gaps between the items.
    pub(super) fn of(array: &Bound<'_, PyUntypedArray>) -> Option<Self> {
        if !(array.is_c_contiguous() || array.is_fortran_contiguous()) {
            return None;
        }
        let count = array.len() * array.dtype_itemsize();
        // SAFETY: the object is an array, as its type says.
        let start = unsafe { (*array.as_array_ptr()).fields.data }.cast_const().cast::<u8>();
        Some(Self { _array: array.clone().unbind(), start, count })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: a contiguous array has this many bytes from its data pointer on, alive as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start, self.count) }
    }
}

/// The bytes of an array that no other code can reach yet.
///
/// # Panics
/// If the array has gaps or cannot be written to; arrays fresh from `numpy.empty` are neither.
pub(super) fn fresh_bytes<'a>(array: &'a mut Bound<'_, PyUntypedArray>) -> &'a mut [u8] {
    let items = Items::of(array).expect("numpy.empty leaves no gaps");
    if items.count == 0 {
        return &mut [];
    }
    // SAFETY: the only reference to the new array is the caller's, who hands it on after the slice is gone; its bytes
    // are plain memory, as its dtype has no Python objects.
    unsafe { std::slice::from_raw_parts_mut(items.start.cast_mut(), items.count) }
}

trait ItemSize {
    fn dtype_itemsize(&self) -> usize;
}

impl ItemSize for Bound<'_, PyUntypedArray> {
    fn dtype_itemsize(&self) -> usize {
        numpy::PyArrayDescrMethods::itemsize(&self.dtype())
    }
}

/// Memory mapped from a file, which NumPy arrays are views of.
#[pyclass(frozen, module = "cacheness._core")]
pub(super) struct MappedBuffer {
    start: *mut u8,
    count: usize,
    writable: bool,
    _map: MappedArray,
}

// SAFETY: the views share the mapping, like any memory of NumPy; it is unmapped with the last of them.
unsafe impl Send for MappedBuffer {}
// SAFETY: as above.
unsafe impl Sync for MappedBuffer {}

impl MappedBuffer {
    pub(super) fn new(mut map: MappedArray) -> Self {
        let (start, count, writable) = match map.data_mut() {
            Some(data) => (data.as_mut_ptr(), data.len(), true),
            None => (map.data().as_ptr().cast_mut(), map.data().len(), false),
        };
        Self { start, count, writable, _map: map }
    }
}

#[pymethods]
impl MappedBuffer {
    /// # Safety
    /// Called by Python with a valid `view`.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill in"));
        }
        let this = slf.get();
        let count = ffi::Py_ssize_t::try_from(this.count).map_err(|_| PyBufferError::new_err("too large"))?;
        // SAFETY: the memory stays mapped as long as the object lives, to which the view gets a reference. Memory that
        // was mapped for reading is marked so.
        let failed = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                this.start.cast::<c_void>(),
                count,
                c_int::from(!this.writable),
                flags,
            )
        };
        if failed == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
