//! Pauses Python's garbage collector while many new objects are created that no other code can reach yet.
//!
//! Every seven hundred new containers the collector scans all young ones, and from time to time all objects: a quarter
//! of the time of a listing, without finding garbage.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;

/// Pauses the collector as long as this lives. No Python code runs meanwhile, so that no code can observe it or switch
/// the collector on or off.
pub(crate) struct Waiting<'py> {
    _py: Python<'py>,
    /// Whether it was on.
    was_on: bool,
}

impl<'py> Waiting<'py> {
    pub(crate) fn begin(py: Python<'py>) -> Self {
        // SAFETY: the GIL is held, which is all that the call asks for.
        let was_on = unsafe { ffi::PyGC_Disable() } != 0;
        Self { _py: py, was_on }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.was_on {
            // SAFETY: as above; the GIL is held as long as the token is there.
            unsafe { ffi::PyGC_Enable() };
        }
    }
}
