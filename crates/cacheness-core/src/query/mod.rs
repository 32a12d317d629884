//! Selecting entries: patterns of values.

pub mod pattern;
