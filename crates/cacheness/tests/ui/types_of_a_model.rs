use std::collections::BTreeMap;

use cacheness::prelude::*;

struct Layer {
    width: u32,
}

#[derive(MetadataModel)]
struct Experiment {
    layer: Layer,
    scores: BTreeMap<String, f64>,
    twice: Option<Option<f64>>,
    #[metadata(default = "zero")]
    accuracy: f64,
}

fn main() {}

//~ `Layer` is no type of a column
//~ `BTreeMap<std::string::String, f64>` is no type of a column
//~ a type of your own: implement `cacheness::ColumnValue` for it
//~ a field that is not stored: `#[metadata(skip)]`
//~ a column of `f64` is not compared with `&str`
