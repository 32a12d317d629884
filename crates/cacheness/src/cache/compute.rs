//! Values that are computed when they are missing, by one of all callers.

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

/// The longest time between two looks of a thread that waits.
const PAUSE: Duration = Duration::from_secs(1);

/// How a value is put that was missing, and when it is computed anew.
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
    /// The cache's time to live, nothing beside the value, computed anew when it has expired.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is put beside the value, and how long it is served.
    #[must_use]
    pub fn put(mut self, options: PutOptions) -> Self {
        self.put = options;
        self
    }

    /// For so long after it has expired, a value is served while one caller computes it anew. That caller waits for its
    /// own computation.
    #[must_use]
    pub fn stale(mut self, stale: Duration) -> Self {
        self.freshness.stale = Some(stale);
        self
    }

    /// Lets one caller compute a value anew before it expires: the nearer the end and the longer it took to compute, the
    /// more probably. 1 is a good choice, more is earlier.
    ///
    /// See [`Freshness::early_recompute`].
    /// Zero is never; a negative number is refused with `InvalidInput` when a value is asked for.
    #[must_use]
    pub fn early_recompute(mut self, beta: f64) -> Self {
        self.freshness.early_recompute = Some(beta);
        self
    }

    /// Whether a value that was computed is returned although it cannot be stored; a warning is logged.
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

    /// What is put beside a value that took so long.
    fn put_options(self, spent: Duration) -> PutOptions {
        let micros = u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
        let mut put = self.put;
        put.computed = Some(Computed { code: self.code.map(|code| code.hash), micros });
        put
    }
}

impl Cache {
    /// The key of an entry, which borrows nothing: for futures that outlive the statement that makes them.
    ///
    /// # Errors
    /// `KeyEncoding` for a parameter without a stable encoding, `InvalidInput` for a name that cannot be a key.
    pub fn entry_key(&self, key: impl IntoEntryKey) -> Result<EntryKey> {
        key.into_entry_key(&self.engine.store().config().serialization)
    }

    /// The value of `key`; if there is none, the one that `compute` returns, which is stored first.
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

    /// Like [`Cache::get_or_insert_with`] for a computation that may fail; nothing is stored then.
    ///
    /// The computation's error comes back as it is. Its type also takes the errors of the cache ([`HoldsError`]), as
    /// `std::io::Error`, `anyhow::Error`, `Box<dyn Error>`, `String` and every type with a `From<cacheness::Error>` do:
    ///
    /// ```
    /// # use cacheness::prelude::*;
    /// # let cache = Cache::builder().in_memory().open().unwrap();
    /// let missing = cache.get_or_try_insert_with(params! { file: "a" }, || std::fs::read_to_string("/no/such/file"));
    /// assert_eq!(missing.unwrap_err().kind(), std::io::ErrorKind::NotFound);
    /// ```
    ///
    /// Any other error becomes a `cacheness::Error`, whose source it is, with [`Error::computation`](cacheness_core::Error::computation):
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
    /// A closure with several `?` says once which error it returns: `|| -> std::io::Result<_> { … }`.
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

    /// The value of `key`; if there is none, or one caller should compute it anew, the one that `compute` returns.
    ///
    /// One of all callers computes, in all threads and processes that use the store:
    /// - When the process that computes dies, another takes over within 50 ms; after a panic, another caller.
    /// - After an error, those who waited compute for themselves.
    /// - Calls inside `compute` do not block each other, in whatever order they are nested: a caller that would wait for
    ///   itself computes. Between processes a caller inside a computation waits for
    ///   [`flight_patience_seconds`](cacheness_core::config::CacheConfig::flight_patience_seconds) at the longest.
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

    /// [`Cache::get_or_try_compute`] for a computation that is awaited.
    ///
    /// Waiting for another caller does not block the executor, whichever it is; reading and writing the value does, for as
    /// long as the disk takes. A future that is dropped lets another caller take over. Computations that are awaited
    /// inside `compute`, and not in a task of their own, know that they are part of it.
    ///
    /// A future that is not awaited at once needs a key that borrows nothing: [`Cache::entry_key`].
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

/// A future whose parts know that they are inside a scope, on whatever thread they are polled.
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
