//! What blocks of numbers have, from the cache of a team: what its Python half (`examples/team_cache.py`) or another machine
//! has put is found, and the rest is computed and put for them.
//!
//! Nothing but the environment decides where the cache is; the variables are those of the Python half. By hand:
//! `python examples/team_cache.py team_cache && cargo run -p share_team_cache -- team_cache`.

use std::env::var;

use cacheness::config::{BackendOptions, StoreConfig};
use cacheness::prelude::*;
use cacheness::serde_json::json;
use cacheness::{CacheConfig, serde_json};
use serde::{Deserialize, Serialize};

type Failure = Box<dyn std::error::Error>;

const BLOCK: usize = 2_000_000;

/// What a block of numbers has: in Python, a dictionary.
#[derive(Debug, Serialize, Deserialize)]
struct Block {
    primes: usize,
    largest: usize,
}

impl Plain for Block {}

fn main() -> Result<(), Failure> {
    let directory = std::env::args_os().nth(1).ok_or("usage: share_team_cache DIRECTORY")?;
    let cache = Cache::builder().directory(directory).config(config()?).open()?;
    let mut computed = 0;
    for block in 2..6_usize {
        // Of all callers on all machines that miss the entry, one computes it.
        let found: Block = cache.get_or_insert_with(params! { block: block }, || {
            computed += 1;
            summary(block)
        })?;
        println!("  block {block}: {} primes up to {}", found.primes, found.largest);
    }
    println!("computed {computed} of 4 blocks");
    if let Some(pool) = cache.pool_stats() {
        println!("connections: {} opened, {} in use", pool.opened, pool.in_use);
    }
    cache.close()?;
    Ok(())
}

/// The configuration that the environment names: everything in the directory, or entries and large payloads on servers.
fn config() -> Result<CacheConfig, Failure> {
    let mut store = StoreConfig::default();
    if let Ok(database) = var("TEAM_CACHE_DATABASE") {
        store.metadata_backend = Some("postgresql".into());
        store.metadata_backend_options = options(json!({ "connection_url": database }));
        store.blob_backend = Some(var("TEAM_CACHE_BUCKET")?.as_str().into());
        store.security.signing_key_file = var("TEAM_CACHE_KEY")?;
    }
    Ok(CacheConfig { store, ..CacheConfig::default() })
}

fn options(value: serde_json::Value) -> BackendOptions {
    match value {
        serde_json::Value::Object(map) => map.into(),
        _ => BackendOptions::default(),
    }
}

/// Counts the primes of a block.
fn summary(block: usize) -> Block {
    let (first, last) = (block * BLOCK, (block + 1) * BLOCK);
    let mut is_prime = vec![true; last];
    is_prime[..2].fill(false);
    let mut number = 2;
    while number * number < last {
        if is_prime[number] {
            (number * number..last).step_by(number).for_each(|multiple| is_prime[multiple] = false);
        }
        number += 1;
    }
    let primes = || (first..last).filter(|number| is_prime[*number]);
    Block { primes: primes().count(), largest: primes().next_back().unwrap_or(first) }
}
