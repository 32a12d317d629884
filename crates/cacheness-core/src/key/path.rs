//! Contents of files and directories.
//!
//! Files are read, not mapped: if another process truncates a mapped file, reading it kills the process.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::error::{Error, ErrorKind, Result};
use crate::key::digest::Hasher;
use crate::key::varint::push_varint;
use crate::parallel;

/// The content of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// BLAKE3 of a file's bytes.
    File([u8; 32]),
    /// BLAKE3 of a directory's listing.
    Directory([u8; 32]),
}

/// Bytes to read at once.
const BLOCK: u64 = 4 << 20;

/// The BLAKE3 of a file's bytes, or of a directory's listing as `docs/formats/keys.md` describes it.
///
/// # Errors
/// The path does not exist, cannot be read, or is (or a directory contains) a special file.
pub fn hash_path(path: &Path) -> Result<[u8; 32]> {
    match hash_content(path)? {
        Some(Content::File(digest) | Content::Directory(digest)) => Ok(digest),
        None => Err(Error::io(cannot_read(path), io::Error::from(io::ErrorKind::NotFound))),
    }
}

/// The content of a path; `None` if it does not exist.
pub(crate) fn hash_content(path: &Path) -> Result<Option<Content>> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(Error::io(cannot_read(path), error)),
    };
    if metadata.is_file() {
        hash_file(path).map(|digest| Some(Content::File(digest)))
    } else if metadata.is_dir() {
        hash_directory(path).map(|digest| Some(Content::Directory(digest)))
    } else {
        Err(special(path))
    }
}

/// The path with `/` between its parts.
pub(crate) fn portable_name(path: &Path) -> Result<String> {
    let Some(name) = path.to_str() else {
        return Err(Error::new(ErrorKind::KeyEncoding, format!("the path {} is not valid Unicode", path.display()))
            .with_hint("pass the bytes of the path instead"));
    };
    Ok(if cfg!(windows) { name.replace('\\', "/") } else { name.to_owned() })
}

fn is_missing(error: &io::Error) -> bool {
    // The last one is a name with a NUL byte, which no file can have.
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput)
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

fn special(path: &Path) -> Error {
    let sentence =
        format!("{} is neither a file nor a directory, so it has no content to make a key from", path.display());
    Error::new(ErrorKind::KeyEncoding, sentence)
        .with_hint("set hash_path_content to false, or pass the path as a string")
}

fn hash_file(path: &Path) -> Result<[u8; 32]> {
    let read = || -> io::Result<[u8; 32]> {
        let mut file = File::open(path)?;
        // One byte more than the file has, so that the second read detects the end.
        let size = file.metadata()?.len().saturating_add(1).min(BLOCK);
        let mut block = vec![0; usize::try_from(size).expect("a block fits the memory")];
        let mut hasher = Hasher::new();
        loop {
            let filled = fill(&mut file, &mut block)?;
            hasher.update(&block[..filled]);
            if filled < block.len() {
                return Ok(hasher.finalize());
            }
        }
    };
    read().map_err(|error| Error::io(cannot_read(path), error))
}

/// Reads until the block is full or the file ends.
fn fill(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

enum Kind {
    File,
    Link,
    EmptyDirectory,
}

/// An entry of a directory's listing: its name relative to the directory, with `/` between the parts.
struct Listed {
    name: Vec<u8>,
    path: PathBuf,
    kind: Kind,
}

fn hash_directory(root: &Path) -> Result<[u8; 32]> {
    let mut listing = list(root)?;
    listing.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let describe = |listed: &Listed| -> Result<Vec<u8>> {
        let mut line = Vec::with_capacity(listed.name.len() + 40);
        push_varint(&mut line, listed.name.len() as u64);
        line.extend_from_slice(&listed.name);
        match listed.kind {
            Kind::File => {
                line.push(0x66);
                line.extend_from_slice(&hash_file(&listed.path)?);
            }
            Kind::Link => {
                let target =
                    fs::read_link(&listed.path).map_err(|error| Error::io(cannot_read(&listed.path), error))?;
                let target = target.as_os_str().as_encoded_bytes();
                line.push(0x6c);
                push_varint(&mut line, target.len() as u64);
                line.extend_from_slice(target);
            }
            Kind::EmptyDirectory => line.push(0x64),
        }
        Ok(line)
    };
    let lines = parallel::run(|| listing.par_iter().map(describe).collect::<Result<Vec<_>>>())?;
    let mut hasher = Hasher::new();
    for line in lines {
        hasher.update(&line);
    }
    Ok(hasher.finalize())
}

fn list(root: &Path) -> Result<Vec<Listed>> {
    let mut listing = Vec::new();
    let mut open = vec![(root.to_owned(), Vec::new())];
    while let Some((directory, prefix)) = open.pop() {
        let fail = |error| Error::io(cannot_read(&directory), error);
        let mut empty = true;
        for entry in fs::read_dir(&directory).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            empty = false;
            let mut name = prefix.clone();
            if !name.is_empty() {
                name.push(b'/');
            }
            name.extend_from_slice(entry.file_name().as_encoded_bytes());
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| Error::io(cannot_read(&path), error))?;
            if kind.is_dir() {
                open.push((path, name));
            } else if kind.is_file() {
                listing.push(Listed { name, path, kind: Kind::File });
            } else if kind.is_symlink() {
                listing.push(Listed { name, path, kind: Kind::Link });
            } else {
                return Err(special(&path));
            }
        }
        if empty && !prefix.is_empty() {
            listing.push(Listed { name: prefix, path: directory, kind: Kind::EmptyDirectory });
        }
    }
    Ok(listing)
}
