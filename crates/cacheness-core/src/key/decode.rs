//! Reads the building blocks of an untrusted encoding.

use crate::error::{Error, ErrorKind, Result};

/// Reads an encoding from front to back; every length is checked against the remaining bytes before it is used.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    pub(crate) position: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.position]
    }

    pub(crate) fn invalid(&self, what: &str) -> Error {
        let sentence = format!("an encoding of parameters is not valid at byte {}: {what}", self.position);
        Error::new(ErrorKind::Serialization, sentence)
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        if len > self.remaining() {
            return Err(self.invalid(&format!("{len} bytes are expected and {} are left", self.remaining())));
        }
        let start = self.position;
        self.position += len;
        Ok(self.since(start))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N]> {
        Ok(self.take(N)?.try_into().expect("take returns as many bytes as asked for"))
    }

    /// The next byte.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// Only the shortest form is valid.
    pub(crate) fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let group = u64::from(byte & 0x7f);
            if shift == 63 && group > 1 {
                return Err(self.invalid("a varint has more than 64 bits"));
            }
            value |= group << shift;
            if byte < 0x80 {
                if byte == 0 && shift > 0 {
                    return Err(self.invalid("a varint is not in its shortest form"));
                }
                return Ok(value);
            }
        }
        Err(self.invalid("a varint has more than 64 bits"))
    }

    pub(crate) fn raw(&mut self) -> Result<&'a [u8]> {
        let len = self.varint()?;
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str> {
        let raw = self.raw()?;
        std::str::from_utf8(raw).map_err(|_| self.invalid("a text is not UTF-8"))
    }

    /// The number of elements that follow, each of at least `least` bytes.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize> {
        let count = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        if count > self.remaining() / least {
            return Err(self.invalid(&format!("{count} elements do not fit the remaining bytes")));
        }
        Ok(count)
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(*self.array()?))
    }

    pub(crate) fn f64(&mut self) -> Result<f64> {
        let bits = u64::from_be_bytes(*self.array()?);
        let value = f64::from_bits(bits);
        if value.is_nan() && bits != 0x7ff8_0000_0000_0000 {
            return Err(self.invalid("a NaN is not canonical"));
        }
        Ok(value)
    }

    /// The bytes of an integer in two's complement, shortest form.
    pub(crate) fn int(&mut self) -> Result<&'a [u8]> {
        let raw = self.raw()?;
        match raw {
            [0] | [0, 0..0x80, ..] | [0xff, 0x80..=0xff, ..] => {
                Err(self.invalid("an integer is not in its shortest form"))
            }
            _ => Ok(raw),
        }
    }
}

/// Whether `text` is a scientific string of the General Decimal Arithmetic specification.
pub(crate) fn is_decimal(text: &[u8]) -> bool {
    fn digits(text: &[u8]) -> (usize, &[u8]) {
        let count = text.iter().take_while(|b| b.is_ascii_digit()).count();
        (count, &text[count..])
    }
    let text = text.strip_prefix(b"-").unwrap_or(text);
    if text == b"Infinity" {
        return true;
    }
    if let Some(payload) = text.strip_prefix(b"NaN").or_else(|| text.strip_prefix(b"sNaN")) {
        return payload.iter().all(u8::is_ascii_digit);
    }
    let (whole, mut rest) = digits(text);
    if whole == 0 {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let (count, after) = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = after;
    }
    match rest {
        [] => true,
        [b'E', b'+' | b'-', exponent @ ..] => !exponent.is_empty() && digits(exponent).1.is_empty(),
        _ => false,
    }
}
