//! BLAKE3 of contents, on all cores where that pays.
//!
//! Threads do not survive `fork()`: a rayon pool that was used before it would wait for ever in the child. Hashing
//! therefore runs on a pool that belongs to the process that made it; a child makes its own.

use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// From this many bytes on, contents are hashed on all cores.
pub const PARALLEL_THRESHOLD: usize = 128 * 1024;

/// A pool and the process it belongs to. The pool of a former process is never dropped: joining its threads, which do
/// not exist in this process, would not return.
struct Generation {
    process: u32,
    pool: Option<ThreadPool>,
    next: OnceLock<Box<Generation>>,
}

static FIRST: OnceLock<Box<Generation>> = OnceLock::new();

/// The pool of this process; `None` where threads cannot be started, and everything is hashed on the calling thread.
fn pool() -> Option<&'static ThreadPool> {
    let process = std::process::id();
    let mut slot = &FIRST;
    loop {
        if slot.get().is_none() {
            let pool = ThreadPoolBuilder::new().thread_name(|i| format!("cacheness-hash-{i}")).build().ok();
            // Another thread may have been faster: its pool is then used, and this one dropped.
            let _ = slot.set(Box::new(Generation { process, pool, next: OnceLock::new() }));
        }
        let generation = slot.get().expect("it was set above");
        if generation.process == process {
            return generation.pool.as_ref();
        }
        slot = &generation.next;
    }
}

/// Runs `work` where rayon's parallel iterators use the pool of this process.
pub fn in_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    match pool() {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

/// The BLAKE3 of `bytes`.
#[must_use]
pub fn blake3(bytes: &[u8]) -> [u8; 32] {
    if bytes.len() < PARALLEL_THRESHOLD {
        return *::blake3::hash(bytes).as_bytes();
    }
    let mut hasher = Hasher::new();
    hasher.update(bytes);
    hasher.finalize()
}

/// An incremental BLAKE3 that hashes large updates on all cores.
#[derive(Clone, Debug, Default)]
pub struct Hasher(::blake3::Hasher);

impl Hasher {
    /// An empty hasher.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        match if bytes.len() < PARALLEL_THRESHOLD { None } else { pool() } {
            Some(pool) => {
                pool.install(|| self.0.update_rayon(bytes));
            }
            None => {
                self.0.update(bytes);
            }
        }
    }

    /// The digest of what was added.
    #[must_use]
    pub fn finalize(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_and_sequential_digests_agree() {
        let bytes: Vec<u8> = (0..3_000_001_u32).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
        for end in [0, 1, 4096, PARALLEL_THRESHOLD - 1, PARALLEL_THRESHOLD, bytes.len()] {
            assert_eq!(blake3(&bytes[..end]), *::blake3::hash(&bytes[..end]).as_bytes(), "{end} bytes");
        }
        let mut hasher = Hasher::new();
        hasher.update(&bytes[..7]);
        hasher.update(&bytes[7..2_000_000]);
        hasher.update(&bytes[2_000_000..]);
        assert_eq!(hasher.finalize(), blake3(&bytes));
    }
}
