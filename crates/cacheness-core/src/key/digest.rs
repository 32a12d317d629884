//! BLAKE3 of contents, on all cores for large ones.

use crate::parallel;

/// From this many bytes on, contents are hashed on all cores.
pub const PARALLEL_THRESHOLD: usize = 128 * 1024;

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
        if bytes.len() < PARALLEL_THRESHOLD {
            self.0.update(bytes);
        } else {
            parallel::run(|| self.0.update_rayon(bytes));
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
