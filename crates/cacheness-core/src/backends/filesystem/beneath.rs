//! Opening files below a directory without following links.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind};

/// Whether an error means that the file does not exist. This includes a path component that is not a directory.
pub(super) fn is_missing(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR)
}

pub(super) fn refused_link(path: &str) -> Error {
    Error::new(ErrorKind::Integrity, format!("{path} is, or is below, something that the store did not create"))
        .with_hint("the store creates only files and directories, never links: another program changed its directory")
}

/// Opens `path` below `directory`. Follows no symbolic link; the result is never outside `directory`.
pub(super) fn open_beneath(
    directory: impl AsFd,
    path: &str,
    flags: OFlags,
    mode: Mode,
) -> std::result::Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(directory.as_fd(), path, flags, mode, resolve) {
        // Kernels before 5.6, and sandboxes without this call.
        Err(Errno::NOSYS | Errno::PERM) => open_by_component(directory, path, flags, mode),
        // A concurrent rename of a directory could let a path escape: the caller may retry.
        Err(Errno::AGAIN) => rustix::fs::openat2(directory.as_fd(), path, flags, mode, resolve),
        result => result,
    }
}

/// Like [`open_beneath`], one component at a time. `path` comes from a locator or this module: it has no `..`.
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
