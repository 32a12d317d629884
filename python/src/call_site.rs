//! A call site of a cache: a decorated function, or a call of `get_or_compute`.

use std::collections::HashSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cacheness_core::cache::{CacheAttributes, CacheEngine, Freshness, Next, Search, Served, Ttl, Wanted};
use cacheness_core::config::{Codec, ttl_duration};
use cacheness_core::entry::{Code, Computed, Entry, Location};
use cacheness_core::payload::Stored;
use cacheness_core::store::EntryKey;
use cacheness_core::{Error, ErrorKind};
use parking_lot::Mutex;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::cache::PyCache;
use crate::errors::{IntoPyResult, to_py};
use crate::flights::{CallKey, PyFlight, PyTurn};
use crate::keys;
use crate::kwargs::{Call, Method, metadata_json, seconds};
use crate::opened::Opened;
use crate::reading::{Detached, ReadFailure};
use crate::searching::tagged;
use crate::values::{Reading, Values};

/// The maximum time between two checks for signals (Ctrl-C) in a waiting thread.
const PAUSE: Duration = Duration::from_millis(50);

/// A call site of a cache: its options and its counts.
#[pyclass(frozen, module = "cacheness._core", name = "CallSite")]
pub(crate) struct CallSite {
    ttl: Ttl,
    metadata: Option<String>,
    freshness: Freshness,
    /// The codec for plain data and pickles, instead of the cache's.
    codec: Option<Codec>,
    inline_only: bool,
    /// The names of the parameters that collect arguments; `None` if the key is not derived from arguments.
    collected: Option<Vec<String>>,
    on_code_change: OnCodeChange,
    /// The current code of the function; set by the first call.
    code: OnceLock<Option<Code>>,
    /// Entries of other code that were served with a warning.
    warned: Mutex<HashSet<String>>,
    hits: AtomicU64,
    misses: AtomicU64,
    refreshes: AtomicU64,
    failures: AtomicU64,
    /// The time that computing the hits took.
    saved_micros: AtomicU64,
}

/// What to do with an entry that other code has computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnCodeChange {
    Recompute,
    Warn,
    Ignore,
}

/// The maximum number of entries that are remembered to warn only once.
const WARNED: usize = 10_000;

/// The result of decoding.
enum Value<'py> {
    Ready(Bound<'py, PyAny>),
    /// Reading it may take long.
    Deferred(Box<Stored>),
}

impl CallSite {
    /// The code that must have computed an entry for it to be served.
    fn wanted_code(&self) -> Option<Code> {
        if self.on_code_change == OnCodeChange::Recompute { self.known_code() } else { None }
    }

    fn known_code(&self) -> Option<Code> {
        self.code.get().copied().flatten()
    }

    /// The key of the parameters of a call.
    pub(crate) fn key_of(&self, params: &Bound<'_, PyDict>, opened: &Opened<CacheEngine>) -> PyResult<EntryKey> {
        let config = &opened.engine.store().config().serialization;
        let key = match &self.collected {
            Some(collected) => keys::encode_call(params, collected, config),
            None => keys::encode_params(params, config),
        }?;
        Ok(EntryKey::from_params(key.key, key.fingerprint, key.encoding))
    }

    /// Whether [`CallSite::set_code`] has been called, if it must be.
    pub(crate) fn knows_code(&self) -> bool {
        self.code.get().is_some()
    }

    /// Counts a hit.
    fn hit(&self, computed: Option<Computed>) {
        self.hits.fetch_add(1, Ordering::Relaxed);
        if let Some(Computed { micros, .. }) = computed {
            self.saved_micros.fetch_add(micros, Ordering::Relaxed);
        }
    }

    /// Warns once that other code has computed a served entry, if configured.
    fn warn_of_other_code(&self, entry: &Entry) {
        let is_other = self.known_code().is_some_and(|code| entry.is_of_other_code(code));
        if self.on_code_change != OnCodeChange::Warn || !is_other {
            return;
        }
        let mut warned = self.warned.lock();
        if warned.contains(&entry.key) {
            return;
        }
        if warned.len() == WARNED {
            warned.clear();
        }
        warned.insert(entry.key.clone());
        drop(warned);
        log::warn!(target: "cacheness", "{}: served although its code has changed (logged once)", entry.caption().call);
    }

    /// Which entries this call site serves, and how it reads them.
    fn wanted(&self, engine: &CacheEngine, freshness: Freshness) -> Wanted {
        let freshness = Freshness { code: self.wanted_code(), ..freshness };
        Wanted { max_age: None, freshness, options: engine.store().read_options() }
    }

    /// Decodes a served entry.
    fn decode<'py>(&self, py: Python<'py>, values: &Values, stored: Stored) -> Result<Value<'py>, ReadFailure> {
        self.warn_of_other_code(stored.entry());
        if self.inline_only && matches!(stored.entry().location, Location::Blob(_)) {
            return Ok(Value::Deferred(Box::new(stored)));
        }
        self.decode_now(py, values, stored).map(Value::Ready)
    }

    fn decode_now<'py>(
        &self,
        py: Python<'py>,
        values: &Values,
        stored: Stored,
    ) -> Result<Bound<'py, PyAny>, ReadFailure> {
        let computed = stored.entry().computed;
        let value = values.decode(py, stored, Reading::Own)?;
        self.hit(computed);
        Ok(value)
    }

    /// The value, or the `CallKey` of one that is due, deferred or missing.
    pub(crate) fn lookup_key<'py>(
        &self,
        py: Python<'py>,
        cache: &PyCache,
        key: EntryKey,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Opened { engine, values } = cache.opened()?;
        let wanted = self.wanted(engine, self.freshness);
        let found = engine.look(&key, &wanted, &Detached(py), |stored| self.decode(py, values, stored));
        Self::answer(py, key, found)
    }

    /// The value that was found, or the `CallKey` of one that is due, deferred or missing.
    fn answer<'py>(
        py: Python<'py>,
        key: EntryKey,
        found: Result<Option<Served<Value<'py>>>, ReadFailure>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let found = match found {
            Ok(Some(Served { value: Value::Ready(value), due: None })) => return Ok(value),
            Ok(Some(Served { value: Value::Ready(value), due: Some(created_at) })) => {
                CallKey { due: Some((value.unbind(), created_at)), ..CallKey::new(key) }
            }
            Ok(Some(Served { value: Value::Deferred(value), due })) => {
                CallKey { deferred: Mutex::new(Some(Served { value, due })), ..CallKey::new(key) }
            }
            Ok(None) => CallKey::new(key),
            Err(error) => CallKey::failed(py, key, error.into()),
        };
        Ok(Bound::new(py, found)?.into_any())
    }

    /// The search of a call that found no value and is part of the computation `inside`.
    fn search(&self, engine: &CacheEngine, key: &EntryKey, inside: Option<&Bound<'_, PyFlight>>) -> PyResult<Search> {
        let wanted = self.wanted(engine, Freshness::default());
        Search::missing(engine, key.clone(), wanted, PyFlight::scope_of(inside)).into_py_result()
    }

    /// A `Flight`, a value, a `CallKey` with a deferred one, or `None` while another caller computes.
    pub(crate) fn step<'py>(
        &self,
        py: Python<'py>,
        cache: &PyCache,
        search: &mut Search,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Opened { engine, values } = cache.opened()?;
        let found = match search.next(engine, &Detached(py), |stored| self.decode(py, values, stored))? {
            Next::Wait => return Ok(None),
            Next::Compute(flight) => {
                self.misses.fetch_add(1, Ordering::Relaxed);
                Bound::new(py, PyFlight::new(flight))?.into_any()
            }
            Next::Value(Value::Ready(value)) | Next::Due(Value::Ready(value), _) => value,
            Next::Value(Value::Deferred(stored)) | Next::Due(Value::Deferred(stored), _) => {
                let deferred = Mutex::new(Some(Served { value: stored, due: None }));
                Bound::new(py, CallKey { deferred, ..CallKey::new(search.key().clone()) })?.into_any()
            }
        };
        Ok(Some(found))
    }
}

#[pymethods]
impl CallSite {
    /// Checks the options.
    #[new]
    #[pyo3(signature = (*, ttl_seconds=None, metadata=None, tags=None, stale_ttl_seconds=None, early_recompute=None,
                        codec=None, inline_only=false, on_code_change=None, collected=None))]
    #[allow(clippy::too_many_arguments)] // they are keywords
    fn new(
        ttl_seconds: Option<Bound<'_, PyAny>>,
        metadata: Option<Bound<'_, PyAny>>,
        tags: Option<Bound<'_, PyAny>>,
        stale_ttl_seconds: Option<Bound<'_, PyAny>>,
        early_recompute: Option<Bound<'_, PyAny>>,
        codec: Option<&str>,
        inline_only: bool,
        on_code_change: Option<&str>,
        collected: Option<Vec<String>>,
    ) -> PyResult<Self> {
        let ttl = match ttl_seconds {
            Some(value) => {
                let value = seconds(&value, "ttl_seconds")?;
                ttl_duration(value).into_py_result()?;
                Ttl::Seconds(value)
            }
            None => Ttl::Default,
        };
        let stale = stale_ttl_seconds
            .map(|value| {
                let value = seconds(&value, "stale_ttl_seconds")?;
                ttl_duration(value).map_err(|e| e.within("stale_ttl_seconds")).into_py_result()
            })
            .transpose()?;
        let early_recompute = early_recompute
            .map(|value| {
                value.extract::<f64>().map_err(|_| PyTypeError::new_err("early_recompute must be a number or None"))
            })
            .transpose()?;
        let freshness = Freshness { stale, early_recompute, code: None };
        freshness.check().into_py_result()?;
        let (on_code_change, code) = match on_code_change {
            Some("recompute") => (OnCodeChange::Recompute, OnceLock::new()),
            Some("warn") => (OnCodeChange::Warn, OnceLock::new()),
            Some("ignore") => (OnCodeChange::Ignore, OnceLock::new()),
            None => (OnCodeChange::Ignore, OnceLock::from(None)),
            Some(other) => {
                return Err(to_py(
                    Error::new(ErrorKind::InvalidInput, format!("on_code_change is {other:?}"))
                        .with_hint("it is \"recompute\", \"warn\" or \"ignore\""),
                ));
            }
        };
        let count = || AtomicU64::new(0);
        Ok(Self {
            ttl,
            metadata: tagged(metadata.as_ref().map(metadata_json).transpose()?, tags.as_ref())?,
            freshness,
            codec: codec.map(Codec::from_name).transpose().into_py_result()?,
            inline_only,
            collected,
            on_code_change,
            code,
            warned: Mutex::default(),
            saved_micros: count(),
            hits: count(),
            misses: count(),
            refreshes: count(),
            failures: count(),
        })
    }

    /// Sets the code that is compared with that of entries; the first call counts. `None` if it is unknown.
    fn set_code(&self, code: Option<Code>) {
        // A concurrent thread has found the same code.
        let _ = self.code.set(code);
    }

    /// Whether the code has been set, if it must be.
    #[getter]
    fn has_code(&self) -> bool {
        self.knows_code()
    }

    /// The code, if it is known.
    #[getter]
    fn code<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.known_code().map(|code| PyBytes::new(py, &code))
    }

    /// Whether the entry of these parameters would be served. Counts nothing.
    fn is_cached<'py>(
        &self,
        py: Python<'py>,
        cache: &Bound<'py, PyCache>,
        params: &Bound<'py, PyDict>,
    ) -> PyResult<bool> {
        let opened = cache.get().opened()?;
        let key = self.key_of(params, opened)?;
        py.detach(|| opened.engine.exists_of(&key, self.wanted_code())).into_py_result()
    }

    /// The `CallKey` of these parameters, without a lookup.
    fn key(&self, cache: &Bound<'_, PyCache>, params: &Bound<'_, PyDict>) -> PyResult<CallKey> {
        Ok(CallKey::new(self.key_of(params, cache.get().opened()?)?))
    }

    /// Removes the entry of these parameters; returns whether it existed.
    fn invalidate(&self, py: Python<'_>, cache: &Bound<'_, PyCache>, params: &Bound<'_, PyDict>) -> PyResult<bool> {
        let opened = cache.get().opened()?;
        let key = self.key_of(params, opened)?;
        py.detach(|| opened.engine.invalidate(&key)).into_py_result()
    }

    /// The value of these parameters, or a `CallKey`.
    fn lookup<'py>(
        &self,
        py: Python<'py>,
        cache: &Bound<'py, PyCache>,
        params: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let cache = cache.get();
        let key = self.key_of(params, cache.opened()?)?;
        self.lookup_key(py, cache, key)
    }

    /// `lookup` for the keywords of `Cache.get`.
    fn lookup_call<'py>(
        &self,
        py: Python<'py>,
        cache: &Bound<'py, PyCache>,
        keywords: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let cache = cache.get();
        let call = Call::new(py, Some(keywords), Method::Other)?;
        let key = call.key(&cache.opened()?.engine.store().config().serialization)?;
        self.lookup_key(py, cache, key)
    }

    /// The value that a `CallKey` has deferred, or a `CallKey`.
    fn read<'py>(
        &self,
        py: Python<'py>,
        cache: &Bound<'py, PyCache>,
        key: &Bound<'py, CallKey>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Opened { engine, values } = cache.get().opened()?;
        let CallKey { key, deferred, .. } = key.get();
        let found = deferred.lock().take();
        let Some(found) = found else { return Self::answer(py, key.clone(), Ok(None)) };
        let wanted = self.wanted(engine, self.freshness);
        let decode = |stored| self.decode_now(py, values, stored).map(Value::Ready);
        Self::answer(py, key.clone(), engine.decode_later(key, &wanted, found, &Detached(py), decode))
    }

    /// Waits for its turn: a `Flight` to compute with, or the value that another caller has computed.
    #[pyo3(signature = (cache, key, inside=None))]
    fn begin<'py>(
        &self,
        py: Python<'py>,
        cache: &Bound<'py, PyCache>,
        key: &Bound<'py, CallKey>,
        inside: Option<&Bound<'py, PyFlight>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let cache = cache.get();
        let mut search = self.search(cache.engine()?, &key.get().key, inside)?;
        loop {
            if let Some(found) = self.step(py, cache, &mut search)? {
                return Ok(found);
            }
            py.detach(|| search.pause(PAUSE));
            py.check_signals()?;
        }
    }

    /// A turn for a task, which takes it without blocking.
    #[pyo3(signature = (cache, key, inside=None))]
    fn turn(
        slf: &Bound<'_, Self>,
        cache: &Bound<'_, PyCache>,
        key: &Bound<'_, CallKey>,
        inside: Option<&Bound<'_, PyFlight>>,
    ) -> PyResult<PyTurn> {
        let search = slf.get().search(cache.get().engine()?, &key.get().key, inside)?;
        Ok(PyTurn { site: slf.clone().unbind(), cache: cache.clone().unbind(), search: Mutex::new(search) })
    }

    /// The flight of a value that is due; `None` if another caller computes it or has computed it.
    #[pyo3(signature = (cache, key, inside=None))]
    fn take_due(
        &self,
        py: Python<'_>,
        cache: &Bound<'_, PyCache>,
        key: &Bound<'_, CallKey>,
        inside: Option<&Bound<'_, PyFlight>>,
    ) -> PyResult<Option<PyFlight>> {
        let engine = cache.get().engine()?;
        let CallKey { key, due: Some((_, created_at)), .. } = key.get() else { return Ok(None) };
        let scope = PyFlight::scope_of(inside);
        let flight = engine.take_due(key, *created_at, scope, &Detached(py)).into_py_result()?;
        Ok(flight.map(|flight| {
            self.refreshes.fetch_add(1, Ordering::Relaxed);
            PyFlight::new(flight)
        }))
    }

    /// Stores a value whose computation took this many seconds.
    #[pyo3(signature = (cache, key, value, spent, description=None))]
    fn put<'py>(
        &self,
        py: Python<'py>,
        cache: &Bound<'py, PyCache>,
        key: &Bound<'py, CallKey>,
        value: &Bound<'py, PyAny>,
        spent: f64,
        description: Option<String>,
    ) -> PyResult<()> {
        let Opened { engine, values, .. } = cache.get().opened()?;
        let key = &key.get().key;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // it saturates
        let computed = Computed { code: self.known_code(), micros: (spent * 1e6) as u64 };
        let metadata = self.metadata.clone();
        let attributes = CacheAttributes { description, metadata, ttl: self.ttl, computed: Some(computed) };
        let with_codec = self.codec.map(|codec| values.with_codec(py, codec));
        with_codec.as_ref().unwrap_or(values).encode(py, value, engine.store(), |py, encoded| {
            py.detach(|| engine.put(key, encoded, attributes)).into_py_result().map(drop)
        })
    }

    /// Counts a failure of the cache after which the call continued without it.
    fn note_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Hits, misses, refreshes and failures, and the seconds that computing the hits took.
    #[allow(clippy::cast_precision_loss)]
    fn counts(&self) -> (u64, u64, u64, u64, f64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let saved = load(&self.saved_micros) as f64 / 1e6;
        (load(&self.hits), load(&self.misses), load(&self.refreshes), load(&self.failures), saved)
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<CallSite>()
}
