//! Checks encodings and shows them to people.

use chrono::{DateTime, NaiveDate, NaiveTime};
use serde_json::{Map, Number, Value};

use crate::error::Result;
use crate::key::decode::{Reader, is_decimal};
use crate::key::tag;

/// Checks that `encoding` is the canonical encoding of some value, as this version writes it.
///
/// # Errors
/// Of kind [`Serialization`](crate::ErrorKind::Serialization), with the offset of what is wrong.
pub fn decode(encoding: &[u8]) -> Result<()> {
    render(encoding).map(drop)
}

/// The value behind an encoding, for people: JSON where JSON has the type, short strings elsewhere
/// (`array <f8 (100, 3) 1a2b3c4d…`). The encoding may come from anywhere.
///
/// # Errors
/// As [`decode`].
pub fn render(encoding: &[u8]) -> Result<Value> {
    let mut reader = Reader::new(encoding);
    let version = reader.byte()?;
    if version != tag::VERSION {
        return Err(reader.invalid(&format!("version {version} is not known")));
    }
    finish(reader)
}

/// As [`render`], of one value without the version byte.
pub(crate) fn render_value(value: &[u8]) -> Result<Value> {
    finish(Reader::new(value))
}

fn finish(mut reader: Reader<'_>) -> Result<Value> {
    let rendered = value(&mut reader, 0)?;
    if reader.remaining() > 0 {
        return Err(reader.invalid("bytes are left over"));
    }
    Ok(rendered)
}

fn value(reader: &mut Reader<'_>, level: usize) -> Result<Value> {
    if level > tag::MAX_LEVELS {
        return Err(reader.invalid("values are nested too deep"));
    }
    let start = reader.position;
    Ok(match reader.byte()? {
        tag::NONE => Value::Null,
        tag::FALSE => Value::Bool(false),
        tag::TRUE => Value::Bool(true),
        tag::INT => int(reader.int()?),
        tag::FLOAT => float(reader.f64()?),
        tag::COMPLEX => {
            let (real, imaginary) = (reader.f64()?, reader.f64()?);
            format!("{real}{imaginary:+}j").into()
        }
        tag::STR => {
            let text = reader.text()?;
            short(reader, text.len())?;
            text.into()
        }
        tag::LONG_STR => long(reader, "str", tag::LONG)?,
        tag::BYTES => {
            let bytes = reader.raw()?;
            short(reader, bytes.len())?;
            format!("bytes ({}) {}", bytes.len(), hex(bytes, 32)).into()
        }
        tag::LONG_BYTES => long(reader, "bytes", tag::LONG)?,
        tag::DECIMAL => {
            let text = reader.text()?;
            if !is_decimal(text.as_bytes()) {
                return Err(reader.invalid("a decimal number is malformed"));
            }
            text.into()
        }
        tag::UUID => uuid(reader.array()?).into(),
        tag::ELLIPSIS => "...".into(),
        tag::DATETIME => datetime(reader.i64()?).into(),
        tag::DATETIME_ZONED => zoned(reader)?,
        tag::DATE => {
            let days = reader.i64()?;
            let epoch_day = i32::try_from(days).ok().and_then(NaiveDate::from_epoch_days);
            epoch_day.map_or_else(|| format!("1970-01-01 + {days} days"), |date| date.to_string()).into()
        }
        tag::TIME => time(reader)?,
        tag::DURATION => {
            if reader.byte()? != tag::INT {
                return Err(reader.invalid("a duration is an integer"));
            }
            duration(reader.int()?)
        }
        tag::PATH => reader.text()?.into(),
        tag::FILE => format!("file {}", digest(reader)?).into(),
        tag::DIRECTORY => format!("directory {}", digest(reader)?).into(),
        kind @ (tag::LIST | tag::TUPLE) => {
            let count = reader.count(1)?;
            let _ = kind;
            let items = (0..count).map(|_| value(reader, level + 1)).collect::<Result<Vec<_>>>()?;
            short_collection(reader, start, level)?;
            items.into()
        }
        tag::MAPPING => mapping(reader, start, level)?,
        tag::SET | tag::FROZENSET => set(reader, start, level)?,
        tag::ARRAY => array(reader)?,
        tag::SCALAR => scalar(reader)?,
        tag::COLUMN => format!("column {}", digest(reader)?).into(),
        tag::REFERENCE => reader.text()?.into(),
        tag::ENUM => {
            let (class, member) = (reader.text()?, reader.text()?);
            format!("{class}.{member}").into()
        }
        tag::NAMED => {
            let name = reader.text()?.to_owned();
            let inner = value(reader, level + 1)?;
            Value::Object(Map::from_iter([(name, inner)]))
        }
        tag::DIGEST => {
            if level == 0 {
                return Err(reader.invalid("the outermost value is never replaced by its digest"));
            }
            long(reader, "value", tag::LONG_COLLECTION)?
        }
        other => return Err(reader.invalid(&format!("tag {other:02x} is not known"))),
    })
}

/// A short form is only canonical up to the limit.
fn short(reader: &Reader<'_>, len: usize) -> Result<()> {
    if len > tag::LONG { Err(reader.invalid("a long value is not replaced by its digest")) } else { Ok(()) }
}

fn short_collection(reader: &Reader<'_>, start: usize, level: usize) -> Result<()> {
    if level > 0 && reader.position - start > tag::LONG_COLLECTION {
        return Err(reader.invalid("a long collection is not replaced by its digest"));
    }
    Ok(())
}

fn long(reader: &mut Reader<'_>, what: &str, limit: usize) -> Result<Value> {
    let len = reader.varint()?;
    if len <= limit as u64 {
        return Err(reader.invalid("a short value is replaced by its digest"));
    }
    Ok(format!("{what} of {len} bytes {}", digest(reader)?).into())
}

/// The start of a BLAKE3.
fn digest(reader: &mut Reader<'_>) -> Result<String> {
    Ok(hex(reader.array::<32>()?, 4))
}

fn hex(bytes: &[u8], at_most: usize) -> String {
    let mut text: String = bytes.iter().take(at_most).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > at_most {
        text.push('…');
    }
    text
}

fn int128(bytes: &[u8]) -> Option<i128> {
    if bytes.len() > 16 {
        return None;
    }
    let fill = if bytes.first().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
    let mut wide = [fill; 16];
    wide[16 - bytes.len()..].copy_from_slice(bytes);
    Some(i128::from_be_bytes(wide))
}

fn int(bytes: &[u8]) -> Value {
    match int128(bytes) {
        Some(value) => match (i64::try_from(value), u64::try_from(value)) {
            (Ok(small), _) => small.into(),
            (_, Ok(small)) => small.into(),
            _ => value.to_string().into(),
        },
        None => format!("int of {} bytes {}", bytes.len(), hex(bytes, 16)).into(),
    }
}

fn float(value: f64) -> Value {
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => "nan".into(),
        None if value > 0.0 => "inf".into(),
        None => "-inf".into(),
    }
}

fn uuid(bytes: &[u8; 16]) -> String {
    let digits = hex(bytes, 16);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

fn datetime(micros: i64) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(time) => time.naive_utc().format("%Y-%m-%dT%H:%M:%S%.6f").to_string(),
        None => format!("1970-01-01 + {micros} µs"),
    }
}

fn offset(micros: i64) -> String {
    let sign = if micros < 0 { '-' } else { '+' };
    let minutes = micros.unsigned_abs() / 60_000_000;
    let rest = micros.unsigned_abs() % 60_000_000;
    let seconds = match rest {
        0 => String::new(),
        rest => format!(":{:02}.{:06}", rest / 1_000_000, rest % 1_000_000),
    };
    format!("{sign}{:02}:{:02}{seconds}", minutes / 60, minutes % 60)
}

fn zoned(reader: &mut Reader<'_>) -> Result<Value> {
    let (micros, shift, zone) = (reader.i64()?, reader.i64()?, reader.text()?);
    if matches!(zone, "UTC" | "Etc/UTC" | "Z") {
        return Err(reader.invalid("UTC is written without a name"));
    }
    let suffix = if zone.is_empty() { String::new() } else { format!("[{zone}]") };
    Ok(format!("{}{}{suffix}", datetime(micros), offset(shift)).into())
}

fn time(reader: &mut Reader<'_>) -> Result<Value> {
    let micros = reader.i64()?;
    if !(0..tag::MICROS_PER_DAY).contains(&micros) {
        return Err(reader.invalid("a time is beyond the day"));
    }
    let seconds = u32::try_from(micros / 1_000_000).expect("a day has fewer seconds than 32 bits");
    let nanos = u32::try_from(micros % 1_000_000 * 1000).expect("less than a second");
    let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos).expect("within a day");
    let suffix = match reader.byte()? {
        0 => String::new(),
        1 => offset(reader.i64()?),
        _ => return Err(reader.invalid("a time has an offset or has none")),
    };
    Ok(format!("{}{suffix}", time.format("%H:%M:%S%.6f")).into())
}

fn duration(bytes: &[u8]) -> Value {
    match int128(bytes) {
        Some(micros) => {
            let sign = if micros < 0 { "-" } else { "" };
            let micros = micros.unsigned_abs();
            format!("{sign}{}.{:06} s", micros / 1_000_000, micros % 1_000_000).into()
        }
        None => format!("{} µs", hex(bytes, 16)).into(),
    }
}

/// Members come in ascending order of their encodings, and no two are equal.
fn ordered(reader: &Reader<'_>, last: &mut Option<(usize, usize)>, start: usize, all: &[u8]) -> Result<()> {
    if let Some((from, to)) = *last
        && all[from..to] >= all[start..reader.position]
    {
        return Err(reader.invalid("members of a collection are out of order or equal"));
    }
    *last = Some((start, reader.position));
    Ok(())
}

fn set(reader: &mut Reader<'_>, start: usize, level: usize) -> Result<Value> {
    let count = reader.count(1)?;
    let mut last = None;
    let mut items = Vec::new();
    for _ in 0..count {
        let from = reader.position;
        items.push(value(reader, level + 1)?);
        ordered(reader, &mut last, from, reader.since(0))?;
    }
    short_collection(reader, start, level)?;
    Ok(items.into())
}

fn mapping(reader: &mut Reader<'_>, start: usize, level: usize) -> Result<Value> {
    let count = reader.count(2)?;
    let mut last = None;
    let mut pairs = Vec::new();
    let mut named = true;
    for _ in 0..count {
        let from = reader.position;
        let key = value(reader, level + 1)?;
        ordered(reader, &mut last, from, reader.since(0))?;
        named &= reader.since(from)[0] == tag::STR;
        pairs.push((key, value(reader, level + 1)?));
    }
    short_collection(reader, start, level)?;
    if !named {
        return Ok(pairs.into_iter().map(|(key, value)| Value::Array(vec![key, value])).collect());
    }
    let object = pairs.into_iter().filter_map(|(key, value)| match key {
        Value::String(name) => Some((name, value)),
        _ => None,
    });
    Ok(Value::Object(object.collect()))
}

fn array(reader: &mut Reader<'_>) -> Result<Value> {
    let dtype = reader.text()?;
    let dimensions = reader.count(1)?;
    if dimensions > tag::MAX_DIMENSIONS {
        return Err(reader.invalid(&format!("an array has {dimensions} dimensions")));
    }
    let shape = (0..dimensions).map(|_| Ok(reader.varint()?.to_string())).collect::<Result<Vec<_>>>()?;
    let shape = if dimensions == 1 { format!("({},)", shape[0]) } else { format!("({})", shape.join(", ")) };
    Ok(format!("array {dtype} {shape} {}", digest(reader)?).into())
}

fn scalar(reader: &mut Reader<'_>) -> Result<Value> {
    let (dtype, item) = (reader.text()?, reader.raw()?);
    let number = match (dtype, item.len()) {
        ("|b1", 1) => Some(Value::Bool(item[0] != 0)),
        ("<f8", 8) => item.try_into().ok().map(|bytes| float(f64::from_le_bytes(bytes))),
        ("<f4", 4) => item.try_into().ok().map(|bytes| float(f32::from_le_bytes(bytes).into())),
        ("|i1" | "<i2" | "<i4" | "<i8", 1..=8) => {
            let reversed: Vec<u8> = item.iter().rev().copied().collect();
            Some(int(&reversed))
        }
        ("|u1" | "<u2" | "<u4" | "<u8", 1..=8) => {
            let mut bytes = [0; 8];
            bytes[..item.len()].copy_from_slice(item);
            Some(u64::from_le_bytes(bytes).into())
        }
        _ => None,
    };
    Ok(number.unwrap_or_else(|| format!("scalar {dtype} {}", hex(item, 32)).into()))
}
