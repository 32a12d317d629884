//! MessagePack tokens: writing in the shortest form, reading untrusted bytes.
//!
//! A [`Reader`] counts the values that the containers read so far still expect. As every value takes at least one byte, a
//! count that the remaining bytes cannot hold is refused at once, and memory allocated for counts stays proportional to the
//! payload for any nesting of containers.

use crate::error::{Error, ErrorKind, Result};

/// The maximum nesting of containers.
pub const MAX_DEPTH: usize = 128;

/// Extension types, with the numbers of `docs/formats/plain.md`.
#[allow(missing_docs)]
pub mod kind {
    pub const BIG_INT: i8 = 1;
    pub const TUPLE: i8 = 2;
    pub const SET: i8 = 3;
    pub const FROZEN_SET: i8 = 4;
    pub const COMPLEX: i8 = 5;
    pub const DATETIME: i8 = 6;
    pub const DATE: i8 = 7;
    pub const TIME: i8 = 8;
    pub const TIMEDELTA: i8 = 9;
    pub const DECIMAL: i8 = 10;
    pub const UUID: i8 = 11;
    pub const PATH: i8 = 12;
    pub const RANGE: i8 = 13;
    pub const BYTE_ARRAY: i8 = 14;
    pub const NUMPY_SCALAR: i8 = 15;
    pub const NUMPY_ARRAY: i8 = 16;
    pub const DTYPE: i8 = 17;
}

/// The tag of nil.
pub const NIL: u8 = 0xc0;

fn length(len: usize, what: &str) -> Result<u32> {
    u32::try_from(len).map_err(|_| {
        Error::new(ErrorKind::Serialization, format!("{what} of {len} is more than MessagePack can hold (2^32 - 1)"))
            .with_hint("store large data as an array or as a separate bytes value")
    })
}

/// Writes nil.
#[inline]
pub fn put_nil(out: &mut Vec<u8>) {
    out.push(NIL);
}

/// Writes a boolean.
#[inline]
pub fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

/// Writes an integer.
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    if value >= 0 {
        put_u64(out, value as u64);
    } else if value >= -32 {
        out.push(value as u8);
    } else if let Ok(value) = i8::try_from(value) {
        out.extend_from_slice(&[0xd0, value as u8]);
    } else if let Ok(value) = i16::try_from(value) {
        let [a, b] = value.to_be_bytes();
        out.extend_from_slice(&[0xd1, a, b]);
    } else if let Ok(value) = i32::try_from(value) {
        let [a, b, c, d] = value.to_be_bytes();
        out.extend_from_slice(&[0xd2, a, b, c, d]);
    } else {
        put_tagged(out, 0xd3, value.to_be_bytes());
    }
}

/// Writes an integer.
#[inline]
#[allow(clippy::cast_possible_truncation)]
pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    if value < 128 {
        out.push(value as u8);
    } else if let Ok(value) = u8::try_from(value) {
        out.extend_from_slice(&[0xcc, value]);
    } else if let Ok(value) = u16::try_from(value) {
        let [a, b] = value.to_be_bytes();
        out.extend_from_slice(&[0xcd, a, b]);
    } else if let Ok(value) = u32::try_from(value) {
        let [a, b, c, d] = value.to_be_bytes();
        out.extend_from_slice(&[0xce, a, b, c, d]);
    } else {
        put_tagged(out, 0xcf, value.to_be_bytes());
    }
}

#[inline]
fn put_tagged(out: &mut Vec<u8>, tag: u8, [a, b, c, d, e, f, g, h]: [u8; 8]) {
    out.extend_from_slice(&[tag, a, b, c, d, e, f, g, h]);
}

/// Writes a float; every bit of it is kept.
#[inline]
pub fn put_f64(out: &mut Vec<u8>, value: f64) {
    put_tagged(out, 0xcb, value.to_bits().to_be_bytes());
}

/// Writes a header with an 8, 16 or 32 bit length.
#[allow(clippy::cast_possible_truncation)]
fn put_header(out: &mut Vec<u8>, tags: [Option<u8>; 3], len: u32) {
    match (tags, len) {
        ([Some(tag), ..], 0..=0xff) => out.extend_from_slice(&[tag, len as u8]),
        ([_, Some(tag), _], 0..=0xffff) => {
            let [a, b] = (len as u16).to_be_bytes();
            out.extend_from_slice(&[tag, a, b]);
        }
        ([.., tag], _) => {
            let [a, b, c, d] = len.to_be_bytes();
            out.extend_from_slice(&[tag.expect("every family has a 32 bit form"), a, b, c, d]);
        }
    }
}

/// Writes a string.
#[inline]
#[allow(clippy::cast_possible_truncation)]
pub fn put_str(out: &mut Vec<u8>, value: &str) -> Result<()> {
    let len = value.len();
    if len < 32 {
        out.push(0xa0 | len as u8);
    } else {
        put_header(out, [Some(0xd9), Some(0xda), Some(0xdb)], length(len, "a str")?);
    }
    out.extend_from_slice(value.as_bytes());
    Ok(())
}

/// Writes bytes.
pub fn put_bin(out: &mut Vec<u8>, value: &[u8]) -> Result<()> {
    put_header(out, [Some(0xc4), Some(0xc5), Some(0xc6)], length(value.len(), "a byte string")?);
    out.extend_from_slice(value);
    Ok(())
}

/// Writes the header of an array; `len` values follow.
#[inline]
#[allow(clippy::cast_possible_truncation)]
pub fn put_array_len(out: &mut Vec<u8>, len: usize) -> Result<()> {
    if len < 16 {
        out.push(0x90 | len as u8);
    } else {
        put_header(out, [None, Some(0xdc), Some(0xdd)], length(len, "an array")?);
    }
    Ok(())
}

/// Writes the header of a map; `len` pairs follow.
#[inline]
#[allow(clippy::cast_possible_truncation)]
pub fn put_map_len(out: &mut Vec<u8>, len: usize) -> Result<()> {
    if len < 16 {
        out.push(0x80 | len as u8);
    } else {
        put_header(out, [None, Some(0xde), Some(0xdf)], length(len, "a map")?);
    }
    Ok(())
}

/// Writes the header of an extension; a body of `len` bytes follows.
#[allow(clippy::cast_sign_loss)]
pub fn put_ext_len(out: &mut Vec<u8>, kind: i8, len: usize) -> Result<()> {
    match len {
        1 => out.push(0xd4),
        2 => out.push(0xd5),
        4 => out.push(0xd6),
        8 => out.push(0xd7),
        16 => out.push(0xd8),
        _ => put_header(out, [Some(0xc7), Some(0xc8), Some(0xc9)], length(len, "an extension")?),
    }
    out.push(kind as u8);
    Ok(())
}

/// Writes an extension with a given body.
pub fn put_ext(out: &mut Vec<u8>, kind: i8, body: &[u8]) -> Result<()> {
    put_ext_len(out, kind, body.len())?;
    out.extend_from_slice(body);
    Ok(())
}

/// Starts a container extension, whose length is filled in by [`end_ext`]; returns what that needs.
#[allow(clippy::cast_sign_loss)]
pub fn begin_ext(out: &mut Vec<u8>, kind: i8) -> usize {
    out.extend_from_slice(&[0xc9, 0, 0, 0, 0, kind as u8]);
    out.len()
}

/// Ends the container extension that [`begin_ext`] started.
pub fn end_ext(out: &mut [u8], start: usize) -> Result<()> {
    let len = length(out.len() - start, "a container in bytes")?;
    out[start - 5..start - 1].copy_from_slice(&len.to_be_bytes());
    Ok(())
}

/// One MessagePack value, or the header of one that contains others.
#[derive(Clone, Debug)]
pub enum Token<'a> {
    /// nil.
    Nil,
    /// A boolean.
    Bool(bool),
    /// An integer that an `i64` holds.
    Int(i64),
    /// An integer above `i64::MAX`.
    UInt(u64),
    /// A float of either width.
    Float(f64),
    /// A string.
    Str(&'a str),
    /// Bytes.
    Bin(&'a [u8]),
    /// This many values follow.
    Array(usize),
    /// This many pairs follow.
    Map(usize),
    /// An extension and a reader of its body.
    Ext(i8, Reader<'a>),
}

impl Token<'_> {
    /// Its type, for messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "a bool",
            Self::Int(_) | Self::UInt(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Str(_) => "a str",
            Self::Bin(_) => "bytes",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
            Self::Ext(..) => "an extension",
        }
    }
}

/// Reads tokens from a payload, or from the body of an extension in it.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    /// The payload from its first byte to the end of this reader's range.
    bytes: &'a [u8],
    at: usize,
    /// Values expected and not yet read.
    pending: usize,
}

impl<'a> Reader<'a> {
    /// A reader of one value.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, pending: 1 }
    }

    /// Offset of the next byte from the start of the payload.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Bytes left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The tag of the next value.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// All bytes from `start` to the current position.
    #[must_use]
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// An error about the value at `offset`.
    #[cold]
    pub fn error_at(offset: usize, what: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Serialization, format!("cannot decode a plain value: {what}, at byte {offset}"))
    }

    /// An error about the byte at the current position.
    #[cold]
    pub fn error(&self, what: impl std::fmt::Display) -> Error {
        Self::error_at(self.at, what)
    }

    #[cold]
    fn truncated(&self, what: &str, len: usize) -> Error {
        self.error(format_args!("{what} of {len} does not fit in the {} bytes that are left", self.remaining()))
    }

    /// Takes `len` bytes.
    #[inline]
    pub fn take(&mut self, len: usize, what: &str) -> Result<&'a [u8]> {
        if len > self.remaining() {
            return Err(self.truncated(what, len));
        }
        let bytes = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(bytes)
    }

    /// Takes all remaining bytes.
    pub fn rest(&mut self) -> &'a [u8] {
        let bytes = &self.bytes[self.at..];
        self.at = self.bytes.len();
        bytes
    }

    /// Takes `N` bytes.
    #[inline]
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N, "a number")?;
        Ok(bytes.try_into().expect("take returned N bytes"))
    }

    /// Errors unless everything has been read.
    pub fn finish(&self) -> Result<()> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.error(format_args!("{left} bytes follow the value"))),
        }
    }

    #[inline]
    fn str(&mut self, len: usize) -> Result<Token<'a>> {
        let start = self.at;
        let bytes = self.take(len, "a str")?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Token::Str(text)),
            Err(error) => Err(Self::error_at(start + error.valid_up_to(), "a str is not valid UTF-8")),
        }
    }

    #[inline]
    fn container(&mut self, len: usize, per_item: usize) -> Result<()> {
        let pending = len.checked_mul(per_item).and_then(|values| values.checked_add(self.pending));
        match pending {
            Some(pending) if pending <= self.remaining() => {
                self.pending = pending;
                Ok(())
            }
            _ => Err(self.error(format_args!(
                "a container of {len} does not fit in the {} bytes that are left, which {} other values need",
                self.remaining(),
                self.pending
            ))),
        }
    }

    fn array(&mut self, len: usize) -> Result<Token<'a>> {
        self.container(len, 1)?;
        Ok(Token::Array(len))
    }

    fn map(&mut self, len: usize) -> Result<Token<'a>> {
        self.container(len, 2)?;
        Ok(Token::Map(len))
    }

    fn ext(&mut self, len: usize) -> Result<Token<'a>> {
        let kind = i8::from_be_bytes(self.fixed()?);
        let start = self.at;
        self.take(len, "an extension")?;
        Ok(Token::Ext(kind, Reader { bytes: &self.bytes[..self.at], at: start, pending: 1 }))
    }

    fn len8(&mut self) -> Result<usize> {
        Ok(usize::from(u8::from_be_bytes(self.fixed()?)))
    }

    fn len16(&mut self) -> Result<usize> {
        Ok(usize::from(u16::from_be_bytes(self.fixed()?)))
    }

    fn len32(&mut self) -> Result<usize> {
        Ok(u32::from_be_bytes(self.fixed()?) as usize)
    }

    /// Reads the next token.
    #[inline]
    #[allow(clippy::cast_possible_wrap)]
    pub fn token(&mut self) -> Result<Token<'a>> {
        let Some(&tag) = self.bytes.get(self.at) else {
            return Err(self.error("the payload ends too early"));
        };
        self.at += 1;
        self.pending = self.pending.saturating_sub(1);
        Ok(match tag {
            0x00..=0x7f => Token::Int(i64::from(tag)),
            0x80..=0x8f => self.map(usize::from(tag & 0x0f))?,
            0x90..=0x9f => self.array(usize::from(tag & 0x0f))?,
            0xa0..=0xbf => self.str(usize::from(tag & 0x1f))?,
            NIL => Token::Nil,
            0xc1 => return Err(Self::error_at(self.at - 1, "0xc1 is not a MessagePack type")),
            0xc2 => Token::Bool(false),
            0xc3 => Token::Bool(true),
            0xc4..=0xc6 => {
                let len = match tag {
                    0xc4 => self.len8()?,
                    0xc5 => self.len16()?,
                    _ => self.len32()?,
                };
                Token::Bin(self.take(len, "a byte string")?)
            }
            0xc7 => {
                let len = self.len8()?;
                self.ext(len)?
            }
            0xc8 => {
                let len = self.len16()?;
                self.ext(len)?
            }
            0xc9 => {
                let len = self.len32()?;
                self.ext(len)?
            }
            0xca => Token::Float(widen(u32::from_be_bytes(self.fixed()?))),
            0xcb => Token::Float(f64::from_bits(u64::from_be_bytes(self.fixed()?))),
            0xcc => Token::Int(i64::from(u8::from_be_bytes(self.fixed()?))),
            0xcd => Token::Int(i64::from(u16::from_be_bytes(self.fixed()?))),
            0xce => Token::Int(i64::from(u32::from_be_bytes(self.fixed()?))),
            0xcf => {
                let value = u64::from_be_bytes(self.fixed()?);
                i64::try_from(value).map_or(Token::UInt(value), Token::Int)
            }
            0xd0 => Token::Int(i64::from(i8::from_be_bytes(self.fixed()?))),
            0xd1 => Token::Int(i64::from(i16::from_be_bytes(self.fixed()?))),
            0xd2 => Token::Int(i64::from(i32::from_be_bytes(self.fixed()?))),
            0xd3 => Token::Int(i64::from_be_bytes(self.fixed()?)),
            0xd4..=0xd8 => self.ext(1 << (tag - 0xd4))?,
            0xd9 => {
                let len = self.len8()?;
                self.str(len)?
            }
            0xda => {
                let len = self.len16()?;
                self.str(len)?
            }
            0xdb => {
                let len = self.len32()?;
                self.str(len)?
            }
            0xdc => {
                let len = self.len16()?;
                self.array(len)?
            }
            0xdd => {
                let len = self.len32()?;
                self.array(len)?
            }
            0xde => {
                let len = self.len16()?;
                self.map(len)?
            }
            0xdf => {
                let len = self.len32()?;
                self.map(len)?
            }
            0xe0..=0xff => Token::Int(i64::from(tag as i8)),
        })
    }

    /// Reads the header of the one array that the body of an extension starts with.
    pub fn array_len(&mut self) -> Result<usize> {
        let at = self.at;
        match self.token()? {
            Token::Array(len) => Ok(len),
            other => Err(Self::error_at(at, format_args!("expected an array, found {}", other.name()))),
        }
    }

    /// Reads a string.
    pub fn text(&mut self) -> Result<&'a str> {
        let at = self.at;
        match self.token()? {
            Token::Str(text) => Ok(text),
            other => Err(Self::error_at(at, format_args!("expected a str, found {}", other.name()))),
        }
    }
}

/// A float 32 as a float 64 of the same value; the bits of a NaN's payload move along.
fn widen(bits: u32) -> f64 {
    let value = f32::from_bits(bits);
    if value.is_nan() {
        let sign = u64::from(bits >> 31) << 63;
        return f64::from_bits(sign | 0x7ff0_0000_0000_0000 | (u64::from(bits & 0x007f_ffff) << 29));
    }
    f64::from(value)
}
