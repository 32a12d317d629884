//! MessagePack of plain values, and their JSON as user metadata.

use std::collections::BTreeMap;

use cacheness_core::ErrorKind;
use cacheness_core::formats::plain::tagged_json::{from_json, to_json};
use cacheness_core::formats::plain::{Value, from_slice};
use serde::Deserialize;

/// A type that uses most of serde's data model.
#[derive(Debug, Deserialize)]
#[allow(dead_code)] // only read into
struct Typed {
    name: Option<String>,
    numbers: Vec<f64>,
    pair: (i8, u64),
    #[serde(default)]
    nested: BTreeMap<String, Choice>,
    bytes: Vec<u8>,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code)]
enum Choice {
    Unit,
    One(i128),
    Two(bool, char),
    Named { inner: Box<Option<Typed>> },
}

pub(crate) fn run(bytes: &[u8]) {
    let value = match Value::decode(bytes) {
        Ok(value) => value,
        Err(error) => return super::refused(&error, &[ErrorKind::Serialization, ErrorKind::Unsupported]),
    };
    let mut again = Vec::new();
    value.encode(&mut again).expect("what was decoded can be encoded");
    let mut twice = Vec::new();
    match Value::decode(&again) {
        Ok(value) => value.encode(&mut twice).expect("and again"),
        // Members are compared by their encodings: two that differ only there have equal shortest forms.
        Err(error) => return assert!(again != bytes && error.to_string().contains("duplicate"), "{error:?}"),
    }
    // Compared as bytes, because a NaN equals nothing.
    assert_eq!(again, twice, "decoding and encoding changes nothing");

    for outcome in [
        from_slice::<Typed>(bytes).err(),
        from_slice::<serde_json::Value>(bytes).err(),
        from_slice::<Vec<Option<(u8, String)>>>(bytes).err(),
        from_slice::<BTreeMap<String, i64>>(bytes).err(),
    ]
    .into_iter()
    .flatten()
    {
        super::refused(&outcome, &[ErrorKind::Serialization, ErrorKind::Unsupported]);
    }
    if let Ok(json) = to_json(&value) {
        let back = from_json(&json).expect("its own JSON");
        assert_eq!(to_json(&back).expect("its own value"), json);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = from_json(text);
    }
}
