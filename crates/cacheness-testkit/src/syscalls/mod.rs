//! Intercepting the system calls of some work, to observe them or make them fail.
//!
//! The work runs on its own thread under a seccomp filter that asks before every call on files
//! (`SECCOMP_RET_USER_NOTIF`); the starting thread answers. This catches every caller: the standard library, SQLite,
//! and rustix, which bypasses the C library. The kernel executes the real calls; nothing is interposed, compiled or
//! simulated in between.
//!
//! Both threads belong to one process, so the answering thread can also perform the call itself, with other arguments:
//! half of a `write` is a short write.
//!
//! Reads and writes of mapped memory make no calls and are not seen.
#![allow(unsafe_code)]

mod filter;
mod table;

use std::ffi::CStr;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

pub use table::Kind;
use table::{Names, Place, TABLE};

/// A call waiting for its answer.
#[derive(Debug)]
pub struct Call {
    /// Its name, as in its page of the manual.
    pub name: &'static str,
    /// What the call does.
    pub kind: Kind,
    /// The file or directory of the call, by its current name.
    pub path: PathBuf,
    /// The target of `rename` and `link`.
    pub to: Option<PathBuf>,
    number: i64,
    args: [u64; 6],
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel executes the call.
    Go,
    /// The call is skipped and fails with this `errno`.
    Fail(i32),
    /// [`Call::perform`] or [`Call::perform_half`] has made the call, with this result.
    Done(i64),
}

impl Call {
    /// The descriptor argument of a call.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        low(self.args[0])
    }

    /// The flags of an `open`.
    #[must_use]
    pub fn open_flags(&self) -> i32 {
        match self.name {
            "open" => low(self.args[1]),
            // `struct open_how` begins with the flags, in 64 bits.
            // SAFETY: the caller waits for the answer, and its struct with it.
            "openat2" => low(unsafe { (self.args[2] as *const u64).read_unaligned() }),
            _ => low(self.args[2]),
        }
    }

    /// The bytes of a `write` or `pwrite64`, and their offset: `None` is the current position in the file.
    #[must_use]
    pub fn written(&self) -> Option<(Vec<u8>, Option<u64>)> {
        let length = usize::try_from(self.args[2]).ok()?;
        let bytes = || {
            // SAFETY: the caller waits for the answer, and its buffer with it.
            unsafe { std::slice::from_raw_parts(self.args[1] as *const u8, length).to_vec() }
        };
        match self.name {
            "write" => Some((bytes(), None)),
            "pwrite64" => Some((bytes(), Some(self.args[3]))),
            _ => None,
        }
    }

    /// The flags of a `renameat2`; 0 for calls without flags.
    #[must_use]
    pub fn rename_flags(&self) -> u64 {
        if self.name == "renameat2" { self.args[4] } else { 0 }
    }

    /// The descriptor of the file that `mmap` maps.
    #[must_use]
    pub fn map_descriptor(&self) -> RawFd {
        low(self.args[4])
    }

    /// Whether `mmap` creates a shared, writable map.
    #[must_use]
    pub fn maps_for_writing(&self) -> bool {
        low(self.args[2]) & libc::PROT_WRITE != 0 && low(self.args[3]) & libc::MAP_SHARED != 0
    }

    /// Whether the call releases a lock, which the kernel never refuses.
    #[must_use]
    pub fn unlocks(&self) -> bool {
        match self.name {
            "flock" => low(self.args[1]) & libc::LOCK_UN != 0,
            "fcntl" if [libc::F_SETLK, libc::F_SETLKW, libc::F_OFD_SETLK].contains(&low(self.args[1])) => {
                // SAFETY: the caller waits for the answer, and its struct with it.
                let kind = unsafe { (*(self.args[2] as *const libc::flock)).l_type };
                i32::from(kind) == libc::F_UNLCK
            }
            _ => false,
        }
    }

    /// Performs a `statfs`, and reports this type of file system.
    #[must_use]
    pub fn perform_statfs_as(&self, kind: libc::c_long) -> i64 {
        let result = self.perform();
        if result == 0 {
            // SAFETY: the caller waits for the answer in its struct, which begins with the type.
            unsafe { (self.args[1] as *mut libc::c_long).write_unaligned(kind) };
        }
        result
    }

    /// The length that `ftruncate` gives a file.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.args[1]
    }

    /// Performs the call now, unchanged.
    #[must_use]
    pub fn perform(&self) -> i64 {
        self.make(self.args)
    }

    /// Performs half of a `read` or `write`: at least one byte, and less than all if possible.
    #[must_use]
    pub fn perform_half(&self) -> i64 {
        let mut args = self.args;
        args[2] = (args[2] / 2).max(args[2].min(1));
        self.make(args)
    }

    /// The result as the kernel gives it: an error is its negative number.
    fn make(&self, args: [u64; 6]) -> i64 {
        let [a, b, c, d, e, f] = args;
        // SAFETY: it is the call of the other thread, in the same process; at most its length is reduced.
        let result = unsafe { libc::syscall(self.number, a, b, c, d, e, f) };
        if result >= 0 {
            return result;
        }
        -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    }
}

/// Arguments that are an `int` in C.
#[allow(clippy::cast_possible_truncation)]
fn low(value: u64) -> i32 {
    value as u32 as i32
}

/// The path of a descriptor of this process.
#[must_use]
pub fn path_of(descriptor: RawFd) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()
}

fn resolve(directory: u64, path: u64) -> Option<PathBuf> {
    // SAFETY: the caller waits for the answer, and its string with it.
    let text = if path == 0 { c"" } else { unsafe { CStr::from_ptr(path as *const libc::c_char) } };
    let relative = Path::new(std::ffi::OsStr::from_bytes(text.to_bytes()));
    if relative.is_absolute() {
        return Some(relative.to_owned());
    }
    let directory = match low(directory) {
        libc::AT_FDCWD => std::env::current_dir().ok()?,
        descriptor => path_of(descriptor)?,
    };
    // `fstatat` with an empty path means the descriptor itself.
    Some(if text.is_empty() { directory } else { directory.join(relative) })
}

fn understand(number: i64, args: [u64; 6]) -> Option<Call> {
    let &(_, name, kind, Names(first, second)) = TABLE.iter().find(|(known, ..)| *known == number)?;
    let find = |place| match place {
        Place::Descriptor(at) => path_of(low(args[at])),
        Place::Path(at) => resolve(libc::AT_FDCWD as u32 as u64, args[at]),
        Place::At(at) => resolve(args[at], args[at + 1]),
    };
    let path = find(first)?;
    let to = match second {
        Some(place) => Some(find(place)?),
        None => None,
    };
    Some(Call { name, kind, path, to, number, args })
}

/// Runs `work` on its own thread, and asks `judge` before every call that it and the threads it starts make on files
/// below `root`. Existing threads are not intercepted.
///
/// # Panics
/// If the kernel lacks seccomp notifications (Linux before 5.5), or if `work` panics.
pub fn supervise<T: Send>(root: &Path, mut judge: impl FnMut(&Call) -> Answer, work: impl FnOnce() -> T + Send) -> T {
    let root = root.canonicalize().expect("the directory is there");
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            sender.send(filter::install()).expect("the other thread waits");
            work()
        });
        let listener = receiver.recv().expect("the worker sends it");
        let left = listener.serve(
            |number, args| match understand(number, args) {
                Some(call)
                    if call.path.starts_with(&root) || call.to.as_ref().is_some_and(|to| to.starts_with(&root)) =>
                {
                    judge(&call)
                }
                _ => Answer::Go,
            },
            || worker.is_finished(),
        );
        // Threads that outlive the work must still get answers.
        if let Some(listener) = left {
            std::thread::spawn(move || drop(listener.serve(|_, _| Answer::Go, || false)));
        }
        match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
