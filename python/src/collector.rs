//! The collector of cycles of Python, kept waiting while many objects are made that nobody else can see yet.
//!
//! Every seven hundred new containers it looks at all young ones, and every so often at all there are: a quarter of the
//! time of a listing, to find no garbage.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;

/// The collector waits as long as this lives. No Python code runs meanwhile, so that nobody can notice, and nobody else
/// can switch it on or off.
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
