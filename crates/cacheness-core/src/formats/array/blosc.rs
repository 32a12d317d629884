//! Chunks of Blosc2 frames: compression, decompression, and sampling of an array's compressibility.

use std::cell::Cell;

use blosc2::chunk::{Decoder, Encoder};
use blosc2::{CParams, CompressAlgo, DParams, Filter};

use super::kept::{Keep, Kept};
use super::{ArrayView, bad, cast};
use crate::config::{ArrayCodec, CompressionConfig};
use crate::error::{Error, ErrorKind, Result};

/// Bytes of a chunk's header.
pub(super) const CHUNK_HEADER: usize = 32;

/// The largest item size that a chunk supports; larger items are treated as bytes.
pub(super) const MAX_TYPESIZE: usize = 255;

/// Contexts for larger blocks are not kept: cacheness's own blocks are smaller, and a context holds four of them.
const KEPT_BLOCK: usize = 1 << 20;

/// Bytes of one sample, and the number of samples.
const SAMPLE: usize = 16 << 10;
const SAMPLES: usize = 4;

/// Arrays of fewer samples than this are compressed as a whole to see if they compress well.
const WORTH_SAMPLING: usize = 2 * SAMPLES;

fn failed(error: &blosc2::Error) -> Error {
    Error::new(ErrorKind::Compression, format!("c-blosc2 failed to compress an array: {error}"))
}

/// The numbers of a codec in the header of a frame.
pub(super) fn codec_code(codec: ArrayCodec) -> u8 {
    match codec {
        ArrayCodec::Blosclz => 0,
        ArrayCodec::Lz4 => 1,
        ArrayCodec::Lz4hc => 2,
        ArrayCodec::Zlib => 4,
        ArrayCodec::Zstd => 5,
    }
}

/// The size of an item in the header of a chunk.
fn typesize(itemsize: usize) -> usize {
    if (1..=MAX_TYPESIZE).contains(&itemsize) { itemsize } else { 1 }
}

/// The parameters for creating the chunks of an array.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Recipe {
    codec: ArrayCodec,
    level: u8,
    itemsize: usize,
    block: usize,
}

impl Recipe {
    fn encoder(self) -> Result<Encoder> {
        let algorithm = match self.codec {
            ArrayCodec::Lz4 => CompressAlgo::Lz4,
            ArrayCodec::Lz4hc => CompressAlgo::Lz4hc,
            ArrayCodec::Blosclz => CompressAlgo::Blosclz,
            ArrayCodec::Zstd => CompressAlgo::Zstd,
            ArrayCodec::Zlib => CompressAlgo::Zlib,
        };
        let mut params = CParams::default();
        params.compressor(algorithm).clevel(u32::from(self.level.min(9)));
        // Threads work on separate chunks; threads inside c-blosc2 would not survive a fork.
        params.nthreads(1).blocksize(Some(self.block));
        let shuffled = params.typesize(typesize(self.itemsize)).and_then(|p| p.filters(&[Filter::ByteShuffle]));
        shuffled.map_err(|e| failed(&e))?;
        Encoder::new(params).map_err(|e| failed(&e))
    }
}

/// Compresses chunks.
pub(super) struct Compressor {
    recipe: Recipe,
    encoder: Encoder,
    /// A buffer to compress into before the length of the chunk is known.
    room: Vec<u8>,
    intact: bool,
}

impl Keep for Compressor {
    fn worth_keeping(&self) -> bool {
        self.intact && self.recipe.block <= KEPT_BLOCK && self.room.len() <= 2 * KEPT_BLOCK
    }
}

thread_local! {
    static COMPRESSOR: Cell<Option<Compressor>> = const { Cell::new(None) };
    static DECOMPRESSOR: Cell<Option<Decompressor>> = const { Cell::new(None) };
}

/// A compressor for chunks of items of `itemsize` bytes, cut into blocks of `block` bytes.
pub(super) fn compressor(config: &CompressionConfig, itemsize: usize, block: usize) -> Result<Kept<Compressor>> {
    let level = config.blosc2_array_compression_level;
    let recipe = Recipe { codec: config.blosc2_array_codec, level, itemsize, block };
    Kept::get(&COMPRESSOR, |kept| kept.recipe == recipe, || Compressor::new(recipe))
}

impl Compressor {
    fn new(recipe: Recipe) -> Result<Self> {
        Ok(Self { recipe, encoder: recipe.encoder()?, room: Vec::new(), intact: true })
    }

    /// Compresses one chunk.
    pub(super) fn compress(&mut self, items: &[u8]) -> Result<Vec<u8>> {
        let room = items.len() + CHUNK_HEADER;
        if self.room.len() < room {
            self.room = vec![0; room];
        }
        self.intact = false;
        let length =
            self.encoder.compress_into(items, cast::as_uninit(&mut self.room[..room])).map_err(|e| failed(&e))?;
        self.intact = true;
        Ok(self.room[..length].to_vec())
    }
}

/// Compresses the index of a frame, which is one chunk of 64-bit numbers.
pub(super) fn compress_index(offsets: &[u8]) -> Result<Vec<u8>> {
    let CompressionConfig { blosc2_array_codec: codec, blosc2_array_compression_level: level, .. } =
        CompressionConfig::default();
    Compressor::new(Recipe { codec, level, itemsize: 8, block: offsets.len() })?.compress(offsets)
}

/// The compression ratio of samples of an array; `None` for an array too small to sample.
pub(super) fn sample_ratio(view: &ArrayView<'_>, config: &CompressionConfig) -> Result<Option<f64>> {
    let itemsize = view.itemsize;
    let count = (SAMPLE / itemsize).max(1) * itemsize;
    if view.data.len() < count * WORTH_SAMPLING {
        return Ok(None);
    }
    let level = config.blosc2_array_compression_level;
    let mut compressor = Compressor::new(Recipe { codec: config.blosc2_array_codec, level, itemsize, block: count })?;
    let items = (view.data.len() - count) / itemsize;
    let mut compressed = 0;
    for i in 0..SAMPLES {
        let start = items / (SAMPLES - 1) * i * itemsize;
        compressed += compressor.compress(&view.data[start..start + count])?.len();
    }
    Ok(Some(compressed as f64 / (count * SAMPLES) as f64))
}

/// Decompresses chunks.
pub(super) struct Decompressor {
    decoder: Decoder,
    /// Bytes of a block and of an item that the decoder was used for: c-blosc2 allocates its memory for the first chunk,
    /// and again for other block sizes, but not for other item sizes.
    used_for: Option<(usize, u8)>,
    intact: bool,
}

impl Keep for Decompressor {
    fn worth_keeping(&self) -> bool {
        self.intact
    }
}

/// A decompressor of this thread.
pub(super) fn decompressor() -> Result<Kept<Decompressor>> {
    Kept::get(&DECOMPRESSOR, |_| true, Decompressor::new)
}

/// Bytes of the chunk that begins with `header`.
pub(super) fn chunk_length(header: &[u8]) -> Result<usize> {
    let length = header.get(12..16).and_then(|bytes| bytes.try_into().ok()).map(i32::from_le_bytes);
    match length.map(usize::try_from) {
        Some(Ok(length)) if length >= CHUNK_HEADER => Ok(length),
        _ => Err(bad("a chunk of it has an invalid length")),
    }
}

/// Numbers of filters: shuffles of bytes and bits are below the delta.
const SHUFFLE: u8 = 1;
const DELTA: u8 = 3;

impl Decompressor {
    /// A decompressor for other data than the chunks of an array.
    pub(super) fn new() -> Result<Self> {
        let decoder = Decoder::new(DParams::default());
        let decoder = decoder.map_err(|e| bad(format_args!("c-blosc2 cannot create a decoder: {e}")))?;
        Ok(Self { decoder, used_for: None, intact: true })
    }

    /// Decompresses a chunk that must fill `destination` exactly.
    ///
    /// The header is checked first: c-blosc2 gets only chunks that are self-contained (not "lazy" ones, which name another
    /// file), use built-in codecs and filters, and have the stated size. It checks every offset and length inside the chunk
    /// against the ends of both buffers.
    pub(super) fn decompress(&mut self, chunk: &[u8], destination: &mut [u8]) -> Result<()> {
        let header: &[u8; CHUNK_HEADER] =
            chunk.first_chunk().ok_or_else(|| bad("a chunk of it is shorter than its header"))?;
        let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (flags, typesize, filters, metas, more) =
            (header[2], header[3], &header[16..22], &header[24..30], header[31]);
        let length = chunk_length(header)?;
        let chunk = chunk.get(..length).ok_or_else(|| bad("a chunk of it ends too early"))?;
        if number(4) as usize != destination.len() {
            return Err(bad(format_args!("a chunk of it has {} bytes instead of {}", number(4), destination.len())));
        }
        let unsupported = |what: &str| {
            Error::new(ErrorKind::Unsupported, format!("a chunk of it uses {what}, which is not supported"))
                .with_hint("write the array again with a codec of Blosc2 and no filter except shuffle")
        };
        // Both shuffle bits together mean a header of 32 bytes.
        if header[0] > 5 || flags & 0b101 != 0b101 {
            return Err(unsupported("another version of the chunk format"));
        }
        if more & 0b1000_1000 != 0 {
            return Err(unsupported("lazy or instrumented blocks"));
        }
        if !matches!(flags >> 5, 0 | 1 | 3 | 4) {
            return Err(unsupported("a codec of a plug-in"));
        }
        // In newer releases, the meta byte of a shuffle filter is its width.
        let known = |(&filter, &meta): (&u8, &u8)| filter == 0 || filter == 4 || (filter <= 3 && meta == 0);
        if !filters.iter().zip(metas).all(known) {
            return Err(unsupported("a filter of a plug-in or of a newer release"));
        }
        // c-blosc2 undoes a delta in place: another filter must have written the bytes first, or it would be applied to the
        // previous content of the memory.
        let last = filters.iter().rposition(|&filter| matches!(filter, SHUFFLE..=DELTA));
        if last.is_some_and(|last| filters[last] == DELTA) {
            return Err(unsupported("a delta without a shuffle after it"));
        }
        // One shuffle writes every byte. For other combinations that is not guaranteed.
        if filters.iter().filter(|&&filter| filter != 0).count() > 1 {
            destination.fill(0);
        }
        let block = number(8) as usize;
        if typesize == 0 || block == 0 || block > destination.len() {
            return Err(bad("a chunk of it has an invalid header"));
        }
        match (more >> 4) & 0b111 {
            0 | 2 | 3 => {
                if self.used_for.is_some_and(|used_for| used_for != (block, typesize)) {
                    *self = Self::new()?;
                }
                self.used_for = Some((block, typesize));
                self.intact = false;
                match self.decoder.decompress_into(chunk, cast::as_uninit(destination)) {
                    Ok(written) if written == destination.len() => {
                        self.intact = block <= KEPT_BLOCK;
                        Ok(())
                    }
                    Ok(written) => Err(bad(format_args!("a chunk of it gave {written} bytes"))),
                    Err(error) => Err(bad(format_args!("a chunk of it is damaged: {error}"))),
                }
            }
            // All zeros, or items that were never written: these must not expose the previous content of the memory.
            1 | 4 => {
                destination.fill(0);
                Ok(())
            }
            _ => Err(unsupported("an unknown kind of repeated value")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ArrayFormat;

    fn config() -> CompressionConfig {
        CompressionConfig { array_format: ArrayFormat::Blosc2, ..CompressionConfig::default() }
    }

    fn bytes(count: usize, step: usize) -> Vec<u8> {
        (0..count).map(|i| u8::try_from(i / step % 251).unwrap_or(0)).collect()
    }

    #[test]
    fn one_thread_compresses_and_decompresses_chunks_of_any_kind() {
        // The same blocks for items of different sizes, and the other way round, in turn.
        let kinds = [(8, 4096), (200, 4096), (1, 4096), (8, 800), (200, 800), (8, 4096), (4, 65_536), (255, 4096)];
        let chunks: Vec<(Vec<u8>, Vec<u8>)> = kinds
            .iter()
            .map(|&(itemsize, block)| {
                let items = bytes(block, itemsize);
                let chunk = compressor(&config(), itemsize, block).unwrap().compress(&items).unwrap();
                (items, chunk)
            })
            .collect();
        for _ in 0..3 {
            for (items, chunk) in &chunks {
                let mut back = vec![0; items.len()];
                decompressor().unwrap().decompress(chunk, &mut back).unwrap();
                assert_eq!(&back, items);
            }
        }
    }

    #[test]
    fn kept_contexts_make_the_same_bytes_as_new_ones() {
        let (first, second) = (bytes(40_000, 3), bytes(40_000, 700));
        let new = |items: &[u8]| {
            std::thread::scope(|scope| {
                let made = scope.spawn(|| compressor(&config(), 8, 40_000).unwrap().compress(items).unwrap());
                made.join().unwrap()
            })
        };
        for items in [&first, &second, &first] {
            assert_eq!(compressor(&config(), 8, 40_000).unwrap().compress(items).unwrap(), new(items));
        }
    }

    #[test]
    fn a_damaged_chunk_does_no_harm_to_the_next() {
        let items = bytes(20_000, 9);
        let chunk = compressor(&config(), 8, 20_000).unwrap().compress(&items).unwrap();
        let mut back = vec![0; items.len()];
        for at in 0..chunk.len() {
            let mut damaged = chunk.clone();
            damaged[at] ^= 0xff;
            // Without a hash not every damage is noticed.
            let _ = decompressor().unwrap().decompress(&damaged, &mut back);
            decompressor().unwrap().decompress(&chunk, &mut back).unwrap();
            assert_eq!(back, items, "after byte {at} was damaged");
        }
    }
}
