use cacheness::ndarray::Array1;
use cacheness::prelude::*;

fn main() -> cacheness::Result<()> {
    let cache = Cache::open("cache")?;
    let names = Array1::from_vec(vec!["a".to_owned()]);
    cache.put(&names, params! { step: "names" })?;
    let names = cache.get::<Array1<String>>(params! { step: "names" })?;
    println!("{names:?}");
    cache.put(1, params! { names: Array1::from_vec(vec!["a".to_owned()]) })?;
    Ok(())
}

//~ arrays are those of `cacheness::ndarray`, of numbers or `bool`
//~ `std::string::String` cannot be an item of an array in a cache
//~ items are `bool`, integers of 8 to 64 bits, `f32` and `f64`
