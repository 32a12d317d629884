//! The attribute `#[cached]` and the derives of `Plain`, `ToKey` and `MetadataModel` of the crate `cacheness`, which re-exports
//! them. It depends on no other crate of the workspace.

mod code;
mod derive;
mod expand;
mod model;
mod options;

use proc_macro::TokenStream;
use syn::{DeriveInput, ItemFn, parse_macro_input};

/// Caches a function's results under its name and its arguments.
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
/// | `cache = …` | an expression that returns a `cacheness::Cache` or a reference to one |
/// | `ttl = "…"` | how long a result is served: a number and `s`, `m`, `h`, `d` or `w`. Default: the cache's |
/// | `stale = "…"` | how long after its expiry a result is still served, while one caller recomputes it |
/// | `key_prefix = "…"` | replaces the function's path, its type and its generic arguments in the key |
/// | `version = "…"` | part of the key: change it when the function's results change |
/// | `on_code_change = "…"` | how to treat a result of other code of the function: `"recompute"` (the default) recomputes it, `"warn"` serves it with a warning in the log, `"ignore"` serves it |
/// | `ignore(a, b)` | arguments that are not part of the key |
///
/// Arguments are part of the key by their names and values (`ToKey`); so is `self`, which must be `ToKey` too. Results are
/// `Storable`. Of a `Result`, only `Ok` is stored, and errors pass through. Of several callers, one computes, also across
/// processes. If the cache fails, the function runs without it, with a warning in the log.
///
/// A hash of the function's code is compiled in and stored beside each result: of its arguments, its result type and its
/// body, without comments, documentation, attributes and layout. The macro sees nothing else: if the results change because
/// of a constant or a called function, change `version`.
///
/// Python's `@cached` derives the same key if `key_prefix` and the names and values of the arguments are the same.
#[proc_macro_attribute]
pub fn cached(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(arguments as options::Options);
    let function = parse_macro_input!(item as ItemFn);
    expand::cached(&options, &function).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Makes a serde type storable in a cache, as MessagePack: Python reads a struct as a `dict`.
///
/// ```text
/// #[derive(Serialize, Deserialize, Plain)]
/// struct Report {
///     accuracy: f64,
///     #[serde(default)]
///     epochs: u32,
/// }
/// ```
///
/// serde's own attributes define the form; this derive is `impl cacheness::Plain for Report {}`, with the bounds that type
/// parameters need. A crate that does not depend on serde derives `cacheness::serde::Serialize` and
/// `cacheness::serde::Deserialize` with `#[serde(crate = "cacheness::serde")]`.
#[proc_macro_derive(Plain)]
pub fn plain(item: TokenStream) -> TokenStream {
    let input = parse_macro_input!(item as DeriveInput);
    derive::plain(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Makes a struct or enum usable as a parameter of a key.
///
/// ```text
/// #[derive(ToKey)]
/// #[key(rename = "my_package.models.Ridge")]
/// struct Ridge {
///     alpha: f64,
///     #[key(rename = "max_iter")]
///     steps: u32,
///     #[key(skip)]
///     verbose: bool,
/// }
/// ```
///
/// | type | key | in Python |
/// |---|---|---|
/// | struct with named fields, or without fields | its name and its fields by name, in any order | a dataclass, a pydantic model or a named tuple with this qualified name and these fields |
/// | struct of one field without a name | its name and the field | a subclass of the field's type: `class Metres(float)` |
/// | struct of several fields without names | its name and the fields in order | – |
/// | variant of an enum, without fields | the enum's name and its own | a member of an `Enum` |
/// | variant with fields | like a struct named `Enum.Variant` | a dataclass inside a class |
///
/// The name of a type is its path, `my_crate::models::Ridge`: moving a type changes its keys. `rename` sets a fixed name, for
/// example that of the Python class, `module.Class`; then both languages derive the same key.
///
/// | attribute | on | meaning |
/// |---|---|---|
/// | `#[key(rename = "…")]` | types, variants, fields | the name in the key |
/// | `#[key(skip)]` | fields | the field is not part of the key |
/// | `#[key(transparent)]` | structs | the key of its only field, without a name |
///
/// The name of a type argument is not part of the key; the values of its fields are.
#[proc_macro_derive(ToKey, attributes(key))]
pub fn to_key(item: TokenStream) -> TokenStream {
    let input = parse_macro_input!(item as DeriveInput);
    derive::to_key(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Makes a struct a model of typed metadata: its values are rows of a table, stored with an entry and removed with it.
///
/// ```text
/// #[derive(MetadataModel)]
/// #[metadata(table = "custom_experiments")]
/// struct Experiment {
///     #[metadata(unique)]
///     name: String,
///     #[metadata(index)]
///     accuracy: f64,
///     #[metadata(default = 1)]
///     epochs: u32,
///     note: Option<String>,
/// }
///
/// cache.put_with(&model, params! { fold: 3 }, &[&experiment])?;
/// let good = cache.query::<Experiment>().filter(Experiment::accuracy().ge(0.9)).all()?;
/// ```
///
/// Each field is a column, of a type that `cacheness::ColumnValue` lists; an `Option` may be `NULL`. The derive writes an
/// associated function of each field's name, which is the column in conditions and orders, `cache_key()`, the key of the
/// entry, and `id()` if no field is a primary key. A method of one of these names must be called otherwise.
///
/// | attribute | on | meaning |
/// |---|---|---|
/// | `#[metadata(table = "…")]` | the struct | the table; without it `custom_` and the struct's name in snake case |
/// | `#[metadata(index(a, b))]`, `#[metadata(unique(a, b))]` | the struct | an index of several fields |
/// | `#[metadata(index)]` | fields | an index, which makes conditions and orders fast |
/// | `#[metadata(unique)]` | fields | no two rows have the same value |
/// | `#[metadata(primary_key)]` | fields | the primary key, or a part of it; without one the table has the column `id` |
/// | `#[metadata(default)]`, `#[metadata(default = …)]` | fields | the value of rows that other programs insert without one, and of those that exist when the column is added |
/// | `#[metadata(rename = "…")]` | fields | the name of the column |
/// | `#[metadata(skip)]` | fields | no column; `Default::default()` when a row is read |
///
/// The table has the form that SQLAlchemy gives it in Python, where a model with the same table and columns reads it.
#[proc_macro_derive(MetadataModel, attributes(metadata))]
pub fn metadata_model(item: TokenStream) -> TokenStream {
    let input = parse_macro_input!(item as DeriveInput);
    model::model(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}
