//! Keys through the public API: golden vectors, the types of Rust, Arrow columns, paths, hostile encodings.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

#[cfg(feature = "arrow")]
mod columns;
mod hostile;
mod paths;
mod values;
mod vectors;

use cacheness_core::config::SerializationConfig;
use cacheness_core::key::{EncodedKey, KeyEncoder, Params, ToKey};

fn config() -> SerializationConfig {
    SerializationConfig::default()
}

/// The encoding of one value, without version byte and names.
fn encoding(value: &dyn ToKey) -> Vec<u8> {
    let mut encoder = KeyEncoder::new(&config());
    value.encode(&mut encoder).expect("the value has an encoding");
    encoder.finish().split_off(1)
}

fn key(params: Params<'_>) -> EncodedKey {
    params.key(&config()).expect("the parameters have a key")
}
