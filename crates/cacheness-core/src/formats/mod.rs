//! Payload codecs. Each module knows one format; none knows entries or storage.

#[cfg(feature = "arrow")]
pub mod table;
