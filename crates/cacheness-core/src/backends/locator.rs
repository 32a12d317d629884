//! The syntax of the locators of the built-in blob backends. They accept no other locator.
//!
//! `blobs/<name>` or `blobs/<shard>/<name>`, where `<name>` is `<stem>-<12 hexadecimal digits>[.<extension>]` and
//! `<shard>` is what `<name>` starts with. A locator comes from a row that may have been tampered with: anything else
//! is refused before any file is accessed.

use crate::error::{Error, ErrorKind, Result};

/// The directory, relative to the store's, with which all locators start.
pub const BLOBS: &str = "blobs";

/// The characters of a stem, and of a shard's name, which is a prefix of a stem.
fn is_stem_byte(byte: u8) -> bool {
    byte.is_ascii_digit() || byte.is_ascii_lowercase() || matches!(byte, b'-' | b'_')
}

/// Hexadecimal digits of the random part: 48 bits.
const RANDOM_DIGITS: usize = 12;

/// A parsed locator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locator<'a> {
    /// The shard's directory; empty if there is none.
    pub shard: &'a str,
    /// The file's name.
    pub name: &'a str,
}

impl<'a> Locator<'a> {
    /// Parses `text`.
    ///
    /// # Errors
    /// `Integrity`: [`Locator::text`] cannot have produced it.
    pub fn parse(text: &'a str) -> Result<Self> {
        let refused = || {
            Error::new(ErrorKind::Integrity, format!("{text:?} is no locator of this store; nothing was opened"))
                .with_hint("the entry has been damaged or tampered with; delete it and compute the value again")
        };
        let rest = text.strip_prefix(BLOBS).and_then(|rest| rest.strip_prefix('/')).ok_or_else(refused)?;
        let (shard, name) = match rest.split_once('/') {
            None => ("", rest),
            Some((shard, name)) if (1..=4).contains(&shard.len()) && name.starts_with(shard) => (shard, name),
            Some(_) => return Err(refused()),
        };
        if shard.bytes().all(is_stem_byte) && is_blob_name(name) { Ok(Self { shard, name }) } else { Err(refused()) }
    }

    /// The locator as text.
    #[must_use]
    pub fn text(self) -> String {
        if self.shard.is_empty() {
            format!("{BLOBS}/{}", self.name)
        } else {
            format!("{BLOBS}/{}/{}", self.shard, self.name)
        }
    }

    /// The file's directory, relative to the store's.
    #[must_use]
    pub fn directory(self) -> String {
        if self.shard.is_empty() { BLOBS.to_owned() } else { format!("{BLOBS}/{}", self.shard) }
    }
}

/// The error for a blob that does not exist.
#[must_use]
pub fn not_found(locator: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("the blob {locator} does not exist"))
}

fn is_extension(text: &str) -> bool {
    text.split('.').all(|part| !part.is_empty() && part.bytes().all(is_stem_byte))
}

fn is_blob_name(name: &str) -> bool {
    let (base, extension) = match name.split_once('.') {
        None => (name, None),
        Some((base, extension)) => (base, Some(extension)),
    };
    let Some((stem, random)) = base.rsplit_once('-') else { return false };
    name.len() <= 255
        && !stem.is_empty()
        && stem.bytes().all(is_stem_byte)
        && random.len() == RANDOM_DIGITS
        && random.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        && extension.is_none_or(is_extension)
}

/// A new file name for a blob. `stem` and `extension` come from handlers and users' names.
///
/// # Errors
/// - `InvalidInput`: one of them is not allowed in a locator.
/// - `Storage`: the system gives no random numbers.
pub fn new_name(stem: &str, extension: &str) -> Result<String> {
    if stem.is_empty() || stem.len() > 128 || !stem.bytes().all(is_stem_byte) {
        return Err(Error::new(ErrorKind::InvalidInput, format!("a blob cannot be named after {stem:?}"))
            .with_hint("the stem of a blob's name is made of 1 to 128 of the characters 0-9, a-z, - and _"));
    }
    if !(extension.is_empty() || (extension.len() <= 64 && is_extension(extension))) {
        return Err(Error::new(ErrorKind::InvalidInput, format!("{extension:?} is no extension for a blob's file"))
            .with_hint("an extension is made of 0-9, a-z, -, _ and dots between them, and has at most 64 characters"));
    }
    let random = random_48()?;
    let dot = if extension.is_empty() { "" } else { "." };
    Ok(format!("{stem}-{random:012x}{dot}{extension}"))
}

/// The shard of `name`: its first `chars` characters, at most the stem.
#[must_use]
pub fn shard_of(name: &str, chars: u8) -> &str {
    let stem_length = name.find('.').unwrap_or(name.len()).saturating_sub(RANDOM_DIGITS + 1);
    &name[..usize::from(chars).min(stem_length)]
}

fn random_48() -> Result<u64> {
    let random = getrandom::u64()
        .map_err(|e| Error::new(ErrorKind::Storage, "the system gives no random numbers").with_source(e))?;
    Ok(random >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_accepted() {
        for (stem, extension, chars) in
            [("0123456789abcdef", "b2nd", 2), ("a", "", 4), ("model-v1_x", "pkl.zst", 4), ("ab", "npy", 0)]
        {
            let name = new_name(stem, extension).expect("valid");
            let made = Locator { shard: shard_of(&name, chars), name: &name };
            assert_eq!(Locator::parse(&made.text()).expect("its own locator"), made);
        }
    }

    #[test]
    fn what_could_not_be_made_is_refused() {
        let good = "blobs/ab/abcd-0123456789ab.npy";
        assert!(Locator::parse(good).is_ok());
        for bad in [
            "",
            "/",
            "blobs",
            "blobs/",
            "blobs//abcd-0123456789ab.npy",
            "/blobs/ab/abcd-0123456789ab.npy",
            "blobs/../abcd-0123456789ab.npy",
            "blobs/ab/../../etc/passwd",
            "../blobs/ab/abcd-0123456789ab.npy",
            "blobs/./abcd-0123456789ab.npy",
            "blobs/cd/abcd-0123456789ab.npy",
            "blobs/ab/cd/abcd-0123456789ab.npy",
            "blobs/abcde/abcde-0123456789ab.npy",
            "blobs/ab/abcd-0123456789ab.npy\0",
            "blobs/ab/abcd-0123456789ab.n\u{e9}",
            "blobs/ab/abcd-0123456789ab.",
            "blobs/ab/abcd-0123456789ab..npy",
            "blobs/ab/abcd-0123456789AB.npy",
            "blobs/ab/abcd-0123456789a.npy",
            "blobs/ab/-0123456789ab.npy",
            "blobs/ab/abcd.npy",
            "blobs\\ab\\abcd-0123456789ab.npy",
            "tmp/abcd-0123456789ab.npy",
            "cache_metadata.db",
            "s3://bucket/key",
        ] {
            let error = Locator::parse(bad).expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Integrity, "{bad:?}");
        }
    }

    #[test]
    fn hostile_hints_are_refused() {
        let long = "a".repeat(129);
        for (stem, extension) in
            [("", "npy"), ("../x", "npy"), ("A", "npy"), (long.as_str(), ""), ("a", ".."), ("a", "x/y"), ("a", "é")]
        {
            assert_eq!(new_name(stem, extension).expect_err(stem).kind(), ErrorKind::InvalidInput);
        }
    }
}
