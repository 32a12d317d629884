//! Conformance suites that every backend of cacheness passes, and what they are made of.
//!
//! A backend's own tests call a suite with a factory; a failed check panics with its name. See [`conformance`].

pub mod conformance;
pub mod sample;
