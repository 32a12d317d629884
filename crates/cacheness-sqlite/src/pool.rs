//! The idle connections of a process, and other state shared by its threads.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use cacheness_core::Result;
use rusqlite::config::DbConfig;

use crate::checkpoint::Log;
use crate::connection::Pooled;
use crate::fork;
use crate::turn::Turn;
use crate::watch::Tracker;

/// The maximum number of idle connections.
const MAX_IDLE: usize = 16;

/// The connections of one generation of processes.
#[derive(Debug)]
pub(crate) struct Pool {
    generation: u64,
    /// Last in, first out, so that a single thread always gets the connection with the warm cache.
    idle: Mutex<Vec<Pooled>>,
    turn: Turn,
    log: Arc<Log>,
    /// Tracks changes by others.
    tracker: Mutex<Tracker>,
    /// The pool of a forked child. It is created between [`fork::enter`] and the drop of its passage, so a fork never
    /// sees it half initialised.
    next: OnceLock<Box<Pool>>,
}

impl Pool {
    /// A pool without connections; a log of this many pages is moved into the database.
    pub(crate) fn new(log_pages: u32) -> Self {
        let turn = Turn::default();
        Self {
            generation: fork::generation(),
            idle: Mutex::default(),
            log: Arc::new(Log::new(log_pages, turn.clone())),
            turn,
            tracker: Mutex::default(),
            next: OnceLock::new(),
        }
    }

    /// The pool of this process.
    #[inline]
    pub(crate) fn current(&self) -> &Self {
        let now = fork::generation();
        let mut pool = self;
        while pool.generation != now {
            pool = pool.next.get_or_init(|| Box::new(Self::new(pool.log.pages())));
        }
        pool
    }

    /// The queue of writers.
    pub(crate) fn turn(&self) -> &Turn {
        &self.turn
    }

    /// The checkpoints of the database.
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Pooled>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle connection, or a new one.
    #[inline]
    pub(crate) fn take(&self, open: impl FnOnce() -> Result<Pooled>) -> Result<Pooled> {
        let idle = self.idle().pop();
        idle.map_or_else(open, Ok)
    }

    /// Returns a connection to the pool if it has no open transaction; otherwise closes it.
    #[inline]
    pub(crate) fn put_back(&self, connection: Pooled) {
        if !connection.is_of_this_process() || !connection.is_autocommit() {
            return;
        }
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    /// The tracker of changes by others.
    pub(crate) fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the idle connections. Unless `checkpoint` is set, the log stays for the next process that opens the
    /// database.
    pub(crate) fn close_idle(&self, checkpoint: bool) {
        let idle = std::mem::take(&mut *self.idle());
        if !checkpoint {
            for connection in &idle {
                // If this fails, closing is merely slower.
                let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            }
        }
        drop(idle);
    }
}
