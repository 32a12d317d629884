//! Plain data as JSON, for people and programs.

use std::collections::HashSet;

use cacheness::core::formats::plain::{NumpyArray, NumpyScalar, Value};
use num_bigint::BigInt;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::value::RawValue;

/// The maximum number of lists for an array without bytes: its shape may claim any number.
const EMPTY_LISTS: u64 = 1 << 20;

/// The nearest JSON, over several lines. Types that JSON lacks are lost, as in [`Value::to_display_json`], but an integer
/// keeps all its decimal digits, and an array becomes nested lists of its items.
///
/// Fails if content would be lost: for items without an equivalent in JSON, and keys that become the same name.
pub(crate) fn pretty(value: &Value) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&Json(value))
}

/// As [`pretty`], on one line.
pub(crate) fn compact(value: &Value) -> serde_json::Result<String> {
    serde_json::to_string(&Json(value))
}

/// The value of a JSON text. Integers keep all their digits. Duplicate names are kept; [`name_given_twice`] finds them.
pub(crate) fn parse(text: &str) -> serde_json::Result<Value> {
    value(serde_json::from_str(text)?)
}

fn value(raw: &RawValue) -> serde_json::Result<Value> {
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'[') => {
            Value::List(serde_json::from_str::<Vec<&RawValue>>(text)?.into_iter().map(value).collect::<Result<_, _>>()?)
        }
        Some(b'{') => {
            let Pairs(pairs) = serde_json::from_str(text)?;
            let pair = |(name, raw)| Ok((Value::Str(name), value(raw)?));
            Value::Map(pairs.into_iter().map(pair).collect::<serde_json::Result<_>>()?)
        }
        Some(b'-' | b'0'..=b'9') => match integer(text) {
            Some(integer) => integer,
            None => serde_json::from_str(text)?,
        },
        _ => serde_json::from_str(text)?,
    })
}

/// The integer with these decimal digits; `None` if the text is not an integer.
pub(crate) fn integer(text: &str) -> Option<Value> {
    if let Ok(small) = text.parse() {
        return Some(Value::Int(small));
    }
    if let Ok(large) = text.parse() {
        return Some(Value::UInt(large));
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: BigInt = text.parse().ok().filter(|_| is_integer)?;
    Some(Value::BigInt(number.to_signed_bytes_be()))
}

/// Returns the first duplicate name in one of the value's maps, if any.
pub(crate) fn name_given_twice(value: &Value) -> Option<&str> {
    match value {
        Value::List(items) => items.iter().find_map(name_given_twice),
        Value::Map(pairs) => {
            let mut names = HashSet::new();
            let twice = pairs.iter().find_map(|(name, _)| match name {
                Value::Str(name) if !names.insert(name.as_str()) => Some(name.as_str()),
                _ => None,
            });
            twice.or_else(|| pairs.iter().find_map(|(_, value)| name_given_twice(value)))
        }
        _ => None,
    }
}

/// The names and values of an object, in their order.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = object.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

struct Json<'a>(&'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::UInt(number) => number.serialize(serializer),
            Value::BigInt(bytes) => {
                let digits = BigInt::from_signed_bytes_be(bytes).to_string();
                RawValue::from_string(digits).expect("digits are valid JSON").serialize(serializer)
            }
            Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => {
                serializer.collect_seq(items.iter().map(Json))
            }
            Value::Range(parts) => serializer.collect_seq(parts.iter().map(Json)),
            Value::Map(pairs) => {
                let names = pairs.iter().map(|(key, _)| text(key)).collect::<serde_json::Result<Vec<_>>>();
                let names = names.map_err(S::Error::custom)?;
                let mut seen = HashSet::new();
                if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
                    return Err(S::Error::custom(format_args!(
                        "two keys of a mapping would both have the name {twice:?}"
                    )));
                }
                serializer.collect_map(names.iter().zip(pairs.iter().map(|(_, value)| Json(value))))
            }
            Value::NumpyArray(array) => Items::of(array).map_err(S::Error::custom)?.serialize(serializer),
            Value::NumpyScalar(scalar) => number(scalar).map_err(S::Error::custom)?.serialize(serializer),
            other => other.to_display_json().serialize(serializer),
        }
    }
}

/// A key of a map: a string unchanged, anything else as its JSON.
fn text(key: &Value) -> serde_json::Result<String> {
    let json = serde_json::to_string(&Json(key))?;
    Ok(serde_json::from_str(&json).unwrap_or(json))
}

fn number<S: AsRef<str>, D: AsRef<[u8]>>(scalar: &NumpyScalar<S, D>) -> Result<serde_json::Value, String> {
    scalar.to_display_json().ok_or_else(|| format!("JSON has no equivalent of NumPy's {}", scalar.dtype.as_ref()))
}

/// The items of an array below some of its indices: lists of lists.
struct Items<'a> {
    array: &'a NumpyArray,
    /// Bytes from an item to the next along each dimension.
    steps: &'a [usize],
    /// Dimensions that have an index.
    axis: usize,
    /// Offset of the first of the items.
    at: usize,
    item_size: usize,
}

/// The items of a whole array.
struct Whole<'a> {
    array: &'a NumpyArray,
    steps: Vec<usize>,
    item_size: usize,
}

impl Items<'_> {
    fn of(array: &NumpyArray) -> Result<Whole<'_>, String> {
        let empty_lists = array
            .shape
            .iter()
            .take_while(|&&extent| extent > 0)
            .try_fold(1, |all: u64, &extent| all.checked_mul(extent).filter(|&all| all <= EMPTY_LISTS));
        if array.data.is_empty() && empty_lists.is_none() {
            return Err(format!("an array of shape {:?} has no items", array.shape));
        }
        if array.dtype.starts_with('[') {
            return Err(format!("JSON has no equivalent of NumPy's {}", array.dtype));
        }
        // Decoding has compared the shape with the bytes; only a shape without bytes may exceed the range of the count.
        let count = array.shape.iter().fold(1, |all: u64, &extent| all.saturating_mul(extent)).max(1);
        let item_size = array.data.len() / usize::try_from(count).unwrap_or(usize::MAX);
        let mut steps = vec![0; array.shape.len()];
        let mut step = item_size;
        let mut set = |axis: usize| {
            steps[axis] = step;
            step = step.saturating_mul(usize::try_from(array.shape[axis]).unwrap_or(usize::MAX));
        };
        if array.fortran {
            (0..array.shape.len()).for_each(&mut set);
        } else {
            (0..array.shape.len()).rev().for_each(&mut set);
        }
        Ok(Whole { array, steps, item_size })
    }
}

impl Serialize for Whole<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { array, steps, item_size } = self;
        Items { array, steps, axis: 0, at: 0, item_size: *item_size }.serialize(serializer)
    }
}

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { array, steps, axis, at, item_size } = *self;
        let Some(&extent) = array.shape.get(axis) else {
            let data = array.data.get(at..at + item_size).unwrap_or_default();
            let scalar = NumpyScalar { dtype: array.dtype.as_str(), data };
            return number(&scalar).map_err(S::Error::custom)?.serialize(serializer);
        };
        let extent = usize::try_from(extent).unwrap_or(usize::MAX);
        let inner = |index: usize| Items { axis: axis + 1, at: at + index * steps[axis], ..*self };
        serializer.collect_seq((0..extent).map(inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_printed_again() {
        for text in [
            "1267650600228229401496703205376",
            "-9223372036854775809",
            "18446744073709551615",
            "-1",
            "[99999999999999999999,-99999999999999999999,1.5,-0.0,1e+100]",
            r#"{"a":{"b":[null,true,"x\\\"99999999999999999999"]},"12":18446744073709551616}"#,
            r#" [ 1 , { } ] "#,
        ] {
            let read = parse(text).unwrap();
            let mut packed = Vec::new();
            read.encode(&mut packed).unwrap();
            assert_eq!(Value::decode(&packed).unwrap(), read, "{text}");
            let [printed, expected] = [pretty(&read).unwrap().as_str(), text].map(|text| text.replace([' ', '\n'], ""));
            assert_eq!(printed, expected);
        }
        for wrong in ["", "01", "1.", "nan", "[1", "[1,]", "{\"a\"}", "'a'", "1 2", "+1", "1e999"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_that_is_there_twice_is_found() {
        for (text, twice) in [
            (r#"{"a": 1, "b": 2}"#, None),
            (r#"{"a": 1, "b": {"a": 2}}"#, None),
            (r#"{"a": 1, "a": 1}"#, Some("a")),
            (r#"[[{"b": {"c": 1, "\u0063": 2}}]]"#, Some("c")),
        ] {
            assert_eq!(name_given_twice(&parse(text).unwrap()), twice, "{text}");
        }
    }

    #[test]
    fn integers_have_all_their_digits() {
        let big = |bytes: &[u8]| Value::BigInt(bytes.to_vec());
        let mut power = vec![0; 13];
        power[0] = 0x10;
        for (value, json) in [
            (big(&power), "1267650600228229401496703205376"),
            (big(&[0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), "-9223372036854775809"),
            (Value::UInt(u64::MAX), "18446744073709551615"),
            (Value::Tuple(vec![]), "[]"),
            (Value::Map(vec![(big(&power), Value::Int(1))]), "{\n  \"1267650600228229401496703205376\": 1\n}"),
            (Value::List(vec![big(&power)]), "[\n  1267650600228229401496703205376\n]"),
            (Value::Map(vec![(Value::Str("a".into()), Value::Float(f64::NAN))]), "{\n  \"a\": \"NaN\"\n}"),
        ] {
            assert_eq!(pretty(&value).unwrap(), json);
        }
    }

    fn array(dtype: &str, shape: &[u64], fortran: bool, data: &[u8]) -> Value {
        Value::NumpyArray(NumpyArray { dtype: dtype.into(), shape: shape.to_vec(), fortran, data: data.to_vec() })
    }

    #[test]
    fn arrays_are_lists_of_their_items() {
        for (value, json) in [
            (array("|u1", &[2, 3], false, &[1, 2, 3, 4, 5, 6]), "[[1,2,3],[4,5,6]]"),
            (array("|u1", &[2, 3], true, &[1, 4, 2, 5, 3, 6]), "[[1,2,3],[4,5,6]]"),
            (array("|u1", &[2, 1, 2], true, &[1, 3, 2, 4]), "[[[1,2]],[[3,4]]]"),
            (array(">i2", &[2], false, &[0xff, 0xff, 1, 0]), "[-1,256]"),
            (array("<f8", &[], false, &f64::NAN.to_le_bytes()), "\"NaN\""),
            (array("|S2", &[2], false, b"ab\0\0"), "[\"ab\",\"\"]"),
            (array("|b1", &[0], false, &[]), "[]"),
            (array("<f8", &[2, 0, 1 << 60], false, &[]), "[[],[]]"),
            (array("|V0", &[2], false, &[]), "[\"\",\"\"]"),
        ] {
            let printed = pretty(&Value::List(vec![value])).unwrap();
            assert_eq!(printed.replace([' ', '\n'], ""), format!("[{json}]"));
        }
    }

    #[test]
    fn what_would_be_lost_is_an_error() {
        let text = |text: &str| Value::Str(text.into());
        let map = |keys: [Value; 2]| Value::Map(keys.map(|key| (key, Value::None)).to_vec());
        for (value, why) in [
            (map([Value::Int(1), text("1")]), "two keys of a mapping would both have the name \"1\""),
            (map([Value::None, text("null")]), "\"null\""),
            (map([Value::Tuple(vec![Value::Int(1)]), text("[1]")]), "\"[1]\""),
            (array("<M8[s]", &[1], false, &[0; 8]), "JSON has no equivalent of NumPy's <M8[s]"),
            (array("[('a', '|u1')]", &[1], false, &[0]), "NumPy's [('a', '|u1')]"),
            (array("<f8", &[1 << 60, 0], false, &[]), "no items"),
            (Value::NumpyScalar(NumpyScalar { dtype: "<m8[s]".into(), data: vec![0; 8] }), "<m8[s]"),
        ] {
            let error = pretty(&Value::List(vec![value])).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
