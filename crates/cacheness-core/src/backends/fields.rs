//! Values without a JSON type: bytes and times.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;

/// Years 1 to 9999: the times that ISO 8601 writes with four digits.
const ISO_RANGE: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// A time: ISO 8601 in UTC, or microseconds since 1970 if it is outside that range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if ISO_RANGE.contains(&self.0.0) {
            serializer.serialize_str(&self.0.to_iso())
        } else {
            serializer.serialize_i64(self.0.0)
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl Visitor<'_> for Any {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time in ISO 8601, or microseconds since 1970")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                let time = chrono::DateTime::parse_from_rfc3339(text).map_err(E::custom)?;
                Ok(Time(Timestamp(time.timestamp_micros())))
            }

            fn visit_i64<E: serde::de::Error>(self, micros: i64) -> Result<Time, E> {
                Ok(Time(Timestamp(micros)))
            }

            fn visit_u64<E: serde::de::Error>(self, micros: u64) -> Result<Time, E> {
                i64::try_from(micros).map(|micros| Time(Timestamp(micros))).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// Bytes of a fixed number, as lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hex<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let text: String = digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect();
        serializer.serialize_str(&text)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'_, str>>::deserialize(deserializer)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let wrong = || D::Error::custom(format_args!("{} hexadecimal digits are wanted", 2 * N));
        if text.len() != 2 * N {
            return Err(wrong());
        }
        let mut bytes = [0; N];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let (high, low) = digit(pair[0]).zip(digit(pair[1])).ok_or_else(wrong)?;
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

/// Bytes of any number, as base64 with padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base64<'a>(pub(super) Cow<'a, [u8]>);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'_, str>>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(|bytes| Self(Cow::Owned(bytes))).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_text_as_long_as_it_can_be() {
        for (micros, json) in [
            (0, "\"1970-01-01T00:00:00.000000+00:00\""),
            (1_795_176_000_000_001, "\"2026-11-20T12:00:00.000001+00:00\""),
            (ISO_RANGE.start, "\"0001-01-01T00:00:00.000000+00:00\""),
            (ISO_RANGE.end - 1, "\"9999-12-31T23:59:59.999999+00:00\""),
            (ISO_RANGE.end, "253402300800000000"),
            (ISO_RANGE.start - 1, "-62135596800000001"),
            (i64::MIN, "-9223372036854775808"),
            (i64::MAX, "9223372036854775807"),
        ] {
            let time = Time(Timestamp(micros));
            assert_eq!(serde_json::to_string(&time).unwrap(), json);
            assert_eq!(serde_json::from_str::<Time>(json).unwrap(), time);
        }
        for wrong in ["\"yesterday\"", "9223372036854775808", "1.5", "null", "\"2026-11-20\""] {
            assert!(serde_json::from_str::<Time>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_are_digits_or_base64() {
        let hex = Hex([0, 0x9a, 0xff]);
        assert_eq!(serde_json::to_string(&hex).unwrap(), "\"009aff\"");
        assert_eq!(serde_json::from_str::<Hex<3>>("\"009aff\"").unwrap(), hex);
        for wrong in ["\"009af\"", "\"009aff0\"", "\"009afg\"", "\"+09aff\"", "\"00äff\"", "7"] {
            assert!(serde_json::from_str::<Hex<3>>(wrong).is_err(), "{wrong}");
        }
        let bytes = Base64(Cow::Borrowed(&[0, 1, 255, 254]));
        assert_eq!(serde_json::to_string(&bytes).unwrap(), "\"AAH//g==\"");
        assert_eq!(serde_json::from_str::<Base64<'_>>("\"AAH//g==\"").unwrap(), bytes);
        assert!(serde_json::from_str::<Base64<'_>>("\"AAH//g\"").is_err());
    }
}
