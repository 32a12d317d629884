//! Work on all cores, also after a `fork()`.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::process::PerProcess;

static POOL: PerProcess<Option<ThreadPool>> = PerProcess::new();

/// Calls `work` where `rayon` finds a pool of this process; on the calling thread if no thread can be started.
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

fn pool() -> Option<&'static ThreadPool> {
    let start = || {
        let threads = ThreadPoolBuilder::new().thread_name(|i| format!("cacheness-{i}")).build();
        threads.map_err(|error| log::warn!("cannot start threads, working on one: {error}")).ok()
    };
    POOL.get_or_make(start).as_ref()
}
