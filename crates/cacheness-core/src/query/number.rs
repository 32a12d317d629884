//! Exact comparison of numbers of different types.

use std::borrow::Cow;
use std::cmp::Ordering;

/// A number other than NaN.
#[derive(Clone, Debug)]
pub(super) enum Number<'a> {
    /// At most 64 bits and a sign.
    Int(i128),
    /// Not NaN.
    Float(f64),
    /// An integer beyond 64 bits: two's complement, big-endian, shortest form.
    Big(&'a [u8]),
    /// A number of the General Decimal Arithmetic specification, not NaN.
    Decimal(&'a str),
}

impl Number<'_> {
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => compare_floats(*a, *b),
            (Self::Int(a), Self::Float(b)) => compare_int_float(*a, *b),
            (Self::Float(a), Self::Int(b)) => compare_int_float(*b, *a).reverse(),
            (Self::Big(a), Self::Big(b)) => compare_big(a, b),
            (Self::Big(a), Self::Int(_)) => sign_of(a),
            (Self::Int(_), Self::Big(b)) => sign_of(b).reverse(),
            (a, b) => match (a.infinity(), b.infinity()) {
                (None, None) => Exact::of(a).compare(&Exact::of(b)),
                (a, b) => a.unwrap_or(Ordering::Equal).cmp(&b.unwrap_or(Ordering::Equal)),
            },
        }
    }

    /// `Less` for negative infinity, `Greater` for positive, `None` for a finite number.
    fn infinity(&self) -> Option<Ordering> {
        match self {
            Self::Float(value) if value.is_infinite() => value.partial_cmp(&0.0),
            Self::Decimal("Infinity") => Some(Ordering::Greater),
            Self::Decimal("-Infinity") => Some(Ordering::Less),
            _ => None,
        }
    }
}

/// Of floats that are not NaN.
fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn compare_int_float(integer: i128, float: f64) -> Ordering {
    // 2^100: an integer has at most 65 bits, and below it a float's whole part is an exact i128.
    const BEYOND: f64 = (1_u128 << 100) as f64;
    if float.abs() >= BEYOND {
        return compare_floats(0.0, float);
    }
    let whole = float.trunc();
    integer.cmp(&(whole as i128)).then_with(|| compare_floats(0.0, float - whole))
}

/// Of an integer beyond 64 bits: its comparison with any smaller one.
fn sign_of(big: &[u8]) -> Ordering {
    if is_negative(big) { Ordering::Less } else { Ordering::Greater }
}

fn is_negative(big: &[u8]) -> bool {
    big.first().is_some_and(|first| first & 0x80 != 0)
}

fn compare_big(a: &[u8], b: &[u8]) -> Ordering {
    match (is_negative(a), is_negative(b)) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        // In shortest form a longer number is farther from zero; those of one length compare as unsigned ones.
        (false, false) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
        (true, true) => b.len().cmp(&a.len()).then_with(|| a.cmp(b)),
    }
}

/// A finite number as a sign and `0.DIGITS × 10^exponent`, without zeros at the ends of the digits; zero has none.
#[derive(Debug)]
struct Exact<'a> {
    negative: bool,
    digits: Cow<'a, [u8]>,
    exponent: i128,
}

impl<'a> Exact<'a> {
    fn of(number: &Number<'a>) -> Self {
        match number {
            Number::Int(value) => Self::of_integer(*value < 0, value.unsigned_abs().to_string()),
            Number::Big(bytes) => Self::of_integer(is_negative(bytes), digits_of(bytes)),
            // 1074 digits behind the point are every bit of a float.
            Number::Float(value) => Self::of_text(*value < 0.0, format!("{:.1074}", value.abs()).into(), 0),
            Number::Decimal(text) => {
                let unsigned = text.strip_prefix('-').unwrap_or(text);
                let (coefficient, exponent) = unsigned.split_once(['E', 'e']).unwrap_or((unsigned, "0"));
                Self::of_text(text.starts_with('-'), coefficient.into(), exponent.parse().unwrap_or(0))
            }
        }
    }

    fn of_integer(negative: bool, digits: String) -> Self {
        Self::of_text(negative, digits.into(), 0)
    }

    /// Of digits around a point, times a power of ten.
    fn of_text(negative: bool, text: Cow<'a, str>, exponent: i128) -> Self {
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let exponent = exponent + whole.len() as i128;
        let zeros = all.iter().take_while(|&&digit| digit == b'0').count();
        let end = all.iter().rposition(|&digit| digit != b'0').map_or(zeros, |last| last + 1);
        Self { negative, exponent: exponent - zeros as i128, digits: all[zeros..end].to_vec().into() }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (_, true) => -1,
            _ => 1,
        };
        let (a, b) = (sign(self), sign(other));
        if a != b || a == 0 {
            return a.cmp(&b);
        }
        let size = self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits));
        if a < 0 { size.reverse() } else { size }
    }
}

/// The decimal digits of the absolute value of an integer in two's complement.
fn digits_of(bytes: &[u8]) -> String {
    const BILLION: u64 = 1_000_000_000;
    // Words of 32 bits, the least significant first.
    let mut words: Vec<u32> =
        bytes.rchunks(4).map(|chunk| chunk.iter().fold(0, |word, &byte| word << 8 | u32::from(byte))).collect();
    if is_negative(bytes) {
        let unused = 32 - 8 * (bytes.len().wrapping_sub(1) % 4 + 1);
        if let Some(last) = words.last_mut()
            && unused > 0
        {
            *last |= u32::MAX << (32 - unused);
        }
        let mut carry = true;
        for word in &mut words {
            let (value, overflow) = (!*word).overflowing_add(u32::from(carry));
            (*word, carry) = (value, overflow);
        }
        if carry {
            words.push(1);
        }
    }
    let mut groups = Vec::new();
    while words.iter().any(|&word| word != 0) {
        let mut rest = 0_u64;
        for word in words.iter_mut().rev() {
            let value = rest << 32 | u64::from(*word);
            *word = u32::try_from(value / BILLION).expect("the rest is below a billion");
            rest = value % BILLION;
        }
        groups.push(rest);
        while words.last() == Some(&0) {
            words.pop();
        }
    }
    let mut digits = groups.pop().unwrap_or(0).to_string();
    for group in groups.iter().rev() {
        digits.push_str(&format!("{group:09}"));
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::Number::{Big, Decimal, Float, Int};
    use super::*;

    #[test]
    fn numbers_compare_exactly() {
        const TWO_70: &[u8] = &[0x40, 0, 0, 0, 0, 0, 0, 0, 0];
        const MINUS_TWO_70: &[u8] = &[0xc0, 0, 0, 0, 0, 0, 0, 0, 0];
        let ascending = [
            Float(f64::NEG_INFINITY),
            Decimal("-1E+999999999"),
            Float(-1e300),
            Big(MINUS_TWO_70),
            Decimal("-1180591620717411303423.5"),
            Int(-3),
            Decimal("-2.5"),
            Int(-2),
            Float(-1e-300),
            Int(0),
            Decimal("1E-999999999"),
            Float(5e-324),
            Decimal("0.1"),
            Float(0.1),
            Int(1),
            Int(9_007_199_254_740_992),
            Int(9_007_199_254_740_993),
            Int(i128::from(u64::MAX)),
            Float(18_446_744_073_709_551_616.0),
            Decimal("1180591620717411303423.9"),
            Big(TWO_70),
            Decimal("1180591620717411303424.1"),
            Float(1e300),
            Decimal("1E+999999999"),
            Float(f64::INFINITY),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.compare(b), i.cmp(&j), "{a:?} and {b:?}");
            }
        }
        for (a, b) in [
            (Float(-0.0), Int(0)),
            (Decimal("-0.00"), Float(0.0)),
            (Decimal("9.90"), Decimal("99E-1")),
            (Decimal("0.5"), Float(0.5)),
            (Float(9_007_199_254_740_992.0), Int(9_007_199_254_740_992)),
            (Float(1_180_591_620_717_411_303_424.0), Big(TWO_70)),
            (Decimal("Infinity"), Float(f64::INFINITY)),
            (Decimal("-1180591620717411303424"), Big(MINUS_TWO_70)),
        ] {
            assert_eq!(a.compare(&b), Ordering::Equal, "{a:?} and {b:?}");
            assert_eq!(b.compare(&a), Ordering::Equal, "{b:?} and {a:?}");
        }
    }

    #[test]
    fn digits_of_two_s_complement() {
        for value in [1_i128 << 64, (1 << 64) + 1, -(1 << 64), i128::MAX, i128::MIN, -(1 << 80) - 12_345, 1 << 95] {
            let bytes = value.to_be_bytes();
            assert_eq!(digits_of(&bytes), value.unsigned_abs().to_string());
            let short = crate::formats::plain::ext::shortest(&bytes);
            assert_eq!(digits_of(short), value.unsigned_abs().to_string());
        }
    }
}
