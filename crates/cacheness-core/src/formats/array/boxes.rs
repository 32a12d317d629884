//! The items of one chunk of a frame, and copies of them between the chunk and the memory of the array.

use std::cmp::Reverse;
use std::ops::Range;

use super::grid::{Grid, MAX_FRAME_DIM};

/// How much of an axis of the array's memory is copied at a time if items are transposed: a few cache lines.
const TILE: usize = 16;

/// One axis of a box of items: their number, and their distance in bytes.
#[derive(Clone, Copy, Default)]
struct Axis {
    len: usize,
    from: usize,
    to: usize,
}

/// The wanted items of one chunk. Axes are those of the array's memory, as in [`Grid`].
pub(super) struct Part<'a> {
    grid: &'a Grid,
    /// The first item of the chunk.
    origin: &'a [usize],
    /// The whole wanted box, which the memory holds.
    wanted: &'a [Range<usize>],
    /// The part of it in this chunk.
    here: Vec<Range<usize>>,
}

impl<'a> Part<'a> {
    pub(super) fn of(grid: &'a Grid, origin: &'a [usize], wanted: &'a [Range<usize>]) -> Self {
        let here = wanted.iter().zip(origin).zip(&grid.chunk);
        let here = here.map(|((range, &origin), &chunk)| range.start.max(origin)..range.end.min(origin + chunk));
        Self { grid, origin, wanted, here: here.collect() }
    }

    /// The wanted bytes of the chunk and their place in the memory, if they are one run in both.
    pub(super) fn run(&self) -> Option<(Range<usize>, usize)> {
        let grid = self.grid;
        let axis = grid.run_axis().filter(|_| grid.keeps_order())?;
        let whole = |axis: usize| self.wanted[axis].len() == grid.shape[axis];
        if !(axis + 1..grid.shape.len()).all(whole) {
            return None;
        }
        let inner = grid.shape[axis + 1..].iter().product::<usize>() * grid.itemsize;
        let start = (self.here[axis].start - self.origin[axis]) * inner;
        let items = self
            .here
            .iter()
            .zip(self.wanted)
            .fold(0, |at, (here, wanted)| at * wanted.len() + here.start - wanted.start);
        Some((start..start + self.here[axis].len() * inner, items * grid.itemsize))
    }

    /// Copies the wanted items from the chunk, whose blocks are consecutive, to their place in the memory.
    pub(super) fn scatter(&self, chunk: &[u8], memory: &mut [u8]) {
        self.each_block(|axes, from, to| copy(axes, self.grid.itemsize, &chunk[from..], &mut memory[to..]));
    }

    /// Copies the wanted items from the memory to their place in the chunk.
    pub(super) fn gather(&self, memory: &[u8], chunk: &mut [u8]) {
        self.each_block(|axes, to, from| {
            axes.iter_mut().for_each(|axis| std::mem::swap(&mut axis.from, &mut axis.to));
            copy(axes, self.grid.itemsize, &memory[from..], &mut chunk[to..]);
        });
    }

    /// Calls `each` for the box of wanted items of each block that has some, as a copy from the chunk to the memory: its
    /// axes, and its beginning in both.
    fn each_block(&self, mut each: impl FnMut(&mut [Axis], usize, usize)) {
        let Self { grid, origin, wanted, here } = self;
        let ndim = here.len();
        let blocks: Vec<usize> =
            grid.chunk.iter().zip(&grid.block).map(|(chunk, block)| chunk.div_ceil(*block)).collect();
        let (block_steps, item_steps) = (grid.frame_steps(&blocks), grid.frame_steps(&grid.block));
        let mut memory_steps = vec![1; ndim];
        for axis in (1..ndim).rev() {
            memory_steps[axis - 1] = memory_steps[axis] * wanted[axis].len();
        }
        let first: Vec<usize> = (0..ndim).map(|axis| (here[axis].start - origin[axis]) / grid.block[axis]).collect();
        let last: Vec<usize> = (0..ndim).map(|axis| (here[axis].end - 1 - origin[axis]) / grid.block[axis]).collect();
        let mut block = first.clone();
        loop {
            let mut axes = [Axis::default(); MAX_FRAME_DIM];
            let (mut number, mut inside, mut memory) = (0, 0, 0);
            for axis in 0..ndim {
                let corner = origin[axis] + block[axis] * grid.block[axis];
                let start = here[axis].start.max(corner);
                let end = here[axis].end.min(corner + grid.block[axis]);
                number += block[axis] * block_steps[axis];
                inside += (start - corner) * item_steps[axis];
                memory += (start - wanted[axis].start) * memory_steps[axis];
                axes[axis] = Axis {
                    len: end - start,
                    from: item_steps[axis] * grid.itemsize,
                    to: memory_steps[axis] * grid.itemsize,
                };
            }
            each(&mut axes[..ndim], number * grid.block_bytes() + inside * grid.itemsize, memory * grid.itemsize);
            let Some(axis) = (0..ndim).rev().find(|&axis| block[axis] < last[axis]) else { return };
            block[axis] += 1;
            block[axis + 1..].copy_from_slice(&first[axis + 1..]);
        }
    }
}

/// Copies a box of items without empty axes. Reorders the axes.
fn copy(axes: &mut [Axis], itemsize: usize, source: &[u8], target: &mut [u8]) {
    let mut used = 0;
    for at in 0..axes.len() {
        if axes[at].len > 1 {
            axes.swap(used, at);
            used += 1;
        }
    }
    axes[..used].sort_unstable_by_key(|axis| Reverse(axis.to));
    // The innermost axes that are a run of bytes on both sides are copied as one item.
    let mut run = itemsize;
    while used > 0 && (axes[used - 1].from, axes[used - 1].to) == (run, run) {
        used -= 1;
        run *= axes[used].len;
    }
    let single = Axis { len: 1, from: 0, to: 0 };
    let Some((&mut inner, outer)) = axes[..used].split_last_mut() else {
        return target[..run].copy_from_slice(&source[..run]);
    };
    // The innermost axis of the source comes next to that of the target.
    let densest = (0..outer.len()).min_by_key(|&at| outer[at].from);
    let (second, outer) = match densest {
        Some(at) => {
            let last = outer.len() - 1;
            outer.swap(at, last);
            (outer[last], &outer[..last])
        }
        None => (single, &outer[..]),
    };
    let plane = match run {
        1 => copy_plane::<1>,
        2 => copy_plane::<2>,
        4 => copy_plane::<4>,
        8 => copy_plane::<8>,
        16 => copy_plane::<16>,
        _ => copy_plane::<0>,
    };
    let mut index = [0; MAX_FRAME_DIM];
    loop {
        let (mut from, mut to) = (0, 0);
        for (axis, &at) in outer.iter().zip(&index) {
            from += axis.from * at;
            to += axis.to * at;
        }
        plane([second, inner], run, &source[from..], &mut target[to..]);
        let Some(at) = (0..outer.len()).rev().find(|&at| index[at] + 1 < outer[at].len) else { return };
        index[at] += 1;
        index[at + 1..].fill(0);
    }
}

/// Copies a box of two axes, `inner` being the denser one in the target. Items have `N` bytes, or `run` where that is 0.
fn copy_plane<const N: usize>([second, inner]: [Axis; 2], run: usize, source: &[u8], target: &mut [u8]) {
    for start in (0..inner.len).step_by(TILE) {
        for i in 0..second.len {
            for j in start..inner.len.min(start + TILE) {
                let (from, to) = (i * second.from + j * inner.from, i * second.to + j * inner.to);
                match (source[from..].first_chunk::<N>(), target[to..].first_chunk_mut::<N>()) {
                    (Some(item), Some(place)) if N > 0 => *place = *item,
                    _ => target[to..to + run].copy_from_slice(&source[from..from + run]),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The item at an index, where items are numbered as the memory has them.
    fn number(index: &[usize], shape: &[usize]) -> usize {
        index.iter().zip(shape).fold(0, |at, (index, extent)| at * extent + index)
    }

    fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
        shape.iter().fold(vec![Vec::new()], |all, &extent| {
            all.into_iter().flat_map(|index| (0..extent).map(move |i| [&index[..], &[i]].concat())).collect()
        })
    }

    #[test]
    fn every_item_of_a_chunk_has_its_place() {
        for (shape, chunk, block) in [
            ([4, 6, 5], [4, 6, 5], [4, 6, 5]),
            ([4, 6, 5], [2, 6, 5], [1, 1, 5]),
            ([7, 5, 6], [3, 4, 5], [2, 3, 2]),
            ([1, 40, 3], [1, 40, 3], [1, 40, 3]),
        ] {
            for reversed in [false, true] {
                for itemsize in [1, 2, 3, 4, 8, 16, 24] {
                    let grid =
                        Grid::checked(shape.to_vec(), chunk.to_vec(), block.to_vec(), itemsize, reversed).unwrap();
                    let item = |at: usize| (0..itemsize).map(move |byte| u8::try_from((at * 7 + byte) % 251).unwrap());
                    let memory: Vec<u8> = (0..shape.iter().product()).flat_map(item).collect();
                    let whole: Vec<_> = shape.iter().map(|&extent| 0..extent).collect();
                    let mut back = vec![0; memory.len()];
                    let counts: Vec<usize> = grid.counts().collect();
                    for at in indices(&counts) {
                        let origin: Vec<usize> = at.iter().zip(&chunk).map(|(at, chunk)| at * chunk).collect();
                        let part = Part::of(&grid, &origin, &whole);
                        let mut bytes = vec![0xff; grid.chunk_bytes()];
                        part.gather(&memory, &mut bytes);
                        // Item by item, as the format says it.
                        let order = |extents: &[usize], index: &[usize]| match reversed {
                            false => number(index, extents),
                            true => {
                                let flip = |part: &[usize]| part.iter().rev().copied().collect::<Vec<_>>();
                                number(&flip(index), &flip(extents))
                            }
                        };
                        let blocks: Vec<usize> =
                            chunk.iter().zip(&block).map(|(c, b): (&usize, &usize)| c.div_ceil(*b)).collect();
                        for inside in indices(&chunk) {
                            let index: Vec<usize> = origin.iter().zip(&inside).map(|(a, b)| a + b).collect();
                            if index.iter().zip(&shape).any(|(index, extent)| index >= extent) {
                                continue;
                            }
                            let which: Vec<usize> = inside.iter().zip(&block).map(|(i, b)| i / b).collect();
                            let within: Vec<usize> = inside.iter().zip(&block).map(|(i, b)| i % b).collect();
                            let place =
                                order(&blocks, &which) * block.iter().product::<usize>() + order(&block, &within);
                            let found = &bytes[place * itemsize..][..itemsize];
                            assert!(found.iter().copied().eq(item(number(&index, &shape))), "{chunk:?} {index:?}");
                        }
                        if let Some((source, target)) = part.run() {
                            assert_eq!(&bytes[source.clone()], &memory[target..][..source.len()]);
                        }
                        part.scatter(&bytes, &mut back);
                    }
                    assert_eq!(back, memory, "{chunk:?} {block:?} {reversed} {itemsize}");
                }
            }
        }
    }
}
