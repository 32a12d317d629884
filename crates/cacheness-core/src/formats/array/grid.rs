//! How an N-dimensional array is cut into the chunks and blocks of a Blosc2 frame.

use std::ops::Range;

use super::{ArrayView, Order, bad};
use crate::error::Result;

/// Dimensions that a frame can have.
const MAX_DIM: usize = 8;

/// Bytes of a stream: a block is split into as many streams as an item has bytes, and a stream should fit into the
/// innermost cache together with its compressed form.
const STREAM: usize = 64 << 10;

/// Bytes that a chunk of ours aims at, at least and at most.
const CHUNK: Range<usize> = 128 << 10..512 << 10;

/// Larger items are stored as `.npy`.
const MAX_ITEM: usize = 1 << 20;

/// The largest chunk that Blosc2 can hold.
const MAX_CHUNK: usize = i32::MAX as usize - 32;

/// A chunk of a foreign frame may be larger than the array that it belongs to, up to this many bytes.
const MAX_PADDED_CHUNK: usize = 64 << 20;

/// Shape of an array, of its chunks and of the blocks inside a chunk; C order throughout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) shape: Vec<usize>,
    pub(super) chunk: Vec<usize>,
    pub(super) block: Vec<usize>,
    pub(super) itemsize: usize,
}

impl Grid {
    /// The grid for an array of ours: chunks of one block, each a run of consecutive items. `None` where a Blosc2 frame
    /// cannot hold the array.
    ///
    /// An array in Fortran order is its transpose in C order, which is what the frame holds.
    pub(super) fn of_view(view: &ArrayView<'_>) -> Option<Self> {
        let itemsize = view.itemsize;
        if view.shape.is_empty() || view.shape.len() > MAX_DIM || view.data.is_empty() || itemsize > MAX_ITEM {
            return None;
        }
        let mut shape = view.shape.to_vec();
        if view.order == Order::F {
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
        Some(Self { shape, block: chunk.clone(), chunk, itemsize })
    }

    /// A grid read from a frame, if it makes sense.
    pub(super) fn checked(shape: Vec<usize>, chunk: Vec<usize>, block: Vec<usize>, itemsize: usize) -> Result<Self> {
        if chunk.len() != shape.len() || block.len() != shape.len() || chunk.contains(&0) || block.contains(&0) {
            return Err(bad("the shapes of its chunks and blocks make no sense"));
        }
        let grid = Self { shape, chunk, block, itemsize };
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

    /// How many chunks there are along each dimension.
    pub(super) fn counts(&self) -> impl Iterator<Item = usize> + Clone {
        self.shape.iter().zip(&self.chunk).map(|(&extent, &chunk)| extent.div_ceil(chunk))
    }

    /// How many chunks there are; `None` if that overflows.
    pub(super) fn chunks(&self) -> Option<usize> {
        self.counts().try_fold(1usize, usize::checked_mul)
    }

    /// The axis along which chunks cut the array into runs of consecutive items, if that is how it is cut.
    pub(super) fn run_axis(&self) -> Option<usize> {
        let axis = self.chunk.iter().position(|&chunk| chunk != 1).unwrap_or(self.chunk.len() - 1);
        (self.block == self.chunk && self.chunk[axis + 1..] == self.shape[axis + 1..]).then_some(axis)
    }

    /// The items of every chunk as a range of bytes of the array, in the order of the chunks. Only for grids that cut
    /// the array into runs.
    pub(super) fn runs(&self) -> impl Iterator<Item = Range<usize>> {
        let axis = self.run_axis().expect("only grids of our own are asked for their runs");
        let inner = self.itemsize * self.shape[axis + 1..].iter().product::<usize>();
        let (extent, step) = (self.shape[axis], self.chunk[axis]);
        let outer: usize = self.shape[..axis].iter().product();
        (0..outer).flat_map(move |i| {
            (0..extent.div_ceil(step)).map(move |j| {
                let start = i * extent + j * step;
                let end = i * extent + extent.min((j + 1) * step);
                start * inner..end * inner
            })
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
                let view = ArrayView { dtype: "", itemsize, shape, order: Order::C, data: &data };
                let grid = Grid::of_view(&view).unwrap();
                let mut end = 0;
                for run in grid.runs() {
                    assert_eq!(run.start, end);
                    assert!(run.len() <= grid.chunk_bytes());
                    end = run.end;
                }
                assert_eq!(end, nbytes);
                assert_eq!(grid.runs().count(), grid.chunks().unwrap());
                assert!(grid.chunk_bytes() <= CHUNK.end.max(itemsize), "{shape:?} {itemsize}");
                let padded = grid.chunk_bytes() * grid.chunks().unwrap();
                assert!(padded as f64 <= nbytes as f64 * 1.5 + itemsize as f64, "{shape:?} {itemsize}: {padded}");
                let Grid { shape, chunk, block, itemsize } = grid.clone();
                assert_eq!(Grid::checked(shape, chunk, block, itemsize).unwrap(), grid);
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
            Grid::checked(shape.to_vec(), chunk.to_vec(), block.to_vec(), itemsize)
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
