//! Blosc2 contiguous frames with the `b2nd` metalayer, as `README_CFRAME_FORMAT.rst` and `README_B2ND_METALAYER.rst` of
//! c-blosc2 describe them.
//!
//! This module writes and reads the frame around the chunks, so that chunks are compressed on all cores, are written as
//! separate pieces without concatenation, and are decompressed directly into the array; and so that nothing in a foreign
//! frame is trusted unchecked. c-blosc2 handles the chunks themselves.

use std::borrow::Cow;
use std::ops::Range;

use super::blosc::{self, CHUNK_HEADER};
use super::boxes::Part;
use super::grid::Grid;
use super::parallel::{for_each, threads_for};
use super::source::Source;
use super::{ArrayHeader, ArrayView, Order, bad, dtype};
use crate::config::CompressionConfig;
use crate::error::{Error, ErrorKind, Result};

/// How many bytes to read before the length of the header is known; nearly every header fits.
pub(super) const PEEK: usize = 512;

/// Bytes of the header up to the metalayers.
const HEADER: usize = 87;

/// The longest accepted header: a structured dtype of thousands of fields fits.
const MAX_HEADER: usize = 1 << 20;

/// An array may be this many times larger than its frame. cacheness's own frames reach 512 KiB / 40 bytes for an array of
/// zeros; a frame that claims more is refused before memory is allocated.
const MAX_RATIO: u64 = 1 << 17;

const MAGIC: &[u8] = b"\xa8b2frame\0";

/// The metalayer that marks an array in Fortran order in memory. The frame holds the array itself, or, if written by earlier
/// releases, the transposed array.
const ORDER_LAYER: &str = "cacheness";
const FORTRAN: &[u8] = b"\x81\xa6memory\xa1F";
const TRANSPOSED: &[u8] = b"\x81\xa5order\xa1F";

/// Compresses an array into the pieces of a frame: header, chunks, index with trailer.
pub(super) fn write<'a>(view: &ArrayView<'_>, grid: &Grid, config: &CompressionConfig) -> Result<Vec<Cow<'a, [u8]>>> {
    let chunk_bytes = grid.chunk_bytes();
    let in_order = grid.keeps_order();
    let mut chunks: Vec<Vec<u8>> = grid.runs().map(|_| Vec::new()).collect();
    let threads = if config.parallel { threads_for(view.data.len()) } else { 1 };
    let state = || Ok((blosc::compressor(config, grid.itemsize, grid.block_bytes())?, Vec::new()));
    for_each(grid.runs().zip(&mut chunks), threads, state, |(compressor, arranged), (run, chunk)| {
        let items = &view.data[run.bytes];
        *chunk = if in_order && items.len() == chunk_bytes {
            compressor.compress(items)?
        } else {
            arranged.clear();
            arranged.resize(chunk_bytes, 0);
            if in_order {
                arranged[..items.len()].copy_from_slice(items);
            } else {
                let origin: Vec<usize> = run.items.iter().map(|range| range.start).collect();
                Part::of(grid, &origin, &run.items).gather(items, arranged);
            }
            compressor.compress(arranged)?
        };
        Ok(())
    })?;

    let mut offset = 0i64;
    let mut offsets = Vec::with_capacity(chunks.len() * 8);
    for chunk in &chunks {
        offsets.extend_from_slice(&offset.to_le_bytes());
        offset += chunk.len() as i64;
    }
    let mut end = blosc::compress_index(&offsets)?;
    end.extend_from_slice(b"\x94\x01\x93\xcd\x00\x06\xde\x00\x00\xdc\x00\x00\xce\x00\x00\x00\x23\xd8\x00");
    end.extend_from_slice(&[0; 16]);

    let header = write_header(view, grid, config, chunks.len(), offset, end.len());
    let mut pieces = Vec::with_capacity(chunks.len() + 2);
    pieces.push(Cow::Owned(header));
    pieces.extend(chunks.into_iter().map(Cow::Owned));
    pieces.push(Cow::Owned(end));
    Ok(pieces)
}

fn number<const N: usize>(out: &mut Vec<u8>, marker: u8, value: [u8; N]) {
    out.push(marker);
    out.extend_from_slice(&value);
}

// The grid bounds all values that are narrowed here.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
fn write_header(
    view: &ArrayView<'_>,
    grid: &Grid,
    config: &CompressionConfig,
    chunks: usize,
    compressed: i64,
    end: usize,
) -> Vec<u8> {
    let mut b2nd = vec![0x97, 0, grid.shape.len() as u8];
    b2nd.push(0x90 | grid.shape.len() as u8);
    grid.in_frame(&grid.shape).for_each(|extent| number(&mut b2nd, 0xd3, (extent as i64).to_be_bytes()));
    for shape in [&grid.chunk, &grid.block] {
        b2nd.push(0x90 | shape.len() as u8);
        grid.in_frame(shape).for_each(|extent| number(&mut b2nd, 0xd2, (extent as i32).to_be_bytes()));
    }
    b2nd.push(0); // The dtype is in NumPy's notation.
    number(&mut b2nd, 0xdb, (view.dtype.len() as u32).to_be_bytes());
    b2nd.extend_from_slice(view.dtype.as_bytes());

    let mut layers: Vec<(&str, &[u8])> = vec![("b2nd", &b2nd)];
    if view.order == Order::F {
        layers.push((ORDER_LAYER, FORTRAN));
    }
    let names: usize = layers.iter().map(|(name, _)| 1 + name.len() + 5).sum();
    let contents: usize = layers.iter().map(|(_, content)| 5 + content.len()).sum();
    let map = 1 + 3 + 3 + names;
    let length = HEADER + map + 3 + contents;
    let total = length as u64 + compressed as u64 + end as u64;

    let level = config.blosc2_array_compression_level.min(9);
    let typesize = grid.itemsize as i32;
    let chunk_bytes = grid.chunk_bytes();
    let mut out = Vec::with_capacity(length);
    out.push(0x9e);
    out.extend_from_slice(MAGIC);
    number(&mut out, 0xd2, (length as i32).to_be_bytes());
    number(&mut out, 0xcf, total.to_be_bytes());
    // Format version 2 with 64-bit offsets; contiguous; codec and level; splitting as c-blosc2 sees fit.
    out.extend_from_slice(&[0xa4, 0x12, 0, blosc::codec_code(config.blosc2_array_codec) | level << 4, 3]);
    number(&mut out, 0xd3, ((chunks * chunk_bytes) as i64).to_be_bytes());
    number(&mut out, 0xd3, compressed.to_be_bytes());
    number(&mut out, 0xd2, typesize.to_be_bytes());
    number(&mut out, 0xd2, (grid.block_bytes() as i32).to_be_bytes());
    number(&mut out, 0xd2, (chunk_bytes as i32).to_be_bytes());
    number(&mut out, 0xd1, 1i16.to_be_bytes());
    number(&mut out, 0xd1, 1i16.to_be_bytes());
    out.push(0xc2);
    // Six filters, of which the first shuffles; no plug-in codec; their meta bytes.
    out.extend_from_slice(&[0xd8, 6, 1, 0, 0, 0, 0, 0, blosc::codec_code(config.blosc2_array_codec), 0]);
    out.extend_from_slice(&[0; 8]);
    debug_assert_eq!(out.len(), HEADER);
    out.push(0x93);
    number(&mut out, 0xcd, (map as u16).to_be_bytes());
    number(&mut out, 0xde, (layers.len() as u16).to_be_bytes());
    let mut at = HEADER + map + 3;
    for (name, content) in &layers {
        out.push(0xa0 | name.len() as u8);
        out.extend_from_slice(name.as_bytes());
        number(&mut out, 0xd2, (at as i32).to_be_bytes());
        at += 5 + content.len();
    }
    number(&mut out, 0xdc, (layers.len() as u16).to_be_bytes());
    for (_, content) in &layers {
        number(&mut out, 0xc6, (content.len() as u32).to_be_bytes());
        out.extend_from_slice(content);
    }
    debug_assert_eq!(out.len(), length);
    out
}

/// Reads the subset of MessagePack that frames use.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| bad("its header ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// An array, map, string or byte string of that many parts.
    fn length(&mut self) -> Result<usize> {
        let rest = &mut self.rest;
        let length = match rest.first() {
            Some(0x90..=0x9f | 0xdc | 0xdd) => rmp::decode::read_array_len(rest).ok(),
            Some(0x80..=0x8f | 0xde | 0xdf) => rmp::decode::read_map_len(rest).ok(),
            Some(0xc4..=0xc6) => rmp::decode::read_bin_len(rest).ok(),
            _ => rmp::decode::read_str_len(rest).ok(),
        };
        let length = length.ok_or_else(|| bad("its header is not the expected MessagePack"))?;
        Ok(length as usize)
    }

    fn integer(&mut self) -> Result<i64> {
        rmp::decode::read_int(&mut self.rest).map_err(|_| bad("its header lacks a number"))
    }

    fn text(&mut self) -> Result<&'a str> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| bad("its header has text that is not UTF-8"))
    }

    fn extents(&mut self, ndim: usize) -> Result<Vec<usize>> {
        if self.length()? != ndim {
            return Err(bad("its shapes differ in their number of dimensions"));
        }
        (0..ndim).map(|_| usize::try_from(self.integer()?).map_err(|_| bad("an extent of it is negative"))).collect()
    }
}

/// Bytes of the header, from the first [`PEEK`] bytes of a frame of `size` bytes.
pub(super) fn header_length(start: &[u8], size: u64) -> Result<usize> {
    if start.get(1..10) != Some(MAGIC) || start.len() < HEADER {
        return Err(bad("it is not a Blosc2 frame"));
    }
    let length = i32::from_be_bytes([start[11], start[12], start[13], start[14]]);
    match usize::try_from(length) {
        Ok(length) if (HEADER..=MAX_HEADER).contains(&length) && length as u64 <= size => Ok(length),
        _ => Err(bad(format_args!("its header claims {length} bytes"))),
    }
}

/// The header of a frame, checked against the size of the frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Bytes before the first chunk.
    length: u64,
    /// Bytes of all chunks.
    compressed: u64,
    grid: Grid,
    chunks: usize,
    dtype: String,
    order: Order,
}

impl FrameHeader {
    /// Parses the header at the beginning of a frame of `size` bytes.
    pub(super) fn parse(start: &[u8], size: u64) -> Result<Self> {
        let length = header_length(start, size)?;
        let header = start.get(..length).ok_or_else(|| bad("its header ends too early"))?;
        let wide = |at: usize| header[at..at + 8].iter().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        let (total, flags, kind, nbytes, compressed) = (wide(16), header[25], header[26], wide(30), wide(39));
        if total != size {
            return Err(bad(format_args!("its header claims {total} bytes, but it has {size}")));
        }
        if flags & 0x0f > 2 || flags & 0xf0 != 0x10 || kind != 0 {
            return Err(Error::new(ErrorKind::Unsupported, "its kind of Blosc2 frame is not supported"));
        }
        let chunks_end = (length as u64).checked_add(compressed);
        if chunks_end.is_none_or(|end| end > size) {
            return Err(bad("its chunks are longer than the frame"));
        }

        let mut index = Reader { rest: &header[HEADER..] };
        if index.length()? != 3 {
            return Err(bad("its list of metalayers is malformed"));
        }
        index.integer()?;
        let (mut b2nd, mut order, mut reversed) = (None, Order::C, false);
        for _ in 0..index.length()? {
            let name = index.text()?;
            let at = usize::try_from(index.integer()?).ok().and_then(|at| header.get(at..));
            let mut content = Reader { rest: at.ok_or_else(|| bad("a metalayer is beyond its header"))? };
            let count = content.length()?;
            let content = content.take(count)?;
            match name {
                "b2nd" => b2nd = Some(content),
                ORDER_LAYER if content == FORTRAN => (order, reversed) = (Order::F, true),
                ORDER_LAYER if content == TRANSPOSED => order = Order::F,
                ORDER_LAYER => {
                    return Err(Error::new(ErrorKind::Unsupported, "its layout is of a newer release"));
                }
                _ => {}
            }
        }
        let b2nd = b2nd.ok_or_else(|| bad("it has no b2nd metalayer, so it is not an array"))?;
        let (grid, dtype) = parse_b2nd(b2nd, reversed)?;

        let bytes = super::extent_bytes(&grid.shape, grid.itemsize).expect("the grid has been checked") as u64;
        let chunks = if bytes == 0 { Some(0) } else { grid.chunks() };
        let index_bytes = chunks.and_then(|chunks| chunks.checked_mul(8)).unwrap_or(usize::MAX) as u64;
        if bytes / MAX_RATIO > size || index_bytes / MAX_RATIO > size || index_bytes > bytes.max(1 << 20) * 8 {
            return Err(bad(format_args!("it has {size} bytes, but claims to hold {bytes}")));
        }
        let chunks = chunks.expect("more chunks than fit into memory have been refused");
        if (chunks as u64).checked_mul(grid.chunk_bytes() as u64) != Some(nbytes) {
            return Err(bad("its shape and its size contradict each other"));
        }
        Ok(Self { length: length as u64, compressed, grid, chunks, dtype, order })
    }

    /// The array that the frame holds.
    pub(super) fn array_header(&self) -> ArrayHeader {
        let mut shape = self.grid.shape.clone();
        if self.order == Order::F {
            shape.reverse();
        }
        ArrayHeader { dtype: self.dtype.clone(), itemsize: self.grid.itemsize, shape, order: self.order }
    }
}

fn parse_b2nd(content: &[u8], reversed: bool) -> Result<(Grid, String)> {
    let mut layer = Reader { rest: content };
    if layer.length()? < 7 {
        return Err(bad("its b2nd metalayer has no dtype"));
    }
    layer.integer()?;
    let ndim = match layer.integer()? {
        ndim @ 1..=15 => usize::try_from(ndim).unwrap_or(1),
        ndim => return Err(bad(format_args!("it has {ndim} dimensions"))),
    };
    let mut extents = || {
        let mut extents = layer.extents(ndim)?;
        if reversed {
            extents.reverse();
        }
        Ok(extents)
    };
    let (shape, chunk, block) = (extents()?, extents()?, extents()?);
    if layer.integer()? != 0 {
        return Err(Error::new(ErrorKind::Unsupported, "its dtype is not in NumPy's notation"));
    }
    let dtype = layer.text()?.to_owned();
    let itemsize = dtype::itemsize_of(&dtype)?;
    // Without items there are no chunks, and their shapes may well be zero.
    let empty = shape.contains(&0) || itemsize == 0;
    let (chunk, block) = if empty { (vec![1; ndim], vec![1; ndim]) } else { (chunk, block) };
    Ok((Grid::checked(shape, chunk, block, itemsize, reversed)?, dtype))
}

/// A frame whose header and index have been read.
pub(super) struct Frame<'a, S: Source + ?Sized> {
    pub(super) header: FrameHeader,
    source: &'a S,
    /// Offsets of the chunks from the first one; negative for chunks of one repeated value.
    offsets: Vec<i64>,
}

impl<'a, S: Source + ?Sized> Frame<'a, S> {
    /// Reads header and index.
    pub(super) fn open(source: &'a S) -> Result<Self> {
        let size = source.size();
        let start = source.bytes(0, PEEK.min(usize::try_from(size).unwrap_or(PEEK)))?;
        let length = header_length(&start, size)?;
        let header = FrameHeader::parse(&source.bytes(0, length)?, size)?;
        let mut index = vec![0; header.chunks * 8];
        if header.chunks > 0 {
            let at = header.length + header.compressed;
            let chunk = read_chunk(source, at, size)?;
            blosc::Decompressor::new()?.decompress(&chunk, &mut index)?;
        }
        let offset = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("the chunks of eight have eight bytes"));
        let offsets = index.chunks_exact(8).map(offset).collect();
        Ok(Self { header, source, offsets })
    }

    /// Decodes the whole array into `destination`, which has exactly the array's size.
    pub(super) fn read_all(&self, destination: &mut [u8]) -> Result<()> {
        let whole: Vec<_> = self.header.grid.shape.iter().map(|&extent| 0..extent).collect();
        self.read_box(&whole, destination)
    }

    /// Decodes the items with indices in `wanted`, one range for each axis of the array's memory, into `destination`, which
    /// has exactly their size. Reads only the chunks that contain some of them.
    pub(super) fn read_box(&self, wanted: &[Range<usize>], destination: &mut [u8]) -> Result<()> {
        if destination.is_empty() {
            return Ok(());
        }
        let grid = &self.header.grid;
        // Chunks along this axis fill parts of the destination that do not interleave, so threads can share it.
        let axis = wanted.iter().position(|range| range.len() > 1).unwrap_or(0);
        let step: usize = wanted[axis + 1..].iter().map(Range::len).product::<usize>() * grid.itemsize;
        let mut rest = &mut *destination;
        let mut at = wanted[axis].start;
        let slabs = std::iter::from_fn(|| {
            let start = at;
            if start == wanted[axis].end {
                return None;
            }
            let chunk = start / grid.chunk[axis];
            at = ((chunk + 1) * grid.chunk[axis]).min(wanted[axis].end);
            let (slab, others) = std::mem::take(&mut rest).split_at_mut((at - start) * step);
            rest = others;
            Some((start..at, slab))
        });
        let threads = threads_for(slabs_bytes(wanted, grid.itemsize));
        let state = || Ok((blosc::decompressor()?, Vec::new()));
        for_each(slabs, threads, state, |(decompressor, scratch), (range, slab)| {
            let mut wanted = wanted.to_vec();
            wanted[axis] = range;
            self.read_slab(&wanted, slab, decompressor, scratch)
        })
    }

    fn read_slab(
        &self,
        wanted: &[Range<usize>],
        slab: &mut [u8],
        decompressor: &mut blosc::Decompressor,
        scratch: &mut Vec<u8>,
    ) -> Result<()> {
        let grid = &self.header.grid;
        let steps = grid.frame_steps(&grid.counts().collect::<Vec<_>>());
        let first: Vec<usize> = wanted.iter().zip(&grid.chunk).map(|(range, chunk)| range.start / chunk).collect();
        let last: Vec<usize> = wanted.iter().zip(&grid.chunk).map(|(range, chunk)| (range.end - 1) / chunk).collect();
        let mut coordinates = first.clone();
        loop {
            let index = coordinates.iter().zip(&steps).map(|(at, step)| at * step).sum();
            let origin: Vec<usize> = coordinates.iter().zip(&grid.chunk).map(|(at, chunk)| at * chunk).collect();
            let part = Part::of(grid, &origin, wanted);
            match part.run() {
                Some((source, target)) if source.len() == grid.chunk_bytes() => {
                    self.read_chunk(index, decompressor, &mut slab[target..][..source.len()])?;
                }
                run => {
                    scratch.resize(grid.chunk_bytes(), 0);
                    self.read_chunk(index, decompressor, scratch)?;
                    match run {
                        Some((source, target)) => {
                            slab[target..][..source.len()].copy_from_slice(&scratch[source]);
                        }
                        None => part.scatter(scratch, slab),
                    }
                }
            }
            let Some(axis) = (0..coordinates.len()).rev().find(|&axis| coordinates[axis] < last[axis]) else {
                return Ok(());
            };
            coordinates[axis] += 1;
            coordinates[axis + 1..].copy_from_slice(&first[axis + 1..]);
        }
    }

    fn read_chunk(&self, index: usize, decompressor: &mut blosc::Decompressor, destination: &mut [u8]) -> Result<()> {
        let offset = self.offsets[index];
        let end = self.header.length + self.header.compressed;
        if let Ok(offset) = u64::try_from(offset) {
            let at =
                self.header.length.checked_add(offset).ok_or_else(|| bad("a chunk of it begins beyond its end"))?;
            return decompressor.decompress(&read_chunk(self.source, at, end)?, destination);
        }
        let nan: &[u8] = match ((offset >> 56) & 7, self.header.grid.itemsize) {
            // Zeros, or items that were never written.
            (1 | 4, _) => {
                destination.fill(0);
                return Ok(());
            }
            (2, 4) => &f32::NAN.to_ne_bytes(),
            (2, 8) => &f64::NAN.to_ne_bytes(),
            _ => return Err(bad("a chunk of it repeats an unknown value")),
        };
        destination.chunks_exact_mut(nan.len()).for_each(|item| item.copy_from_slice(nan));
        Ok(())
    }
}

fn slabs_bytes(wanted: &[Range<usize>], itemsize: usize) -> usize {
    wanted.iter().map(Range::len).product::<usize>() * itemsize
}

/// The chunk that begins at `at` and ends before `end`.
fn read_chunk<S: Source + ?Sized>(source: &S, at: u64, end: u64) -> Result<Cow<'_, [u8]>> {
    let length = blosc::chunk_length(&source.bytes(at, CHUNK_HEADER)?)?;
    if at.checked_add(length as u64).is_none_or(|chunk_end| chunk_end > end) {
        return Err(bad("a chunk of it reaches beyond its end"));
    }
    source.bytes(at, length)
}
