//! Locks between processes: byte ranges of one file, which the kernel releases when their process dies.
//!
//! `<dir>/flights.lock` stays empty: only byte offsets are locked, one per key. The locks belong to the open file
//! description (`F_OFD_SETLK`), not to the process, so that two handles of one process exclude each other as well and
//! closing some other descriptor of the file releases nothing.
//!
//! A forked child shares the description with its parent and would keep its locks alive. Therefore all descriptors are
//! listed in [`OPEN`], and a handler ([`in_children`]) closes them in the child before anything else runs there.
//! `exec` closes them too.
#![allow(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use crate::backend::{Acquired, LockGuard, Locks, Release};
use crate::error::{Error, Result};
use crate::process::in_children;

/// The file's name in the store's directory.
const NAME: &str = "flights.lock";

/// The maximum number of open lock files per process; a further handle has no locks between processes.
const MOST: usize = 1024;
const FREE: i32 = -1;
const CLOSED: i32 = -2;

/// The kernel cannot wait for a byte with a timeout: a caller retries after the first of these delays, then after
/// increasing ones up to the last.
const DELAYS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Set in [`Handle::users`] once the handle is closed. The lower bits count the calls that use the descriptor.
const OVER: u32 = 1 << 31;

/// The descriptor of every lock file: [`FREE`] for a place without an owner, [`CLOSED`] for one whose file is not open.
///
/// Atomics and no mutex, because the handler of a fork reads them. A place belongs to one [`Handle`].
static OPEN: [AtomicI32; MOST] = [const { AtomicI32::new(FREE) }; MOST];

/// Locks of keys in a file beside the store.
#[derive(Debug)]
pub struct LockFile(Arc<Handle>);

impl LockFile {
    /// The locks of the store in `directory`. The first call of [`Locks::acquire`] creates the file.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self(Arc::new(Handle::new(directory)))
    }
}

impl Locks for LockFile {
    fn name(&self) -> &'static str {
        "file"
    }

    fn identity(&self) -> u64 {
        self.0.identity
    }

    fn acquire(&self, number: u64, timeout: Duration) -> Result<Acquired> {
        let held = || Acquired::Held(LockGuard::new(Held { handle: Arc::clone(&self.0), number }));
        match self.0.lock(number)? {
            Lock::Taken => return Ok(held()),
            Lock::Unavailable => return Ok(Acquired::Unavailable),
            Lock::Busy if timeout.is_zero() => return Ok(Acquired::TimedOut),
            Lock::Busy => {}
        }
        let begun = Instant::now();
        let mut delay = DELAYS.0;
        loop {
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(Acquired::TimedOut);
            }
            std::thread::sleep(delay.min(left));
            delay = (delay * 2).min(DELAYS.1);
            match self.0.lock(number)? {
                Lock::Taken => return Ok(held()),
                Lock::Unavailable => return Ok(Acquired::Unavailable),
                Lock::Busy => {}
            }
        }
    }

    fn close(&self) -> Result<()> {
        self.0.close();
        Ok(())
    }
}

/// A locked byte.
#[derive(Debug)]
struct Held {
    handle: Arc<Handle>,
    number: u64,
}

impl Release for Held {
    fn release(&mut self) -> Result<()> {
        self.handle.unlock(self.number)
    }
}

/// The result of one try.
#[derive(Debug, PartialEq, Eq)]
enum Lock {
    Taken,
    Busy,
    Unavailable,
}

/// The open file. Guards share it, so that it stays open while any of them exists, unless it is closed.
struct Handle {
    path: PathBuf,
    identity: u64,
    /// Its place in [`OPEN`].
    place: Option<usize>,
    /// The file cannot be locked; this has been logged.
    unusable: AtomicBool,
    /// How many calls use the descriptor, and whether it is closed for all later ones: see [`OVER`].
    users: AtomicU32,
    /// Its place may already belong to another handle.
    left: AtomicBool,
}

/// A call that uses the descriptor. The last one closes it after [`Handle::close`], so that no call uses a number that
/// was reused for another file.
struct Use<'a>(&'a Handle);

impl Drop for Use<'_> {
    fn drop(&mut self) {
        if self.0.users.fetch_sub(1, Ordering::AcqRel) == OVER | 1 {
            self.0.leave();
        }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Handle {
    fn new(directory: &Path) -> Self {
        close_in_children();
        // Two paths of one directory are one store.
        let canonical = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        let identity = twox_hash::XxHash3_64::oneshot(canonical.as_os_str().as_encoded_bytes());
        let free =
            |place: &AtomicI32| place.compare_exchange(FREE, CLOSED, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        Self {
            path: canonical.join(NAME),
            identity,
            place: OPEN.iter().position(free),
            unusable: AtomicBool::new(false),
            users: AtomicU32::new(0),
            left: AtomicBool::new(false),
        }
    }

    /// Begins to use the descriptor; `None` once the handle is closed.
    fn begin(&self) -> Option<Use<'_>> {
        let over = self.users.fetch_add(1, Ordering::AcqRel) & OVER != 0;
        let using = Use(self);
        (!over).then_some(using)
    }

    fn close(&self) {
        if self.users.fetch_or(OVER, Ordering::AcqRel) == 0 {
            self.leave();
        }
    }

    /// Closes the descriptor, which releases its locks, and frees its place.
    fn leave(&self) {
        let Some(place) = self.place else { return };
        if self.left.swap(true, Ordering::AcqRel) {
            return;
        }
        let descriptor = OPEN[place].swap(CLOSED, Ordering::AcqRel);
        if descriptor >= 0 {
            // A child that is being forked right now shares the locks until it closes its descriptor.
            system::unlock_all(descriptor);
            system::close(descriptor);
        }
        OPEN[place].store(FREE, Ordering::Release);
    }

    fn give_up(&self, why: &dyn std::fmt::Display) -> Lock {
        if !self.unusable.swap(true, Ordering::Relaxed) {
            log::warn!(
                "{} cannot be locked ({why}): several processes may compute the same missing value at once",
                self.path.display()
            );
        }
        Lock::Unavailable
    }

    /// The descriptor of this process.
    fn descriptor(&self, place: &AtomicI32) -> std::io::Result<i32> {
        let open = place.load(Ordering::Acquire);
        if open >= 0 {
            return Ok(open);
        }
        let descriptor = system::open(&self.path)?;
        match place.compare_exchange(CLOSED, descriptor, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(descriptor),
            Err(other) => {
                // Another thread opened the file first, and nothing has been locked through this descriptor.
                system::close(descriptor);
                Ok(other)
            }
        }
    }

    /// Tries once to lock the byte of `number`.
    fn lock(&self, number: u64) -> Result<Lock> {
        if self.unusable.load(Ordering::Relaxed) {
            return Ok(Lock::Unavailable);
        }
        let Some(place) = self.place else {
            return Ok(self.give_up(&format_args!("more than {MOST} stores are open")));
        };
        let Some(_using) = self.begin() else { return Ok(Lock::Unavailable) };
        let locked = self.descriptor(&OPEN[place]).and_then(|descriptor| system::lock(descriptor, offset(number)));
        match locked {
            Ok(true) => Ok(Lock::Taken),
            Ok(false) => Ok(Lock::Busy),
            Err(error) if is_passing(&error) => Err(self.failed("locked", error)),
            Err(error) => Ok(self.give_up(&error)),
        }
    }

    fn unlock(&self, number: u64) -> Result<()> {
        let Some(place) = self.place else { return Ok(()) };
        // Closing has already released it.
        let Some(_using) = self.begin() else { return Ok(()) };
        let descriptor = OPEN[place].load(Ordering::Acquire);
        if descriptor < 0 {
            return Ok(());
        }
        system::unlock(descriptor, offset(number)).map_err(|error| self.failed("unlocked", error))
    }

    fn failed(&self, what: &str, error: std::io::Error) -> Error {
        Error::io(format!("{} cannot be {what}", self.path.display()), error)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Also in a forked child, where the count includes calls of threads that do not exist there.
        self.leave();
    }
}

/// File offsets are signed, and the last one cannot be locked: 62 bits remain.
fn offset(number: u64) -> i64 {
    i64::try_from(number >> 2).expect("62 bits fit")
}

/// Whether a temporary shortage made the call fail: of descriptors, memory or space for a new file.
fn is_passing(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let passing = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOSPC, Errno::DQUOT];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}

fn close_in_children() {
    static ONCE: Once = Once::new();

    extern "C" fn in_child() {
        for place in &OPEN {
            let descriptor = place.load(Ordering::Relaxed);
            if descriptor >= 0 {
                place.store(CLOSED, Ordering::Relaxed);
                system::close(descriptor);
            }
        }
    }

    ONCE.call_once(|| {
        // SAFETY: the handler reads and writes atomics and closes descriptors.
        unsafe { in_children(in_child) };
    });
}

/// The system calls.
#[allow(clippy::cast_possible_truncation)] // types of constants differ between systems; all values are small
mod system {
    use std::ffi::CString;
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    /// A length of a range of a file.
    const TO_THE_END: i64 = 0;

    pub(super) fn open(path: &Path) -> io::Result<i32> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        // A pipe in this place cannot be locked; without NONBLOCK, opening a device may block.
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK;
        // SAFETY: the path is a C string, and the mode that the flags require is passed.
        let descriptor = unsafe { libc::open(path.as_ptr(), flags, 0o600 as libc::c_uint) };
        if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(descriptor) }
    }

    /// Safe after a fork.
    pub(super) fn close(descriptor: i32) {
        // SAFETY: the caller has taken the descriptor out of the list, so it is closed only once.
        unsafe { libc::close(descriptor) };
    }

    /// `false` if another open file description has the byte.
    pub(super) fn lock(descriptor: i32, offset: i64) -> io::Result<bool> {
        match set(descriptor, offset, 1, libc::F_WRLCK as _) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn unlock(descriptor: i32, offset: i64) -> io::Result<()> {
        set(descriptor, offset, 1, libc::F_UNLCK as _)
    }

    /// If this fails, closing the descriptor unlocks as well.
    pub(super) fn unlock_all(descriptor: i32) {
        let _ = set(descriptor, 0, TO_THE_END, libc::F_UNLCK as _);
    }

    fn set(descriptor: i32, offset: i64, length: i64, kind: libc::c_short) -> io::Result<()> {
        // SAFETY: `flock` is plain data for which all zeros are a value: `l_pid` must be zero, the rest is set below.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = kind;
        lock.l_whence = libc::SEEK_SET as _;
        lock.l_start = offset as libc::off_t;
        lock.l_len = length as libc::off_t;
        loop {
            // SAFETY: the descriptor is open, and the kernel only reads the struct.
            if unsafe { libc::fcntl(descriptor, libc::F_OFD_SETLK, &raw const lock) } == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_free(directory: &Path, number: u64) -> bool {
        Handle::new(directory).lock(number).expect("tried") == Lock::Taken
    }

    #[test]
    fn a_closed_handle_has_no_locks_and_no_place() {
        let dir = tempfile::tempdir().expect("a directory");
        // More handles than there are places, all at once.
        let handles: Vec<_> = (0..3 * MOST as u64)
            .map(|number| {
                let locks = Handle::new(dir.path());
                assert_eq!(locks.lock(number << 2).expect("tried"), Lock::Taken, "{number}");
                locks.close();
                locks.close();
                locks
            })
            .collect();
        for (number, locks) in handles.iter().enumerate() {
            assert_eq!(locks.lock(7).expect("tried"), Lock::Unavailable);
            locks.unlock(7).expect("nothing is locked");
            assert!(number % 100 > 0 || is_free(dir.path(), (number as u64) << 2), "{number}");
        }
    }

    #[test]
    fn closing_waits_for_nobody_and_closes_nothing_that_is_in_use() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path();
        for _ in 0..200 {
            let locks = Handle::new(path);
            std::thread::scope(|scope| {
                for thread in 0..4_u64 {
                    let locks = &locks;
                    scope.spawn(move || {
                        for number in 0..20 {
                            let number = (thread * 1000 + number) << 2;
                            if locks.lock(number).expect("tried") == Lock::Taken {
                                locks.unlock(number).expect("unlocked");
                            }
                            // Would take the number of a descriptor that is closed too early; it cannot be locked.
                            drop(std::fs::File::open("/dev/null").expect("opened"));
                        }
                    });
                }
                locks.close();
            });
            assert_eq!(locks.lock(0).expect("tried"), Lock::Unavailable);
            assert!(!locks.unusable.load(Ordering::Relaxed), "no call has failed");
            assert!(locks.left.load(Ordering::Relaxed));
        }
    }
}
