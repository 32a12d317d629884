//! Plain data: its first items, lines or bytes.

use cacheness::core::formats::plain::Value;
use cacheness::core::payload::Stored;
use cacheness::core::storable::decode_plain;

use super::{Preview, Shown};
use crate::json;
use crate::output::printable;

/// Bytes on a line.
const BYTES: usize = 16;

pub(super) fn look(stored: Stored, head: usize) -> cacheness::Result<Preview> {
    let value = decode_plain(stored, Value::decode)?;
    let preview = Preview::default().with("type", value.type_name());
    Ok(match &value {
        Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => {
            let lines = items.iter().take(head).map(|item| printable(&text(item))).collect();
            let first = Value::List(items.iter().take(head).cloned().collect());
            preview.with("items", items.len()).head(text(&first), cut(lines, items.len()))
        }
        Value::Map(pairs) => {
            let line = |(name, value): &(Value, Value)| printable(&format!("{}: {}", text(name), text(value)));
            let lines = pairs.iter().take(head).map(line).collect();
            let first = Value::Map(pairs.iter().take(head).cloned().collect());
            preview.with("items", pairs.len()).head(text(&first), cut(lines, pairs.len()))
        }
        Value::Str(whole) => {
            let first: Vec<&str> = whole.lines().take(head).collect();
            let count = whole.lines().count();
            let json = text(&Value::Str(first.join("\n")));
            let lines = cut(first.into_iter().map(printable).collect(), count);
            preview.with("characters", whole.chars().count()).with("lines", count).head(json, lines)
        }
        Value::Bytes(bytes) | Value::ByteArray(bytes) => {
            let first = &bytes[..bytes.len().min(head.saturating_mul(BYTES))];
            let json = format!("\"{}\"", hex(first, ""));
            let lines = first.chunks(BYTES).map(|line| format!("{:47}  {}", hex(line, " "), visible(line))).collect();
            preview.with("bytes", bytes.len()).head(json, cut(lines, bytes.len().div_ceil(BYTES)))
        }
        other => preview.head(text(other), Shown::Lines(vec![printable(&text(other))])),
    })
}

/// JSON, or for values without an equivalent in JSON the text of listings.
fn text(value: &Value) -> String {
    json::compact(value).unwrap_or_else(|_| value.to_display_json().to_string())
}

/// The given lines, and an ellipsis if there are more.
fn cut(mut lines: Vec<String>, count: usize) -> Shown {
    if lines.len() < count {
        lines.push("…".to_owned());
    }
    Shown::Lines(lines)
}

fn hex(bytes: &[u8], between: &str) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(between)
}

fn visible(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| if byte == b' ' || byte.is_ascii_graphic() { char::from(byte) } else { '.' }).collect()
}
