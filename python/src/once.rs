//! Values that are made once and survive a fork.
//!
//! `PyOnceLock::get_or_try_init` holds its lock while the closure runs, which imports modules and lets other threads run: if
//! one of them forks, the child waits for the lock for ever.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Makes a value outside of the lock.
pub(crate) trait Once<T> {
    /// The value; made if there is none. Several threads at once may make one, of which the first is kept.
    fn get_or_make<E>(&self, py: Python<'_>, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E>;
}

impl<T> Once<T> for PyOnceLock<T> {
    #[inline]
    fn get_or_make<E>(&self, py: Python<'_>, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(value) = self.get(py) {
            return Ok(value);
        }
        let value = make()?;
        // No other thread runs Python code meanwhile, so none forks.
        let _ = self.set(py, value);
        Ok(self.get(py).expect("it has just been set"))
    }
}
