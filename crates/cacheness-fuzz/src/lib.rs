//! What is fuzzed: functions that take bytes from outside and panic where something does not hold.
//!
//! A coverage-guided fuzzer calls them from `fuzz/` (`make fuzz`), an ordinary test with the corpora that are kept there
//! and with what a few thousand mutations make of them (`tests/replay.rs`).

mod arrays;
mod config;
mod frames;
mod keys;
pub mod mutate;
mod plain;
mod rows;
pub mod seeds;
mod tables;

use cacheness_core::ErrorKind;
use cacheness_core::entry::Format;
use cacheness_core::payload::Stored;

/// Something that takes bytes from outside.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name of its corpus and of its binary.
    pub name: &'static str,
    /// Panics if something does not hold.
    pub run: fn(&[u8]),
    /// How many mutated inputs the test tries: those of an expensive target are fewer.
    pub iterations: u32,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "keys", run: keys::run, iterations: 20_000 },
    Target { name: "plain", run: plain::run, iterations: 20_000 },
    Target { name: "frames", run: frames::run, iterations: 3_000 },
    Target { name: "arrays", run: arrays::run, iterations: 5_000 },
    Target { name: "tables", run: tables::run, iterations: 20_000 },
    Target { name: "rows", run: rows::run, iterations: 1_000 },
    Target { name: "config", run: config::run, iterations: 1_000 },
];

/// Runs the target of that name.
///
/// # Panics
/// If there is none, or something does not hold.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    (target.run)(bytes);
}

/// More than this is not decoded: the fuzzer would be busy with nothing but memory.
const MUCH: usize = 16 << 20;

/// A payload that counts as verified.
fn stored(storage_format: &'static str, handler: &'static str, compression: &'static str, bytes: &[u8]) -> Stored {
    let format = Format {
        handler: handler.into(),
        data_type: "fuzz".into(),
        storage_format: storage_format.into(),
        compression: compression.into(),
        object_type: "fuzz".into(),
        handler_meta: Vec::new(),
        raw_size: None,
    };
    Stored::from_bytes(format, bytes.to_vec())
}

/// Hostile bytes are refused as what they are, and say so in a sentence.
fn refused(error: &cacheness_core::Error, kinds: &[ErrorKind]) {
    assert!(kinds.contains(&error.kind()), "{error:?}");
    assert!(!error.to_string().is_empty());
}
