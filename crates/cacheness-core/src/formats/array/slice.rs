//! Parts of stored arrays, read without the rest.

use std::ops::Range;

use super::source::Source;
use super::{ArrayHeader, Order, open_header, read_header};
use crate::error::{Error, ErrorKind, Result};
use crate::payload::{Buffer, Stored};

/// Runs of items with smaller gaps than this are read together with the gaps.
const GAP: usize = 4 << 10;

/// Bytes to read at a time if runs are close together.
const WINDOW: usize = 256 << 10;

enum Bytes {
    /// Read in pieces, not verified.
    Stored(Box<Stored>),
    /// Read and verified as a whole.
    Verified(Buffer),
}

/// A stored array for reading parts.
pub struct ArraySlicer {
    bytes: Bytes,
    header: ArrayHeader,
    /// Where the items begin, if they are not compressed.
    items: Option<u64>,
    place: String,
}

impl ArraySlicer {
    /// Opens a stored array.
    ///
    /// With `verify`, reads the whole payload and checks its hash first. Without, reads only the requested parts and checks
    /// only their own structure: a damaged Blosc2 chunk may be detected, a damaged item of a `.npy` file is not. If a part
    /// cannot be decoded, the payload is verified after all, so that damage is reported as such.
    pub fn open(stored: Stored, verify: bool) -> Result<Self> {
        let storage_format = stored.format().storage_format.clone();
        let place = format!("entry {}: cannot decode its {storage_format} payload", stored.key());
        let ((header, kind), bytes) = if verify {
            let bytes = stored.into_bytes()?;
            let peek = |count: usize| Ok(bytes[..count.min(bytes.len())].to_vec());
            let read = read_header(&storage_format, bytes.len() as u64, peek);
            (read.map_err(|error| error.within(&place))?, Bytes::Verified(bytes))
        } else {
            (open_header(&stored)?, Bytes::Stored(Box::new(stored)))
        };
        let items = kind.prefix().map(|start| start.len() as u64);
        Ok(Self { bytes, header, items, place })
    }

    /// Verifies the payload if it is not verified yet: for a header that claims something impossible.
    pub fn verify(&self) -> Result<()> {
        match &self.bytes {
            Bytes::Stored(stored) => stored.verify(),
            Bytes::Verified(_) => Ok(()),
        }
    }

    /// The header of the whole array.
    #[must_use]
    pub fn header(&self) -> &ArrayHeader {
        &self.header
    }

    /// The header of the items in `ranges`, one for each dimension: an array in the order of the whole one.
    ///
    /// Fails with `InvalidInput` if a range is outside the array.
    pub fn part(&self, ranges: &[Range<u64>]) -> Result<ArrayHeader> {
        let shape = self.usable(ranges)?.iter().map(Range::len).collect();
        Ok(ArrayHeader { shape, ..self.header.clone() })
    }

    fn usable(&self, ranges: &[Range<u64>]) -> Result<Vec<Range<usize>>> {
        let refused = |why: String| Error::new(ErrorKind::InvalidInput, why);
        let shape = &self.header.shape;
        if ranges.len() != shape.len() {
            return Err(refused(format!("{} ranges for an array of {} dimensions", ranges.len(), shape.len())));
        }
        let usable = ranges.iter().zip(shape).enumerate().map(|(axis, (range, &extent))| {
            if range.start > range.end || range.end > extent as u64 {
                return Err(refused(format!("{range:?} is outside dimension {axis}, which has {extent} items")));
            }
            // Both ends are at most an extent, which is a usize.
            let narrow = |at: u64| usize::try_from(at).unwrap_or(extent);
            Ok(narrow(range.start)..narrow(range.end))
        });
        usable.collect()
    }

    /// Reads the items in `ranges` into `destination`, which must have the bytes of [`ArraySlicer::part`].
    pub fn read_into(&self, ranges: &[Range<u64>], destination: &mut [u8]) -> Result<()> {
        let part = self.part(ranges)?;
        if destination.len() != part.nbytes() {
            let why = format!("a part of {} bytes does not fit into {}", part.nbytes(), destination.len());
            return Err(Error::new(ErrorKind::InvalidInput, why));
        }
        let mut wanted = self.usable(ranges)?;
        if self.header.order == Order::F {
            wanted.reverse();
        }
        let outcome = match &self.bytes {
            Bytes::Stored(stored) => self.read_box::<Stored>(stored, &wanted, destination),
            Bytes::Verified(bytes) => self.read_box::<[u8]>(bytes, &wanted, destination),
        };
        outcome.map_err(|error| self.verify().err().unwrap_or_else(|| error.within(&self.place)))
    }

    fn read_box<S: Source + ?Sized>(&self, source: &S, wanted: &[Range<usize>], destination: &mut [u8]) -> Result<()> {
        if destination.is_empty() {
            return Ok(());
        }
        if let Some(items) = self.items {
            let mut shape = self.header.shape.clone();
            if self.header.order == Order::F {
                shape.reverse();
            }
            return read_runs(source, items, &shape, self.header.itemsize, wanted, destination);
        }
        #[cfg(feature = "blosc2")]
        return super::frame::Frame::open(source)?.read_box(wanted, destination);
        #[cfg(not(feature = "blosc2"))]
        Err(super::bad("it is not a .npy file"))
    }
}

/// Reads the `wanted` box of an uncompressed C-ordered array whose items begin at `items`.
fn read_runs<S: Source + ?Sized>(
    source: &S,
    items: u64,
    shape: &[usize],
    itemsize: usize,
    wanted: &[Range<usize>],
    destination: &mut [u8],
) -> Result<()> {
    // Completely wanted dimensions form one run with the dimension before them.
    let whole = wanted.iter().zip(shape).rev().take_while(|(range, extent)| range.len() == **extent).count();
    let outer = shape.len().saturating_sub(whole + 1);
    let run = wanted[outer..].iter().map(Range::len).product::<usize>() * itemsize;
    let first_items = wanted.iter().zip(shape).fold(0usize, |at, (range, extent)| at * extent + range.start);
    let last_items = wanted.iter().zip(shape).fold(0usize, |at, (range, extent)| at * extent + range.end - 1);
    let end = items + ((last_items + 1) * itemsize) as u64;
    let mut position = items + (first_items * itemsize) as u64;
    let step = shape.get(outer..).map_or(0, |inner| inner.iter().product::<usize>()) * itemsize;
    let close = run < WINDOW && step.saturating_sub(run) < GAP;

    let mut window: (u64, Vec<u8>) = (0, Vec::new());
    let mut index: Vec<usize> = wanted[..outer].iter().map(|range| range.start).collect();
    for target in destination.chunks_exact_mut(run) {
        if close {
            let inside = position.checked_sub(window.0).and_then(|at| usize::try_from(at).ok());
            let available = inside.and_then(|at| window.1.get(at..)?.get(..run));
            if let Some(bytes) = available {
                target.copy_from_slice(bytes);
            } else {
                let count = usize::try_from(end - position).unwrap_or(WINDOW).min(WINDOW);
                window.0 = position;
                window.1.resize(count, 0);
                source.read(&mut window.1, position)?;
                target.copy_from_slice(&window.1[..run]);
            }
        } else {
            source.read(target, position)?;
        }
        let Some(axis) = (0..outer).rev().find(|&axis| index[axis] + 1 < wanted[axis].end) else {
            break;
        };
        index[axis] += 1;
        for (at, range) in index[axis + 1..].iter_mut().zip(&wanted[axis + 1..outer]) {
            *at = range.start;
        }
        let at = index.iter().chain(wanted[outer..].iter().map(|range| &range.start)).zip(shape);
        let at = at.fold(0usize, |at, (index, extent)| at * extent + index);
        position = items + (at * itemsize) as u64;
    }
    Ok(())
}

/// Reads the items in `ranges`, one for each dimension, and their header. See [`ArraySlicer::open`] for `verify`.
pub fn slice(stored: Stored, ranges: &[Range<u64>], verify: bool) -> Result<(ArrayHeader, Vec<u8>)> {
    let slicer = ArraySlicer::open(stored, verify)?;
    let part = slicer.part(ranges)?;
    let mut items = vec![0; part.nbytes()];
    slicer.read_into(ranges, &mut items)?;
    Ok((part, items))
}
