use cacheness::prelude::*;

struct Model {
    depth: u32,
}

#[derive(ToKey)]
struct Run {
    model: Model,
}

#[cached]
fn train(model: &Model) -> u32 {
    model.depth
}

fn main() -> cacheness::Result<()> {
    let cache = Cache::open("cache")?;
    cache.put(1, params! { model: Model { depth: 3 } })?;
    train(&Run { model: Model { depth: 3 } }.model);
    Ok(())
}

//~ `Model` cannot be a parameter of a cache key
//~ a type of your own: `#[derive(cacheness::ToKey)]`
//~ `#[cached(ignore(argument))]`
