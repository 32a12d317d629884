//! The contract of locks between the processes that use one store: they let one process compute a missing value.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use crate::error::Result;
use crate::process::forks;

/// Locks that exclude other processes, one per number.
///
/// The numbers are hashes of keys. Two keys with the same number exclude each other needlessly, which does no harm; a
/// backend may therefore ignore the two lowest bits.
pub trait Locks: Any + fmt::Debug + Send + Sync {
    /// The name in messages: `file`, `memory`, …
    fn name(&self) -> &str;

    /// The same for all handles of one store in a process, and different for different stores.
    fn identity(&self) -> u64;

    /// Acquires a lock. Waits for another owner to release it, but no longer than `timeout`.
    ///
    /// # Behavior
    /// - Exclusive between handles, in one process and in several, in all threads.
    /// - A timeout of zero tries once and does not wait.
    /// - An uncontended lock is acquired at once; a waiting caller acquires it within 50 ms of its release.
    /// - The lock is released when the guard is dropped or [`LockGuard::release`] is called, when its handle is closed,
    ///   and when the process or the session that owns it dies. A forked child does not hold it: the child may exit or
    ///   live on without any effect on the lock.
    /// - A handle that acquires a number again while it holds it may succeed. Callers do not do that.
    /// - A forked child may go on using the handle; it acquires locks of its own.
    ///
    /// # Errors
    /// The locks cannot be reached at the moment: a lost connection, no free file descriptors. A retry may succeed. If
    /// no retry can, the result is [`Acquired::Unavailable`].
    fn acquire(&self, number: u64, timeout: Duration) -> Result<Acquired>;

    /// Releases all locks of this handle and the resources behind them.
    ///
    /// # Behavior
    /// - Closing twice is no error.
    /// - Later calls of [`Locks::acquire`] return [`Acquired::Unavailable`]; a waiting call does so within 50 ms.
    /// - Guards that still exist have nothing left to release.
    fn close(&self) -> Result<()>;
}

/// The result of [`Locks::acquire`].
#[derive(Debug)]
pub enum Acquired {
    /// The caller holds the lock as long as the guard lives.
    Held(LockGuard),
    /// Another owner held the lock until the timeout.
    TimedOut,
    /// There are no locks here: a file system without them, a directory that cannot be written, a closed handle. The
    /// reason has been logged.
    Unavailable,
}

/// How a backend releases one lock. Dropping it without calling [`Release::release`] must not release the lock: that
/// happens in forked children, which do not hold it.
pub trait Release: fmt::Debug + Send + Sync {
    /// Releases the lock. Called once at most.
    ///
    /// # Errors
    /// The release cannot be confirmed. The lock is released with its session at the latest.
    fn release(&mut self) -> Result<()>;
}

/// Holds a lock until it is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct LockGuard {
    held: Option<Box<dyn Release>>,
    /// The process that acquired the lock: see [`forks`].
    forks: u64,
}

impl LockGuard {
    /// The guard of a lock that this process has just acquired and that `held` releases.
    pub fn new(held: impl Release + 'static) -> Self {
        Self { held: Some(Box::new(held)), forks: forks() }
    }

    /// Releases the lock; does nothing in a forked child.
    ///
    /// # Errors
    /// Those of [`Release::release`].
    pub fn release(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        match self.held.take() {
            Some(mut held) if self.forks == forks() => held.release(),
            _ => Ok(()),
        }
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            log::warn!("a lock cannot be released: {}", error.with_causes());
        }
    }
}
