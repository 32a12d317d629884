//! `k=v` on the command line: values with types, and lengths of time.

use std::str::FromStr;

use cacheness::core::config::ttl_duration;
use cacheness::core::key::KeyEncoder;
use cacheness::{Result, ToKey};
use serde_json::{Map, Value};

/// A value as it is typed.
#[derive(Clone, Debug, PartialEq)]
enum Typed {
    /// An integer of up to 128 bits, which JSON cannot hold.
    Int(i128),
    Json(Value),
}

/// Integers are decimal digits without a plus or leading zeros; floats, lists and maps are as in JSON, `true`, `false` and
/// `null` too. A text in double quotes is what JSON says it is, and anything else is a text as it stands.
fn typed(text: &str) -> std::result::Result<Typed, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_integer = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if is_integer && (digits == "0" || !digits.starts_with('0')) {
        let wide = |_| format!("{text} does not fit 128 bits; put it in quotes to make it a text: '\"{text}\"'");
        return text.parse().map(Typed::Int).map_err(wide);
    }
    Ok(Typed::Json(match serde_json::from_str(text) {
        // `1e999` is no number of JSON; it is not taken for infinity either.
        Ok(value) => value,
        Err(error) if text.starts_with('"') => return Err(format!("{text} is no text in quotes: {error}")),
        Err(_) => Value::String(text.to_owned()),
    }))
}

fn split(argument: &str) -> std::result::Result<(String, Typed), String> {
    match argument.split_once('=') {
        Some(("", _)) => Err("there is no name before the =".into()),
        Some((name, value)) => Ok((name.to_owned(), typed(value)?)),
        None => Err("a name, = and a value are wanted".into()),
    }
}

/// A parameter of a key.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    value: Typed,
}

impl FromStr for Parameter {
    type Err = String;

    fn from_str(argument: &str) -> std::result::Result<Self, String> {
        split(argument).map(|(name, value)| Self { name, value })
    }
}

/// The same key as the value has in Python: an integer and a float that are equal differ.
impl ToKey for Parameter {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        match &self.value {
            Typed::Int(value) => value.encode(encoder),
            Typed::Json(value) => Json(value).encode(encoder),
        }
    }
}

struct Json<'a>(&'a Value);

impl ToKey for Json<'_> {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        match self.0 {
            Value::Null => ().encode(encoder),
            Value::Bool(value) => value.encode(encoder),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(value), ..) => value.encode(encoder),
                (None, Some(value), _) => value.encode(encoder),
                (None, None, value) => value.encode(encoder),
            },
            Value::String(text) => text.encode(encoder),
            Value::Array(items) => items.iter().map(Json).collect::<Vec<_>>().encode(encoder),
            Value::Object(map) => {
                let pairs: std::collections::BTreeMap<&str, Json<'_>> =
                    map.iter().map(|(name, value)| (name.as_str(), Json(value))).collect();
                pairs.encode(encoder)
            }
        }
    }
}

/// A field of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    name: String,
    value: Value,
}

impl FromStr for Field {
    type Err = String;

    fn from_str(argument: &str) -> std::result::Result<Self, String> {
        let (name, value) = split(argument)?;
        let value = match value {
            Typed::Json(value) => value,
            Typed::Int(value) => serde_json::Number::from_i128(value)
                .map(Value::Number)
                .ok_or_else(|| format!("{value} does not fit 64 bits; put it in quotes to make it a text"))?,
        };
        Ok(Self { name, value })
    }
}

impl Field {
    /// Whether `map` has the field with an equal value; a whole number equals the float.
    pub(crate) fn is_in(&self, map: &Map<String, Value>) -> bool {
        map.get(&self.name).is_some_and(|found| match (found, &self.value) {
            (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
            (a, b) => a == b,
        })
    }

    /// All fields as one map; of two with one name the last counts.
    pub(crate) fn map(fields: &[Self]) -> Map<String, Value> {
        fields.iter().map(|field| (field.name.clone(), field.value.clone())).collect()
    }
}

/// How long an entry is served, in seconds.
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
                Err("no length of time; give a number of seconds that is zero or more, or 15m, 6h, 7d, 2w".into())
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
        for (text, value) in [
            ("3", Typed::Int(3)),
            ("-3", Typed::Int(-3)),
            ("0", Typed::Int(0)),
            ("-0", Typed::Int(0)),
            ("18446744073709551616", Typed::Int(1 << 64)),
            ("1.0", Typed::Json(json!(1.0))),
            ("1e3", Typed::Json(json!(1000.0))),
            ("-0.5", Typed::Json(json!(-0.5))),
            ("true", Typed::Json(json!(true))),
            ("null", Typed::Json(json!(null))),
            ("\"3\"", Typed::Json(json!("3"))),
            ("\"a\\n\"", Typed::Json(json!("a\n"))),
            ("[1, 2.0, \"x\"]", Typed::Json(json!([1, 2.0, "x"]))),
            ("{\"a\": null}", Typed::Json(json!({ "a": null }))),
        ] {
            assert_eq!(typed(text).unwrap(), value, "{text}");
        }
        for text in [
            "", "ridge", "007", "+5", "1_000", "0x1f", "nan", "inf", "1e999", "True", "None", "a b", "ü=1", ".5", "-",
            "[1",
        ] {
            assert_eq!(typed(text).unwrap(), Typed::Json(json!(text)), "{text}");
        }
        assert!(typed("\"half").is_err());
        assert!(typed(&"9".repeat(40)).is_err());
    }

    #[test]
    fn a_parameter_has_a_name() {
        assert_eq!(Parameter::from_str("a=b=c").unwrap().value, Typed::Json(json!("b=c")));
        assert_eq!(Parameter::from_str("a=").unwrap().value, Typed::Json(json!("")));
        assert!(Parameter::from_str("a").is_err());
        assert!(Parameter::from_str("=a").is_err());
    }

    #[test]
    fn a_field_is_found_whatever_the_type_of_its_number() {
        let map = Field::map(&["a=1".parse().unwrap(), "b=2.5".parse().unwrap(), "b=x".parse().unwrap()]);
        assert_eq!(Value::Object(map.clone()), json!({ "a": 1, "b": "x" }));
        assert!(Field::from_str("a=1.0").unwrap().is_in(&map));
        assert!(!Field::from_str("a=\"1\"").unwrap().is_in(&map));
        assert!(!Field::from_str("c=null").unwrap().is_in(&map));
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
