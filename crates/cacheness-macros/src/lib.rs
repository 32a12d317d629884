//! The attribute `#[cached]` of the crate `cacheness`, which re-exports it. It depends on nothing of ours.

mod expand;
mod options;

use proc_macro::TokenStream;
use syn::{ItemFn, parse_macro_input};

/// Keeps a function's results under its name and its arguments.
///
/// ```text
/// #[cached(dir = "results", ttl = "6h")]
/// fn simulate(steps: u64, rate: f64) -> Vec<f64> { … }
///
/// #[cached(cache = my_cache(), key_prefix = "weather", ignore(client))]
/// async fn fetch(client: &Client, city: &str) -> Result<Report, FetchError> { … }
/// ```
///
/// | option | meaning |
/// |---|---|
/// | `dir = "…"` | the directory of the cache; all functions with the same one share it. Without it and `cache`, the default cache (`cacheness::set_default_cache`, else `CACHENESS_DIR`, else `./cache`) |
/// | `cache = …` | an expression that gives a `cacheness::Cache` or a reference to one |
/// | `ttl = "…"` | how long a result is served: a number and `s`, `m`, `h`, `d` or `w`; the cache's default without it |
/// | `stale = "…"` | for so long after that it is served while one caller computes it anew |
/// | `key_prefix = "…"` | stands in the key in place of the function's path, its type, and what its generic parameters stand for |
/// | `version = "…"` | is part of the key: change it when the function changes its results |
/// | `ignore(a, b)` | arguments that are not part of the key |
///
/// Arguments are part of the key by their names and values (`ToKey`); `self` is, where its type is. Results are
/// `Storable`. Of a `Result` only `Ok` is kept, and errors pass through. One of all callers computes, also across
/// processes. Where the cache fails the function is called as if there were none, with a warning in the log.
///
/// Python's `@cached` makes the same key if `key_prefix` and the names and values of the arguments are the same.
#[proc_macro_attribute]
pub fn cached(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(arguments as options::Options);
    let function = parse_macro_input!(item as ItemFn);
    expand::cached(&options, &function).unwrap_or_else(|error| error.to_compile_error()).into()
}
