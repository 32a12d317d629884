//! NumPy's array-protocol strings, for the dtypes of plain values.

/// The dtype of a NumPy scalar or array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// One item is one number, time, string or run of bytes.
    Simple {
        /// `<`, `>` or `|`.
        order: u8,
        /// One of `b i u f c m M S U V`.
        kind: u8,
        /// Bytes of an item.
        item_size: usize,
    },
    /// The `repr` of a `descr`; only NumPy can compute its size.
    Structured,
}

/// The longest accepted dtype.
const MAX_LEN: usize = 64 << 10;

/// Parses a dtype; `None` if a plain value cannot have it (Python objects, platform-dependent floats, unknown kinds).
#[must_use]
pub fn parse(text: &str) -> Option<Dtype> {
    if text.len() > MAX_LEN {
        return None;
    }
    let bytes = text.as_bytes();
    if bytes.first() == Some(&b'[') {
        return (bytes.last() == Some(&b']')).then_some(Dtype::Structured);
    }
    let (&order, rest) = bytes.split_first().filter(|(order, _)| b"<>|".contains(order))?;
    // C's `long long`, where `i8` is another type of the same size.
    if let (b'<' | b'>', b"q" | b"Q") = (order, rest) {
        let kind = if rest == b"q" { b'i' } else { b'u' };
        return Some(Dtype::Simple { order, kind, item_size: 8 });
    }
    let (&kind, rest) = rest.split_first()?;
    let digits = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
    let (count, unit) = rest.split_at(digits);
    // `<M8` and `<U5` have the shortest decimal form.
    if count.is_empty() || (count.len() > 1 && count[0] == b'0') {
        return None;
    }
    let count: usize = std::str::from_utf8(count).ok()?.parse::<u32>().ok().filter(|&n| n <= i32::MAX as u32)? as usize;
    let unit_fits = match (kind, unit) {
        (_, []) => true,
        (b'm' | b'M', [b'[', unit @ .., b']']) => is_unit(unit),
        _ => false,
    };
    let fits = match kind {
        b'b' => count == 1,
        b'i' | b'u' => matches!(count, 1 | 2 | 4 | 8),
        b'f' => matches!(count, 2 | 4 | 8),
        b'c' => matches!(count, 8 | 16),
        b'm' | b'M' => count == 8,
        b'S' | b'V' => true,
        b'U' => count <= i32::MAX as usize / 4,
        _ => false,
    };
    // One byte has no order, and more than one always has one.
    let ordered = order != b'|';
    let needs_order = !matches!((kind, count), (b'S' | b'V' | b'b', _) | (b'i' | b'u', 1));
    let item_size = if kind == b'U' { count * 4 } else { count };
    (unit_fits && fits && ordered == needs_order).then_some(Dtype::Simple { order, kind, item_size })
}

/// `ns`, `25s`, …
fn is_unit(unit: &[u8]) -> bool {
    let digits = unit.iter().position(|b| !b.is_ascii_digit()).unwrap_or(unit.len());
    let (count, name) = unit.split_at(digits);
    let count_fits = count.is_empty() || (count.len() <= 9 && count[0] != b'0');
    let names: [&[u8]; 13] = [b"Y", b"M", b"W", b"D", b"h", b"m", b"s", b"ms", b"us", b"ns", b"ps", b"fs", b"as"];
    count_fits && names.contains(&name)
}
