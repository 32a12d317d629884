//! Which entries are meant: patterns of values.

pub mod pattern;
