use cacheness::prelude::*;

struct Model;

#[cached]
fn train() -> Model {
    Model
}

#[cached]
fn lines(text: &'static str) -> Vec<&'static str> {
    text.lines().collect()
}

fn main() {
    train();
    lines("a");
}

//~ `Model` cannot be stored in a cache
//~ `&'static str` cannot be stored in a cache as plain data
//~ a type of your own: `#[derive(cacheness::Plain)]` beside serde's `Serialize` and `Deserialize`
