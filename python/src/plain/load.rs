//! Plain values into Python objects.

use cacheness_core::formats::plain::calendar;
use cacheness_core::formats::plain::ext::{Ext, Integer, Zone};
use cacheness_core::formats::plain::wire::{MAX_DEPTH, Reader, Token};
use pyo3::exceptions::{PyException, PyImportError, PyMemoryError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple,
    PyType,
};

use super::names::name;
use super::numpy;
use super::types::{DateTimes, Decimals, Module, Paths, Uuids, Zones};
use crate::errors::{IntoPyResult, to_py};
use crate::numpy_api;

/// Decodes one value, which must fill all of `bytes`; all its objects are new.
pub(crate) fn load<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let mut reader = Reader::new(bytes);
    let value = read(py, &mut reader, MAX_DEPTH)?;
    reader.finish().into_py_result()?;
    Ok(value)
}

/// Converts a Python exception into an error about the value at `offset`.
#[cold]
fn refused(py: Python<'_>, offset: usize, what: &str, cause: PyErr) -> PyErr {
    // Neither running out of memory nor Ctrl-C is the payload's fault.
    if !cause.is_instance_of::<PyException>(py) || cause.is_instance_of::<PyMemoryError>(py) {
        return cause;
    }
    let mut error = Reader::error_at(offset, format_args!("{what}: {}", cause.value(py)));
    if cause.is_instance_of::<PyImportError>(py) {
        let hint = if what.contains("NumPy") { numpy_api::HINT } else { "install the package of the type" };
        error = error.with_kind(cacheness_core::ErrorKind::Unsupported).with_hint(hint);
    }
    if cause.get_type(py).name().is_ok_and(|name| name == "ZoneInfoNotFoundError") {
        error = error.with_kind(cacheness_core::ErrorKind::Unsupported).with_hint("install the package tzdata");
    }
    let error = to_py(error);
    error.set_cause(py, Some(cause));
    error
}

fn nested(depth: usize, at: usize) -> PyResult<usize> {
    depth
        .checked_sub(1)
        .ok_or_else(|| Reader::error_at(at, format_args!("it is nested deeper than {MAX_DEPTH} levels")))
        .into_py_result()
}

fn read<'py>(py: Python<'py>, reader: &mut Reader<'_>, depth: usize) -> PyResult<Bound<'py, PyAny>> {
    let at = reader.offset();
    let token = reader.token().into_py_result()?;
    read_token(py, reader, token, at, depth)
}

fn read_token<'py, 'a>(
    py: Python<'py>,
    reader: &mut Reader<'a>,
    token: Token<'a>,
    at: usize,
    depth: usize,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(match token {
        Token::Str(text) => PyString::new(py, text).into_any(),
        Token::Int(value) => value.into_pyobject(py)?.into_any(),
        Token::Float(value) => PyFloat::new(py, value).into_any(),
        Token::Nil => py.None().into_bound(py),
        Token::Bool(value) => PyBool::new(py, value).to_owned().into_any(),
        Token::UInt(value) => value.into_pyobject(py)?.into_any(),
        Token::Bin(bytes) => PyBytes::new(py, bytes).into_any(),
        Token::Array(len) => PyList::new(py, read_items(py, reader, len, nested(depth, at)?)?)?.into_any(),
        Token::Map(len) => read_dict(py, reader, len, at, nested(depth, at)?)?.into_any(),
        Token::Ext(kind, body) => read_ext(py, Ext::parse(kind, body).into_py_result()?, at, depth)?,
    })
}

fn read_items<'py>(
    py: Python<'py>,
    reader: &mut Reader<'_>,
    len: usize,
    depth: usize,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let mut items = Vec::with_capacity(len);
    for _ in 0..len {
        items.push(read(py, reader, depth)?);
    }
    Ok(items)
}

fn read_dict<'py>(
    py: Python<'py>,
    reader: &mut Reader<'_>,
    len: usize,
    at: usize,
    depth: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for _ in 0..len {
        let key_at = reader.offset();
        let key = match reader.token().into_py_result()? {
            Token::Str(text) => name(py, text).into_any(),
            token => read_token(py, reader, token, key_at, depth)?,
        };
        let value = read(py, reader, depth)?;
        dict.set_item(key, value).map_err(|e| refused(py, key_at, "a key is not hashable", e))?;
    }
    if dict.len() != len {
        return Err(to_py(Reader::error_at(at, "a map has a duplicate key")));
    }
    Ok(dict)
}

fn read_all<'py>(py: Python<'py>, mut body: Reader<'_>, len: usize, depth: usize) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let items = read_items(py, &mut body, len, depth)?;
    body.finish().into_py_result()?;
    Ok(items)
}

fn check_members(at: usize, expected: usize, found: usize) -> PyResult<()> {
    if expected == found { Ok(()) } else { Err(to_py(Reader::error_at(at, "a set has equal members"))) }
}

fn read_ext<'py>(py: Python<'py>, ext: Ext<'_>, at: usize, depth: usize) -> PyResult<Bound<'py, PyAny>> {
    let refuse = |what: &'static str| move |error| refused(py, at, what, error);
    Ok(match ext {
        Ext::BigInt(bytes) => read_integer(py, Integer::Big(bytes))?,
        Ext::Tuple(len, body) => PyTuple::new(py, read_all(py, body, len, nested(depth, at)?)?)?.into_any(),
        Ext::Set(len, body) => {
            let members = read_all(py, body, len, nested(depth, at)?)?;
            let set = PySet::new(py, members).map_err(refuse("a member of a set is not hashable"))?;
            check_members(at, len, set.len())?;
            set.into_any()
        }
        Ext::FrozenSet(len, body) => {
            let members = read_all(py, body, len, nested(depth, at)?)?;
            let set = PyFrozenSet::new(py, members).map_err(refuse("a member of a set is not hashable"))?;
            check_members(at, len, set.len())?;
            set.into_any()
        }
        Ext::Complex(real, imaginary) => PyComplex::from_doubles(py, real, imaginary).into_any(),
        Ext::DateTime(value) => {
            read_datetime(py, value.micros, value.fold, &value.zone).map_err(refuse("a datetime"))?
        }
        Ext::Date(days) => {
            let ordinal = days - calendar::FIRST_DAY + 1;
            DateTimes::import(py)?.date.bind(py).call_method1(intern!(py, "fromordinal"), (ordinal,))?
        }
        Ext::Time(value) => read_time(py, value.micros, value.fold, &value.zone).map_err(refuse("a time"))?,
        Ext::TimeDelta(delta) => {
            DateTimes::import(py)?.timedelta.bind(py).call1((delta.days, delta.seconds, delta.micros))?
        }
        Ext::Decimal(text) => Decimals::import(py)?.decimal.bind(py).call1((text,)).map_err(refuse("a Decimal"))?,
        Ext::Uuid(bytes) => {
            let options = PyDict::new(py);
            options.set_item(intern!(py, "bytes"), PyBytes::new(py, &bytes))?;
            Uuids::import(py)?.uuid.bind(py).call((), Some(&options))?
        }
        Ext::Dtype(text) => numpy::read_dtype_name(py, text).map_err(refuse("a dtype"))?,
        Ext::Path(text) => Paths::import(py)?.path.bind(py).call1((text,)).map_err(refuse("a path"))?,
        Ext::Range(parts) => {
            let [start, stop, step] = parts.map(|part| read_integer(py, part));
            py.get_type::<pyo3::types::PyRange>().call1((start?, stop?, step?))?
        }
        Ext::ByteArray(bytes) => PyByteArray::new(py, bytes).into_any(),
        Ext::NumpyScalar(scalar) => numpy::read_scalar(py, &scalar).map_err(refuse("a NumPy scalar"))?,
        Ext::NumpyArray(array) => numpy::read_array(py, &array).map_err(refuse("a NumPy array"))?,
    })
}

fn read_integer<'py>(py: Python<'py>, value: Integer<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Integer::Int(value) => value.into_pyobject(py)?.into_any(),
        Integer::UInt(value) => value.into_pyobject(py)?.into_any(),
        Integer::Big(bytes) => {
            let options = PyDict::new(py);
            options.set_item(intern!(py, "signed"), true)?;
            let arguments = (PyBytes::new(py, bytes), intern!(py, "big"));
            py.get_type::<PyInt>().call_method(intern!(py, "from_bytes"), arguments, Some(&options))?
        }
    })
}

fn read_zone<'py>(py: Python<'py>, zone: &Zone<&str>, types: &DateTimes) -> PyResult<Bound<'py, PyAny>> {
    Ok(match zone {
        Zone::Naive => py.None().into_bound(py),
        Zone::Fixed { offset: 0, name: None } => types.utc.bind(py).clone(),
        Zone::Fixed { offset, name } => {
            let offset = types.timedelta.bind(py).call1((0, 0, *offset))?;
            let timezone: &Bound<'_, PyType> = types.timezone.bind(py);
            match name {
                None => timezone.call1((offset,))?,
                Some(name) => timezone.call1((offset, *name))?,
            }
        }
        Zone::Named(name) => Zones::import(py)?.zone_info.bind(py).call1((*name,))?,
    })
}

/// Hour, minute, second and the three bytes of the microseconds.
fn time_of_day(micros: i64) -> Option<[u8; 6]> {
    let seconds = u32::try_from(micros.div_euclid(1_000_000)).ok()?;
    let [_, a, b, c] = u32::try_from(micros.rem_euclid(1_000_000)).ok()?.to_be_bytes();
    let byte = |part: u32| u8::try_from(part).ok();
    Some([byte(seconds / 3600)?, byte(seconds / 60 % 60)?, byte(seconds % 60)?, a, b, c])
}

fn out_of_range() -> PyErr {
    pyo3::exceptions::PyValueError::new_err("out of range")
}

/// Creates a datetime from its pickle state: one call, including the fold.
fn read_datetime<'py>(py: Python<'py>, micros: i64, fold: bool, zone: &Zone<&str>) -> PyResult<Bound<'py, PyAny>> {
    let types = DateTimes::import(py)?;
    let days = i32::try_from(micros.div_euclid(calendar::DAY)).ok().and_then(calendar::civil_from_days);
    let (year, month, day) = days.ok_or_else(out_of_range)?;
    let time = time_of_day(micros.rem_euclid(calendar::DAY)).ok_or_else(out_of_range)?;
    let mut state = [0; 10];
    state[..2].copy_from_slice(&year.to_be_bytes());
    state[2] = month | if fold { 0x80 } else { 0 };
    state[3] = day;
    state[4..].copy_from_slice(&time);
    make_clock(&types.datetime, &state, &read_zone(py, zone, types)?)
}

fn read_time<'py>(py: Python<'py>, micros: i64, fold: bool, zone: &Zone<&str>) -> PyResult<Bound<'py, PyAny>> {
    let types = DateTimes::import(py)?;
    let mut state = time_of_day(micros).ok_or_else(out_of_range)?;
    state[0] |= if fold { 0x80 } else { 0 };
    make_clock(&types.time, &state, &read_zone(py, zone, types)?)
}

fn make_clock<'py>(class: &Py<PyType>, state: &[u8], zone: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = zone.py();
    let state = PyBytes::new(py, state);
    if zone.is_none() { class.bind(py).call1((state,)) } else { class.bind(py).call1((state, zone)) }
}
