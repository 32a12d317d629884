//! The `cacheness` command.
fn main() {}
