//! Payload codecs. Each module knows one format; none knows entries or storage.

pub mod array;
