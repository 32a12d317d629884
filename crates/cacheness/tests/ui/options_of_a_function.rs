use cacheness::prelude::*;

#[cached(ttl_seconds = 60)]
fn one() -> u32 {
    1
}

#[cached(ttl = "6 hours")]
fn three() -> u32 {
    3
}

fn main() {
    one();
    three();
}

//~ `ttl_seconds` is no option: it is called `ttl = "…"` here, with a unit
//~ not a length of time: a number and a unit
