//! Words of the command line: `k=v` with typed values, filters, orders and durations.

use std::collections::BTreeMap;
use std::str::FromStr;

use cacheness::core::config::ttl_duration;
use cacheness::core::formats::plain;
use cacheness::core::key::KeyEncoder;
use cacheness::query::{Filter, Sort};
use cacheness::{Result, ToKey};
use serde_json::{Map, Value};

use crate::json;

/// Parses a value. Integers are decimal digits without a plus sign or leading zeros. Floats, lists, maps, `true`, `false`,
/// `null` and strings in double quotes are parsed as JSON. Anything else is a string, taken literally.
pub(crate) fn typed(text: &str) -> std::result::Result<plain::Value, String> {
    match json::parse(text) {
        Ok(value) => match json::name_given_twice(&value) {
            Some(name) => Err(format!("{name:?} is given twice in {text}")),
            None => Ok(value),
        },
        // `1e999` is not a JSON number; it does not become infinity either.
        Err(error) if text.starts_with('"') => Err(format!("{text} is not a valid quoted string: {error}")),
        Err(_) => Ok(plain::Value::Str(text.to_owned())),
    }
}

fn split(argument: &str) -> std::result::Result<(String, plain::Value), String> {
    match argument.split_once('=') {
        Some(("", _)) => Err("the name before = is missing".into()),
        Some((name, value)) => Ok((name.to_owned(), typed(value)?)),
        None => Err("expected NAME=VALUE".into()),
    }
}

/// A parameter of a key.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    value: plain::Value,
}

impl FromStr for Parameter {
    type Err = String;

    fn from_str(argument: &str) -> std::result::Result<Self, String> {
        split(argument).map(|(name, value)| Self { name, value })
    }
}

/// Encodes the same key as the value has in Python: an integer and an equal float differ.
impl ToKey for Parameter {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        Typed(&self.value).encode(encoder)
    }
}

struct Typed<'a>(&'a plain::Value);

impl<'a> ToKey for Typed<'a> {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        use plain::Value;

        match self.0 {
            Value::Bool(value) => value.encode(encoder),
            Value::Int(value) => value.encode(encoder),
            Value::UInt(value) => value.encode(encoder),
            Value::BigInt(bytes) => {
                encoder.int_bytes(bytes);
                Ok(())
            }
            Value::Float(value) => value.encode(encoder),
            Value::Str(text) => text.encode(encoder),
            Value::List(items) => items.iter().map(Typed).collect::<Vec<_>>().encode(encoder),
            Value::Map(pairs) => {
                let named = |(name, value): &'a (Value, Value)| match name {
                    Value::Str(name) => Some((name.as_str(), Self(value))),
                    _ => None, // names in JSON are strings
                };
                pairs.iter().filter_map(named).collect::<BTreeMap<_, _>>().encode(encoder)
            }
            // JSON has nothing else.
            _ => ().encode(encoder),
        }
    }
}

/// A field of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    value: Value,
}

impl FromStr for Field {
    type Err = String;

    fn from_str(argument: &str) -> std::result::Result<Self, String> {
        let (name, value) = split(argument)?;
        let value = metadata(&value).ok_or_else(|| {
            format!("{argument} has an integer that does not fit 64 bits; put it in quotes to make it a string")
        })?;
        Ok(Self { name, value })
    }
}

/// A value as JSON metadata; `None` for an integer beyond 64 bits, which would become a float.
fn metadata(value: &plain::Value) -> Option<Value> {
    Some(match value {
        plain::Value::BigInt(_) => return None,
        plain::Value::List(items) => Value::Array(items.iter().map(metadata).collect::<Option<_>>()?),
        plain::Value::Map(pairs) => {
            let pair = |(name, value): &(plain::Value, plain::Value)| match name {
                plain::Value::Str(name) => Some((name.clone(), metadata(value)?)),
                _ => None,
            };
            Value::Object(pairs.iter().map(pair).collect::<Option<_>>()?)
        }
        other => other.to_display_json(),
    })
}

impl Field {
    /// All fields as the JSON of metadata; their names differ. Values may be tagged: see `docs/formats/metadata.md`.
    ///
    /// # Errors
    /// `Serialization` for an object with a tag that does not fit its content.
    pub(crate) fn json(fields: &[Self]) -> Result<String> {
        let escaped = |name: &str| if name.starts_with('$') { format!("${name}") } else { name.to_owned() };
        let map: Map<String, Value> = fields.iter().map(|field| (escaped(&field.name), field.value.clone())).collect();
        let json = Value::Object(map).to_string();
        plain::tagged_json::from_json(&json)?;
        Ok(json)
    }
}

/// A filter, in its short form or as JSON.
#[derive(Clone, Debug)]
pub(crate) struct Condition(pub(crate) Filter);

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        Filter::parse(text).map(Self).map_err(|error| said(&error))
    }
}

/// A field by which a listing is sorted: one of the entry under a short name, in the direction that is usual for it, or any
/// field of a filter, `-field` for descending.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) sort: Sort,
    /// Entries without a value come last.
    pub(crate) none_last: bool,
}

/// The short names.
pub(crate) const ORDERS: [(&str, &str); 5] = [
    ("key", "entry.cache_key"),
    ("created", "-entry.created_at"),
    ("accessed", "-entry.accessed_at"),
    ("expires", "entry.expires_at"),
    ("size", "-entry.file_size"),
];

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let known = ORDERS.iter().find(|(name, _)| *name == text).map_or(text, |(_, field)| field);
        let sort = Sort::parse(known).map_err(|error| said(&error))?;
        Ok(Self { sort, none_last: text == "expires" })
    }
}

/// An error with its hint, which the command line's parser has no place for.
fn said(error: &cacheness::Error) -> String {
    error.hint().map_or_else(|| error.to_string(), |hint| format!("{error}\nhint: {hint}"))
}

/// A duration, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lifetime(pub(crate) f64);

impl FromStr for Lifetime {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        const UNITS: [(char, f64); 5] = [('s', 1.0), ('m', 60.0), ('h', 3600.0), ('d', 86_400.0), ('w', 604_800.0)];
        let unit = |(unit, seconds): &(char, f64)| Some((text.strip_suffix(*unit)?, *seconds));
        let (number, seconds) = UNITS.iter().find_map(unit).unwrap_or((text, 1.0));
        let count: f64 = number.parse().map_err(|_| "give a number of seconds, or 15m, 6h, 7d, 2w".to_owned())?;
        match ttl_duration(count * seconds) {
            Ok(_) => Ok(Self(count * seconds)),
            Err(_) => {
                Err("not a valid duration; give a number of seconds that is zero or more, or 15m, 6h, 7d, 2w".into())
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_have_types() {
        use plain::Value;

        let text = |text: &str| Value::Str(text.into());
        for (given, value) in [
            ("3", Value::Int(3)),
            ("-3", Value::Int(-3)),
            ("0", Value::Int(0)),
            ("-0", Value::Int(0)),
            ("18446744073709551615", Value::UInt(u64::MAX)),
            ("18446744073709551616", Value::BigInt(vec![1, 0, 0, 0, 0, 0, 0, 0, 0])),
            ("1.0", Value::Float(1.0)),
            ("1e3", Value::Float(1000.0)),
            ("-0.5", Value::Float(-0.5)),
            ("true", Value::Bool(true)),
            ("null", Value::None),
            ("\"3\"", text("3")),
            ("\"a\\n\"", text("a\n")),
            ("[1, 2.0, \"x\"]", Value::List(vec![Value::Int(1), Value::Float(2.0), text("x")])),
            ("{\"a\": null}", Value::Map(vec![(text("a"), Value::None)])),
            ("[18446744073709551616]", Value::List(vec![Value::BigInt(vec![1, 0, 0, 0, 0, 0, 0, 0, 0])])),
        ] {
            assert_eq!(typed(given).unwrap(), value, "{given}");
        }
        for given in [
            "", "ridge", "007", "+5", "1_000", "0x1f", "nan", "inf", "1e999", "True", "None", "a b", "ü=1", ".5", "-",
            "[1",
        ] {
            assert_eq!(typed(given).unwrap(), text(given), "{given}");
        }
        assert!(typed("\"half").is_err());
        assert!(typed("{\"a\": [{\"b\": 1, \"b\": 2}]}").unwrap_err().starts_with("\"b\" is given twice"));
    }

    #[test]
    fn a_parameter_has_a_name() {
        assert_eq!(Parameter::from_str("a=b=c").unwrap().value, plain::Value::Str("b=c".into()));
        assert_eq!(Parameter::from_str("a=").unwrap().value, plain::Value::Str(String::new()));
        assert!(Parameter::from_str("a").is_err());
        assert!(Parameter::from_str("=a").is_err());
    }

    #[test]
    fn a_field_of_the_metadata_is_json() {
        let map = Field::json(&["a=1".parse().unwrap(), "$b=x".parse().unwrap()]).unwrap();
        assert_eq!(map, r#"{"a":1,"$$b":"x"}"#);
        let nested = Field::from_str("a={\"b\": [1, 2.5, null, \"x\"]}").unwrap();
        assert_eq!(nested.value, json!({ "b": [1, 2.5, null, "x"] }));
        assert!(Field::from_str("a=[18446744073709551616]").is_err());
    }

    #[test]
    fn an_order_has_a_short_name_or_is_a_field() {
        for (text, field) in [
            ("size", "-entry.file_size"),
            ("key", "entry.cache_key"),
            ("-accuracy", "-accuracy"),
            ("metadata.size", "size"),
            ("-size", "-size"),
        ] {
            assert_eq!(Order::from_str(text).unwrap().sort, Sort::parse(field).unwrap(), "{text}");
        }
        assert!(Order::from_str("entry.filesize").unwrap_err().contains("hint: did you mean entry.file_size"));
    }

    #[test]
    fn a_lifetime_has_a_unit() {
        for (text, seconds) in [("90", 90.0), ("0", 0.0), ("1.5h", 5400.0), ("15m", 900.0), ("2w", 1_209_600.0)] {
            assert_eq!(Lifetime::from_str(text).unwrap(), Lifetime(seconds), "{text}");
        }
        for text in ["", "s", "-1", "1x", "nan", "inf", "1e300d", "6 h", "1hh"] {
            assert!(Lifetime::from_str(text).is_err(), "{text}");
        }
    }
}
