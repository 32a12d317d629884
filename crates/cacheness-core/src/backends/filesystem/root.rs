//! The descriptor of the store's directory.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::process::PerProcess;
use crate::sync::Mutex;

/// A directory that is opened when it is first needed and exists, and stays open until [`Root::close`]. A forked child
/// opens its own descriptor: the inherited lock may never be released.
pub(super) struct Root {
    path: PathBuf,
    descriptor: PerProcess<Mutex<Option<Arc<OwnedFd>>>>,
    closed: AtomicBool,
}

impl Root {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, descriptor: PerProcess::new(), closed: AtomicBool::new(false) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory, or `None` if it does not exist. Callers may keep using it after [`Root::close`].
    pub(super) fn open(&self) -> Result<Option<Arc<OwnedFd>>> {
        let mut descriptor = self.descriptor.get_or_make(Mutex::default).lock();
        if let Some(open) = &*descriptor {
            return Ok(Some(Arc::clone(open)));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(&self.path, flags, Mode::empty()) {
            Ok(opened) => {
                let opened = Arc::new(opened);
                // After closing, the remaining clean-up opens a descriptor of its own.
                if !self.closed.load(Ordering::Acquire) {
                    *descriptor = Some(Arc::clone(&opened));
                }
                Ok(Some(opened))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR) => {
                Err(Error::new(ErrorKind::NotAStore, format!("{} is not a directory", self.path.display()))
                    .with_hint("give the directory of a store, or one that does not exist yet"))
            }
            Err(error) => Err(Error::io(format_args!("cannot open {}", self.path.display()), error.into())),
        }
    }

    /// The directory, created if it does not exist.
    pub(super) fn make(&self) -> Result<Arc<OwnedFd>> {
        if let Some(directory) = self.open()? {
            return Ok(directory);
        }
        use std::os::unix::fs::DirBuilderExt;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.map_err(|e| Error::io(format_args!("cannot make the directory {}", self.path.display()), e))?;
        let gone = || Error::new(ErrorKind::Storage, format!("{} has just been removed", self.path.display()));
        self.open()?.ok_or_else(gone)
    }

    /// Closes the descriptor when its last user releases it.
    pub(super) fn close(&self) {
        // Set before locking: a thread that locks later keeps nothing open.
        self.closed.store(true, Ordering::Release);
        *self.descriptor.get_or_make(Mutex::default).lock() = None;
    }
}
