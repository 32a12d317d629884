//! Opening files below a directory, whatever links are there.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind};

/// Whether an error says that there is no such file. A component that is no directory says so too.
pub(super) fn is_missing(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR)
}

pub(super) fn refused_link(path: &str) -> Error {
    Error::new(ErrorKind::Integrity, format!("{path} is, or is below, something that the store has not made"))
        .with_hint("the store makes plain files and directories and no links: somebody else has changed its directory")
}

/// Opens `path` below `directory`. No symbolic link is followed, and the result is never outside of `directory`.
pub(super) fn open_beneath(
    directory: impl AsFd,
    path: &str,
    flags: OFlags,
    mode: Mode,
) -> std::result::Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(directory.as_fd(), path, flags, mode, resolve) {
        // Kernels before 5.6, and sandboxes that do not know this call.
        Err(Errno::NOSYS | Errno::PERM) => open_by_component(directory, path, flags, mode),
        // Somebody renames directories at this moment, which may let a path escape: the caller may try again.
        Err(Errno::AGAIN) => rustix::fs::openat2(directory.as_fd(), path, flags, mode, resolve),
        result => result,
    }
}

/// As [`open_beneath`], one component at a time. `path` is a locator's or one of this module's own: it has no `..`.
pub(super) fn open_by_component(
    directory: impl AsFd,
    path: &str,
    flags: OFlags,
    mode: Mode,
) -> std::result::Result<OwnedFd, Errno> {
    let Some((parents, name)) = path.rsplit_once('/') else {
        return rustix::fs::openat(directory, path, flags, mode);
    };
    let flags_of_parent = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let parent = open_by_component(directory, parents, flags_of_parent, Mode::empty())?;
    rustix::fs::openat(parent, name, flags, mode)
}
