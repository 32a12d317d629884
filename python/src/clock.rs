//! A clock for tests.

use cacheness::{Clock, Timestamp};
use cacheness_core::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::errors::to_py;
use crate::kwargs::seconds;

/// The end of the year 9999, in seconds.
const LATEST: f64 = 253_402_300_800.0;

/// A clock that advances only when told to, for tests of expiry: `Cache(…, clock=clock)`.
///
/// Several caches can share a clock. Unpickling creates an independent clock with the same time.
///
/// Args:
///     start: seconds since 1970, or a `datetime`. Default: the current time.
///
/// Raises:
///     CacheConfigurationError: `start` is not a time.
#[pyclass(frozen, module = "cacheness", name = "Clock")]
pub(crate) struct PyClock(pub(crate) Clock);

/// Seconds as microseconds.
fn micros(value: f64, name: &str) -> PyResult<i64> {
    if value.abs() <= LATEST {
        #[allow(clippy::cast_possible_truncation)]
        return Ok((value * 1e6).round() as i64);
    }
    Err(to_py(Error::new(ErrorKind::InvalidInput, format!("{name} is {value}, which is beyond the year 9999"))))
}

#[pymethods]
impl PyClock {
    #[new]
    #[pyo3(signature = (start = None))]
    fn new(start: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let start = match start {
            None => Clock::system().now(),
            Some(time) if time.hasattr("timestamp")? => {
                Timestamp(micros(time.call_method0("timestamp")?.extract()?, "start")?)
            }
            Some(time) => Timestamp(micros(seconds(time, "start")?, "start")?),
        };
        Ok(Self(Clock::manual(start)))
    }

    /// Seconds since 1970.
    fn now(&self) -> f64 {
        self.0.now().as_secs_f64()
    }

    /// Moves the clock, backwards if the value is negative.
    ///
    /// Args:
    ///     seconds: a number of seconds, or a `timedelta`.
    ///
    /// Raises:
    ///     CacheConfigurationError: `seconds` is not a duration.
    #[pyo3(signature = (seconds, /))]
    fn advance(&self, seconds: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.advance(micros(self::seconds(seconds, "seconds")?, "seconds")?);
        Ok(())
    }

    fn __repr__(&self) -> String {
        format!("Clock({})", self.now())
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, (f64,)) {
        (slf.get_type(), (slf.get().now(),))
    }
}
