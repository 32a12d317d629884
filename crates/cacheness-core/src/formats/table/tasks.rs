//! A few independent tasks on all cores, their results in order.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::parallel;

/// Results by the number of their task.
struct Results<T> {
    waiting: Vec<Option<T>>,
    /// Running tasks.
    running: usize,
}

/// Runs `task(0)` to `task(count - 1)`, in the order of `order`, on this thread and those of the pool, and passes the
/// results to `take` on the calling thread, in ascending order of their numbers. Stops at the first error.
///
/// The threads are those of [`parallel`], of which a forked child has its own.
pub(super) fn run<T: Send, E>(
    order: &[usize],
    parallel: bool,
    task: impl Fn(usize) -> T + Sync,
    mut take: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = if parallel { parallel::threads().min(order.len()) } else { 1 };
    if threads <= 1 {
        return (0..order.len()).try_for_each(|number| take(number, task(number)));
    }
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Results { waiting: order.iter().map(|_| None).collect(), running: 0 });
    let ended = Condvar::new();
    // Runs one task; `false` if none is left.
    let step = || {
        // Counted before it is taken, so that a thread that finds no task left does not overlook it.
        let running = Running::begin(&results, &ended);
        let Some(&number) = order.get(next.fetch_add(1, Ordering::Relaxed)) else { return false };
        let result = task(number);
        running.results.lock().waiting[number] = Some(result);
        true
    };
    let own = || {
        // Other threads take no further task once this thread stops, for any reason.
        let _stop = Stop { next: &next, count: order.len() };
        let mut done = 0;
        while done < order.len() {
            let result = results.lock().waiting[done].take();
            if let Some(result) = result {
                take(done, result)?;
                done += 1;
            } else if !step() {
                let mut results = results.lock();
                while results.waiting[done].is_none() {
                    if results.running == 0 {
                        // Its task has panicked: the pool propagates the panic.
                        return Ok(());
                    }
                    ended.wait(&mut results);
                }
            }
        }
        Ok(())
    };
    parallel::beside(threads - 1, own, || while step() {})
}

/// A running task.
struct Running<'a, T> {
    results: &'a Mutex<Results<T>>,
    ended: &'a Condvar,
}

impl<'a, T> Running<'a, T> {
    fn begin(results: &'a Mutex<Results<T>>, ended: &'a Condvar) -> Self {
        results.lock().running += 1;
        Self { results, ended }
    }
}

impl<T> Drop for Running<'_, T> {
    fn drop(&mut self) {
        self.results.lock().running -= 1;
        self.ended.notify_all();
    }
}

struct Stop<'a> {
    next: &'a AtomicUsize,
    count: usize,
}

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.next.store(self.count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn results_come_in_ascending_order() {
        let order: Vec<usize> = (0..200).rev().collect();
        for parallel in [true, false] {
            let mut found = Vec::new();
            let outcome = run(
                &order,
                parallel,
                |number| number * number,
                |number, result| {
                    found.push((number, result));
                    Ok::<_, ()>(())
                },
            );
            assert_eq!(outcome, Ok(()));
            assert_eq!(found, (0..200).map(|number| (number, number * number)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_error_ends_it() {
        let order: Vec<usize> = (0..1_000_000).collect();
        let begun = AtomicUsize::new(0);
        let outcome = run(
            &order,
            true,
            |number| {
                begun.fetch_add(1, Ordering::Relaxed);
                number
            },
            |_, number| if number == 10 { Err(number) } else { Ok(()) },
        );
        assert_eq!(outcome, Err(10));
        assert!(begun.into_inner() < 1_000_000);
    }

    #[test]
    fn a_panic_is_passed_on() {
        let order: Vec<usize> = (0..100).collect();
        for bad in [0, 50, 99] {
            let work = || {
                run(
                    &order,
                    true,
                    |number| {
                        assert_ne!(number, bad);
                        number
                    },
                    |_, _| Ok::<_, ()>(()),
                )
            };
            assert!(catch_unwind(AssertUnwindSafe(work)).is_err());
        }
    }
}
