//! What a decorated function runs through: one call per hit, and flights for what is missing.

use std::collections::HashSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cacheness::{Timestamp, counts_as_miss};
use cacheness_core::cache::{COMPUTE_SECONDS, CacheAttributes, CacheEngine, Freshness, Served, Ttl};
use cacheness_core::config::{Codec, ttl_duration};
use cacheness_core::entry::{Code, Computed, Entry, Location};
use cacheness_core::flight::{Flight, Scope, Step, Turn};
use cacheness_core::key::Caption;
use cacheness_core::payload::Stored;
use cacheness_core::store::EntryKey;
use cacheness_core::{Error, ErrorKind};
use parking_lot::Mutex;
use pyo3::exceptions::{PyBaseException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use pyo3::{PyTraverseError, PyVisit};

use crate::cache::{PyCache, warn_miss};
use crate::errors::{IntoPyResult, to_py};
use crate::keys;
use crate::kwargs::{Call, Method, metadata_json, seconds};
use crate::opened::Opened;
use crate::values::Reading;

/// The longest time that a waiting thread does not look for signals (Ctrl-C).
const PAUSE: Duration = Duration::from_millis(50);

/// What a lookup returns unless it returns a value: the key to compute and put under, and what else was found.
#[pyclass(frozen, module = "cacheness._core", name = "CallKey")]
pub(crate) struct CallKey {
    key: EntryKey,
    /// Why the cache could not be read.
    error: Option<Py<PyBaseException>>,
    /// A value to be served, and when it was put: it is to be computed anew.
    due: Option<(Py<PyAny>, Timestamp)>,
    /// A value that is to be read where reading may take long.
    deferred: Mutex<Option<(Box<Stored>, bool)>>,
}

impl CallKey {
    fn new(key: EntryKey) -> Self {
        Self { key, error: None, due: None, deferred: Mutex::new(None) }
    }
}

#[pymethods]
impl CallKey {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.error)?;
        visit.call(self.due.as_ref().map(|(value, _)| value))
    }

    /// The key as text.
    #[getter]
    fn key(&self) -> &str {
        self.key.as_str()
    }

    /// The call or the parameters as listings show them.
    #[getter]
    fn call(&self) -> String {
        let caption = match &self.key {
            EntryKey::Params { encoding, .. } => Caption::of_params(encoding).ok(),
            EntryKey::Name(_) => None,
        };
        caption.unwrap_or_else(|| Caption::of_name(self.key.as_str())).call
    }

    /// Why the cache could not be read.
    #[getter]
    fn error<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.error.as_ref().map(|error| error.bind(py).clone().into_any())
    }

    /// Whether `value` is to be served, and computed anew by somebody.
    #[getter]
    fn due(&self) -> bool {
        self.due.is_some()
    }

    /// The value that is due.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.due.as_ref().map(|(value, _)| value.bind(py).clone())
    }

    /// Whether there is a value that `CallSite.read` returns.
    #[getter]
    fn deferred(&self) -> bool {
        self.deferred.lock().is_some()
    }
}

/// The right to compute a value while others wait for it.
#[pyclass(frozen, module = "cacheness._core", name = "Flight")]
pub(crate) struct PyFlight {
    flight: Mutex<Option<Flight>>,
    scope: Scope,
}

impl PyFlight {
    fn new(flight: Flight) -> Self {
        Self { scope: flight.scope(), flight: Mutex::new(Some(flight)) }
    }
}

#[pymethods]
impl PyFlight {
    /// The entry is there: those who wait look again.
    fn stored(&self) {
        if let Some(flight) = self.flight.lock().take() {
            flight.stored();
        }
    }

    /// There will be no entry: those who wait compute for themselves.
    fn failed(&self) {
        if let Some(flight) = self.flight.lock().take() {
            flight.failed();
        }
    }

    /// Another caller takes over.
    fn interrupted(&self) {
        drop(self.flight.lock().take());
    }
}

/// The way of a task to a value that is missing.
#[pyclass(frozen, module = "cacheness._core", name = "Turn")]
pub(crate) struct PyTurn {
    site: Py<CallSite>,
    cache: Py<PyCache>,
    key: Py<CallKey>,
    turn: Mutex<Turn>,
}

#[pymethods]
impl PyTurn {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.site)?;
        visit.call(&self.cache)?;
        visit.call(&self.key)
    }

    /// A `Flight` to compute with, a value or a `CallKey` whose value is to be read; `None` to ask again after `delay()`.
    /// Without `look` the entry is known to be damaged.
    #[pyo3(signature = (look=true))]
    fn step<'py>(&self, py: Python<'py>, look: bool) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (site, cache) = (self.site.bind(py).get(), self.cache.bind(py).get());
        site.step(py, cache, &self.key.get().key, &mut self.turn.lock(), look)
    }

    /// How many seconds to wait.
    fn delay(&self) -> f64 {
        self.turn.lock().delay().as_secs_f64()
    }
}

/// A place that calls through a cache: its options and its counts.
#[pyclass(frozen, module = "cacheness._core", name = "CallSite")]
pub(crate) struct CallSite {
    ttl: Ttl,
    metadata: Option<String>,
    freshness: Freshness,
    /// Compresses plain data and pickles, in place of the cache's codec.
    codec: Option<Codec>,
    inline_only: bool,
    /// The names under which a function collects arguments; `None` where the parameters are not made from arguments.
    collected: Option<Vec<String>>,
    on_code_change: OnCodeChange,
    /// The code of the function now; not set until the function is called.
    code: OnceLock<Option<Code>>,
    /// Entries of other code that were served with a warning.
    warned: Mutex<HashSet<String>>,
    hits: AtomicU64,
    misses: AtomicU64,
    refreshes: AtomicU64,
    failures: AtomicU64,
    /// What the hits took when they were computed.
    saved_micros: AtomicU64,
}

/// What is done with an entry that other code has computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnCodeChange {
    Recompute,
    Warn,
    Ignore,
}

/// Entries that a warning is said of once; of more it is said again.
const WARNED: usize = 10_000;

impl CallSite {
    /// The code that an entry must have been computed by to be served.
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

    /// Whether [`CallSite::set_code`] has been called, where it is to be called.
    pub(crate) fn knows_code(&self) -> bool {
        self.code.get().is_some()
    }

    /// Notes that an entry's value is served.
    fn hit(&self, computed: Option<Computed>) {
        self.hits.fetch_add(1, Ordering::Relaxed);
        if let Some(Computed { micros, .. }) = computed {
            self.saved_micros.fetch_add(micros, Ordering::Relaxed);
        }
    }

    /// Says once that other code has computed an entry that is served, where that is to be said.
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
        log::warn!(target: "cacheness", "{}: served although its code has changed since (said once)", entry.caption().call);
    }

    /// An entry's value as it is served; `None` if it proves to be damaged.
    fn serve<'py>(
        &self,
        py: Python<'py>,
        cache: &PyCache,
        key: &EntryKey,
        served: Served,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Served { stored, due } = served;
        let (created_at, computed) = (stored.entry().created_at, stored.entry().computed);
        self.warn_of_other_code(stored.entry());
        if self.inline_only && matches!(stored.entry().location, Location::Blob(_)) {
            let deferred = CallKey { deferred: Mutex::new(Some((stored, due))), ..CallKey::new(key.clone()) };
            return Ok(Some(Bound::new(py, deferred)?.into_any()));
        }
        let Some(value) = cache.decode(py, *stored, Reading::Own)? else { return Ok(None) };
        self.hit(computed);
        if due {
            let found = CallKey { due: Some((value.unbind(), created_at)), ..CallKey::new(key.clone()) };
            return Ok(Some(Bound::new(py, found)?.into_any()));
        }
        Ok(Some(value))
    }

    fn find<'py>(
        &self,
        py: Python<'py>,
        opened: &Opened<CacheEngine>,
        cache: &PyCache,
        key: &EntryKey,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let engine = &opened.engine;
        // What is served from memory has not expired: it can only be due early.
        if self.freshness.early_recompute.is_none()
            && let Some(stored) = engine.get_in_memory_of(key, self.wanted_code())
        {
            return self.serve(py, cache, key, Served { stored: Box::new(stored), due: false });
        }
        let freshness = Freshness { code: self.wanted_code(), ..self.freshness };
        match py.detach(|| engine.get_or_due(key, freshness, engine.store().read_options())) {
            Ok(Some(served)) => self.serve(py, cache, key, served),
            Ok(None) => Ok(None),
            Err(error) if counts_as_miss(&error) => {
                warn_miss(py, &error)?;
                Ok(None)
            }
            Err(error) => Err(to_py(error)),
        }
    }

    pub(crate) fn lookup_key<'py>(
        &self,
        py: Python<'py>,
        cache: &PyCache,
        key: EntryKey,
    ) -> PyResult<Bound<'py, PyAny>> {
        let missing = match self.find(py, cache.opened()?, cache, &key) {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => CallKey::new(key),
            Err(error) => CallKey { error: Some(error.into_value(py)), ..CallKey::new(key) },
        };
        Ok(Bound::new(py, missing)?.into_any())
    }

    /// The value, if there is one by now; what is missing is not counted again.
    fn look_again<'py>(
        &self,
        py: Python<'py>,
        opened: &Opened<CacheEngine>,
        cache: &PyCache,
        key: &EntryKey,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let code = self.wanted_code();
        if py.detach(|| opened.engine.exists_of(key, code)).into_py_result()? {
            let engine = &opened.engine;
            let fresh = Freshness { code, ..Freshness::default() };
            let served = py.detach(|| engine.get_or_due(key, fresh, engine.store().read_options()));
            return match served {
                Ok(Some(served)) => self.serve(py, cache, key, Served { due: false, ..served }),
                Ok(None) => Ok(None),
                Err(error) if counts_as_miss(&error) => Ok(None),
                Err(error) => Err(to_py(error)),
            };
        }
        Ok(None)
    }

    fn step<'py>(
        &self,
        py: Python<'py>,
        cache: &PyCache,
        key: &EntryKey,
        turn: &mut Turn,
        look: bool,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let opened = cache.opened()?;
        let look_again = || if look { self.look_again(py, opened, cache, key) } else { Ok(None) };
        loop {
            match turn.step() {
                Step::Wait => return Ok(None),
                Step::LookAgain => {
                    if let Some(found) = look_again()? {
                        return Ok(Some(found));
                    }
                }
                Step::Compute(flight) => {
                    if let Some(found) = look_again()? {
                        flight.stored();
                        return Ok(Some(found));
                    }
                    self.misses.fetch_add(1, Ordering::Relaxed);
                    return Ok(Some(Bound::new(py, PyFlight::new(flight))?.into_any()));
                }
            }
        }
    }
}

fn scope_of(inside: Option<&Bound<'_, PyFlight>>) -> Scope {
    inside.map_or_else(Scope::outside, |flight| flight.get().scope.clone())
}

#[pymethods]
impl CallSite {
    /// Checks the options.
    #[new]
    #[pyo3(signature = (*, ttl_seconds=None, metadata=None, stale_ttl_seconds=None, early_recompute=None,
                        codec=None, inline_only=false, on_code_change=None, collected=None))]
    #[allow(clippy::too_many_arguments)] // they are keywords
    fn new(
        ttl_seconds: Option<Bound<'_, PyAny>>,
        metadata: Option<Bound<'_, PyAny>>,
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
        if let Some(metadata) = &metadata
            && early_recompute.is_some()
            && metadata.contains(COMPUTE_SECONDS)?
        {
            return Err(to_py(
                Error::new(ErrorKind::InvalidInput, format!("metadata has {COMPUTE_SECONDS:?}"))
                    .with_hint("with early_recompute it is where the time is kept that a value takes to compute"),
            ));
        }
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
            metadata: metadata.as_ref().map(metadata_json).transpose()?,
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

    /// Sets the code that is compared with that of entries; the first one counts. `None`: it is not known.
    fn set_code(&self, code: Option<Code>) {
        // Another thread that was as fast has found the same.
        let _ = self.code.set(code);
    }

    /// Whether the code has been set, where it is to be set.
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

    /// The `CallKey` of these parameters; nothing is looked up.
    fn key(&self, cache: &Bound<'_, PyCache>, params: &Bound<'_, PyDict>) -> PyResult<CallKey> {
        Ok(CallKey::new(self.key_of(params, cache.get().opened()?)?))
    }

    /// Removes the entry of these parameters; whether there was one.
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
        let cache = cache.get();
        let CallKey { key, deferred, .. } = key.get();
        let mut missing = CallKey::new(key.clone());
        let found = deferred.lock().take();
        if let Some((stored, due)) = found {
            let (created_at, computed) = (stored.entry().created_at, stored.entry().computed);
            match cache.decode(py, *stored, Reading::Own) {
                Ok(Some(value)) => {
                    self.hit(computed);
                    if !due {
                        return Ok(value);
                    }
                    missing.due = Some((value.unbind(), created_at));
                }
                Ok(None) => {}
                Err(error) => missing.error = Some(error.into_value(py)),
            }
        }
        Ok(Bound::new(py, missing)?.into_any())
    }

    /// Waits for its turn: a `Flight` to compute with, or the value that somebody else has computed.
    #[pyo3(signature = (cache, key, inside=None))]
    fn begin<'py>(
        &self,
        py: Python<'py>,
        cache: &Bound<'py, PyCache>,
        key: &Bound<'py, CallKey>,
        inside: Option<&Bound<'py, PyFlight>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (cache, key) = (cache.get(), &key.get().key);
        let mut turn = cache.opened()?.engine.turn(key, scope_of(inside)).into_py_result()?;
        loop {
            if let Some(found) = self.step(py, cache, key, &mut turn, true)? {
                return Ok(found);
            }
            py.detach(|| turn.pause(PAUSE));
            py.check_signals()?;
        }
    }

    /// A turn that a task takes without blocking.
    #[pyo3(signature = (cache, key, inside=None))]
    fn turn(
        slf: &Bound<'_, Self>,
        cache: &Bound<'_, PyCache>,
        key: &Bound<'_, CallKey>,
        inside: Option<&Bound<'_, PyFlight>>,
    ) -> PyResult<PyTurn> {
        let turn = cache.get().opened()?.engine.turn(&key.get().key, scope_of(inside)).into_py_result()?;
        Ok(PyTurn {
            site: slf.clone().unbind(),
            cache: cache.clone().unbind(),
            key: key.clone().unbind(),
            turn: Mutex::new(turn),
        })
    }

    /// The flight of a value that is due; `None` if somebody else computes it or has computed it.
    #[pyo3(signature = (cache, key, inside=None))]
    fn take_due(
        &self,
        py: Python<'_>,
        cache: &Bound<'_, PyCache>,
        key: &Bound<'_, CallKey>,
        inside: Option<&Bound<'_, PyFlight>>,
    ) -> PyResult<Option<PyFlight>> {
        let opened = cache.get().opened()?;
        let CallKey { key, due: Some((_, created_at)), .. } = key.get() else { return Ok(None) };
        let mut turn = opened.engine.turn(key, scope_of(inside)).into_py_result()?;
        let Step::Compute(flight) = turn.step() else { return Ok(None) };
        if !flight.is_shared() {
            return Ok(None);
        }
        if !py.detach(|| opened.engine.is_still_due(key, *created_at)).into_py_result()? {
            flight.stored();
            return Ok(None);
        }
        self.refreshes.fetch_add(1, Ordering::Relaxed);
        Ok(Some(PyFlight::new(flight)))
    }

    /// Stores a value that took so many seconds to compute.
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
        let mut metadata = self.metadata.clone();
        if self.freshness.early_recompute.is_some() {
            metadata = Some(with_compute_seconds(metadata.as_deref(), spent).into_py_result()?);
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // it saturates
        let computed = Computed { code: self.known_code(), micros: (spent * 1e6) as u64 };
        let attributes = CacheAttributes { description, metadata, ttl: self.ttl, computed: Some(computed) };
        let with_codec = self.codec.map(|codec| values.with_codec(py, codec));
        with_codec.as_ref().unwrap_or(values).encode(py, value, engine.store(), |py, encoded| {
            py.detach(|| engine.put(key, encoded, attributes)).into_py_result().map(drop)
        })
    }

    /// Notes that the cache failed and the call went on without it.
    fn note_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Hits, misses, refreshes and failures, and the seconds that the hits took when they were computed.
    #[allow(clippy::cast_precision_loss)]
    fn counts(&self) -> (u64, u64, u64, u64, f64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let saved = load(&self.saved_micros) as f64 / 1e6;
        (load(&self.hits), load(&self.misses), load(&self.refreshes), load(&self.failures), saved)
    }
}

fn with_compute_seconds(metadata: Option<&str>, spent: f64) -> cacheness_core::Result<String> {
    let invalid = |e| Error::new(ErrorKind::Serialization, format!("the metadata is no JSON object: {e}"));
    let mut object: serde_json::Map<String, serde_json::Value> =
        metadata.map_or(Ok(serde_json::Map::new()), serde_json::from_str).map_err(invalid)?;
    object.insert(COMPUTE_SECONDS.into(), spent.into());
    serde_json::to_string(&object).map_err(invalid)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<CallKey>()?;
    m.add_class::<CallSite>()?;
    m.add_class::<PyFlight>()?;
    m.add_class::<PyTurn>()
}
