//! The tree of a plain value, for programs that do not know its type.

use std::collections::HashSet;

use super::ext::{self, DateTime, Ext, Integer, NumpyArray, NumpyScalar, Time, TimeDelta, Zone};
use super::wire::{self, MAX_DEPTH, Reader, Token, kind};
use crate::error::{Error, ErrorKind, Result};

/// Any plain value.
///
/// `==` compares as in Rust: `Int(1)` differs from `Float(1.0)`, NaN from itself, and maps are equal only in the same order.
/// [`Value::encode`] followed by [`Value::decode`] gives the same tree (a [`Value::UInt`] that fits an `i64` comes back as
/// [`Value::Int`]).
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    #[default]
    None,
    Bool(bool),
    Int(i64),
    /// For integers above `i64::MAX`.
    UInt(u64),
    /// An integer beyond 64 bits: two's complement, big-endian, shortest form.
    BigInt(Vec<u8>),
    Float(f64),
    /// Real and imaginary part.
    Complex(f64, f64),
    Str(String),
    Bytes(Vec<u8>),
    ByteArray(Vec<u8>),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Set(Vec<Value>),
    FrozenSet(Vec<Value>),
    /// Pairs in insertion order; the keys are hashable and differ.
    Map(Vec<(Value, Value)>),
    DateTime(DateTime),
    /// Days since 1970-01-01.
    Date(i32),
    Time(Time),
    TimeDelta(TimeDelta),
    /// The string of the General Decimal Arithmetic specification.
    Decimal(String),
    Uuid([u8; 16]),
    /// `/`-separated.
    Path(String),
    /// `package:name`, as specified in `docs/formats/plain.md`.
    Dtype(String),
    /// Start, stop and step: integers of any size.
    Range(Box<[Value; 3]>),
    NumpyScalar(NumpyScalar),
    NumpyArray(NumpyArray),
}

impl Value {
    /// The name of its type in Python.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::UInt(_) | Self::BigInt(_) => "int",
            Self::Float(_) => "float",
            Self::Complex(..) => "complex",
            Self::Str(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::ByteArray(_) => "bytearray",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Set(_) => "set",
            Self::FrozenSet(_) => "frozenset",
            Self::Map(_) => "dict",
            Self::DateTime(_) => "datetime",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::TimeDelta(_) => "timedelta",
            Self::Decimal(_) => "Decimal",
            Self::Uuid(_) => "UUID",
            Self::Path(_) => "Path",
            Self::Dtype(_) => "dtype",
            Self::Range(_) => "range",
            Self::NumpyScalar(_) => "NumPy scalar",
            Self::NumpyArray(_) => "NumPy array",
        }
    }

    /// Whether it can be a key of a map or a member of a set.
    #[must_use]
    pub fn is_hashable(&self) -> bool {
        match self {
            Self::List(_) | Self::Map(_) | Self::Set(_) | Self::ByteArray(_) | Self::NumpyArray(_) => false,
            Self::Decimal(text) => !text.contains("sNaN"),
            Self::Tuple(items) | Self::FrozenSet(items) => items.iter().all(Self::is_hashable),
            _ => true,
        }
    }

    /// Whether it may differ from itself, so that a set may contain it twice: NaN, or a value around one.
    pub(super) fn may_repeat(&self) -> bool {
        match self {
            Self::Float(value) => value.is_nan(),
            Self::Complex(real, imaginary) => real.is_nan() || imaginary.is_nan(),
            Self::Decimal(text) => text.contains("NaN"),
            Self::Tuple(items) | Self::FrozenSet(items) => items.iter().any(Self::may_repeat),
            // Float NaN and not-a-time.
            Self::NumpyScalar(_) => true,
            _ => false,
        }
    }

    /// The value under a string key, if this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(pairs) => pairs.iter().find_map(|(k, v)| matches!(k, Self::Str(k) if k == key).then_some(v)),
            _ => None,
        }
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Appends the encoding. On an error, `out` is unchanged.
    ///
    /// # Errors
    /// [`ErrorKind::Serialization`] if it is nested deeper than 128 levels, is larger than MessagePack can hold, or breaks a
    /// rule of its type (such as a datetime outside the years 1 to 9999).
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let result = self.put(out, MAX_DEPTH);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn put(&self, out: &mut Vec<u8>, depth: usize) -> Result<()> {
        match self {
            Self::None => wire::put_nil(out),
            Self::Bool(value) => wire::put_bool(out, *value),
            Self::Int(value) => wire::put_i64(out, *value),
            Self::UInt(value) => wire::put_u64(out, *value),
            Self::BigInt(bytes) => ext::put_big_int(out, bytes)?,
            Self::Float(value) => wire::put_f64(out, *value),
            Self::Complex(real, imaginary) => ext::put_complex(out, *real, *imaginary)?,
            Self::Str(text) => wire::put_str(out, text)?,
            Self::Bytes(bytes) => wire::put_bin(out, bytes)?,
            Self::ByteArray(bytes) => wire::put_ext(out, kind::BYTE_ARRAY, bytes)?,
            Self::List(items) => put_items(out, items, depth)?,
            Self::Tuple(items) => put_container(out, kind::TUPLE, items, depth)?,
            Self::Set(items) => put_container(out, kind::SET, items, depth)?,
            Self::FrozenSet(items) => put_container(out, kind::FROZEN_SET, items, depth)?,
            Self::Map(pairs) => {
                let depth = deeper(depth)?;
                wire::put_map_len(out, pairs.len())?;
                for (key, value) in pairs {
                    if !key.is_hashable() {
                        return Err(unhashable(key));
                    }
                    key.put(out, depth)?;
                    value.put(out, depth)?;
                }
            }
            Self::DateTime(value) => ext::put_datetime(out, value)?,
            Self::Date(days) => ext::put_date(out, *days)?,
            Self::Time(value) => ext::put_time(out, value)?,
            Self::TimeDelta(value) => ext::put_timedelta(out, value)?,
            Self::Decimal(text) => ext::put_decimal(out, text)?,
            Self::Uuid(bytes) => wire::put_ext(out, kind::UUID, bytes)?,
            Self::Path(path) => wire::put_ext(out, kind::PATH, path.as_bytes())?,
            Self::Dtype(text) => ext::put_dtype(out, text)?,
            Self::Range(parts) => {
                let [start, stop, step] = &**parts;
                ext::put_range(out, [start.integer()?, stop.integer()?, step.integer()?])?;
            }
            Self::NumpyScalar(scalar) => ext::put_numpy_scalar(out, &scalar.dtype, &scalar.data)?,
            Self::NumpyArray(array) => {
                ext::put_numpy_array_head(out, &array.dtype, &array.shape, array.fortran, array.data.len())?;
                out.extend_from_slice(&array.data);
            }
        }
        Ok(())
    }

    fn integer(&self) -> Result<Integer<'_>> {
        match self {
            Self::Int(value) => Ok(Integer::Int(*value)),
            Self::UInt(value) => Ok(Integer::UInt(*value)),
            Self::BigInt(bytes) => Ok(Integer::Big(bytes)),
            other => Err(Error::new(
                ErrorKind::Serialization,
                format!("cannot encode a plain value: a range has a {} in it", other.type_name()),
            )),
        }
    }

    /// Decodes one value, which must fill all of `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::Serialization`], with the offset of the invalid value.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let value = Self::read(&mut reader, MAX_DEPTH)?;
        reader.finish()?;
        Ok(value)
    }

    pub(super) fn read(reader: &mut Reader<'_>, depth: usize) -> Result<Self> {
        let at = reader.offset();
        Ok(match reader.token()? {
            Token::Nil => Self::None,
            Token::Bool(value) => Self::Bool(value),
            Token::Int(value) => Self::Int(value),
            Token::UInt(value) => Self::UInt(value),
            Token::Float(value) => Self::Float(value),
            Token::Str(text) => Self::Str(text.to_owned()),
            Token::Bin(bytes) => Self::Bytes(bytes.to_vec()),
            Token::Array(len) => {
                let depth = nested(depth, at)?;
                let mut items = Vec::with_capacity(len);
                for _ in 0..len {
                    items.push(Self::read(reader, depth)?);
                }
                Self::List(items)
            }
            Token::Map(len) => {
                let depth = nested(depth, at)?;
                let mut pairs = Vec::with_capacity(len);
                let mut distinct = Distinct::new("a map has a duplicate key");
                for _ in 0..len {
                    let key = distinct.read(reader, depth)?;
                    pairs.push((key, Self::read(reader, depth)?));
                }
                Self::Map(pairs)
            }
            Token::Ext(kind, body) => Self::from_ext(Ext::parse(kind, body)?, depth, at)?,
        })
    }

    /// Skips one value.
    pub(super) fn skip(reader: &mut Reader<'_>, depth: usize) -> Result<()> {
        let at = reader.offset();
        let (values, mut body) = match reader.token()? {
            Token::Array(len) => (len, None),
            Token::Map(len) => (len * 2, None),
            Token::Ext(kind, body) => match Ext::parse(kind, body)? {
                Ext::Tuple(len, body) | Ext::Set(len, body) | Ext::FrozenSet(len, body) => (len, Some(body)),
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        let depth = nested(depth, at)?;
        for _ in 0..values {
            Self::skip(body.as_mut().unwrap_or(reader), depth)?;
        }
        body.map_or(Ok(()), |body| body.finish())
    }

    fn from_ext(ext: Ext<'_>, depth: usize, at: usize) -> Result<Self> {
        Ok(match ext {
            Ext::BigInt(bytes) => Self::BigInt(bytes.to_vec()),
            Ext::Tuple(len, mut body) => {
                let depth = nested(depth, at)?;
                let mut items = Vec::with_capacity(len);
                for _ in 0..len {
                    items.push(Self::read(&mut body, depth)?);
                }
                body.finish()?;
                Self::Tuple(items)
            }
            Ext::Set(len, body) => Self::Set(read_members(len, body, nested(depth, at)?)?),
            Ext::FrozenSet(len, body) => Self::FrozenSet(read_members(len, body, nested(depth, at)?)?),
            Ext::Complex(real, imaginary) => Self::Complex(real, imaginary),
            Ext::DateTime(DateTime { micros, fold, zone }) => {
                Self::DateTime(DateTime { micros, fold, zone: zone.into_owned() })
            }
            Ext::Date(days) => Self::Date(days),
            Ext::Time(Time { micros, fold, zone }) => Self::Time(Time { micros, fold, zone: zone.into_owned() }),
            Ext::TimeDelta(delta) => Self::TimeDelta(delta),
            Ext::Decimal(text) => Self::Decimal(text.to_owned()),
            Ext::Uuid(bytes) => Self::Uuid(bytes),
            Ext::Path(path) => Self::Path(path.to_owned()),
            Ext::Dtype(text) => Self::Dtype(text.to_owned()),
            Ext::Range(parts) => Self::Range(Box::new(parts.map(|part| match part {
                Integer::Int(value) => Self::Int(value),
                Integer::UInt(value) => Self::UInt(value),
                Integer::Big(bytes) => Self::BigInt(bytes.to_vec()),
            }))),
            Ext::ByteArray(bytes) => Self::ByteArray(bytes.to_vec()),
            Ext::NumpyScalar(scalar) => {
                Self::NumpyScalar(NumpyScalar { dtype: scalar.dtype.to_owned(), data: scalar.data.to_vec() })
            }
            Ext::NumpyArray(array) => Self::NumpyArray(NumpyArray {
                dtype: array.dtype.to_owned(),
                shape: array.shape,
                fortran: array.fortran,
                data: array.data.to_vec(),
            }),
        })
    }
}

impl Zone<&str> {
    fn into_owned(self) -> Zone {
        match self {
            Self::Naive => Zone::Naive,
            Self::Fixed { offset, name } => Zone::Fixed { offset, name: name.map(str::to_owned) },
            Self::Named(name) => Zone::Named(name.to_owned()),
        }
    }
}

fn deeper(depth: usize) -> Result<usize> {
    depth.checked_sub(1).ok_or_else(|| {
        Error::new(ErrorKind::Serialization, format!("a plain value is nested deeper than {MAX_DEPTH} levels"))
    })
}

pub(super) fn nested(depth: usize, at: usize) -> Result<usize> {
    depth
        .checked_sub(1)
        .ok_or_else(|| Reader::error_at(at, format_args!("it is nested deeper than {MAX_DEPTH} levels")))
}

#[cold]
fn unhashable(key: &Value) -> Error {
    Error::new(
        ErrorKind::Serialization,
        format!("cannot encode a plain value: a {} cannot be a key or a member", key.type_name()),
    )
}

fn put_items(out: &mut Vec<u8>, items: &[Value], depth: usize) -> Result<()> {
    let depth = deeper(depth)?;
    wire::put_array_len(out, items.len())?;
    for item in items {
        item.put(out, depth)?;
    }
    Ok(())
}

fn put_container(out: &mut Vec<u8>, kind: i8, items: &[Value], depth: usize) -> Result<()> {
    if kind != kind::TUPLE
        && let Some(item) = items.iter().find(|item| !item.is_hashable())
    {
        return Err(unhashable(item));
    }
    let start = wire::begin_ext(out, kind);
    put_items(out, items, depth)?;
    wire::end_ext(out, start)
}

/// Reads values that must be hashable and must differ.
///
/// Values are distinguished by their encodings; `1` and `1.0`, which are equal in Python, pass here and are refused there.
struct Distinct<'a> {
    seen: HashSet<&'a [u8]>,
    complaint: &'static str,
}

impl<'a> Distinct<'a> {
    fn new(complaint: &'static str) -> Self {
        Self { seen: HashSet::new(), complaint }
    }

    fn read(&mut self, reader: &mut Reader<'a>, depth: usize) -> Result<Value> {
        let at = reader.offset();
        let value = Value::read(reader, depth)?;
        if !value.is_hashable() {
            return Err(Reader::error_at(at, format_args!("a {} cannot be a key or a member", value.type_name())));
        }
        if !self.seen.insert(reader.since(at)) && !value.may_repeat() {
            return Err(Reader::error_at(at, self.complaint));
        }
        Ok(value)
    }
}

fn read_members(len: usize, mut body: Reader<'_>, depth: usize) -> Result<Vec<Value>> {
    let mut distinct = Distinct::new("a set has a duplicate member");
    let mut members = Vec::with_capacity(len);
    for _ in 0..len {
        members.push(distinct.read(&mut body, depth)?);
    }
    body.finish()?;
    Ok(members)
}

macro_rules! from {
    ($($type:ty => |$value:ident| $make:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $make
            }
        }
    )*};
}

from! {
    () => |_unit| Self::None;
    bool => |value| Self::Bool(value);
    i8 => |value| Self::Int(value.into());
    i16 => |value| Self::Int(value.into());
    i32 => |value| Self::Int(value.into());
    i64 => |value| Self::Int(value);
    u8 => |value| Self::Int(value.into());
    u16 => |value| Self::Int(value.into());
    u32 => |value| Self::Int(value.into());
    u64 => |value| i64::try_from(value).map_or(Self::UInt(value), Self::Int);
    f32 => |value| Self::Float(value.into());
    f64 => |value| Self::Float(value);
    &str => |value| Self::Str(value.to_owned());
    String => |value| Self::Str(value);
    Vec<u8> => |value| Self::Bytes(value);
    Vec<Value> => |value| Self::List(value);
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

impl<K: Into<Value>, V: Into<Value>> FromIterator<(K, V)> for Value {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self::Map(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}
