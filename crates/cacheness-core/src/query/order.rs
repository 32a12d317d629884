//! One total order of all plain values: the equality, the order and the sorting of filters.
//!
//! Values of one class are ordered as `docs/formats/filters.md` says; classes follow each other. Two values are equal
//! for a filter if neither is before the other.

use std::borrow::Cow;
use std::cmp::Ordering;

use chrono::{MappedLocalTime, NaiveDateTime, Offset as _, TimeDelta as Span, TimeZone as _};

use super::number::Number;
use crate::formats::plain::numpy::{self, Item};
use crate::formats::plain::{DateTime, NumpyScalar, Time, Value, Zone};

/// A value in the form in which it is compared. The order of the variants is that of the classes.
#[derive(Debug)]
enum Class<'a> {
    Null,
    NaN,
    Number(Number<'a>),
    Text(Cow<'a, str>),
    Bool(bool),
    /// Nanoseconds since 1970 UTC.
    Instant(i128),
    /// Nanoseconds of a wall clock since 1970.
    Wall(i128),
    /// Days since 1970.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Nanoseconds.
    Duration(i128),
    Uuid(&'a [u8; 16]),
    Path(&'a str),
    Bytes(&'a [u8]),
    List(&'a [Value]),
    Set(&'a [Value]),
    Map(&'a [(Value, Value)]),
    /// Comparable only with itself.
    Other(&'a Value),
}

impl<'a> Class<'a> {
    fn of(value: &'a Value) -> Self {
        match value {
            Value::None => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Number(Number::Int((*value).into())),
            Value::UInt(value) => Self::Number(Number::Int((*value).into())),
            Value::BigInt(bytes) => Self::Number(Number::Big(bytes)),
            Value::Float(value) => Self::float(*value),
            Value::Decimal(text) if text.contains("NaN") => Self::NaN,
            Value::Decimal(text) => Self::Number(Number::Decimal(text)),
            Value::Str(text) => Self::Text(Cow::Borrowed(text)),
            Value::Bytes(bytes) | Value::ByteArray(bytes) => Self::Bytes(bytes),
            Value::List(items) | Value::Tuple(items) => Self::List(items),
            Value::Set(items) | Value::FrozenSet(items) => Self::Set(items),
            Value::Map(pairs) => Self::Map(pairs),
            Value::DateTime(time) => Self::datetime(time).unwrap_or(Self::Other(value)),
            Value::Date(days) => Self::Date(*days),
            Value::Time(Time { micros, zone: Zone::Naive, .. }) => Self::Time(*micros),
            Value::TimeDelta(delta) => {
                let seconds = i128::from(delta.days) * 86_400 + i128::from(delta.seconds);
                Self::Duration((seconds * 1_000_000 + i128::from(delta.micros)) * 1000)
            }
            Value::Uuid(bytes) => Self::Uuid(bytes),
            Value::Path(text) => Self::Path(text),
            Value::NumpyScalar(scalar) => Self::numpy(scalar).unwrap_or(Self::Other(value)),
            Value::Time(_) | Value::Complex(..) | Value::Dtype(_) | Value::Range(_) | Value::NumpyArray(_) => {
                Self::Other(value)
            }
        }
    }

    fn float(value: f64) -> Self {
        if value.is_nan() { Self::NaN } else { Self::Number(Number::Float(value)) }
    }

    fn datetime(time: &DateTime) -> Option<Self> {
        let nanos = i128::from(time.micros) * 1000;
        Some(match &time.zone {
            Zone::Naive => Self::Wall(nanos),
            Zone::Fixed { offset, .. } => Self::Instant(nanos - i128::from(*offset) * 1000),
            Zone::Named(name) => {
                Self::Instant(nanos - i128::from(offset_at(name, time.micros, time.fold)?) * 1_000_000_000)
            }
        })
    }

    fn numpy(NumpyScalar { dtype, data }: &'a NumpyScalar) -> Option<Self> {
        if let Some(item) = numpy::item(dtype, data) {
            return Some(match item {
                Item::Bool(value) => Self::Bool(value),
                Item::Int(value) => Self::Number(Number::Int(value.into())),
                Item::UInt(value) => Self::Number(Number::Int(value.into())),
                Item::Float(value) => Self::float(value),
                Item::Bytes(bytes) => Self::Bytes(bytes),
                Item::Str(text) => Self::Text(Cow::Owned(text)),
                Item::Complex(..) => return None,
            });
        }
        let (kind, unit) = dtype.get(1..)?.strip_suffix(']')?.split_once('[')?;
        let mut bytes: [u8; 8] = data.as_slice().try_into().ok()?;
        if dtype.starts_with('>') {
            bytes.reverse();
        }
        let ticks = i64::from_le_bytes(bytes);
        let nanos = i128::from(ticks) * nanos_of(unit)?;
        match kind {
            // Not a time.
            _ if ticks == i64::MIN => None,
            "M8" => Some(Self::Wall(nanos)),
            "m8" => Some(Self::Duration(nanos)),
            _ => None,
        }
    }

    /// The place of the class among the others.
    fn place(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::NaN => 1,
            Self::Number(_) => 2,
            Self::Text(_) => 3,
            Self::Bool(_) => 4,
            Self::Instant(_) => 5,
            Self::Wall(_) => 6,
            Self::Date(_) => 7,
            Self::Time(_) => 8,
            Self::Duration(_) => 9,
            Self::Uuid(_) => 10,
            Self::Path(_) => 11,
            Self::Bytes(_) => 12,
            Self::List(_) => 13,
            Self::Set(_) => 14,
            Self::Map(_) => 15,
            Self::Other(_) => 16,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.compare(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Instant(a), Self::Instant(b))
            | (Self::Wall(a), Self::Wall(b))
            | (Self::Duration(a), Self::Duration(b)) => a.cmp(b),
            (Self::Date(a), Self::Date(b)) => a.cmp(b),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            (Self::Path(a), Self::Path(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::List(a), Self::List(b)) => each(a.iter(), b.iter(), total),
            (Self::Set(a), Self::Set(b)) => {
                let sorted = |items: &'a [Value]| {
                    let mut items: Vec<&Value> = items.iter().collect();
                    items.sort_by(|a, b| total(a, b));
                    items
                };
                each(sorted(a).into_iter(), sorted(b).into_iter(), total)
            }
            (Self::Map(a), Self::Map(b)) => {
                let sorted = |pairs: &'a [(Value, Value)]| {
                    let mut pairs: Vec<&(Value, Value)> = pairs.iter().collect();
                    pairs.sort_by(|(a, _), (b, _)| total(a, b));
                    pairs
                };
                each(sorted(a).into_iter(), sorted(b).into_iter(), |(key, value), (other_key, other)| {
                    total(key, other_key).then_with(|| total(value, other))
                })
            }
            (Self::Other(a), Self::Other(b)) => {
                let encoding = |value: &Value| {
                    let mut bytes = Vec::new();
                    // What cannot be encoded was not decoded either, and equals only its like.
                    value.encode(&mut bytes).map_or_else(|_| format!("{value:?}").into_bytes(), |()| bytes)
                };
                encoding(a).cmp(&encoding(b))
            }
            (a, b) => a.place().cmp(&b.place()),
        }
    }
}

/// Lexicographic.
fn each<T>(
    mut a: impl Iterator<Item = T>,
    mut b: impl Iterator<Item = T>,
    compare: impl Fn(T, T) -> Ordering,
) -> Ordering {
    loop {
        match (a.next(), b.next()) {
            (Some(one), Some(other)) => match compare(one, other) {
                Ordering::Equal => {}
                decided => return decided,
            },
            (None, None) => return Ordering::Equal,
            (Some(_), None) => return Ordering::Greater,
            (None, Some(_)) => return Ordering::Less,
        }
    }
}

/// The nanoseconds of a unit of `NumPy` times that has a fixed length.
fn nanos_of(unit: &str) -> Option<i128> {
    let digits = unit.bytes().take_while(u8::is_ascii_digit).count();
    let count: i128 = if digits == 0 { 1 } else { unit[..digits].parse().ok()? };
    let nanos = match &unit[digits..] {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "D" => 86_400_000_000_000,
        "W" => 604_800_000_000_000,
        _ => return None,
    };
    // A unit that makes the product overflow is none.
    count.checked_mul(nanos).filter(|nanos| *nanos < 1 << 62)
}

/// Seconds east of UTC of a wall clock in a zone of the tz database, as Python's `zoneinfo` decides about wall clocks
/// that exist twice or never; `None` for an unknown zone.
fn offset_at(zone: &str, micros: i64, fold: bool) -> Option<i32> {
    let zone: chrono_tz::Tz = zone.parse().ok()?;
    let wall: NaiveDateTime = chrono::DateTime::from_timestamp_micros(micros)?.naive_utc();
    let fixed = |offset: chrono_tz::TzOffset| offset.fix().local_minus_utc();
    Some(match zone.offset_from_local_datetime(&wall) {
        MappedLocalTime::Single(offset) => fixed(offset),
        MappedLocalTime::Ambiguous(earlier, later) => fixed(if fold { later } else { earlier }),
        // A gap: PEP 495 takes the offset from before it, and with `fold` the one from after it.
        MappedLocalTime::None => {
            let aside = Span::days(1);
            let there = if fold { wall.checked_add_signed(aside)? } else { wall.checked_sub_signed(aside)? };
            fixed(zone.offset_from_local_datetime(&there).earliest()?)
        }
    })
}

/// A value as a key of groups and sorted lists: equal and ordered as filters compare values.
#[derive(Clone, Debug)]
pub struct Ordered(pub Value);

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> Ordering {
        total(&self.0, &other.0)
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        equal(&self.0, &other.0)
    }
}

impl Eq for Ordered {}

/// The total order.
pub(super) fn total(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Str(a), Value::Str(b)) => a.cmp(b),
        _ => Class::of(a).compare(&Class::of(b)),
    }
}

/// Whether two values are equal for a filter.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    total(a, b) == Ordering::Equal
}

/// The order of two values of one class; `None` if their classes differ.
pub(super) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    let (a, b) = (Class::of(a), Class::of(b));
    (a.place() == b.place()).then(|| a.compare(&b))
}

/// An operand as a database has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// Equal to whatever is missing.
    Null,
    /// A boolean, which is no number.
    Bool(bool),
    /// An integer of 64 bits.
    Int(i64),
    /// Not NaN.
    Float(f64),
    /// Compared by code points. Has no NUL.
    Text(Cow<'a, str>),
    /// A datetime with a zone: microseconds since 1970 UTC.
    Instant(i64),
}

impl<'a> Scalar<'a> {
    /// The form of a value; `None` if only an [`Evaluator`](super::Evaluator) can compare it.
    #[must_use]
    pub fn of(value: &'a Value) -> Option<Self> {
        Some(match Class::of(value) {
            Class::Null => Self::Null,
            Class::Bool(value) => Self::Bool(value),
            Class::Number(Number::Int(value)) => Self::Int(i64::try_from(value).ok()?),
            Class::Number(Number::Float(value)) => Self::Float(value),
            Class::Text(text) if !text.contains('\0') => Self::Text(text),
            Class::Instant(nanos) if nanos % 1000 == 0 => Self::Instant(i64::try_from(nanos / 1000).ok()?),
            _ => return None,
        })
    }
}

/// The string that a value is, also one of `NumPy`.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match Class::of(value) {
        Class::Text(text) => Some(text),
        _ => None,
    }
}

/// Whether values of this one's class are ordered.
pub(super) fn is_ordered(value: &Value) -> bool {
    Class::of(value).place() < 13
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64, zone: Zone, fold: bool) -> Value {
        Value::DateTime(DateTime { micros, fold, zone })
    }

    const HOUR: i64 = 3_600_000_000;

    #[test]
    fn values_of_different_classes_are_never_equal() {
        let values = [
            Value::None,
            Value::Float(f64::NAN),
            1.into(),
            "1".into(),
            true.into(),
            at(0, Zone::Fixed { offset: 0, name: None }, false),
            at(0, Zone::Naive, false),
            Value::Date(0),
            Value::Time(Time { micros: 0, fold: false, zone: Zone::Naive }),
            Value::TimeDelta(crate::formats::plain::TimeDelta { days: 0, seconds: 0, micros: 0 }),
            Value::Uuid([0; 16]),
            Value::Path("1".into()),
            Value::Bytes(b"1".to_vec()),
            Value::List(vec![1.into()]),
            Value::Set(vec![1.into()]),
            Value::Map(vec![("1".into(), 1.into())]),
            Value::Complex(1.0, 0.0),
        ];
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(total(a, b), i.cmp(&j), "{a:?} and {b:?}");
                assert_eq!(compare(a, b), (i == j).then_some(Ordering::Equal), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn collections_are_equal_by_their_items() {
        let list = |items: &[i64]| Value::List(items.iter().map(|&item| item.into()).collect());
        assert!(equal(&list(&[1, 2]), &Value::Tuple(vec![Value::Float(1.0), 2.into()])));
        assert!(!equal(&list(&[1, 2]), &list(&[2, 1])));
        let set = |items: &[i64]| Value::Set(items.iter().map(|&item| item.into()).collect());
        assert!(equal(&set(&[3, 1]), &Value::FrozenSet(vec![1.into(), 3.into()])));
        let map = |pairs: &[(&str, i64)]| Value::Map(pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect());
        assert!(equal(&map(&[("a", 1), ("b", 2)]), &map(&[("b", 2), ("a", 1)])));
        assert!(!equal(&map(&[("a", 1), ("b", 2)]), &map(&[("a", 2), ("b", 1)])));
    }

    #[test]
    fn datetimes_are_compared_by_instant() {
        let utc = |hours| at(hours * HOUR, Zone::Fixed { offset: 0, name: None }, false);
        let east = at(14 * HOUR, Zone::Fixed { offset: 2 * HOUR, name: Some("CEST".into()) }, false);
        assert!(equal(&utc(12), &east));
        // 1970-01-01 in Berlin: an hour east.
        assert!(equal(&utc(11), &at(12 * HOUR, Zone::Named("Europe/Berlin".into()), false)));
        // 2024-10-27 02:30 exists twice there, 2024-03-31 02:30 never.
        let day = |days: i64| at(days * 24 * HOUR + 5 * HOUR / 2, Zone::Named("Europe/Berlin".into()), false);
        let again = |days: i64| at(days * 24 * HOUR + 5 * HOUR / 2, Zone::Named("Europe/Berlin".into()), true);
        assert!(equal(&day(20_023), &at(20_023 * 24 * HOUR + HOUR / 2, Zone::Fixed { offset: 0, name: None }, false)));
        assert!(equal(
            &again(20_023),
            &at(20_023 * 24 * HOUR + 3 * HOUR / 2, Zone::Fixed { offset: 0, name: None }, false)
        ));
        assert!(equal(
            &day(19_813),
            &at(19_813 * 24 * HOUR + 3 * HOUR / 2, Zone::Fixed { offset: 0, name: None }, false)
        ));
        assert!(equal(
            &again(19_813),
            &at(19_813 * 24 * HOUR + HOUR / 2, Zone::Fixed { offset: 0, name: None }, false)
        ));
        // A zone that does not exist.
        let nowhere = at(0, Zone::Named("Nowhere/Land".into()), false);
        assert!(equal(&nowhere, &nowhere) && !equal(&nowhere, &utc(0)));
    }

    #[test]
    fn numpy_scalars_are_what_they_hold() {
        let scalar =
            |dtype: &str, data: &[u8]| Value::NumpyScalar(NumpyScalar { dtype: dtype.into(), data: data.into() });
        assert!(equal(&scalar("<f4", &0.5_f32.to_le_bytes()), &0.5.into()));
        assert!(equal(&scalar("|b1", &[1]), &true.into()));
        assert!(equal(&scalar(">i2", &[1, 0]), &256.into()));
        assert!(equal(&scalar("<U2", &[0x61, 0, 0, 0, 0, 0, 0, 0]), &"a".into()));
        assert!(equal(&scalar("<f8", &f64::NAN.to_le_bytes()), &Value::Decimal("NaN".into())));
        let day = scalar("<M8[D]", &1_i64.to_le_bytes());
        assert!(equal(&day, &at(24 * HOUR, Zone::Naive, false)));
        assert!(equal(&day, &scalar(">M8[ns]", &86_400_000_000_000_i64.to_be_bytes())));
        let never = scalar("<M8[ns]", &i64::MIN.to_le_bytes());
        assert!(equal(&never, &never) && !is_ordered(&never));
    }
}
