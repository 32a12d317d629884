//! The typed API against real directories.

#![allow(clippy::unwrap_used, missing_docs)]

mod blob_store;
mod bombs;
mod cache;
mod cached;
mod code;
mod compute;
#[cfg(feature = "failpoints")]
mod custom_rows;
mod damage;
mod derive;
mod directory;
mod disks;
mod faults;
mod find;
mod full_disk;
mod hazards;
mod heads;
mod json;
#[cfg(feature = "failpoints")]
mod kill;
mod many;
mod matching;
mod memory;
mod model;
mod model_tables;
mod models;
mod mounts;
#[cfg(all(feature = "postgres", feature = "s3"))]
mod network;
mod newcomer;
mod outside;
mod pages;
mod power;
mod processes;
mod python;
mod registry;
mod resources;
mod retryable;
mod rotation;
#[cfg(feature = "s3")]
mod s3;
#[cfg(all(feature = "failpoints", feature = "s3"))]
mod s3_kill;
mod scale;
mod security;
mod sharing;
mod sql;
mod stress;
mod tampering;
mod urls;
mod values;

use std::path::Path;

use cacheness::prelude::*;
use cacheness::{CacheConfig, Clock, Timestamp};

/// A cache in `dir` whose clock stands until it is moved.
fn cache_at(dir: &Path, config: CacheConfig) -> (Cache, Clock) {
    let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
    let cache = Cache::builder().directory(dir).config(config).clock(clock.clone()).open().unwrap();
    (cache, clock)
}

/// A directory in memory where there is such a file system: for tests that make thousands, and whose syncs need not reach
/// a disk.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// How many times as much the environment asks for: long runs are for `make soak`.
fn times() -> Option<u64> {
    let times = std::env::var("CACHENESS_SOAK").ok()?;
    Some(times.parse().expect("CACHENESS_SOAK is a number of times"))
}

fn is_soak() -> bool {
    times().is_some()
}

/// `few`, or as many times more.
fn soak(few: u64) -> u64 {
    few * times().unwrap_or(1)
}

/// All files below `dir`, relative, without the database's own.
fn files(dir: &Path) -> Vec<String> {
    fn walk(dir: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(dir, dir, &mut found);
    found.retain(|name| !name.starts_with("cache_metadata.db"));
    found.sort();
    found
}

/// The blobs in `dir`.
fn blobs(dir: &Path) -> Vec<String> {
    files(dir).into_iter().filter(|name| name.starts_with("blobs/")).collect()
}

/// 200,000 bytes that no codec makes smaller: they become a blob.
fn noise(seed: u64) -> Vec<u8> {
    noise_of(seed, 200_000)
}

/// The bytes of `number`, and noise that goes with it, so that the number can be read again.
fn numbered(number: u64, size: usize) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend(noise_of(number, size));
    bytes
}

/// The number of [`numbered`] bytes.
fn number_of(bytes: &[u8]) -> u64 {
    let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes, numbered(number, bytes.len() - 8), "torn");
    number
}

/// Bytes that no codec makes smaller.
fn noise_of(seed: u64, size: usize) -> Vec<u8> {
    let mut x = seed;
    let next = |x: &mut u64| {
        *x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*x >> 56) as u8
    };
    (0..size).map(|_| next(&mut x)).collect()
}
