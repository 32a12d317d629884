//! Bodies of the extension types: written from parts, parsed and validated into parts.
//!
//! All readers of plain values (the value tree, serde, Python) use [`Ext::parse`], so that they accept and refuse the same
//! payloads.

use super::calendar::{DAY, format_offset, is_date, is_datetime};
use super::dtype;
use super::wire::{Reader, Token, begin_ext, end_ext, kind, put_array_len, put_ext, put_ext_len, put_i64, put_nil};
use super::wire::{put_str, put_u64};
use crate::error::{Error, ErrorKind, Result};

/// The zone of a datetime or a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Zone<S = String> {
    /// None: a naive wall clock.
    #[default]
    Naive,
    /// A fixed offset from UTC.
    Fixed {
        /// Microseconds east of UTC, less than a day.
        offset: i64,
        /// The name, if it has one.
        name: Option<S>,
    },
    /// A zone of the tz database, by name.
    Named(S),
}

impl<S: AsRef<str>> Zone<S> {
    /// The suffix of a time in ISO 8601: nothing, `+02:00`, or `[Europe/Berlin]`.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Naive => String::new(),
            Self::Fixed { offset, .. } => format_offset(*offset).unwrap_or_default(),
            Self::Named(name) => format!("[{}]", name.as_ref()),
        }
    }
}

/// A date and time of a wall clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DateTime<S = String> {
    /// Microseconds of the wall clock since 1970-01-01T00:00:00; the years 1 to 9999.
    pub micros: i64,
    /// Whether it is the second of two equal wall clocks, when clocks are set back.
    pub fold: bool,
    /// The zone.
    pub zone: Zone<S>,
}

/// A time of day; its zone is naive or fixed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Time<S = String> {
    /// Microseconds since midnight.
    pub micros: i64,
    /// As in [`DateTime`].
    pub fold: bool,
    /// The zone.
    pub zone: Zone<S>,
}

/// A duration, normalized as in Python: seconds and microseconds are not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeDelta {
    /// Days, at most 999,999,999 either way.
    pub days: i32,
    /// Seconds, less than a day.
    pub seconds: i32,
    /// Microseconds, less than a second.
    pub micros: i32,
}

impl TimeDelta {
    /// Whether it is normalized and in range.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.days.unsigned_abs() <= 999_999_999
            && (0..86_400).contains(&self.seconds)
            && (0..1_000_000).contains(&self.micros)
    }

    /// Seconds with a fraction; exact to the microsecond for durations up to some 270 years.
    #[must_use]
    pub fn as_secs_f64(&self) -> f64 {
        f64::from(self.days) * 86_400.0 + f64::from(self.seconds) + f64::from(self.micros) / 1e6
    }
}

/// A `NumPy` array in parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NumpyArray<S = String, D = Vec<u8>> {
    /// Array-protocol string, or the `repr` of a structured dtype's `descr`.
    pub dtype: S,
    /// Dimensions.
    pub shape: Vec<u64>,
    /// Whether the items are in Fortran order.
    pub fortran: bool,
    /// The items.
    pub data: D,
}

/// A `NumPy` scalar in parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NumpyScalar<S = String, D = Vec<u8>> {
    /// As in [`NumpyArray`].
    pub dtype: S,
    /// The item.
    pub data: D,
}

/// An integer of any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integer<'a> {
    /// Fits.
    Int(i64),
    /// Fits.
    UInt(u64),
    /// Two's complement, big-endian.
    Big(&'a [u8]),
}

/// The parsed body of an extension.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Ext<'a> {
    BigInt(&'a [u8]),
    /// This many values follow in the reader, as in [`Ext::Set`] and [`Ext::FrozenSet`].
    Tuple(usize, Reader<'a>),
    Set(usize, Reader<'a>),
    FrozenSet(usize, Reader<'a>),
    Complex(f64, f64),
    DateTime(DateTime<&'a str>),
    Date(i32),
    Time(Time<&'a str>),
    TimeDelta(TimeDelta),
    Decimal(&'a str),
    Uuid([u8; 16]),
    Path(&'a str),
    /// `package:name`, see [`is_dtype`].
    Dtype(&'a str),
    Range([Integer<'a>; 3]),
    ByteArray(&'a [u8]),
    NumpyScalar(NumpyScalar<&'a str, &'a [u8]>),
    NumpyArray(NumpyArray<&'a str, &'a [u8]>),
}

/// Whether `bytes` is an integer beyond 64 bits in shortest two's complement.
#[must_use]
pub fn is_big_int(bytes: &[u8]) -> bool {
    match bytes {
        [0, second, ..] if second & 0x80 == 0 => false,
        [0xff, second, ..] if second & 0x80 != 0 => false,
        // Nine bytes with a leading zero are a u64.
        [0, ..] => bytes.len() > 9,
        _ => bytes.len() > 8,
    }
}

/// Whether `text` is a number of the General Decimal Arithmetic specification, in Python's format.
#[must_use]
pub fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if text == "Infinity" {
        return true;
    }
    if let Some(diagnostic) = text.strip_prefix("sNaN").or_else(|| text.strip_prefix("NaN")) {
        return digits(diagnostic);
    }
    let (coefficient, exponent) = match text.split_once('E') {
        Some((coefficient, exponent)) => (coefficient, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = coefficient.split_once('.').unwrap_or((coefficient, "0"));
    let exponent_fits = exponent.is_none_or(|exponent| {
        let size = exponent.strip_prefix(['+', '-']).unwrap_or("");
        !size.is_empty() && size.len() <= 19 && digits(size)
    });
    !whole.is_empty() && !fraction.is_empty() && digits(whole) && digits(fraction) && exponent_fits
}

/// Whether `name` can be the name of a zone in the tz database: a relative path without `..`.
#[must_use]
pub fn is_zone_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-_/.".contains(&b))
}

fn invalid(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Serialization, format!("cannot encode a plain value: {what}"))
}

/// Writes an integer beyond 64 bits.
pub fn put_big_int(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    if !is_big_int(bytes) {
        return Err(invalid("a big integer fits 64 bits or is not in shortest form"));
    }
    put_ext(out, kind::BIG_INT, bytes)
}

/// Writes an integer of any size.
pub fn put_integer(out: &mut Vec<u8>, value: Integer<'_>) -> Result<()> {
    match value {
        Integer::Int(value) => put_i64(out, value),
        Integer::UInt(value) => put_u64(out, value),
        Integer::Big(bytes) => put_big_int(out, bytes)?,
    }
    Ok(())
}

/// Writes an integer as serde has it.
pub fn put_i128(out: &mut Vec<u8>, value: i128) -> Result<()> {
    match (i64::try_from(value), u64::try_from(value)) {
        (Ok(value), _) => put_i64(out, value),
        (_, Ok(value)) => put_u64(out, value),
        _ => put_ext(out, kind::BIG_INT, shortest(&value.to_be_bytes()))?,
    }
    Ok(())
}

/// Writes an integer as serde has it.
pub fn put_u128(out: &mut Vec<u8>, value: u128) -> Result<()> {
    match i128::try_from(value) {
        Ok(value) => put_i128(out, value),
        Err(_) => {
            let mut bytes = [0; 17];
            bytes[1..].copy_from_slice(&value.to_be_bytes());
            put_ext(out, kind::BIG_INT, shortest(&bytes))
        }
    }
}

/// Two's complement without superfluous leading bytes.
#[must_use]
pub fn shortest(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes {
        let superfluous = match (first, rest.first()) {
            (0, Some(next)) => next & 0x80 == 0,
            (0xff, Some(next)) => next & 0x80 != 0,
            _ => false,
        };
        if !superfluous {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// Writes a complex number.
pub fn put_complex(out: &mut Vec<u8>, real: f64, imaginary: f64) -> Result<()> {
    let mut body = [0; 16];
    body[..8].copy_from_slice(&real.to_bits().to_be_bytes());
    body[8..].copy_from_slice(&imaginary.to_bits().to_be_bytes());
    put_ext(out, kind::COMPLEX, &body)
}

fn put_clock<S: AsRef<str>>(out: &mut Vec<u8>, kind: i8, micros: i64, fold: bool, zone: &Zone<S>) -> Result<()> {
    let mut body = Vec::with_capacity(48);
    body.extend_from_slice(&micros.to_be_bytes());
    body.push(u8::from(fold));
    match zone {
        Zone::Naive => {}
        Zone::Fixed { offset, name } => {
            if offset.unsigned_abs() >= DAY.unsigned_abs() {
                return Err(invalid(format_args!("an offset from UTC of {offset} µs is a day or more")));
            }
            put_array_len(&mut body, 2)?;
            put_i64(&mut body, *offset);
            match name {
                None => put_nil(&mut body),
                Some(name) => put_str(&mut body, name.as_ref())?,
            }
        }
        Zone::Named(name) => {
            if !is_zone_name(name.as_ref()) {
                return Err(invalid(format_args!("{:?} is not a name of a time zone", name.as_ref())));
            }
            put_array_len(&mut body, 1)?;
            put_str(&mut body, name.as_ref())?;
        }
    }
    put_ext(out, kind, &body)
}

/// Writes a datetime.
pub fn put_datetime<S: AsRef<str>>(out: &mut Vec<u8>, value: &DateTime<S>) -> Result<()> {
    if !is_datetime(value.micros) {
        return Err(invalid("a datetime is outside the years 1 to 9999"));
    }
    put_clock(out, kind::DATETIME, value.micros, value.fold, &value.zone)
}

/// Writes a time of day.
pub fn put_time<S: AsRef<str>>(out: &mut Vec<u8>, value: &Time<S>) -> Result<()> {
    if !(0..DAY).contains(&value.micros) || matches!(value.zone, Zone::Named(_)) {
        return Err(invalid("a time must lie within a day and have a fixed offset or none"));
    }
    put_clock(out, kind::TIME, value.micros, value.fold, &value.zone)
}

/// Writes a date.
pub fn put_date(out: &mut Vec<u8>, days: i32) -> Result<()> {
    if !is_date(days) {
        return Err(invalid("a date is outside the years 1 to 9999"));
    }
    put_ext(out, kind::DATE, &days.to_be_bytes())
}

/// Writes a duration.
pub fn put_timedelta(out: &mut Vec<u8>, value: &TimeDelta) -> Result<()> {
    if !value.is_valid() {
        return Err(invalid("a timedelta is not normalized or out of range"));
    }
    let mut body = [0; 12];
    body[..4].copy_from_slice(&value.days.to_be_bytes());
    body[4..8].copy_from_slice(&value.seconds.to_be_bytes());
    body[8..].copy_from_slice(&value.micros.to_be_bytes());
    put_ext(out, kind::TIMEDELTA, &body)
}

/// Writes a decimal number.
pub fn put_decimal(out: &mut Vec<u8>, text: &str) -> Result<()> {
    if !is_decimal(text) {
        return Err(invalid(format_args!("{text:?} is not a decimal number")));
    }
    put_ext(out, kind::DECIMAL, text.as_bytes())
}

/// Writes a range; `step` is not zero.
pub fn put_range(out: &mut Vec<u8>, parts: [Integer<'_>; 3]) -> Result<()> {
    if matches!(parts[2], Integer::Int(0) | Integer::UInt(0)) {
        return Err(invalid("a range has the step 0"));
    }
    let start = begin_ext(out, kind::RANGE);
    put_array_len(out, 3)?;
    for part in parts {
        put_integer(out, part)?;
    }
    end_ext(out, start)
}

/// Writes a `NumPy` scalar.
pub fn put_numpy_scalar(out: &mut Vec<u8>, dtype: &str, data: &[u8]) -> Result<()> {
    check_data(dtype, &[], data.len()).map_err(invalid)?;
    let mut head = Vec::with_capacity(8);
    put_str(&mut head, dtype)?;
    put_ext_len(out, kind::NUMPY_SCALAR, head.len() + data.len())?;
    out.extend_from_slice(&head);
    out.extend_from_slice(data);
    Ok(())
}

/// Writes a `NumPy` array without its items; `len` bytes of items follow.
pub fn put_numpy_array_head(out: &mut Vec<u8>, dtype: &str, shape: &[u64], fortran: bool, len: usize) -> Result<()> {
    check_data(dtype, shape, len).map_err(invalid)?;
    let mut head = Vec::with_capacity(32);
    put_array_len(&mut head, 3)?;
    put_str(&mut head, dtype)?;
    put_array_len(&mut head, shape.len())?;
    for &dimension in shape {
        put_u64(&mut head, dimension);
    }
    put_str(&mut head, if fortran { "F" } else { "C" })?;
    put_ext_len(out, kind::NUMPY_ARRAY, head.len() + len)?;
    out.extend_from_slice(&head);
    Ok(())
}

/// Whether `len` bytes are the items of such an array; the fields of a structured dtype are not checked.
fn check_data(dtype: &str, shape: &[u64], len: usize) -> Result<(), String> {
    let kind = dtype::parse(dtype).ok_or_else(|| format!("{dtype:?} is not a dtype of a plain value"))?;
    if shape.len() > 64 {
        return Err(format!("an array of {} dimensions", shape.len()));
    }
    // NumPy refuses shapes whose product overflows even when another dimension is 0.
    let extent = shape.iter().filter(|&&d| d != 0).try_fold(1_u64, |all, &d| all.checked_mul(d));
    let extent = extent.filter(|&e| i64::try_from(e).is_ok()).ok_or("the dimensions of an array overflow")?;
    let items = if shape.contains(&0) { 0 } else { extent };
    let fits = match kind {
        dtype::Dtype::Simple { item_size, .. } => {
            extent.checked_mul(item_size as u64).filter(|&e| i64::try_from(e).is_ok()).is_some()
                && items.checked_mul(item_size as u64) == Some(len as u64)
        }
        dtype::Dtype::Structured if items == 0 => len == 0,
        dtype::Dtype::Structured => (len as u64).is_multiple_of(items),
    };
    if fits { Ok(()) } else { Err(format!("{len} bytes do not fit an array {dtype:?} of shape {shape:?}")) }
}

fn integer<'a>(reader: &mut Reader<'a>) -> Result<Integer<'a>> {
    let at = reader.offset();
    match reader.token()? {
        Token::Int(value) => Ok(Integer::Int(value)),
        Token::UInt(value) => Ok(Integer::UInt(value)),
        Token::Ext(kind::BIG_INT, mut body) => big_int(&mut body).map(Integer::Big),
        other => Err(Reader::error_at(at, format_args!("expected an integer, found {}", other.name()))),
    }
}

fn big_int<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8]> {
    let at = reader.offset();
    let bytes = reader.rest();
    if is_big_int(bytes) {
        Ok(bytes)
    } else {
        Err(Reader::error_at(at, "a big integer fits 64 bits or is not in shortest form"))
    }
}

fn zone<'a>(reader: &mut Reader<'a>) -> Result<Zone<&'a str>> {
    if reader.remaining() == 0 {
        return Ok(Zone::Naive);
    }
    let at = reader.offset();
    match reader.array_len()? {
        1 => {
            let name = reader.text()?;
            if is_zone_name(name) {
                Ok(Zone::Named(name))
            } else {
                Err(Reader::error_at(at, format_args!("{name:?} is not a name of a time zone")))
            }
        }
        2 => {
            let offset = match integer(reader)? {
                Integer::Int(offset) if offset.unsigned_abs() < DAY.unsigned_abs() => offset,
                _ => return Err(Reader::error_at(at, "an offset from UTC is a day or more")),
            };
            let name_at = reader.offset();
            let name = match reader.token()? {
                Token::Nil => None,
                Token::Str(name) => Some(name),
                other => {
                    return Err(Reader::error_at(name_at, format_args!("a zone is named by {}", other.name())));
                }
            };
            Ok(Zone::Fixed { offset, name })
        }
        len => Err(Reader::error_at(at, format_args!("a time zone of {len} parts"))),
    }
}

fn fold(reader: &mut Reader<'_>) -> Result<bool> {
    match reader.fixed()? {
        [0] => Ok(false),
        [1] => Ok(true),
        [other] => Err(reader.error(format_args!("the fold of a time is {other}"))),
    }
}

/// Whether `text` is that of a dtype: `numpy:` and what the dtype of an array may be, or `|O` for Python objects; or
/// `pandas:` and a text that only pandas reads.
#[must_use]
pub fn is_dtype(text: &str) -> bool {
    match text.split_once(':') {
        Some(("numpy", name)) => name == "|O" || super::dtype::parse(name).is_some(),
        Some(("pandas", name)) => !name.is_empty(),
        _ => false,
    }
}

/// Writes a dtype.
pub fn put_dtype(out: &mut Vec<u8>, text: &str) -> Result<()> {
    if !is_dtype(text) {
        return Err(Error::new(ErrorKind::Serialization, format!("{text:?} is not a dtype of NumPy or pandas")));
    }
    put_ext(out, kind::DTYPE, text.as_bytes())
}

impl<'a> Ext<'a> {
    /// Parses and validates the body of the extension `kind`. The caller reads the values inside containers, and must then
    /// call [`Reader::finish`] on their reader.
    #[allow(clippy::too_many_lines)]
    pub fn parse(kind: i8, mut body: Reader<'a>) -> Result<Self> {
        let at = body.offset();
        let invalid = |what: &str| Reader::error_at(at, what);
        let parsed = match kind {
            kind::BIG_INT => Self::BigInt(big_int(&mut body)?),
            kind::TUPLE => return Ok(Self::Tuple(body.array_len()?, body)),
            kind::SET => return Ok(Self::Set(body.array_len()?, body)),
            kind::FROZEN_SET => return Ok(Self::FrozenSet(body.array_len()?, body)),
            kind::COMPLEX => Self::Complex(
                f64::from_bits(u64::from_be_bytes(body.fixed()?)),
                f64::from_bits(u64::from_be_bytes(body.fixed()?)),
            ),
            kind::DATETIME => {
                let micros = i64::from_be_bytes(body.fixed()?);
                if !is_datetime(micros) {
                    return Err(invalid("a datetime is outside the years 1 to 9999"));
                }
                Self::DateTime(DateTime { micros, fold: fold(&mut body)?, zone: zone(&mut body)? })
            }
            kind::DATE => {
                let days = i32::from_be_bytes(body.fixed()?);
                if !is_date(days) {
                    return Err(invalid("a date is outside the years 1 to 9999"));
                }
                Self::Date(days)
            }
            kind::TIME => {
                let micros = i64::from_be_bytes(body.fixed()?);
                let time = Time { micros, fold: fold(&mut body)?, zone: zone(&mut body)? };
                if !(0..DAY).contains(&micros) || matches!(time.zone, Zone::Named(_)) {
                    return Err(invalid("a time must lie within a day and have a fixed offset or none"));
                }
                Self::Time(time)
            }
            kind::TIMEDELTA => {
                let [days, seconds, micros] = [body.fixed()?, body.fixed()?, body.fixed()?].map(i32::from_be_bytes);
                let delta = TimeDelta { days, seconds, micros };
                if !delta.is_valid() {
                    return Err(invalid("a timedelta is not normalized or out of range"));
                }
                Self::TimeDelta(delta)
            }
            kind::DECIMAL => match std::str::from_utf8(body.rest()) {
                Ok(text) if is_decimal(text) => Self::Decimal(text),
                _ => return Err(invalid("a Decimal is not a number")),
            },
            kind::UUID => Self::Uuid(body.fixed()?),
            kind::PATH => match std::str::from_utf8(body.rest()) {
                Ok(path) => Self::Path(path),
                Err(_) => return Err(invalid("a path is not valid UTF-8")),
            },
            kind::DTYPE => match std::str::from_utf8(body.rest()) {
                Ok(text) if is_dtype(text) => Self::Dtype(text),
                _ => return Err(invalid("a dtype is neither of NumPy nor of pandas")),
            },
            kind::RANGE => {
                let len = body.array_len()?;
                if len != 3 {
                    return Err(invalid("a range does not have three parts"));
                }
                let parts = [integer(&mut body)?, integer(&mut body)?, integer(&mut body)?];
                if parts[2] == Integer::Int(0) {
                    return Err(invalid("a range has the step 0"));
                }
                Self::Range(parts)
            }
            kind::BYTE_ARRAY => Self::ByteArray(body.rest()),
            kind::NUMPY_SCALAR => {
                let dtype = body.text()?;
                let data = body.rest();
                check_data(dtype, &[], data.len()).map_err(|what| invalid(&what))?;
                Self::NumpyScalar(NumpyScalar { dtype, data })
            }
            kind::NUMPY_ARRAY => Self::NumpyArray(numpy_array(&mut body)?),
            unknown => return Err(invalid(&format!("extension type {unknown} is unknown"))),
        };
        body.finish()?;
        Ok(parsed)
    }
}

fn numpy_array<'a>(body: &mut Reader<'a>) -> Result<NumpyArray<&'a str, &'a [u8]>> {
    let at = body.offset();
    if body.array_len()? != 3 {
        return Err(Reader::error_at(at, "the header of an array does not have three parts"));
    }
    let dtype = body.text()?;
    let mut shape = Vec::with_capacity(body.array_len()?);
    for _ in 0..shape.capacity() {
        match integer(body)? {
            Integer::Int(dimension) if dimension >= 0 => shape.push(dimension.unsigned_abs()),
            _ => return Err(Reader::error_at(at, "a dimension of an array is not a size")),
        }
    }
    let fortran = match body.text()? {
        "C" => false,
        "F" => true,
        _ => return Err(Reader::error_at(at, "an array is neither in C nor in Fortran order")),
    };
    let data = body.rest();
    check_data(dtype, &shape, data.len()).map_err(|what| Reader::error_at(at, what))?;
    Ok(NumpyArray { dtype, shape, fortran, data })
}
