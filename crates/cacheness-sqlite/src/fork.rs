//! Keeping SQLite's locks valid in a forked child.
//!
//! SQLite's POSIX locks belong to a process, and it keeps a count of them per file in its own memory. `fork()` copies
//! the count and not the locks: in a child, SQLite believes that this process already holds `SHARED` on the database
//! and the "dead man's switch" of the write-ahead log, and takes neither. When the parent then closes its last
//! connection, it sees no other user, checkpoints, and deletes the log under the child, whose writes are lost.
//! Therefore:
//!
//! 1. Every operation runs between [`enter`] and the drop of its [`Passage`]. `fork()` waits, in a handler of
//!    `pthread_atfork`, until no operation runs, and new ones wait until it is done: at the moment of the fork no mutex
//!    is held, no statement is in flight and no lock but the two above is held.
//! 2. In the child, before anything else runs, the two locks are really acquired, on descriptors that are never closed
//!    (closing any descriptor of a file drops all locks that the process has on it).
//! 3. The parent waits in its handler until the child holds them, so that it cannot close its connections earlier.
//! 4. The [`generation`] grows by one in the child. Connections of an earlier generation are neither used nor closed
//!    nor freed; new ones are opened.
//! 5. A session of the user may have a transaction open while no operation runs. SQLite's tables in the child then say
//!    that this process holds the locks of that transaction, so that no connection of the child would ever get the write
//!    lock, or would read under a lock that nobody holds. They are released in the child before anything else runs
//!    (`open_file`).
//!
//! A child that does nothing but `exec` loses the descriptors, and the locks with them, at the `exec`.
//! `vfork` and `posix_spawn` run no handlers and need none.
//!
//! Invariant: nothing between [`enter`] and the drop calls foreign code (no logging, no callback): that code could wait
//! for a lock that the forking thread holds.
#![allow(unsafe_code)]

mod left;
mod open_file;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::Duration;

pub(crate) use left::LeftInChildren;
pub(crate) use open_file::OpenFile;

/// Set in [`GATE`] during a fork. The lower bits count the running operations.
const FORKING: u32 = 1 << 31;

static GATE: AtomicU32 = AtomicU32::new(0);
static GENERATION: AtomicU64 = AtomicU64::new(0);
static OPEN_LOGS: Mutex<Vec<Weak<OpenLog>>> = Mutex::new(Vec::new());
/// The pipe through which the child of the current fork reports that it holds its locks; -1 if there is none.
static READY: [AtomicI32; 2] = [AtomicI32::new(-1), AtomicI32::new(-1)];

/// How long a parent waits until its child holds its locks. A live child needs microseconds.
const PATIENCE_MS: i32 = 5_000;

/// SQLite's `SHARED_FIRST` and `SHARED_SIZE` (sqlite3.c): what a reader locks in the database file.
const SHARED_RANGE: (libc::off_t, libc::off_t) = (0x4000_0002, 510);
/// SQLite's `UNIX_SHM_DMS` (sqlite3.c): what every user of a write-ahead log locks in the `-shm` file.
const DEAD_MANS_SWITCH: (libc::off_t, libc::off_t) = (128, 1);

/// The number of forks between the first process and this one.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Whether a fork waits for the running operations to end: an operation that only waits for a lock should give up.
pub(crate) fn is_waiting() -> bool {
    GATE.load(Ordering::Relaxed) & FORKING != 0
}

/// Prepares the process for SQLite: the handlers of `fork()`, and SQLite's own settings for the process. Call it before
/// the first [`enter`].
pub(crate) fn prepare_process() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handlers are functions of this library, which is never unloaded while they are registered: neither
        // Rust's runtime nor Python unloads a library.
        let result = unsafe { libc::pthread_atfork(Some(prepare), Some(in_parent), Some(in_child)) };
        assert_eq!(result, 0, "pthread_atfork fails only without memory");
        // Without memory statistics, allocations acquire no lock. If other code already uses this SQLite it is too
        // late, which only costs time. SAFETY: the option takes one `int`, and SQLite rejects it once it is
        // initialised.
        let _ = unsafe { rusqlite::ffi::sqlite3_config(rusqlite::ffi::SQLITE_CONFIG_MEMSTATUS, 0) };
    });
}

/// A running operation; `fork()` waits for its drop.
#[must_use]
pub(crate) struct Passage(());

/// Begins an operation; waits for a fork in progress.
#[inline]
pub(crate) fn enter() -> Passage {
    while GATE.fetch_add(1, Ordering::Acquire) & FORKING != 0 {
        GATE.fetch_sub(1, Ordering::Release);
        while is_waiting() {
            std::thread::sleep(Duration::from_micros(20));
        }
    }
    Passage(())
}

impl Drop for Passage {
    #[inline]
    fn drop(&mut self) {
        GATE.fetch_sub(1, Ordering::Release);
    }
}

/// A database whose write-ahead log this process has open. Every connection holds one. Connections leaked by a fork
/// hold theirs permanently, because SQLite's record of their locks stays too.
#[derive(Debug)]
pub(crate) struct OpenLog {
    database: CString,
    shared_memory: CString,
    /// Device and inode of the database file.
    identity: (u64, u64),
    /// Device and inode of the `-shm` file at the moment of the last fork; only the handlers use it.
    shared_memory_identity: [AtomicU64; 2],
    /// The child could not acquire the locks: the log was closed and deleted during the fork.
    lost: AtomicBool,
}

impl OpenLog {
    /// Registers that the database at `path`, an absolute path, is open with a write-ahead log. Call it after
    /// [`enter`].
    pub(crate) fn register(path: &Path) -> std::io::Result<Arc<Self>> {
        let text = |suffix: &str| {
            let mut bytes = path.as_os_str().as_bytes().to_vec();
            bytes.extend_from_slice(suffix.as_bytes());
            CString::new(bytes).map_err(std::io::Error::from)
        };
        let found = rustix::fs::stat(path)?;
        #[allow(clippy::unnecessary_cast)]
        let log = Arc::new(Self {
            database: text("")?,
            shared_memory: text("-shm")?,
            identity: (found.st_dev as u64, found.st_ino as u64),
            shared_memory_identity: [AtomicU64::new(0), AtomicU64::new(0)],
            lost: AtomicBool::new(false),
        });
        let mut open = OPEN_LOGS.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|known| known.strong_count() > 0);
        open.push(Arc::downgrade(&log));
        Ok(log)
    }

    /// Whether this process was forked while the log was being closed, so that its locks cannot be acquired.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

fn for_each_log(mut visit: impl FnMut(&OpenLog)) {
    // No operation runs, so no thread holds this mutex or can drop the last `Arc` of a log.
    let open = OPEN_LOGS.lock().unwrap_or_else(PoisonError::into_inner);
    for log in open.iter() {
        if let Some(log) = log.upgrade() {
            visit(&log);
        }
    }
}

extern "C" fn prepare() {
    // One fork at a time.
    while GATE.fetch_or(FORKING, Ordering::Acquire) & FORKING != 0 {
        std::thread::sleep(Duration::from_micros(20));
    }
    let mut spins = 0_u32;
    while GATE.load(Ordering::Acquire) & !FORKING != 0 {
        spins += 1;
        if spins < 100 {
            std::hint::spin_loop();
        } else {
            std::thread::sleep(Duration::from_micros(20));
        }
    }
    let mut any = false;
    for_each_log(|log| {
        any = true;
        // SAFETY: `stat` is plain data, for which all zeros are a value; the path is a C string.
        let identity = unsafe {
            let mut found: libc::stat = std::mem::zeroed();
            match libc::stat(log.shared_memory.as_ptr(), &raw mut found) {
                0 => identity_of(&found),
                _ => (0, 0),
            }
        };
        log.shared_memory_identity[0].store(identity.0, Ordering::Relaxed);
        log.shared_memory_identity[1].store(identity.1, Ordering::Relaxed);
    });
    if any {
        let mut ends = [-1; 2];
        // SAFETY: `ends` has room for two descriptors.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } == 0 {
            READY[0].store(ends[0], Ordering::Relaxed);
            READY[1].store(ends[1], Ordering::Relaxed);
        }
    }
}

fn take_ready() -> Option<(i32, i32)> {
    let ends = (READY[0].swap(-1, Ordering::Relaxed), READY[1].swap(-1, Ordering::Relaxed));
    (ends.0 >= 0).then_some(ends)
}

extern "C" fn in_parent() {
    if let Some((read, write)) = take_ready() {
        // SAFETY: both descriptors are ours and are closed once. The wait ends when the child has written its byte,
        // when the last copy of the writing end is closed (the child died or the fork failed), or at the timeout.
        unsafe {
            let errno = *libc::__errno_location();
            libc::close(write);
            let mut poll = libc::pollfd { fd: read, events: libc::POLLIN, revents: 0 };
            while libc::poll(&raw mut poll, 1, PATIENCE_MS) < 0 && *libc::__errno_location() == libc::EINTR {}
            libc::close(read);
            *libc::__errno_location() = errno;
        }
    }
    GATE.fetch_and(!FORKING, Ordering::Release);
}

/// Only this thread exists, and only functions that are safe after a fork are called: system calls and atomics.
extern "C" fn in_child() {
    for_each_log(|log| {
        let database = lock_for_ever(&log.database, log.identity, SHARED_RANGE, libc::O_RDWR);
        let identity = (
            log.shared_memory_identity[0].load(Ordering::Relaxed),
            log.shared_memory_identity[1].load(Ordering::Relaxed),
        );
        // No `-shm` file: the log was not in use yet, so SQLite has no lock on it.
        let shared_memory =
            identity == (0, 0) || lock_for_ever(&log.shared_memory, identity, DEAD_MANS_SWITCH, libc::O_RDWR);
        if !(database && shared_memory) {
            log.lost.store(true, Ordering::Relaxed);
        }
    });
    open_file::release_all();
    GENERATION.fetch_add(1, Ordering::Relaxed);
    if let Some((read, write)) = take_ready() {
        // SAFETY: both descriptors are ours and are closed once. If the parent has died the byte is never read; writing
        // it raises no signal because the reading end is still open here.
        unsafe {
            libc::write(write, [1_u8].as_ptr().cast(), 1);
            libc::close(write);
            libc::close(read);
        }
    }
    GATE.store(0, Ordering::Release);
}

#[allow(clippy::unnecessary_cast)]
fn identity_of(found: &libc::stat) -> (u64, u64) {
    (found.st_dev as u64, found.st_ino as u64)
}

/// Acquires a shared lock on a range of the file at `path` for the lifetime of this process. `false` if another file or
/// none is at `path` now, or if the lock cannot be acquired.
fn lock_for_ever(
    path: &CString,
    identity: (u64, u64),
    (start, length): (libc::off_t, libc::off_t),
    flags: libc::c_int,
) -> bool {
    // SAFETY: the path is a C string, `stat` and `flock` are plain data for which all zeros are a value. The descriptor
    // is left open on purpose, even if it belongs to another file: closing it could drop locks.
    unsafe {
        let mut descriptor = libc::open(path.as_ptr(), flags | libc::O_CLOEXEC | libc::O_NOFOLLOW);
        if descriptor < 0 {
            descriptor = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW);
        }
        let mut found: libc::stat = std::mem::zeroed();
        if descriptor < 0 || libc::fstat(descriptor, &raw mut found) != 0 || identity_of(&found) != identity {
            return false;
        }
        let mut lock: libc::flock = std::mem::zeroed();
        #[allow(clippy::cast_possible_truncation)]
        {
            lock.l_type = libc::F_RDLCK as _;
            lock.l_whence = libc::SEEK_SET as _;
        }
        lock.l_start = start;
        lock.l_len = length;
        // The parent holds the same locks shared, so no process can hold them exclusively for longer than a moment.
        for _ in 0..100 {
            if libc::fcntl(descriptor, libc::F_SETLK, &raw const lock) == 0 {
                return true;
            }
            libc::usleep(1_000);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::cell::UnsafeCell;

    use super::*;

    /// State that an operation changes in several steps and a fork copies.
    struct Place(UnsafeCell<u32>);

    // SAFETY: each is written by one thread, inside operations, and read by another while no operation runs.
    unsafe impl Sync for Place {}

    #[test]
    fn a_fork_finds_no_operation_under_way() {
        let places: [Place; 2] = std::array::from_fn(|_| Place(UnsafeCell::new(0)));
        std::thread::scope(|scope| {
            for place in &places {
                scope.spawn(|| {
                    for _ in 0..4 {
                        let _passage = enter();
                        for _ in 0..2 {
                            // SAFETY: as above.
                            unsafe { *place.0.get() += 1 };
                            std::thread::yield_now();
                        }
                    }
                });
            }
            for _ in 0..3 {
                prepare();
                for place in &places {
                    // SAFETY: as above.
                    assert_eq!(unsafe { *place.0.get() } % 2, 0);
                }
                in_parent();
                std::thread::yield_now();
            }
        });
    }
}
