//! Plain data as JSON, for people and programs.

use cacheness::core::formats::plain::Value;
use num_bigint::BigInt;
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The nearest JSON, over several lines: types that JSON lacks are lost, as [`Value::to_display_json`] says, but an integer
/// is its decimal digits, however many they are.
pub(crate) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(&Json(value)).expect("plain data is valid JSON")
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
