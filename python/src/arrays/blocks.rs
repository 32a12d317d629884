//! Anonymous memory that is kept for reuse, and the functions of an allocator for it.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};

use parking_lot::Mutex;
#[cfg(not(miri))]
use rustix::mm::madvise;
use rustix::mm::{Advice, MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Blocks from this size on are large: whole huge pages.
const LARGE: usize = 4 << 20;
const HUGE_PAGE: usize = 2 << 20;

/// Smaller blocks are a multiple of this size, so that arrays of about the same size share them.
const STEP: usize = 64 << 10;

/// The header before the items of an array: the length of the block. NumPy's items are aligned to this many bytes.
const HEADER: usize = 64;

/// Anonymous memory.
struct Block {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a block is memory without other references.
unsafe impl Send for Block {}

/// Unused blocks, the longest unused first.
struct Kept {
    blocks: Vec<Block>,
    /// Bytes that are kept, at most, and in how many blocks.
    max_bytes: usize,
    max_blocks: usize,
}

/// Never waited for: a child process may have inherited the lock taken.
static SMALL: Mutex<Kept> = Mutex::new(Kept { blocks: Vec::new(), max_bytes: 16 << 20, max_blocks: 16 });
static HUGE: Mutex<Kept> = Mutex::new(Kept { blocks: Vec::new(), max_bytes: 256 << 20, max_blocks: 4 });

impl Kept {
    /// The best fitting block that does not waste more than half of the requested size.
    fn take(&mut self, length: usize) -> Option<Block> {
        let fits = |block: &Block| block.length >= length && block.length - length <= length / 2;
        // Of equal ones, the most recently used one.
        let best = (0..self.blocks.len()).rev().filter(|&i| fits(&self.blocks[i]));
        let best = best.min_by_key(|&i| self.blocks[i].length)?;
        Some(self.blocks.remove(best))
    }

    fn keep(&mut self, block: Block) {
        let mut bytes = block.length + self.blocks.iter().map(|block| block.length).sum::<usize>();
        while bytes > self.max_bytes || self.blocks.len() >= self.max_blocks {
            let oldest = self.blocks.remove(0);
            bytes -= oldest.length;
            oldest.unmap();
        }
        self.blocks.push(block);
    }
}

impl Block {
    /// A block for `size` bytes, with any content; `None` if there is no memory.
    fn get(size: usize) -> Option<Self> {
        let length = size.checked_add(HEADER)?;
        let length = length.checked_next_multiple_of(if length < LARGE { STEP } else { HUGE_PAGE })?;
        if let Some(mut kept) = kept(length).try_lock()
            && let Some(block) = kept.take(length)
        {
            return Some(block);
        }
        Self::map(length)
    }

    /// A new block of this length, in whole pages.
    fn map(length: usize) -> Option<Self> {
        // All pages of a small block at once: all of them are going to be written. Miri has no pages.
        let populate = if length < LARGE && !cfg!(miri) { MapFlags::POPULATE } else { MapFlags::empty() };
        let flags = MapFlags::PRIVATE | populate;
        // SAFETY: a new mapping that replaces none.
        let start = unsafe { mmap_anonymous(null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, flags) };
        let block = Self { start: NonNull::new(start.ok()?.cast())?, length };
        if length >= LARGE {
            // SAFETY: the advice changes no content. Without huge pages it is only slower.
            let _ = unsafe { madvise(block.start.as_ptr().cast(), length, Advice::LinuxHugepage) };
        }
        Some(block)
    }

    /// Keeps the block for reuse, or returns it to the system.
    fn give_back(self) {
        if let Some(mut kept) = kept(self.length).try_lock()
            && self.length <= kept.max_bytes
            // SAFETY: no references to the content remain.
            && (self.length < LARGE
                || unsafe { madvise(self.start.as_ptr().cast(), self.length, Advice::LinuxFree) }.is_ok())
        {
            return kept.keep(self);
        }
        self.unmap();
    }

    fn unmap(self) {
        // SAFETY: a whole mapping without references.
        if let Err(error) = unsafe { munmap(self.start.as_ptr().cast(), self.length) } {
            log::warn!("cannot release {} bytes of memory: {error}", self.length);
        }
    }

    /// Writes the length in front of the items and returns the address of the items.
    fn into_items(self) -> *mut c_void {
        // SAFETY: the block is longer than its header, and aligned to pages.
        unsafe {
            self.start.cast::<usize>().write(self.length);
            self.start.add(HEADER).as_ptr().cast()
        }
    }

    /// # Safety
    /// `items` is a result of [`Block::into_items`], and is no longer used.
    unsafe fn from_items(items: NonNull<c_void>) -> Self {
        // SAFETY: the header is in front of the items.
        unsafe {
            let start = items.cast::<u8>().sub(HEADER);
            Self { length: start.cast::<usize>().read(), start }
        }
    }
}

/// Miri does not support advice. Memory marked as free is lost at once here, and must not be read before it is written.
///
/// # Safety
/// As for the real one; there are no references to the memory marked as free.
#[cfg(miri)]
unsafe fn madvise(start: *mut c_void, length: usize, advice: Advice) -> rustix::io::Result<()> {
    use std::mem::MaybeUninit;

    if advice == Advice::LinuxFree {
        for page in 0..length / HUGE_PAGE {
            // SAFETY: blocks that are marked so are whole huge pages.
            unsafe { start.cast::<MaybeUninit<[u8; HUGE_PAGE]>>().add(page).write(MaybeUninit::uninit()) };
        }
    }
    Ok(())
}

/// Where blocks of this length are kept.
fn kept(length: usize) -> &'static Mutex<Kept> {
    if length < LARGE { &SMALL } else { &HUGE }
}

pub(super) extern "C" fn allocate(_context: *mut c_void, size: usize) -> *mut c_void {
    Block::get(size).map_or(null_mut(), Block::into_items)
}

pub(super) extern "C" fn allocate_zeroed(context: *mut c_void, count: usize, size: usize) -> *mut c_void {
    let Some(size) = count.checked_mul(size) else { return null_mut() };
    let items = allocate(context, size);
    if !items.is_null() {
        // SAFETY: the block has at least `size` bytes behind its header.
        unsafe { items.write_bytes(0, size) };
    }
    items
}

/// # Safety
/// `items` is null or what one of these functions has returned, and was not released since.
pub(super) unsafe extern "C" fn reallocate(context: *mut c_void, items: *mut c_void, size: usize) -> *mut c_void {
    let Some(former) = NonNull::new(items) else { return allocate(context, size) };
    // SAFETY: as the caller says; the header stays as it is until the block is given back.
    let block = unsafe { Block::from_items(former) };
    let room = block.length - HEADER;
    if size <= room && size >= room / 2 {
        return items;
    }
    let new = allocate(context, size);
    if !new.is_null() {
        // SAFETY: two blocks, each with at least so many bytes behind its header.
        unsafe { items.copy_to_nonoverlapping(new, size.min(room)) };
        block.give_back();
    }
    new
}

/// # Safety
/// As for [`reallocate`]; the items are no longer used.
pub(super) unsafe extern "C" fn release(_context: *mut c_void, items: *mut c_void, _size: usize) {
    if let Some(items) = NonNull::new(items) {
        // SAFETY: as the caller says.
        unsafe { Block::from_items(items) }.give_back();
    }
}

/// Miri runs them: what is built for an interpreter cannot be linked without one (`scripts/miri.sh`).
#[cfg(test)]
mod tests {
    use super::*;

    const SMALLER: usize = 256 << 10;
    const LARGER: usize = LARGE + 12345;

    fn malloc(size: usize) -> *mut c_void {
        let items = allocate(null_mut(), size);
        assert!(!items.is_null() && items.addr().is_multiple_of(HEADER));
        items
    }

    fn realloc(items: *mut c_void, size: usize) -> *mut c_void {
        // SAFETY: the tests pass what they were given.
        unsafe { reallocate(null_mut(), items, size) }
    }

    fn free(items: *mut c_void) {
        // SAFETY: the tests pass what they were given, once.
        unsafe { release(null_mut(), items, 0) }
    }

    /// All the bytes that may be used.
    fn fill(items: *mut c_void, byte: u8, size: usize) {
        // SAFETY: as much was asked for.
        unsafe { items.write_bytes(byte, size) }
    }

    fn is_full_of(items: *mut c_void, byte: u8, size: usize) -> bool {
        // SAFETY: as much was asked for, and written.
        unsafe { std::slice::from_raw_parts(items.cast::<u8>(), size) == vec![byte; size] }
    }

    #[test]
    fn all_that_was_asked_for_can_be_written() {
        let edges = [STEP, 5 * STEP, LARGE, LARGE + HUGE_PAGE].map(|length| length - HEADER);
        // Ascending, so that what is kept of one is not too long for the next.
        for size in [0, 1].into_iter().chain(edges.into_iter().flat_map(|edge| [edge, edge + 1])) {
            let items = [malloc(size), malloc(size)];
            for (items, byte) in items.into_iter().zip(1..) {
                fill(items, byte, size);
            }
            for (items, byte) in items.into_iter().zip(1..) {
                assert!(is_full_of(items, byte, size));
                free(items);
            }
        }
        free(null_mut());
    }

    #[test]
    fn what_is_kept_comes_again_and_is_zeroed_where_that_is_asked_for() {
        for size in [SMALLER, LARGER] {
            for _ in 0..3 {
                let items = malloc(size);
                fill(items, 7, size);
                free(items);
                let zeroed = allocate_zeroed(null_mut(), size / 5, 5);
                assert_eq!(zeroed.addr(), items.addr());
                assert!(is_full_of(zeroed, 0, size / 5 * 5));
                free(zeroed);
            }
        }
    }

    #[test]
    fn items_move_with_their_block() {
        for size in [SMALLER, LARGER] {
            let items = malloc(size);
            fill(items, 7, size);
            assert_eq!(realloc(items, size - 1), items, "there is room");
            let longer = realloc(items, 3 * size);
            assert!(is_full_of(longer, 7, size));
            fill(longer, 8, 3 * size);
            let shorter = realloc(longer, size);
            assert!(is_full_of(shorter, 8, size));
            assert!(realloc(shorter, usize::MAX).is_null());
            assert!(is_full_of(shorter, 8, size), "what cannot be had changes nothing");
            free(shorter);
        }
        free(realloc(null_mut(), 1));
    }

    #[test]
    fn too_much_is_null() {
        for size in [usize::MAX, usize::MAX - HEADER, usize::MAX - HUGE_PAGE] {
            assert!(allocate(null_mut(), size).is_null());
        }
        assert!(allocate_zeroed(null_mut(), usize::MAX, 2).is_null());
    }

    #[test]
    fn the_block_that_fits_best_is_taken_and_the_oldest_goes() {
        let mut kept = Kept { blocks: Vec::new(), max_bytes: 20 * STEP, max_blocks: 3 };
        for steps in [9, 6, 4, 5] {
            kept.keep(Block::map(steps * STEP).expect("memory"));
        }
        let lengths = |kept: &Kept| kept.blocks.iter().map(|block| block.length / STEP).collect::<Vec<_>>();
        assert_eq!(lengths(&kept), [6, 4, 5]);
        assert!(kept.take(2 * STEP).is_none(), "half of it would be wasted");
        let best = kept.take(4 * STEP).expect("one fits");
        assert_eq!((best.length, lengths(&kept)), (4 * STEP, vec![6, 5]));
        kept.keep(Block::map(12 * STEP).expect("memory"));
        assert_eq!(lengths(&kept), [5, 12]);
        best.unmap();
        kept.blocks.into_iter().for_each(Block::unmap);
    }

    #[test]
    fn threads_hand_blocks_to_each_other() {
        std::thread::scope(|scope| {
            for byte in 1..=3 {
                scope.spawn(move || {
                    for size in [SMALLER, LARGER, SMALLER] {
                        let items = malloc(size);
                        fill(items, byte, size);
                        std::thread::yield_now();
                        assert!(is_full_of(items, byte, size));
                        free(items);
                    }
                });
            }
        });
    }
}
