//! The manifest: the file that makes a directory a store.

use std::fs;
use std::io::{ErrorKind as IoKind, Read, Write};
use std::path::Path;

use cacheness_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::{DATABASE, JSON_FILE};
use crate::database::Database;

/// The version of the directory's format that this release writes, and the newest it reads.
pub const FORMAT: u32 = 1;

const MANIFEST: &str = "cacheness.toml";
/// Bytes of a manifest at most.
const MAX_MANIFEST: u64 = 64 << 10;

/// What the names of a store's files begin with.
const OURS: &[&str] =
    &["cacheness.toml", "cache_metadata.", "cache_signing_key.bin", "blobs", "tmp", "flights.lock", "reserve", "."];
/// So many of other files are named.
const NAMED: usize = 3;

/// The file that makes a directory a store: its format and the backends in use.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    #[serde(default)]
    pub(super) written_by: String,
    #[serde(default)]
    pub(super) metadata: Backend,
    #[serde(default)]
    pub(super) blobs: Backend,
    /// Where the database is, if not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) database: Option<Database>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Backend {
    pub(super) backend: String,
}

/// Reads the manifest; `None` where there is none.
pub(super) fn read(root: &Path) -> Result<Option<Manifest>> {
    let path = root.join(MANIFEST);
    let Some(text) = read_text(&path)? else { return Ok(None) };
    // The version is read by itself first: a newer format may have changed everything else.
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

/// Makes the directory a store, unless another process has been faster.
pub(super) fn write(root: &Path, metadata: &str, database: Option<Database>) -> Result<Manifest> {
    let manifest = Manifest {
        format: FORMAT,
        written_by: env!("CARGO_PKG_VERSION").into(),
        metadata: Backend { backend: metadata.into() },
        blobs: Backend { backend: "filesystem".into() },
        database,
    };
    let failed = |e| Error::io(format_args!("cannot make a store in {}", root.display()), e);
    let body = toml::to_string(&manifest).expect("a manifest is always valid TOML");
    let text = format!("# A cacheness store. This file says how to open it; do not edit it.\n{body}");
    let mut file = tempfile::Builder::new().prefix(".cacheness-").tempfile_in(root).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    match file.persist_noclobber(root.join(MANIFEST)) {
        Ok(_) => Ok(manifest),
        // Another process was faster: what it wrote counts.
        Err(error) if error.error.kind() == IoKind::AlreadyExists => read(root)?
            .ok_or_else(|| Error::new(ErrorKind::NotAStore, format!("{} was removed meanwhile", root.display()))),
        Err(error) => Err(failed(error.error)),
    }
}

/// The backend of a directory whose manifest was removed, where its file says which it was.
pub(super) fn backend_by_file(root: &Path) -> Option<&'static str> {
    [("sqlite", DATABASE), ("json", JSON_FILE)]
        .into_iter()
        .find_map(|(name, file)| root.join(file).is_file().then_some(name))
}

/// The manifest's text: of a regular file that is no link and no longer than a manifest can be, which is not waited for.
fn read_text(path: &Path) -> Result<Option<String>> {
    let failed = |e| Error::io(format_args!("cannot read {}", path.display()), e);
    let refused = |what: &str| {
        Error::new(ErrorKind::NotAStore, format!("{} is {what}", path.display()))
            .with_hint("the manifest is a small file that the store makes; remove what is there if you did not put it")
    };
    let mut options = fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == IoKind::NotFound => return Ok(None),
        Err(_) if path.is_symlink() => return Err(refused("a symbolic link")),
        Err(error) => return Err(failed(error)),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(refused("no regular file"));
    }
    let mut text = String::new();
    file.take(MAX_MANIFEST + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
        IoKind::InvalidData => refused("no text"),
        _ => failed(error),
    })?;
    if text.len() as u64 > MAX_MANIFEST { Err(refused("too long")) } else { Ok(Some(text)) }
}

/// The error of a directory that is no store, and has to be one.
pub(super) fn no_store(root: &Path) -> Error {
    let error = |what| Error::new(ErrorKind::NotAStore, format!("{} holds no cacheness store: {what}", root.display()));
    if backend_by_file(root).is_some() {
        return error(format!("its file {MANIFEST} is gone"))
            .with_hint("open it as a cache or store that may be made: the file is made again, and nothing is lost");
    }
    let hint = format!("a store's directory has a file {MANIFEST} in it: give that directory");
    match Strangers::of(root) {
        Strangers { count: 0, .. } => error("it is empty".to_owned()).with_hint(hint),
        found => error(format!("there is only {found} in it")).with_hint(hint),
    }
}

/// Says so where a store is made among files of somebody else.
pub(super) fn warn_of_strangers(root: &Path) {
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

/// Files in a directory that are none of a store's.
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
