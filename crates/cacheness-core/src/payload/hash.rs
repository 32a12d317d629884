//! The hashes of a payload.

use std::hash::Hasher;

use super::LARGE;
use crate::parallel;

/// Hashes a payload in pieces.
pub struct PayloadHasher {
    xxh3: Option<Box<twox_hash::XxHash3_64>>,
    blake3: Option<Box<blake3::Hasher>>,
    size: u64,
}

/// The hashes of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadHash {
    /// Bytes.
    pub size: u64,
    /// XXH3-64, if requested.
    pub file_hash: Option<u64>,
    /// BLAKE3, if requested.
    pub digest: Option<[u8; 32]>,
}

impl PayloadHasher {
    /// A hasher for the requested hashes.
    #[must_use]
    pub fn new(xxh3: bool, blake3: bool) -> Self {
        Self {
            xxh3: xxh3.then(|| Box::new(twox_hash::XxHash3_64::new())),
            blake3: blake3.then(|| Box::new(blake3::Hasher::new())),
            size: 0,
        }
    }

    /// Adds bytes. Both hashes process a piece while it is in the cache of the core.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        for piece in bytes.chunks(256 << 10) {
            if let Some(xxh3) = &mut self.xxh3 {
                xxh3.write(piece);
            }
            if let Some(blake3) = &mut self.blake3 {
                blake3.update(piece);
            }
        }
    }

    /// Adds bytes, on all cores if there are many.
    pub fn update_parallel(&mut self, bytes: &[u8]) {
        if bytes.len() < LARGE {
            return self.update(bytes);
        }
        self.size += bytes.len() as u64;
        let Self { xxh3, blake3, .. } = self;
        let xxh3 = || {
            if let Some(xxh3) = xxh3 {
                xxh3.write(bytes);
            }
        };
        let blake3 = || {
            if let Some(blake3) = blake3 {
                blake3.update_rayon(bytes);
            }
        };
        parallel::run(|| rayon::join(xxh3, blake3));
    }

    /// The hashes of all bytes added.
    #[must_use]
    pub fn finish(&self) -> PayloadHash {
        PayloadHash {
            size: self.size,
            file_hash: self.xxh3.as_ref().map(|h| h.finish()),
            digest: self.blake3.as_ref().map(|h| *h.finalize().as_bytes()),
        }
    }

    /// The hashes of bytes in memory.
    #[must_use]
    pub fn of(bytes: &[u8], xxh3: bool, blake3: bool) -> PayloadHash {
        if bytes.len() >= LARGE {
            let mut hasher = Self::new(xxh3, blake3);
            hasher.update_parallel(bytes);
            return hasher.finish();
        }
        PayloadHash {
            size: bytes.len() as u64,
            file_hash: xxh3.then(|| twox_hash::XxHash3_64::oneshot(bytes)),
            digest: blake3.then(|| *blake3::hash(bytes).as_bytes()),
        }
    }
}

/// The hash that a payload must have to be returned.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// None: the caller disabled verification.
    Skip,
    /// This XXH3-64.
    Xxh3(u64),
    /// This BLAKE3.
    Blake3([u8; 32]),
}
