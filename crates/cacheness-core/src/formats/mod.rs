//! Payload codecs. Each module knows one format; none knows entries or storage.

pub mod array;
pub mod compress;
pub mod plain;
#[cfg(feature = "arrow")]
pub mod table;
