//! Puts and gets of small entries against the same through bare rusqlite.
fn main() {}
