//! Blobs as files: in the directory of the store, or below another directory that several machines may see.
//!
//! A store deletes the blobs that none of its entries names, so a directory outside of the store's own belongs to one store.
//! The file `cacheness-store` in it has the id of that store. Entries on a server belong to no directory, and neither do
//! their blobs: then there is no such file.

use std::fs;
use std::io::{ErrorKind as IoKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cacheness_core::backend::BlobBackend;
use cacheness_core::backends::{FilesystemBlobs, FilesystemOptions};
use cacheness_core::config::BackendUrl;
use cacheness_core::{Error, ErrorKind, Result};

use super::builtin::directory;
use super::factory::BackendContext;
use crate::address::{file_path, url_of_path};

pub(super) const SCHEME: &str = "file";

/// The file with the id of the store.
const MARK: &str = "cacheness-store";
/// The file that makes a directory a store.
const MANIFEST: &str = "cacheness.toml";

/// The URL as a directory records it: that of an absolute path.
pub(super) fn location(url: &BackendUrl) -> Result<String> {
    Ok(url_of_path(&path_of(url)?.to_string_lossy()))
}

fn path_of(url: &BackendUrl) -> Result<PathBuf> {
    let wrong = |what: &str| {
        let what = format!("blob_backend: {url} {what}");
        Err(Error::new(ErrorKind::InvalidInput, what).with_hint("a URL of a directory is file:///path"))
    };
    let Some(path) = file_path(url.as_str()) else { return wrong("is no URL of a directory") };
    let path = path?;
    if !path.is_absolute() || path.to_str().is_none() {
        return wrong("has no absolute path in UTF-8");
    }
    std::path::absolute(&path).map_err(|e| Error::io(format_args!("cannot use {}", path.display()), e))
}

pub(super) fn open(context: &BackendContext<'_>) -> Result<Arc<dyn BlobBackend>> {
    let root = match context.url {
        None => directory(context)?.to_owned(),
        Some(url) => {
            let root = path_of(url)?;
            refuse_store(&root)?;
            if let Some(id) = context.store_id {
                claim(&root, id, context.creating)?;
            }
            root
        }
    };
    let options = FilesystemOptions { shard_chars: context.shard_chars, durability: context.durability };
    let blobs = FilesystemBlobs::new(root, options)?;
    if !context.read_only {
        match blobs.sweep(std::time::Duration::ZERO) {
            Ok(0) => {}
            Ok(count) => log::info!("removed {count} temporary files of processes that died"),
            Err(error) => log::warn!("cannot look for leftover temporary files: {}", error.with_causes()),
        }
    }
    Ok(Arc::new(blobs))
}

/// Refuses the directory of a store, whose blobs are its own.
fn refuse_store(root: &Path) -> Result<()> {
    if !root.join(MANIFEST).exists() {
        return Ok(());
    }
    let what = format!("blob_backend: {} is the directory of a store", root.display());
    Err(Error::new(ErrorKind::InvalidInput, what).with_hint(
        "give a directory for blobs alone, or leave blob_backend out to keep them in the store's own directory",
    ))
}

/// Records the store's id, or checks it.
///
/// # Errors
/// `NotAStore`: the directory belongs to another store, or has lost its mark.
fn claim(root: &Path, id: &str, creating: bool) -> Result<()> {
    let path = root.join(MARK);
    let failed = |e| Error::io(format_args!("cannot use the directory {}", root.display()), e);
    if creating {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed)?;
        // Complete or not there at all: a process may be killed at any time.
        let mut file = tempfile::Builder::new().prefix(".cacheness-").tempfile_in(root).map_err(failed)?;
        file.write_all(id.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        match file.persist_noclobber(&path) {
            Ok(_) => return fs::File::open(root).and_then(|root| root.sync_all()).map_err(failed),
            Err(error) if error.error.kind() == IoKind::AlreadyExists => {}
            Err(error) => return Err(failed(error.error)),
        }
    }
    match fs::read(&path) {
        Ok(found) if found == id.as_bytes() => Ok(()),
        Ok(_) => {
            Err(Error::new(ErrorKind::NotAStore, format!("the blobs in {} belong to another store", root.display()))
                .with_hint("give a directory of its own to each store"))
        }
        Err(error) if error.kind() == IoKind::NotFound => {
            Err(Error::new(ErrorKind::NotAStore, format!("{} has lost the mark of its store", root.display()))
                .with_hint(
                    "nothing is deleted there; put the file cacheness-store back, with the id of cacheness.toml in it",
                ))
        }
        Err(error) => Err(failed(error)),
    }
}
