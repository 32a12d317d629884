use cacheness::prelude::*;

fn main() -> cacheness::Result<()> {
    let cache = Cache::open("cache")?;
    let text = cache.get::<&str>(params! { text: 1 })?;
    println!("{text:?}");
    Ok(())
}

//~ `&str` cannot be read from a cache
//~ text is read as `String`, a slice as `Vec<_>`
