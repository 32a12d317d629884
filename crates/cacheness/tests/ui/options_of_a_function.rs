use cacheness::prelude::*;

#[cached(ttl_seconds = 60)]
fn one() -> u32 {
    1
}

#[cached(on_code_change = "panic")]
fn two() -> u32 {
    2
}

#[cached(ttl = "6 hours")]
fn three() -> u32 {
    3
}

fn main() {
    one();
    two();
    three();
}

//~ `ttl_seconds` is no option: it is called `ttl = "…"` here, with a unit
//~ one of "recompute", "warn" and "ignore"
//~ not a length of time: a number and a unit
