//! Python's equality of plain values.

use super::ext::Zone;
use super::value::Value;

/// The maximum size of collections whose members and keys are compared pairwise; larger ones are left to Python.
const EACH_WITH_EACH: usize = 64;

/// 2^63: no integer that is written as a big one is closer to zero.
const LARGE: f64 = 9_223_372_036_854_775_808.0;

impl Value {
    /// The result of Python's `==`: `1`, `1.0` and `True` are equal, a list and a tuple never, the order of a dictionary
    /// does not matter, and NaN differs from itself. A `NumPy` array equals only an array of the same shape with equal
    /// items or, if it has no dimensions, a number.
    ///
    /// `None` if only Python can decide: decimals and other numbers, times in different zones, large sets, scalars of
    /// `NumPy`, and `NumPy` arrays that differ in their bytes.
    #[must_use]
    pub fn equals(&self, other: &Self) -> Option<bool> {
        use Value::{
            BigInt, Bool, ByteArray, Bytes, Complex, Date, DateTime, Decimal, Dtype, Float, FrozenSet, Int, List, Map,
            NumpyArray, NumpyScalar, Path, Range, Set, Str, Time, TimeDelta, Tuple, UInt, Uuid,
        };
        match (self, other) {
            // An array is compared as a whole: item by item Python gives no single answer.
            (NumpyArray(a), NumpyArray(b)) if a.shape != b.shape => Some(false),
            (NumpyArray(a), NumpyArray(b)) if a == b => Some(true),
            (NumpyArray(_), NumpyArray(_)) => None,
            (NumpyArray(array), other) | (other, NumpyArray(array)) => {
                let is_number = array.shape.is_empty() && (other.is_number() || matches!(other, NumpyScalar(_)));
                if is_number { None } else { Some(false) }
            }
            (NumpyScalar(_), _) | (_, NumpyScalar(_)) => None,
            (Str(a), Str(b)) => Some(a == b),
            (Bytes(a) | ByteArray(a), Bytes(b) | ByteArray(b)) => Some(a == b),
            (List(a), List(b)) | (Tuple(a), Tuple(b)) => pairwise(a, b),
            (Set(a) | FrozenSet(a), Set(b) | FrozenSet(b)) => same_members(a, b),
            (Map(a), Map(b)) => same_pairs(a, b),
            (Float(a), Float(b)) => Some(a == b),
            (Complex(a, i), Complex(b, j)) => Some(a == b && i == j),
            (Complex(real, imaginary), number) | (number, Complex(real, imaginary)) if number.is_number() => {
                if *imaginary == 0.0 {
                    Float(*real).equals(number)
                } else {
                    Some(false)
                }
            }
            // Equal digits are equal numbers; `NaN` and `sNaN` equal nothing.
            (Decimal(a), Decimal(b)) if a == b && !a.contains("NaN") => Some(true),
            (Decimal(_), number) | (number, Decimal(_)) if number.is_number() => None,
            (BigInt(a), BigInt(b)) => Some(a == b),
            // Only integers beyond 64 bits are encoded as big integers.
            (BigInt(_), Bool(_) | Int(_) | UInt(_)) | (Bool(_) | Int(_) | UInt(_), BigInt(_)) => Some(false),
            (BigInt(_), Float(value)) | (Float(value), BigInt(_)) => {
                if value.is_finite() && value.abs() >= LARGE {
                    None
                } else {
                    Some(false)
                }
            }
            (Float(value), integer) | (integer, Float(value)) if integer.is_number() => {
                integer.small_integer().map(|integer| is_integer(*value, integer))
            }
            (a, b) if a.is_number() && b.is_number() => Some(a.small_integer()? == b.small_integer()?),
            (DateTime(a), DateTime(b)) => same_time((a.micros, a.fold, &a.zone), (b.micros, b.fold, &b.zone)),
            (Time(a), Time(b)) => same_time((a.micros, a.fold, &a.zone), (b.micros, b.fold, &b.zone)),
            (Date(a), Date(b)) => Some(a == b),
            (TimeDelta(a), TimeDelta(b)) => Some(a == b),
            (Uuid(a), Uuid(b)) => Some(a == b),
            (Path(a), Path(b)) => (a == b).then_some(true),
            // In NumPy and pandas a dtype also equals its name.
            (Dtype(a), Dtype(b)) if a == b => Some(true),
            (Dtype(_), Dtype(_) | Str(_)) | (Str(_), Dtype(_)) => None,
            (Range(a), Range(b)) => (a == b).then_some(true),
            (Self::None, Self::None) => Some(true),
            // Values of unrelated types.
            _ => Some(false),
        }
    }

    fn is_number(&self) -> bool {
        matches!(
            self,
            Self::Bool(_)
                | Self::Int(_)
                | Self::UInt(_)
                | Self::BigInt(_)
                | Self::Float(_)
                | Self::Complex(..)
                | Self::Decimal(_)
        )
    }

    /// Its integer value in Python, of at most 64 bits and a sign.
    fn small_integer(&self) -> Option<i128> {
        match self {
            Self::Bool(value) => Some(i128::from(*value)),
            Self::Int(value) => Some(i128::from(*value)),
            Self::UInt(value) => Some(i128::from(*value)),
            _ => None,
        }
    }
}

/// Whether `value` is exactly this integer of at most 64 bits and a sign.
#[allow(clippy::cast_possible_truncation)]
fn is_integer(value: f64, integer: i128) -> bool {
    // 2^100 and its neighbours are exact; beyond, no integer of 64 bits is met.
    const BEYOND: f64 = (1_u128 << 100) as f64;
    value.fract() == 0.0 && value.abs() < BEYOND && value as i128 == integer
}

/// The first `false` decides, even if others are undecided.
fn all(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut all = Some(true);
    for answer in answers {
        match answer {
            Some(true) => {}
            Some(false) => return Some(false),
            None => all = None,
        }
    }
    all
}

/// The first `true` decides.
fn any(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    all(answers.map(|answer| answer.map(|yes| !yes))).map(|none| !none)
}

fn pairwise(a: &[Value], b: &[Value]) -> Option<bool> {
    if a.len() != b.len() {
        return Some(false);
    }
    all(a.iter().zip(b).map(|(a, b)| a.equals(b)))
}

fn same_members(a: &[Value], b: &[Value]) -> Option<bool> {
    if a.len() != b.len() {
        return Some(false);
    }
    if a.len() > EACH_WITH_EACH {
        return None;
    }
    all(a.iter().map(|member| any(b.iter().map(|other| member.equals(other)))))
}

fn same_pairs(a: &[(Value, Value)], b: &[(Value, Value)]) -> Option<bool> {
    if a.len() != b.len() {
        return Some(false);
    }
    // Nearly always the keys come in the same order.
    if a.iter().zip(b).all(|((key, _), (other, _))| key.equals(other) == Some(true)) {
        return all(a.iter().zip(b).map(|((_, value), (_, other))| value.equals(other)));
    }
    if a.len() > EACH_WITH_EACH {
        return None;
    }
    let has = |(key, value): &(Value, Value)| {
        any(b.iter().map(|(other_key, other)| all([key.equals(other_key), value.equals(other)].into_iter())))
    };
    all(a.iter().map(has))
}

fn same_time(a: (i64, bool, &Zone), b: (i64, bool, &Zone)) -> Option<bool> {
    match (a, b) {
        // The fold of a wall clock without a zone has no meaning.
        ((a, _, Zone::Naive), (b, _, Zone::Naive)) => Some(a == b),
        ((_, _, Zone::Naive), _) | (_, (_, _, Zone::Naive)) => Some(false),
        ((a, false, Zone::Fixed { offset: east, .. }), (b, false, Zone::Fixed { offset: other, .. }))
            if east == other =>
        {
            Some(a == b)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::ext::{DateTime, NumpyArray, NumpyScalar};
    use super::*;

    fn list<const N: usize>(items: [Value; N]) -> Value {
        Value::List(items.into())
    }

    fn at(micros: i64, zone: Zone) -> Value {
        Value::DateTime(DateTime { micros, fold: false, zone })
    }

    #[test]
    fn numbers_are_equal_by_value() {
        let one = [Value::Bool(true), Value::Int(1), Value::UInt(1), Value::Float(1.0), Value::Complex(1.0, 0.0)];
        for a in &one {
            for b in &one {
                assert_eq!(a.equals(b), Some(true), "{a:?} and {b:?}");
            }
            for other in [Value::Int(2), Value::Float(1.5), Value::Complex(1.0, 1.0), Value::BigInt(vec![1; 9])] {
                assert_eq!(a.equals(&other), Some(false), "{a:?} and {other:?}");
                assert_eq!(other.equals(a), Some(false), "{other:?} and {a:?}");
            }
            assert_eq!(a.equals(&Value::Decimal("1".into())), None);
            assert_eq!(a.equals(&"1".into()), Some(false));
            assert_eq!(a.equals(&Value::None), Some(false));
        }
        assert_eq!(Value::Float(0.0).equals(&Value::Float(-0.0)), Some(true));
        assert_eq!(Value::Int(0).equals(&Value::Float(-0.0)), Some(true));
        assert_eq!(Value::Float(f64::NAN).equals(&Value::Float(f64::NAN)), Some(false));
    }

    #[test]
    fn large_integers_are_not_rounded() {
        let float = 9_007_199_254_740_992.0; // 2^53
        assert_eq!(Value::Int(9_007_199_254_740_992).equals(&Value::Float(float)), Some(true));
        assert_eq!(Value::Int(9_007_199_254_740_993).equals(&Value::Float(float)), Some(false));
        assert_eq!(Value::UInt(u64::MAX).equals(&Value::Float(18_446_744_073_709_551_616.0)), Some(false));
        assert_eq!(Value::Int(i64::MIN).equals(&Value::Float(-9_223_372_036_854_775_808.0)), Some(true));
        for float in [f64::INFINITY, f64::NAN, 1e300, -1e300] {
            assert_eq!(Value::Int(i64::MAX).equals(&Value::Float(float)), Some(false));
        }
        assert_eq!(Value::BigInt(vec![1; 9]).equals(&Value::Float(1e30)), None);
        assert_eq!(Value::BigInt(vec![1; 9]).equals(&Value::Float(0.5)), Some(false));
    }

    #[test]
    fn collections() {
        let (a, b) = (Value::from("a"), Value::from("b"));
        assert_eq!(list([1.into(), a.clone()]).equals(&list([1.0.into(), a.clone()])), Some(true));
        assert_eq!(list([a.clone()]).equals(&Value::Tuple(vec![a.clone()])), Some(false));
        let (set, frozen) = (Value::Set(vec![a.clone(), b.clone()]), Value::FrozenSet(vec![b.clone(), a.clone()]));
        assert_eq!(set.equals(&frozen), Some(true));
        assert_eq!(set.equals(&Value::Set(vec![a.clone(), 1.into()])), Some(false));
        let map = Value::Map(vec![(a.clone(), 1.into()), (b.clone(), 2.into())]);
        let turned = Value::Map(vec![(b.clone(), 2.0.into()), (a.clone(), true.into())]);
        assert_eq!(map.equals(&turned), Some(true));
        assert_eq!(map.equals(&Value::Map(vec![(a.clone(), 1.into()), (b, 3.into())])), Some(false));
        assert_eq!(map.equals(&Value::Map(vec![(a, 1.into())])), Some(false));
        // A part that only Python could compare does not matter beside one that differs.
        let decimal = Value::Decimal("1".into());
        assert_eq!(list([decimal.clone(), 2.into()]).equals(&list([1.into(), 3.into()])), Some(false));
        assert_eq!(list([decimal, 2.into()]).equals(&list([1.into(), 2.into()])), None);
        let many = |first: i64| Value::Set((first..first + 65).map(Value::from).collect());
        assert_eq!(many(0).equals(&many(0)), None);
    }

    #[test]
    fn times() {
        let fixed = |offset: i64| Zone::Fixed { offset, name: None };
        assert_eq!(at(5, Zone::Naive).equals(&at(5, Zone::Naive)), Some(true));
        assert_eq!(at(5, Zone::Naive).equals(&at(5, fixed(0))), Some(false));
        assert_eq!(at(5, fixed(0)).equals(&at(6, fixed(0))), Some(false));
        assert_eq!(at(5, fixed(0)).equals(&at(5, fixed(60))), None);
        let berlin = || Zone::Named("Europe/Berlin".into());
        assert_eq!(at(5, berlin()).equals(&at(5, berlin())), None);
        assert_eq!(Value::Date(1).equals(&at(86_400_000_000, Zone::Naive)), Some(false));
    }

    #[test]
    fn what_takes_python_to_say() {
        let scalar = Value::NumpyScalar(NumpyScalar { dtype: "<f8".into(), data: 1_f64.to_le_bytes().to_vec() });
        assert_eq!(scalar.equals(&1.0.into()), None);
        assert_eq!(Value::None.equals(&scalar), None);
        let array = |shape: &[u64], first: u8| {
            let size = usize::try_from(shape.iter().product::<u64>()).expect("small");
            Value::NumpyArray(NumpyArray {
                dtype: "|u1".into(),
                shape: shape.to_vec(),
                fortran: false,
                data: vec![first; size],
            })
        };
        assert_eq!(array(&[2], 1).equals(&array(&[2], 1)), Some(true));
        assert_eq!(array(&[2], 1).equals(&array(&[2], 2)), None, "of other types they may still be equal");
        assert_eq!(array(&[2], 1).equals(&array(&[1, 2], 1)), Some(false));
        for other in [Value::None, 1.into(), list([1.into(), 1.into()]), "1".into(), scalar] {
            assert_eq!(array(&[2], 1).equals(&other), Some(false), "{other:?}");
            assert_eq!(other.equals(&array(&[1], 1)), Some(false), "{other:?}");
        }
        assert_eq!(array(&[], 1).equals(&1.into()), None);
        assert_eq!(array(&[], 1).equals(&"1".into()), Some(false));
        assert_eq!(Value::Path("a".into()).equals(&Value::Path("a".into())), Some(true));
        assert_eq!(Value::Path("a".into()).equals(&Value::Path("A".into())), None);
    }
}
