//! A store in a PostgreSQL database: its connections, and repeating what may be repeated.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cacheness_core::backend::PoolStats;
use cacheness_core::process::PerProcess;
use cacheness_core::{Error, ErrorKind, Result};

use crate::find::Place;
use crate::link::Link;
use crate::lookup::LatestWrite;
use crate::names::Names;
use crate::options::PostgresOptions;
use crate::pool::Pool;
use crate::statements::Statements;
use crate::{commit, custom, index, migrate};

/// How often something is tried in all.
const TRIES: u32 = 5;

/// The pause before the second try; it doubles, and half of it is random.
const PAUSE: Duration = Duration::from_millis(20);

/// Keeps entries in a PostgreSQL database.
pub struct PostgresMetadata {
    pub(crate) options: PostgresOptions,
    pub(crate) names: Names,
    pub(crate) statements: Statements,
    pub(crate) indexes: index::Known,
    pub(crate) custom: custom::Known,
    latest: LatestWrite,
    pool: PerProcess<Pool>,
    closed: AtomicBool,
}

impl std::fmt::Debug for PostgresMetadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresMetadata").field("place", &self.options.place()).finish_non_exhaustive()
    }
}

impl PostgresMetadata {
    /// Opens the store, and creates or updates its tables. Several processes may do that at once.
    ///
    /// # Errors
    /// - `Unavailable`, `TimedOut`, `Denied` as the server answers; `InvalidInput` for a database that does not exist.
    /// - `NewerFormat` for tables of a later release; `NotAStore` for a read-only store without tables.
    pub fn open(options: PostgresOptions) -> Result<Self> {
        let pool = PerProcess::new();
        let names = {
            let first: &Pool = pool.get_or_make(Pool::new);
            let mut link = first.take(&options)?;
            migrate::prepare(link.link(), &options)?
        };
        let statements = Statements::new(&names);
        Ok(Self {
            options,
            names,
            statements,
            indexes: index::Known::default(),
            custom: custom::Known::default(),
            latest: LatestWrite::default(),
            pool,
            closed: AtomicBool::new(false),
        })
    }

    pub(crate) fn connections(&self) -> PoolStats {
        self.pool.get_or_make(Pool::new).stats(&self.options)
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place { statements: &self.statements, names: &self.names, indexes: &self.indexes }
    }

    pub(crate) fn target(&self) -> commit::Target<'_> {
        commit::Target { sql: &self.statements, names: &self.names, custom: &self.custom, latest: &self.latest }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn shut(&self) {
        self.closed.store(true, Ordering::Release);
        self.pool.get_or_make(Pool::new).close();
    }

    /// Refuses a change to a store that is only read.
    pub(crate) fn writable(&self) -> Result<()> {
        if self.options.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "the store was opened read-only"));
        }
        Ok(())
    }

    /// Calls `work` with a connection, and again after a conflict with another transaction or a lost connection: it must do
    /// the same when it is repeated, or look up what it has done.
    pub(crate) fn run<T>(&self, mut work: impl FnMut(&mut Link) -> Result<T>) -> Result<T> {
        let mut pause = PAUSE;
        let mut tries = 1;
        loop {
            if self.is_closed() {
                return Err(Error::new(ErrorKind::Closed, "the store has been closed"));
            }
            let (error, may_repeat) = match self.pool.get_or_make(Pool::new).take(&self.options) {
                // Nothing has been sent.
                Err(error) => {
                    let lost = error.kind() == ErrorKind::Unavailable;
                    (error, lost)
                }
                Ok(mut taken) => match work(taken.link()) {
                    Ok(value) => return Ok(value),
                    Err(error) => match error.kind() {
                        ErrorKind::Conflict => (error, true),
                        ErrorKind::Unavailable if taken.link().is_broken() => (error, true),
                        _ => (error, false),
                    },
                },
            };
            if !may_repeat || tries == TRIES {
                return Err(error);
            }
            tries += 1;
            log::debug!("a call is repeated: {}", error.with_causes());
            let random = u32::try_from(getrandom::u64().unwrap_or(0) % 1024).unwrap_or(0);
            std::thread::sleep(pause / 2 + pause / 2 * random / 1024);
            pause *= 3;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// On the server of the tests: see `tests/postgres/server.rs`.
    #[test]
    fn a_panic_gives_no_transaction_to_the_next_call() {
        let url = std::env::var("CACHENESS_TEST_POSTGRES_URL").expect("the address of a server for tests");
        let schema = format!("test_panic_{}_{}", std::process::id(), getrandom::u64().unwrap());
        let options = PostgresOptions::from_url(&url).unwrap().schema(&schema).unwrap().pool(1, 0);
        let store = PostgresMetadata::open(options).unwrap();
        let call = || {
            store.run(|link| -> Result<()> {
                link.batch("cannot begin", "BEGIN")?;
                panic!("inside of a call");
            })
        };
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
        assert_eq!(store.connections().open, 0);
        store.run(|link| link.batch("cannot drop", &format!("DROP SCHEMA {schema} CASCADE"))).unwrap();
    }
}
