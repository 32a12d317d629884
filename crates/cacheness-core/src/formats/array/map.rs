//! Arrays mapped from their stored file.
#![allow(unsafe_code)]

use std::ops::Deref;

use memmap2::{Mmap, MmapMut, MmapOptions};

use super::{ArrayHeader, open_header, within};
use crate::error::{Error, Result};
use crate::payload::Stored;

/// The access mode of a mapped array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapMode {
    /// Only reading.
    Read,
    /// Writing, into private copies of the written pages; the file stays unchanged.
    CopyOnWrite,
}

enum Mapping {
    Read(Mmap),
    CopyOnWrite(MmapMut),
}

/// A `.npy` file in memory.
///
/// The mapping outlives the entry: a file that is replaced or deleted stays mapped. If the file is truncated from outside,
/// reading behind its new end kills the process.
pub struct MappedArray {
    header: ArrayHeader,
    offset: usize,
    mapping: Mapping,
}

impl MappedArray {
    /// What the array is.
    #[must_use]
    pub fn header(&self) -> &ArrayHeader {
        &self.header
    }

    /// Offset of the items in the file: a multiple of 64 in files that cacheness writes.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The items.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.file()[self.offset..]
    }

    /// The items, writable; `None` unless the array was mapped with [`MapMode::CopyOnWrite`].
    pub fn data_mut(&mut self) -> Option<&mut [u8]> {
        match &mut self.mapping {
            Mapping::Read(_) => None,
            Mapping::CopyOnWrite(map) => Some(&mut map[self.offset..]),
        }
    }

    /// The bytes of the whole file.
    fn file(&self) -> &[u8] {
        match &self.mapping {
            Mapping::Read(map) => map.deref(),
            Mapping::CopyOnWrite(map) => map.deref(),
        }
    }
}

/// Maps a stored array, if it is a `.npy` file on this machine. Reads and verifies the payload first, unless the entry was
/// opened without verification.
///
/// `Ok(None)` if the array is compressed, is stored inside the entry or is not a local file.
pub fn map_npy(stored: &Stored, mode: MapMode) -> Result<Option<MappedArray>> {
    if stored.format().storage_format != "npy" {
        return Ok(None);
    }
    let Some(file) = stored.verified_file()? else {
        return Ok(None);
    };
    let (header, kind) = open_header(stored)?;
    let read = || -> Result<Option<MappedArray>> {
        let Some(start) = kind.prefix() else { return Ok(None) };
        let size = header.nbytes() + start.len();
        let mut options = MmapOptions::new();
        options.len(size);
        let mapped = match mode {
            // SAFETY: the store never changes a blob in place: a replacement gets a new name. The documentation forbids
            // changing the file from outside.
            MapMode::Read => unsafe { options.map(file) }.map(Mapping::Read),
            // SAFETY: as above.
            MapMode::CopyOnWrite => unsafe { options.map_copy(file) }.map(Mapping::CopyOnWrite),
        };
        let mapping = mapped.map_err(|e| Error::io("cannot map its file into memory", e))?;
        Ok(Some(MappedArray { header, offset: start.len(), mapping }))
    };
    read().map_err(|error| within(stored, error))
}
