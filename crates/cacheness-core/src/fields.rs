//! The fields of an entry itself, by the names that listings show.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::IgnoredAny;

use crate::entry::EntrySummary;
use crate::formats::plain::Value;
use crate::key;

/// The names of all fields.
pub const FIELDS: &[&str] = &[
    "cache_key",
    "function",
    "call",
    "description",
    "data_type",
    "object_type",
    "handler_used",
    "storage_format",
    "serializer",
    "compression_codec",
    "file_size",
    "size_mb",
    "inline",
    "actual_path",
    "created_at",
    "created",
    "accessed_at",
    "last_accessed",
    "expires_at",
    "expires",
    "access_count",
    "compute_seconds",
    "file_hash",
    "entry_signature",
];

/// The field of an entry with this name, as listings show it; times in UTC. `None` if no field has the name.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn field(EntrySummary { entry, inline }: &EntrySummary, name: &str) -> Option<Value> {
    let text = |text: &str| Value::Str(text.to_owned());
    let count = |count: u64| i64::try_from(count).map_or(Value::UInt(count), Value::Int);
    let optional = |found: Option<String>| found.map_or(Value::None, Value::Str);
    Some(match name {
        "cache_key" => text(&entry.key),
        "function" => optional(entry.caption().function),
        "call" => Value::Str(entry.caption().call),
        "description" => text(entry.description.as_deref().unwrap_or_default()),
        "data_type" => text(&entry.format.data_type),
        "object_type" => text(&entry.format.object_type),
        "handler_used" => text(&entry.format.handler),
        "storage_format" | "serializer" => text(&entry.format.storage_format),
        "compression_codec" => text(&entry.format.compression),
        "file_size" => count(entry.size),
        "size_mb" => Value::Float(entry.size as f64 / f64::from(1 << 20)),
        "inline" => Value::Bool(*inline),
        "actual_path" if *inline => Value::None,
        "actual_path" => optional(entry.location.locator().map(str::to_owned)),
        "created_at" | "created" => Value::Str(entry.created_at.to_iso()),
        "accessed_at" | "last_accessed" => Value::Str(entry.accessed_at.to_iso()),
        "expires_at" | "expires" => optional(entry.expires_at.map(|time| time.to_iso())),
        "access_count" => count(entry.access_count),
        "compute_seconds" => entry.computed.map_or(Value::None, |computed| Value::Float(computed.seconds())),
        "file_hash" => Value::Str(format!("{:016x}", entry.file_hash)),
        "entry_signature" => {
            optional(entry.signature.map(|signature| signature.iter().map(|byte| format!("{byte:02x}")).collect()))
        }
        _ => return None,
    })
}

/// The complete metadata of an entry as a JSON object: the user's metadata, then the parameters of its key that have other
/// names. A part that is not kept, or that is damaged, is left out.
#[must_use]
pub fn full_metadata(metadata: Option<&str>, params: Option<&[u8]>) -> String {
    let named = |text| serde_json::from_str::<HashMap<Cow<'_, str>, IgnoredAny>>(text).ok().map(|names| (text, names));
    let (text, names) = metadata.and_then(named).unwrap_or_default();
    let mut full =
        text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default().trim().to_owned();
    if let Some(serde_json::Value::Object(params)) = params.and_then(|params| key::render(params).ok()) {
        for (name, value) in params.iter().filter(|(name, _)| !names.contains_key(name.as_str())) {
            let separator = if full.is_empty() { "" } else { "," };
            full.push_str(&format!("{separator}{}:{value}", serde_json::Value::from(name.as_str())));
        }
    }
    format!("{{{full}}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::entry::{Computed, Entry, Format, Location};

    #[test]
    fn every_name_has_a_field() {
        let format = Format {
            handler: "plain_objects".into(),
            data_type: "object".into(),
            storage_format: "msgpack".into(),
            compression: "none".into(),
            object_type: "builtins.int".into(),
            handler_meta: Vec::new(),
            raw_size: None,
        };
        let entry = Entry {
            key: "k".into(),
            fingerprint: None,
            created_at: Timestamp(0),
            accessed_at: Timestamp(1),
            expires_at: None,
            access_count: 2,
            format,
            size: 1 << 19,
            file_hash: 0xab,
            digest: None,
            signature: None,
            description: None,
            metadata: None,
            params: None,
            computed: None,
            location: Location::Blob(crate::entry::BlobRef::new("blobs/ab/ab.bin", 1 << 19)),
        };
        let mut summary = EntrySummary { entry, inline: false };
        for name in FIELDS {
            assert!(field(&summary, name).is_some(), "{name}");
        }
        assert_eq!(field(&summary, "other"), None);
        assert_eq!(field(&summary, "description"), Some("".into()));
        assert_eq!((field(&summary, "function"), field(&summary, "call")), (Some(Value::None), Some("k".into())));
        assert_eq!(field(&summary, "file_hash"), Some("00000000000000ab".into()));
        assert_eq!(field(&summary, "size_mb"), Some(0.5.into()));
        assert_eq!(field(&summary, "created"), Some("1970-01-01T00:00:00.000000+00:00".into()));
        assert_eq!(field(&summary, "actual_path"), Some("blobs/ab/ab.bin".into()));
        summary.inline = true;
        assert_eq!(field(&summary, "actual_path"), Some(Value::None));
        assert_eq!(field(&summary, "expires"), Some(Value::None));
        assert_eq!(field(&summary, "compute_seconds"), Some(Value::None));
        summary.entry.computed = Some(Computed { code: None, micros: 1_500_000 });
        assert_eq!(field(&summary, "compute_seconds"), Some(1.5.into()));
    }

    #[test]
    fn full_metadata_has_everything_once() {
        let params = crate::params! { model: "ridge", fold: 3 };
        let config = crate::config::SerializationConfig::default();
        let params = params.key(&config).expect("encoded").encoding;
        let full = |metadata, params| full_metadata(metadata, params);
        assert_eq!(full(None, None), "{}");
        assert_eq!(full(Some("{}"), Some(&params[..])), r#"{"fold":3,"model":"ridge"}"#);
        assert_eq!(
            full(Some(r#" { "f\u006fld" : 1.50, "a":{"fold":2} } "#), Some(&params[..])),
            r#"{"f\u006fld" : 1.50, "a":{"fold":2},"model":"ridge"}"#
        );
        for damaged in ["", "[1]", "{\"a\"", "{\"a\":1} x"] {
            assert_eq!(full(Some(damaged), Some(&params[..])), r#"{"fold":3,"model":"ridge"}"#, "{damaged}");
        }
        assert_eq!(full(Some("{\"a\":1}"), Some(b"\xff")), "{\"a\":1}");
    }
}
