//! The typed API against real directories.

#![allow(clippy::unwrap_used, missing_docs)]

mod blob_store;
mod bombs;
mod cache;
mod cached;
mod compute;
mod damage;
mod directory;
mod json;
#[cfg(feature = "failpoints")]
mod kill;
mod matching;
mod memory;
mod model;
mod outside;
mod processes;
mod python;
mod security;
mod tampering;

use std::path::Path;

use cacheness::prelude::*;
use cacheness::{CacheConfig, Clock, Timestamp};

/// A cache in `dir` whose clock stands until it is moved.
fn cache_at(dir: &Path, config: CacheConfig) -> (Cache, Clock) {
    let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
    let cache = Cache::builder().directory(dir).config(config).clock(clock.clone()).open().unwrap();
    (cache, clock)
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
    let mut x = seed;
    let next = |x: &mut u64| {
        *x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*x >> 56) as u8
    };
    (0..200_000).map(|_| next(&mut x)).collect()
}
