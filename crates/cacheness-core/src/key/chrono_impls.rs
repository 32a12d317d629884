//! Encodings of the types of `chrono`.
//!
//! Whole microseconds are encoded as in Python; finer times keep their nanoseconds. `chrono` represents a leap second as
//! nanoseconds beyond the second, which the encoding does not support.

use chrono::{DateTime, FixedOffset, Local, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, Timelike, Utc};

use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyEncoder, ToKey, tag};

impl ToKey for NaiveDate {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        encoder.date(days(*self));
        Ok(())
    }
}

impl ToKey for NaiveTime {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        let (micros, nanos) = time_of_day(*self)?;
        encoder.with_nanoseconds(nanos, |encoder| encoder.time(micros, None))
    }
}

impl ToKey for NaiveDateTime {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        let (micros, nanos) = wall(*self)?;
        encoder.with_nanoseconds(nanos, |encoder| encoder.datetime(micros))
    }
}

impl ToKey for DateTime<Utc> {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        zoned(encoder, self.naive_utc(), Utc.fix())
    }
}

impl ToKey for DateTime<FixedOffset> {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        zoned(encoder, self.naive_local(), *self.offset())
    }
}

/// `chrono` does not know the name of the local zone: its offset at that time is encoded.
impl ToKey for DateTime<Local> {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        zoned(encoder, self.naive_local(), self.offset().fix())
    }
}

impl ToKey for TimeDelta {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        let nanos = i128::from(self.num_seconds()) * 1_000_000_000 + i128::from(self.subsec_nanos());
        let rest = u32::try_from(nanos.rem_euclid(1000)).expect("less than 1000");
        encoder.with_nanoseconds(rest, |encoder| encoder.duration(nanos.div_euclid(1000)))
    }
}

fn zoned(encoder: &mut KeyEncoder, local: NaiveDateTime, offset: FixedOffset) -> Result<()> {
    let (micros, nanos) = wall(local)?;
    let offset = i64::from(offset.local_minus_utc()) * 1_000_000;
    encoder.with_nanoseconds(nanos, |encoder| encoder.datetime_zoned(micros, offset, ""))
}

fn days(date: NaiveDate) -> i64 {
    date.signed_duration_since(NaiveDate::default()).num_days()
}

fn wall(time: NaiveDateTime) -> Result<(i64, u32)> {
    let (micros, nanos) = time_of_day(time.time())?;
    Ok((days(time.date()) * tag::MICROS_PER_DAY + micros, nanos))
}

fn time_of_day(time: NaiveTime) -> Result<(i64, u32)> {
    let nanos = time.nanosecond();
    if nanos >= 1_000_000_000 {
        return Err(Error::new(
            ErrorKind::KeyEncoding,
            format!("{time} is a leap second, which has no stable encoding"),
        )
        .with_hint("pass the time as a string"));
    }
    let micros = i64::from(time.num_seconds_from_midnight()) * 1_000_000 + i64::from(nanos / 1000);
    Ok((micros, nanos % 1000))
}
