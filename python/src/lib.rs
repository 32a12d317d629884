//! The extension module `cacheness._core`: converts types and errors and releases the GIL.

mod arrays;
mod blobs;
mod buffers;
mod cache;
mod call_site;
mod catalog;
mod clock;
mod collector;
mod config;
mod custom_rows;
mod entries;
mod errors;
#[cfg(feature = "testing")]
mod failing;
mod filters;
mod flights;
mod function;
mod handlers;
mod keys;
mod kwargs;
mod listing;
mod logging;
mod manage;
mod matching;
mod numpy_api;
mod once;
mod opened;
mod plain;
mod plugged;
mod query_meta;
mod reading;
mod remote;
mod report;
mod searching;
mod sql;
mod store;
mod tables;
mod values;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Runs the `cacheness` command and returns its exit code.
#[pyfunction]
fn cli(py: Python<'_>, args: Vec<std::ffi::OsString>) -> u8 {
    py.detach(|| cacheness_cli::run(args))
}

#[pymodule]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    logging::install();
    cacheness_core::interrupt::on_wait(errors::interrupted);
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("HANDLERS", PyTuple::new(m.py(), cacheness_core::entry::OWN_HANDLERS)?)?;
    // They have the names of the public classes that derive from them.
    m.add("CacheBase", m.py().get_type::<cache::PyCache>())?;
    m.add_class::<clock::PyClock>()?;
    m.add("StoreBase", m.py().get_type::<store::PyStore>())?;
    m.add_class::<blobs::PyBlobs>()?;
    m.add_function(wrap_pyfunction!(cli, m)?)?;
    m.add_function(wrap_pyfunction!(opened::backends, m)?)?;
    m.add_function(wrap_pyfunction!(opened::check_config, m)?)?;
    m.add_function(wrap_pyfunction!(opened::check_blob_options, m)?)?;
    m.add("RECORD_FIELDS", PyTuple::new(m.py(), cacheness_core::backends::RECORD_FIELDS)?)?;
    m.add_function(wrap_pyfunction!(plugged::plug_metadata, m)?)?;
    m.add_function(wrap_pyfunction!(plugged::plug_blobs, m)?)?;
    config::register(m)?;
    keys::register(m)?;
    plain::register(m)?;
    tables::register(m)?;
    values::register(m)?;
    manage::register(m)?;
    matching::register(m)?;
    query_meta::register(m)?;
    report::register(m)?;
    searching::register(m)?;
    remote::register(m)?;
    handlers::register(m)?;
    call_site::register(m)?;
    flights::register(m)?;
    function::register(m)?;
    sql::register(m)?;
    catalog::register(m)?;
    #[cfg(feature = "testing")]
    {
        keys::register_testing(m)?;
        plain::register_testing(m)?;
        arrays::register_testing(m)?;
        tables::register_testing(m)?;
        failing::register_testing(m)?;
    }
    Ok(())
}
