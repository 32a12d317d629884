//! The key of an entry.

use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{CacheKey, Fingerprint};

/// The longest name that an entry may have, in bytes of UTF-8.
pub const MAX_NAME: usize = 1024;

/// The key of an entry: derived from parameters, or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKey {
    /// Derived from parameters.
    Params {
        /// 16 hexadecimal digits.
        hex: [u8; 16],
        /// Distinguishes parameters whose 64-bit keys collide.
        fingerprint: Fingerprint,
        /// The canonical encoding of the parameters.
        encoding: Vec<u8>,
    },
    /// Given by the user.
    Name(String),
}

impl EntryKey {
    /// Derives a key from parameters.
    #[must_use]
    pub fn from_params(key: CacheKey, fingerprint: Fingerprint, encoding: Vec<u8>) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 16];
        for (i, digit) in hex.iter_mut().enumerate() {
            #[allow(clippy::cast_possible_truncation)] // only the last four bits are wanted
            let nibble = (key.0 >> (60 - 4 * i)) as u8 & 15;
            *digit = DIGITS[usize::from(nibble)];
        }
        Self::Params { hex, fingerprint, encoding }
    }

    /// A name: not empty, at most [`MAX_NAME`] bytes, without a NUL.
    pub fn from_name(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let problem = if name.is_empty() {
            "is empty".to_owned()
        } else if name.len() > MAX_NAME {
            format!("has {} bytes and may have {MAX_NAME}", name.len())
        } else if name.contains('\0') {
            "contains a NUL character".to_owned()
        } else {
            return Ok(Self::Name(name));
        };
        Err(Error::new(ErrorKind::InvalidInput, format!("the key {problem}")))
    }

    /// The key for a new value of `entry`. A key that names the entry by its digits becomes the key of the parameters
    /// that the entry was put with, so that a lookup by parameters still finds it; `keeps_params` says whether the
    /// store keeps them.
    ///
    /// # Errors
    /// `InvalidInput` if the parameters of this entry were not kept.
    pub fn filed(self, entry: &Entry, keeps_params: bool) -> Result<Self> {
        let (None, Some(fingerprint)) = (self.fingerprint(), entry.fingerprint) else { return Ok(self) };
        match (u64::from_str_radix(&entry.key, 16), &entry.params) {
            (Ok(digits), Some(params)) => Ok(Self::from_params(CacheKey(digits), fingerprint, params.clone())),
            (Ok(digits), None) if !keeps_params => Ok(Self::from_params(CacheKey(digits), fingerprint, Vec::new())),
            _ => {
                let sentence = format!("entry {}: its parameters were not kept", entry.key);
                Err(Error::new(ErrorKind::InvalidInput, sentence).with_hint("name the entry by its parameters"))
            }
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Params { hex, .. } => std::str::from_utf8(hex).expect("hexadecimal digits are ASCII"),
            Self::Name(name) => name,
        }
    }

    /// The fingerprint of the parameters, if there are any.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&Fingerprint> {
        match self {
            Self::Params { fingerprint, .. } => Some(fingerprint),
            Self::Name(_) => None,
        }
    }

    /// Hexadecimal digits for the name of a blob: the key itself, or a hash of the name.
    #[must_use]
    pub fn stem(&self) -> String {
        match self {
            Self::Params { .. } => self.as_str().to_owned(),
            Self::Name(name) => format!("{:016x}", twox_hash::XxHash3_64::oneshot(name.as_bytes())),
        }
    }
}
