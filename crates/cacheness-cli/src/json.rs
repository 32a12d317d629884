//! Plain data as JSON, for people and programs.

use std::collections::HashSet;

use cacheness::core::formats::plain::Value;
use num_bigint::BigInt;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The nearest JSON, over several lines: types that JSON lacks are lost, as [`Value::to_display_json`] says, but an integer
/// is its decimal digits, however many they are.
pub(crate) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(&Json(value)).expect("plain data is valid JSON")
}

/// The value that a JSON text holds. Integers have all their digits, and names come as often as they are there:
/// [`name_given_twice`] finds one.
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

/// The integer whose decimal digits these are; `None` if it is none.
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

/// A name that comes twice in one map, somewhere in the value.
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
            Value::Map(pairs) => serializer.collect_map(pairs.iter().map(|(key, value)| (text(key), Json(value)))),
            other => other.to_display_json().serialize(serializer),
        }
    }
}

/// A key of a map: a text as it is, anything else as its JSON.
fn text(key: &Value) -> String {
    let json = serde_json::to_string(&Json(key)).expect("plain data is valid JSON");
    serde_json::from_str(&json).unwrap_or(json)
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
            let [printed, expected] = [&pretty(&read), text].map(|text| text.replace([' ', '\n'], ""));
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
            assert_eq!(pretty(&value), json);
        }
    }
}
