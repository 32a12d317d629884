//! The store as a Python class. `cacheness.storage.BlobStore` derives from it.

use std::path::PathBuf;

use cacheness::Clock;
use cacheness_core::backend::{CustomRows, EntryUpdate, Page, Query};
use cacheness_core::entry::Entry;
use cacheness_core::payload::Stored;
use cacheness_core::store::{EntryKey, Fetched, PutAttributes, Retry, Store};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::custom_rows::Prepared;
use crate::entries;
use crate::errors::IntoPyResult;
use crate::filters;
use crate::kwargs::{metadata_json, text};
use crate::opened::{self, Handle, Opened, parse_config};
use crate::plugged::Plugged;
use crate::searching::tagged;
use crate::values::{Check, Reading};

/// How many keys are listed between two checks for signals.
const PAGE: usize = 4096;

/// Artifacts under names, in one directory.
#[pyclass(subclass, frozen, module = "cacheness._core", name = "BlobStore")]
pub(crate) struct PyStore {
    handle: Handle<Store>,
}

impl PyStore {
    /// The value of `key`. If its blob vanishes while it is decoded, the entry is looked up again.
    fn read<'py>(
        &self,
        py: Python<'py>,
        key: &EntryKey,
        decode: impl Fn(Stored) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let store = &self.opened()?.engine;
        let mut retry = Retry::default();
        loop {
            let fetch = || store.fetch_again(key, store.read_options(), |_| true, &mut retry);
            let Fetched::Found(stored) = py.detach(fetch).into_py_result()? else { return Ok(None) };
            match decode(*stored) {
                Err(_) if retry.is_due() => {}
                decoded => return decoded.map(Some),
            }
        }
    }

    fn opened(&self) -> PyResult<&Opened<Store>> {
        self.handle.get()
    }

    /// The store behind the Python class.
    pub(crate) fn engine(&self) -> PyResult<&Store> {
        Ok(&self.opened()?.engine)
    }
}

#[pymethods]
impl PyStore {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { handle: Handle::new("store") }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.handle.traverse(&visit)
    }

    /// Opens the store; called once, by `__init__`.
    #[pyo3(signature = (directory, config, registry, read_only, metadata=None, blobs=None))]
    #[allow(clippy::too_many_arguments)] // called once, by name
    fn _open(
        &self,
        py: Python<'_>,
        directory: PathBuf,
        config: &str,
        registry: Py<PyAny>,
        read_only: bool,
        metadata: Option<Py<PyAny>>,
        blobs: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let config = parse_config(config)?.store;
        let plugged = Plugged::new(metadata, blobs);
        self.handle.open(py, &config, registry, || {
            plugged.during(|| opened::open(directory, config.clone(), read_only, Clock::system()))
        })
    }

    /// Sets whether custom handlers must be tried before the built-in ones.
    fn _set_handlers_changed(&self, changed: bool) -> PyResult<()> {
        self.opened()?.values.set_handlers_changed(changed);
        Ok(())
    }

    /// The names of the metadata backend and the blob backend.
    fn _backends(&self) -> PyResult<(String, String)> {
        let store = &self.opened()?.engine;
        Ok((store.metadata().name().to_owned(), store.blobs().name().to_owned()))
    }

    /// Stores under `key`, or under the hash of the payload without one, with the rows of `custom`.
    fn _put<'py>(
        slf: &Bound<'py, Self>,
        py: Python<'py>,
        data: &Bound<'py, PyAny>,
        key: Option<&Bound<'py, PyAny>>,
        metadata: Option<&Bound<'py, PyAny>>,
        tags: Option<&Bound<'py, PyAny>>,
        custom: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<String> {
        let Opened { engine: store, values } = slf.get().opened()?;
        let key = key.map(entry_key).transpose()?;
        let metadata = tagged(metadata.map(metadata_json).transpose()?, tags)?;
        // Pins the entry, so that a cache on the same directory does not evict it.
        let attributes = PutAttributes { metadata, pinned: true, ..PutAttributes::default() };
        let prepared = custom.map(|custom| Prepared::new(slf.as_any(), custom)).transpose()?;
        let none = CustomRows::new(Vec::new());
        let rows = prepared.as_ref().map_or(&none, |prepared| &prepared.rows);
        let put = values.encode(py, data, store, |py, encoded| {
            let put = || match &key {
                Some(key) => store.put_with(key, encoded, attributes, rows),
                None => store.put_by_content_with(encoded, attributes, rows),
            };
            Ok(py.detach(put).into_py_result()?.key.clone())
        });
        match &prepared {
            Some(prepared) => prepared.finish(put),
            None => put,
        }
    }

    /// Returns the value of a key, with its type, or `default`.
    ///
    /// Args:
    ///     key: the key.
    ///     default: the return value if the entry does not exist.
    ///     mmap_mode: `"r"` maps the file read-only, `"c"` copy-on-write, instead of reading it: uncompressed arrays, and
    ///         with `"r"` uncompressed Arrow tables.
    ///
    /// Returns:
    ///     The value, which the caller owns, or `default`.
    ///
    /// Raises:
    ///     ValueError: an unknown `mmap_mode`.
    ///     CacheIntegrityError: the payload is missing or damaged.
    ///     CacheSignatureError: the signature is invalid, or missing and required.
    ///     CacheSerializationError: the value cannot be decoded.
    ///     CachePickleError: the value is a pickle and the security configuration refuses those.
    ///     CacheUnsupportedError: the value needs a missing package or handler, or cannot be mapped.
    ///     CacheClosedError: the store has been closed.
    #[pyo3(signature = (key, default = None, *, mmap_mode = None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
        mmap_mode: Option<&str>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let values = &self.opened()?.values;
        let key = entry_key(key)?;
        let reading = Reading::from_mode(mmap_mode)?;
        let found = self.read(py, &key, |stored| values.decode(py, stored, reading))?;
        Ok(found.or(default))
    }

    /// Reads a part of an array, without reading the rest of it.
    ///
    /// Checks the hash of the whole payload only with `verify`, which reads all of it.
    ///
    /// Args:
    ///     key: the key.
    ///     index: an index of the array: integers, slices and `...`, as made by `np.s_[…]`.
    ///     verify: whether to read the whole payload and compare it with its hash first.
    ///
    /// Returns:
    ///     The same as `get(key)[index]`; `None` if the entry does not exist.
    ///
    /// Raises:
    ///     IndexError: the index is out of bounds, or has more parts than the array has dimensions.
    ///     TypeError: the index has a part of another type.
    ///     CacheUnsupportedError: the value is not an array.
    ///     CacheError: as for `get`.
    #[pyo3(signature = (key, index, *, verify=false))]
    fn get_slice<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        index: &Bound<'py, PyAny>,
        verify: bool,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let values = &self.opened()?.values;
        let key = entry_key(key)?;
        let check = if verify { Check::Whole } else { Check::Part };
        self.read(py, &key, |stored| values.decode(py, stored, Reading::Slice(index, check)))
    }

    /// Describes an entry, without reading its value.
    ///
    /// Returns:
    ///     A dictionary, among others with `cache_key`, `metadata` (the user's), `data_type`,
    ///     `object_type`, `storage_format`, `file_size` (bytes), `created_at` and `accessed_at` (ISO 8601,
    ///     UTC); `None` if the entry does not exist.
    ///
    /// Raises:
    ///     CacheMetadataError: the database cannot be read.
    ///     CacheClosedError: the store has been closed.
    fn get_metadata<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Opened { engine: store, .. } = self.opened()?;
        let key = text(key, "key")?;
        let found = py.detach(|| store.get_entry(key)).into_py_result()?;
        found.map(|summary| entries::to_dict(py, store, &summary)).transpose()
    }

    /// Sets fields of an entry's metadata; other fields and the value stay unchanged.
    ///
    /// Args:
    ///     key: the key.
    ///     metadata: the fields to set, plain data.
    ///
    /// Returns:
    ///     Whether the entry exists.
    ///
    /// Raises:
    ///     CacheSignatureError: the entry's signature is invalid.
    ///     CacheSerializationError: a field is not plain data.
    ///     CacheReadOnlyError: the store is read-only.
    fn update_metadata(&self, py: Python<'_>, key: &Bound<'_, PyAny>, metadata: &Bound<'_, PyDict>) -> PyResult<bool> {
        let Opened { engine: store, .. } = self.opened()?;
        let key = text(key, "key")?;
        let metadata = metadata.as_unbound();
        let merge = |entry: &Entry| {
            Python::attach(|py| {
                let all = entries::metadata(py, entry.metadata.as_deref())?.cast_into::<PyDict>()?;
                all.update(metadata.bind(py).as_mapping())?;
                metadata_json(all.as_any())
            })
        };
        let mut failed = None;
        let updated = py.detach(|| {
            store.update_entry(key, |entry| match merge(entry) {
                Ok(json) => Ok(EntryUpdate { metadata: Some(Some(json)), ..EntryUpdate::default() }),
                Err(error) => {
                    failed = Some(error);
                    Err(cacheness_core::Error::new(cacheness_core::ErrorKind::InvalidInput, "metadata"))
                }
            })
        });
        match failed {
            Some(error) => Err(error),
            None => updated.into_py_result(),
        }
    }

    /// Removes an entry.
    ///
    /// Returns:
    ///     Whether it existed.
    ///
    /// Raises:
    ///     CacheReadOnlyError: the store is read-only.
    ///     CacheClosedError: the store has been closed.
    fn delete(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Opened { engine: store, .. } = self.opened()?;
        let key = text(key, "key")?;
        py.detach(|| store.delete(key)).into_py_result()
    }

    /// Whether an entry with that key exists. Does not read its value.
    ///
    /// Raises:
    ///     CacheMetadataError: the database cannot be read.
    ///     CacheClosedError: the store has been closed.
    fn exists(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Opened { engine: store, .. } = self.opened()?;
        let key = text(key, "key")?;
        Ok(py.detach(|| store.get_entry(key)).into_py_result()?.is_some())
    }

    /// The keys, in sorted order.
    ///
    /// Args:
    ///     prefix: only keys with this prefix.
    ///     metadata_filter: a filter: only entries that match it, such as `{"version": "1.0"}` or
    ///         `{"accuracy": {"$gte": 0.9}}`.
    ///
    /// Raises:
    ///     CacheError: the filter is not valid; the error names the mistake.
    ///     CacheMetadataError: the database cannot be read.
    ///     CacheClosedError: the store has been closed.
    #[pyo3(signature = (prefix = None, metadata_filter = None))]
    fn list<'py>(
        &self,
        py: Python<'py>,
        prefix: Option<&Bound<'py, PyAny>>,
        metadata_filter: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let Opened { engine: store, .. } = self.opened()?;
        let filter = metadata_filter.map(filters::filter).transpose()?;
        let prefix = prefix.map_or(Ok(""), |prefix| text(prefix, "prefix"))?;
        let query = Query { prefix, filter: filter.as_ref(), ..Query::default() };
        let list = PyList::empty(py);
        let mut after: Option<String> = None;
        loop {
            let page = Page { after: after.as_deref(), limit: PAGE, offset: 0 };
            let keys = py.detach(|| store.metadata().keys(&query, &page)).into_py_result()?;
            py.check_signals()?;
            keys.iter().try_for_each(|key| list.append(key))?;
            if keys.len() < PAGE {
                break;
            }
            after = keys.into_iter().next_back();
        }
        Ok(list)
    }

    /// The result of checking an entry; `None` if it does not exist.
    fn _verify<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Opened { engine: store, .. } = self.opened()?;
        let key = text(key, "key")?;
        let report = py.detach(|| store.verify_integrity(key)).into_py_result()?;
        report.map(|report| entries::integrity(py, &report)).transpose()
    }

    /// Replaces the value of an entry; its metadata stays.
    ///
    /// Args:
    ///     data: the new value.
    ///     key: the key.
    ///
    /// Returns:
    ///     Whether the entry exists.
    ///
    /// Raises:
    ///     CacheError: as for `put`; the previous value stays.
    fn update_data(&self, py: Python<'_>, data: &Bound<'_, PyAny>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Opened { engine: store, values } = self.opened()?;
        let key = entry_key(key)?;
        let Some(former) = py.detach(|| store.get_entry(key.as_str())).into_py_result()? else { return Ok(false) };
        let key = key.filed(&former.entry, store.config().store_cache_key_params).into_py_result()?;
        let Entry { description, metadata, .. } = former.entry;
        let attributes = PutAttributes { description, metadata, pinned: true, ..PutAttributes::default() };
        values.encode(py, data, store, |py, encoded| {
            py.detach(|| store.put(&key, encoded, attributes)).into_py_result().map(|_| true)
        })
    }

    /// Removes all entries.
    ///
    /// Returns:
    ///     The number of removed entries.
    ///
    /// Raises:
    ///     CacheReadOnlyError: the store is read-only.
    ///     CacheClosedError: the store has been closed.
    fn clear(&self, py: Python<'_>) -> PyResult<u64> {
        let Opened { engine: store, .. } = self.opened()?;
        py.detach(|| store.clear()).into_py_result()
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
        let Opened { engine: store, .. } = self.opened()?;
        py.detach(|| store.rotate_signing_key()).into_py_result()
    }

    /// The number of entries and their bytes.
    fn _totals(&self, py: Python<'_>) -> PyResult<(u64, u64)> {
        let Opened { engine: store, .. } = self.opened()?;
        let totals = py.detach(|| store.totals()).into_py_result()?;
        Ok((totals.entries, totals.bytes))
    }

    /// Releases all resources. Closing twice is not an error.
    ///
    /// Later calls raise `CacheClosedError`.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.handle.if_opened() {
            Some(Opened { engine: store, .. }) => py.detach(|| store.close()).into_py_result(),
            None => Ok(()),
        }
    }

    /// Whether the store is read-only.
    #[getter]
    fn read_only(&self) -> PyResult<bool> {
        Ok(self.opened()?.engine.is_read_only())
    }
}

fn entry_key(key: &Bound<'_, PyAny>) -> PyResult<EntryKey> {
    EntryKey::from_name(text(key, "key")?).into_py_result()
}
