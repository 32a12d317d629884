//! Fuzz targets: functions that take bytes from outside and panic if a property is violated.
//!
//! A coverage-guided fuzzer calls them from `fuzz/` (`make fuzz`); an ordinary test calls them with the corpora there and a
//! few thousand mutations of them (`tests/replay.rs`).

mod arrays;
mod config;
mod filters;
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

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name of its corpus and of its binary.
    pub name: &'static str,
    /// Panics if a property is violated.
    pub run: fn(&[u8]),
    /// How many mutated inputs the test tries; fewer for an expensive target.
    pub iterations: u32,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "keys", run: keys::run, iterations: 20_000 },
    Target { name: "plain", run: plain::run, iterations: 20_000 },
    Target { name: "frames", run: frames::run, iterations: 3_000 },
    Target { name: "arrays", run: arrays::run, iterations: 5_000 },
    Target { name: "tables", run: tables::run, iterations: 20_000 },
    Target { name: "rows", run: rows::run, iterations: 1_000 },
    Target { name: "filters", run: filters::run, iterations: 20_000 },
    Target { name: "config", run: config::run, iterations: 1_000 },
];

/// Runs the target of that name.
///
/// # Panics
/// If it does not exist, or a property is violated.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    (target.run)(bytes);
}

/// The maximum size to decode: larger values would make the fuzzer spend its time on memory.
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

/// Hostile bytes are refused with the right kind and a message.
fn refused(error: &cacheness_core::Error, kinds: &[ErrorKind]) {
    assert!(kinds.contains(&error.kind()), "{error:?}");
    assert!(!error.to_string().is_empty());
}
