//! The place of a store: a private, durable directory, or none.

use std::fs;
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use cacheness_core::config::BackendUrl;
use cacheness_core::{Error, ErrorKind, Result};

/// The place of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this directory.
    Directory(PathBuf),
    /// Without a directory: in memory, so that it ends with the last handle, unless the configuration chooses backends
    /// that keep their data elsewhere. The signing key is in memory too, except for entries on a server: their key is in
    /// the file `signing_key_file`, an absolute path.
    Memory,
}

/// How to open a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenMode {
    /// Created if missing; opened read-only if it cannot be written.
    #[default]
    CreateOrOpen,
    /// Must exist.
    Existing,
    /// Must exist, and is opened read-only.
    ReadOnly,
}

/// Creates the directory privately, or checks that it exists.
pub(crate) fn prepare_directory(root: &Path, access: OpenMode) -> Result<()> {
    match fs::metadata(root) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(Error::new(ErrorKind::NotAStore, format!("{} is not a directory", root.display()))
            .with_hint("give the path of an existing or a new directory")),
        Err(error) if error.kind() == IoKind::NotFound && access == OpenMode::CreateOrOpen => {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(root).map_err(|e| Error::io(format_args!("cannot make the directory {}", root.display()), e))
        }
        Err(error) if error.kind() == IoKind::NotFound => {
            Err(Error::new(ErrorKind::NotAStore, format!("there is no directory {}", root.display())))
        }
        Err(error) if error.kind() == IoKind::NotADirectory => {
            Err(Error::new(ErrorKind::NotAStore, format!("{} lies below a file", root.display())).with_source(error))
        }
        Err(error) => Err(Error::io(format_args!("cannot open {}", root.display()), error)),
    }
}

/// Refuses paths that the user means differently: they would create directories with strange names.
pub(crate) fn refuse_other_places(path: &Path) -> Result<()> {
    let text = path.to_string_lossy();
    // A URL may contain a password.
    let shown = BackendUrl::from(&*text);
    let wrong =
        |what, hint: &'static str| Err(Error::new(ErrorKind::InvalidInput, format!("{shown} {what}")).with_hint(hint));
    if text.split_once("://").is_some_and(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+'))
    {
        return wrong(
            "is a URL",
            "give the path of a directory, or open the URL with open_url; in Python, with cacheness.open",
        );
    }
    if text == "~" || text.starts_with("~/") {
        return wrong("begins with ~, which only a shell knows", "give the whole path");
    }
    Ok(())
}

/// Syncs `root` and the directories above it, so that the names of their files survive a loss of power. Earlier
/// processes may have had a lower durability or been killed.
pub(crate) fn sync_upwards(root: &Path) -> Result<()> {
    for path in root.ancestors() {
        let failed = |e| Error::io(format_args!("cannot sync {}", path.display()), e);
        let directory = match fs::File::open(path) {
            Ok(directory) => directory,
            // Another user created it.
            Err(error) if path != root && error.kind() == IoKind::PermissionDenied => break,
            Err(error) => return Err(failed(error)),
        };
        match directory.sync_all() {
            Ok(()) => {}
            Err(error) => match error.kind() {
                // On some file systems directories cannot be synced, and need not be.
                IoKind::InvalidInput | IoKind::Unsupported => {}
                // The file system became read-only without a remount, which `access` does not report. Durability can no
                // longer be promised.
                IoKind::ReadOnlyFilesystem => {}
                _ => return Err(failed(error)),
            },
        }
    }
    Ok(())
}
