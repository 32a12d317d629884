//! Compression of whole payloads, in frames that the `zstd`, `lz4` and `gzip` command line tools open.
//!
//! Large payloads are cut into chunks, each a separate frame: frames are compressed and decompressed on all cores, and a
//! file of several frames is still one `.zst`, `.lz4` or `.gz` file. Frames of Zstandard and LZ4 state the length of their
//! content. It is checked against what the frame could hold and what the caller allows, and memory is touched only as
//! content arrives, so a small hostile payload cannot exhaust memory.

use std::borrow::Cow;
use std::io::{Read, Write};

use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use rayon::prelude::*;

use crate::config::{Codec, CompressionConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::parallel;
use crate::payload::{Buffer, Payload};

/// Bytes of content in one frame.
const CHUNK: usize = 4 << 20;

/// Payloads from this size on are sampled first.
const SAMPLED: usize = 1 << 20;

/// A sample is this many blocks of [`BLOCK`] bytes, evenly spread.
const BLOCKS: usize = 16;

/// Bytes of a block of a sample.
const BLOCK: usize = 16 << 10;

/// If a sample does not shrink below this share of its size, the payload is not compressed.
const WORTHWHILE: f64 = 0.95;

/// LZ4 cannot compress data whose bytes are merely unevenly distributed (random hexadecimal digits); Zstandard and gzip code
/// these in fewer bits. Bytes with less entropy than this, in bits, are worth the time; random floats are not.
const WORTHWHILE_ENTROPY: f64 = 7.0;

/// Compresses `bytes` with the configured codec. Returns them unchanged, with [`Codec::None`], if they are below the
/// threshold, or if a sample or the result does not compress well.
///
/// # Errors
/// [`ErrorKind::Compression`] if the codec fails, [`ErrorKind::InvalidInput`] if the codec does not have the level.
pub fn compress<'a>(bytes: Cow<'a, [u8]>, config: &CompressionConfig) -> Result<(Codec, Payload<'a>)> {
    let compressed = compress_slices(&[&bytes], config)?;
    Ok(compressed.unwrap_or((Codec::None, Payload::Bytes(bytes))))
}

/// As [`compress`], for a payload in consecutive pieces, which are never concatenated in memory.
///
/// # Errors
/// As [`compress`].
pub fn compress_segments<'a>(segments: Vec<Cow<'a, [u8]>>, config: &CompressionConfig) -> Result<(Codec, Payload<'a>)> {
    let slices: Vec<&[u8]> = segments.iter().map(|segment| &**segment).collect();
    let compressed = compress_slices(&slices, config)?;
    Ok(compressed.unwrap_or((Codec::None, Payload::Segments(segments))))
}

/// `None` if the payload does not compress well.
fn compress_slices<'a>(slices: &[&[u8]], config: &CompressionConfig) -> Result<Option<(Codec, Payload<'a>)>> {
    let codec = config.pickle_compression_codec;
    let size: usize = slices.iter().map(|slice| slice.len()).sum();
    if codec == Codec::None || size == 0 || (size as u64) < config.compression_threshold_bytes {
        return Ok(None);
    }
    check_level(codec, config.pickle_compression_level)?;
    if config.sample && size >= SAMPLED && !sample_pays(slices, size, codec) {
        return Ok(None);
    }
    let chunks = chunks(slices, CHUNK);
    let frame = |chunk: &Vec<&[u8]>| {
        let chunk = match chunk.as_slice() {
            [whole] => Cow::Borrowed(*whole),
            parts => Cow::Owned(parts.concat()),
        };
        compress_frame(codec, &chunk, config.pickle_compression_level)
    };
    let mut frames: Vec<Vec<u8>> = if config.parallel && chunks.len() > 1 {
        parallel::run(|| chunks.par_iter().map(frame).collect::<Result<_>>())?
    } else {
        chunks.iter().map(frame).collect::<Result<_>>()?
    };
    if frames.iter().map(Vec::len).sum::<usize>() >= size {
        return Ok(None);
    }
    let payload = match frames.len() {
        1 => Payload::Bytes(Cow::Owned(frames.swap_remove(0))),
        _ => Payload::Segments(frames.into_iter().map(Cow::Owned).collect()),
    };
    Ok(Some((codec, payload)))
}

/// Refuses levels that the codec does not have.
fn check_level(codec: Codec, level: i32) -> Result<()> {
    let highest = codec.highest_level();
    if (1..=highest).contains(&level) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidInput, format!("{} has no compression level {level}", codec.name()))
        .with_hint(format!("give a level from 1 to {highest}")))
}

/// The slices, in pieces of `size` bytes that may each span several slices; the last is shorter.
fn chunks<'a>(slices: &[&'a [u8]], size: usize) -> Vec<Vec<&'a [u8]>> {
    let mut chunks = Vec::new();
    let mut chunk = Vec::new();
    let mut room = size;
    for mut slice in slices.iter().copied() {
        while !slice.is_empty() {
            let (part, rest) = slice.split_at(room.min(slice.len()));
            chunk.push(part);
            slice = rest;
            room -= part.len();
            if room == 0 {
                chunks.push(std::mem::take(&mut chunk));
                room = size;
            }
        }
    }
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

/// Compresses blocks that are spread over the payload.
fn sample_pays(slices: &[&[u8]], size: usize, codec: Codec) -> bool {
    let mut sample = Vec::with_capacity(BLOCKS * BLOCK);
    let step = size / BLOCKS;
    let mut start = 0;
    // Blocks lie at the multiples of `step`; a block at the end of a slice is cut short.
    let mut next = 0;
    for slice in slices {
        while next < start + slice.len() && sample.len() < BLOCKS * BLOCK {
            let block = &slice[next - start..];
            sample.extend_from_slice(&block[..block.len().min(BLOCK)]);
            next += step;
        }
        start += slice.len();
    }
    pays(&sample, codec)
}

#[allow(clippy::cast_precision_loss)]
fn pays(sample: &[u8], codec: Codec) -> bool {
    let mut out = vec![0; lz4_flex::block::get_maximum_output_size(sample.len())];
    let shrinks = match lz4_flex::block::compress_into(sample, &mut out) {
        Ok(len) => (len as f64) < sample.len() as f64 * WORTHWHILE,
        Err(_) => true,
    };
    shrinks || (codec != Codec::Lz4 && entropy(sample) < WORTHWHILE_ENTROPY)
}

/// Bits per byte, by how often each byte occurs.
#[allow(clippy::cast_precision_loss)]
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for &byte in bytes {
        counts[usize::from(byte)] += 1;
    }
    let share = |count: u32| f64::from(count) / bytes.len() as f64;
    counts.iter().filter(|&&count| count > 0).map(|&count| -share(count) * share(count).log2()).sum()
}

fn failed(codec: Codec, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Compression, format!("{} failed to compress a payload", codec.name())).with_source(source)
}

fn compress_frame(codec: Codec, chunk: &[u8], level: i32) -> Result<Vec<u8>> {
    match codec {
        Codec::None => Ok(chunk.to_vec()),
        Codec::Zstd => zstd::bulk::compress(chunk, level).map_err(|e| failed(codec, e)),
        Codec::Lz4 => {
            let block_size = match chunk.len() {
                0..=0x1_0000 => BlockSize::Max64KB,
                0x1_0001..=0x4_0000 => BlockSize::Max256KB,
                _ => BlockSize::Max1MB,
            };
            let info = FrameInfo::new()
                .content_size(Some(chunk.len() as u64))
                .block_mode(BlockMode::Independent)
                .block_size(block_size);
            let mut encoder = FrameEncoder::with_frame_info(info, Vec::with_capacity(chunk.len() / 2 + 64));
            encoder.write_all(chunk).map_err(|e| failed(codec, e))?;
            encoder.finish().map_err(|e| failed(codec, e))
        }
        Codec::Gzip => {
            let level = flate2::Compression::new(level.unsigned_abs());
            let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(chunk.len() / 2 + 64), level);
            encoder.write_all(chunk).map_err(|e| failed(codec, e))?;
            encoder.finish().map_err(|e| failed(codec, e))
        }
    }
}

fn damaged(codec: Codec, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Compression, format!("a {} payload is damaged: {what}", codec.name()))
}

fn too_large(codec: Codec, size: u64, limit: u64) -> Error {
    Error::new(
        ErrorKind::Compression,
        format!("a {} payload claims {size} bytes of content, more than the limit of {limit}", codec.name()),
    )
}

/// Decompresses a result of [`compress`]; the content has at most `limit` bytes.
///
/// # Errors
/// [`ErrorKind::Compression`] if the payload is damaged, claims more than it can hold, or exceeds the limit.
pub fn decompress(codec: Codec, bytes: &[u8], limit: u64) -> Result<Buffer> {
    match codec {
        Codec::None if bytes.len() as u64 > limit => Err(too_large(codec, bytes.len() as u64, limit)),
        Codec::None => {
            let mut buffer = Buffer::zeroed(bytes.len())?;
            buffer.as_mut_slice().copy_from_slice(bytes);
            Ok(buffer)
        }
        Codec::Gzip => gunzip(bytes, limit),
        Codec::Zstd | Codec::Lz4 => {
            let frames = split_frames(codec, bytes)?;
            let total = frames.iter().try_fold(0_u64, |total, frame| total.checked_add(frame.size));
            let total = total.unwrap_or(u64::MAX);
            if total > limit {
                return Err(too_large(codec, total, limit));
            }
            let total = usize::try_from(total).map_err(|_| too_large(codec, total, usize::MAX as u64))?;
            // Large allocations are zero pages that use no memory until they are written.
            let mut buffer = Buffer::zeroed(total)?;
            let mut rest = buffer.as_mut_slice();
            let mut work = Vec::with_capacity(frames.len());
            for frame in frames {
                let size = usize::try_from(frame.size).map_err(|_| damaged(codec, "a frame is too large"))?;
                let (content, others) = rest.split_at_mut(size);
                work.push((frame.bytes, content));
                rest = others;
            }
            match work.as_mut_slice() {
                [(frame, content)] => decompress_frame(codec, frame, content)?,
                _ => parallel::run(|| {
                    work.into_par_iter().try_for_each(|(frame, content)| decompress_frame(codec, frame, content))
                })?,
            }
            Ok(buffer)
        }
    }
}

/// A frame and the number of bytes of content it claims.
struct Frame<'a> {
    bytes: &'a [u8],
    size: u64,
}

fn split_frames(codec: Codec, mut bytes: &[u8]) -> Result<Vec<Frame<'_>>> {
    let mut frames = Vec::new();
    loop {
        let (len, size) = if codec == Codec::Zstd { zstd_frame(bytes)? } else { lz4_frame(bytes)? };
        // A block of at most 128 KiB (Zstandard) takes at least four bytes; one byte of LZ4 encodes at most 255.
        let holds = match codec {
            Codec::Zstd => (len as u64 / 4 + 1).saturating_mul(128 << 10),
            _ => (len as u64).saturating_mul(255),
        };
        if size > holds {
            return Err(damaged(codec, format_args!("a frame of {len} bytes claims {size} bytes of content")));
        }
        let (frame, rest) = bytes.split_at(len);
        frames.push(Frame { bytes: frame, size });
        if rest.is_empty() {
            return Ok(frames);
        }
        bytes = rest;
    }
}

/// Length and content size of the Zstandard frame that `bytes` start with.
fn zstd_frame(bytes: &[u8]) -> Result<(usize, u64)> {
    let damaged = |what: &str| damaged(Codec::Zstd, what);
    // Skippable frames and those of Zstandard before 0.8 are not written here.
    if !bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Err(damaged("it does not start with a frame"));
    }
    let len = zstd::zstd_safe::find_frame_compressed_size(bytes)
        .map_err(|code| damaged(zstd::zstd_safe::get_error_name(code)))?;
    match zstd::zstd_safe::get_frame_content_size(bytes) {
        Ok(Some(size)) if (1..=bytes.len()).contains(&len) => Ok((len, size)),
        Ok(_) => Err(damaged("a frame does not state the length of its content")),
        Err(_) => Err(damaged("a frame has no valid header")),
    }
}

/// Length and content size of the LZ4 frame that `bytes` start with
/// (github.com/lz4/lz4, `doc/lz4_Frame_format.md`, version 1.6.x).
fn lz4_frame(bytes: &[u8]) -> Result<(usize, u64)> {
    let ends = || damaged(Codec::Lz4, "a frame ends too early");
    let u32_at = |at: usize| -> Result<u32> {
        let word = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(ends)?;
        Ok(u32::from_le_bytes(*word))
    };
    if u32_at(0)? != 0x184d_2204 {
        return Err(damaged(Codec::Lz4, "it does not start with a frame"));
    }
    let flags = *bytes.get(4).ok_or_else(ends)?;
    if flags & 0b1100_1001 != 0b0100_1000 {
        return Err(damaged(Codec::Lz4, "a frame does not state the length of its content"));
    }
    let (block_checksum, content_checksum) = (flags & 0b1_0000 != 0, flags & 0b100 != 0);
    let size = u64::from(u32_at(6)?) | u64::from(u32_at(10)?) << 32;
    // Magic number, flags, block size, content size, checksum of the header.
    let mut at = 4 + 2 + 8 + 1;
    loop {
        let block = u32_at(at)?;
        at += 4;
        if block == 0 {
            break;
        }
        // The highest bit marks an uncompressed block.
        at += (block & 0x7fff_ffff) as usize + if block_checksum { 4 } else { 0 };
    }
    at += if content_checksum { 4 } else { 0 };
    if at > bytes.len() { Err(ends()) } else { Ok((at, size)) }
}

fn decompress_frame(codec: Codec, frame: &[u8], content: &mut [u8]) -> Result<()> {
    let len = content.len();
    let written = if codec == Codec::Zstd {
        zstd::bulk::decompress_to_buffer(frame, content).map_err(|e| damaged(codec, "a frame").with_source(e))?
    } else {
        let mut decoder = FrameDecoder::new(frame);
        decoder.read_exact(content).map_err(|e| damaged(codec, "a frame").with_source(e))?;
        let more = decoder.read(&mut [0]).map_err(|e| damaged(codec, "a frame").with_source(e))?;
        len + more
    };
    if written == len { Ok(()) } else { Err(damaged(codec, "a frame does not have the length that it claims")) }
}

/// gzip does not reliably state the length of the content, so the buffer grows with the content.
fn gunzip(bytes: &[u8], limit: u64) -> Result<Buffer> {
    let mut content = Vec::new();
    let mut decoder = MultiGzDecoder::new(bytes).take(limit.saturating_add(1));
    decoder.read_to_end(&mut content).map_err(|e| damaged(Codec::Gzip, "a member").with_source(e))?;
    if content.len() as u64 > limit {
        return Err(too_large(Codec::Gzip, content.len() as u64, limit));
    }
    Ok(Buffer::Heap(content))
}
