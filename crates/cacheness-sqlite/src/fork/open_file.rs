//! The locks of transactions that are open while the process is forked.
//!
//! POSIX locks are not inherited, and SQLite's tables of them are: in the child they say that the copied connection holds
//! the locks of its transaction. SQLite's own functions remove them from the tables; the system calls that they make
//! release locks that the child does not have. Neither touches memory that is shared with the parent.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rusqlite::{Connection, ffi};

static OPEN_FILES: Mutex<Vec<Weak<OpenFile>>> = Mutex::new(Vec::new());

/// The number of locks in the index of a write-ahead log: writer, checkpointer, recovery, and five for readers.
const LOCKS: i32 = 8;
/// Those that are only ever held alone.
const EXCLUSIVE: i32 = 3;

/// The database file of a connection that may have a transaction open while no operation runs. Drop it before the
/// connection.
#[derive(Debug)]
pub(crate) struct OpenFile {
    file: NonNull<ffi::sqlite3_file>,
    /// The database has a rollback journal: transactions lock the file itself.
    rollback: bool,
}

// SAFETY: the file is used in the child of a fork only, where one thread exists.
unsafe impl Send for OpenFile {}
// SAFETY: as above.
unsafe impl Sync for OpenFile {}

impl OpenFile {
    /// Registers the connection. Call it after [`enter`](super::enter). `None` if SQLite names no file.
    pub(crate) fn register(connection: &Connection, rollback: bool) -> Option<Arc<Self>> {
        let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
        // SAFETY: the handle is open and used only here; SQLITE_FCNTL_FILE_POINTER returns the file of the database,
        // which lives as long as the connection.
        let code = unsafe {
            ffi::sqlite3_file_control(
                connection.handle(),
                c"main".as_ptr(),
                ffi::SQLITE_FCNTL_FILE_POINTER,
                (&raw mut file).cast(),
            )
        };
        let file = NonNull::new(file).filter(|_| code == ffi::SQLITE_OK)?;
        let file = Arc::new(Self { file, rollback });
        let mut open = OPEN_FILES.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|known| known.strong_count() > 0);
        open.push(Arc::downgrade(&file));
        Some(file)
    }

    /// Removes the locks of the copied connection from SQLite's tables.
    fn release(&self) {
        // SAFETY: no operation runs, so SQLite's mutexes are free and its tables are complete; the file is open, because
        // the connection outlives this value; its methods have the version that they state. Without a lock, or without
        // an index, the functions change nothing.
        unsafe {
            let file = self.file.as_ptr();
            let Some(methods) = (*file).pMethods.as_ref() else { return };
            if let Some(lock) = methods.xShmLock.filter(|_| methods.iVersion >= 2) {
                for place in 0..LOCKS {
                    let kind = if place < EXCLUSIVE { ffi::SQLITE_SHM_EXCLUSIVE } else { ffi::SQLITE_SHM_SHARED };
                    lock(file, place, 1, ffi::SQLITE_SHM_UNLOCK | kind);
                }
            }
            if let Some(unlock) = methods.xUnlock.filter(|_| self.rollback) {
                unlock(file, ffi::SQLITE_LOCK_NONE);
            }
        }
    }
}

/// Called in the child of a fork, before anything else runs.
pub(super) fn release_all() {
    // No operation ran at the time of the fork, so no thread held this mutex.
    let open = OPEN_FILES.lock().unwrap_or_else(PoisonError::into_inner);
    for file in open.iter() {
        if let Some(file) = file.upgrade() {
            file.release();
            // The child's copy of the connection is never freed either.
            std::mem::forget(file);
        }
    }
}
