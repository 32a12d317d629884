//! The text of UUIDs.

use std::fmt::Write as _;

/// Bytes that follow a hyphen.
const HYPHENS: [usize; 4] = [4, 6, 8, 10];

/// `8-4-4-4-12` lower-case hexadecimal digits.
#[must_use]
pub fn format(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        let hyphen = if HYPHENS.contains(&i) { "-" } else { "" };
        write!(text, "{hyphen}{byte:02x}").expect("a String takes everything");
    }
    text
}

/// The bytes of a result of [`format()`].
#[must_use]
pub fn parse(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|&c| c != '-').collect();
    let bytes = u128::from_str_radix(&digits, 16).ok()?.to_be_bytes();
    (format(&bytes) == text).then_some(bytes)
}
