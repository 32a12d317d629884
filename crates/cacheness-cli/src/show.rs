//! Formats entries for people and programs.

use cacheness::{EntryInfo, Result, Timestamp};
use serde_json::{Map, Value, json};

use crate::output::printable;

/// All fields of an entry.
pub(crate) fn json(entry: &EntryInfo) -> Result<Map<String, Value>> {
    let all = json!({
        "cache_key": entry.key(),
        "function": entry.function(),
        "call": entry.call(),
        "description": entry.description(),
        "data_type": entry.data_type(),
        "object_type": entry.object_type(),
        "handler_used": entry.handler(),
        "storage_format": entry.storage_format(),
        "compression_codec": entry.compression(),
        "file_size": entry.size(),
        "original_size": entry.original_size(),
        "actual_path": entry.locator(),
        "created_at": entry.created_at().to_iso(),
        "accessed_at": entry.accessed_at().to_iso(),
        "access_count": entry.access_count(),
        "compute_seconds": entry.compute_seconds(),
        "expires_at": entry.expires_at().map(Timestamp::to_iso),
        "file_hash": entry.file_hash(),
        "signed": entry.is_signed(),
        "cache_key_params": entry.params()?.unwrap_or(Value::Null),
        "metadata": entry.metadata(),
    });
    let Value::Object(all) = all else { return Ok(Map::new()) };
    Ok(all)
}

/// The storage format with its codec.
pub(crate) fn format(storage_format: &str, codec: &str) -> String {
    if codec == "none" { storage_format.to_owned() } else { format!("{storage_format}+{codec}") }
}

/// `1 entry`, `2 entries`.
pub(crate) fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

/// Bytes in the largest unit that leaves a number of at least one.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// How long ago `then` was; the date if that is more than a day.
pub(crate) fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.0.saturating_sub(then.0) / 1_000_000;
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => then.to_iso().chars().take(10).collect(),
    }
}

/// How long until `then`, or ago.
pub(crate) fn expiry(now: Timestamp, then: Timestamp) -> String {
    let seconds = then.0.saturating_sub(now.0) / 1_000_000;
    match seconds {
        ..0 => "expired".to_owned(),
        0..60 => format!("in {seconds} s"),
        60..3600 => format!("in {} min", (seconds + 30) / 60),
        3600..172_800 => format!("in {} h", (seconds + 1800) / 3600),
        _ => then.to_iso().chars().take(10).collect(),
    }
}

/// A value on one line: strings without quotes, the rest as JSON.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    }
}

/// A call of a function, or parameters; empty if the entry has a name.
pub(crate) fn call(entry: &EntryInfo) -> String {
    // Without parameters, the call is the key.
    if entry.entry().params.is_some() { printable(&entry.call()) } else { String::new() }
}

/// The user's metadata on one line.
pub(crate) fn metadata(entry: &EntryInfo) -> String {
    let all = entry.metadata();
    all.iter().map(|(name, v)| format!("{}={}", printable(name), value(v))).collect::<Vec<_>>().join(" ")
}
