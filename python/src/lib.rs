//! The extension module `cacheness._core`: converts types and errors and releases the GIL.

use pyo3::prelude::*;

#[pymodule]
fn _core(_m: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
