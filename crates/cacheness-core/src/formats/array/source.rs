//! Sources of a payload's bytes: memory, or ranges of a stored blob.

use std::borrow::Cow;

use super::bad;
use crate::error::Result;
use crate::payload::Stored;

/// Bytes that can be read in pieces.
pub(super) trait Source: Sync {
    /// The number of bytes.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset` on.
    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()>;

    /// `count` bytes from `offset` on. Allocates memory only after checking that they exist.
    fn bytes(&self, offset: u64, count: usize) -> Result<Cow<'_, [u8]>>;
}

fn check(size: u64, offset: u64, count: usize) -> Result<()> {
    match offset.checked_add(count as u64) {
        Some(end) if end <= size => Ok(()),
        _ => Err(bad(format_args!("{count} bytes at {offset} are beyond its end at {size}"))),
    }
}

impl Source for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        buffer.copy_from_slice(&self.bytes(offset, buffer.len())?);
        Ok(())
    }

    fn bytes(&self, offset: u64, count: usize) -> Result<Cow<'_, [u8]>> {
        check(Source::size(self), offset, count)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        self.get(start..).and_then(|rest| rest.get(..count)).map(Cow::Borrowed).ok_or_else(|| bad("it ends too early"))
    }
}

impl Source for Stored {
    fn size(&self) -> u64 {
        Stored::size(self)
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        check(Stored::size(self), offset, buffer.len())?;
        self.read_unverified(buffer, offset)
    }

    fn bytes(&self, offset: u64, count: usize) -> Result<Cow<'_, [u8]>> {
        check(Stored::size(self), offset, count)?;
        let mut buffer = vec![0; count];
        self.read_unverified(&mut buffer, offset)?;
        Ok(Cow::Owned(buffer))
    }
}
