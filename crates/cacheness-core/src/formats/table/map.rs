//! Memory mapping of payload files.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

/// Maps a whole file for reading.
pub(super) fn read_only(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: the store writes a blob once, under a name of its own, and never changes it afterwards; deleting it
    // leaves the mapped pages alive. Whoever changes a blob in place from outside breaks what `mmap` promises, which is
    // documented where callers ask for it.
    unsafe { memmap2::Mmap::map(file) }
}
