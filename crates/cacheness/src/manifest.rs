//! The manifest: the file that makes a directory a store.

use std::fs;
use std::io::{ErrorKind as IoKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use cacheness_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::place::{OpenMode, prepare_directory};
use crate::registry::metadata_by_file;

/// The version of the directory's format that this release writes, and the newest it reads.
pub const FORMAT: u32 = 1;

const MANIFEST: &str = "cacheness.toml";
/// The maximum size of a manifest in bytes.
const MAX_MANIFEST: u64 = 64 << 10;

/// The prefixes of the names of a store's files.
const OURS: &[&str] =
    &["cacheness.toml", "cache_metadata.", "cache_signing_key.bin", "blobs", "tmp", "flights.lock", "reserve", "."];
/// The number of foreign files that a message names.
const NAMED: usize = 3;

/// The file that makes a directory a store: its format and the backends in use.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    #[serde(default)]
    pub(crate) written_by: String,
    /// 32 hexadecimal digits, if data lies outside the directory; that data records the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) metadata: Recorded,
    #[serde(default)]
    pub(crate) blobs: Recorded,
}

/// A backend.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recorded {
    /// Its name.
    pub(crate) backend: String,
    /// The location of its data, if not in the directory: an absolute path, or a URL without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<String>,
}

impl Manifest {
    /// The manifest of a new store.
    pub(crate) fn new(metadata: Recorded, blobs: Recorded) -> Result<Self> {
        let elsewhere = metadata.location.is_some() || blobs.location.is_some();
        Ok(Self {
            format: FORMAT,
            written_by: env!("CARGO_PKG_VERSION").into(),
            id: elsewhere.then(new_id).transpose()?,
            metadata,
            blobs,
        })
    }
}

fn new_id() -> Result<String> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)
        .map_err(|e| Error::new(ErrorKind::Storage, format!("the system gives no random bytes: {e}")))?;
    Ok(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The description of a store in its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The version of the directory's format.
    pub format: u32,
    /// The release that made the directory.
    pub written_by: String,
    /// The metadata backend.
    pub metadata_backend: String,
    /// The blob backend.
    pub blob_backend: String,
}

/// Reads the description of the store at `path`, without opening it.
///
/// # Errors
/// - `NotAStore`: there is no store.
/// - `NewerFormat`: a newer release wrote it.
pub fn describe(path: impl AsRef<Path>) -> Result<Description> {
    let path = path.as_ref();
    prepare_directory(path, OpenMode::ReadOnly)?;
    let Manifest { format, written_by, metadata, blobs, .. } = read(path)?.ok_or_else(|| no_store(path))?;
    Ok(Description { format, written_by, metadata_backend: metadata.backend, blob_backend: blobs.backend })
}

/// Reads the manifest; `None` if there is none.
pub(crate) fn read(root: &Path) -> Result<Option<Manifest>> {
    let path = root.join(MANIFEST);
    let Some(text) = read_text(&path)? else { return Ok(None) };
    // Reads only the version first: a newer format may have changed everything else.
    #[derive(Deserialize)]
    struct Version {
        format: u32,
        #[serde(default)]
        written_by: String,
    }
    let damaged = |e: toml::de::Error| {
        Error::new(ErrorKind::NotAStore, format!("{} is damaged: {}", path.display(), e.message())).with_hint(
            "remove it and open the store again: it is made anew, and nothing is lost, unless the database is elsewhere \
             (database_url): then put it back from a copy; docs/formats/store.md says what belongs into it",
        )
    };
    let version: Version = toml::from_str(&text).map_err(damaged)?;
    if version.format > FORMAT {
        return Err(Error::new(
            ErrorKind::NewerFormat,
            format!(
                "{} has format {}, written by cacheness {}; this is cacheness {} and reads format {FORMAT}",
                root.display(),
                version.format,
                if version.written_by.is_empty() { "of a later version" } else { &version.written_by },
                env!("CARGO_PKG_VERSION"),
            ),
        )
        .with_hint(format!("upgrade cacheness to {} or later", version.written_by)));
    }
    toml::from_str(&text).map(Some).map_err(damaged)
}

/// Makes the directory a store. If another process does so first, its manifest is used.
pub(crate) fn write(root: &Path, manifest: Manifest) -> Result<Manifest> {
    let failed = |e| Error::io(format_args!("cannot make a store in {}", root.display()), e);
    let body = toml::to_string(&manifest).expect("a manifest is always valid TOML");
    let text = format!("# A cacheness store. This file says how to open it; do not edit it.\n{body}");
    let mut file = tempfile::Builder::new().prefix(".cacheness-").tempfile_in(root).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    match file.persist_noclobber(root.join(MANIFEST)) {
        Ok(_) => Ok(manifest),
        Err(error) if error.error.kind() == IoKind::AlreadyExists => read(root)?
            .ok_or_else(|| Error::new(ErrorKind::NotAStore, format!("{} was removed meanwhile", root.display()))),
        Err(error) => Err(failed(error.error)),
    }
}

/// The text of the manifest. It must be a regular file, not a link, and at most of a manifest's size; opening it never
/// blocks.
fn read_text(path: &Path) -> Result<Option<String>> {
    let failed = |e| Error::io(format_args!("cannot read {}", path.display()), e);
    let refused = |what: &str| {
        Error::new(ErrorKind::NotAStore, format!("{} is {what}", path.display()))
            .with_hint("the manifest is a small file that the store creates; remove this one if it is not yours")
    };
    let mut options = fs::OpenOptions::new();
    options.read(true);
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    options.custom_flags(flags.bits().cast_signed());
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == IoKind::NotFound => return Ok(None),
        Err(_) if path.is_symlink() => return Err(refused("a symbolic link")),
        Err(error) => return Err(failed(error)),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(refused("not a regular file"));
    }
    let mut text = String::new();
    file.take(MAX_MANIFEST + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
        IoKind::InvalidData => refused("no text"),
        _ => failed(error),
    })?;
    if text.len() as u64 > MAX_MANIFEST { Err(refused("too long")) } else { Ok(Some(text)) }
}

/// The error for a directory that should be a store and is not.
pub(crate) fn no_store(root: &Path) -> Error {
    let error = |what| Error::new(ErrorKind::NotAStore, format!("{} holds no cacheness store: {what}", root.display()));
    if metadata_by_file(root).is_some() {
        return error(format!("its file {MANIFEST} is gone"))
            .with_hint("open it without requiring an existing store: the file is created again, and nothing is lost");
    }
    let hint = format!("give the directory of a store, which contains a file {MANIFEST}");
    match Strangers::of(root) {
        Strangers { count: 0, .. } => error("it is empty".to_owned()).with_hint(hint),
        found => error(format!("it contains only {found}")).with_hint(hint),
    }
}

/// Warns if a store is created among files of other programs.
pub(crate) fn warn_of_strangers(root: &Path) {
    let found = Strangers::of(root);
    if found.count > 0 {
        log::warn!(
            "{} was no store and is not empty, there is {found} in it: a store is made beside that. Give a store a \
             directory of its own; to undo it, remove {MANIFEST}, cache_metadata.*, cache_signing_key.bin, reserve, blobs \
             and tmp there",
            root.display()
        );
    }
}

/// Files in a directory that do not belong to a store.
struct Strangers {
    names: Vec<String>,
    count: usize,
}

impl Strangers {
    fn of(root: &Path) -> Self {
        let (mut names, mut count) = (Vec::new(), 0);
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !OURS.iter().any(|ours| name.starts_with(ours)) {
                count += 1;
                if names.len() < NAMED {
                    names.push(name);
                }
            }
        }
        names.sort();
        Self { names, count }
    }
}

impl std::fmt::Display for Strangers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.names.first().map_or("", String::as_str))?;
        for name in self.names.iter().skip(1) {
            write!(f, ", {name:?}")?;
        }
        match self.count - self.names.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
