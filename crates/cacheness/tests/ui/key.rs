use cacheness::prelude::*;

fn main() -> cacheness::Result<()> {
    let cache = Cache::open("cache")?;
    cache.put(1, "the name of an entry")?;
    let number: Option<u32> = cache.get(7)?;
    println!("{number:?}");
    Ok(())
}

//~ `&str` does not identify an entry
//~ by parameters: `params! { model: "ridge", fold: 3 }`
//~ by a name, or by a key that a listing shows: `cacheness::Named(name)`
