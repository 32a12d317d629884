//! The division of an N-dimensional array into the chunks and blocks of a Blosc2 frame.

use std::ops::Range;

use super::{ArrayView, Order, bad};
use crate::error::Result;

/// The maximum number of dimensions of frames that cacheness writes.
const MAX_DIM: usize = 8;

/// The maximum number of dimensions of any frame.
pub(super) const MAX_FRAME_DIM: usize = 15;

/// Runs of at least this many bytes along the first dimension of an array in Fortran order get a block of their own.
/// Shorter runs share a block, in which the items are transposed.
const COLUMN: usize = 32 << 10;

/// Bytes of a stream: a block is split into as many streams as an item has bytes, and a stream should fit into the
/// innermost cache together with its compressed form.
const STREAM: usize = 64 << 10;

/// The minimum and maximum target size of chunks that cacheness writes, in bytes.
const CHUNK: Range<usize> = 128 << 10..512 << 10;

/// Larger items are stored as `.npy`.
const MAX_ITEM: usize = 1 << 20;

/// The largest chunk that Blosc2 supports.
const MAX_CHUNK: usize = i32::MAX as usize - 32;

/// A chunk of a foreign frame may be larger than the array that it belongs to, up to this many bytes.
const MAX_PADDED_CHUNK: usize = 64 << 20;

/// Shape of an array, of its chunks and of the blocks inside a chunk.
///
/// The axes are those of the array's memory: along the last one, items follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) shape: Vec<usize>,
    pub(super) chunk: Vec<usize>,
    pub(super) block: Vec<usize>,
    pub(super) itemsize: usize,
    /// The array is in Fortran order: the axes of the frame, which counts chunks, blocks and items in C order, run the
    /// other way round than those of the memory.
    pub(super) reversed: bool,
}

/// The items of a chunk that is one run of the memory.
pub(super) struct Run {
    /// Their bytes in the memory.
    pub(super) bytes: Range<usize>,
    /// Their indices.
    pub(super) items: Vec<Range<usize>>,
}

impl Grid {
    /// The grid for writing an array: each chunk is a run of consecutive items, and one block unless the array is in
    /// Fortran order and has long columns. `None` if a Blosc2 frame cannot hold the array.
    pub(super) fn of_view(view: &ArrayView<'_>) -> Option<Self> {
        let itemsize = view.itemsize;
        if view.shape.is_empty() || view.shape.len() > MAX_DIM || view.data.is_empty() || itemsize > MAX_ITEM {
            return None;
        }
        let reversed = view.order == Order::F;
        let mut shape = view.shape.to_vec();
        if reversed {
            shape.reverse();
        }
        let target = (STREAM * itemsize).clamp(CHUNK.start, CHUNK.end).max(itemsize);
        // The outermost axis along which a single step is no larger than a chunk is the one that is cut.
        let mut axis = shape.len() - 1;
        let mut inner = itemsize;
        while axis > 0 && inner * shape[axis] <= target {
            inner *= shape[axis];
            axis -= 1;
        }
        let extent = shape[axis];
        let pieces = extent.div_ceil((target / inner).clamp(1, extent));
        let mut chunk = shape.clone();
        chunk[..axis].fill(1);
        chunk[axis] = extent.div_ceil(pieces);
        let mut block = chunk.clone();
        let column = shape.len() - 1;
        if reversed && block[column] * itemsize >= COLUMN {
            block[..column].fill(1);
        }
        Some(Self { shape, chunk, block, itemsize, reversed })
    }

    /// A grid read from a frame, if it is valid.
    pub(super) fn checked(
        shape: Vec<usize>,
        chunk: Vec<usize>,
        block: Vec<usize>,
        itemsize: usize,
        reversed: bool,
    ) -> Result<Self> {
        if chunk.len() != shape.len() || block.len() != shape.len() || chunk.contains(&0) || block.contains(&0) {
            return Err(bad("the shapes of its chunks and blocks are invalid"));
        }
        let grid = Self { shape, chunk, block, itemsize, reversed };
        let nbytes = super::extent_bytes(&grid.shape, itemsize).ok_or_else(|| bad("its shape is too large"))?;
        let padded = grid.padded_chunk().try_fold(itemsize, |bytes, extent| bytes.checked_mul(extent?));
        match padded {
            Some(bytes) if bytes <= MAX_CHUNK && bytes <= nbytes.saturating_mul(4).max(MAX_PADDED_CHUNK) => Ok(grid),
            _ => Err(bad("its chunks are too large")),
        }
    }

    fn padded_chunk(&self) -> impl Iterator<Item = Option<usize>> {
        self.chunk.iter().zip(&self.block).map(|(&chunk, &block)| chunk.checked_next_multiple_of(block))
    }

    /// Bytes of a chunk, padding included.
    pub(super) fn chunk_bytes(&self) -> usize {
        let items = self.chunk.iter().zip(&self.block).map(|(chunk, block)| chunk.next_multiple_of(*block));
        items.product::<usize>() * self.itemsize
    }

    /// Bytes of a block.
    pub(super) fn block_bytes(&self) -> usize {
        self.block.iter().product::<usize>() * self.itemsize
    }

    /// The number of chunks along each dimension.
    pub(super) fn counts(&self) -> impl Iterator<Item = usize> + Clone {
        self.shape.iter().zip(&self.chunk).map(|(&extent, &chunk)| extent.div_ceil(chunk))
    }

    /// The number of chunks; `None` if it overflows.
    pub(super) fn chunks(&self) -> Option<usize> {
        self.counts().try_fold(1usize, usize::checked_mul)
    }

    /// Extents in the order of the frame's axes.
    pub(super) fn in_frame(&self, extents: &[usize]) -> impl Iterator<Item = usize> {
        let last = extents.len().saturating_sub(1);
        let of = move |axis: usize| if self.reversed { last - axis } else { axis };
        (0..extents.len()).map(move |axis| extents[of(axis)])
    }

    /// The distance of neighbours along each axis, for `extents` counted in the order of the frame.
    pub(super) fn frame_steps(&self, extents: &[usize]) -> Vec<usize> {
        let mut steps = vec![1; extents.len()];
        for at in 1..extents.len() {
            // From the frame's last axis, along which it counts first.
            let (axis, former) =
                if self.reversed { (at, at - 1) } else { (extents.len() - 1 - at, extents.len() - at) };
            steps[axis] = steps[former] * extents[former];
        }
        steps
    }

    /// The axis along which chunks cut the memory into runs of consecutive items, if that is how it is cut.
    pub(super) fn run_axis(&self) -> Option<usize> {
        let axis = self.chunk.iter().position(|&chunk| chunk != 1).unwrap_or(self.chunk.len() - 1);
        (self.chunk[axis + 1..] == self.shape[axis + 1..]).then_some(axis)
    }

    /// Whether the items of a chunk follow each other in the chunk as they do in the memory.
    pub(super) fn keeps_order(&self) -> bool {
        if !self.reversed {
            return self.block == self.chunk;
        }
        // The direction does not matter for a single axis.
        let mut inside = (0..self.block.len()).filter(|&axis| self.block[axis] > 1);
        let mut blocks = (0..self.block.len()).filter(|&axis| self.chunk[axis] > self.block[axis]);
        let (inner, outer) = (inside.next(), blocks.next());
        let whole = self.chunk.iter().zip(&self.block).all(|(chunk, block)| chunk.is_multiple_of(*block));
        whole && inside.next().is_none() && blocks.next().is_none() && (inner.is_none() || outer <= inner)
    }

    /// The items of every chunk, in the order of the chunks. Only for grids that cut the memory into runs.
    pub(super) fn runs(&self) -> impl Iterator<Item = Run> {
        let axis = self.run_axis().expect("only grids of our own are asked for their runs");
        let counts: Vec<usize> = self.counts().collect();
        let steps = self.frame_steps(&counts);
        (0..counts.iter().product()).map(move |chunk: usize| {
            let mut items: Vec<Range<usize>> = self.shape.iter().map(|&extent| 0..extent).collect();
            let mut start = 0;
            for at in 0..=axis {
                let first = chunk / steps[at] % counts[at] * self.chunk[at];
                items[at] = first..self.shape[at].min(first + self.chunk[at]);
                start = start * self.shape[at] + first;
            }
            let inner = self.itemsize * self.shape[axis + 1..].iter().product::<usize>();
            Run { bytes: start * inner..(start + items[axis].len()) * inner, items }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_chunks_cover_every_byte_once() {
        let shapes: [&[usize]; 14] = [
            &[1],
            &[12_500_000],
            &[1, 3_000_000],
            &[3_000_000, 1],
            &[1000, 1001],
            &[10, 999_983],
            &[1_000_003, 3, 3],
            &[20, 17, 5000],
            &[7, 2, 200_000],
            &[5, 1, 1, 40_000, 1, 3],
            &[2; 8],
            &[65_537],
            &[3, 65_537],
            &[131_073, 2],
        ];
        for shape in shapes {
            for itemsize in [1, 2, 8, 16, 24, 400, 600_000] {
                let nbytes = shape.iter().product::<usize>() * itemsize;
                // Only the length of the data counts here, so one page stands for all of it.
                if nbytes > 1 << 28 {
                    continue;
                }
                let data = vec![0; nbytes];
                for order in [Order::C, Order::F] {
                    let view = ArrayView { dtype: "", itemsize, shape, order, data: &data };
                    let grid = Grid::of_view(&view).unwrap();
                    let mut runs: Vec<_> = grid.runs().map(|run| run.bytes).collect();
                    assert_eq!(runs.len(), grid.chunks().unwrap());
                    if order == Order::C {
                        assert!(runs.is_sorted_by_key(|run| run.start), "the frame counts as the memory does");
                    }
                    runs.sort_by_key(|run| run.start);
                    let mut end = 0;
                    for run in runs {
                        assert_eq!(run.start, end);
                        assert!(run.len() <= grid.chunk_bytes());
                        end = run.end;
                    }
                    assert_eq!(end, nbytes);
                    assert!(grid.chunk_bytes() <= CHUNK.end.max(itemsize), "{shape:?} {itemsize}");
                    let padded = grid.chunk_bytes() * grid.chunks().unwrap();
                    assert!(padded as f64 <= nbytes as f64 * 1.5 + itemsize as f64, "{shape:?} {itemsize}: {padded}");
                    let Grid { shape, chunk, block, itemsize, reversed } = grid.clone();
                    assert_eq!(Grid::checked(shape, chunk, block, itemsize, reversed).unwrap(), grid);
                }
            }
        }
    }

    #[test]
    fn what_a_frame_cannot_hold() {
        let of = |itemsize, shape: &[usize], data: &[u8]| {
            Grid::of_view(&ArrayView { dtype: "", itemsize, shape, order: Order::C, data }).is_none()
        };
        assert!(of(8, &[], &[0; 8]));
        assert!(of(8, &[0], &[]));
        assert!(of(1, &[1; 9], &[0]));
        assert!(of(2 << 20, &[1], &[0; 2 << 20]));
    }

    #[test]
    fn hostile_grids_are_refused() {
        let check = |shape: &[usize], chunk: &[usize], block: &[usize], itemsize| {
            Grid::checked(shape.to_vec(), chunk.to_vec(), block.to_vec(), itemsize, false)
        };
        assert!(check(&[10], &[10], &[10], 8).is_ok());
        assert!(check(&[10], &[1 << 20], &[10], 8).is_ok());
        assert!(check(&[10], &[i32::MAX as usize], &[1], 8).is_err());
        assert!(check(&[10], &[0], &[1], 8).is_err());
        assert!(check(&[10], &[1], &[0], 8).is_err());
        assert!(check(&[10], &[1, 1], &[1], 8).is_err());
        assert!(check(&[usize::MAX, 2], &[1, 1], &[1, 1], 8).is_err());
        assert!(check(&[10], &[usize::MAX], &[7], 8).is_err());
    }
}
