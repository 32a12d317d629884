//! Removing files of killed processes from the temporary directory.
//!
//! The writer of a temporary file holds an advisory lock on it (`flock`), which ends with its process. A file that is
//! neither locked nor brand new has lost its writer and is removed. Directories that handlers write into have no lock
//! and are removed after a day.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};

use crate::error::{Error, Result};

/// A file this young may belong to a writer that has not locked it yet.
const YOUNG: Duration = Duration::from_secs(60);

/// The age at which a handler's directory is removed.
const HANDLER: Duration = Duration::from_secs(24 * 3600);

/// Marks a temporary file as being written. On a file system without locks it stays unmarked, and nothing is swept.
pub(super) fn mark(file: &std::fs::File) {
    if let Err(error) = rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        log::debug!("a temporary file is not locked: {error}");
    }
}

/// Removes files without a live writer from the opened directory; returns their number.
pub(super) fn sweep(directory: BorrowedFd<'_>) -> Result<u64> {
    let failed = |e: rustix::io::Errno| Error::io("cannot read tmp", e.into());
    let mut removed = 0;
    for entry in rustix::fs::Dir::read_from(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name.to_bytes() == b"." || name.to_bytes() == b".." {
            continue;
        }
        // If it vanished meanwhile, its writer has removed it.
        let Ok(found) = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let age = u64::try_from(found.st_mtime).map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s));
        let age = age.ok().and_then(|written| written.elapsed().ok()).unwrap_or_default();
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile if age > YOUNG => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let Ok(file) = rustix::fs::openat(directory, name, flags, Mode::empty()) else { continue };
                if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
                    && rustix::fs::unlinkat(directory, name, AtFlags::empty()).is_ok()
                {
                    removed += 1;
                }
            }
            FileType::Directory if age > HANDLER => {
                removed += u64::from(remove_tree(directory, name, 0).is_ok());
            }
            _ => {}
        }
    }
    Ok(removed)
}

/// The maximum depth of directories to remove; a handler creates one.
const DEPTH: usize = 32;

/// Removes the directory `name` of `parent` with all that is in it. Looks up no path twice and follows no link: nothing
/// elsewhere is touched, even if the directory is replaced meanwhile.
fn remove_tree(parent: BorrowedFd<'_>, name: &CStr, depth: usize) -> rustix::io::Result<()> {
    if depth == DEPTH {
        return Err(rustix::io::Errno::LOOP);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let entry = entry?;
        let inner = entry.file_name();
        if inner == c"." || inner == c".." {
            continue;
        }
        let found = rustix::fs::statat(&directory, inner, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            remove_tree(directory.as_fd(), inner, depth + 1)?;
        } else {
            rustix::fs::unlinkat(&directory, inner, AtFlags::empty())?;
        }
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}
