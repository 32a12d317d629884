//! Memory mapping of payload files.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

/// Maps a whole file for reading.
pub(super) fn read_only(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: the store writes a blob once, under a unique name, and never changes it afterwards; deleting it leaves the
    // mapped pages alive. The documentation of the callers forbids changing a blob in place from outside, which would
    // violate the contract of `mmap`.
    unsafe { memmap2::Mmap::map(file) }
}
