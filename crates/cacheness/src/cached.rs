//! The implementation of `#[cached]`. Only code that the attribute generates calls this module.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cacheness_core::entry::Entry;
use cacheness_core::key::{Params, ToKey};
use cacheness_core::storable::{Loadable, Storable};
use cacheness_core::store::EntryKey;
use cacheness_core::{Error, Result, params};

use crate::cache::{Cache, ComputeOptions, PutOptions};
use crate::key::IntoEntryKey;

pub use crate::shared::shared;

/// A call of a `#[cached]` function.
pub struct Call {
    /// `None` if the cache failed: the function is then called without it.
    ready: Option<(Cache, EntryKey)>,
    options: ComputeOptions,
}

/// What to do with a result that other code of the function has computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCodeChange {
    /// Recompute it.
    Recompute,
    /// Serve it with a warning, once per process.
    Warn,
    /// Serve it.
    Ignore,
}

/// The code of a function.
#[derive(Debug)]
pub struct Code {
    pub(crate) hash: [u8; 16],
    on_change: OnCodeChange,
    warned: AtomicBool,
}

impl Code {
    /// A function whose code has this hash.
    #[must_use]
    pub const fn new(hash: [u8; 16], on_change: OnCodeChange) -> Self {
        Self { hash, on_change, warned: AtomicBool::new(false) }
    }

    /// The code that must have computed a result for it to be served.
    pub(crate) fn required(&self) -> Option<[u8; 16]> {
        (self.on_change == OnCodeChange::Recompute).then_some(self.hash)
    }

    /// Warns once that a result of other code is served, if configured.
    pub(crate) fn served(&self, entry: &Entry) {
        if self.on_change == OnCodeChange::Warn
            && entry.is_of_other_code(self.hash)
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            log::warn!(
                "{}: the function has changed since it computed this result, which is still served (logged once)",
                entry.caption().call
            );
        }
    }
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

/// The name of a function: `inside` is the path of a function defined in it. If the function is generic, or belongs to
/// a generic item or a trait, `types` and its result type distinguish its instances.
#[must_use]
pub fn name(inside: &str, has_parameters: bool, types: &[String], output: &str) -> String {
    let path = inside.rsplit_once("::").map_or(inside, |(path, _)| path);
    // The body of an async function is a closure inside it.
    let path = path.trim_end_matches("::{{closure}}");
    // For a type that is not generic, the path is sufficient.
    let is_generic = path.contains('<') || types.iter().any(|name| name.contains('<'));
    if !(is_generic || has_parameters) {
        return path.to_owned();
    }
    format!("{path}<{}>", types.iter().map(String::as_str).chain([output]).collect::<Vec<_>>().join(", "))
}

/// Tells the compiler the output type of an `async` block.
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
        code: &'static Code,
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
        let ready = cache
            .and_then(key)
            .map_err(|error| log::warn!("{name} is called without its cache: {}", error.with_causes()));
        let put = ttl.map_or_else(PutOptions::new, |ttl| PutOptions::new().ttl(ttl));
        let options = ComputeOptions::new().put(put).ignore_errors(true).code(code);
        Self { ready: ready.ok(), options: stale.into_iter().fold(options, ComputeOptions::stale) }
    }

    /// The cached result, or the function's.
    pub fn run<T: Storable + Loadable>(self, function: impl FnOnce() -> T) -> T {
        match self.try_run(|| Ok::<T, std::convert::Infallible>(function())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// The cached result, or the function's; errors are not cached.
    pub fn try_run<T: Storable + Loadable, E>(
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
                log::warn!("called without the cache: {}", error.with_causes());
                function()
            }
            (Err(Failed::Cache(error)), None) => unreachable!("errors behind the computation are ignored: {error}"),
        }
    }

    /// [`Call::run`] for an async function.
    pub async fn run_async<T: Storable + Loadable, F: Future<Output = T>>(self, function: impl FnOnce() -> F) -> T {
        match self.try_run_async(|| async { Ok::<T, std::convert::Infallible>(function().await) }).await {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// [`Call::try_run`] for an async function.
    pub async fn try_run_async<T: Storable + Loadable, E, F: Future<Output = std::result::Result<T, E>>>(
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
                log::warn!("called without the cache: {}", error.with_causes());
                function().await
            }
            (Err(Failed::Cache(error)), None) => unreachable!("errors behind the computation are ignored: {error}"),
        }
    }
}
