//! Python objects into plain values.

use std::collections::HashSet;

use cacheness_core::formats::plain::calendar;
use cacheness_core::formats::plain::ext::{self, DateTime, Time, TimeDelta, Zone};
use cacheness_core::formats::plain::wire::{self, MAX_DEPTH, kind};
use pyo3::exceptions::{PyRuntimeError, PyUnicodeEncodeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyNone, PyRange, PySet,
    PyString, PyTuple,
};

use super::ffi::{Pairs, as_i64, exact};
use super::numpy;
use super::types::{DateTimes, Decimals, Module, Numpy, Paths, Uuids, Zones, is_exact};

/// Why a value is not written.
pub(super) enum Stop {
    /// Another handler has to take it.
    NotPlain,
    /// Python raised.
    Raised(PyErr),
}

impl From<PyErr> for Stop {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl From<cacheness_core::Error> for Stop {
    /// What the format cannot hold, another handler may.
    fn from(_: cacheness_core::Error) -> Self {
        Self::NotPlain
    }
}

pub(super) type Put = Result<(), Stop>;

/// Strings and byte strings from this length on are checked for repetition, and are not kept in two encodings.
const LARGE: usize = 64 << 10;

/// How many containers are written before the number of distinct ones is counted.
const MANY: usize = 1 << 18;

/// How many bytes of large strings may be written twice.
const REPEATED: usize = 64 << 20;

/// Writes one value. An object that occurs in several places is written in each, so sharing is monitored: a value that would
/// grow too much is left to pickle, which keeps identities.
struct Dumper<'a, 'py> {
    out: &'a mut Vec<u8>,
    root: &'a Bound<'py, PyAny>,
    /// Containers written.
    containers: usize,
    /// How many may be written, or may be written before they are counted.
    allowed: usize,
    counted: bool,
    /// Addresses of the large strings written.
    large: HashSet<usize>,
    /// Bytes of repeated large strings.
    repeated: usize,
}

/// Appends `value` to `out` and returns `true`; returns `false`, with `out` unchanged, if it is not a plain value.
pub(crate) fn dump(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<bool> {
    let start = out.len();
    let mut dumper =
        Dumper { out, root: value, containers: 0, allowed: MANY, counted: false, large: HashSet::new(), repeated: 0 };
    let result = dumper.put(value, MAX_DEPTH);
    match result {
        Ok(()) => Ok(true),
        Err(Stop::NotPlain) => {
            out.truncate(start);
            Ok(false)
        }
        Err(Stop::Raised(error)) => {
            out.truncate(start);
            Err(error)
        }
    }
}

fn changed(what: &str) -> Stop {
    Stop::Raised(PyRuntimeError::new_err(format!("a {what} changed while it was being stored")))
}

impl<'py> Dumper<'_, 'py> {
    fn put(&mut self, value: &Bound<'py, PyAny>, depth: usize) -> Put {
        if let Some(value) = exact::<PyString>(value) {
            self.put_str(value)
        } else if let Some(value) = exact::<PyInt>(value) {
            put_int(self.out, value)
        } else if let Some(value) = exact::<PyFloat>(value) {
            wire::put_f64(self.out, value.value());
            Ok(())
        } else if let Some(value) = exact::<PyDict>(value) {
            self.put_dict(value, depth)
        } else if let Some(value) = exact::<PyList>(value) {
            let depth = self.enter(depth)?;
            self.put_list(value, depth)
        } else if let Some(value) = exact::<PyTuple>(value) {
            let depth = self.enter(depth)?;
            let start = wire::begin_ext(self.out, kind::TUPLE);
            wire::put_array_len(self.out, value.len())?;
            for item in value.iter_borrowed() {
                self.put(&item, depth)?;
            }
            Ok(wire::end_ext(self.out, start)?)
        } else if let Some(value) = exact::<PyBool>(value) {
            wire::put_bool(self.out, value.is_true());
            Ok(())
        } else if exact::<PyNone>(value).is_some() {
            wire::put_nil(self.out);
            Ok(())
        } else if let Some(bytes) = exact::<PyBytes>(value) {
            let bytes = bytes.as_bytes();
            self.watch(value, bytes.len())?;
            Ok(wire::put_bin(self.out, bytes)?)
        } else if let Some(value) = exact::<PySet>(value) {
            self.put_members(value, value.len(), kind::SET, depth)
        } else if let Some(value) = exact::<PyFrozenSet>(value) {
            self.put_members(value, value.len(), kind::FROZEN_SET, depth)
        } else {
            self.put_other(value)
        }
    }

    /// Counts a container and descends one level.
    #[inline]
    fn enter(&mut self, depth: usize) -> Result<usize, Stop> {
        self.containers += 1;
        if self.containers > self.allowed {
            self.count_shared()?;
        }
        depth.checked_sub(1).ok_or(Stop::NotPlain)
    }

    /// Counts the distinct containers, and allows writing each twice.
    #[cold]
    fn count_shared(&mut self) -> Put {
        if self.counted {
            return Err(Stop::NotPlain);
        }
        self.counted = true;
        let mut seen = HashSet::new();
        let mut waiting = vec![self.root.clone()];
        while let Some(value) = waiting.pop() {
            let is_container = exact::<PyDict>(&value).is_some()
                || exact::<PyList>(&value).is_some()
                || exact::<PyTuple>(&value).is_some()
                || exact::<PySet>(&value).is_some()
                || exact::<PyFrozenSet>(&value).is_some();
            if !is_container || !seen.insert(value.as_ptr().addr()) {
                continue;
            }
            if let Some(dict) = exact::<PyDict>(&value) {
                for (key, value) in Pairs::new(dict) {
                    waiting.push(key);
                    waiting.push(value);
                }
            } else {
                for item in value.try_iter()? {
                    waiting.push(item?);
                }
            }
        }
        self.allowed = seen.len().saturating_mul(2);
        if self.containers > self.allowed { Err(Stop::NotPlain) } else { Ok(()) }
    }

    /// Counts a string or byte string that is written again.
    fn watch(&mut self, value: &Bound<'py, PyAny>, len: usize) -> Put {
        if len >= LARGE && !self.large.insert(value.as_ptr().addr()) {
            self.repeated += len;
            if self.repeated > REPEATED {
                return Err(Stop::NotPlain);
            }
        }
        Ok(())
    }

    fn put_str(&mut self, value: &Bound<'py, PyString>) -> Put {
        if value.len()? >= LARGE {
            let bytes = value.encode_utf8().map_err(surrogates(value.py()))?;
            let text = std::str::from_utf8(bytes.as_bytes()).map_err(|_| Stop::NotPlain)?;
            self.watch(value, text.len())?;
            return Ok(wire::put_str(self.out, text)?);
        }
        let text = value.to_str().map_err(surrogates(value.py()))?;
        Ok(wire::put_str(self.out, text)?)
    }

    fn put_list(&mut self, list: &Bound<'py, PyList>, depth: usize) -> Put {
        let len = list.len();
        wire::put_array_len(self.out, len)?;
        for i in 0..len {
            let item = list.get_item(i).map_err(|_| changed("list"))?;
            self.put(&item, depth)?;
        }
        if list.len() == len { Ok(()) } else { Err(changed("list")) }
    }

    fn put_dict(&mut self, dict: &Bound<'py, PyDict>, depth: usize) -> Put {
        let depth = self.enter(depth)?;
        let len = dict.len();
        wire::put_map_len(self.out, len)?;
        let mut count = 0;
        for (key, value) in Pairs::new(dict) {
            count += 1;
            self.put(&key, depth)?;
            self.put(&value, depth)?;
        }
        if count == len && dict.len() == len { Ok(()) } else { Err(changed("dict")) }
    }

    fn put_members(&mut self, set: &Bound<'py, PyAny>, len: usize, kind: i8, depth: usize) -> Put {
        let depth = self.enter(depth)?;
        let start = wire::begin_ext(self.out, kind);
        wire::put_array_len(self.out, len)?;
        let mut bounds = vec![self.out.len()];
        for member in set.try_iter()? {
            self.put(&member?, depth)?;
            bounds.push(self.out.len());
        }
        if bounds.len() != len + 1 {
            return Err(changed("set"));
        }
        self.sort_members(&bounds);
        Ok(wire::end_ext(self.out, start)?)
    }

    /// Sorts the encodings between `bounds` in ascending order: equal sets have equal bytes, in every process.
    fn sort_members(&mut self, bounds: &[usize]) {
        let mut members: Vec<&[u8]> = bounds.windows(2).map(|ends| &self.out[ends[0]..ends[1]]).collect();
        if members.is_sorted() {
            return;
        }
        members.sort_unstable();
        let sorted = members.concat();
        self.out.truncate(bounds[0]);
        self.out.extend_from_slice(&sorted);
    }

    fn put_other(&mut self, value: &Bound<'py, PyAny>) -> Put {
        let py = value.py();
        if let Some(value) = exact::<PyComplex>(value) {
            return Ok(ext::put_complex(self.out, value.real(), value.imag())?);
        }
        if let Some(bytes) = exact::<PyByteArray>(value) {
            let bytes = bytes.to_vec();
            self.watch(value, bytes.len())?;
            return Ok(wire::put_ext(self.out, kind::BYTE_ARRAY, &bytes)?);
        }
        if let Some(value) = exact::<PyRange>(value) {
            let start = wire::begin_ext(self.out, kind::RANGE);
            wire::put_array_len(self.out, 3)?;
            for name in [intern!(py, "start"), intern!(py, "stop"), intern!(py, "step")] {
                let part = value.getattr(name)?;
                // The parts of a range may be of a subclass of int.
                put_int(self.out, exact::<PyInt>(&part).ok_or(Stop::NotPlain)?)?;
            }
            return Ok(wire::end_ext(self.out, start)?);
        }
        if let Some(types) = DateTimes::loaded(py)? {
            if is_exact(value, &types.datetime) {
                return put_datetime(self.out, value, types);
            } else if is_exact(value, &types.date) {
                let ordinal: i32 = value.call_method0(intern!(py, "toordinal"))?.extract()?;
                return Ok(ext::put_date(self.out, ordinal - 1 + calendar::FIRST_DAY)?);
            } else if is_exact(value, &types.timedelta) {
                let part = |name| value.getattr(name)?.extract::<i32>();
                return Ok(ext::put_timedelta(
                    self.out,
                    &TimeDelta {
                        days: part(intern!(py, "days"))?,
                        seconds: part(intern!(py, "seconds"))?,
                        micros: part(intern!(py, "microseconds"))?,
                    },
                )?);
            } else if is_exact(value, &types.time) {
                return put_time(self.out, value, types);
            }
        }
        if let Some(types) = Numpy::loaded(py)? {
            if is_exact(value, &types.ndarray) {
                return numpy::put_array(self.out, value, types);
            } else if value.is_instance(types.generic.bind(py))? {
                return numpy::put_scalar(self.out, value, types);
            } else if value.is_instance(types.dtype.bind(py))? {
                return Ok(ext::put_dtype(self.out, &numpy::dtype_name(value, types)?)?);
            }
        }
        if let Some(types) = Decimals::loaded(py)?
            && is_exact(value, &types.decimal)
        {
            let text = value.str()?;
            // The format of the exponent depends on the context of the thread.
            let text = text.to_str()?.replace("e+", "E+").replace("e-", "E-");
            return Ok(ext::put_decimal(self.out, &text)?);
        }
        if let Some(types) = Uuids::loaded(py)?
            && is_exact(value, &types.uuid)
        {
            let bytes = value.getattr(intern!(py, "bytes"))?;
            let bytes = exact::<PyBytes>(&bytes).ok_or(Stop::NotPlain)?;
            let bytes: [u8; 16] = bytes.as_bytes().try_into().map_err(|_| Stop::NotPlain)?;
            return Ok(wire::put_ext(self.out, kind::UUID, &bytes)?);
        }
        if let Some(types) = Paths::loaded(py)?
            && is_exact(value, &types.path)
        {
            let text = value.call_method0(intern!(py, "as_posix"))?;
            let text = exact::<PyString>(&text).ok_or(Stop::NotPlain)?;
            let text = text.to_str().map_err(surrogates(py))?;
            return Ok(wire::put_ext(self.out, kind::PATH, text.as_bytes())?);
        }
        if is_of_pandas(value) {
            let text = py.import(intern!(py, "cacheness._dtypes"))?.call_method1(intern!(py, "to_text"), (value,))?;
            let text: Option<String> = text.extract()?;
            return Ok(ext::put_dtype(self.out, &format!("pandas:{}", text.ok_or(Stop::NotPlain)?))?);
        }
        Err(Stop::NotPlain)
    }
}

/// Whether the class of a value is one of pandas. A class may have no module, or raise on access to it.
fn is_of_pandas(value: &Bound<'_, PyAny>) -> bool {
    let module = value.get_type().module();
    module.is_ok_and(|module| module.to_str().is_ok_and(|module| module.split('.').next() == Some("pandas")))
}

/// A str that is not valid Unicode (lone surrogates) is not plain.
fn surrogates(py: Python<'_>) -> impl Fn(PyErr) -> Stop {
    move |error| {
        if error.is_instance_of::<PyUnicodeEncodeError>(py) { Stop::NotPlain } else { Stop::Raised(error) }
    }
}

fn put_int(out: &mut Vec<u8>, value: &Bound<'_, PyInt>) -> Put {
    if let Some(value) = as_i64(value) {
        wire::put_i64(out, value);
        return Ok(());
    }
    let py = value.py();
    if let Ok(value) = value.extract::<u64>() {
        wire::put_u64(out, value);
        return Ok(());
    }
    let is_negative = value.lt(0)?;
    let size = if is_negative { value.call_method0(intern!(py, "__invert__"))? } else { value.clone().into_any() };
    let bits: usize = size.call_method0(intern!(py, "bit_length"))?.extract()?;
    let options = PyDict::new(py);
    options.set_item(intern!(py, "signed"), true)?;
    let arguments = (bits / 8 + 1, intern!(py, "big"));
    let bytes = value.call_method(intern!(py, "to_bytes"), arguments, Some(&options))?;
    Ok(ext::put_big_int(out, exact::<PyBytes>(&bytes).ok_or(Stop::NotPlain)?.as_bytes())?)
}

/// The pickle state of a datetime or a time, and its zone: one call instead of one for every field.
fn clock<'py>(value: &Bound<'py, PyAny>) -> Result<(Bound<'py, PyBytes>, Option<Bound<'py, PyAny>>), Stop> {
    // From protocol 4 on, the fold is the highest bit of the month or the hour.
    let reduced = value.call_method1(intern!(value.py(), "__reduce_ex__"), (4,))?;
    let arguments = reduced.get_item(1)?.cast_into::<PyTuple>().map_err(PyErr::from)?;
    let state = arguments.get_item(0)?.cast_into::<PyBytes>().map_err(PyErr::from)?;
    let zone = if arguments.len() > 1 { Some(arguments.get_item(1)?) } else { None };
    Ok((state, zone.filter(|zone| !zone.is_none())))
}

const SECOND: i64 = 1_000_000;

fn time_of_day(hour: u8, minute: u8, second: u8, micros: [u8; 3]) -> i64 {
    let seconds = (i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second);
    let [a, b, c] = micros;
    seconds * SECOND + i64::from(u32::from_be_bytes([0, a, b, c]))
}

fn put_datetime(out: &mut Vec<u8>, value: &Bound<'_, PyAny>, types: &DateTimes) -> Put {
    let (state, zone) = clock(value)?;
    let &[y1, y2, month, day, hour, minute, second, a, b, c] = state.as_bytes() else {
        return Err(Stop::NotPlain);
    };
    let days = calendar::days_from_civil(u16::from_be_bytes([y1, y2]), month & 0x7f, day).ok_or(Stop::NotPlain)?;
    let micros = i64::from(days) * calendar::DAY + time_of_day(hour, minute, second, [a, b, c]);
    let zone = read_zone(zone, types)?;
    Ok(ext::put_datetime(out, &DateTime { micros, fold: month & 0x80 != 0, zone })?)
}

fn put_time(out: &mut Vec<u8>, value: &Bound<'_, PyAny>, types: &DateTimes) -> Put {
    let (state, zone) = clock(value)?;
    let &[hour, minute, second, a, b, c] = state.as_bytes() else {
        return Err(Stop::NotPlain);
    };
    let micros = time_of_day(hour & 0x7f, minute, second, [a, b, c]);
    let zone = read_zone(zone, types)?;
    Ok(ext::put_time(out, &Time { micros, fold: hour & 0x80 != 0, zone })?)
}

fn read_zone(zone: Option<Bound<'_, PyAny>>, types: &DateTimes) -> Result<Zone, Stop> {
    let Some(zone) = zone else { return Ok(Zone::Naive) };
    let py = zone.py();
    if zone.is(&types.utc) {
        return Ok(Zone::Fixed { offset: 0, name: None });
    }
    if is_exact(&zone, &types.timezone) {
        let arguments = zone.call_method0(intern!(py, "__getinitargs__"))?;
        let offset = arguments.get_item(0)?;
        let part = |name| offset.getattr(name)?.extract::<i64>();
        let seconds = part(intern!(py, "days"))? * 86_400 + part(intern!(py, "seconds"))?;
        let offset = seconds * SECOND + part(intern!(py, "microseconds"))?;
        let name = if arguments.len()? > 1 {
            let name = arguments.get_item(1)?;
            let name = exact::<PyString>(&name).ok_or(Stop::NotPlain)?;
            Some(name.to_str().map_err(surrogates(py))?.to_owned())
        } else {
            None
        };
        return Ok(Zone::Fixed { offset, name });
    }
    if let Some(zones) = Zones::loaded(py)?
        && is_exact(&zone, &zones.zone_info)
    {
        let key = zone.getattr(intern!(py, "key"))?;
        let key = exact::<PyString>(&key).ok_or(Stop::NotPlain)?;
        let name = key.to_str().map_err(surrogates(py))?.to_owned();
        // A zone that was read from a file may have any name; it refuses to be pickled.
        let is_known = zones.zone_info.bind(py).call1((key,)).is_ok_and(|known| known.is(&zone))
            || zone.call_method0(intern!(py, "__reduce__")).is_ok();
        return if is_known { Ok(Zone::Named(name)) } else { Err(Stop::NotPlain) };
    }
    Err(Stop::NotPlain)
}
