//! The lock that writers hold, on a file next to the one that they write.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};

/// Held from before the file is read until the new one is in place.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Acquires the lock at `path`; waits up to `timeout` for another thread or process to release it.
    ///
    /// Opens the file each time: the lock belongs to the open file, so that threads exclude each other too.
    pub(super) fn take(path: &Path, timeout: Duration) -> Result<Self> {
        let started = Instant::now();
        // Spreads out waiters that wake up together; the seeds differ.
        let mut random = getrandom::u64().unwrap_or(0x9e37_79b9_7f4a_7c15) | 1;
        let mut attempt = 0_u32;
        loop {
            if let Some(lock) = Self::try_take(path)? {
                return Ok(lock);
            }
            if started.elapsed() >= timeout {
                let message = format!("{} has been locked for {} s", path.display(), timeout.as_secs_f64());
                return Err(Error::new(ErrorKind::Busy, message)
                    .with_hint("another process writes to this store; try again, or use the sqlite backend"));
            }
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let longest = 50_u64 << attempt.min(5);
            attempt += 1;
            std::thread::sleep(Duration::from_micros(longest / 2 + random % longest));
        }
    }

    fn try_take(path: &Path) -> Result<Option<Self>> {
        let failed = |e: io::Error| Error::io(format_args!("cannot lock {}", path.display()), e);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed() | OFlags::NONBLOCK.bits().cast_signed());
        let file = options.open(path).map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(None),
            Err(error) => {
                return Err(failed(error.into())
                    .with_hint("a file system without locks cannot hold a JSON store that is written to"));
            }
        }
        let lock = Self { file };
        let ours = lock.file.metadata().map_err(failed)?;
        // The file may have been deleted since it was opened: the next writer would lock another one.
        match std::fs::symlink_metadata(path) {
            Ok(found) if (found.dev(), found.ino()) == (ours.dev(), ours.ino()) => Ok(Some(lock)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child that was forked meanwhile has a descriptor of the same open file.
        if let Err(error) = rustix::fs::flock(&self.file, FlockOperation::Unlock) {
            log::warn!("cannot unlock the store: {error}");
        }
    }
}
