//! When to recompute an existing entry.

use std::time::Duration;

use crate::entry::Code;
use crate::error::{Error, ErrorKind, Result};

/// When to recompute an entry that is served.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Freshness {
    /// An entry that expired less than this long ago is served and due.
    pub stale: Option<Duration>,
    /// An entry may be due before it expires: the closer its expiry and the longer its computation took, the more
    /// probably. 1 is a good choice; larger is earlier.
    ///
    /// It is `XFetch` of A. Vattani, F. Chierichetti, K. Lowenstein, *Optimal Probabilistic Cache Stampede Prevention*,
    /// VLDB 2015: due when `-beta · compute_seconds · ln(random)` is at least the remaining time.
    pub early_recompute: Option<f64>,
    /// The code that computes the value now: an entry computed by other code counts as missing. An entry of unknown
    /// code is served.
    pub code: Option<Code>,
}

impl Freshness {
    /// Refuses invalid values.
    pub fn check(&self) -> Result<()> {
        match self.early_recompute {
            Some(beta) if !(beta.is_finite() && beta >= 0.0) => {
                Err(Error::new(ErrorKind::InvalidInput, format!("early_recompute is {beta}"))
                    .with_hint("give a number that is zero (never early) or more; 1 is a good choice"))
            }
            _ => Ok(()),
        }
    }
}
