//! Values that a forked child inherits and must not close.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ops::Deref;

use super::generation;

/// A value that is dropped only by the process that created it. A child that inherits it neither closes nor frees it.
#[derive(Debug)]
pub(crate) struct LeftInChildren<T> {
    value: ManuallyDrop<T>,
    /// The generation that created it; `None` for a value that a child may drop as its own copy.
    generation: Option<u64>,
}

impl<T> LeftInChildren<T> {
    /// Created by this process.
    pub(crate) fn new(value: T) -> Self {
        Self { value: ManuallyDrop::new(value), generation: Some(generation()) }
    }

    /// Created by this process; a child has a valid copy and drops it too.
    pub(crate) fn copied(value: T) -> Self {
        Self { value: ManuallyDrop::new(value), generation: None }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }

    pub(crate) fn is_of_this_process(&self) -> bool {
        self.generation.is_none_or(|made| made == generation())
    }
}

impl<T> Deref for LeftInChildren<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for LeftInChildren<T> {
    fn drop(&mut self) {
        if self.is_of_this_process() {
            // SAFETY: nothing else drops it, and it is not used after this.
            unsafe { ManuallyDrop::drop(&mut self.value) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Counts its drops. `T` is memory that must be freed once.
    struct Counted<'a, T>(&'a Cell<u32>, T);

    impl<T> Drop for Counted<'_, T> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn who_made_it_drops_it_once() {
        let drops = Cell::new(0);
        let made = LeftInChildren::new(Counted(&drops, vec![7]));
        assert!(made.is_of_this_process());
        assert_eq!(made.1, [7]);
        drop(made);
        assert_eq!(drops.get(), 1);
        drop(LeftInChildren::copied(Counted(&drops, vec![8])));
        assert_eq!(drops.get(), 2);
    }

    #[test]
    fn who_inherits_it_leaves_it() {
        let drops = Cell::new(0);
        // Owns no memory: a child would leak it.
        let value = ManuallyDrop::new(Counted(&drops, 7));
        let inherited = LeftInChildren { value, generation: Some(generation() + 1) };
        assert!(!inherited.is_of_this_process());
        assert_eq!(inherited.1, 7);
        drop(inherited);
        assert_eq!(drops.get(), 0);
    }
}
