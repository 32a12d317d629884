//! Locks between processes and machines: advisory locks of PostgreSQL, which end with the session of their owner.
//!
//! A handle has one connection for all its locks. It asks again and again for a lock that another session holds: waiting in
//! the server would need a connection for every waiting call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cacheness_core::backend::{Acquired, LockGuard, Locks, Release};
use cacheness_core::process::PerProcess;
use cacheness_core::{Error, ErrorKind, Result};
use parking_lot::Mutex;

use crate::link::Link;
use crate::migrate;
use crate::names::Names;
use crate::options::PostgresOptions;

/// The pauses between two tries: the first, doubled up to the last.
const DELAYS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(40));

const ACQUIRE: &str = "cannot acquire a lock";

/// Locks in a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresLocks(Arc<Handle>);

struct Handle {
    options: PostgresOptions,
    /// What tells the locks of this store from those of others in the database.
    store: u64,
    identity: u64,
    sessions: PerProcess<Mutex<Session>>,
    /// Counts the sessions.
    number: AtomicU64,
    closed: AtomicBool,
}

#[derive(Default)]
struct Session {
    link: Option<Link>,
    /// The locks of another session than this one are gone.
    number: u64,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("place", &self.options.place()).finish_non_exhaustive()
    }
}

impl PostgresLocks {
    /// The locks of the store that these options name.
    ///
    /// # Errors
    /// Those of connecting.
    pub fn open(options: &PostgresOptions) -> Result<Self> {
        let names = migrate::names(&mut Link::open(options)?, options)?;
        Ok(Self::new(options, &names))
    }

    /// The locks of the store with these tables; connects at the first use.
    fn new(options: &PostgresOptions, names: &Names) -> Self {
        let store = names.number("locks").cast_unsigned();
        let place = Names::new(&options.place(), "").number("place").cast_unsigned();
        Self(Arc::new(Handle {
            options: options.clone(),
            store,
            identity: store ^ place,
            sessions: PerProcess::new(),
            number: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }))
    }
}

impl Handle {
    fn key(&self, number: u64) -> i64 {
        (number ^ self.store).cast_signed()
    }

    fn session(&self) -> &Mutex<Session> {
        self.sessions.get_or_make(Mutex::default)
    }

    /// Tries once: the number of the session that holds the lock; `None` if another one does.
    fn try_once(&self, number: u64) -> Result<Option<u64>> {
        let mut session = self.session().lock();
        let mut fresh = false;
        loop {
            if self.closed.load(Ordering::Acquire) {
                return Err(Error::new(ErrorKind::Closed, "the locks have been closed"));
            }
            if session.link.as_ref().is_none_or(Link::is_broken) {
                session.link = None;
                session.link = Some(Link::open(&self.options)?);
                session.number = self.number.fetch_add(1, Ordering::Relaxed);
                fresh = true;
            }
            let Some(link) = session.link.as_mut() else { continue };
            match link.query(ACQUIRE, "SELECT pg_try_advisory_lock($1)", &[&self.key(number)]) {
                Ok(rows) => {
                    let held = rows.first().and_then(|row| row.try_get(0).ok()).unwrap_or(false);
                    return Ok(held.then_some(session.number));
                }
                // The connection was lost while nobody used it.
                Err(_) if session.link.as_ref().is_some_and(Link::is_broken) && !fresh => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Locks for PostgresLocks {
    fn name(&self) -> &str {
        "postgresql"
    }

    fn identity(&self) -> u64 {
        self.0.identity
    }

    fn acquire(&self, number: u64, timeout: Duration) -> Result<Acquired> {
        let begun = Instant::now();
        let mut delay = DELAYS.0;
        loop {
            match self.0.try_once(number) {
                Ok(Some(session)) => {
                    let held = Held { handle: Arc::clone(&self.0), number, session };
                    return Ok(Acquired::Held(LockGuard::new(held)));
                }
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Closed => return Ok(Acquired::Unavailable),
                Err(error) => return Err(error),
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(Acquired::TimedOut);
            }
            std::thread::sleep(delay.min(left));
            delay = (delay * 2).min(DELAYS.1);
        }
    }

    fn close(&self) -> Result<()> {
        self.0.closed.store(true, Ordering::Release);
        // The session ends, and with it its locks.
        self.0.session().lock().link = None;
        Ok(())
    }
}

/// A lock that a session holds.
#[derive(Debug)]
struct Held {
    handle: Arc<Handle>,
    number: u64,
    session: u64,
}

impl Release for Held {
    fn release(&mut self) -> Result<()> {
        let mut session = self.handle.session().lock();
        if session.number != self.session {
            return Ok(());
        }
        let Some(link) = session.link.as_mut() else { return Ok(()) };
        let key = self.handle.key(self.number);
        let released = link.query("cannot release a lock", "SELECT pg_advisory_unlock($1)", &[&key]);
        if released.is_err() {
            // The lock ends with its session.
            session.link = None;
        }
        released.map(drop)
    }
}
