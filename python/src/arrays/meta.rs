//! The metadata of the array handler: JSON in the entry, empty for nearly all arrays.

use cacheness_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

/// The kind of object that an array is part of, or represents.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Meta {
    /// An array scalar, stored as an array of no dimensions.
    pub(super) scalar: bool,
    /// The NumPy character of a dtype that equals another by its size (`q` for `longlong`).
    pub(super) char: Option<char>,
    /// The dtype is laid out as a C compiler would (`align=True`).
    pub(super) aligned: bool,
    /// A masked array.
    pub(super) masked: Option<Masked>,
}

/// How a masked array is laid out: its data, then its mask, then its fill value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Masked {
    /// Bytes of the parts; 0 for a missing mask or fill value.
    pub(super) parts: [u64; 3],
    /// Whether the mask is hard.
    pub(super) hard: bool,
}

impl Meta {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut map = Map::new();
        if self.scalar {
            map.insert("scalar".into(), true.into());
        }
        if let Some(char) = self.char {
            map.insert("char".into(), char.to_string().into());
        }
        if self.aligned {
            map.insert("aligned".into(), true.into());
        }
        if let Some(Masked { parts, hard }) = &self.masked {
            map.insert("masked".into(), json!({ "parts": parts, "hard": hard }));
        }
        if map.is_empty() { Vec::new() } else { Value::Object(map).to_string().into_bytes() }
    }

    /// Parses a result of [`Meta::to_bytes`]; refuses anything else.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut meta = Self::default();
        if bytes.is_empty() {
            return Ok(meta);
        }
        let wrong = || Error::new(ErrorKind::Unsupported, "the entry has an unknown description of its array");
        let Value::Object(map) = serde_json::from_slice(bytes).map_err(|e| wrong().with_source(e))? else {
            return Err(wrong());
        };
        for (name, value) in &map {
            match (name.as_str(), value) {
                ("scalar", Value::Bool(scalar)) => meta.scalar = *scalar,
                ("aligned", Value::Bool(aligned)) => meta.aligned = *aligned,
                ("char", Value::String(text)) => {
                    let mut chars = text.chars();
                    meta.char = chars.next().filter(char::is_ascii_alphabetic);
                    if meta.char.is_none() || chars.next().is_some() {
                        return Err(wrong());
                    }
                }
                ("masked", Value::Object(masked)) => {
                    let parts = masked.get("parts").and_then(Value::as_array).filter(|parts| parts.len() == 3);
                    let part = |i: usize| parts.and_then(|parts| parts[i].as_u64()).ok_or_else(wrong);
                    let hard = masked.get("hard").and_then(Value::as_bool).ok_or_else(wrong)?;
                    meta.masked = Some(Masked { parts: [part(0)?, part(1)?, part(2)?], hard });
                }
                _ => return Err(wrong()),
            }
        }
        Ok(meta)
    }
}
