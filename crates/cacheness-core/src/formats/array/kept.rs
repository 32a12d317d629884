//! Values that a thread keeps for the next array.
//!
//! The contexts of c-blosc2 have a few megabytes each. The kernel provides untouched memory page by page, which matters for
//! an array of two chunks. Threads keep their own contexts: no thread waits, and a forked child inherits none that another
//! thread was using.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

/// Something that may be kept.
pub(super) trait Keep {
    /// Whether it is small enough and has not failed.
    fn worth_keeping(&self) -> bool;
}

/// A value that goes back to its thread when it is dropped.
pub(super) struct Kept<T: Keep + 'static> {
    value: Option<T>,
    home: &'static LocalKey<Cell<Option<T>>>,
}

impl<T: Keep> Kept<T> {
    /// The value that this thread keeps, if it `suits`, else the result of `make`.
    pub(super) fn get<E>(
        home: &'static LocalKey<Cell<Option<T>>>,
        suits: impl FnOnce(&T) -> bool,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Self, E> {
        // An ending thread has none.
        let kept = home.try_with(Cell::take).ok().flatten().filter(suits);
        let value = match kept {
            Some(value) => value,
            None => make()?,
        };
        Ok(Self { value: Some(value), home })
    }
}

impl<T: Keep> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("there until it is dropped")
    }
}

impl<T: Keep> DerefMut for Kept<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("there until it is dropped")
    }
}

impl<T: Keep> Drop for Kept<T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take()
            && value.worth_keeping()
        {
            // If the thread is ending, the value is dropped.
            let _ = self.home.try_with(|home| home.set(Some(value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thing {
        number: u32,
        good: bool,
    }

    impl Keep for Thing {
        fn worth_keeping(&self) -> bool {
            self.good
        }
    }

    thread_local! {
        static HOME: Cell<Option<Thing>> = const { Cell::new(None) };
    }

    fn get(number: u32) -> Kept<Thing> {
        let make = || Ok::<_, ()>(Thing { number, good: true });
        Kept::get(&HOME, |kept| kept.number / 10 == number / 10, make).unwrap()
    }

    #[test]
    fn what_suits_is_used_again() {
        drop(get(10));
        assert_eq!(get(11).number, 10);
        assert_eq!(get(20).number, 20, "the kept one does not suit");
        let (first, second) = (get(21), get(22));
        assert_eq!((first.number, second.number), (20, 22), "one is in use");
        std::thread::spawn(|| assert_eq!(get(23).number, 23)).join().unwrap();
    }

    #[test]
    fn what_is_spoilt_is_not() {
        get(30).good = false;
        assert_eq!(get(31).number, 31);
    }
}
