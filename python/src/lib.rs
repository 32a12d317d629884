//! The extension module `cacheness._core`: converts types and errors and releases the GIL.

mod arrays;
mod errors;
mod keys;
mod plain;
mod tables;

use pyo3::prelude::*;

#[pymodule]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    keys::register(m)?;
    plain::register(m)?;
    arrays::register(m)?;
    tables::register(m)?;
    Ok(())
}
