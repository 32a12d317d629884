//! Integers beyond 64 bits, and the types of `datetime`, `decimal`, `uuid`.

use cacheness_core::Error;
use cacheness_core::ErrorKind;
use cacheness_core::key::Collection;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use super::types::{Reducer, is};
use super::walk::{Outcome, Walker};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// `datetime.date(1970, 1, 1).toordinal()`.
const EPOCH_ORDINAL: i64 = 719_163;

impl<'py> Walker<'py> {
    /// An integer that does not fit 64 bits.
    pub(super) fn big_int(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let bits: usize = value.call_method0(intern!(self.py, "bit_length"))?.extract()?;
        let options = PyDict::new(self.py);
        options.set_item(intern!(self.py, "signed"), true)?;
        let bytes = value.call_method(intern!(self.py, "to_bytes"), (bits / 8 + 1, "big"), Some(&options))?;
        self.encoder.int_bytes(bytes.cast::<PyBytes>()?.as_bytes());
        Ok(())
    }

    fn field(&self, value: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> PyResult<i64> {
        value.getattr(name)?.extract()
    }

    fn micros_of_day(&self, value: &Bound<'py, PyAny>) -> PyResult<i64> {
        let hours = self.field(value, intern!(self.py, "hour"))?;
        let minutes = self.field(value, intern!(self.py, "minute"))?;
        let seconds = self.field(value, intern!(self.py, "second"))?;
        let micros = self.field(value, intern!(self.py, "microsecond"))?;
        Ok(((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + micros)
    }

    fn days(&self, value: &Bound<'py, PyAny>) -> PyResult<i64> {
        let ordinal: i64 = value.call_method0(intern!(self.py, "toordinal"))?.extract()?;
        Ok(ordinal - EPOCH_ORDINAL)
    }

    fn micros_of_delta(&self, value: &Bound<'py, PyAny>) -> PyResult<i128> {
        let days = self.field(value, intern!(self.py, "days"))?;
        let seconds = self.field(value, intern!(self.py, "seconds"))?;
        let micros = self.field(value, intern!(self.py, "microseconds"))?;
        Ok(i128::from(days) * i128::from(MICROS_PER_DAY) + i128::from(seconds * MICROS_PER_SECOND + micros))
    }

    /// The offset from UTC in microseconds, where the zone gives one: always less than a day.
    fn offset(&self, value: &Bound<'py, PyAny>) -> PyResult<Option<i64>> {
        let offset = value.call_method0(intern!(self.py, "utcoffset"))?;
        if offset.is_none() {
            return Ok(None);
        }
        let micros = self.micros_of_delta(&offset)?;
        Ok(Some(i64::try_from(micros).map_err(|_| pyo3::exceptions::PyValueError::new_err("an offset beyond a day"))?))
    }

    pub(super) fn date(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let days = self.days(value)?;
        self.encoder.date(days);
        Ok(())
    }

    pub(super) fn timedelta(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let micros = self.micros_of_delta(value)?;
        self.encoder.duration(micros);
        Ok(())
    }

    pub(super) fn datetime(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let wall = self.days(value)? * MICROS_PER_DAY + self.micros_of_day(value)?;
        let zone = value.getattr(intern!(self.py, "tzinfo"))?;
        if zone.is_none() {
            self.encoder.datetime(wall);
            return Ok(());
        }
        let Some(offset) = self.offset(value)? else {
            return Err(no_offset("datetime").into());
        };
        let reducer = Reducer::get(self.py)?;
        if is(&reducer.timezone, zone.get_type_ptr()) {
            self.encoder.datetime_zoned(wall, offset, "");
            return Ok(());
        }
        let name = reducer.zone_name.bind(self.py).call1((&zone,))?;
        if !name.is_none() {
            self.encoder.datetime_zoned(wall, offset, super::walk::utf8(name.cast::<PyString>()?)?);
            return Ok(());
        }
        // A zone without a name that everyone knows: time, offset and the zone by its own parts.
        self.encoder.begin_named("datetime.datetime")?;
        let frame = self.encoder.begin_parts(Collection::Tuple, 3)?;
        self.encoder.datetime(wall);
        self.encoder.duration(offset.into());
        self.named_value("tzinfo", &zone)?;
        self.encoder.end(frame)?;
        self.encoder.end_named();
        Ok(())
    }

    pub(super) fn time(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let micros = self.micros_of_day(value)?;
        let zone = value.getattr(intern!(self.py, "tzinfo"))?;
        if zone.is_none() {
            self.encoder.time(micros, None);
            return Ok(());
        }
        if let Some(offset) = self.offset(value)? {
            self.encoder.time(micros, Some(offset));
            return Ok(());
        }
        // The offset of a named zone depends on the date, which a time has not.
        let name = Reducer::get(self.py)?.zone_name.bind(self.py).call1((&zone,))?;
        if name.is_none() {
            return Err(no_offset("time").into());
        }
        self.encoder.begin_named("datetime.time")?;
        let frame = self.encoder.begin_parts(Collection::Tuple, 2)?;
        self.encoder.time(micros, None);
        self.encoder.str(super::walk::utf8(name.cast::<PyString>()?)?);
        self.encoder.end(frame)?;
        self.encoder.end_named();
        Ok(())
    }

    pub(super) fn decimal(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let text = value.str()?;
        // The context of the thread may ask for a small e.
        self.encoder.decimal(&text.to_str()?.replace('e', "E"))?;
        Ok(())
    }

    pub(super) fn uuid(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let bytes = value.getattr(intern!(self.py, "bytes"))?.cast_into::<PyBytes>()?;
        let bytes: &[u8; 16] = bytes
            .as_bytes()
            .try_into()
            .map_err(|_| pyo3::exceptions::PyValueError::new_err("a UUID that has not 16 bytes"))?;
        self.encoder.uuid(bytes);
        Ok(())
    }
}

fn no_offset(what: &str) -> Error {
    Error::new(ErrorKind::KeyEncoding, format!("a {what} whose zone gives no offset from UTC has no stable encoding"))
        .with_hint("use datetime.timezone or zoneinfo.ZoneInfo")
}
