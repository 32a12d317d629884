//! The limits of a cache.

use serde::{Deserialize, Serialize};

use super::lifetime;
use crate::error::{Error, ErrorKind, Result};

/// Which entries a full cache evicts first. Expired entries are evicted before all others, pinned ones never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvictionPolicy {
    /// The least recently read ones.
    #[default]
    Lru,
    /// The least often read ones.
    Lfu,
    /// Those with the oldest keys.
    Fifo,
    /// None: a put into a full cache fails.
    None,
}

/// The limits of a cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Megabytes (2^20 bytes) of payloads; `None` for no limit.
    pub max_cache_size_mb: Option<f64>,
    /// Entries; `None` for no limit.
    pub max_entries: Option<u64>,
    /// Maximum seconds that an entry is served, whatever its own time to live; `None` for no limit.
    pub max_age_seconds: Option<f64>,
    /// Which entries are evicted when one of the first two is reached, down to 90 %.
    pub eviction_policy: EvictionPolicy,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_cache_size_mb: Some(10_000.0),
            max_entries: None,
            max_age_seconds: None,
            eviction_policy: EvictionPolicy::Lru,
        }
    }
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self {
        max_cache_size_mb: None,
        max_entries: None,
        max_age_seconds: None,
        eviction_policy: EvictionPolicy::Lru,
    };

    /// The limit of payloads in bytes, `u64::MAX` for none.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
    pub fn max_bytes(&self) -> u64 {
        self.max_cache_size_mb.map_or(u64::MAX, |megabytes| (megabytes * 1_048_576.0) as u64)
    }

    /// The limit of entries, `u64::MAX` for none.
    #[must_use]
    pub fn max_entries(&self) -> u64 {
        self.max_entries.unwrap_or(u64::MAX)
    }

    /// Refuses invalid limits.
    pub fn check(&self) -> Result<()> {
        if let Some(megabytes) = self.max_cache_size_mb
            && !(megabytes.is_finite() && megabytes > 0.0)
        {
            return Err(Error::new(ErrorKind::InvalidInput, format!("max_cache_size_mb is {megabytes}"))
                .with_hint("give a number of megabytes greater than zero, or None for no limit"));
        }
        if self.max_entries == Some(0) {
            return Err(Error::new(ErrorKind::InvalidInput, "max_entries is 0")
                .with_hint("give a number greater than zero, or None for no limit"));
        }
        lifetime("max_age_seconds", self.max_age_seconds)
    }
}
