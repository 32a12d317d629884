//! Checks encodings and renders them readably.

use chrono::{DateTime, NaiveDate, NaiveTime};
use serde_json::{Number, Value};

use crate::error::Result;
use crate::key::decode::{Reader, is_decimal};
use crate::key::tag;

/// Checks that `encoding` is the canonical encoding of some value, as this version writes it.
///
/// # Errors
/// Kind [`Serialization`](crate::ErrorKind::Serialization), with the offset of the first invalid byte.
pub fn decode(encoding: &[u8]) -> Result<()> {
    render(encoding).map(drop)
}

/// The value of an encoding in readable form: JSON if JSON has the type, else a short string
/// (`array <f8 (100, 3) 1a2b3c4d…`). The encoding may be untrusted.
///
/// # Errors
/// As [`decode`].
pub fn render(encoding: &[u8]) -> Result<Value> {
    render_as(encoding, &mut Json)
}

/// As [`render`], with the output of `shape`.
///
/// # Errors
/// As [`decode`].
pub fn render_as<S: Shape>(encoding: &[u8], shape: &mut S) -> Result<S::Shown> {
    let mut reader = Reader::new(encoding);
    let version = reader.byte()?;
    if version != tag::VERSION {
        return Err(reader.invalid(&format!("version {version} is unknown")));
    }
    finish(reader, shape)
}

/// As [`render`], of one value without the version byte.
pub(crate) fn render_value(value: &[u8]) -> Result<Value> {
    finish(Reader::new(value), &mut Json)
}

fn finish<S: Shape>(mut reader: Reader<'_>, shape: &mut S) -> Result<S::Shown> {
    let rendered = value(&mut reader, shape, 0)?;
    if reader.remaining() > 0 {
        return Err(reader.invalid("there are trailing bytes"));
    }
    Ok(rendered)
}

/// The output of rendering: JSON, or another form with the types of JSON.
pub trait Shape {
    /// A value.
    type Shown;
    /// A name in an object.
    type Name;
    /// Nothing.
    fn null(&mut self) -> Self::Shown;
    /// Yes or no.
    fn bool(&mut self, value: bool) -> Self::Shown;
    /// A number.
    fn int(&mut self, value: i64) -> Self::Shown;
    /// A number above [`i64::MAX`].
    fn uint(&mut self, value: u64) -> Self::Shown;
    /// A finite number.
    fn float(&mut self, value: f64) -> Self::Shown;
    /// A text.
    fn text(&mut self, value: &str) -> Self::Shown;
    /// A text for a value of a type that JSON lacks, such as a date or an array.
    fn notation(&mut self, value: &str) -> Self::Shown {
        self.text(value)
    }
    /// An array.
    fn list(&mut self, items: Vec<Self::Shown>) -> Self::Shown;
    /// The name of the next member of an object.
    fn name(&mut self, name: &str) -> Self::Name;
    /// A name as a value.
    fn shown(name: Self::Name) -> Self::Shown;
    /// An object, whose names differ.
    fn object(&mut self, fields: Vec<(Self::Name, Self::Shown)>) -> Self::Shown;
    /// The parts of a value of the type with this name.
    fn named(&mut self, name: &str, value: Self::Shown) -> Self::Shown {
        let name = self.name(name);
        self.object(vec![(name, value)])
    }
}

struct Json;

impl Shape for Json {
    type Shown = Value;
    type Name = String;

    fn null(&mut self) -> Value {
        Value::Null
    }

    fn bool(&mut self, value: bool) -> Value {
        Value::Bool(value)
    }

    fn int(&mut self, value: i64) -> Value {
        value.into()
    }

    fn uint(&mut self, value: u64) -> Value {
        value.into()
    }

    fn float(&mut self, value: f64) -> Value {
        Number::from_f64(value).map_or(Value::Null, Value::Number)
    }

    fn text(&mut self, value: &str) -> Value {
        value.into()
    }

    fn list(&mut self, items: Vec<Value>) -> Value {
        items.into()
    }

    fn name(&mut self, name: &str) -> String {
        name.to_owned()
    }

    fn shown(name: String) -> Value {
        name.into()
    }

    fn object(&mut self, fields: Vec<(String, Value)>) -> Value {
        Value::Object(fields.into_iter().collect())
    }
}

fn value<S: Shape>(reader: &mut Reader<'_>, shape: &mut S, level: usize) -> Result<S::Shown> {
    if level > tag::MAX_LEVELS {
        return Err(reader.invalid("values are nested too deeply"));
    }
    let start = reader.position;
    Ok(match reader.byte()? {
        tag::NONE => shape.null(),
        tag::FALSE => shape.bool(false),
        tag::TRUE => shape.bool(true),
        tag::INT => int(reader.int()?, shape),
        tag::FLOAT => float(reader.f64()?, shape),
        tag::COMPLEX => {
            let (real, imaginary) = (reader.f64()?, reader.f64()?);
            shape.notation(&format!("{real}{imaginary:+}j"))
        }
        tag::STR => {
            let text = reader.text()?;
            short(reader, text.len())?;
            shape.text(text)
        }
        tag::LONG_STR => long(reader, shape, "str", tag::LONG)?,
        tag::BYTES => {
            let bytes = reader.raw()?;
            short(reader, bytes.len())?;
            shape.notation(&format!("bytes ({}) {}", bytes.len(), hex(bytes, 32)))
        }
        tag::LONG_BYTES => long(reader, shape, "bytes", tag::LONG)?,
        tag::DECIMAL => {
            let text = reader.text()?;
            if !is_decimal(text.as_bytes()) {
                return Err(reader.invalid("a decimal number is malformed"));
            }
            shape.notation(text)
        }
        tag::UUID => shape.notation(&uuid(reader.array()?)),
        tag::ELLIPSIS => shape.notation("..."),
        tag::DATETIME => shape.notation(&datetime(reader.i64()?)),
        tag::DATETIME_ZONED => shape.notation(&zoned(reader)?),
        tag::DATE => {
            let days = reader.i64()?;
            let epoch_day = i32::try_from(days).ok().and_then(NaiveDate::from_epoch_days);
            shape.notation(&epoch_day.map_or_else(|| format!("1970-01-01 + {days} days"), |date| date.to_string()))
        }
        tag::TIME => shape.notation(&time(reader)?),
        tag::DURATION => {
            if reader.byte()? != tag::INT {
                return Err(reader.invalid("a duration is an integer"));
            }
            shape.notation(&duration(reader.int()?))
        }
        tag::PATH => shape.text(reader.text()?),
        tag::FILE => shape.notation(&format!("file {}", digest(reader)?)),
        tag::DIRECTORY => shape.notation(&format!("directory {}", digest(reader)?)),
        tag::LIST | tag::TUPLE => {
            let count = reader.count(1)?;
            let items = (0..count).map(|_| value(reader, shape, level + 1)).collect::<Result<Vec<_>>>()?;
            short_collection(reader, start, level)?;
            shape.list(items)
        }
        tag::MAPPING => mapping(reader, shape, start, level)?,
        tag::SET | tag::FROZENSET => set(reader, shape, start, level)?,
        tag::ARRAY => shape.notation(&array(reader)?),
        tag::SCALAR => scalar(reader, shape)?,
        tag::COLUMN => shape.notation(&format!("column {}", digest(reader)?)),
        tag::REFERENCE => shape.notation(reader.text()?),
        tag::ENUM => {
            let (class, member) = (reader.text()?, reader.text()?);
            shape.notation(&format!("{class}.{member}"))
        }
        tag::NAMED => {
            let name = reader.text()?;
            let inner = value(reader, shape, level + 1)?;
            shape.named(name, inner)
        }
        tag::DIGEST => {
            if level == 0 {
                return Err(reader.invalid("the outermost value is never replaced by its digest"));
            }
            long(reader, shape, "value", tag::LONG_COLLECTION)?
        }
        other => return Err(reader.invalid(&format!("tag {other:02x} is unknown"))),
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

fn long<S: Shape>(reader: &mut Reader<'_>, shape: &mut S, what: &str, limit: usize) -> Result<S::Shown> {
    let len = reader.varint()?;
    if len <= limit as u64 {
        return Err(reader.invalid("a short value is replaced by its digest"));
    }
    Ok(shape.notation(&format!("{what} of {len} bytes {}", digest(reader)?)))
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

fn int<S: Shape>(bytes: &[u8], shape: &mut S) -> S::Shown {
    match int128(bytes) {
        Some(value) => match (i64::try_from(value), u64::try_from(value)) {
            (Ok(small), _) => shape.int(small),
            (_, Ok(small)) => shape.uint(small),
            _ => shape.notation(&value.to_string()),
        },
        None => shape.notation(&format!("int of {} bytes {}", bytes.len(), hex(bytes, 16))),
    }
}

fn float<S: Shape>(value: f64, shape: &mut S) -> S::Shown {
    if value.is_finite() {
        shape.float(value)
    } else if value.is_nan() {
        shape.notation("nan")
    } else {
        shape.notation(if value > 0.0 { "inf" } else { "-inf" })
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

fn zoned(reader: &mut Reader<'_>) -> Result<String> {
    let (micros, shift, zone) = (reader.i64()?, reader.i64()?, reader.text()?);
    if matches!(zone, "UTC" | "Etc/UTC" | "Z") {
        return Err(reader.invalid("UTC is written without a name"));
    }
    let suffix = if zone.is_empty() { String::new() } else { format!("[{zone}]") };
    Ok(format!("{}{}{suffix}", datetime(micros), offset(shift)))
}

fn time(reader: &mut Reader<'_>) -> Result<String> {
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
        _ => return Err(reader.invalid("the flag for the offset of a time is neither 0 nor 1")),
    };
    Ok(format!("{}{suffix}", time.format("%H:%M:%S%.6f")))
}

fn duration(bytes: &[u8]) -> String {
    match int128(bytes) {
        Some(micros) => {
            let sign = if micros < 0 { "-" } else { "" };
            let micros = micros.unsigned_abs();
            format!("{sign}{}.{:06} s", micros / 1_000_000, micros % 1_000_000)
        }
        None => format!("{} µs", hex(bytes, 16)),
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

fn set<S: Shape>(reader: &mut Reader<'_>, shape: &mut S, start: usize, level: usize) -> Result<S::Shown> {
    let count = reader.count(1)?;
    let mut last = None;
    let mut items = Vec::new();
    for _ in 0..count {
        let from = reader.position;
        items.push(value(reader, shape, level + 1)?);
        ordered(reader, &mut last, from, reader.since(0))?;
    }
    short_collection(reader, start, level)?;
    Ok(shape.list(items))
}

fn mapping<S: Shape>(reader: &mut Reader<'_>, shape: &mut S, start: usize, level: usize) -> Result<S::Shown> {
    let count = reader.count(2)?;
    let mut last = None;
    let mut named = Vec::new();
    // From the first key that is not a string on.
    let mut pairs: Option<Vec<S::Shown>> = None;
    for _ in 0..count {
        let from = reader.position;
        if pairs.is_none() && reader.peek() == Some(tag::STR) {
            reader.byte()?;
            let name = reader.text()?;
            short(reader, name.len())?;
            ordered(reader, &mut last, from, reader.since(0))?;
            named.push((shape.name(name), value(reader, shape, level + 1)?));
            continue;
        }
        let key = value(reader, shape, level + 1)?;
        ordered(reader, &mut last, from, reader.since(0))?;
        let pair = vec![key, value(reader, shape, level + 1)?];
        let pair = shape.list(pair);
        let pairs = pairs.get_or_insert_with(|| {
            named
                .drain(..)
                .map(|(name, value)| {
                    let name = S::shown(name);
                    shape.list(vec![name, value])
                })
                .collect()
        });
        pairs.push(pair);
    }
    short_collection(reader, start, level)?;
    Ok(match pairs {
        Some(pairs) => shape.list(pairs),
        None => shape.object(named),
    })
}

fn array(reader: &mut Reader<'_>) -> Result<String> {
    let dtype = reader.text()?;
    let dimensions = reader.count(1)?;
    if dimensions > tag::MAX_DIMENSIONS {
        return Err(reader.invalid(&format!("an array has {dimensions} dimensions")));
    }
    let shape = (0..dimensions).map(|_| Ok(reader.varint()?.to_string())).collect::<Result<Vec<_>>>()?;
    let shape = if dimensions == 1 { format!("({},)", shape[0]) } else { format!("({})", shape.join(", ")) };
    Ok(format!("array {dtype} {shape} {}", digest(reader)?))
}

fn scalar<S: Shape>(reader: &mut Reader<'_>, shape: &mut S) -> Result<S::Shown> {
    let (dtype, item) = (reader.text()?, reader.raw()?);
    let number = match (dtype, item.len()) {
        ("|b1", 1) => Some(shape.bool(item[0] != 0)),
        ("<f8", 8) => item.try_into().ok().map(|bytes| float(f64::from_le_bytes(bytes), shape)),
        ("<f4", 4) => item.try_into().ok().map(|bytes| float(f32::from_le_bytes(bytes).into(), shape)),
        ("|i1" | "<i2" | "<i4" | "<i8", 1..=8) => {
            let reversed: Vec<u8> = item.iter().rev().copied().collect();
            Some(int(&reversed, shape))
        }
        ("|u1" | "<u2" | "<u4" | "<u8", 1..=8) => {
            let mut bytes = [0; 8];
            bytes[..item.len()].copy_from_slice(item);
            let number = u64::from_le_bytes(bytes);
            Some(match i64::try_from(number) {
                Ok(number) => shape.int(number),
                Err(_) => shape.uint(number),
            })
        }
        _ => None,
    };
    Ok(number.unwrap_or_else(|| shape.notation(&format!("scalar {dtype} {}", hex(item, 32)))))
}
