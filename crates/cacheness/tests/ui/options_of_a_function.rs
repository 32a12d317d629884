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

//~ `ttl_seconds` is not an option: write `ttl = "…"` here, with a unit
//~ give "recompute", "warn" or "ignore"
//~ not a duration: give a number and a unit
