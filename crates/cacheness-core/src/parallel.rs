//! Work on all cores, also after a `fork()`.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::sync::per_process;

per_process!(static POOL: Option<ThreadPool>);

/// Calls `work` inside this process's `rayon` pool; on the calling thread if no thread can be started.
pub fn run<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match pool() {
        Some(threads) => threads.install(work),
        None => work(),
    }
}

/// How many threads [`run`] spreads work over.
#[must_use]
pub fn threads() -> usize {
    pool().map_or(1, ThreadPool::current_num_threads)
}

/// Calls `own` on this thread while `others` runs on up to `helpers` threads of the pool, at most once per remaining core.
/// Returns when all have returned.
///
/// `others` must be harmless if it runs late or not at all: on a machine with one core it gets no thread.
pub fn beside<R>(helpers: usize, own: impl FnOnce() -> R, others: impl Fn() + Sync) -> R {
    let helpers = helpers.min(threads() - 1);
    let Some(threads) = pool().filter(|_| helpers > 0) else { return own() };
    let others = &others;
    threads.in_place_scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(move |_| others());
        }
        own()
    })
}

/// Calls `work` with every item of `items`, on this thread and up to `helpers` of the pool. After the first error, which it
/// returns, no further item is started.
pub fn share<T: Send, E: Send>(
    helpers: usize,
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let items = Mutex::new(items);
    let stop = AtomicBool::new(false);
    let failed = Mutex::new(None);
    let run = || {
        while !stop.load(Ordering::Relaxed) {
            let Some(item) = items.lock().next() else { break };
            if let Err(error) = work(item) {
                stop.store(true, Ordering::Relaxed);
                failed.lock().get_or_insert(error);
            }
        }
    };
    beside(helpers, run, run);
    failed.into_inner().map_or(Ok(()), Err)
}

fn pool() -> Option<&'static ThreadPool> {
    let start = || {
        let threads = ThreadPoolBuilder::new().thread_name(|i| format!("cacheness-{i}")).build();
        threads.map_err(|error| log::warn!("cannot start threads, using one: {error}")).ok()
    };
    POOL.get_or_make(start).as_ref()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn every_item_is_worked_on_once() {
        let mut done = vec![0_u8; 1000];
        let outcome: Result<(), ()> = share(7, done.iter_mut(), |item| {
            *item += 1;
            Ok(())
        });
        assert_eq!(outcome, Ok(()));
        assert!(done.iter().all(|&count| count == 1));
    }

    #[test]
    fn an_error_stops_the_others() {
        let begun = AtomicUsize::new(0);
        let outcome = share(7, 0..1_000_000, |item| {
            begun.fetch_add(1, Ordering::Relaxed);
            if item == 10 { Err(item) } else { Ok(()) }
        });
        assert_eq!(outcome, Err(10));
        assert!(begun.into_inner() < 1_000_000);
    }

    #[test]
    fn the_calling_thread_works_too() {
        let caller = std::thread::current().id();
        assert_eq!(beside(3, || std::thread::current().id(), || ()), caller);
    }
}
