//! Values that one of all callers computes when they are missing.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use cacheness_core::Result;
use cacheness_core::cache::{Freshness, InPlace, Next, Search, Wanted};
use cacheness_core::entry::Computed;
use cacheness_core::error::HoldsError;
use cacheness_core::flight::{Flight, Scope};
use cacheness_core::payload::Stored;
use cacheness_core::storable::{Loadable, Storable};
use cacheness_core::store::EntryKey;

use super::{Cache, PutOptions};
use crate::cached::Code;
use crate::key::IntoEntryKey;

/// The maximum time between two lookups of a waiting thread.
const PAUSE: Duration = Duration::from_secs(1);

/// How to put a computed value, and when to recompute it.
///
/// ```
/// # use cacheness::{ComputeOptions, PutOptions};
/// # use std::time::Duration;
/// let options = ComputeOptions::new()
///     .put(PutOptions::new().ttl(Duration::from_secs(3600)))
///     .stale(Duration::from_secs(600));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ComputeOptions {
    put: PutOptions,
    freshness: Freshness,
    ignore_errors: bool,
    code: Option<&'static Code>,
}

impl ComputeOptions {
    /// The cache's time to live, no metadata, and recomputation on expiry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the metadata, description and time to live of the value.
    #[must_use]
    pub fn put(mut self, options: PutOptions) -> Self {
        self.put = options;
        self
    }

    /// Serves a value for this long after its expiry while one caller recomputes it. That caller waits for its own
    /// computation.
    #[must_use]
    pub fn stale(mut self, stale: Duration) -> Self {
        self.freshness.stale = Some(stale);
        self
    }

    /// Lets one caller recompute a value before it expires: the closer its expiry and the longer its computation took,
    /// the more probably. 1 is a good choice; larger is earlier.
    ///
    /// See [`Freshness::early_recompute`]. Zero means never; a get refuses a negative number with `InvalidInput`.
    #[must_use]
    pub fn early_recompute(mut self, beta: f64) -> Self {
        self.freshness.early_recompute = Some(beta);
        self
    }

    /// Whether to return a computed value that cannot be stored; a warning is logged.
    #[must_use]
    pub fn ignore_errors(mut self, ignore: bool) -> Self {
        self.ignore_errors = ignore;
        self
    }

    fn decode<T: Loadable>(&self, stored: Stored) -> Result<T> {
        if let Some(code) = self.code {
            code.served(stored.entry());
        }
        T::decode(stored)
    }

    /// The code of the function that computes the value.
    pub(crate) fn code(mut self, code: &'static Code) -> Self {
        self.freshness.code = code.required();
        self.code = Some(code);
        self
    }

    /// The put options for a value whose computation took this long.
    fn put_options(self, spent: Duration) -> PutOptions {
        let micros = u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
        let mut put = self.put;
        put.computed = Some(Computed { code: self.code.map(|code| code.hash), micros });
        put
    }
}

impl Cache {
    /// An owned key of an entry: for futures that outlive the statement that creates them.
    ///
    /// # Errors
    /// `KeyEncoding` for a parameter without a stable encoding, `InvalidInput` for a name that cannot be a key.
    pub fn entry_key(&self, key: impl IntoEntryKey) -> Result<EntryKey> {
        key.into_entry_key(&self.engine.store().config().serialization)
    }

    /// The value of `key`; if there is none, stores and returns the result of `compute`.
    ///
    /// Of all threads and processes that miss the value at once, one computes it, and the others wait for it. See
    /// [`get_or_try_compute`](Self::get_or_try_compute).
    ///
    /// # Errors
    /// Those of [`Cache::get`] and [`Cache::put`].
    pub fn get_or_insert_with<T: Storable + Loadable>(
        &self,
        key: impl IntoEntryKey,
        compute: impl FnOnce() -> T,
    ) -> Result<T> {
        self.get_or_try_insert_with(key, || Ok(compute()))
    }

    /// Like [`Cache::get_or_insert_with`] for a computation that may fail; a failure is not stored.
    ///
    /// The computation's error is returned unchanged. Its type must also hold the errors of the cache ([`HoldsError`]),
    /// as `std::io::Error`, `anyhow::Error`, `Box<dyn Error>`, `String` and every type with a `From<cacheness::Error>`
    /// do:
    ///
    /// ```
    /// # use cacheness::prelude::*;
    /// # let cache = Cache::builder().in_memory().open().unwrap();
    /// let missing = cache.get_or_try_insert_with(params! { file: "a" }, || std::fs::read_to_string("/no/such/file"));
    /// assert_eq!(missing.unwrap_err().kind(), std::io::ErrorKind::NotFound);
    /// ```
    ///
    /// Convert any other error with [`Error::computation`](cacheness_core::Error::computation) into a
    /// `cacheness::Error` whose source it is:
    ///
    /// ```
    /// # use cacheness::prelude::*;
    /// # fn main() -> cacheness::Result<()> {
    /// # let cache = Cache::builder().in_memory().open()?;
    /// let half = cache.get_or_try_insert_with(params! { number: "0.5" }, || {
    ///     "0.5".parse::<f64>().map_err(cacheness::Error::computation)
    /// })?;
    /// # assert_eq!(half, 0.5);
    /// # Ok(()) }
    /// ```
    ///
    /// A closure with several `?` states its error type once: `|| -> std::io::Result<_> { … }`.
    ///
    /// # Errors
    /// Those of `compute`, [`Cache::get`] and [`Cache::put`].
    pub fn get_or_try_insert_with<T: Storable + Loadable, E: HoldsError>(
        &self,
        key: impl IntoEntryKey,
        compute: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.get_or_try_compute(key, ComputeOptions::default(), compute)
    }

    /// The value of `key`; if it is missing or due for recomputation, the result of `compute`.
    ///
    /// One of all callers computes, in all threads and processes that use the store:
    /// - If the computing process dies, another takes over within 50 ms; after a panic, another caller does.
    /// - After an error, the waiting callers compute for themselves.
    /// - Calls inside `compute` do not deadlock, whatever their nesting: a caller that would wait for itself computes.
    ///   A caller inside a computation waits for another process for at most
    ///   [`flight_patience_seconds`](cacheness_core::config::CacheConfig::flight_patience_seconds).
    ///
    /// # Errors
    /// Those of `compute`, [`Cache::get`] and [`Cache::put`]. Nothing is stored then.
    pub fn get_or_try_compute<T: Storable + Loadable, E: HoldsError>(
        &self,
        key: impl IntoEntryKey,
        options: ComputeOptions,
        compute: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let mut search = self.search(key, &options)?;
        let flight = loop {
            match search.next(&self.engine, &InPlace, |stored| options.decode(stored))? {
                Next::Value(value) => return Ok(value),
                Next::Due(_, flight) | Next::Compute(flight) => break flight,
                Next::Wait => search.pause(PAUSE),
            }
        };
        let begun = Instant::now();
        let computed = flight.run(compute);
        self.keep(flight, search.into_key(), options, begun, computed)
    }

    /// [`Cache::get_or_try_compute`] for an async computation.
    ///
    /// Waiting for another caller does not block the executor, whichever it is; reading and writing the value does, as
    /// long as the disk takes. If the future is dropped, another caller takes over. Computations awaited inside
    /// `compute`, not in a separate task, count as part of it.
    ///
    /// A future that is not awaited at once needs an owned key: [`Cache::entry_key`].
    ///
    /// # Errors
    /// Those of `compute`, [`Cache::get`] and [`Cache::put`]. Nothing is stored then.
    pub async fn get_or_try_compute_async<T, E, F>(
        &self,
        key: impl IntoEntryKey,
        options: ComputeOptions,
        compute: impl FnOnce() -> F,
    ) -> std::result::Result<T, E>
    where
        T: Storable + Loadable,
        E: HoldsError,
        F: Future<Output = std::result::Result<T, E>>,
    {
        let mut search = self.search(key, &options)?;
        let flight = loop {
            match search.next(&self.engine, &InPlace, |stored| options.decode(stored))? {
                Next::Value(value) => return Ok(value),
                Next::Due(_, flight) | Next::Compute(flight) => break flight,
                Next::Wait => futures_timer::Delay::new(search.delay()).await,
            }
        };
        let begun = Instant::now();
        let computed = InScope { scope: flight.scope(), future: pin!(compute()) }.await;
        self.keep(flight, search.into_key(), options, begun, computed)
    }

    fn search(&self, key: impl IntoEntryKey, options: &ComputeOptions) -> Result<Search> {
        let read_options = self.engine.store().read_options();
        let wanted = Wanted { max_age: None, freshness: options.freshness, options: read_options };
        Ok(Search::new(self.entry_key(key)?, wanted))
    }

    fn keep<T: Storable, E: HoldsError>(
        &self,
        flight: Flight,
        key: EntryKey,
        options: ComputeOptions,
        begun: Instant,
        computed: std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let spent = begun.elapsed();
        flight.keep(computed, |value| {
            let ignore_errors = options.ignore_errors;
            match self.put_with(value, key, options.put_options(spent)) {
                Ok(_) => Ok(true),
                Err(error) if ignore_errors => {
                    log::warn!("a value that was computed is not stored: {}", error.with_causes());
                    Ok(false)
                }
                Err(error) => Err(error.into()),
            }
        })
    }
}

/// A future that is polled inside a scope, on whatever thread.
struct InScope<'a, F> {
    scope: Scope,
    future: Pin<&'a mut F>,
}

impl<F: Future> Future for InScope<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.scope.run(|| this.future.as_mut().poll(context))
    }
}
