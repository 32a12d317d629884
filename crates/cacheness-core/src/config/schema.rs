//! The JSON Schema of configuration files, made of the list of options.

use serde_json::{Map, Value, json};

use super::options::{ConfigOption, SECTIONS, options};

/// The JSON Schema (2020-12) of configuration files in TOML, YAML and JSON.
///
/// It has what can be said of each option alone, and of a codec and its level in one section. A reader also refuses options
/// that contradict each other: an option that is given twice with different values, options of a backend that is not chosen,
/// payloads on a server beside entries on one machine.
#[must_use]
pub fn schema() -> Value {
    let mut whole = Map::new();
    for option in options() {
        // `backend` beside the sections is that of the metadata, whose options come first.
        for name in [Some(option.name), option.alias].into_iter().flatten() {
            whole.entry(name).or_insert_with(|| option.schema());
        }
    }
    for section in SECTIONS {
        whole.insert((*section).to_owned(), of_section(section));
    }
    let mut schema = object(whole);
    schema["allOf"] = json!([level_of_codec()]);
    let mut named = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of cacheness",
        "description": "Sections with options, and options beside the sections. Omitted options have their defaults.",
    });
    if let (Some(named), Value::Object(schema)) = (named.as_object_mut(), schema) {
        named.extend(schema);
    }
    named
}

fn of_section(section: &str) -> Value {
    let mut properties = Map::new();
    let in_section = |option: &&ConfigOption| {
        option.section == section || (section == "metadata" && option.name == "default_ttl_seconds")
    };
    for option in options().iter().filter(in_section) {
        for name in [Some(option.name), option.alias].into_iter().flatten() {
            properties.insert(name.to_owned(), option.schema());
        }
    }
    let mut schema = object(properties);
    if section == "compression" {
        schema["allOf"] = json!([level_of_codec()]);
    }
    schema
}

fn object(properties: Map<String, Value>) -> Value {
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

/// The levels of LZ4 and gzip end at 9, those of the default, zstd, at 22.
fn level_of_codec() -> Value {
    json!({
        "if": { "properties": { "pickle_compression_codec": { "enum": ["lz4", "gzip"] } }, "required": ["pickle_compression_codec"] },
        "then": { "properties": { "pickle_compression_level": { "maximum": 9 } } },
    })
}
