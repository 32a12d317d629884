//! A few independent tasks on all cores.
//!
//! Threads of its own for each call, not a pool: a pool does not survive `fork`, and tables large enough to be split
//! take far longer than the threads take to start.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Runs `task(0)` to `task(count - 1)`, the tasks of `order` in that order, on up to as many threads as there are cores,
/// and hands the results to `take` on the calling thread, in ascending order of their numbers. Stops at the first error.
pub(super) fn run<T: Send, E>(
    order: &[usize],
    parallel: bool,
    task: impl Fn(usize) -> T + Sync,
    mut take: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = if parallel { cores().min(order.len()) } else { 1 };
    if threads <= 1 {
        return (0..order.len()).try_for_each(|number| take(number, task(number)));
    }
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let sender = sender.clone();
                let (next, task) = (&next, &task);
                scope.spawn(move || {
                    while let Some(number) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                        // The receiver is gone when an earlier result was an error: nobody wants the rest.
                        if sender.send((*number, task(*number))).is_err() {
                            break;
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        let mut waiting: Vec<Option<T>> = order.iter().map(|_| None).collect();
        let mut done = 0;
        let mut outcome = Ok(());
        'results: for (number, result) in receiver {
            waiting[number] = Some(result);
            while let Some(result) = waiting.get_mut(done).and_then(Option::take) {
                outcome = take(done, result);
                if outcome.is_err() {
                    break 'results;
                }
                done += 1;
            }
        }
        next.store(order.len(), Ordering::Relaxed);
        for worker in workers {
            if let Err(panic) = worker.join() {
                resume_unwind(panic);
            }
        }
        outcome
    })
}

/// How many threads do useful work at once.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
