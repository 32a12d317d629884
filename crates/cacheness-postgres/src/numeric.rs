//! Numbers of the type `numeric` in the form in which they are sent: digits to the base 10000
//! (`numeric_send` in PostgreSQL's `src/backend/utils/adt/numeric.c`).

/// The number in decimal digits; `None` if the bytes are no number. Not a number and the infinities have Rust's names.
pub(crate) fn decimal(raw: &[u8]) -> Option<String> {
    let word = |place: usize| raw.get(place..place + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let (count, weight, sign, scale) = (word(0)?, word(2)?.cast_signed(), word(4)?, word(6)?);
    let negative = match sign {
        0 => false,
        0x4000 => true,
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("inf".to_owned()),
        0xF000 => return Some("-inf".to_owned()),
        _ => return None,
    };
    if raw.len() != 8 + 2 * usize::from(count) {
        return None;
    }
    let digit = |place: i32| {
        let index = i32::from(weight) - place;
        if index < 0 || index >= i32::from(count) { Some(0) } else { word(8 + 2 * usize::try_from(index).ok()?) }
    };
    let mut text = String::from(if negative { "-" } else { "" });
    let first = i32::from(weight).max(0);
    for place in (0..=first).rev() {
        let digit = digit(place)?;
        if place == first { text.push_str(&digit.to_string()) } else { text.push_str(&format!("{digit:04}")) }
    }
    if scale > 0 {
        let mut fraction = String::new();
        let mut place = -1;
        while fraction.len() < usize::from(scale) {
            fraction.push_str(&format!("{:04}", digit(place)?));
            place -= 1;
        }
        fraction.truncate(scale.into());
        text.push('.');
        text.push_str(&fraction);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::decimal;

    fn sent(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn decimals() {
        let minus_one = u16::MAX;
        for (words, expected) in [
            (&[0, 0, 0, 0][..], "0"),
            (&[1, 0, 0, 0, 42], "42"),
            (&[2, 1, 0x4000, 0, 1, 2], "-10002"),
            (&[1, 1, 0, 0, 7], "70000"),
            (&[2, 0, 0, 3, 3, 1400], "3.140"),
            (&[1, minus_one, 0, 6, 5], "0.000500"),
            (&[0, 0, 0xC000, 0], "NaN"),
        ] {
            assert_eq!(decimal(&sent(words)).as_deref(), Some(expected));
        }
        assert_eq!(decimal(&sent(&[2, 0, 0, 0, 1])), None);
        assert_eq!(decimal(b"x"), None);
    }
}
