//! Reserved disk space, released when the disk is full: removing an entry needs some space too.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The file's name in the store's directory.
const NAME: &str = "reserve";

/// The reserved bytes: enough for the index of a log and for removing a few entries from a database of some gigabytes.
const BYTES: u64 = 512 << 10;

/// The file that reserves space for a store.
#[derive(Clone, Debug)]
pub struct Reserve {
    path: PathBuf,
}

impl Reserve {
    /// The reserve of the store in `directory`; allocates nothing yet.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join(NAME) }
    }

    /// Reserves space unless that is done. On a full file system, or one that cannot allocate, there is no reserve.
    pub fn fill(&self) {
        match self.create() {
            Ok(file) => {
                if let Err(error) = set_aside(&file) {
                    log::debug!("cannot reserve space in {}: {error}", self.path.display());
                    self.give_up();
                }
            }
            // A process killed between the two steps left it empty: the next one creates it again.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if self.path.symlink_metadata().is_ok_and(|found| found.len() < BYTES) {
                    self.give_up();
                }
            }
            Err(error) => log::debug!("cannot reserve space in {}: {error}", self.path.display()),
        }
    }

    /// Releases the space; returns whether there was any.
    pub fn give_up(&self) -> bool {
        std::fs::remove_file(&self.path).is_ok()
    }

    /// Creates a new file, and never writes to an existing one.
    fn create(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path)
    }
}

fn set_aside(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, BYTES)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_set_aside_and_given_up() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().expect("a directory");
        let (reserve, path) = (Reserve::new(dir.path()), dir.path().join(NAME));
        assert!(!reserve.give_up());
        reserve.fill();
        let found = path.symlink_metadata().expect("there");
        assert_eq!((found.len(), found.mode() & 0o777), (BYTES, 0o600));
        assert!(found.blocks() * 512 >= BYTES);
        reserve.fill();
        assert_eq!(path.symlink_metadata().expect("there").ino(), found.ino(), "it is left alone");
        assert!(reserve.give_up() && !path.exists());
        File::create(&path).expect("an interrupted one");
        reserve.fill();
        reserve.fill();
        assert_eq!(path.symlink_metadata().expect("there").len(), BYTES);
    }

    #[test]
    fn what_somebody_else_put_there_is_not_written_to() {
        let dir = tempfile::tempdir().expect("a directory");
        let (reserve, path) = (Reserve::new(dir.path()), dir.path().join(NAME));
        let elsewhere = dir.path().join("elsewhere");
        for link in [
            |from: &Path, to: &Path| std::os::unix::fs::symlink(from, to),
            |from: &Path, to: &Path| std::fs::hard_link(from, to),
        ] {
            std::fs::write(&elsewhere, "abc").expect("written");
            link(&elsewhere, &path).expect("linked");
            reserve.fill();
            assert_eq!(std::fs::read(&elsewhere).expect("read"), b"abc");
            reserve.give_up();
            assert_eq!(std::fs::read(&elsewhere).expect("read"), b"abc");
        }
    }
}
