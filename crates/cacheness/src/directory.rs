//! A store's directory: what is in it, and how it is opened. The only module that names concrete backends.
//!
//! ```text
//! <dir>/                    0700
//!   cacheness.toml          format version, backends in use
//!   cache_metadata.db       SQLite, or
//!   cache_metadata.json     one JSON file
//!   blobs/                  payloads that are too large to travel inside an entry
//!   tmp/                    blobs being written
//!   flights.lock            empty; its bytes are locked while values are computed
//!   reserve                 room that is given up to remove entries when the disk is full
//!   cache_signing_key.bin   0600
//! ```

mod manifest;

use std::fs;
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cacheness_core::backend::BlobBackend;
use cacheness_core::backend::{MetadataBackend, Page, Query};
use cacheness_core::backends::{
    FilesystemBlobs, FilesystemOptions, JsonMetadata, JsonOptions, LockFile, MemoryBlobs, MemoryMetadata, Reserve,
};
use cacheness_core::clock::Clock;
use cacheness_core::config::{Durability, StoreConfig};
use cacheness_core::sign::{SignedFields, Signer};
use cacheness_core::store::Store;
use cacheness_core::{Error, ErrorKind, Result};
use cacheness_sqlite::{FilesystemKind, SqliteAccess, SqliteMetadata, SqliteOptions};

pub use self::manifest::FORMAT;
use self::manifest::Manifest;
use crate::database::{Database, refuse_other};

const DATABASE: &str = "cache_metadata.db";
const JSON_FILE: &str = "cache_metadata.json";

/// The metadata backends of this release, by the names that configurations and directories use. Those in memory end with
/// the process, and the payloads with them: nothing is written into a directory.
pub const METADATA_BACKENDS: &[&str] = &["sqlite", "json", "sqlite_memory", "memory"];

/// Those of them that a directory can have.
const IN_DIRECTORY: &[&str] = &["sqlite", "json"];

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this directory.
    Directory(PathBuf),
    /// In memory; it ends with the last handle.
    Memory,
}

/// How a directory is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenMode {
    /// Made if it is not there; opened for reading only where writing is not possible.
    #[default]
    CreateOrOpen,
    /// Must be there.
    Existing,
    /// Must be there, and nothing is written.
    ReadOnly,
}

/// Refuses a database that has been emptied or removed: to SQLite it is a new one, and the payloads beside it would be
/// lost without a word. There are none before there is a database.
fn refuse_lost(root: &Path) -> Result<()> {
    let database = root.join(DATABASE);
    let has_log = || fs::metadata(root.join(format!("{DATABASE}-wal"))).is_ok_and(|found| found.len() > 0);
    let lost = match fs::metadata(&database) {
        Ok(found) if found.len() == 0 && !has_log() => "is empty",
        Err(error) if error.kind() == IoKind::NotFound => "is gone",
        // What is wrong with it otherwise is seen when it is opened.
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

/// Whether there is a file in the directory, or up to `levels - 1` below it.
fn has_files(directory: &Path, levels: u8) -> bool {
    let Ok(found) = fs::read_dir(directory) else { return false };
    found.flatten().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => levels > 1 && has_files(&entry.path(), levels - 1),
        Ok(kind) => kind.is_file(),
        Err(_) => false,
    })
}

/// Opens the store at `place`.
///
/// # Errors
/// - `NotAStore`: the path is no directory, or holds no store and must be there.
/// - `NewerFormat`: a newer release wrote it.
/// - `ReadOnly`: it must be made and cannot be.
/// - `InvalidInput`: the configuration names a metadata backend that does not exist, or not the one that the directory has;
///   the path is a URL, or begins with `~`.
pub fn open_store(place: &Place, config: StoreConfig, access: OpenMode, clock: Clock) -> Result<Store> {
    config.check()?;
    match (place, wanted_backend(&config)?) {
        (_, Some("memory")) | (Place::Memory, None) => open_memory(Box::new(MemoryMetadata::new()), config, clock),
        (_, Some("sqlite_memory")) | (Place::Memory, Some("sqlite")) => {
            open_memory(Box::new(SqliteMetadata::open_in_memory()?), config, clock)
        }
        (Place::Memory, Some(other)) => {
            Err(Error::new(ErrorKind::InvalidInput, format!("the metadata backend {other:?} needs a directory"))
                .with_hint("give a directory, or one of the backends memory and sqlite_memory"))
        }
        (Place::Directory(path), wanted) => open_directory(path, wanted, config, access, clock),
    }
}

/// The metadata backend that the configuration asks for.
fn wanted_backend(config: &StoreConfig) -> Result<Option<&'static str>> {
    let default = config.default_metadata_backend.as_str();
    if !IN_DIRECTORY.contains(&default) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("unknown metadata backend {default:?} as the default"),
        )
        .with_hint(format!("a directory can have {}", IN_DIRECTORY.join(" or "))));
    }
    let Some(name) = config.metadata_backend.as_deref() else { return Ok(None) };
    METADATA_BACKENDS.iter().copied().find(|known| *known == name).map(Some).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, format!("unknown metadata backend {name:?}"))
            .with_hint(format!("the metadata backends are {}", METADATA_BACKENDS.join(", ")))
    })
}

/// What a store's directory says of itself.
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

/// Reads what the directory at `path` says of itself, without opening the store.
///
/// # Errors
/// - `NotAStore`: there is no store.
/// - `NewerFormat`: a newer release wrote it.
pub fn describe(path: impl AsRef<Path>) -> Result<Description> {
    let path = path.as_ref();
    prepare_directory(path, OpenMode::ReadOnly)?;
    let Manifest { format, written_by, metadata, blobs, .. } =
        manifest::read(path)?.ok_or_else(|| manifest::no_store(path))?;
    Ok(Description { format, written_by, metadata_backend: metadata.backend, blob_backend: blobs.backend })
}

fn signed_fields(config: &StoreConfig) -> Result<SignedFields> {
    config.security.custom_signed_fields.as_deref().map_or(Ok(SignedFields::ALL), SignedFields::from_names)
}

fn open_memory(metadata: Box<dyn MetadataBackend>, config: StoreConfig, clock: Clock) -> Result<Store> {
    let fields = signed_fields(&config)?;
    let signer = config.security.enable_entry_signing.then(|| Signer::in_memory(fields)).transpose()?;
    Ok(Store::new(metadata, Arc::new(MemoryBlobs::new()), signer, config, clock))
}

fn open_directory(
    path: &Path,
    wanted: Option<&str>,
    config: StoreConfig,
    access: OpenMode,
    clock: Clock,
) -> Result<Store> {
    signed_fields(&config)?;
    refuse_other_places(path)?;
    // A path that depends on the working directory would lead elsewhere after a chdir.
    let root = std::path::absolute(path).map_err(|e| Error::io(format_args!("cannot use {}", path.display()), e))?;
    prepare_directory(&root, access)?;
    let manifest = match manifest::read(&root)? {
        Some(manifest) => manifest,
        None if access == OpenMode::CreateOrOpen => {
            manifest::warn_of_strangers(&root);
            let is_made = || manifest::read(&root).map(|manifest| manifest.is_some());
            let database = Database::create(&config, &root.join(DATABASE), is_made)?;
            let default = if database.is_some() { "sqlite" } else { &config.default_metadata_backend };
            let found = wanted.or_else(|| manifest::backend_by_file(&root));
            manifest::write(&root, found.unwrap_or(default), database)?
        }
        None => return Err(manifest::no_store(&root)),
    };
    let recorded = manifest.metadata.backend.as_str();
    if let Some(wanted) = wanted.filter(|wanted| *wanted != recorded) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{} has the metadata backend {recorded:?}, not {wanted:?}", root.display()),
        )
        .with_hint("leave the backend out, the directory says which it is; or give another directory"));
    }
    refuse_other(&config, manifest.database.as_ref(), &root.join(DATABASE))?;
    if recorded == "sqlite" && manifest.database.is_none() {
        refuse_lost(&root)?;
    }
    let read_only = access == OpenMode::ReadOnly;
    let reserve = Reserve::new(&root);
    match assemble(&root, &manifest, &config, read_only, clock.clone()) {
        // Whoever opens a store on a disk that is full wants to remove something.
        Err(error) if error.is_no_space() && !read_only => {
            let opened = if reserve.give_up() { assemble(&root, &manifest, &config, false, clock) } else { Err(error) };
            Ok(opened.map_err(want_of_space)?.with_reserve(reserve))
        }
        Ok(store) if store.is_read_only() => Ok(store),
        opened => {
            let store = opened?;
            reserve.fill();
            Ok(store.with_reserve(reserve))
        }
    }
}

/// The error of a store that cannot be opened for writing, because the disk is full and nothing has been set aside.
fn want_of_space(error: Error) -> Error {
    if !error.is_no_space() {
        return error;
    }
    error.with_hint(
        "free some space elsewhere on this file system, a megabyte is enough to open the store and to clear it; or delete \
         files below tmp in the store's directory, or below blobs, each of them the payload of one entry, which is lost",
    )
}

/// Opens the parts of the store in `root`.
fn assemble(root: &Path, manifest: &Manifest, config: &StoreConfig, read_only: bool, clock: Clock) -> Result<Store> {
    let metadata: Box<dyn MetadataBackend> = match &manifest.database {
        Some(database) => Box::new(database.open_existing(config, sqlite_access(read_only))?),
        None => open_metadata(root, &manifest.metadata.backend, config, read_only)?,
    };
    let read_only = metadata.is_read_only();
    let blobs: Arc<dyn BlobBackend> = match manifest.blobs.backend.as_str() {
        "filesystem" => {
            let options = FilesystemOptions { shard_chars: config.shard_chars, durability: config.durability };
            let blobs = FilesystemBlobs::new(root, options)?;
            if !read_only {
                match blobs.sweep(Duration::ZERO) {
                    Ok(0) => {}
                    Ok(count) => log::info!("removed {count} temporary files of processes that died"),
                    Err(error) => log::warn!("cannot look for left temporary files: {}", error.with_causes()),
                }
            }
            Arc::new(blobs)
        }
        other => return Err(unknown_backend(root, "blob", other)),
    };
    let signer = open_signer(root, config, &*metadata)?;
    if config.durability == Durability::Full && !read_only {
        sync_upwards(root)?;
    }
    let store = Store::new(metadata, blobs, signer, config.clone(), clock);
    // Where nothing can be stored, waiting for another process to do so would be in vain.
    Ok(if read_only { store } else { store.with_locks(Arc::new(LockFile::new(root))) })
}

/// Refuses what means another place to the user, and would become a directory with a strange name.
fn refuse_other_places(path: &Path) -> Result<()> {
    let text = path.to_string_lossy();
    let wrong = |what, hint: &'static str| {
        Err(Error::new(ErrorKind::InvalidInput, format!("{} {what}", path.display())).with_hint(hint))
    };
    if text.split_once("://").is_some_and(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+'))
    {
        return wrong("is a URL", "a store is in a directory: give its path");
    }
    if text == "~" || text.starts_with("~/") {
        return wrong("begins with ~, which only a shell knows", "give the whole path");
    }
    Ok(())
}

fn open_metadata(root: &Path, name: &str, config: &StoreConfig, read_only: bool) -> Result<Box<dyn MetadataBackend>> {
    match name {
        "sqlite" => {
            let options =
                SqliteOptions::new(root.join(DATABASE)).durability(config.durability).access(sqlite_access(read_only));
            Ok(Box::new(SqliteMetadata::open(options)?))
        }
        "json" => {
            if let FilesystemKind::Network(kind) = FilesystemKind::of(root) {
                log::warn!(
                    "{} is on a network file system ({kind}): a JSON store is safe there for one machine only",
                    root.display()
                );
            }
            let options = JsonOptions { durability: config.durability, read_only, ..JsonOptions::default() };
            Ok(Box::new(JsonMetadata::open(root.join(JSON_FILE), options)?))
        }
        other => Err(unknown_backend(root, "metadata", other)),
    }
}

fn sqlite_access(read_only: bool) -> SqliteAccess {
    if read_only { SqliteAccess::ReadOnly } else { SqliteAccess::Auto }
}

fn open_signer(root: &Path, config: &StoreConfig, metadata: &dyn MetadataBackend) -> Result<Option<Signer>> {
    let security = &config.security;
    if !security.enable_entry_signing {
        return Ok(None);
    }
    let fields = signed_fields(config)?;
    if security.use_in_memory_key {
        return Signer::in_memory(fields).map(Some);
    }
    let path = root.join(&security.signing_key_file);
    let found = Signer::from_existing_file(&path, fields)?;
    if found.is_none() {
        warn_of_lost_key(&path, metadata)?;
    }
    if found.is_some() || metadata.is_read_only() { Ok(found) } else { Signer::from_file(&path, fields).map(Some) }
}

/// Says so where entries have been signed and the key is gone.
fn warn_of_lost_key(path: &Path, metadata: &dyn MetadataBackend) -> Result<()> {
    let first = metadata.select(&Query::default(), &Page { limit: 1, ..Page::default() })?;
    if first.first().is_none_or(|found| found.entry.signature.is_none()) {
        return Ok(());
    }
    let (entries, path) = (metadata.totals()?.entries, path.display());
    let then = if metadata.is_read_only() {
        "nothing counts as signed, and pickles are not read"
    } else {
        "a new one is made, with which none of their signatures is right: a cache misses them, a store refuses them"
    };
    log::warn!(
        "the signing key {path} is gone, and the store has {entries} entries that were signed with it: {then}. Put the file \
         back from a copy and open the store again; if it is lost, put the values again, or clear the store"
    );
    Ok(())
}

fn unknown_backend(root: &Path, kind: &str, name: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{} uses the {kind} backend {name:?}, unknown here", root.display()))
        .with_hint("open it with the release, and the features, that wrote it")
}

fn prepare_directory(root: &Path, access: OpenMode) -> Result<()> {
    match fs::metadata(root) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(Error::new(ErrorKind::NotAStore, format!("{} is not a directory", root.display()))
            .with_hint("give the path of a directory, or of one to be made")),
        Err(error) if error.kind() == IoKind::NotFound && access == OpenMode::CreateOrOpen => {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
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

/// Makes the names of the files in `root` durable, and those of the directories that lead there, whoever has made them: a
/// process before may have had less durability to keep, or have been killed.
fn sync_upwards(root: &Path) -> Result<()> {
    for path in root.ancestors() {
        let failed = |e| Error::io(format_args!("cannot sync {}", path.display()), e);
        let directory = match fs::File::open(path) {
            Ok(directory) => directory,
            // It was not made by this user.
            Err(error) if path != root && error.kind() == IoKind::PermissionDenied => break,
            Err(error) => return Err(failed(error)),
        };
        match directory.sync_all() {
            Ok(()) => {}
            Err(error) => match error.kind() {
                // Some file systems' directories cannot be synced, and need not be.
                IoKind::InvalidInput | IoKind::Unsupported => {}
                // It has become so without being mounted so, which `access` does not say. Nothing is promised any more.
                IoKind::ReadOnlyFilesystem => {}
                _ => return Err(failed(error)),
            },
        }
    }
    Ok(())
}
