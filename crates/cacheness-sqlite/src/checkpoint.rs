//! Moving the write-ahead log into the database, beside the writers.
//!
//! What is committed lies in the log, and every now and then its pages are moved to their places in the database, between
//! two syncs. SQLite has this done by whoever commits when the log is long, at once: among a million entries, where each
//! put changes another page of the index of keys, that was half of the time of a put. Here a thread does it, on a
//! connection of its own, while others write. It moves what has come in the meantime again and again until little is left,
//! and that while it has the turn to write, so that the log begins anew with the next transaction.
//!
//! A log that grows all the same, because the disk is slower than its writers, is waited for. A log that cannot begin
//! anew, because somebody reads an old state of it, grows until they are done, as it does with SQLite's own checkpoints.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cacheness_core::Result;
use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use crate::connect::Target;
use crate::error::translate;
use crate::fork;
use crate::totals;
use crate::turn::Turn;

/// How many times as long again a log may become before writers wait for it.
const MOST: i32 = 6;
/// So many pages or fewer are left to the turn to write: two megabytes.
const REST: i32 = 500;
/// How often at most what has come in the meantime is moved without it.
const ROUNDS: u32 = 16;
/// How long those are waited for who read out of the log: a get takes microseconds.
const READERS: Duration = Duration::from_millis(20);
/// How long a writer waits for a log that has become too long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Gives the pages of a database back to the file system that has no entries any more. What has some keeps its free pages: it
/// would have to be written anew.
pub(crate) fn shrink(connection: &Connection) -> Result<()> {
    let failed = |e| translate("cannot shrink the database", e);
    let pages: i64 = connection.query_row("PRAGMA freelist_count", (), |row| row.get(0)).map_err(failed)?;
    if pages > 0 && totals::get(connection)?.entries == 0 {
        connection.execute_batch("PRAGMA temp_store = MEMORY; VACUUM").map_err(failed)?;
    }
    Ok(())
}

/// Moves the log of a database that others have open into it, and cuts it to nothing, as far as they let it: what they read
/// out of it stays. Call it after [`fork::enter`].
#[cold]
pub(crate) fn cut(target: &Target) {
    // What is not moved stays in the log, where it is read: an error is none of anybody's.
    if let Ok(connection) = target.open() {
        // First without keeping writers waiting.
        let _ = connection.wal_checkpoint_v2(Some("main"), CheckpointMode::PASSIVE);
        let _ = connection.busy_timeout(READERS);
        let _ = connection.wal_checkpoint_v2(Some("main"), CheckpointMode::TRUNCATE);
    }
}

/// Who moves the log, and when: one for all threads of a process.
#[derive(Debug)]
pub(crate) struct Log {
    /// What is left at the end is moved when nobody writes.
    turn: Turn,
    pages: i32,
    /// The length at which it is moved next.
    next: AtomicI32,
    moving: Mutex<bool>,
    moved: Condvar,
    stopped: AtomicBool,
}

impl Log {
    /// A log that is moved from so many pages on, by one who takes his turn among those who write.
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

    /// The pages from which on the log is moved.
    pub(crate) fn pages(&self) -> u32 {
        self.pages.unsigned_abs()
    }

    fn moving(&self) -> MutexGuard<'_, bool> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a commit that has left so many pages in the log has to call [`Log::move_beside`].
    #[inline]
    pub(crate) fn is_long(&self, length: i32) -> bool {
        if length >= self.pages {
            return length >= self.next.load(Ordering::Relaxed);
        }
        if length > 0 && self.next.load(Ordering::Relaxed) != self.pages {
            // It has begun anew.
            self.next.store(self.pages, Ordering::Relaxed);
        }
        false
    }

    /// Has a thread move the log, unless one does. Call it outside of a [`fork::Passage`]: it may wait for that thread, which
    /// has to enter one.
    #[cold]
    pub(crate) fn move_beside(self: &Arc<Self>, length: i32, target: &Arc<Target>) {
        let mut moving = self.moving();
        if !*moving && !self.stopped.load(Ordering::Relaxed) {
            *moving = true;
            let (log, theirs) = (Arc::clone(self), Arc::clone(target));
            let spawned =
                std::thread::Builder::new().name("cacheness log".to_owned()).spawn(move || log.work(length, &theirs));
            if spawned.is_err() {
                // Without a thread it is moved here, as SQLite would.
                drop(moving);
                self.work(length, target);
                return;
            }
        }
        if length.saturating_sub(self.next.load(Ordering::Relaxed)) >= self.pages.saturating_mul(MOST) {
            drop(self.moved.wait_timeout_while(moving, PATIENCE, |moving| *moving));
        }
    }

    /// Moves a log of this length, and says that it is done.
    fn work(&self, length: i32, target: &Target) {
        // Also after a panic: `stop` waits for it.
        let _over = Over(self);
        // An error is none of anybody's: what is not moved stays in the log, where it is read, and is moved another time.
        if self.move_log(target).is_err() {
            self.again_beyond(length);
        }
    }

    /// Notes that a log of this length has not begun anew: it is moved when it has grown as much once more.
    fn again_beyond(&self, length: i32) {
        self.next.store(length.saturating_add(self.pages), Ordering::Relaxed);
    }

    fn move_log(&self, target: &Target) -> Result<()> {
        let failed = |e| translate("cannot move the log into the database", e);
        // First the passage, then the turn, as those who write do.
        let passage = fork::enter();
        let connection = target.open()?;
        connection.busy_timeout(READERS).map_err(failed)?;
        drop(passage);
        // What writers wait for stays as it is meanwhile: `next`.
        let mut length = 0;
        let mut result = Ok(());
        for _ in 0..ROUNDS {
            let _passage = fork::enter();
            // Waits for nobody, and moves what nobody reads.
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
        // Inside of a passage the connection is closed as well.
        let (_passage, connection) = (fork::enter(), connection);
        if result.is_ok() && !self.stopped.load(Ordering::Relaxed) {
            let _turn = self.turn.take();
            // Also waits a little for those who read out of the log, so that the next who writes finds nobody there and begins
            // anew; nobody does so before it is noted here.
            if connection.wal_checkpoint_v2(Some("main"), CheckpointMode::RESTART).is_ok() {
                self.next.store(self.pages, Ordering::Relaxed);
            } else {
                self.again_beyond(length);
            }
        }
        result
    }

    /// Has nobody move the log any more, and waits for whoever does. Call it outside of a passage.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        drop(self.moved.wait_while(self.moving(), |moving| *moving));
    }
}

/// Nobody moves the log any more when it is dropped.
struct Over<'a>(&'a Log);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        *self.0.moving() = false;
        self.0.moved.notify_all();
    }
}
