//! Python values to payloads and back: which handler is asked, in which order.
//!
//! A rule: whether a pickle may be written or read is decided by the engine, before anything here sees a byte of it.

use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use cacheness_core::config::{Codec, CompressionConfig, StoreConfig};
use cacheness_core::entry::{Format, Name};
use cacheness_core::formats::compress;
use cacheness_core::payload::{Encoded, Payload, Stored};
use cacheness_core::storable::{MAX_DECOMPRESSED, decode_plain, encode_plain, plain_bytes};
use cacheness_core::store::Store;
use cacheness_core::{Error, ErrorKind};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use crate::errors::{IntoPyResult, to_py};
use crate::{arrays, plain, tables};

/// Up to this many bytes are decoded in place: letting other threads run meanwhile would cost more than the work.
const SMALL: u64 = 32 << 10;

/// Whether the registry that all caches share has custom handlers.
static DEFAULT_HANDLERS_CHANGED: AtomicBool = AtomicBool::new(false);

#[pyfunction]
fn set_default_handlers_changed(changed: bool) {
    DEFAULT_HANDLERS_CHANGED.store(changed, Ordering::Relaxed);
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(set_default_handlers_changed, m)?)
}

/// How a value is wanted.
#[derive(Clone, Copy)]
pub(crate) enum Reading<'a, 'py> {
    /// The caller's own.
    Own,
    /// Memory-mapped, read-only or copy-on-write.
    Mapped(MapMode),
    /// Part of an array.
    Slice(&'a Bound<'py, PyAny>, Check),
}

/// What of a payload is compared with its hash before a part is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Nothing: that would mean reading everything.
    Part,
    /// Everything.
    Whole,
}

/// How a file is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapMode {
    Read,
    CopyOnWrite,
}

impl MapMode {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::CopyOnWrite => "c",
        }
    }
}

impl Reading<'_, '_> {
    pub(crate) fn from_mode(mode: Option<&str>) -> PyResult<Self> {
        match mode {
            None => Ok(Self::Own),
            Some("r") => Ok(Self::Mapped(MapMode::Read)),
            Some("c") => Ok(Self::Mapped(MapMode::CopyOnWrite)),
            Some(other) => Err(PyValueError::new_err(format!(
                "mmap_mode is {other:?}; it is 'r' (read-only), 'c' (copy-on-write) or None"
            ))),
        }
    }
}

/// Encodes and decodes the values of one cache.
pub(crate) struct Values {
    compression: CompressionConfig,
    /// `HandlerRegistry`.
    registry: Py<PyAny>,
    /// `CompressionConfig` of the package, for custom handlers.
    python_config: Py<PyAny>,
    dill_fallback: bool,
    handlers_changed: AtomicBool,
}

impl Values {
    pub(crate) fn new(py: Python<'_>, config: &StoreConfig, registry: Py<PyAny>) -> PyResult<Self> {
        let bound = registry.bind(py);
        let changed = !bound.call_method0("_is_plain")?.is_truthy()?;
        let dill_fallback = bound.getattr("_config")?.getattr("enable_dill_fallback")?.is_truthy()?;
        let python_config = bound.getattr("_compression")?.unbind();
        Ok(Self {
            compression: config.compression.clone(),
            registry,
            python_config,
            dill_fallback,
            handlers_changed: AtomicBool::new(changed),
        })
    }

    /// The same with another codec for plain data and pickles.
    pub(crate) fn with_codec(&self, py: Python<'_>, codec: Codec) -> Self {
        Self {
            compression: self.compression.with_pickle_codec(codec),
            registry: self.registry.clone_ref(py),
            python_config: self.python_config.clone_ref(py),
            dill_fallback: self.dill_fallback,
            handlers_changed: AtomicBool::new(self.handlers_changed.load(Ordering::Relaxed)),
        }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.registry)?;
        visit.call(&self.python_config)
    }

    pub(crate) fn set_handlers_changed(&self, changed: bool) {
        self.handlers_changed.store(changed, Ordering::Relaxed);
    }

    /// Encodes `value` with the first handler that takes it and passes the payload to `store`.
    pub(crate) fn encode<'py, R>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        store: &Store,
        write: impl FnOnce(Python<'py>, Encoded<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let asked = self.handlers_changed.load(Ordering::Relaxed) || DEFAULT_HANDLERS_CHANGED.load(Ordering::Relaxed);
        if asked {
            return self.encode_asking(py, value, store, write);
        }
        let mut refused = None;
        if has_own_format(value)? {
            if let Some(prepared) = arrays::prepare(value)? {
                return self.array(py, &prepared, write);
            }
            if let Some(encoded) = tables::encode(value, &self.compression, &mut refused)? {
                return write(py, encoded);
            }
        }
        // What has a format of its own is plain data only if it does not fit there.
        if let Some(encoded) = self.plain(value)? {
            return write(py, encoded);
        }
        self.pickle(py, value, store, refused, write)
    }

    /// Asks the registry, which knows custom handlers, switches and priorities.
    fn encode_asking<'py, R>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        store: &Store,
        write: impl FnOnce(Python<'py>, Encoded<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let own_format = has_own_format(value)?;
        let (mut enabled, mut no_array) = (false, false);
        let mut refused = None;
        for candidate in self.registry.bind(py).call_method1(intern!(py, "_candidates"), (value,))?.try_iter()? {
            let candidate = candidate?;
            let Ok(name) = candidate.cast::<PyString>() else {
                let (name, handler): (String, Bound<'py, PyAny>) = candidate.extract()?;
                return self.custom(py, &name, &handler, value, store, write);
            };
            let name = name.to_str()?;
            match Builtin::from_name(name) {
                Some(Builtin::Plain) if !own_format => {
                    if let Some(encoded) = self.plain(value)? {
                        return write(py, encoded);
                    }
                }
                Some(Builtin::Plain) => enabled = true,
                Some(Builtin::Arrays) => {
                    if let Some(prepared) = arrays::prepare(value)? {
                        return self.array(py, &prepared, write);
                    }
                    no_array = own_format;
                }
                Some(Builtin::Tables) if own_format => {
                    if let Some(encoded) = tables::encode(value, &self.compression, &mut refused)?
                        && encoded.format.handler == name
                    {
                        return write(py, encoded);
                    }
                }
                Some(Builtin::Pickle) => {
                    if enabled
                        && no_array
                        && let Some(encoded) = self.plain(value)?
                    {
                        return write(py, encoded);
                    }
                    return self.pickle(py, value, store, refused, write);
                }
                _ => {}
            }
        }
        if enabled
            && no_array
            && let Some(encoded) = self.plain(value)?
        {
            return write(py, encoded);
        }
        Err(tables::because(py, no_handler(value), refused))
    }

    fn array<'py, R>(
        &self,
        py: Python<'py>,
        prepared: &arrays::Prepared,
        write: impl FnOnce(Python<'py>, Encoded<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let encoded = py.detach(|| prepared.encode(&self.compression)).into_py_result()?;
        write(py, encoded)
    }

    fn plain(&self, value: &Bound<'_, PyAny>) -> PyResult<Option<Encoded<'static>>> {
        let mut payload = Vec::with_capacity(256);
        if !plain::dump(value, &mut payload)? {
            return Ok(None);
        }
        encode_plain(payload, object_type(value)?, &self.compression).into_py_result().map(Some)
    }

    /// Pickles what no other handler takes. `refused` says why those of tables do not, and is the cause of every error.
    fn pickle<'py, R>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        store: &Store,
        refused: Option<PyErr>,
        write: impl FnOnce(Python<'py>, Encoded<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let why = refused.as_ref().map(|refused| refused.value(py).to_string());
        self.pickled(py, value, store, why, write).map_err(|error| tables::because(py, error, refused))
    }

    fn pickled<'py, R>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        store: &Store,
        why: Option<String>,
        write: impl FnOnce(Python<'py>, Encoded<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let mut format = Format {
            handler: Name::Borrowed("object_pickle"),
            data_type: Name::Borrowed("object"),
            storage_format: Name::Borrowed("pickle"),
            compression: Name::Borrowed("none"),
            object_type: object_type(value)?,
            handler_meta: Vec::new(),
            raw_size: None,
        };
        store.refuse_code(&format).map_err(|error| only_pickled(value, why, error))?;
        let pickled = py.import(intern!(py, "cacheness._pickle"))?;
        let (kind, parts): (String, Vec<Bound<'py, PyAny>>) =
            pickled.call_method1(intern!(py, "dumps"), (value, self.dill_fallback))?.extract()?;
        let buffers: Vec<PyBuffer<u8>> = parts.iter().map(|part| PyBuffer::get(part)).collect::<PyResult<_>>()?;
        let slices: Vec<&[u8]> = buffers.iter().map(crate::buffers::bytes_of).collect::<PyResult<_>>()?;
        format.handler_meta = PickleParts::of(&slices).to_bytes();
        if kind == "dill" {
            format.storage_format = Name::Borrowed("dill");
        }
        let size = slices.iter().map(|slice| slice.len() as u64).sum();
        let segments = slices.into_iter().map(Cow::Borrowed).collect();
        let (codec, payload) =
            py.detach(|| compress::compress_segments(segments, &self.compression)).into_py_result()?;
        format.compression = Name::Borrowed(codec.name());
        format.raw_size = (codec != Codec::None).then_some(size);
        let extension = Cow::Owned(format!("pkl{}", codec.extension()));
        write(py, Encoded { format, extension, payload })
    }

    fn custom<'py, R>(
        &self,
        py: Python<'py>,
        name: &str,
        handler: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        store: &Store,
        write: impl FnOnce(Python<'py>, Encoded<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let failed = |e| to_py(Error::io("cannot make a temporary directory for a handler", e));
        let mut builder = tempfile::Builder::new();
        builder.prefix("handler-");
        let directory = match store.blobs().temp_dir().into_py_result()? {
            Some(parent) => builder.tempdir_in(parent),
            None => builder.tempdir(),
        }
        .map_err(failed)?;
        let module = py.import(intern!(py, "cacheness.handlers"))?;
        let (path, extension, storage_format, extra): (String, String, String, Vec<u8>) = module
            .call_method1(
                intern!(py, "_write_custom"),
                (name, handler, value, directory.path(), self.python_config.bind(py)),
            )?
            .extract()?;
        let data_type: String = handler.getattr(intern!(py, "data_type"))?.extract()?;
        let encoded = Encoded {
            format: Format {
                handler: Name::Owned(name.to_owned()),
                data_type: Name::Owned(data_type),
                storage_format: Name::Owned(storage_format),
                compression: Name::Borrowed("none"),
                object_type: object_type(value)?,
                handler_meta: extra,
                raw_size: None,
            },
            extension: Cow::Owned(safe_extension(&extension)),
            payload: Payload::File(path.into()),
        };
        write(py, encoded)
    }

    /// Decodes a payload with the handler that wrote it.
    pub(crate) fn decode<'py>(
        &self,
        py: Python<'py>,
        stored: Stored,
        reading: Reading<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let format = stored.format();
        let Some(handler) = Builtin::from_name(&format.handler) else {
            return self.decode_custom(py, &stored, reading);
        };
        match (handler, reading) {
            (Builtin::Arrays, Reading::Own) => arrays::decode(py, stored),
            (Builtin::Arrays, Reading::Mapped(mode)) => arrays::decode_mmap(py, stored, mode.name()),
            (Builtin::Arrays, Reading::Slice(index, check)) => {
                arrays::decode_slice(py, stored, index, check == Check::Whole)
            }
            (_, Reading::Slice(..)) => Err(to_py(Error::new(
                ErrorKind::Unsupported,
                format!("entry {} is a {}; only arrays have slices", stored.key(), format.object_type),
            ))),
            (Builtin::Tables, Reading::Own) => Ok(tables::decode(py, stored)?.into_bound(py)),
            // Nobody writes into the columns of a table, so that both modes are the same.
            (Builtin::Tables, Reading::Mapped(_)) => match tables::decode_mmap(py, &stored)? {
                Some(table) => Ok(table.into_bound(py)),
                None => Err(not_mapped(&stored)),
            },
            (_, Reading::Mapped(_)) => Err(not_mapped(&stored)),
            (Builtin::Plain, Reading::Own) if stored.size() > SMALL => {
                plain::load(py, &py.detach(|| plain_bytes(stored)).into_py_result()?)
            }
            (Builtin::Plain, Reading::Own) => {
                let mut value: PyResult<Bound<'py, PyAny>> = Ok(py.None().into_bound(py));
                decode_plain(stored, |bytes| {
                    value = plain::load(py, bytes);
                    Ok(())
                })
                .into_py_result()?;
                value
            }
            (Builtin::Pickle, Reading::Own) => self.unpickle(py, stored),
        }
    }

    fn unpickle<'py>(&self, py: Python<'py>, stored: Stored) -> PyResult<Bound<'py, PyAny>> {
        let kind = stored.format().storage_format.to_string();
        if !stored.format().runs_code() || !matches!(&*kind, "pickle" | "dill") {
            return Err(to_py(stored.undecodable("its handler is the one of pickles")));
        }
        let key = stored.key().to_owned();
        let parts = PickleParts::from_bytes(&stored.format().handler_meta)
            .ok_or_else(|| to_py(stored.undecodable("its list of parts is damaged")))?;
        let codec = Codec::from_name(&stored.format().compression).into_py_result()?;
        let bytes = py
            .detach(|| {
                let bytes = stored.into_bytes()?;
                compress::decompress(codec, &bytes, MAX_DECOMPRESSED)
            })
            .into_py_result()?;
        let list = PyList::empty(py);
        for (i, part) in parts.split(&bytes).into_py_result()?.into_iter().enumerate() {
            // Arrays made from these buffers are writable and the caller's own, so each gets its own memory.
            if i == 0 {
                list.append(PyBytes::new(py, part))?;
            } else {
                list.append(PyByteArray::new(py, part))?;
            }
        }
        py.import(intern!(py, "cacheness._pickle"))?.call_method1(intern!(py, "loads"), (kind, list, key))
    }

    fn decode_custom<'py>(
        &self,
        py: Python<'py>,
        stored: &Stored,
        reading: Reading<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let format = stored.format();
        if !matches!(reading, Reading::Own) {
            return Err(to_py(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "entry {} was stored by the handler {:?}: it has no slices and is not mapped",
                    stored.key(),
                    format.handler
                ),
            )));
        }
        py.detach(|| stored.verified_file().map(drop)).into_py_result()?;
        let module = py.import(intern!(py, "cacheness.handlers"))?;
        let read = |path: &Path| {
            let extra = PyBytes::new(py, &format.handler_meta);
            module.call_method1(
                intern!(py, "_read_custom"),
                (self.registry.bind(py), &*format.handler, path, extra, stored.key()),
            )
        };
        if let Some(path) = stored.local_path() {
            match read(path) {
                // Replaced or removed since it was opened; what is open still has the value.
                Err(error) if error.is_instance_of::<PyException>(py) && !path.exists() => {}
                result => return result,
            }
        }
        // Handlers may look at the suffix that they gave.
        let suffix = stored.entry().location.locator().and_then(|locator| locator.find('.').map(|dot| &locator[dot..]));
        let file = tempfile::Builder::new()
            .suffix(suffix.unwrap_or_default())
            .tempfile()
            .map_err(|e| to_py(Error::io("cannot make a temporary file for a handler", e)))?;
        let mut bytes = vec![0; usize::try_from(stored.size()).unwrap_or(usize::MAX)];
        stored.read_into(&[], &mut bytes).into_py_result()?;
        std::fs::write(file.path(), &bytes)
            .map_err(|e| to_py(Error::io("cannot write a temporary file for a handler", e)))?;
        read(file.path())
    }
}

/// The error of a store that takes no pickles, with the part of the value that needs one.
#[cold]
fn only_pickled(value: &Bound<'_, PyAny>, why: Option<String>, error: Error) -> PyErr {
    let dtype = || value.getattr_opt(intern!(value.py(), "dtype")).ok().flatten();
    let why = why.or_else(|| match has_own_format(value) {
        Ok(true) => dtype().map(|dtype| format!("its dtype is {dtype}")),
        _ => None,
    });
    let Some(why) = why else { return to_py(error) };
    let told = Error::new(error.kind(), format!("{error}: {why}"));
    to_py(match error.hint() {
        Some(hint) => told.with_hint(hint.to_owned()),
        None => told,
    })
}

fn no_handler(value: &Bound<'_, PyAny>) -> PyErr {
    let name = object_type(value).unwrap_or(Name::Borrowed("?"));
    to_py(
        Error::new(ErrorKind::Serialization, format!("no handler stores a value of type {name}"))
            .with_hint("enable one in HandlerConfig, or register one of your own"),
    )
}

/// `module.qualname` of the value's type.
pub(crate) fn object_type(value: &Bound<'_, PyAny>) -> PyResult<Name> {
    use pyo3::types::PyBool;
    if value.is_exact_instance_of::<PyDict>() {
        return Ok(Name::Borrowed("builtins.dict"));
    }
    if value.is_exact_instance_of::<PyList>() {
        return Ok(Name::Borrowed("builtins.list"));
    }
    if value.is_exact_instance_of::<PyString>() {
        return Ok(Name::Borrowed("builtins.str"));
    }
    if value.is_exact_instance_of::<PyTuple>() {
        return Ok(Name::Borrowed("builtins.tuple"));
    }
    if value.is_exact_instance_of::<PyBool>() {
        return Ok(Name::Borrowed("builtins.bool"));
    }
    if value.is_exact_instance_of::<PyInt>() {
        return Ok(Name::Borrowed("builtins.int"));
    }
    if value.is_exact_instance_of::<PyFloat>() {
        return Ok(Name::Borrowed("builtins.float"));
    }
    let class = value.get_type();
    // A class may have put anything in place of its names, and a metaclass may raise.
    let text = |name: PyResult<Bound<'_, PyString>>| match name {
        Ok(name) => name.to_string_lossy().into_owned(),
        Err(_) => "?".to_owned(),
    };
    Ok(Name::Owned(format!("{}.{}", text(class.module()), text(class.qualname()))))
}

/// An extension that is nothing but letters, digits and dots inside.
fn safe_extension(extension: &str) -> String {
    let kept: String =
        extension.to_ascii_lowercase().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').take(32).collect();
    let kept = kept.trim_matches('.').to_owned();
    if kept.is_empty() { "bin".to_owned() } else { kept }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Builtin {
    Plain,
    Arrays,
    Tables,
    Pickle,
}

impl Builtin {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "plain_objects" => Self::Plain,
            "numpy_arrays" => Self::Arrays,
            "object_pickle" => Self::Pickle,
            "pandas_dataframes" | "pandas_series" | "polars_dataframes" | "polars_series" | "arrow_tables" => {
                Self::Tables
            }
            _ => return None,
        })
    }
}

/// Whether the value is of a package whose values have formats of their own: they are not plain data at the top.
fn has_own_format(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = value.py();
    let class = value.get_type();
    if is_builtin(&class) {
        return Ok(false);
    }
    let Ok(module) = class.getattr(intern!(py, "__module__")) else { return Ok(false) };
    let Ok(module) = module.extract::<&str>() else { return Ok(false) };
    Ok(matches!(module.split('.').next(), Some("numpy" | "pandas" | "polars" | "pyarrow")))
}

fn is_builtin(class: &Bound<'_, PyType>) -> bool {
    let py = class.py();
    class.is(py.get_type::<PyDict>())
        || class.is(py.get_type::<PyList>())
        || class.is(py.get_type::<PyString>())
        || class.is(py.get_type::<PyTuple>())
        || class.is(py.get_type::<PyFloat>())
        || class.is(py.get_type::<PyInt>())
        || class.is(py.get_type::<PyBytes>())
}

fn not_mapped(stored: &Stored) -> PyErr {
    to_py(
        Error::new(
            ErrorKind::Unsupported,
            format!("entry {} is stored as {} and cannot be mapped", stored.key(), stored.format().storage_format),
        )
        .with_hint(
            "uncompressed arrays (array_format='npy') can be mapped with 'r' and 'c', uncompressed Arrow files \
             (dataframe_format='arrow', parquet_compression='none') with 'r'",
        ),
    )
}

/// How long the parts of a pickle are: 8 bytes each, little-endian.
struct PickleParts(Vec<u64>);

impl PickleParts {
    fn of(parts: &[&[u8]]) -> Self {
        Self(parts.iter().map(|part| part.len() as u64).collect())
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|length| length.to_le_bytes()).collect()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(8) {
            return None;
        }
        Some(Self(
            bytes.chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().expect("chunks have 8 bytes"))).collect(),
        ))
    }

    fn split<'a>(&self, mut bytes: &'a [u8]) -> cacheness_core::Result<Vec<&'a [u8]>> {
        let mut parts = Vec::with_capacity(self.0.len());
        for length in &self.0 {
            let part = usize::try_from(*length).ok().and_then(|length| bytes.split_at_checked(length));
            let Some((part, rest)) = part else {
                return Err(Error::new(ErrorKind::Serialization, "a pickle is shorter than its parts"));
            };
            parts.push(part);
            bytes = rest;
        }
        if bytes.is_empty() {
            Ok(parts)
        } else {
            Err(Error::new(ErrorKind::Serialization, "a pickle is longer than its parts"))
        }
    }
}
