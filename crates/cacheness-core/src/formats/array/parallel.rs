//! Work on the pieces of an array, on all cores.
//!
//! Threads are started for the one call and joined before it returns: unlike a pool, that survives `fork()`, and it costs
//! some ten microseconds against the milliseconds that large arrays take.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::error::Result;

/// Bytes that are worth a thread of their own.
const WORTH_A_THREAD: usize = 256 << 10;

/// More threads than this do not make memory faster.
const MAX_THREADS: usize = 16;

/// How many threads to use for `nbytes` bytes.
pub(super) fn threads_for(nbytes: usize) -> usize {
    // Asking the system reads files of the control group.
    static CORES: OnceLock<usize> = OnceLock::new();
    if nbytes < 2 * WORTH_A_THREAD {
        return 1;
    }
    let cores = *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from));
    cores.min(MAX_THREADS).min(nbytes / WORTH_A_THREAD)
}

/// Calls `work` with every item of `items`, on `threads` threads that each have a state of their own. The first error
/// stops all of them.
pub(super) fn for_each<T: Send, S>(
    items: impl Iterator<Item = T> + Send,
    threads: usize,
    state: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, T) -> Result<()> + Sync,
) -> Result<()> {
    let items = Mutex::new(items);
    let stop = AtomicBool::new(false);
    let run = || -> Result<()> {
        let outcome = state().and_then(|mut state| {
            while !stop.load(Ordering::Relaxed) {
                let item = items.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(item) = item else { break };
                work(&mut state, item)?;
            }
            Ok(())
        });
        if outcome.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        outcome
    };
    if threads <= 1 {
        return run();
    }
    std::thread::scope(|scope| {
        // A thread that cannot be started leaves its share to the others.
        let others: Vec<_> = (1..threads)
            .map_while(|_| std::thread::Builder::new().name("cacheness-array".into()).spawn_scoped(scope, run).ok())
            .collect();
        let mut outcome = run();
        for other in others {
            let theirs = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            outcome = outcome.and(theirs);
        }
        outcome
    })
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
