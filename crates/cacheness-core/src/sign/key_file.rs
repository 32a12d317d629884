//! The file of the signing keys, which is read and replaced as a whole.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{KEY_SIZE, Key};
use crate::error::{Error, ErrorKind, Result};

/// The maximum number of keys in the file: more than one only during a rotation, or after an unfinished one.
pub(super) const MOST: usize = 64;

/// Options to open the file at `path` so that a link or a pipe in its place does no harm.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // Without NONBLOCK, opening a pipe would block.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    options.custom_flags(i32::try_from(flags.bits()).expect("flags of open(2)")).mode(0o600);
    options
}

/// The keys in the file; `None` if it does not exist.
pub(super) fn read(path: &Path) -> Result<Option<Vec<Key>>> {
    let shown = path.display();
    let mut file = match options().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(format_args!("cannot read the signing key {shown}"), error)),
    };
    let found = file.metadata().map_err(|e| Error::io(format_args!("cannot inspect the signing key {shown}"), e))?;
    if !found.is_file() {
        return Err(Error::new(ErrorKind::Storage, format!("the signing key {shown} is not a regular file"))
            .with_hint("remove it, and restore the right file"));
    }
    let mut bytes = Vec::with_capacity(2 * KEY_SIZE);
    let limit = (MOST * KEY_SIZE) as u64;
    (&mut file)
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io(format_args!("cannot read the signing key {shown}"), e))?;
    if bytes.is_empty() || bytes.len() % KEY_SIZE != 0 || bytes.len() as u64 > limit {
        return Err(Error::new(
            ErrorKind::Signature,
            format!("the signing key {shown} has {} bytes, not {KEY_SIZE} for each of 1 to {MOST} keys", bytes.len()),
        )
        .with_hint(
            "put the right file back from a copy; if it is lost, remove what is left of it: the entries that were signed \
             with it are lost then, a cache misses them, a store refuses them, and a new key is made",
        ));
    }
    let keys = bytes.chunks_exact(KEY_SIZE).map(|key| Key::new(key.try_into().expect("chunks have the key's size")));
    Ok(Some(keys.collect()))
}

/// Warns if others can read the keys.
pub(super) fn warn_if_readable_by_others(path: &Path) {
    if path.symlink_metadata().is_ok_and(|m| m.mode() & 0o077 != 0) {
        log::warn!("other users can read the signing key {}: chmod 600 it", path.display());
    }
}

#[derive(PartialEq)]
pub(super) enum Overwrite {
    Yes,
    No,
}

/// Writes the file atomically: it exists completely or not at all. With [`Overwrite::No`] an existing file stays.
pub(super) fn write(path: &Path, keys: &[Key], overwrite: Overwrite) -> Result<()> {
    let failed = |e| Error::io(format_args!("cannot write the signing key {}", path.display()), e);
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".signing-key-").tempfile_in(directory).map_err(failed)?;
    for key in keys {
        file.write_all(&key.bytes).map_err(failed)?;
    }
    file.as_file().sync_all().map_err(failed)?;
    let done = if overwrite == Overwrite::Yes { file.persist(path) } else { file.persist_noclobber(path) };
    match done {
        // For any durability of the store: without the key, the signed entries are worthless.
        Ok(_) => File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error.error)),
    }
}

/// An exclusive lock for replacing the keys; released on drop.
#[derive(Debug)]
pub(super) struct Lock(Option<File>);

impl Lock {
    /// Acquires the lock beside the key file at `path`; does nothing if the file system does not support locks.
    ///
    /// # Errors
    /// `Busy` while another rotation holds it.
    pub(super) fn take(path: &Path) -> Result<Self> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".lock");
        let beside = PathBuf::from(beside);
        let file = options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&beside)
            .map_err(|e| Error::io(format_args!("cannot open {}", beside.display()), e))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(Some(file))),
            Err(TryLockError::WouldBlock) => Err(being_rotated()),
            Err(TryLockError::Error(error)) => {
                log::warn!(
                    "{} cannot be locked ({error}): rotate the key from one process at a time",
                    beside.display()
                );
                Ok(Self(None))
            }
        }
    }
}

pub(super) fn being_rotated() -> Error {
    Error::new(ErrorKind::Busy, "the signing key is already being replaced")
        .with_hint("retry after the other rotation has ended")
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Released explicitly, because a child that was forked meanwhile has the same open file.
        if let Some(Err(error)) = self.0.as_ref().map(File::unlock) {
            log::warn!("the lock of the signing key cannot be released: {error}");
        }
    }
}
