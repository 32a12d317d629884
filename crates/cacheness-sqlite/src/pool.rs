//! The idle connections of a process, and what its threads share.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use cacheness_core::Result;
use rusqlite::config::DbConfig;

use crate::checkpoint::Log;
use crate::connection::Pooled;
use crate::fork;
use crate::turn::Turn;
use crate::watch::Tracker;

/// Idle connections that are kept open.
const MAX_IDLE: usize = 16;

/// The connections of one generation of processes.
#[derive(Debug)]
pub(crate) struct Pool {
    generation: u64,
    /// Last in, first out, so that a thread that works alone always has the connection whose cache is warm.
    idle: Mutex<Vec<Pooled>>,
    turn: Turn,
    log: Arc<Log>,
    /// Changes that others have made.
    tracker: Mutex<Tracker>,
    /// The pool of a forked child. It is made between [`fork::enter`] and the drop of its passage, so no fork can find it
    /// half made.
    next: OnceLock<Box<Pool>>,
}

impl Pool {
    /// A pool without connections; a log of so many pages is moved.
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

    /// Whose turn it is to write.
    pub(crate) fn turn(&self) -> &Turn {
        &self.turn
    }

    /// The log of the database: who moves it, and when.
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

    /// Puts a connection back that has no transaction under way; any other is closed.
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

    /// Who notices the changes of others.
    pub(crate) fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the idle connections. Unless `checkpoint`, the log stays beside the database for the next who opens it.
    pub(crate) fn close_idle(&self, checkpoint: bool) {
        let idle = std::mem::take(&mut *self.idle());
        if !checkpoint {
            for connection in &idle {
                // Without it closing is slower, which is no error.
                let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            }
        }
        drop(idle);
    }
}
