//! Extracted metadata in files: one JSON file for each database.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind as IoKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cacheness_core::clock::{Clock, Timestamp};
use cacheness_core::{Error, ErrorKind, Result};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// Distinguishes a file from the JSON of other programs.
const APPLICATION: &str = "cacheness-catalog";
/// The version that this release writes, and the only one it reads.
const FORMAT: u64 = 1;
/// The maximum size of a file in bytes: metadata of some 100,000 tables.
const MAX_SIZE: u64 = 512 << 20;
/// How far in the future a timestamp may be, because clocks differ.
const SKEW_MICROS: i64 = 2_000_000;

/// Keeps metadata of databases.
///
/// A file is `<64 hexadecimal digits>.json`, written whole and moved into place. Files that are torn, of other programs or of
/// other versions are misses, and stay where they are. Directories have the mode 0700, files 0600. Nothing is created before
/// the first [`MetadataCache::set`].
#[derive(Clone, Debug)]
pub struct MetadataCache {
    directory: PathBuf,
    ttl: Option<Duration>,
    clock: Clock,
}

/// The content of a file.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    application: &'a str,
    format: u64,
    /// ISO 8601 in UTC, for people.
    timestamp: String,
    /// Microseconds since 1970.
    timestamp_micros: i64,
    #[serde(borrow)]
    metadata: &'a RawValue,
}

impl MetadataCache {
    /// The cache in `directory`. An entry is valid for `ttl`: `None` means that it never expires, zero that it always does.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, ttl: Option<Duration>) -> Self {
        Self { directory: directory.into(), ttl, clock: Clock::system() }
    }

    /// Uses another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The metadata under `key` as JSON text, if it is there and valid.
    ///
    /// # Errors
    /// `InvalidInput`: `key` is none of [`Details::cache_key`](crate::Details::cache_key). `Denied`, `Storage`: the file
    /// cannot be read.
    pub fn get_text(&self, key: &str) -> Result<Option<String>> {
        Ok(self.find(key)?.filter(|(at, _)| self.is_fresh(*at)).map(|(_, text)| text))
    }

    /// [`MetadataCache::get_text`], parsed.
    ///
    /// # Errors
    /// Those of [`MetadataCache::get_text`].
    pub fn get(&self, key: &str) -> Result<Option<Value>> {
        // It has been parsed once: it is valid.
        Ok(self.get_text(key)?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// When the metadata under `key` was stored, whether it is still valid or not; `None` if there is none.
    ///
    /// # Errors
    /// Those of [`MetadataCache::get_text`].
    pub fn stored_at(&self, key: &str) -> Result<Option<Timestamp>> {
        Ok(self.find(key)?.map(|(at, _)| at))
    }

    /// Whether [`MetadataCache::get_text`] finds something.
    ///
    /// # Errors
    /// Those of [`MetadataCache::get_text`].
    pub fn is_valid(&self, key: &str) -> Result<bool> {
        Ok(self.get_text(key)?.is_some())
    }

    /// Stores metadata under `key`, replacing what is there.
    ///
    /// # Errors
    /// `InvalidInput`: `key` is none. `Storage`, `Denied`, `ReadOnly`: the file cannot be written; the former one stays.
    pub fn set(&self, key: &str, metadata: &Value) -> Result<()> {
        self.set_text(key, &metadata.to_string())
    }

    /// [`MetadataCache::set`] of JSON text.
    ///
    /// # Errors
    /// Those of [`MetadataCache::set`]; `InvalidInput` also if it is no JSON, or larger than 512 MiB.
    pub fn set_text(&self, key: &str, metadata: &str) -> Result<()> {
        let path = self.path(key)?;
        let metadata: &RawValue = serde_json::from_str(metadata)
            .map_err(|error| Error::new(ErrorKind::InvalidInput, format!("the metadata is no JSON: {error}")))?;
        let now = self.clock.now();
        let kept = Kept {
            application: APPLICATION,
            format: FORMAT,
            timestamp: now.to_iso(),
            timestamp_micros: now.0,
            metadata,
        };
        let text = serde_json::to_string(&kept).expect("its parts are valid JSON");
        if text.len() as u64 > MAX_SIZE {
            return Err(Error::new(ErrorKind::InvalidInput, format!("the metadata has {} bytes", text.len()))
                .with_hint("extract fewer tables: the limit is 512 MiB"));
        }
        let failed = |e| Error::io(format_args!("cannot write {}", path.display()), e);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).map_err(failed)?;
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.directory).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// Removes the metadata under `key`; `false` if there is none.
    ///
    /// # Errors
    /// `InvalidInput`: `key` is none. `Storage`, `Denied`: the file cannot be removed. A file of another program stays.
    pub fn invalidate(&self, key: &str) -> Result<bool> {
        let path = self.path(key)?;
        Ok(is_ours(&path) && remove(&path)?)
    }

    /// Removes all metadata; returns the number of files removed. Files of other programs stay.
    ///
    /// # Errors
    /// `Storage`, `Denied`: the directory cannot be listed, or a file cannot be removed.
    pub fn clear_all(&self) -> Result<u64> {
        let failed = |e| Error::io(format_args!("cannot list {}", self.directory.display()), e);
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if is_missing(&error) => return Ok(0),
            Err(error) => return Err(failed(error)),
        };
        let mut removed = 0;
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(".new-") && is_old(&path) {
                // A writer was killed.
                remove(&path)?;
            } else if name.strip_suffix(".json").is_some_and(is_key) && is_ours(&path) && remove(&path)? {
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        if is_key(key) {
            return Ok(self.directory.join(format!("{key}.json")));
        }
        Err(Error::new(ErrorKind::InvalidInput, format!("{key:?} is no key of a cache"))
            .with_hint("make it by generate_cache_key(db_type=…, db_creds=…): 64 hexadecimal digits"))
    }

    fn is_fresh(&self, at: Timestamp) -> bool {
        let age = self.clock.now().0.saturating_sub(at.0);
        let Some(ttl) = self.ttl else { return age >= -SKEW_MICROS };
        age >= -SKEW_MICROS && u128::try_from(age.max(0)).is_ok_and(|age| age < ttl.as_micros())
    }

    /// The metadata under `key` and when it was stored, if there is a file of ours.
    fn find(&self, key: &str) -> Result<Option<(Timestamp, String)>> {
        let path = self.path(key)?;
        let Some(text) = read(&path)? else { return Ok(None) };
        match serde_json::from_str::<Kept<'_>>(&text) {
            Ok(kept) if kept.application == APPLICATION && kept.format == FORMAT => {
                Ok(Some((Timestamp(kept.timestamp_micros), kept.metadata.get().to_owned())))
            }
            _ => {
                log::warn!("{} is no metadata of this release: it is left where it is, and not used", path.display());
                Ok(None)
            }
        }
    }
}

/// Whether a file is one of ours, of any version.
fn is_ours(path: &Path) -> bool {
    #[derive(Deserialize)]
    struct Header {
        application: String,
    }
    let text = read(path).ok().flatten();
    text.is_some_and(|text| serde_json::from_str::<Header>(&text).is_ok_and(|found| found.application == APPLICATION))
}

/// Whether no writer can be writing a file any more.
fn is_old(path: &Path) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|found| found.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > Duration::from_secs(3600)))
}

/// Whether this is the SHA-256 of something.
fn is_key(key: &str) -> bool {
    key.len() == 64 && key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The text of a regular file; `None` if there is none, or it cannot be one of ours. Opening it never blocks.
fn read(path: &Path) -> Result<Option<String>> {
    let failed = |e| Error::io(format_args!("cannot read {}", path.display()), e);
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file: File = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if is_missing(&error) || path.is_symlink() => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() || found.len() > MAX_SIZE {
        return Ok(None);
    }
    let mut text = String::new();
    match file.take(MAX_SIZE + 1).read_to_string(&mut text) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == IoKind::InvalidData => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Whether there is no such file, and cannot be one.
fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), IoKind::NotFound | IoKind::NotADirectory)
}

fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(Error::io(format_args!("cannot remove {}", path.display()), error)),
    }
}
