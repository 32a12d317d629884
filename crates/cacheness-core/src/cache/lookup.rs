//! Looking up a value, and waiting for the caller that computes it: one driver for all front doors.
//!
//! ```text
//!             hit                                   Next::Value
//!   look ──┬─ due ── take the flight of the key ─┬─ Next::Due       this caller recomputes the value
//!    │     │                                     └─ Next::Value     another one does
//!    │     └─ miss
//!    ▼
//!   turn ──┬─ look again: hit                       Next::Value
//!    ▲     ├─ this caller computes                  Next::Compute   then Flight::keep: stored or failed
//!    └─────┴─ another caller computes               Next::Wait
//! ```
//!
//! A front door supplies the closure that decodes a payload, computes in its own way, and waits in its own way: it blocks
//! in [`Search::pause`], or awaits a timer of [`Search::delay`]. Everything else that happens on the way to a value
//! happens here, so that both languages count, log and retry alike.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::door::{Blocking, Failure, ReadError};
use super::{CacheEngine, Freshness, Serving, before, is_expired};
use crate::clock::Timestamp;
use crate::entry::Entry;
use crate::error::Result;
use crate::flight::{Flight, Scope, Step, Turn};
use crate::payload::Stored;
use crate::store::{EntryKey, ReadOptions, Retry};

/// Which entries are served, and how they are read.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Entries older than this many seconds count as expired.
    pub max_age: Option<f64>,
    /// When a served entry is due.
    pub freshness: Freshness,
    /// How payloads are checked.
    pub options: ReadOptions,
}

/// A served value.
#[derive(Clone, Copy, Debug)]
pub struct Served<T> {
    /// The value.
    pub value: T,
    /// When the value was put, if a caller should recompute it.
    pub due: Option<Timestamp>,
}

/// What a caller does next.
#[derive(Debug)]
pub enum Next<T> {
    /// Return the value.
    Value(T),
    /// Recompute the value; the old one may be served meanwhile.
    Due(T, Flight),
    /// Compute the value.
    Compute(Flight),
    /// Wait, then ask again: another caller computes it.
    Wait,
}

/// One caller's search for a value.
#[derive(Debug)]
pub struct Search {
    key: EntryKey,
    wanted: Wanted,
    /// `None` for the thread's current scope.
    scope: Option<Scope>,
    /// Set when no value was found.
    turn: Option<Turn>,
    /// The entry cannot be decoded: it is not read again until another caller may have replaced it.
    damaged: bool,
}

impl Search {
    /// A search that begins with a lookup.
    #[must_use]
    pub fn new(key: EntryKey, wanted: Wanted) -> Self {
        Self { key, wanted, scope: None, turn: None, damaged: false }
    }

    /// A search for a value that was not found, by a caller that is part of the computation of `scope`.
    ///
    /// # Errors
    /// `Closed`.
    pub fn missing(engine: &CacheEngine, key: EntryKey, wanted: Wanted, scope: Scope) -> Result<Self> {
        let turn = engine.turn(&key, scope.clone())?;
        Ok(Self { key, wanted, scope: Some(scope), turn: Some(turn), damaged: false })
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &EntryKey {
        &self.key
    }

    /// Ends the search and returns its key.
    #[must_use]
    pub fn into_key(self) -> EntryKey {
        self.key
    }

    /// Reports that the found value proved to be damaged when it was decoded later.
    pub fn distrust(&mut self) {
        self.damaged = true;
    }

    /// Continues as far as possible without waiting for another caller.
    ///
    /// # Errors
    /// Those of [`CacheEngine::look`].
    pub fn next<T, E: ReadError>(
        &mut self,
        engine: &CacheEngine,
        blocking: &impl Blocking,
        mut decode: impl FnMut(Stored) -> Result<T, E>,
    ) -> Result<Next<T>, E> {
        let Self { key, wanted, scope, turn, damaged } = self;
        let turn = match turn {
            Some(turn) => turn,
            None => {
                let found = engine.look(key, wanted, blocking, &mut decode)?;
                let scope = || scope.clone().unwrap_or_else(Scope::current);
                match found {
                    Some(Served { value, due: None }) => return Ok(Next::Value(value)),
                    Some(Served { value, due: Some(created_at) }) => {
                        return Ok(match engine.take_due(key, created_at, scope(), blocking)? {
                            Some(flight) => Next::Due(value, flight),
                            None => Next::Value(value),
                        });
                    }
                    None => turn.insert(engine.turn(key, scope())?),
                }
            }
        };
        let mut look_again = |damaged: &mut bool| -> Result<Option<T>, E> {
            if *damaged {
                return Ok(None);
            }
            let found = engine.look_again(key, wanted, blocking, &mut decode)?;
            *damaged = matches!(found, Again::Damaged);
            Ok(found.into_value())
        };
        loop {
            match turn.step() {
                Step::Wait => {
                    *damaged = false;
                    return Ok(Next::Wait);
                }
                Step::LookAgain => {
                    if let Some(value) = look_again(damaged)? {
                        return Ok(Next::Value(value));
                    }
                }
                Step::Compute(flight) => {
                    let Some(value) = look_again(damaged)? else { return Ok(Next::Compute(flight)) };
                    flight.stored();
                    return Ok(Next::Value(value));
                }
            }
        }
    }

    /// Blocks after [`Next::Wait`] until something may have changed, but not for longer than `at_most`.
    pub fn pause(&mut self, at_most: Duration) {
        if let Some(turn) = &mut self.turn {
            turn.pause(at_most);
        }
    }

    /// How long to wait after [`Next::Wait`] without blocking. Grows with every call.
    pub fn delay(&mut self) -> Duration {
        self.turn.as_mut().map_or(Duration::ZERO, Turn::delay)
    }
}

/// The result of a second lookup.
enum Again<T> {
    Found(T),
    Missing,
    Damaged,
}

impl<T> Again<T> {
    fn into_value(self) -> Option<T> {
        match self {
            Self::Found(value) => Some(value),
            Self::Missing | Self::Damaged => None,
        }
    }
}

impl CacheEngine {
    /// The value of `key`, decoded by `decode`, if there is one that has not expired. Counts a hit or a miss.
    ///
    /// `max_age` in seconds makes older entries count as expired for this call. A damaged entry and a wrong signature
    /// are logged and count as a miss, even if only decoding reveals them.
    ///
    /// # Errors
    /// Those of [`Store::fetch`](crate::store::Store::fetch) and of `decode`.
    #[inline]
    pub fn read<T, E: ReadError>(
        &self,
        key: &EntryKey,
        max_age: Option<f64>,
        options: ReadOptions,
        blocking: &impl Blocking,
        decode: impl FnMut(Stored) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let wanted = Wanted { max_age, freshness: Freshness::default(), options };
        Ok(self.look(key, &wanted, blocking, decode)?.map(|served| served.value))
    }

    /// Like [`CacheEngine::read`], for entries that are recomputed before they expire.
    ///
    /// # Errors
    /// Those of [`CacheEngine::read`].
    #[inline]
    pub fn look<T, E: ReadError, B: Blocking>(
        &self,
        key: &EntryKey,
        wanted: &Wanted,
        blocking: &B,
        decode: impl FnMut(Stored) -> Result<T, E>,
    ) -> Result<Option<Served<T>>, E> {
        self.look_from(key, wanted, blocking, decode, Retry::default())
    }

    /// The results of [`CacheEngine::read`] for many keys, looked up together; small payloads on a server are requested at
    /// the same time. `decode` gets the place of the key.
    ///
    /// # Errors
    /// Those of the metadata backend, for all keys.
    pub fn read_batch<T, E: ReadError>(
        &self,
        keys: &[(EntryKey, Wanted)],
        blocking: &impl Blocking,
        mut decode: impl FnMut(usize, Stored) -> Result<T, E>,
    ) -> Result<Vec<Result<Option<T>, E>>, E> {
        self.refuse_if_closed()?;
        let mut retries = blocking.run(|| self.store.prefetch(&keys.iter().map(|(key, _)| key).collect::<Vec<_>>()))?;
        let mut results = Vec::with_capacity(keys.len());
        while !retries.is_empty() {
            let count = blocking.run(|| self.store.load_ahead(&mut retries));
            for retry in retries.drain(..count) {
                let place = results.len();
                let (key, wanted) = &keys[place];
                let found = self.look_from(key, wanted, blocking, |stored| decode(place, stored), retry);
                results.push(found.map(|found| found.map(|served| served.value)));
            }
        }
        Ok(results)
    }

    #[inline]
    fn look_from<T, E: ReadError, B: Blocking>(
        &self,
        key: &EntryKey,
        wanted: &Wanted,
        blocking: &B,
        mut decode: impl FnMut(Stored) -> Result<T, E>,
        mut retry: Retry,
    ) -> Result<Option<Served<T>>, E> {
        // An entry served from memory has not expired: it can only be due early.
        if B::COSTS
            && wanted.freshness.early_recompute.is_none()
            && let Some(stored) = self.serve_from_memory(key, wanted.max_age, wanted.freshness.code)
        {
            return Ok(self.decode(stored, &mut decode)?.map(|value| Served { value, due: None }));
        }
        loop {
            let found = blocking.run(|| self.fetch(key, wanted, &mut retry));
            if let Some(found) = self.decode_found(found, &mut decode, &mut retry, E::log_miss)? {
                return Ok(found);
            }
        }
    }

    /// Decodes a payload that [`CacheEngine::look`] has found earlier. If that fails and another caller has replaced or
    /// removed the entry meanwhile, its blob may have vanished: looks again.
    ///
    /// # Errors
    /// Those of [`CacheEngine::look`].
    pub fn decode_later<T, E: ReadError>(
        &self,
        key: &EntryKey,
        wanted: &Wanted,
        found: Served<Box<Stored>>,
        blocking: &impl Blocking,
        mut decode: impl FnMut(Stored) -> Result<T, E>,
    ) -> Result<Option<Served<T>>, E> {
        let Served { value: stored, due } = found;
        let created_at = stored.entry().created_at;
        let error = match decode(*stored) {
            Ok(value) => return Ok(Some(Served { value, due })),
            Err(error) => error,
        };
        let is_replaced = || Ok(self.get_entry(key, true)?.is_none_or(|found| found.entry.created_at != created_at));
        if error.failure() == Failure::Unrelated || !blocking.run(is_replaced)? {
            return self.hit_failed(error, E::log_miss);
        }
        self.counters.hits.fetch_sub(1, Ordering::Relaxed);
        self.look(key, wanted, blocking, decode)
    }

    /// Decodes a payload whose hit has been counted. A damaged one is logged and turns the hit into a miss; an unreadable
    /// value does so as well.
    #[inline]
    fn decode<T, E: ReadError>(
        &self,
        stored: Stored,
        decode: impl FnOnce(Stored) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        match decode(stored) {
            Ok(value) => Ok(Some(value)),
            Err(error) => self.hit_failed(error, E::log_miss),
        }
    }

    #[cold]
    fn hit_failed<T, E: ReadError>(&self, error: E, log: impl FnOnce(&E)) -> Result<Option<T>, E> {
        let failure = error.failure();
        if failure != Failure::Unrelated {
            self.counters.hits.fetch_sub(1, Ordering::Relaxed);
            self.counters.misses.fetch_add(1, Ordering::Relaxed);
            self.counters.failures.fetch_add(1, Ordering::Relaxed);
        }
        if failure == Failure::Damaged {
            log(&error);
            return Ok(None);
        }
        Err(error)
    }

    /// The payload of an entry to serve, and whether it is due. Counts a hit or a miss.
    #[inline]
    fn fetch(&self, key: &EntryKey, wanted: &Wanted, retry: &mut Retry) -> Result<Option<Served<Box<Stored>>>> {
        let Wanted { max_age, freshness, options } = *wanted;
        let now = self.store.clock().now();
        let mut serving = self.serving(now, max_age)?;
        serving.code = freshness.code;
        if freshness.stale.is_some() || freshness.early_recompute.is_some() {
            return self.fetch_or_due(key, wanted, serving, now, retry);
        }
        let found = self.fetch_served(key, serving, now, options, retry)?;
        Ok(found.map(|value| Served { value, due: None }))
    }

    /// [`CacheEngine::fetch`] of a value that may be due.
    #[inline(never)]
    fn fetch_or_due(
        &self,
        key: &EntryKey,
        Wanted { freshness, options, .. }: &Wanted,
        mut serving: Serving,
        now: Timestamp,
        retry: &mut Retry,
    ) -> Result<Option<Served<Box<Stored>>>> {
        freshness.check()?;
        // Serves the entry as if it were that much earlier.
        serving.unexpired_at = freshness.stale.map_or(now, |stale| before(now, stale));
        let Some(stored) = self.fetch_served(key, serving, now, *options, retry)? else { return Ok(None) };
        let entry = stored.entry();
        let due = is_expired(entry, now) || freshness.early_recompute.is_some_and(|beta| early(entry, now, beta));
        Ok(Some(Served { due: due.then_some(entry.created_at), value: stored }))
    }

    /// Decodes what was fetched; `None` if its blob vanished meanwhile, so that the entry must be fetched again.
    #[inline]
    fn decode_found<T, E: ReadError>(
        &self,
        found: Result<Option<Served<Box<Stored>>>>,
        mut decode: impl FnMut(Stored) -> Result<T, E>,
        retry: &mut Retry,
        log: impl FnOnce(&E),
    ) -> Result<Option<Option<Served<T>>>, E> {
        let Served { value: stored, due } = match found {
            Ok(Some(served)) => served,
            Ok(None) => return Ok(Some(None)),
            Err(error) => {
                let error = E::from(error);
                if error.failure() == Failure::Damaged {
                    log(&error);
                    return Ok(Some(None));
                }
                return Err(error);
            }
        };
        match decode(*stored) {
            Ok(value) => Ok(Some(Some(Served { value, due }))),
            Err(_) if retry.is_due() => {
                self.counters.hits.fetch_sub(1, Ordering::Relaxed);
                Ok(None)
            }
            Err(error) => self.hit_failed(error, log).map(Some),
        }
    }

    /// The value, if it exists by now. Counts nothing otherwise.
    fn look_again<T, E: ReadError>(
        &self,
        key: &EntryKey,
        wanted: &Wanted,
        blocking: &impl Blocking,
        mut decode: impl FnMut(Stored) -> Result<T, E>,
    ) -> Result<Again<T>, E> {
        let code = wanted.freshness.code;
        let fresh = Wanted { freshness: Freshness { code, ..Freshness::default() }, ..*wanted };
        let mut retry = Retry::default();
        loop {
            let fetch = || if self.exists_of(key, code)? { self.fetch(key, &fresh, &mut retry) } else { Ok(None) };
            let found = blocking.run(fetch);
            if matches!(found, Ok(None)) {
                return Ok(Again::Missing);
            }
            // The first lookup has already logged the damage.
            if let Some(found) = self.decode_found(found, &mut decode, &mut retry, |_| ())? {
                return Ok(found.map_or(Again::Damaged, |served| Again::Found(served.value)));
            }
        }
    }

    /// The flight of a value that is due, unless another caller computes it or has replaced it.
    ///
    /// # Errors
    /// `Metadata`, `Closed`.
    pub fn take_due(
        &self,
        key: &EntryKey,
        created_at: Timestamp,
        scope: Scope,
        blocking: &impl Blocking,
    ) -> Result<Option<Flight>> {
        let Step::Compute(flight) = self.turn(key, scope)?.step() else { return Ok(None) };
        if !flight.is_shared() {
            return Ok(None);
        }
        let entry = blocking.run(|| self.get_entry(key, true))?;
        if entry.is_none_or(|found| found.entry.created_at == created_at) {
            return Ok(Some(flight));
        }
        flight.stored();
        Ok(None)
    }

    fn turn(&self, key: &EntryKey, scope: Scope) -> Result<Turn> {
        self.refuse_if_closed()?;
        Ok(Turn::new(&self.flights, key, scope))
    }
}

impl Flight {
    /// Ends the flight with the result of the computation. `put` stores a value and returns whether the entry exists
    /// now; if not, waiting callers compute for themselves.
    ///
    /// # Errors
    /// The one of the computation, or of `put`.
    pub fn keep<T, E>(self, computed: Result<T, E>, put: impl FnOnce(&T) -> Result<bool, E>) -> Result<T, E> {
        let kept = computed.and_then(|value| put(&value).map(|stored| (value, stored)));
        match kept {
            Ok((value, true)) => {
                self.stored();
                Ok(value)
            }
            Ok((value, false)) => {
                self.failed();
                Ok(value)
            }
            Err(error) => {
                self.failed();
                Err(error)
            }
        }
    }
}

fn early(entry: &Entry, now: Timestamp, beta: f64) -> bool {
    let (Some(expires_at), Some(computed)) = (entry.expires_at, entry.computed) else { return false };
    // Without random numbers no entry is due early, which is always correct.
    let Ok(bits) = getrandom::u64() else { return false };
    #[allow(clippy::cast_precision_loss)]
    let (random, left) = ((bits >> 11) as f64 / (1_u64 << 53) as f64, expires_at.0.saturating_sub(now.0) as f64 / 1e6);
    -beta * computed.seconds() * random.max(f64::MIN_POSITIVE).ln() >= left
}
