//! Payloads of several arrays: a masked array is its data followed by its mask.

use super::source::Source;
use super::{ArrayHeader, npy};
use crate::error::{Error, ErrorKind, Result};

/// The header of the array in `part`, which it must fill completely: a `.npy` file or a Blosc2 frame.
pub fn header_of_part(part: &[u8]) -> Result<ArrayHeader> {
    Ok(parse(part)?.0)
}

/// Decodes the array in `part` into `destination`, which must have exactly its size. The caller has verified the bytes of
/// `part`.
pub fn read_part(part: &[u8], destination: &mut [u8]) -> Result<()> {
    let (header, items) = parse(part)?;
    if destination.len() != header.nbytes() {
        let why = format!("an array of {} bytes does not fit into {}", header.nbytes(), destination.len());
        return Err(Error::new(ErrorKind::InvalidInput, why));
    }
    if let Some(items) = items {
        destination.copy_from_slice(&part[items..]);
        return Ok(());
    }
    #[cfg(feature = "blosc2")]
    return super::frame::Frame::open(part)?.read_all(destination);
    #[cfg(not(feature = "blosc2"))]
    Err(super::bad("it is not a .npy file"))
}

/// The header, and where the items begin if they are not compressed.
fn parse(part: &[u8]) -> Result<(ArrayHeader, Option<usize>)> {
    if part.starts_with(npy::MAGIC) {
        let length = npy::header_length(&part[..npy::PEEK.min(part.len())])?;
        return Ok((super::npy_header(part, length, Source::size(part))?, Some(length)));
    }
    #[cfg(feature = "blosc2")]
    return Ok((super::frame::FrameHeader::parse(part, Source::size(part))?.array_header(), None));
    #[cfg(not(feature = "blosc2"))]
    Err(Error::new(ErrorKind::Unsupported, "this build cannot read Blosc2 frames")
        .with_hint("build it with the feature blosc2"))
}
