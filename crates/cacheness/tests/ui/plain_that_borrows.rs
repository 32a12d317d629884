use cacheness::Plain;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Plain)]
struct Report<'a> {
    model: &'a str,
}

fn main() {}

//~ a value that borrows cannot be read back: own the data (`String`, `Vec<_>`), or put the value as `cacheness::Serde(value)`
