//! The backends of this release. The only module that names concrete ones.

use std::fs;
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cacheness_core::backend::{BlobBackend, MetadataBackend};
use cacheness_core::backends::{JsonMetadata, JsonOptions, MemoryBlobs, MemoryMetadata};
#[cfg(feature = "s3")]
use cacheness_core::config::BackendOptions;
use cacheness_core::config::BackendUrl;
use cacheness_core::{Error, ErrorKind, Result};
use cacheness_sqlite::{FilesystemKind, SqliteAccess, SqliteMetadata, SqliteOptions};

use super::factory::{BackendContext, BlobFactory, MetadataFactory};
use super::files;

const DATABASE: &str = "cache_metadata.db";
const JSON_FILE: &str = "cache_metadata.json";

pub(super) fn metadata() -> [MetadataFactory; 4] {
    [
        MetadataFactory::new("sqlite", open_sqlite)
            .scheme("sqlite")
            .options(&[])
            .file(DATABASE)
            .locate(|url| text(absolute(&sqlite_path(url)?)?)),
        MetadataFactory::new("json", open_json).options(&[]).file(JSON_FILE).needs_directory(),
        MetadataFactory::new("sqlite_memory", |_| Ok(Box::new(SqliteMetadata::open_in_memory()?)))
            .options(&[])
            .in_memory(),
        MetadataFactory::new("memory", |_| Ok(Box::new(MemoryMetadata::new()))).options(&[]).in_memory(),
    ]
}

pub(super) fn blobs() -> Vec<BlobFactory> {
    vec![
        BlobFactory::new("filesystem", files::open)
            .scheme(files::SCHEME)
            .options(&[])
            .needs_directory()
            .locate(files::location),
        BlobFactory::new("memory", |_| Ok(Arc::new(MemoryBlobs::new()))).options(&[]).in_memory(),
        #[cfg(feature = "s3")]
        BlobFactory::new(cacheness_objects::SCHEME, open_s3)
            .scheme(cacheness_objects::SCHEME)
            .options(cacheness_objects::S3Options::NAMES)
            .remote()
            .locate(|url| Ok(cacheness_objects::S3Options::read(Some(url), &BackendOptions::default())?.location()))
            .url_of_options(cacheness_objects::S3Options::url),
    ]
}

#[cfg(feature = "s3")]
fn open_s3(context: &BackendContext<'_>) -> Result<Arc<dyn BlobBackend>> {
    let options = cacheness_objects::S3Options::read(context.url, context.options)?;
    let blobs = cacheness_objects::S3Blobs::new(options, context.shard_chars)?;
    let Some(id) = context.store_id else { return Ok(Arc::new(blobs)) };
    let blobs = blobs.of_store(id);
    if context.creating {
        blobs.claim()?;
    }
    Ok(Arc::new(blobs))
}

fn open_sqlite(context: &BackendContext<'_>) -> Result<Box<dyn MetadataBackend>> {
    let path = match (context.url, context.directory) {
        (None, None) => return Ok(Box::new(SqliteMetadata::open_in_memory()?)),
        (Some(_), None) => {
            return Err(Error::new(ErrorKind::InvalidInput, "database_url is given, and the store has no directory")
                .with_hint("give the store a directory, or leave database_url out"));
        }
        (None, Some(root)) => {
            refuse_lost(root)?;
            root.join(DATABASE)
        }
        (Some(url), Some(_)) => {
            let path = absolute(&sqlite_path(url)?)?;
            match (context.creating, path.exists()) {
                (true, true) => {
                    let what = format!("database_url: {} is there already", path.display());
                    return Err(Error::new(ErrorKind::NotAStore, what)
                        .with_hint("a database belongs to one store: give the path of a new one, or leave it out"));
                }
                (false, false) => {
                    let what = format!("the database {} is gone", path.display());
                    return Err(Error::new(ErrorKind::Integrity, what).with_hint(
                        "put it back; to begin with an empty store, remove cacheness.toml and the directory blobs: all entries \
                         are lost then",
                    ));
                }
                _ => path,
            }
        }
    };
    let access = match (context.read_only, context.creating) {
        (true, _) => SqliteAccess::ReadOnly,
        (false, true) => SqliteAccess::ReadWrite,
        (false, false) => SqliteAccess::Auto,
    };
    let metadata = SqliteMetadata::open(SqliteOptions::new(path).durability(context.durability).access(access))?;
    if let Some(id) = context.store_id.filter(|_| context.url.is_some()) {
        metadata.claim(id)?;
    }
    Ok(Box::new(metadata))
}

/// The path in `database_url`, which is a path or a URL of SQLite.
fn sqlite_path(url: &BackendUrl) -> Result<PathBuf> {
    let wrong = |hint: &'static str| {
        Err(Error::new(ErrorKind::InvalidInput, format!("database_url is {url:?}")).with_hint(hint))
    };
    let path = match url.as_str().strip_prefix("sqlite://") {
        Some(path) => path.strip_prefix('/').unwrap_or(path),
        None => url.as_str(),
    };
    match path {
        "" => wrong("give the path of a file, or sqlite:///path"),
        ":memory:" => wrong("use metadata_backend = \"sqlite_memory\" for one in memory"),
        path if path.contains('\0') => wrong("give the path of a file, or sqlite:///path"),
        path => Ok(path.into()),
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io(format_args!("cannot use {}", path.display()), e))
}

/// The form of the path in a manifest.
fn text(path: PathBuf) -> Result<String> {
    path.into_os_string().into_string().map_err(|path| {
        let what = format!("database_url: {} is no valid UTF-8", path.display());
        Error::new(ErrorKind::InvalidInput, what).with_hint("the directory cannot record the path: choose another one")
    })
}

/// Refuses a database that was emptied or removed: SQLite would create a new one, and the existing payloads would
/// silently be lost. A new store has no payloads.
fn refuse_lost(root: &Path) -> Result<()> {
    let database = root.join(DATABASE);
    let has_log = || fs::metadata(root.join(format!("{DATABASE}-wal"))).is_ok_and(|found| found.len() > 0);
    let lost = match fs::metadata(&database) {
        Ok(found) if found.len() == 0 && !has_log() => "is empty",
        Err(error) if error.kind() == IoKind::NotFound => "is gone",
        // Opening reports any other damage.
        _ => return Ok(()),
    };
    if !has_files(&root.join("blobs"), 2) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Integrity, format!("{} {lost}, but there are payloads", database.display())).with_hint(
        "put the database back from a copy; to begin with an empty store, remove it, the files beside it whose names begin \
         with its own, and the directory blobs: all entries are lost then",
    ))
}

/// Whether there is a file in the directory or up to `levels - 1` levels below it.
fn has_files(directory: &Path, levels: u8) -> bool {
    let Ok(found) = fs::read_dir(directory) else { return false };
    found.flatten().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => levels > 1 && has_files(&entry.path(), levels - 1),
        Ok(kind) => kind.is_file(),
        Err(_) => false,
    })
}

fn open_json(context: &BackendContext<'_>) -> Result<Box<dyn MetadataBackend>> {
    let root = directory(context)?;
    if let FilesystemKind::Network(kind) = FilesystemKind::of(root) {
        log::warn!(
            "{} is on a network file system ({kind}): a JSON store is safe there for one machine only",
            root.display()
        );
    }
    let options =
        JsonOptions { durability: context.durability, read_only: context.read_only, ..JsonOptions::default() };
    Ok(Box::new(JsonMetadata::open(root.join(JSON_FILE), options)?))
}

pub(super) fn directory<'a>(context: &BackendContext<'a>) -> Result<&'a Path> {
    context.directory.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "this backend needs a directory"))
}
