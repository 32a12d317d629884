//! What `#[cached]` turns a function into, and the caches that such functions use.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cacheness_core::handler::Storable;
use cacheness_core::key::{Params, ToKey};
use cacheness_core::process::PerProcess;
use cacheness_core::store::EntryKey;
use cacheness_core::{Error, Result, params};
use parking_lot::Mutex;

use crate::cache::{Cache, CacheBuilder, ComputeOptions, PutOptions};
use crate::key::IntoEntryKey;

/// The caches that functions share, by directory; the default one under `None`.
type Shared = Mutex<HashMap<Option<PathBuf>, Cache>>;

/// A forked child opens its own: the lock of the one that it inherits may be held for ever.
static SHARED: PerProcess<Shared> = PerProcess::new();

fn open_once(directory: Option<PathBuf>, open: impl FnOnce() -> Result<Cache>) -> Result<Cache> {
    let mut shared = SHARED.get_or_make(Mutex::default).lock();
    if let Some(cache) = shared.get(&directory)
        && !cache.engine().is_closed()
    {
        return Ok(cache.clone());
    }
    let cache = open()?;
    shared.insert(directory, cache.clone());
    Ok(cache)
}

/// The cache that functions use which name none: the one of [`set_default_cache`], else the one that the environment
/// says ([`CacheBuilder::from_env`]), opened when it is first asked for.
///
/// # Errors
/// Those of [`CacheBuilder::open`].
pub fn default_cache() -> Result<Cache> {
    open_once(None, || CacheBuilder::from_env()?.open())
}

/// Sets the default cache; `None` lets the next use open the one that the environment says. The former one is not closed.
pub fn set_default_cache(cache: Option<Cache>) {
    let mut shared = SHARED.get_or_make(Mutex::default).lock();
    match cache {
        Some(cache) => shared.insert(None, cache),
        None => shared.remove(&None),
    };
}

/// The cache in a directory that all functions share which name it.
///
/// # Errors
/// Those of [`Cache::open`].
pub fn shared(directory: impl AsRef<Path>) -> Result<Cache> {
    let path = std::path::absolute(directory.as_ref());
    let path = path.map_err(|e| Error::io("cannot find the current directory", e))?;
    open_once(Some(path.clone()), || Cache::open(path))
}

/// One call of a function with `#[cached]`. The attribute writes this; nobody else needs it.
#[doc(hidden)]
pub struct Call {
    /// `None` where the cache has failed: then the function is called as if there were none.
    ready: Option<(Cache, EntryKey)>,
    options: ComputeOptions,
}

/// An error of the function, or of the cache.
enum Failed<E> {
    Function(E),
    Cache(Error),
}

impl<E> From<Error> for Failed<E> {
    fn from(error: Error) -> Self {
        Self::Cache(error)
    }
}

/// Tells the compiler what an `async` block gives.
#[doc(hidden)]
pub fn typed<T, F: Future<Output = T>>(future: F) -> F {
    future
}

impl Call {
    /// A call of the function `name` with these arguments.
    pub fn new(
        cache: Result<Cache>,
        name: &str,
        version: Option<&str>,
        arguments: &[(&str, &dyn ToKey)],
        ttl: Option<Duration>,
        stale: Option<Duration>,
    ) -> Self {
        let key = |cache: Cache| {
            let arguments = Params { borrowed: arguments, owned: Vec::new() };
            let config = &cache.engine().store().config().serialization;
            let key = match version {
                Some(version) => params! { "__function__": name, "__version__": version, "arguments": arguments }
                    .into_entry_key(config),
                None => params! { "__function__": name, "arguments": arguments }.into_entry_key(config),
            };
            key.map(|key| (cache, key))
        };
        let ready = cache.and_then(key).map_err(|error| log::warn!("{name} is called without its cache: {error}"));
        let put = ttl.map_or_else(PutOptions::new, |ttl| PutOptions::new().ttl(ttl));
        let options = ComputeOptions::new().put(put).ignore_errors(true);
        Self { ready: ready.ok(), options: stale.into_iter().fold(options, ComputeOptions::stale) }
    }

    /// The result that is kept, or the function's.
    pub fn run<T: Storable>(self, function: impl FnOnce() -> T) -> T {
        match self.try_run(|| Ok::<T, std::convert::Infallible>(function())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// The result that is kept, or the function's; errors are not kept.
    pub fn try_run<T: Storable, E>(
        self,
        function: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let Some((cache, key)) = self.ready else { return function() };
        let mut function = Some(function);
        let computed = cache.get_or_try_compute(key, self.options, || {
            let function = function.take().expect("a computation is called once");
            function().map_err(Failed::Function)
        });
        match (computed, function) {
            (Ok(value), _) => Ok(value),
            (Err(Failed::Function(error)), _) => Err(error),
            (Err(Failed::Cache(error)), Some(function)) => {
                log::warn!("called without the cache: {error}");
                function()
            }
            (Err(Failed::Cache(error)), None) => unreachable!("errors behind the computation are ignored: {error}"),
        }
    }

    /// [`Call::run`] for a function that is awaited.
    pub async fn run_async<T: Storable, F: Future<Output = T>>(self, function: impl FnOnce() -> F) -> T {
        match self.try_run_async(|| async { Ok::<T, std::convert::Infallible>(function().await) }).await {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// [`Call::try_run`] for a function that is awaited.
    pub async fn try_run_async<T: Storable, E, F: Future<Output = std::result::Result<T, E>>>(
        self,
        function: impl FnOnce() -> F,
    ) -> std::result::Result<T, E> {
        let Some((cache, key)) = self.ready else { return function().await };
        let mut function = Some(function);
        let computed = {
            let taken = &mut function;
            let compute = || {
                let function = taken.take().expect("a computation is called once");
                async { function().await.map_err(Failed::Function) }
            };
            cache.get_or_try_compute_async(key, self.options, compute).await
        };
        match (computed, function) {
            (Ok(value), _) => Ok(value),
            (Err(Failed::Function(error)), _) => Err(error),
            (Err(Failed::Cache(error)), Some(function)) => {
                log::warn!("called without the cache: {error}");
                function().await
            }
            (Err(Failed::Cache(error)), None) => unreachable!("errors behind the computation are ignored: {error}"),
        }
    }
}
