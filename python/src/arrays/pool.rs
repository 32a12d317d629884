//! Memory of freed arrays, kept for the next array.
//!
//! The kernel clears fresh memory first, which takes longer than reading as much from the page cache or decompressing into
//! it. Memory that this process has written before need not be cleared. Kept memory of large arrays is marked as free
//! (`MADV_FREE`): the kernel reclaims it, without swapping, as soon as it is short of memory. For smaller arrays that mark
//! takes longer than writing to them, so a few of them are kept without it.
//!
//! Arrays own this memory like any other: NumPy allocates, resizes and releases it through the functions of NEP 49. Kept
//! memory is overwritten completely before the array is visible to any other code.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_void};
use std::ptr::null_mut;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyCapsule;

use super::blocks::{allocate, allocate_zeroed, reallocate, release};

use crate::once::Once as _;

/// Arrays from this size on get their memory here; NumPy's own allocator is good for smaller ones.
pub(super) const FROM: usize = 256 << 10;

/// `PyDataMemAllocator` of NumPy's C interface.
#[repr(C)]
struct Allocator {
    context: *mut c_void,
    malloc: extern "C" fn(*mut c_void, usize) -> *mut c_void,
    calloc: extern "C" fn(*mut c_void, usize, usize) -> *mut c_void,
    realloc: unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void, *mut c_void, usize),
}

/// `PyDataMem_Handler` of NumPy's C interface, version 1.
#[repr(C)]
struct Handler {
    name: [c_char; 127],
    version: u8,
    allocator: Allocator,
}

// SAFETY: its pointer is null, the rest are functions.
unsafe impl Sync for Handler {}

static HANDLER: Handler = Handler {
    name: name(),
    version: 1,
    allocator: Allocator {
        context: null_mut(),
        malloc: allocate,
        calloc: allocate_zeroed,
        realloc: reallocate,
        free: release,
    },
};

const fn name() -> [c_char; 127] {
    let text = b"cacheness";
    let mut name = [0; 127];
    let mut i = 0;
    while i < text.len() {
        name[i] = text[i] as c_char;
        i += 1;
    }
    name
}

/// `PyDataMem_SetHandler`: takes a handler and returns the former one.
type SetHandler = unsafe extern "C" fn(*mut ffi::PyObject) -> *mut ffi::PyObject;

struct Switch {
    set: SetHandler,
    handler: Py<PyAny>,
}

/// NumPy's function and our handler. NumPy releases without `numpy._core` call that package `numpy.core`.
fn switch(py: Python<'_>) -> PyResult<&'static Switch> {
    static SWITCH: PyOnceLock<Switch> = PyOnceLock::new();
    SWITCH.get_or_make(py, || {
        const SET_HANDLER: usize = 304; // the place in NumPy's table of functions, from NumPy 1.22 on
        let module = py.import("numpy._core.multiarray").or_else(|_| py.import("numpy.core.multiarray"))?;
        let table = module.getattr("_ARRAY_API")?.cast_into::<PyCapsule>()?.pointer_checked(None)?;
        // SAFETY: the table of every NumPy that this package admits has the function there; it lives as long as NumPy.
        let set = unsafe { table.cast::<SetHandler>().add(SET_HANDLER).read() };
        let handler = (&raw const HANDLER).cast_mut().cast();
        // SAFETY: a capsule with the name that NumPy expects, around a static handler.
        let handler =
            unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyCapsule_New(handler, c"mem_handler".as_ptr(), None)) };
        Ok(Switch { set, handler: handler?.unbind() })
    })
}

/// Calls `make`, which creates an array with memory from here. Does not affect other threads.
pub(super) fn with<R>(py: Python<'_>, make: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let switch = switch(py)?;
    // SAFETY: the capsule is a handler; NumPy returns a new reference to the former one, or sets an error.
    let former = unsafe { Bound::from_owned_ptr_or_err(py, (switch.set)(switch.handler.as_ptr())) }?;
    let made = make();
    // SAFETY: as above.
    let ours = unsafe { Bound::from_owned_ptr_or_err(py, (switch.set)(former.as_ptr())) };
    ours.and(made)
}
