//! Compressed payloads: frames of Zstandard, LZ4 and gzip.

use cacheness_core::ErrorKind;
use cacheness_core::config::Codec;
use cacheness_core::formats::compress::decompress;

pub(crate) fn run(bytes: &[u8]) {
    let Some((&codec, bytes)) = bytes.split_first() else { return };
    let codec = [Codec::Zstd, Codec::Lz4, Codec::Gzip, Codec::None][usize::from(codec % 4)];
    match decompress(codec, bytes, super::MUCH as u64) {
        Ok(content) => assert!(content.len() <= super::MUCH, "the limit holds"),
        Err(error) => super::refused(&error, &[ErrorKind::Compression]),
    }
}
