//! The engine of cacheness: keys, entries, formats, the store and the cache.
//!
//! This crate knows no SQL, no HTTP, no terminal, no home directory and no environment variable. Metadata backends that
//! need a database live in `cacheness-sqlite`; most programs depend on the `cacheness` facade instead of this crate.
//!
//! | module | is for | must not know |
//! |---|---|---|
//! | [`key`] | the canonical encoding of parameters, cache keys, fingerprints | entries, storage |
//! | [`entry`] | one row of metadata and its parts | how it is stored |
//! | [`formats`] | payload codecs: plain data, arrays, tables, compression | entries, storage |
//! | [`storable`] | which Rust type is stored in which format | storage |
//! | [`mod@column`] | which Rust type is stored in which column of a user-defined table | storage |
//! | [`payload`] | payloads on their way in and out, their verification | formats |
//! | [`process`] | what a forked child must not share with its parent | everything else |
//! | [`interrupt`] | a request to stop while a backend waits | everything else |
//! | [`thread`] | threads that a forked child can start | everything else |
//! | [`backend`] | the contracts of metadata backends, blob backends and locks | how any of them is kept |
//! | [`backends`] | backends that need nothing: memory, filesystem, JSON file | each other |
//! | [`fields`] | the fields of an entry by name | backends |
//! | [`query`] | which entries are meant | backends |
//! | [`sign`] | signatures of entries, the key file | backends |
//! | [`store`] | the commit protocol: puts the above together | TTL, eviction |
//! | [`flight`] | of all callers that miss an entry, one computes it | entries, formats |
//! | [`tags`] | the strings in the metadata's field `tags` | backends |
//! | [`cache`] | TTL, eviction, hits and misses on top of the store | formats, backends |

#[cfg(not(target_os = "linux"))]
compile_error!(
    "cacheness builds on Linux only: it relies on system calls that other systems lack. CONTRIBUTING.md, \"Other \
     systems\", lists them"
);

pub mod backend;
pub mod backends;
pub mod cache;
pub mod clock;
pub mod column;
pub mod config;
pub mod entry;
pub mod error;
pub mod failpoint;
pub mod fields;
pub mod flight;
pub mod formats;
pub mod interrupt;
pub mod key;
pub mod parallel;
pub mod payload;
pub mod process;
pub mod query;
pub mod sign;
pub mod storable;
pub mod store;
mod sync;
pub mod tags;
pub mod thread;
mod tree;

pub use error::{Error, ErrorKind, Result};
