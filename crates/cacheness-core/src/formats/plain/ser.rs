//! serde's data model into plain values.

use std::fmt;

use serde::ser::{self, Serialize};

use super::value::Value;
use super::wire::{self, MAX_DEPTH, Reader};
use super::{ext, value_serde};
use crate::error::{Error, ErrorKind, Result};

/// Encodes any serde value: structs as maps with field names, enums as `"Variant"` or `{"Variant": …}`, sequences and
/// tuples as lists, `None` and `()` as nil, integers of up to 128 bits.
///
/// # Errors
/// [`ErrorKind::Serialization`] if the type's own implementation fails, if it is nested deeper than 128 levels, if a part is
/// larger than MessagePack can hold, or if it has a `Some` of a nil value, which would come back as `None`.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(128);
    to_writer(value, &mut out)?;
    Ok(out)
}

/// As [`to_vec`], appended to `out`; on an error, `out` is unchanged.
///
/// # Errors
/// As [`to_vec`].
pub fn to_writer<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    let result = value.serialize(&mut Serializer { out, depth: MAX_DEPTH, raw: false });
    result.map_err(|fault| {
        out.truncate(start);
        fault.0
    })
}

/// Wraps the engine's error for serde.
#[derive(Debug)]
pub(super) struct Fault(pub(super) Error);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Fault {}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl ser::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(Error::new(ErrorKind::Serialization, format!("cannot encode a plain value: {message}")))
    }
}

struct Serializer<'o> {
    out: &'o mut Vec<u8>,
    /// The remaining levels of containers.
    depth: usize,
    /// The next bytes are an encoded [`Value`] and not a byte string.
    raw: bool,
}

impl<'o> Serializer<'o> {
    fn open(&mut self, len: Option<usize>, is_map: bool) -> Result<Compound<'_, 'o>, Fault> {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| {
            Fault(Error::new(ErrorKind::Serialization, format!("a value is nested deeper than {MAX_DEPTH} levels")))
        })?;
        let start = self.out.len();
        if let Some(len) = len {
            put_len(self.out, len, is_map)?;
        }
        Ok(Compound { serializer: self, start, len, count: 0, is_map, variant: false })
    }

    fn open_variant(&mut self, variant: &str, len: usize, is_map: bool) -> Result<Compound<'_, 'o>, Fault> {
        self.depth = self.depth.saturating_sub(1);
        wire::put_map_len(self.out, 1)?;
        wire::put_str(self.out, variant)?;
        Ok(Compound { variant: true, ..self.open(Some(len), is_map)? })
    }
}

fn put_len(out: &mut Vec<u8>, len: usize, is_map: bool) -> Result<()> {
    if is_map { wire::put_map_len(out, len) } else { wire::put_array_len(out, len) }
}

/// An open array or map.
struct Compound<'s, 'o> {
    serializer: &'s mut Serializer<'o>,
    /// Offset of its header, which is written once its length is known.
    start: usize,
    len: Option<usize>,
    count: usize,
    is_map: bool,
    /// Whether it is the content of an enum variant, itself in a map.
    variant: bool,
}

impl Compound<'_, '_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.count += 1;
        value.serialize(&mut *self.serializer)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Fault> {
        wire::put_str(self.serializer.out, name)?;
        self.item(value)
    }

    fn close(self) -> Result<(), Fault> {
        match self.len {
            Some(len) if len == self.count => {}
            Some(len) => {
                return Err(ser::Error::custom(format_args!("{len} items were announced and {} written", self.count)));
            }
            None => {
                let mut header = Vec::with_capacity(5);
                put_len(&mut header, self.count, self.is_map)?;
                self.serializer.out.splice(self.start..self.start, header);
            }
        }
        self.serializer.depth += 1 + usize::from(self.variant);
        Ok(())
    }
}

impl<'s, 'o> ser::Serializer for &'s mut Serializer<'o> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Compound<'s, 'o>;
    type SerializeTuple = Compound<'s, 'o>;
    type SerializeTupleStruct = Compound<'s, 'o>;
    type SerializeTupleVariant = Compound<'s, 'o>;
    type SerializeMap = Compound<'s, 'o>;
    type SerializeStruct = Compound<'s, 'o>;
    type SerializeStructVariant = Compound<'s, 'o>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, v: bool) -> Result<(), Fault> {
        wire::put_bool(self.out, v);
        Ok(())
    }

    fn serialize_i8(self, v: i8) -> Result<(), Fault> {
        self.serialize_i64(v.into())
    }

    fn serialize_i16(self, v: i16) -> Result<(), Fault> {
        self.serialize_i64(v.into())
    }

    fn serialize_i32(self, v: i32) -> Result<(), Fault> {
        self.serialize_i64(v.into())
    }

    fn serialize_i64(self, v: i64) -> Result<(), Fault> {
        wire::put_i64(self.out, v);
        Ok(())
    }

    fn serialize_i128(self, v: i128) -> Result<(), Fault> {
        Ok(ext::put_i128(self.out, v)?)
    }

    fn serialize_u8(self, v: u8) -> Result<(), Fault> {
        self.serialize_u64(v.into())
    }

    fn serialize_u16(self, v: u16) -> Result<(), Fault> {
        self.serialize_u64(v.into())
    }

    fn serialize_u32(self, v: u32) -> Result<(), Fault> {
        self.serialize_u64(v.into())
    }

    fn serialize_u64(self, v: u64) -> Result<(), Fault> {
        wire::put_u64(self.out, v);
        Ok(())
    }

    fn serialize_u128(self, v: u128) -> Result<(), Fault> {
        Ok(ext::put_u128(self.out, v)?)
    }

    fn serialize_f32(self, v: f32) -> Result<(), Fault> {
        self.serialize_f64(v.into())
    }

    fn serialize_f64(self, v: f64) -> Result<(), Fault> {
        wire::put_f64(self.out, v);
        Ok(())
    }

    fn serialize_char(self, v: char) -> Result<(), Fault> {
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, v: &str) -> Result<(), Fault> {
        Ok(wire::put_str(self.out, v)?)
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<(), Fault> {
        if std::mem::take(&mut self.raw) {
            let mut reader = Reader::new(v);
            Value::skip(&mut reader, self.depth)?;
            self.out.extend_from_slice(v);
            return Ok(());
        }
        Ok(wire::put_bin(self.out, v)?)
    }

    fn serialize_none(self) -> Result<(), Fault> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        let start = self.out.len();
        value.serialize(&mut *self)?;
        if self.out[start..] == [wire::NIL] {
            return Err(ser::Error::custom(
                "Some of nothing, such as Some(None) and Some(()), would come back as None",
            ));
        }
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        wire::put_nil(self.out);
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Fault> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<(), Fault> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<(), Fault> {
        self.raw = name == value_serde::MARK;
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        let mut map = self.open(Some(1), true)?;
        map.field(variant, value)?;
        map.close()
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Compound<'s, 'o>, Fault> {
        self.open(len, false)
    }

    fn serialize_tuple(self, len: usize) -> Result<Compound<'s, 'o>, Fault> {
        self.open(Some(len), false)
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Compound<'s, 'o>, Fault> {
        self.open(Some(len), false)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'s, 'o>, Fault> {
        self.open_variant(variant, len, false)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Compound<'s, 'o>, Fault> {
        self.open(len, true)
    }

    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<Compound<'s, 'o>, Fault> {
        self.open(Some(len), true)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'s, 'o>, Fault> {
        self.open_variant(variant, len, true)
    }
}

impl ser::SerializeSeq for Compound<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.item(value)
    }

    fn end(self) -> Result<(), Fault> {
        self.close()
    }
}

impl ser::SerializeTuple for Compound<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.item(value)
    }

    fn end(self) -> Result<(), Fault> {
        self.close()
    }
}

impl ser::SerializeTupleStruct for Compound<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.item(value)
    }

    fn end(self) -> Result<(), Fault> {
        self.close()
    }
}

impl ser::SerializeTupleVariant for Compound<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.item(value)
    }

    fn end(self) -> Result<(), Fault> {
        self.close()
    }
}

impl ser::SerializeMap for Compound<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        key.serialize(&mut *self.serializer)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.item(value)
    }

    fn end(self) -> Result<(), Fault> {
        self.close()
    }
}

impl ser::SerializeStruct for Compound<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Fault> {
        self.field(key, value)
    }

    fn end(self) -> Result<(), Fault> {
        self.close()
    }
}

impl ser::SerializeStructVariant for Compound<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Fault> {
        self.field(key, value)
    }

    fn end(self) -> Result<(), Fault> {
        self.close()
    }
}
