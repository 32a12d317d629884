//! Work on all cores, also after a `fork()`.
//!
//! The threads of a pool do not exist in a forked child, where waiting for them would take for ever. The pool is
//! therefore bound to the process that started it, and a child starts its own.

use std::sync::atomic::{AtomicPtr, Ordering};

use rayon::{ThreadPool, ThreadPoolBuilder};

struct Pool {
    pid: u32,
    threads: Option<ThreadPool>,
}

static POOL: AtomicPtr<Pool> = AtomicPtr::new(std::ptr::null_mut());

/// Calls `work` where `rayon` finds a pool of this process; on the calling thread if no thread can be started.
pub fn run<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match &pool().threads {
        Some(threads) => threads.install(work),
        None => work(),
    }
}

/// How many threads [`run`] spreads work over.
#[must_use]
pub fn threads() -> usize {
    pool().threads.as_ref().map_or(1, ThreadPool::current_num_threads)
}

fn pool() -> &'static Pool {
    let pid = std::process::id();
    let current = POOL.load(Ordering::Acquire);
    if let Some(pool) = as_ref(current)
        && pool.pid == pid
    {
        return pool;
    }
    let threads = ThreadPoolBuilder::new().thread_name(|i| format!("cacheness-{i}")).build();
    let threads = threads.map_err(|error| log::warn!("cannot start threads, working on one: {error}")).ok();
    // A pool is never freed: threads of this process may be using it, and one inherited from a parent has no threads
    // that could be joined.
    let fresh = Box::into_raw(Box::new(Pool { pid, threads }));
    match POOL.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => as_ref(fresh).expect("it has just been made"),
        Err(other) => as_ref(other).expect("only pools are ever put here"),
    }
}

#[allow(unsafe_code)]
fn as_ref(pool: *mut Pool) -> Option<&'static Pool> {
    // SAFETY: the pointer is null or comes from `Box::into_raw` above and is never freed.
    unsafe { pool.as_ref() }
}
