//! Checkpoints: moving the write-ahead log into the database while writers continue.
//!
//! Commits go to the log; a checkpoint moves its pages to their places in the database, between two syncs. By default
//! SQLite runs a checkpoint in the commit that finds the log long. With a million entries, where each put changes
//! another page of the key index, that took half of the time of a put. Here a thread runs it, on a connection of its
//! own, while others write. It repeats the checkpoint for pages written meanwhile until few are left, and moves those
//! while it holds the turn to write, so that the next transaction restarts the log.
//!
//! If the log still grows, because the disk is slower than the writers, writers wait for the checkpoint. If a reader of
//! an old state keeps the log from restarting, the log grows until that reader is done, as with SQLite's own
//! checkpoints.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cacheness_core::{Result, thread};
use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use crate::connect::Target;
use crate::error::translate;
use crate::turn::Turn;
use crate::{fork, totals};

/// How many times longer than the threshold a log may grow before writers wait for the checkpoint.
const MOST: i32 = 6;
/// At most this many pages, two megabytes, are moved while holding the turn to write.
const REST: i32 = 500;
/// The maximum number of rounds without holding the turn.
const ROUNDS: u32 = 16;
/// How long to wait for readers of the log: a get takes microseconds.
const READERS: Duration = Duration::from_millis(20);
/// How long a writer waits for a log that has become too long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Returns the pages of an empty database to the file system. A database with entries keeps its free pages: returning
/// them would rewrite it.
pub(crate) fn shrink(connection: &Connection) -> Result<()> {
    let failed = |e| translate("cannot shrink the database", e);
    let pages: i64 = connection.query_row("PRAGMA freelist_count", (), |row| row.get(0)).map_err(failed)?;
    if pages > 0 && totals::get(connection)?.entries == 0 {
        connection.execute_batch("PRAGMA temp_store = MEMORY; VACUUM").map_err(failed)?;
    }
    Ok(())
}

/// Moves the log of a database that others have open into it and truncates the log, as far as their readers permit.
/// Call it after [`fork::enter`].
#[cold]
pub(crate) fn cut(target: &Target) {
    // An error is harmless: pages that are not moved stay in the log and are read from there.
    if let Ok(connection) = target.open() {
        // First without blocking writers.
        let _ = connection.wal_checkpoint_v2(Some("main"), CheckpointMode::PASSIVE);
        let _ = connection.busy_timeout(READERS);
        let _ = connection.wal_checkpoint_v2(Some("main"), CheckpointMode::TRUNCATE);
    }
}

/// Decides which thread runs a checkpoint, and when: one for all threads of a process.
#[derive(Debug)]
pub(crate) struct Log {
    /// The turn to write, held while the last pages are moved.
    turn: Turn,
    pages: i32,
    /// The log length of the next checkpoint.
    next: AtomicI32,
    moving: Mutex<bool>,
    moved: Condvar,
    stopped: AtomicBool,
}

impl Log {
    /// A log with a checkpoint from this many pages on, by a thread that takes its turn among the writers.
    pub(crate) fn new(pages: u32, turn: Turn) -> Self {
        let pages = i32::try_from(pages.max(1)).unwrap_or(i32::MAX);
        Self {
            turn,
            pages,
            next: AtomicI32::new(pages),
            moving: Mutex::new(false),
            moved: Condvar::new(),
            stopped: AtomicBool::new(false),
        }
    }

    /// The number of pages from which on a checkpoint runs.
    pub(crate) fn pages(&self) -> u32 {
        self.pages.unsigned_abs()
    }

    fn moving(&self) -> MutexGuard<'_, bool> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a commit after which the log has this many pages must call [`Log::move_beside`].
    #[inline]
    pub(crate) fn is_long(&self, length: i32) -> bool {
        if length >= self.pages {
            return length >= self.next.load(Ordering::Relaxed);
        }
        if length > 0 && self.next.load(Ordering::Relaxed) != self.pages {
            // The log has restarted.
            self.next.store(self.pages, Ordering::Relaxed);
        }
        false
    }

    /// Starts a thread that runs a checkpoint, unless one is running. Call it outside of a [`fork::Passage`]: it may
    /// wait for that thread, which must enter one.
    #[cold]
    pub(crate) fn move_beside(self: &Arc<Self>, length: i32, target: &Arc<Target>) {
        let mut moving = self.moving();
        if !*moving && !self.stopped.load(Ordering::Relaxed) {
            *moving = true;
            let (log, theirs) = (Arc::clone(self), Arc::clone(target));
            if !thread::start(move || log.work(length, &theirs)) {
                // If no thread can be started, the checkpoint runs here, as SQLite would do it.
                drop(moving);
                self.work(length, target);
                return;
            }
        }
        if length.saturating_sub(self.next.load(Ordering::Relaxed)) >= self.pages.saturating_mul(MOST) {
            drop(self.moved.wait_timeout_while(moving, PATIENCE, |moving| *moving));
        }
    }

    /// Runs a checkpoint of a log of this length, and signals its end.
    fn work(&self, length: i32, target: &Target) {
        // Also after a panic: `stop` waits for it.
        let _over = Over(self);
        // An error is harmless: pages that are not moved stay in the log, are read from there, and are moved later.
        if self.move_log(target).is_err() {
            self.again_beyond(length);
        }
    }

    /// Records that a log of this length has not restarted: the next checkpoint runs when it has grown by as much
    /// again.
    fn again_beyond(&self, length: i32) {
        self.next.store(length.saturating_add(self.pages), Ordering::Relaxed);
    }

    fn move_log(&self, target: &Target) -> Result<()> {
        let failed = |e| translate("cannot move the log into the database", e);
        // The passage before the turn, in the same order as writers.
        let passage = fork::enter();
        let connection = target.open()?;
        connection.busy_timeout(READERS).map_err(failed)?;
        drop(passage);
        // `next`, for which writers wait, stays unchanged meanwhile.
        let mut length = 0;
        let mut result = Ok(());
        for _ in 0..ROUNDS {
            let _passage = fork::enter();
            // Waits for no reader, and moves the pages that no reader needs.
            match connection.wal_checkpoint_v2(Some("main"), CheckpointMode::PASSIVE) {
                Ok((pages, moved)) => {
                    length = pages;
                    if pages - moved <= REST || self.stopped.load(Ordering::Relaxed) {
                        break;
                    }
                }
                Err(error) => {
                    result = Err(failed(error));
                    break;
                }
            }
        }
        // The connection, too, is closed inside the passage.
        let (_passage, connection) = (fork::enter(), connection);
        if result.is_ok() && !self.stopped.load(Ordering::Relaxed) {
            let _turn = self.turn.take();
            // Also waits briefly for readers of the log, so that the next writer finds none and restarts the log; no
            // writer can do so before it is recorded here.
            if connection.wal_checkpoint_v2(Some("main"), CheckpointMode::RESTART).is_ok() {
                self.next.store(self.pages, Ordering::Relaxed);
            } else {
                self.again_beyond(length);
            }
        }
        result
    }

    /// Stops checkpointing and waits for a running checkpoint. Call it outside of a passage.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        drop(self.moved.wait_while(self.moving(), |moving| *moving));
    }
}

/// Signals the end of the checkpoint when it is dropped.
struct Over<'a>(&'a Log);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        *self.0.moving() = false;
        self.0.moved.notify_all();
    }
}
