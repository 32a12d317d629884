//! Keys: the canonical encoding of parameters. Specification: `docs/formats/keys.md`.

use std::fmt;

/// XXH3-64 of the canonical encoding of the parameters; shown as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey(pub u64);

/// The first 16 bytes of the BLAKE3 of the canonical encoding.
pub type Fingerprint = [u8; 16];

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheKey({self})")
    }
}
