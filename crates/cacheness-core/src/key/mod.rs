//! Keys: the canonical encoding of parameters. Specification: `docs/formats/keys.md`.
//!
//! | module | subject |
//! |---|---|
//! | [`encoder`](KeyEncoder) | writes encodings, one method per tag |
//! | [`place`](Segment) | names the part that has no encoding |
//! | [`to_key`](ToKey) | encodings of Rust types |
//! | [`params`](Params) | named parameters and the `params!` macro |
//! | [`digest`] | BLAKE3 of contents, on all cores, safe across `fork()` |
//! | [`path`] | contents of files and directories |
//! | [`decode`], [`render`] | checks an encoding, renders it readably |
//! | [`caption`](Caption) | parameters as one line |
//! | `column` | digests of Arrow columns (feature `arrow`) |
//!
//! ```
//! use cacheness_core::config::SerializationConfig;
//! use cacheness_core::params;
//!
//! let encoded = params! { model: "xgboost", fold: 3 }.key(&SerializationConfig::default())?;
//! assert_eq!(encoded.key.to_string().len(), 16);
//! # Ok::<(), cacheness_core::Error>(())
//! ```

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

#[cfg(feature = "arrow")]
mod arrow_impls;
mod caption;
mod chrono_impls;
#[cfg(feature = "arrow")]
mod column;
mod decode;
pub mod digest;
mod encoder;
#[cfg(feature = "ndarray")]
mod ndarray_impls;
mod params;
pub mod path;
mod place;
mod render;
pub(crate) mod tag;
mod to_key;
mod varint;
mod whole;

#[cfg(feature = "arrow")]
pub use arrow_impls::{encode_column, encode_table};
pub use caption::Caption;
#[cfg(feature = "arrow")]
pub use column::{column_digest, type_notation};
pub use encoder::{Collection, Frame, KeyEncoder};
pub use params::Params;
#[doc(hidden)]
pub use params::identifier as __identifier;
pub use path::hash_path;
pub use place::Segment;
pub use render::{Shape, decode, render, render_as};
pub use to_key::{Bytes, ToKey};

/// XXH3-64 of the canonical encoding of the parameters; shown as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey(pub u64);

/// The first 16 bytes of the BLAKE3 of the canonical encoding.
pub type Fingerprint = [u8; 16];

/// The 16 hexadecimal digits of a [`CacheKey`], without an allocation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HexKey([u8; 16]);

impl HexKey {
    /// The digits, lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

impl std::ops::Deref for HexKey {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for HexKey {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for HexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for HexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl CacheKey {
    /// The key of an encoding.
    #[must_use]
    pub fn of_encoding(encoding: &[u8]) -> Self {
        Self(twox_hash::XxHash3_64::oneshot(encoding))
    }

    /// The 16 lower-case hexadecimal digits, most significant first, on the stack.
    #[must_use]
    pub fn hex(self) -> HexKey {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 16];
        for (i, byte) in self.0.to_be_bytes().into_iter().enumerate() {
            digits[2 * i] = DIGITS[usize::from(byte >> 4)];
            digits[2 * i + 1] = DIGITS[usize::from(byte & 15)];
        }
        HexKey(digits)
    }

    /// The 16 lower-case hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        self.hex().as_str().to_owned()
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.hex().as_str())
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheKey({self})")
    }
}

impl FromStr for CacheKey {
    type Err = Error;

    /// Reads exactly 16 lower-case hexadecimal digits, so that a key has one spelling.
    fn from_str(text: &str) -> Result<Self> {
        let valid = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match u64::from_str_radix(text, 16) {
            Ok(key) if valid => Ok(Self(key)),
            _ => Err(Error::new(ErrorKind::InvalidInput, format!("{text:?} is not a cache key"))
                .with_hint("give 16 lower-case hexadecimal digits")),
        }
    }
}

/// An encoding with its key and fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedKey {
    /// The key that people see and type.
    pub key: CacheKey,
    /// Distinguishes encodings with the same key.
    pub fingerprint: Fingerprint,
    /// The canonical encoding.
    pub encoding: Vec<u8>,
}

impl EncodedKey {
    /// Derives key and fingerprint from an encoding, which is not checked: see [`decode`].
    #[must_use]
    pub fn from_encoding(encoding: Vec<u8>) -> Self {
        let digest = digest::blake3(&encoding);
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&digest[..16]);
        Self { key: CacheKey::of_encoding(&encoding), fingerprint, encoding }
    }
}
