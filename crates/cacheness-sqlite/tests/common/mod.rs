//! Child processes made by `fork()`, and what tests look at when they are gone.
#![allow(unsafe_code, dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cacheness_core::backend::MetadataBackend;
use cacheness_core::entry::Location;
use cacheness_sqlite::{SqliteMetadata, SqliteOptions};
use cacheness_testkit::ext::{MetadataExt as _, Scan};
use cacheness_testkit::sample;

/// One test at a time: some of them use SQLite past the store, which a fork in another thread does not wait for.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A directory for one test.
pub struct Place {
    dir: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Place {
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// A directory with the path of a database in it, which is not there yet. A test has one at a time.
pub fn place() -> (Place, PathBuf) {
    let place = Place { _alone: alone(), dir: tempfile::tempdir().expect("a directory") };
    let path = place.path().join("cache_metadata.db");
    (place, path)
}

pub fn open(path: &Path) -> SqliteMetadata {
    SqliteMetadata::open(SqliteOptions::new(path)).expect("opened")
}

pub fn put(store: &SqliteMetadata, key: &str, payload: &str) {
    store.put(&sample::inline(key, payload.as_bytes())).expect("put");
}

pub fn get(store: &SqliteMetadata, key: &str) -> Option<String> {
    store.whole(key).expect("got").map(|entry| match entry.location {
        Location::Inline(bytes) => String::from_utf8(bytes).expect("UTF-8"),
        Location::Blob(blob) => blob.locator,
    })
}

/// Opens the store anew, checks the database and the totals, and returns all keys and payloads.
pub fn examine(path: &Path) -> BTreeMap<String, String> {
    let store = open(path);
    let found = store.scan(&Scan::default()).expect("scanned");
    let totals = store.totals().expect("totals");
    assert_eq!(totals.entries, found.len() as u64);
    assert_eq!(totals.bytes, found.iter().map(|summary| summary.entry.size).sum::<u64>());
    let keys: Vec<_> = found.into_iter().map(|summary| summary.entry.key).collect();
    let entries = keys.into_iter().map(|key| (get(&store, &key).expect("there"), key)).map(|(v, k)| (k, v)).collect();
    store.close().expect("closed");
    let connection = rusqlite::Connection::open(path).expect("opened");
    let verdict: String = connection.query_row("PRAGMA integrity_check", (), |row| row.get(0)).expect("checked");
    assert_eq!(verdict, "ok");
    entries
}

/// A forked child.
pub struct Child(libc::pid_t);

impl Child {
    /// Runs `work` in a child, which ends after it; a panic is its failure.
    pub fn start(work: impl FnOnce()) -> Self {
        // SAFETY: glibc keeps its allocator whole over a fork; the child runs this closure and ends without returning.
        match unsafe { libc::fork() } {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => {
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                // SAFETY: it ends this process without running what the parent has registered for its own end.
                unsafe { libc::_exit(if result.is_ok() { 0 } else { 101 }) }
            }
            pid => Self(pid),
        }
    }

    pub fn pid(&self) -> libc::pid_t {
        self.0
    }

    fn wait_for_status(self) -> libc::c_int {
        let mut status = 0;
        loop {
            // SAFETY: the child is ours and is waited for once.
            let result = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
            if result == self.0 {
                return status;
            }
            let error = std::io::Error::last_os_error();
            assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "waitpid: {error}");
        }
    }

    /// Waits for its end, which has to be a good one.
    pub fn join(self) {
        let status = self.wait_for_status();
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the child failed: status {status:#x}");
    }

    /// Kills it where it stands.
    pub fn kill(self) {
        // SAFETY: the child is ours and has not been waited for.
        assert_eq!(unsafe { libc::kill(self.0, libc::SIGKILL) }, 0);
        let status = self.wait_for_status();
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL, "status {status:#x}");
    }
}

/// A pipe between parent and child.
pub struct Pipe {
    reader: Option<std::fs::File>,
    writer: Option<std::fs::File>,
}

impl Pipe {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for both descriptors, which are owned by the files from here on.
        unsafe {
            assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
            Self {
                reader: Some(std::fs::File::from_raw_fd(ends[0])),
                writer: Some(std::fs::File::from_raw_fd(ends[1])),
            }
        }
    }

    /// The end to read from; the other one is closed in this process.
    pub fn into_reader(mut self) -> std::fs::File {
        self.writer = None;
        self.reader.take().expect("there")
    }

    /// The end to write to; the other one is closed in this process.
    pub fn into_writer(mut self) -> std::fs::File {
        self.reader = None;
        self.writer.take().expect("there")
    }

    pub fn send(&mut self) {
        self.writer.as_mut().expect("there").write_all(b"!").expect("written");
    }

    pub fn wait(&mut self) {
        let mut byte = [0];
        self.reader.as_mut().expect("there").read_exact(&mut byte).expect("the other side sends");
    }
}
