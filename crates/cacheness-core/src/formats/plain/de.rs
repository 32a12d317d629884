//! Plain values into serde's data model, in one pass over the bytes.

use std::collections::HashSet;
use std::fmt;

use serde::de::value::{BorrowedBytesDeserializer, SeqDeserializer};
use serde::de::{self, Deserialize, DeserializeSeed, IntoDeserializer, Visitor};

use super::calendar::{format_date, format_datetime, format_time};
use super::ext::{Ext, Integer, NumpyArray};
use super::numpy::{Item, item, strides};
use super::ser::Fault;
use super::value::{Value, nested};
use super::wire::{self, MAX_DEPTH, Reader, Token};
use super::{uuid, value_serde};
use crate::error::{Error, ErrorKind, Result};

/// Decodes one value, which must fill all of `bytes`; strings and bytes may borrow from it.
///
/// Tuples, sets, frozensets and ranges (start, stop, step) are sequences, as are complex numbers (of two floats) and NumPy
/// arrays of numbers (of sequences, one for each further dimension). Decimals, UUIDs and paths are strings, dates and
/// times ISO 8601 strings, a timedelta is a float of seconds.
///
/// # Errors
/// [`ErrorKind::Serialization`] if the bytes are not a plain value of this type.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T> {
    let mut deserializer = Deserializer { reader: Reader::new(bytes), depth: MAX_DEPTH };
    let value = T::deserialize(&mut deserializer).map_err(|fault| fault.0)?;
    deserializer.reader.finish()?;
    Ok(value)
}

/// The maximum number of empty sequences for an array without items.
const MAX_EMPTY: u64 = 1 << 16;

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(Error::new(ErrorKind::Serialization, format!("cannot decode a plain value: {message}")))
    }
}

struct Deserializer<'de> {
    reader: Reader<'de>,
    depth: usize,
}

impl<'de> Deserializer<'de> {
    fn nested(&self, reader: Reader<'de>, at: usize) -> Result<Self> {
        Ok(Self { reader, depth: nested(self.depth, at)? })
    }

    fn visit<V: Visitor<'de>>(&mut self, token: Token<'de>, at: usize, visitor: V) -> Result<V::Value, Fault> {
        match token {
            Token::Nil => visitor.visit_unit(),
            Token::Bool(value) => visitor.visit_bool(value),
            Token::Int(value) => visitor.visit_i64(value),
            Token::UInt(value) => visitor.visit_u64(value),
            Token::Float(value) => visitor.visit_f64(value),
            Token::Str(text) => visitor.visit_borrowed_str(text),
            Token::Bin(bytes) => visitor.visit_borrowed_bytes(bytes),
            Token::Array(len) => {
                self.depth = nested(self.depth, at)?;
                let mut items = Items { deserializer: self, left: len, seen: None };
                let value = visitor.visit_seq(&mut items)?;
                items.end()?;
                self.depth += 1;
                Ok(value)
            }
            Token::Map(len) => {
                self.depth = nested(self.depth, at)?;
                let mut pairs = Pairs { deserializer: self, left: len };
                let value = visitor.visit_map(&mut pairs)?;
                pairs.end()?;
                self.depth += 1;
                Ok(value)
            }
            Token::Ext(kind, body) => self.visit_ext(Ext::parse(kind, body)?, at, visitor),
        }
    }

    fn visit_ext<V: Visitor<'de>>(&mut self, ext: Ext<'de>, at: usize, visitor: V) -> Result<V::Value, Fault> {
        let unrepresentable = || Fault(Reader::error_at(at, "it has no text"));
        match ext {
            Ext::BigInt(bytes) => visit_big(bytes, at, visitor),
            Ext::Tuple(len, body) => self.visit_items(len, body, None, at, visitor),
            Ext::Set(len, body) | Ext::FrozenSet(len, body) => {
                self.visit_items(len, body, Some(HashSet::new()), at, visitor)
            }
            Ext::Complex(real, imaginary) => {
                visitor.visit_seq(SeqDeserializer::<_, Fault>::new([real, imaginary].into_iter()))
            }
            Ext::DateTime(value) => {
                let text = format_datetime(value.micros).ok_or_else(unrepresentable)?;
                visitor.visit_string(text + &value.zone.to_text())
            }
            Ext::Date(days) => visitor.visit_string(format_date(days).ok_or_else(unrepresentable)?),
            Ext::Time(value) => {
                let text = format_time(value.micros).ok_or_else(unrepresentable)?;
                visitor.visit_string(text + &value.zone.to_text())
            }
            Ext::TimeDelta(delta) => visitor.visit_f64(delta.as_secs_f64()),
            Ext::Decimal(text) | Ext::Path(text) | Ext::Dtype(text) => visitor.visit_borrowed_str(text),
            Ext::Uuid(bytes) => visitor.visit_string(uuid::format(&bytes)),
            Ext::Range(parts) => {
                let parts = parts.map(|part| match part {
                    Integer::Int(value) => Ok(i128::from(value)),
                    Integer::UInt(value) => Ok(i128::from(value)),
                    Integer::Big(bytes) => big_i128(bytes).ok_or_else(|| beyond_128(at)),
                });
                let [start, stop, step] = parts;
                visitor.visit_seq(SeqDeserializer::<_, Fault>::new([start?, stop?, step?].into_iter().map(Wide)))
            }
            Ext::ByteArray(bytes) => visitor.visit_borrowed_bytes(bytes),
            Ext::NumpyScalar(scalar) => visit_item(scalar.dtype, scalar.data, at, visitor),
            Ext::NumpyArray(array) if array.shape.is_empty() => visit_item(array.dtype, array.data, at, visitor),
            Ext::NumpyArray(array) => {
                // Without items, the dimensions are not backed by bytes.
                let outer: u64 = array.shape.iter().take_while(|&&dimension| dimension != 0).product();
                if array.data.is_empty() && outer > MAX_EMPTY {
                    return Err(Fault(Reader::error_at(at, format_args!("an array without items has {outer} rows"))));
                }
                let strides = strides(&array.shape, array.fortran);
                visitor.visit_seq(Axis { array: &array, strides: &strides, axis: 0, offset: 0, next: 0, at })
            }
        }
    }

    fn visit_items<V: Visitor<'de>>(
        &self,
        len: usize,
        body: Reader<'de>,
        seen: Option<HashSet<&'de [u8]>>,
        at: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let mut inner = self.nested(body, at)?;
        let mut items = Items { deserializer: &mut inner, left: len, seen };
        let value = visitor.visit_seq(&mut items)?;
        items.end()?;
        inner.reader.finish()?;
        Ok(value)
    }
}

/// An integer of 128 bits, passed as the narrowest type.
struct Wide(i128);

impl<'de> IntoDeserializer<'de, Fault> for Wide {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> de::Deserializer<'de> for Wide {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match (i64::try_from(self.0), u64::try_from(self.0)) {
            (Ok(value), _) => visitor.visit_i64(value),
            (_, Ok(value)) => visitor.visit_u64(value),
            _ => visitor.visit_i128(self.0),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

fn beyond_128(at: usize) -> Fault {
    Fault(
        Reader::error_at(at, "an integer has more than 128 bits")
            .with_hint("read it as a cacheness_core::formats::plain::Value"),
    )
}

fn big_i128(bytes: &[u8]) -> Option<i128> {
    let mut all = if bytes.first()? & 0x80 == 0 { [0; 16] } else { [0xff; 16] };
    let start = all.len().checked_sub(bytes.len())?;
    all[start..].copy_from_slice(bytes);
    Some(i128::from_be_bytes(all))
}

fn visit_big<'de, V: Visitor<'de>>(bytes: &[u8], at: usize, visitor: V) -> Result<V::Value, Fault> {
    match bytes {
        [0, rest @ ..] if rest.len() == 16 => {
            visitor.visit_u128(u128::from_be_bytes(rest.try_into().expect("it is 16 bytes long")))
        }
        _ => visitor.visit_i128(big_i128(bytes).ok_or_else(|| beyond_128(at))?),
    }
}

fn visit_item<'de, V: Visitor<'de>>(dtype: &str, data: &'de [u8], at: usize, visitor: V) -> Result<V::Value, Fault> {
    match item(dtype, data) {
        Some(Item::Bool(value)) => visitor.visit_bool(value),
        Some(Item::Int(value)) => visitor.visit_i64(value),
        Some(Item::UInt(value)) => visitor.visit_u64(value),
        Some(Item::Float(value)) => visitor.visit_f64(value),
        Some(Item::Complex(real, imaginary)) => {
            visitor.visit_seq(SeqDeserializer::<_, Fault>::new([real, imaginary].into_iter()))
        }
        Some(Item::Bytes(bytes)) => visitor.visit_borrowed_bytes(bytes),
        Some(Item::Str(text)) => visitor.visit_string(text),
        None => Err(Fault(
            Reader::error_at(at, format_args!("NumPy items {dtype:?} have no type in Rust"))
                .with_hint("read it as a cacheness_core::formats::plain::Value"),
        )),
    }
}

/// One axis of a NumPy array as a sequence.
struct Axis<'a, 'de> {
    array: &'a NumpyArray<&'de str, &'de [u8]>,
    /// In items.
    strides: &'a [usize],
    axis: usize,
    /// Of the first item, in items.
    offset: usize,
    next: u64,
    at: usize,
}

impl<'de> de::SeqAccess<'de> for Axis<'_, 'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        if self.next == self.array.shape[self.axis] {
            return Ok(None);
        }
        let inner = Axis { axis: self.axis + 1, next: 0, ..*self };
        self.offset += self.strides[self.axis];
        self.next += 1;
        seed.deserialize(inner).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        usize::try_from(self.array.shape[self.axis] - self.next).ok()
    }
}

impl<'de> de::Deserializer<'de> for Axis<'_, 'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.axis < self.array.shape.len() {
            return visitor.visit_seq(self);
        }
        let items = self.array.shape.iter().product::<u64>();
        let size = usize::try_from(items).ok().and_then(|items| self.array.data.len().checked_div(items)).unwrap_or(0);
        let data = self.array.data.get(self.offset * size..).unwrap_or_default();
        visit_item(self.array.dtype, data, self.at, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The values of an array, or of a container extension.
struct Items<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
    left: usize,
    /// Encodings of the members so far, if the values must differ.
    seen: Option<HashSet<&'de [u8]>>,
}

impl Items<'_, '_> {
    /// Refuses values that the visitor did not read.
    fn end(&self) -> Result<(), Fault> {
        match self.left {
            0 => Ok(()),
            left => Err(Fault(self.deserializer.reader.error(format_args!("a sequence has {left} items too many")))),
        }
    }
}

impl<'de> de::SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let at = self.deserializer.reader.offset();
        let item = seed.deserialize(&mut *self.deserializer)?;
        if let Some(seen) = &mut self.seen {
            let encoding = self.deserializer.reader.since(at);
            if !seen.insert(encoding) && !Value::decode(encoding)?.may_repeat() {
                return Err(Fault(Reader::error_at(at, "a set has a duplicate member")));
            }
        }
        Ok(Some(item))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The pairs of a map.
struct Pairs<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
    left: usize,
}

impl Pairs<'_, '_> {
    /// Refuses pairs that the visitor did not read.
    fn end(&self) -> Result<(), Fault> {
        match self.left {
            0 => Ok(()),
            left => Err(Fault(self.deserializer.reader.error(format_args!("a map has {left} pairs too many")))),
        }
    }
}

impl<'de> de::MapAccess<'de> for &mut Pairs<'_, 'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.deserializer).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        seed.deserialize(&mut *self.deserializer)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = Fault;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let at = self.reader.offset();
        let token = self.reader.token()?;
        self.visit(token, at, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.reader.peek() == Some(wire::NIL) {
            self.reader.token()?;
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        if name != value_serde::MARK {
            return visitor.visit_newtype_struct(self);
        }
        let start = self.reader.offset();
        Value::skip(&mut self.reader, self.depth)?;
        let encoding = self.reader.since(start);
        visitor.visit_newtype_struct(BorrowedBytesDeserializer::<Fault>::new(encoding))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let at = self.reader.offset();
        match self.reader.token()? {
            Token::Ext(kind, body) => match Ext::parse(kind, body)? {
                Ext::Uuid(bytes) => visitor.visit_bytes(&bytes),
                other => self.visit_ext(other, at, visitor),
            },
            token => self.visit(token, at, visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let at = self.reader.offset();
        let bytes = match self.reader.token()? {
            Token::Bin(bytes) => bytes,
            Token::Ext(kind, body) => match Ext::parse(kind, body)? {
                Ext::ByteArray(bytes) => bytes,
                other => return self.visit_ext(other, at, visitor),
            },
            token => return self.visit(token, at, visitor),
        };
        visitor.visit_seq(SeqDeserializer::<_, Fault>::new(bytes.iter().copied()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let at = self.reader.offset();
        match self.reader.token()? {
            Token::Str(variant) => visitor.visit_enum(variant.into_deserializer()),
            Token::Map(1) => {
                self.depth = nested(self.depth, at)?;
                let value = visitor.visit_enum(Variant(self))?;
                self.depth += 1;
                Ok(value)
            }
            other => Err(Fault(Reader::error_at(
                at,
                format_args!("expected an enum (a str, or a map of one pair), found {}", other.name()),
            ))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        Value::skip(&mut self.reader, self.depth)?;
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string unit unit_struct map struct identifier
    }
}

/// `{"Variant": content}`.
struct Variant<'a, 'de>(&'a mut Deserializer<'de>);

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let variant = seed.deserialize(&mut *self.0)?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Deserialize::deserialize(self.0)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Fault> {
        de::Deserializer::deserialize_seq(self.0, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _fields: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        de::Deserializer::deserialize_any(self.0, visitor)
    }
}
