//! Listing blobs in pages, in the order of their locators.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::beneath::{is_missing, open_beneath, refused_link};
use crate::backend::BlobInfo;
use crate::backends::locator::{BLOBS, Locator};
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// The names in the directory `path`, sorted, with a slash after the names of directories; empty if the directory does
/// not exist.
fn names_in(root: &OwnedFd, path: &str) -> Result<Vec<String>> {
    let failed = |error: Errno| Error::io(format_args!("cannot list {path}"), error.into());
    let directory = match open_beneath(root, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
        Err(Errno::LOOP) => return Err(refused_link(path)),
        Err(error) if is_missing(error) => return Ok(Vec::new()),
        opened => opened.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => FileType::from_raw_mode(found.st_mode),
                Err(_) => continue,
            },
            kind => kind,
        };
        match kind {
            FileType::Directory => names.push(format!("{name}/")),
            FileType::RegularFile => names.push(name.to_owned()),
            _ => {}
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The page of [`BlobBackend::list`](crate::backend::BlobBackend::list). Skips files that are not blobs and files that
/// are deleted meanwhile.
pub(super) fn list_page(root: &OwnedFd, after: &str, limit: usize) -> Result<Vec<BlobInfo>> {
    let mut page = Vec::new();
    let mut add = |shard: &str, name: &str| -> Result<bool> {
        let locator = Locator { shard, name }.text();
        if locator.as_str() > after && Locator::parse(&locator).is_ok() {
            match rustix::fs::statat(root, locator.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile => {
                    let micros = found.st_mtime.saturating_mul(1_000_000);
                    let modified = Timestamp(micros.saturating_add_unsigned(found.st_mtime_nsec / 1000));
                    page.push(BlobInfo { locator, size: u64::try_from(found.st_size).unwrap_or(0), modified });
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(error) => return Err(Error::io(format_args!("cannot look at {locator}"), error.into())),
            }
        }
        Ok(page.len() < limit)
    };
    for name in names_in(root, BLOBS)? {
        let Some(shard) = name.strip_suffix('/') else {
            if !add("", &name)? {
                break;
            }
            continue;
        };
        let path = format!("{BLOBS}/{shard}");
        let prefix = format!("{path}/");
        // All locators of this shard come before the page.
        if prefix.as_str() < after && !after.starts_with(&prefix) {
            continue;
        }
        for name in names_in(root, &path)? {
            if !add(shard, &name)? {
                return Ok(page);
            }
        }
    }
    Ok(page)
}
