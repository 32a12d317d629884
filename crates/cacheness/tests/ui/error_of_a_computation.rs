use cacheness::prelude::*;

#[derive(Debug)]
struct Mine;

fn main() {
    let cache = Cache::open("cache").unwrap();
    let number = cache.get_or_try_insert_with(params! { number: 1 }, || "one".parse::<f64>());
    println!("{number:?}");
    let number = cache.get_or_try_insert_with(params! { number: 1 }, || Err::<u32, _>(Mine));
    println!("{number:?}");
}

//~ `ParseFloatError` cannot hold an error of the cache
//~ `Mine` cannot hold an error of the cache
//~ an error type of your own: implement `From<cacheness::Error>` for it
//~ any other: `.map_err(cacheness::Error::computation)` on what the computation returns
