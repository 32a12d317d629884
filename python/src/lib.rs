//! The extension module `cacheness._core`: converts types and errors and releases the GIL.

mod arrays;
mod buffers;
mod engine;
mod entries;
mod errors;
mod keys;
mod kwargs;
mod plain;
mod store;
mod tables;
mod values;

use pyo3::prelude::*;

#[pymodule]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_class::<engine::PyCache>()?;
    m.add_class::<store::PyStore>()?;
    keys::register(m)?;
    plain::register(m)?;
    arrays::register(m)?;
    tables::register(m)?;
    values::register(m)?;
    Ok(())
}
