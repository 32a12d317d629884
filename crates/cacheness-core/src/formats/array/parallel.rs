//! Work on the pieces of an array, on all cores.
//!
//! The threads are those of [`parallel`]: new threads for each call would begin with untouched memory, which costs more than
//! the work on an array of a megabyte.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::error::Result;
use crate::parallel;

/// The minimum number of bytes per thread.
const WORTH_A_THREAD: usize = 256 << 10;

/// More threads than this do not increase memory throughput.
const MAX_THREADS: usize = 16;

/// How many threads to use for `nbytes` bytes.
pub(super) fn threads_for(nbytes: usize) -> usize {
    if nbytes < 2 * WORTH_A_THREAD {
        return 1;
    }
    parallel::threads().min(MAX_THREADS).min(nbytes / WORTH_A_THREAD)
}

/// Calls `work` with every item of `items`, on up to `threads` threads that each have a state of their own. The first error
/// stops all of them.
pub(super) fn for_each<T: Send, S>(
    items: impl Iterator<Item = T> + Send,
    threads: usize,
    state: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, T) -> Result<()> + Sync,
) -> Result<()> {
    let items = Mutex::new(items);
    let stop = AtomicBool::new(false);
    let failed = Mutex::new(None);
    let run = || {
        let outcome = state().and_then(|mut state| {
            while !stop.load(Ordering::Relaxed) {
                let Some(item) = items.lock().next() else { break };
                work(&mut state, item)?;
            }
            Ok(())
        });
        if let Err(error) = outcome {
            stop.store(true, Ordering::Relaxed);
            failed.lock().get_or_insert(error);
        }
    };
    parallel::beside(threads.saturating_sub(1), run, run);
    failed.into_inner().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::error::{Error, ErrorKind};

    #[test]
    fn every_item_is_worked_on_once() {
        for threads in [1, 2, 7] {
            let mut done = vec![0u8; 1000];
            for_each(
                done.iter_mut(),
                threads,
                || Ok(()),
                |(), item| {
                    *item += 1;
                    Ok(())
                },
            )
            .unwrap();
            assert!(done.iter().all(|&count| count == 1));
        }
    }

    #[test]
    fn an_error_stops_the_others() {
        for threads in [1, 4] {
            let count = AtomicUsize::new(0);
            let outcome = for_each(
                0..1_000_000,
                threads,
                || Ok(()),
                |(), i| {
                    count.fetch_add(1, Ordering::Relaxed);
                    if i == 10 { Err(Error::new(ErrorKind::Compression, "no")) } else { Ok(()) }
                },
            );
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Compression);
            assert!(count.into_inner() < 1_000_000);
        }
    }
}
