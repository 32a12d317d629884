//! When an entry that is there should be computed anew.

use std::time::Duration;

use crate::entry::Code;
use crate::error::{Error, ErrorKind, Result};

/// When an entry that is served should be computed anew.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Freshness {
    /// An entry that expired less than so long ago is served, and due.
    pub stale: Option<Duration>,
    /// An entry that has not expired may be due before: the nearer the end and the longer it took to compute, the more
    /// probably; 1 is a good choice, more is earlier.
    ///
    /// It is `XFetch` of A. Vattani, F. Chierichetti, K. Lowenstein, *Optimal Probabilistic Cache Stampede Prevention*,
    /// VLDB 2015: due when `-beta · compute_seconds · ln(random)` is at least the time that is left.
    pub early_recompute: Option<f64>,
    /// The code that computes the value now: an entry that other code has computed is missing. One of which that is not
    /// known is served.
    pub code: Option<Code>,
}

impl Freshness {
    /// Refuses values that make no sense.
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
