//! Texts in PostgreSQL, which keeps no NUL character.
//!
//! A NUL is written as SUB (U+001A) and `0`, a SUB itself as SUB and `1`. Keys have no NUL (`Store` refuses it) and are
//! written as they are: their order is that of their bytes.

use std::borrow::Cow;

use cacheness_core::{Error, ErrorKind, Result};

pub(crate) const ESCAPE: char = '\u{1a}';

pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\0' => escaped.extend([ESCAPE, '0']),
            ESCAPE => escaped.extend([ESCAPE, '1']),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains(ESCAPE) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match (c, characters.peek()) {
            (ESCAPE, Some('0')) => {
                characters.next();
                plain.push('\0');
            }
            (ESCAPE, Some('1')) => {
                characters.next();
                plain.push(ESCAPE);
            }
            (c, _) => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

/// The longest key that an index of PostgreSQL takes.
const LONGEST_KEY: usize = 2000;

/// A key as the database keeps it.
pub(crate) fn checked_key(key: &str) -> Result<&str> {
    if key.len() > LONGEST_KEY {
        return Err(Error::new(ErrorKind::InvalidInput, format!("a key has {} bytes", key.len()))
            .with_hint("PostgreSQL takes keys of up to 2000 bytes"));
    }
    if key.contains('\0') {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "a key contains a NUL character, which PostgreSQL cannot keep",
        ));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_comes_back(text in "([\0\u{1a}01a]|\\PC)*") {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains('\0'));
            prop_assert_eq!(unescape(&escaped), text.as_str());
        }
    }
}
