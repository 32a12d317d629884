//! Conformance suites (skeleton).
