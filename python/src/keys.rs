//! Keys of Python values: walks builtins here, reduces other objects in `cacheness._keys`, encodes in the engine.

mod array_bytes;
mod arrays;
mod numbers;
mod render;
mod tables;
mod types;
mod walk;

use cacheness_core::Error;
use cacheness_core::ErrorKind;
use cacheness_core::config::SerializationConfig;
use cacheness_core::key::{self, EncodedKey};
use pyo3::prelude::*;
#[cfg(feature = "testing")]
use pyo3::types::PyBytes;
use pyo3::types::PyDict;

use crate::errors::{IntoPyResult, to_py};
use walk::Walker;

/// Encodes `params` and derives key and fingerprint.
pub(crate) fn encode_params(params: &Bound<'_, PyDict>, config: &SerializationConfig) -> PyResult<EncodedKey> {
    let mut walker = Walker::new(params.py(), config);
    match walker.params(params) {
        Ok(()) => Ok(EncodedKey::from_encoding(walker.finish())),
        Err(fail) => Err(walker.describe(fail, "params")),
    }
}

/// As [`encode_params`], of a call of a decorated function: see [`Walker::call`].
pub(crate) fn encode_call(
    params: &Bound<'_, PyDict>,
    collected: &[String],
    config: &SerializationConfig,
) -> PyResult<EncodedKey> {
    let mut walker = Walker::new(params.py(), config);
    match walker.call(params, collected) {
        Ok(()) => Ok(EncodedKey::from_encoding(walker.finish())),
        Err(fail) => Err(walker.describe(fail, "params")),
    }
}

/// Encodes one value that is not the value of a parameter.
pub(crate) fn encode_value(value: &Bound<'_, PyAny>, config: &SerializationConfig) -> PyResult<EncodedKey> {
    let mut walker = Walker::new(value.py(), config);
    match walker.value(value) {
        Ok(()) => Ok(EncodedKey::from_encoding(walker.finish())),
        Err(fail) => Err(walker.describe(fail, "value")),
    }
}

/// The options of `SerializationConfig` in a dictionary; missing options have their defaults.
fn config_from(config: Option<&Bound<'_, PyDict>>) -> PyResult<SerializationConfig> {
    const NAMES: &str = "hash_path_content, enable_collections, enable_object_introspection, \
                         max_tuple_recursive_length, max_collection_depth";
    let mut out = SerializationConfig::default();
    for (name, value) in config.into_iter().flat_map(|config| config.iter()) {
        let name: String = name.extract()?;
        match name.as_str() {
            "hash_path_content" => out.hash_path_content = value.extract()?,
            "enable_collections" => out.enable_collections = value.extract()?,
            "enable_object_introspection" => out.enable_object_introspection = value.extract()?,
            "max_tuple_recursive_length" => out.max_tuple_recursive_length = value.extract()?,
            "max_collection_depth" => out.max_collection_depth = value.extract()?,
            other => {
                let sentence = format!("unknown serialization option {other:?}");
                let error = Error::new(ErrorKind::InvalidInput, sentence).with_hint(format!("the options are {NAMES}"));
                return Err(to_py(error));
            }
        }
    }
    Ok(out)
}

/// For the package's own tests: the canonical encoding of a dictionary of parameters.
#[cfg(feature = "testing")]
#[pyfunction]
#[pyo3(name = "encode_params", signature = (params, config=None))]
fn py_encode_params<'py>(
    params: &Bound<'py, PyDict>,
    config: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let encoded = encode_params(params, &config_from(config)?)?;
    Ok(PyBytes::new(params.py(), &encoded.encoding))
}

/// The cache key of a dictionary of parameters, 16 hexadecimal digits.
#[pyfunction]
#[pyo3(signature = (params, config=None))]
fn cache_key(params: &Bound<'_, PyDict>, config: Option<&Bound<'_, PyDict>>) -> PyResult<String> {
    Ok(encode_params(params, &config_from(config)?)?.key.to_hex())
}

/// A hash of any value that can be a parameter: 32 hexadecimal digits, the same in every process.
#[pyfunction]
#[pyo3(signature = (value, config=None))]
fn hash_value(value: &Bound<'_, PyAny>, config: Option<&Bound<'_, PyDict>>) -> PyResult<String> {
    let encoded = encode_value(value, &config_from(config)?)?;
    Ok(hex(&encoded.fingerprint))
}

/// The BLAKE3 of a file's bytes or of a directory's listing: 64 hexadecimal digits.
#[pyfunction]
fn hash_path(py: Python<'_>, path: std::path::PathBuf) -> PyResult<String> {
    let digest = py.detach(|| key::hash_path(&path)).into_py_result()?;
    Ok(hex(&digest))
}

/// For the package's own tests: key and fingerprint of an encoding, in hexadecimal digits.
#[cfg(feature = "testing")]
#[pyfunction]
fn derive_key(encoding: Vec<u8>) -> (String, String) {
    let derived = EncodedKey::from_encoding(encoding);
    (derived.key.to_hex(), hex(&derived.fingerprint))
}

/// The text of an encoding of parameters in a listing.
#[cfg_attr(feature = "testing", pyfunction)]
pub(crate) fn render_params<'py>(py: Python<'py>, encoding: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    render::to_python(py, encoding)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(cache_key, m)?)?;
    m.add_function(wrap_pyfunction!(hash_value, m)?)?;
    m.add_function(wrap_pyfunction!(hash_path, m)?)
}

#[cfg(feature = "testing")]
pub(crate) fn register_testing(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(py_encode_params, m)?)?;
    m.add_function(wrap_pyfunction!(derive_key, m)?)?;
    m.add_function(wrap_pyfunction!(render_params, m)?)
}
