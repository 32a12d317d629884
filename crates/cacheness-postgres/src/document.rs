//! The metadata as filters need it: JSON in which SQL can decide.
//!
//! The text of the metadata stays what it is, because it is signed, and `jsonb` would change it. The document has every
//! value that SQL compares as the evaluator does, and an array in place of every other one:
//!
//! | value | in the document |
//! |---|---|
//! | null, booleans, strings | themselves |
//! | integers | themselves, of any size |
//! | floats | the shortest decimal number that is this float; from 2^53 on all digits, so that integers compare exactly |
//! | mappings with text keys | objects; keys that start with `$` as they are |
//! | lists | arrays of their items |
//! | everything else | an array, of the texts in it, so that full-text search finds them |
//!
//! Two floats are ordered as their shortest decimals are, and no integer lies between a float and its shortest decimal
//! below 2^53. An array is what a filter cannot decide: the evaluator does.

use std::fmt::Write as _;

use cacheness_core::formats::plain::{Value, tagged_json};

/// The document of metadata; `None` if the text is damaged.
pub(crate) fn of(metadata: Option<&str>) -> Option<String> {
    let Some(text) = metadata else { return Some("{}".to_owned()) };
    let value = tagged_json::from_json(text).ok()?;
    let mut document = String::with_capacity(text.len());
    match &value {
        Value::Map(_) => write(&value, &mut document),
        // Not a mapping with text keys: nothing in it can be asked for in SQL.
        _ => return None,
    }
    document.starts_with('{').then_some(document)
}

/// A JSON number that is exactly the integer or, for comparisons, the float; `None` for what is no number of JSON.
pub(crate) fn number(value: f64) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    Some(if value.abs() >= EXACT { format!("{value:.0}") } else { format!("{value}") })
}

fn string(text: &str, out: &mut String) {
    // A `String` is always written.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::None => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => drop(write!(out, "{value}")),
        Value::UInt(value) => drop(write!(out, "{value}")),
        Value::Float(value) => match number(*value) {
            Some(number) => out.push_str(&number),
            None => out.push_str("[null]"),
        },
        Value::Str(text) if text.contains('\0') => {
            out.push('[');
            string(&text.replace('\0', " "), out);
            out.push(']');
        }
        Value::Str(text) => string(text, out),
        Value::Map(pairs) if pairs.iter().all(|(key, _)| matches!(key, Value::Str(_))) => {
            out.push('{');
            let start = out.len();
            for (key, value) in pairs {
                let Value::Str(key) = key else { continue };
                // A filter cannot name such a key in SQL either.
                if key.contains('\0') {
                    continue;
                }
                if out.len() > start {
                    out.push(',');
                }
                string(key, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Path(text) | Value::Decimal(text) => {
            out.push('[');
            string(&text.replace('\0', " "), out);
            out.push(']');
        }
        _ => out.push_str("[null]"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn documents() {
        let document = |text: &str| of(Some(text));
        assert_eq!(of(None).as_deref(), Some("{}"));
        let text = r#"{"a":1,"b":0.5,"$$x":"y","c":[1,"z"],"d":{"$datetime":"2026-01-01T00:00:00"},"e":{"f":null}}"#;
        let expected = r#"{"a":1,"b":0.5,"$x":"y","c":[1,"z"],"d":[null],"e":{"f":null}}"#;
        assert_eq!(document(text).as_deref(), Some(expected));
        assert_eq!(document("{").as_deref(), None);
        assert_eq!(document(r#"{"a":"x\u0000y","b\u0000":1}"#).as_deref(), Some(r#"{"a":["x y"]}"#));
        assert_eq!(document(r#"{"a":1e300}"#).map(|text| text.len()), Some(r#"{"a":}"#.len() + 301));
    }

    proptest! {
        /// The order of decimals is that of the floats, and an integer is on the side of a float on which it belongs.
        #[test]
        fn decimals_keep_the_order(a in any::<f64>(), step in -2_i64..3, n in any::<i64>()) {
            prop_assume!(a.is_finite());
            let near = f64::from_bits(a.to_bits().wrapping_add_signed(step));
            prop_assume!(near.is_finite());
            let decimal = |x: f64| number(x).unwrap();
            prop_assert_eq!(decimal(a).parse::<f64>().unwrap(), a);
            // Rust reads the digits exactly, so equal texts are equal floats; 0.0 and -0.0 are equal numbers.
            prop_assert_eq!(decimal(a) == decimal(near), a.to_bits() == near.to_bits());
            #[allow(clippy::cast_precision_loss)]
            let float = n as f64;
            if float.abs() >= 9_007_199_254_740_992.0 {
                let digits: i128 = decimal(float).parse().unwrap();
                #[allow(clippy::cast_possible_truncation)]
                let exact = float as i128;
                prop_assert_eq!(digits, exact);
            }
        }
    }
}
