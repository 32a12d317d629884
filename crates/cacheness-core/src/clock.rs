//! Times in the form of the store, and a clock that tests can control.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Error, ErrorKind, Result};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The end of the year 9999: Python's `datetime` and ISO 8601 with four digits go no further.
    pub const LAST_DATE: Self = Self(253_402_300_799_999_999);

    /// This time plus `duration`, saturating.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// Seconds since 1970, with a fraction.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// ISO 8601 in UTC, to the microsecond: `2026-11-20T12:00:00.000000+00:00`.
    #[must_use]
    pub fn to_iso(self) -> String {
        self.to_string()
    }
}

/// ISO 8601 in UTC, to the microsecond, as in listings; microseconds since 1970 for a year that `chrono` does not support.
///
/// ```
/// use cacheness_core::clock::Timestamp;
///
/// let time = Timestamp(1_790_000_000_000_001);
/// assert_eq!(time.to_string(), "2026-09-21T14:13:20.000001+00:00");
/// assert_eq!("2026-09-21T16:13:20.000001+02:00".parse::<Timestamp>()?, time);
/// # Ok::<(), cacheness_core::Error>(())
/// ```
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_micros(self.0) {
            Some(time) => f.pad(&time.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()),
            None => fmt::Display::fmt(&self.0, f),
        }
    }
}

/// Reads ISO 8601 with an offset from UTC, or `Z`; truncates to microseconds.
impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let time = text.parse::<chrono::DateTime<chrono::FixedOffset>>().map_err(|error| {
            Error::new(ErrorKind::InvalidInput, format!("{text:?} is not a time"))
                .with_source(error)
                .with_hint("write 2026-11-20T12:00:00+00:00")
        })?;
        Ok(Self(time.timestamp_micros()))
    }
}

/// The source of the time.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that starts at `start` and advances only when told to; its clones advance with it.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Some(Arc::new(AtomicI64::new(start.0))))
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Some(manual) => Timestamp(manual.load(Ordering::Relaxed)),
            None => {
                let micros = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
                Timestamp(match SystemTime::now().duration_since(UNIX_EPOCH) {
                    Ok(since) => micros(since),
                    Err(before) => -micros(before.duration()),
                })
            }
        }
    }

    /// Moves a manual clock by `micros` (backwards if negative); does not affect the system's clock.
    pub fn advance(&self, micros: i64) {
        if let Some(manual) = &self.0 {
            manual.fetch_add(micros, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Clock::manual" } else { "Clock::system" })
    }
}
