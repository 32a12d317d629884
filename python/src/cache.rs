//! The cache as a Python class: the code on the path of every get and put. `cacheness.Cache` derives from it.

use std::path::PathBuf;

use cacheness::Clock;
use cacheness_core::cache::{CacheAttributes, CacheEngine, Freshness, Wanted};
use cacheness_core::payload::Stored;
use cacheness_core::store::{EntryKey, ReadOptions};
use cacheness_core::tags;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::clock::PyClock;
use crate::custom_rows::Prepared;
use crate::entries::{self, Detail};
use crate::errors::IntoPyResult;
use crate::filters;
use crate::kwargs::{Call, Given, Method, text};
use crate::listing;
use crate::matching::Listing;
use crate::opened::{self, Handle, Opened, parse_config};
use crate::plugged::Plugged;
use crate::reading::{Detached, ReadFailure};
use crate::searching;
use crate::values::{Check, Reading, Values};

/// A key, and its value or why it cannot be read.
type Looked<'py> = (String, PyResult<Option<Bound<'py, PyAny>>>);

/// A cache of typed values in one directory. Its Python name is the public one, which errors about arguments show.
#[pyclass(subclass, frozen, module = "cacheness._core", name = "Cache")]
pub(crate) struct PyCache {
    handle: Handle<CacheEngine>,
}

impl PyCache {
    pub(crate) fn opened(&self) -> PyResult<&Opened<CacheEngine>> {
        self.handle.get()
    }

    /// The cache behind the Python class.
    pub(crate) fn engine(&self) -> PyResult<&CacheEngine> {
        Ok(&self.opened()?.engine)
    }

    /// The encoder and decoder of its values.
    pub(crate) fn values(&self) -> PyResult<&Values> {
        Ok(&self.opened()?.values)
    }

    /// The payload of `key`, decoded by `decode`. A damaged entry or a wrong signature is logged and counts as a miss.
    fn read<T>(
        &self,
        py: Python<'_>,
        key: &EntryKey,
        call: &Call<'_>,
        mut decode: impl FnMut(&Values, Stored) -> PyResult<T>,
    ) -> PyResult<Option<T>> {
        let Opened { engine, values } = self.opened()?;
        let options = ReadOptions { strict: call.strict_verification.unwrap_or(true), ..engine.store().read_options() };
        let decode = |stored| decode(values, stored).map_err(ReadFailure::Python);
        Ok(engine.read(key, call.max_age()?, options, &Detached(py), decode)?)
    }

    /// The results of many calls of `get`, looked up together: the key of each, and its value or why it cannot be read.
    pub(crate) fn read_batch<'py>(&self, py: Python<'py>, calls: &[Call<'py>]) -> PyResult<Vec<Looked<'py>>> {
        let Opened { engine, values } = self.opened()?;
        let mut wanted = Vec::with_capacity(calls.len());
        for call in calls {
            let options =
                ReadOptions { strict: call.strict_verification.unwrap_or(true), ..engine.store().read_options() };
            let how = Wanted { max_age: call.max_age()?, freshness: Freshness::default(), options };
            wanted.push((call.key(&engine.store().config().serialization)?, how));
        }
        let found = engine.read_batch(&wanted, &Detached(py), |place, stored| {
            let reading = Reading::from_mode(calls[place].mmap_mode.as_deref()).map_err(ReadFailure::Python)?;
            values.decode(py, stored, reading).map_err(ReadFailure::Python)
        })?;
        let keys = wanted.iter().map(|(key, _)| key.as_str().to_owned());
        Ok(keys.zip(found.into_iter().map(|found| found.map_err(PyErr::from))).collect())
    }
}

#[pymethods]
impl PyCache {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { handle: Handle::new("cache") }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.handle.traverse(&visit)
    }

    /// Opens the store; called once, by `__init__`.
    #[pyo3(signature = (directory, config, registry, read_only, clock=None, metadata=None, blobs=None))]
    #[allow(clippy::too_many_arguments)] // called once, by name
    fn _open(
        &self,
        py: Python<'_>,
        directory: PathBuf,
        config: &str,
        registry: Py<PyAny>,
        read_only: bool,
        clock: Option<&Bound<'_, PyClock>>,
        metadata: Option<Py<PyAny>>,
        blobs: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let config = parse_config(config)?;
        let plugged = Plugged::new(metadata, blobs);
        let clock = clock.map_or_else(Clock::system, |clock| clock.get().0.clone());
        self.handle.open(py, &config.store, registry, || {
            let store = plugged.during(|| opened::open(directory, config.store.clone(), read_only, clock))?;
            CacheEngine::new(store, &config)
        })
    }

    /// Sets whether custom handlers must be tried before the built-in ones.
    fn _set_handlers_changed(&self, changed: bool) -> PyResult<()> {
        self.opened()?.values.set_handlers_changed(changed);
        Ok(())
    }

    /// Stores a value under its parameters, replacing an existing entry.
    ///
    /// Args:
    ///     data: the value, by position or as `data=…`. If the value is given by position, `data` is a parameter.
    ///     metadata: plain data stored with the value and shown by listings: a dictionary whose names are strings.
    ///     tags: a list of strings, kept in the field `tags` of the metadata, behind those that it has.
    ///     description: a description of the value, for listings.
    ///     ttl_seconds: the time to live, in seconds or as a `timedelta`; `None` means that it never expires. The
    ///         cache's default if omitted or `...`.
    ///     cache_key: a name for the entry instead of parameters, up to 1024 bytes of UTF-8.
    ///     params: parameters in a dictionary, for names that are reserved keywords.
    ///     custom_metadata: an object of a model of typed metadata, or a list of them: see `cacheness.custom_metadata`.
    ///         They are stored in the transaction of the entry, and removed with it.
    ///     parameters: all other keywords are the parameters that identify the value. Reserved are `metadata`, `tags`,
    ///         `custom_metadata`, `description`, `ttl_seconds`, `cache_key`, `params`, `default`, `mmap_mode` and
    ///         `strict_verification`. Without parameters and `cache_key` the key is derived from the content: equal
    ///         payloads have one entry.
    ///
    /// Returns:
    ///     The key: 16 hexadecimal digits derived from the parameters, or `cache_key`; 32 digits if derived from the
    ///     content.
    ///
    /// Raises:
    ///     TypeError: no value, parameters together with `cache_key`, a keyword of `get`, or `tags` that are no strings.
    ///     CacheConfigurationError: `ttl_seconds`, `cache_key` or a tag is invalid, or the metadata's own `tags` are no
    ///         strings.
    ///     CacheSerializationError: a parameter has no stable key, or no handler can store the value.
    ///     CachePickleError: the value can only be pickled and the security configuration refuses that.
    ///     CacheConstraintError: a table of `custom_metadata` refuses a row; nothing has changed.
    ///     CacheUnsupportedError: `custom_metadata` in a store whose backend has no tables.
    ///     CacheStorageError: it cannot be written; the previous value is intact.
    ///     CacheReadOnlyError: the cache is read-only.
    ///     CacheClosedError: the cache has been closed.
    #[pyo3(
        signature = (data=Given::LEFT_OUT, surplus=Given::LEFT_OUT, /, **params),
        text_signature = "($self, data, *, metadata=None, tags=None, description=None, ttl_seconds=..., \
                          cache_key=None, params=None, custom_metadata=None, **parameters)"
    )]
    fn put<'py>(
        slf: &Bound<'py, Self>,
        py: Python<'py>,
        data: Given<'_, 'py>,
        surplus: Given<'_, 'py>,
        params: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyString>> {
        let Opened { engine, values, .. } = slf.get().opened()?;
        if surplus.is_there() {
            return Err(PyTypeError::new_err(
                "put() takes one value by position; to store it under a name, write put(value, cache_key=name) or \
                 cache[name] = value",
            ));
        }
        let Some(data) = data.or_keyword(intern!(py, "data"), params)? else {
            return Err(PyTypeError::new_err(
                "put() has no value to store: put(value, model=…) or put(data=value, model=…)",
            ));
        };
        let call = Call::new(py, params, Method::Put)?;
        let key = if call.is_anonymous() { None } else { Some(call.key(&engine.store().config().serialization)?) };
        let attributes = CacheAttributes {
            description: call.description.clone(),
            metadata: call.metadata_json()?,
            ttl: call.ttl()?,
            computed: None,
        };
        if let Some(custom) = &call.custom {
            let prepared = Prepared::new(slf.as_any(), custom)?;
            let put = values.encode(py, &data, engine.store(), |py, encoded| {
                let put = || engine.put_with(key.as_ref(), encoded, attributes, &prepared.rows);
                py.detach(put).into_py_result().map(|entry| entry.key.clone())
            });
            return Ok(PyString::new(py, &prepared.finish(put)?));
        }
        let Some(key) = key else {
            let entry = values.encode(py, &data, engine.store(), |py, encoded| {
                py.detach(|| engine.put_by_content(encoded, attributes)).into_py_result()
            })?;
            return Ok(PyString::new(py, &entry.key));
        };
        values.encode(py, &data, engine.store(), |py, encoded| {
            py.detach(|| engine.put(&key, encoded, attributes)).into_py_result().map(drop)
        })?;
        Ok(PyString::new(py, key.as_str()))
    }

    /// Returns the value that was put with these parameters, with its type, or `default`.
    ///
    /// Ignores keywords of `put` that are not parameters (`metadata`, `tags`, `description`, `custom_metadata`). An entry that is damaged or has a
    /// wrong signature is logged as a warning and counts as a miss.
    ///
    /// Args:
    ///     name: the key or the name of the entry, instead of parameters; the same as `cache_key`.
    ///     default: the return value if the entry does not exist or has expired.
    ///     ttl_seconds: for this call, entries older than this many seconds count as expired.
    ///     mmap_mode: `"r"` maps the file read-only and `"c"` copy-on-write, instead of reading it: uncompressed
    ///         arrays, and with `"r"` uncompressed Arrow tables.
    ///     strict_verification: `False` serves an entry with a wrong signature, with a warning; never a pickle.
    ///         `verify_integrity` reports the state of a signature.
    ///     cache_key: the name of the entry, instead of parameters.
    ///     params: parameters in a dictionary, for names that are reserved keywords.
    ///     parameters: all other keywords are the parameters that identify the value.
    ///
    /// Returns:
    ///     The value, which the caller owns, or `default`.
    ///
    /// Raises:
    ///     TypeError: no parameters and no `cache_key`, or both.
    ///     ValueError: an unknown `mmap_mode`.
    ///     CacheSerializationError: a parameter has no stable key, or the value cannot be decoded.
    ///     CachePickleError: the value is a pickle and the security configuration refuses those.
    ///     CacheUnsupportedError: the value needs a missing package or handler, or cannot be mapped.
    ///     CacheStorageError: reading fails.
    ///     CacheClosedError: the cache has been closed.
    #[pyo3(
        signature = (name=None, fallback=None, /, **params),
        text_signature = "($self, name=None, /, default=None, *, ttl_seconds=None, mmap_mode=None, \
                          strict_verification=True, cache_key=None, params=None, **parameters)"
    )]
    fn get<'py>(
        &self,
        py: Python<'py>,
        name: Option<&Bound<'py, PyAny>>,
        fallback: Option<Bound<'py, PyAny>>,
        params: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut call = Call::new(py, params, Method::Get)?;
        if name.is_some() {
            call = call.with_key(name)?;
        }
        let key = call.key(&self.opened()?.engine.store().config().serialization)?;
        let reading = Reading::from_mode(call.mmap_mode.as_deref())?;
        let found = self.read(py, &key, &call, |values, stored| values.decode(py, stored, reading))?;
        Ok(match found.or(call.default).or(fallback) {
            Some(value) => value,
            None => py.None().into_bound(py),
        })
    }

    /// Reads a part of an array, without reading the rest of it.
    ///
    /// Checks the hash of the whole payload only with `verify`, which reads all of it.
    ///
    /// Args:
    ///     index: an index of the array: integers, slices and `...`, as made by `np.s_[…]`.
    ///     verify: whether to read the whole payload and compare it with its hash first. A parameter of this name goes
    ///         into `params`.
    ///     default: the return value if the entry does not exist or has expired.
    ///     ttl_seconds: for this call, entries older than this many seconds count as expired.
    ///     strict_verification: `False` serves an entry with a wrong signature, with a warning.
    ///     cache_key: the name of the entry, instead of parameters.
    ///     params: parameters in a dictionary, for names that are reserved keywords.
    ///     parameters: all other keywords are the parameters that identify the value.
    ///
    /// Returns:
    ///     The same as `get(…)[index]`, or `default`.
    ///
    /// Raises:
    ///     IndexError: the index is out of bounds, or has more parts than the array has dimensions.
    ///     TypeError: the index has a part of another type.
    ///     CacheUnsupportedError: the value is not an array.
    ///     CacheError: as for `get`.
    #[pyo3(
        signature = (index, /, *, verify=false, **params),
        text_signature = "($self, index, /, *, verify=False, default=None, ttl_seconds=None, strict_verification=True, \
                          cache_key=None, params=None, **parameters)"
    )]
    fn get_slice<'py>(
        &self,
        py: Python<'py>,
        index: &Bound<'py, PyAny>,
        verify: bool,
        params: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let call = Call::new(py, params, Method::Get)?;
        let key = call.key(&self.opened()?.engine.store().config().serialization)?;
        let reading = Reading::Slice(index, if verify { Check::Whole } else { Check::Part });
        let found = self.read(py, &key, &call, |values, stored| values.decode(py, stored, reading))?;
        Ok(found.or(call.default).unwrap_or_else(|| py.None().into_bound(py)))
    }

    /// Returns the value and the metadata that it was put with.
    ///
    /// Takes the arguments of `get`; ignores `default`.
    ///
    /// Returns:
    ///     The value and its metadata, an empty dictionary if it has none; `None` for a miss.
    ///
    /// Raises:
    ///     CacheError: as for `get`.
    #[pyo3(
        signature = (name=None, /, **params),
        text_signature = "($self, name=None, /, *, ttl_seconds=None, mmap_mode=None, strict_verification=True, \
                          cache_key=None, params=None, **parameters)"
    )]
    fn get_with_metadata<'py>(
        &self,
        py: Python<'py>,
        name: Option<&Bound<'py, PyAny>>,
        params: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        let call = Call::new(py, params, Method::Get)?.with_key(name)?;
        let key = call.key(&self.opened()?.engine.store().config().serialization)?;
        let reading = Reading::from_mode(call.mmap_mode.as_deref())?;
        self.read(py, &key, &call, |values, stored| {
            let metadata = entries::metadata(py, stored.entry().metadata.as_deref())?;
            Ok((values.decode(py, stored, reading)?, metadata))
        })
    }

    /// Describes an entry, without reading its value. Counts neither as a hit nor as a miss.
    ///
    /// Args:
    ///     cache_key: the key or the name of the entry, instead of parameters, which are then ignored.
    ///     check_expiration: whether an expired entry counts as missing. A parameter of this name goes into `params`.
    ///     params: parameters in a dictionary, for names that are reserved keywords.
    ///     parameters: all other keywords are the parameters that identify the value.
    ///
    /// Returns:
    ///     The dictionary of the entry in `list_entries(include_metadata=True)`; `None` if there is none. Its `metadata`
    ///     holds the user's fields, and also looks up technical fields that these lack: `file_hash`, `entry_signature`,
    ///     `actual_path`, `object_type`, `storage_format`, `serializer` and `compression_codec`.
    ///
    /// Raises:
    ///     TypeError: no parameters and no `cache_key`, or a keyword of `get`.
    ///     CacheSerializationError: a parameter has no stable key.
    ///     CacheMetadataError: the database cannot be read.
    ///     CacheClosedError: the cache has been closed.
    #[pyo3(
        signature = (cache_key = None, check_expiration = true, **params),
        text_signature = "($self, cache_key=None, check_expiration=True, *, params=None, **parameters)"
    )]
    fn get_metadata<'py>(
        &self,
        py: Python<'py>,
        cache_key: Option<&Bound<'py, PyAny>>,
        check_expiration: bool,
        params: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Opened { engine, .. } = self.opened()?;
        let call = Call::new(py, params, Method::Keyed)?.with_key(cache_key)?;
        let key = call.key(&engine.store().config().serialization)?;
        let found = py.detach(|| engine.get_entry(&key, !check_expiration)).into_py_result()?;
        found.map(|summary| entries::to_dict(py, engine.store(), &summary)).transpose()
    }

    /// Whether there is an unexpired entry with these parameters. Does not read its value.
    ///
    /// Args:
    ///     name: the key or the name of the entry, instead of parameters; the same as `cache_key`.
    ///     cache_key: the key or the name of the entry, instead of parameters.
    ///     params: parameters in a dictionary, for names that are reserved keywords.
    ///     parameters: all other keywords are the parameters that identify the value.
    ///
    /// Raises:
    ///     CacheError: as for `get_metadata`.
    #[pyo3(
        signature = (name=None, /, **params),
        text_signature = "($self, name=None, /, *, cache_key=None, params=None, **parameters)"
    )]
    fn exists<'py>(
        &self,
        py: Python<'py>,
        name: Option<&Bound<'py, PyAny>>,
        params: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<bool> {
        let Opened { engine, .. } = self.opened()?;
        let call = Call::new(py, params, Method::Other)?.with_key(name)?;
        let key = call.key(&engine.store().config().serialization)?;
        py.detach(|| engine.exists(&key)).into_py_result()
    }

    /// Removes the entry with these parameters.
    ///
    /// Args:
    ///     name: the key or the name of the entry, instead of parameters; the same as `cache_key`.
    ///     cache_key: the key or the name of the entry, instead of parameters.
    ///     params: parameters in a dictionary, for names that are reserved keywords.
    ///     parameters: all other keywords are the parameters that identify the value.
    ///
    /// Returns:
    ///     Whether it existed.
    ///
    /// Raises:
    ///     CacheReadOnlyError: the cache is read-only.
    ///     CacheError: as for `get_metadata`.
    #[pyo3(
        signature = (name=None, /, **params),
        text_signature = "($self, name=None, /, *, cache_key=None, params=None, **parameters)"
    )]
    fn invalidate<'py>(
        &self,
        py: Python<'py>,
        name: Option<&Bound<'py, PyAny>>,
        params: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<bool> {
        let Opened { engine, .. } = self.opened()?;
        let call = Call::new(py, params, Method::Other)?.with_key(name)?;
        let key = call.key(&engine.store().config().serialization)?;
        py.detach(|| engine.invalidate(&key)).into_py_result()
    }

    /// Removes the entry of a key, as returned by `put` and shown by listings.
    ///
    /// Returns:
    ///     Whether it existed.
    ///
    /// Raises:
    ///     CacheReadOnlyError: the cache is read-only.
    ///     CacheConfigurationError: the key is empty or too long.
    ///     CacheClosedError: the cache has been closed.
    fn invalidate_by_cache_key(&self, py: Python<'_>, cache_key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Opened { engine, .. } = self.opened()?;
        let key = EntryKey::from_name(text(cache_key, "cache_key")?).into_py_result()?;
        py.detach(|| engine.invalidate(&key)).into_py_result()
    }

    /// All entries in the order of their keys, without their values; includes expired ones.
    ///
    /// Args:
    ///     include_metadata: whether the dictionaries include the user's `metadata`.
    ///     where: a filter: only entries that match it, such as `{"accuracy": {"$gte": 0.9}}`.
    ///     sort: a field, `"-field"` for descending, or a list of them; by default the key.
    ///     limit: at most this many entries.
    ///     offset: this many of them are left out first.
    ///     tag: only entries with this tag.
    ///     after: only entries whose key comes after this one: in the order of the keys, the last of the previous page.
    ///
    /// Returns:
    ///     A list of dictionaries, which a notebook shows as a table. Each has among others `cache_key`, `function` (the
    ///     name of the decorated function whose result it is, else `None`), `call` (the call of that function, or the
    ///     parameters, or the name, in at most 200 characters), `description` (`""` if none was given), `data_type`,
    ///     `object_type`, `storage_format`, `file_size` (bytes), `access_count`, `compute_seconds` (how long a cached
    ///     computation took; `None` for a value that was put), `cache_key_params` and `compression_info` (`codec`,
    ///     `format`, `original_size` and `compressed_size` in bytes,
    ///     and their `ratio`; `None` if a custom handler does not report it). Times are ISO 8601: `created`,
    ///     `last_accessed` and `expires` in UTC with the offset `+00:00`; `created_at`, `accessed_at` and `expires_at` in
    ///     local time without an offset, to be compared with `datetime.now()`.
    ///
    /// Raises:
    ///     CacheError: the filter or the order is not valid; the error names the mistake.
    ///     CacheMetadataError: the database cannot be read.
    ///     CacheClosedError: the cache has been closed.
    #[pyo3(signature = (include_metadata = false, *, r#where = None, sort = None, limit = None, offset = 0, after = None, tag = None))]
    #[allow(clippy::too_many_arguments)]
    fn list_entries<'py>(
        &self,
        py: Python<'py>,
        include_metadata: bool,
        r#where: Option<&Bound<'py, PyAny>>,
        sort: Option<&Bound<'py, PyAny>>,
        limit: Option<usize>,
        offset: usize,
        after: Option<String>,
        tag: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Opened { engine, .. } = self.opened()?;
        let detail = if include_metadata { Detail::Full } else { Detail::Brief };
        let mut filter = searching::optional_filter(r#where)?;
        if let Some(tag) = tag.filter(|tag| !tag.is_none()) {
            filter = filter.and(tags::filter(text(tag, "tag")?));
        }
        let list = if filter.is_empty() && sort.is_none() && limit.is_none() && offset == 0 && after.is_none() {
            listing::list(py, engine, detail)?
        } else {
            Listing { filter, sort: filters::sort(sort)?, limit, offset, after }.list(py, engine, detail)?
        };
        searching::listing(&list)
    }

    /// The key of these parameters, whether or not there is an entry.
    ///
    /// Args:
    ///     cache_key: a name instead of parameters, which is returned unchanged.
    ///     params: parameters in a dictionary, for names that are reserved keywords.
    ///     parameters: all other keywords are the parameters.
    ///
    /// Returns:
    ///     16 hexadecimal digits, the same in every process, on every machine and in Rust.
    ///
    /// Raises:
    ///     TypeError: no parameters and no `cache_key`, both, or a keyword of `get`.
    ///     CacheSerializationError: a parameter has no stable key.
    #[pyo3(
        signature = (**params),
        text_signature = "($self, *, cache_key=None, params=None, **parameters)"
    )]
    fn cache_key<'py>(&self, py: Python<'py>, params: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyString>> {
        let Opened { engine, .. } = self.opened()?;
        let call = Call::new(py, params, Method::Other)?;
        Ok(PyString::new(py, call.key(&engine.store().config().serialization)?.as_str()))
    }

    /// A page of the keys after `after`, of all entries or of those that are served, and where to continue; `None`
    /// after the last.
    #[pyo3(signature = (after=None, expired_too=false))]
    fn _keys(&self, py: Python<'_>, after: Option<&str>, expired_too: bool) -> PyResult<(Vec<String>, Option<String>)> {
        let Opened { engine, .. } = self.opened()?;
        py.detach(|| engine.keys(after, 1000, expired_too)).into_py_result()
    }

    /// The result of checking an entry; `None` if it does not exist.
    #[pyo3(signature = (**params))]
    fn _verify<'py>(
        &self,
        py: Python<'py>,
        params: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Opened { engine, .. } = self.opened()?;
        let key = Call::new(py, params, Method::Keyed)?.key(&engine.store().config().serialization)?;
        let report = py.detach(|| engine.store().verify_integrity(key.as_str())).into_py_result()?;
        report.map(|report| entries::integrity(py, &report)).transpose()
    }

    /// Entries, bytes, hits, misses, puts, failures, oldest and newest creation time.
    fn _stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let Opened { engine, .. } = self.opened()?;
        let totals = py.detach(|| engine.totals()).into_py_result()?;
        let counts = engine.counts();
        let stats = PyDict::new(py);
        stats.set_item("total_entries", totals.entries)?;
        stats.set_item("total_size_bytes", totals.bytes)?;
        stats.set_item("total_size_mb", entries::megabytes(totals.bytes))?;
        stats.set_item("cache_hits", counts.hits)?;
        stats.set_item("cache_misses", counts.misses)?;
        stats.set_item("cache_puts", counts.puts)?;
        stats.set_item("cache_failures", counts.failures)?;
        stats.set_item("cache_evictions", counts.evictions)?;
        stats.set_item("hit_rate", counts.hit_rate())?;
        stats.set_item("memory_cache_hits", engine.store().memory_hits())?;
        stats.set_item("backend_type", engine.store().metadata().name())?;
        stats.set_item("blob_backend_type", engine.store().blobs().name())?;
        Ok(stats)
    }

    /// When the oldest and the newest entry were put; `None` if there are none. Scans all entries.
    fn _created_range(&self, py: Python<'_>) -> PyResult<Option<(String, String)>> {
        let Opened { engine, .. } = self.opened()?;
        let range = py.detach(|| engine.created_range()).into_py_result()?;
        Ok(range.map(|(oldest, newest)| (oldest.to_iso(), newest.to_iso())))
    }

    /// Removes all expired entries.
    ///
    /// Returns:
    ///     The number of removed entries.
    ///
    /// Raises:
    ///     CacheReadOnlyError: the cache is read-only.
    ///     CacheClosedError: the cache has been closed.
    fn cleanup_expired(&self, py: Python<'_>) -> PyResult<u64> {
        let Opened { engine, .. } = self.opened()?;
        py.detach(|| engine.cleanup_expired()).into_py_result()
    }

    /// Removes all entries.
    ///
    /// Returns:
    ///     The number of removed entries.
    ///
    /// Raises:
    ///     CacheReadOnlyError: the cache is read-only.
    ///     CacheClosedError: the cache has been closed.
    fn clear(&self, py: Python<'_>) -> PyResult<u64> {
        let Opened { engine, .. } = self.opened()?;
        py.detach(|| engine.clear()).into_py_result()
    }

    /// Replaces the signing key and signs every entry that has a valid signature again.
    ///
    /// Other processes continue to work. They detect the new key within a second, for which this call waits. Entries
    /// with an invalid or missing signature stay unchanged.
    ///
    /// Returns:
    ///     The number of entries that were signed again.
    ///
    /// Raises:
    ///     CacheConfigurationError: the store does not sign its entries.
    ///     CacheReadOnlyError: the store is read-only.
    fn rotate_signing_key(&self, py: Python<'_>) -> PyResult<u64> {
        let Opened { engine, .. } = self.opened()?;
        py.detach(|| engine.store().rotate_signing_key()).into_py_result()
    }

    /// Flushes access records and releases all resources. Closing twice is not an error.
    ///
    /// Later calls raise `CacheClosedError`.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.handle.if_opened() {
            Some(Opened { engine, .. }) => py.detach(|| engine.close()).into_py_result(),
            None => Ok(()),
        }
    }

    /// Whether the cache has been closed, or was never opened.
    #[getter]
    fn closed(&self) -> bool {
        self.handle.if_opened().is_none_or(|opened| opened.engine.is_closed())
    }

    /// Whether the cache is read-only.
    #[getter]
    fn read_only(&self) -> PyResult<bool> {
        Ok(self.opened()?.engine.store().is_read_only())
    }
}
