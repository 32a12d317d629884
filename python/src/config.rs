//! The list of options, texts of environment variables, and URLs of stores, for the configuration classes. Values are JSON.

use cacheness::config::{ConfigOption, line_of, options, schema};
use cacheness::{StoreUrl, blobs_url, needs_no_directory};
use cacheness_core::{Error, ErrorKind};
use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::errors::IntoPyResult;
use crate::opened::parse_config;

/// All options: for each a table with its names, section, variable, default and meaning.
#[pyfunction]
fn config_options() -> String {
    let row = |option: &ConfigOption| {
        json!({
            "name": option.name,
            "section": option.section,
            "alias": option.alias,
            "variable": option.variable(),
            "default": option.default_value(),
            "nullable": option.nullable,
            "of_backend": option.is_of_backend(),
            "none_is_null": option.is_none(&"none".into()),
            "wanted": option.wanted(),
            "about": option.about,
        })
    };
    options().iter().map(row).collect::<Value>().to_string()
}

/// The JSON Schema of configuration files.
#[pyfunction]
fn config_schema() -> String {
    schema().to_string()
}

fn option_of(name: &str) -> PyResult<&'static ConfigOption> {
    let unknown = || Error::new(ErrorKind::InvalidInput, format!("unknown option {name:?}"));
    options().iter().find(|option| option.name == name).ok_or_else(unknown).into_py_result()
}

/// The value of an option in the text of its environment variable.
#[pyfunction]
fn option_of_text(name: &str, text: &str) -> PyResult<String> {
    Ok(option_of(name)?.of_text(text).into_py_result()?.to_string())
}

/// Whether a value is one of the option.
#[pyfunction]
fn option_accepts(name: &str, value: &str) -> PyResult<bool> {
    let option = option_of(name)?;
    Ok(serde_json::from_str(value).is_ok_and(|value: Value| option.accepts(&value)))
}

/// The line of a file that has an option.
#[pyfunction]
fn option_line(name: &str, text: &str) -> PyResult<Option<usize>> {
    Ok(line_of(text, option_of(name)?))
}

/// The options that the URLs of a store and of its blobs stand for.
#[pyfunction]
#[pyo3(signature = (url, blobs))]
fn options_of_urls(url: Option<&str>, blobs: Option<&str>) -> PyResult<String> {
    let mut found = serde_json::Map::new();
    if let Some(url) = url {
        let url = StoreUrl::parse(url).into_py_result()?;
        let directory = url.directory.map(|path| path.to_string_lossy().into_owned());
        let directory = if url.in_memory { Some(":memory:".to_owned()) } else { directory };
        found.extend(directory.map(|path| ("cache_dir".into(), path.into())));
        found.extend(url.metadata_backend.map(|name| ("backend".into(), name.into())));
        found.extend(url.database_url.map(|url| ("database_url".into(), url.as_str().into())));
    }
    if let Some(blobs) = blobs {
        found.insert("blob_backend".into(), blobs_url(blobs).into_py_result()?.as_str().into());
    }
    Ok(Value::Object(found).to_string())
}

/// Whether nothing of the store would be in its directory.
#[pyfunction]
fn is_without_directory(json: &str) -> PyResult<bool> {
    needs_no_directory(&parse_config(json)?.store).into_py_result()
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(config_options, m)?)?;
    m.add_function(wrap_pyfunction!(config_schema, m)?)?;
    m.add_function(wrap_pyfunction!(option_of_text, m)?)?;
    m.add_function(wrap_pyfunction!(option_accepts, m)?)?;
    m.add_function(wrap_pyfunction!(option_line, m)?)?;
    m.add_function(wrap_pyfunction!(options_of_urls, m)?)?;
    m.add_function(wrap_pyfunction!(is_without_directory, m)?)
}
