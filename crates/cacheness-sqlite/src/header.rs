//! The header of the index of a write-ahead log, which SQLite keeps in shared memory
//! (<https://www.sqlite.org/walformat.html>, section 2.1).
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use crate::changes::Stamp;

/// `WalIndexHdr` (sqlite3.c): 48 bytes.
const WORDS: usize = 12;
/// Which of its words is `iChange`, the number of the last transaction.
const CHANGE: usize = 2;

/// A copy of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header([u32; WORDS]);

impl Stamp for Header {
    fn is_just_before(&self, later: &Self, written: bool) -> bool {
        // A transaction that wrote nothing leaves nothing in the log: a change is another handle's.
        if written { self.0[CHANGE].wrapping_add(1) == later.0[CHANGE] } else { self == later }
    }
}

/// The mapped header.
#[derive(Debug)]
pub(crate) struct Mapped(NonNull<AtomicU32>);

// SAFETY: it is shared memory that is only read, atomically.
unsafe impl Send for Mapped {}

impl Mapped {
    /// # Safety
    /// An index begins at `start`, aligned like an `AtomicU32`, and outlives this value. Concurrent writers of its
    /// header write whole words.
    pub(crate) unsafe fn new(start: NonNull<AtomicU32>) -> Self {
        Self(start)
    }

    /// The header now.
    pub(crate) fn read(&self) -> Header {
        let word = |i: usize| {
            // SAFETY: the caller of `new` guarantees this many words.
            let word = unsafe { self.0.add(i).as_ref() };
            word.load(Ordering::Relaxed)
        };
        fence(Ordering::SeqCst);
        let header = Header(std::array::from_fn(word));
        fence(Ordering::Acquire);
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_as_large_as_sqlite_makes_it() {
        assert_eq!(WORDS * 4, 48);
        let before = Header([7; WORDS]);
        let mut after = before;
        assert!(before.is_just_before(&after, false));
        assert!(!before.is_just_before(&after, true), "a commit changes the header");
        after.0[CHANGE] = 8;
        assert!(before.is_just_before(&after, true));
        assert!(!before.is_just_before(&after, false), "a transaction that wrote nothing has not committed this");
        after.0[CHANGE] = 9;
        assert!(!before.is_just_before(&after, true));
    }

    #[test]
    fn a_header_is_read_while_somebody_writes_it() {
        const COMMITS: u32 = 20;
        // Exactly as long as the header, so that reading one word more is out of bounds.
        let memory: Box<[AtomicU32; WORDS]> = Box::new(std::array::from_fn(|_| AtomicU32::new(0)));
        // SAFETY: the memory outlives the header, and is written word by word below.
        let mapped = unsafe { Mapped::new(NonNull::from(&memory[..]).cast()) };
        assert_eq!(mapped.read(), Header([0; WORDS]));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for commit in 1..=COMMITS {
                    memory.iter().for_each(|word| word.store(commit, Ordering::Relaxed));
                    std::thread::yield_now();
                }
            });
            scope.spawn(move || {
                let mut last = mapped.read();
                while last.0 != [COMMITS; WORDS] {
                    let now = mapped.read();
                    assert!(last.0.iter().zip(now.0).all(|(&last, now)| last <= now), "a word never goes back");
                    last = now;
                    std::thread::yield_now();
                }
            });
        });
    }
}
