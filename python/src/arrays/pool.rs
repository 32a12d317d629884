//! Memory of arrays, which is kept for the next one when an array is freed.
//!
//! The kernel clears fresh memory before anybody may see it, which takes longer than reading as much from the page cache or
//! decompressing into it. Memory that this process has written before need not be cleared. What is kept of large arrays
//! is marked as free (`MADV_FREE`): the kernel takes it back, without swapping, as soon as it is short of memory. For
//! smaller ones that mark takes longer than writing to them does, so that they are kept as they are, few of them.
//!
//! Arrays own this memory as they own any other: NumPy asks for it, resizes it and gives it back through the functions
//! that NEP 49 lets one supply. Whoever gets kept memory overwrites all of it before anybody sees the array.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_void};
use std::ptr::{NonNull, null_mut};

use parking_lot::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyCapsule;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// Arrays from this size on get their memory here; NumPy's own serves smaller ones well.
pub(super) const FROM: usize = 256 << 10;

/// Blocks from this size on are large: whole huge pages.
const LARGE: usize = 4 << 20;
const HUGE_PAGE: usize = 2 << 20;

/// Smaller blocks are a multiple of this size, so that arrays of about the same size share them.
const STEP: usize = 64 << 10;

/// What comes before the items of an array: how long the block is. NumPy's items are aligned to this many bytes.
const HEADER: usize = 64;

/// Anonymous memory.
struct Block {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a block is memory that nobody else refers to.
unsafe impl Send for Block {}

/// Blocks that nobody uses, the longest unused first.
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
    /// The block that fits best, and does not waste more than half of what is asked for.
    fn take(&mut self, length: usize) -> Option<Block> {
        let fits = |block: &Block| block.length >= length && block.length - length <= length / 2;
        // Of equals the one that was used last.
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
    /// A block for `size` bytes, of any content; `None` where there is no memory.
    fn get(size: usize) -> Option<Self> {
        let length = size.checked_add(HEADER)?;
        let length = length.checked_next_multiple_of(if length < LARGE { STEP } else { HUGE_PAGE })?;
        if let Some(mut kept) = kept(length).try_lock()
            && let Some(block) = kept.take(length)
        {
            return Some(block);
        }
        // All pages of a small block at once: all of them are going to be written.
        let flags = if length < LARGE { MapFlags::PRIVATE | MapFlags::POPULATE } else { MapFlags::PRIVATE };
        // SAFETY: a new mapping that replaces none.
        let start = unsafe { mmap_anonymous(null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, flags) };
        let block = Self { start: NonNull::new(start.ok()?.cast())?, length };
        if length >= LARGE {
            // SAFETY: the advice changes no content. Without huge pages it is only slower.
            let _ = unsafe { madvise(block.start.as_ptr().cast(), length, Advice::LinuxHugepage) };
        }
        Some(block)
    }

    /// Keeps the block for the next one who asks, or gives it back to the system.
    fn give_back(self) {
        if let Some(mut kept) = kept(self.length).try_lock()
            && self.length <= kept.max_bytes
            // SAFETY: nobody refers to the content any more.
            && (self.length < LARGE
                || unsafe { madvise(self.start.as_ptr().cast(), self.length, Advice::LinuxFree) }.is_ok())
        {
            return kept.keep(self);
        }
        self.unmap();
    }

    fn unmap(self) {
        // SAFETY: the whole of a mapping that nobody refers to.
        if let Err(error) = unsafe { munmap(self.start.as_ptr().cast(), self.length) } {
            log::warn!("cannot give back {} bytes of memory: {error}", self.length);
        }
    }

    /// Notes the length in front of the items and returns where those begin.
    fn into_items(self) -> *mut c_void {
        // SAFETY: the block is longer than its header, and aligned to pages.
        unsafe {
            self.start.cast::<usize>().write(self.length);
            self.start.add(HEADER).as_ptr().cast()
        }
    }

    /// # Safety
    /// `items` is what [`Block::into_items`] returned, and nobody uses it any more.
    unsafe fn from_items(items: NonNull<c_void>) -> Self {
        // SAFETY: the header is in front of the items.
        unsafe {
            let start = items.cast::<u8>().sub(HEADER);
            Self { length: start.cast::<usize>().read(), start }
        }
    }
}

/// Where blocks of this length are kept.
fn kept(length: usize) -> &'static Mutex<Kept> {
    if length < LARGE { &SMALL } else { &HUGE }
}

extern "C" fn allocate(_context: *mut c_void, size: usize) -> *mut c_void {
    Block::get(size).map_or(null_mut(), Block::into_items)
}

extern "C" fn allocate_zeroed(context: *mut c_void, count: usize, size: usize) -> *mut c_void {
    let Some(size) = count.checked_mul(size) else { return null_mut() };
    let items = allocate(context, size);
    if !items.is_null() {
        // SAFETY: the block has at least `size` bytes behind its header.
        unsafe { items.write_bytes(0, size) };
    }
    items
}

extern "C" fn reallocate(context: *mut c_void, items: *mut c_void, size: usize) -> *mut c_void {
    let Some(former) = NonNull::new(items) else { return allocate(context, size) };
    // SAFETY: NumPy passes what it was given; the header stays as it is until the block is given back.
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

extern "C" fn release(_context: *mut c_void, items: *mut c_void, _size: usize) {
    if let Some(items) = NonNull::new(items) {
        // SAFETY: NumPy gives back what it was given, once.
        unsafe { Block::from_items(items) }.give_back();
    }
}

/// `PyDataMemAllocator` of NumPy's C interface.
#[repr(C)]
struct Allocator {
    context: *mut c_void,
    malloc: extern "C" fn(*mut c_void, usize) -> *mut c_void,
    calloc: extern "C" fn(*mut c_void, usize, usize) -> *mut c_void,
    realloc: extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void,
    free: extern "C" fn(*mut c_void, *mut c_void, usize),
}

/// `PyDataMem_Handler` of NumPy's C interface, version 1.
#[repr(C)]
struct Handler {
    name: [c_char; 127],
    version: u8,
    allocator: Allocator,
}

// SAFETY: its pointer is null, the rest are functions.
unsafe impl Sync for Handler {}

static HANDLER: Handler = Handler {
    name: name(),
    version: 1,
    allocator: Allocator {
        context: null_mut(),
        malloc: allocate,
        calloc: allocate_zeroed,
        realloc: reallocate,
        free: release,
    },
};

const fn name() -> [c_char; 127] {
    let text = b"cacheness";
    let mut name = [0; 127];
    let mut i = 0;
    while i < text.len() {
        name[i] = text[i] as c_char;
        i += 1;
    }
    name
}

/// `PyDataMem_SetHandler`: takes a handler and returns the former one.
type SetHandler = unsafe extern "C" fn(*mut ffi::PyObject) -> *mut ffi::PyObject;

struct Switch {
    set: SetHandler,
    handler: Py<PyAny>,
}

/// NumPy's function and our handler. NumPy releases without `numpy._core` call that package `numpy.core`.
fn switch(py: Python<'_>) -> PyResult<&'static Switch> {
    static SWITCH: PyOnceLock<Switch> = PyOnceLock::new();
    SWITCH.get_or_try_init(py, || {
        const SET_HANDLER: usize = 304; // the place in NumPy's table of functions, from NumPy 1.22 on
        let module = py.import("numpy._core.multiarray").or_else(|_| py.import("numpy.core.multiarray"))?;
        let table = module.getattr("_ARRAY_API")?.cast_into::<PyCapsule>()?.pointer_checked(None)?;
        // SAFETY: the table of every NumPy that this package admits has the function there; it lives as long as NumPy.
        let set = unsafe { table.cast::<SetHandler>().add(SET_HANDLER).read() };
        let handler = (&raw const HANDLER).cast_mut().cast();
        // SAFETY: a capsule of the name that NumPy asks for, around a handler that lives for ever.
        let handler =
            unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyCapsule_New(handler, c"mem_handler".as_ptr(), None)) };
        Ok(Switch { set, handler: handler?.unbind() })
    })
}

/// Calls `make`, which makes an array: its memory comes from here. Other threads are not concerned.
pub(super) fn with<R>(py: Python<'_>, make: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let switch = switch(py)?;
    // SAFETY: the capsule is a handler; NumPy returns a new reference to the former one, or sets an error.
    let former = unsafe { Bound::from_owned_ptr_or_err(py, (switch.set)(switch.handler.as_ptr())) }?;
    let made = make();
    // SAFETY: as above.
    let ours = unsafe { Bound::from_owned_ptr_or_err(py, (switch.set)(former.as_ptr())) };
    ours.and(made)
}
