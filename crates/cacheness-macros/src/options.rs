//! The options in the brackets.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, Ident, LitStr, Token, parenthesized};

/// The options of one function.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) dir: Option<LitStr>,
    pub(crate) cache: Option<Expr>,
    /// Seconds.
    pub(crate) ttl: Option<f64>,
    /// Seconds.
    pub(crate) stale: Option<f64>,
    pub(crate) key_prefix: Option<LitStr>,
    pub(crate) version: Option<LitStr>,
    pub(crate) on_code_change: Option<CodeChange>,
    pub(crate) ignore: Vec<Ident>,
}

/// How to treat a result that other code of the function has computed.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum CodeChange {
    #[default]
    Recompute,
    Warn,
    Ignore,
}

const NAMES: &str = "dir, cache, ttl, stale, key_prefix, version, on_code_change and ignore(…)";

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            let twice = || syn::Error::new(name.span(), format!("`{name}` is given twice"));
            macro_rules! set {
                ($field:ident, $value:expr) => {{
                    input.parse::<Token![=]>()?;
                    if options.$field.replace($value).is_some() {
                        return Err(twice());
                    }
                }};
            }
            match name.to_string().as_str() {
                "dir" => set!(dir, input.parse()?),
                "cache" => set!(cache, input.parse()?),
                "ttl" => set!(ttl, duration(&input.parse()?)?),
                "stale" => set!(stale, duration(&input.parse()?)?),
                "key_prefix" => set!(key_prefix, input.parse()?),
                "version" => set!(version, input.parse()?),
                "on_code_change" => set!(on_code_change, code_change(&input.parse()?)?),
                "ignore" => {
                    let names;
                    parenthesized!(names in input);
                    options.ignore.extend(Punctuated::<Ident, Token![,]>::parse_terminated(&names)?);
                }
                other => {
                    return Err(syn::Error::new(
                        name.span(),
                        format!("`{other}` is not an option{}; the options are {NAMES}", as_in_python(other)),
                    ));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        if let (Some(dir), Some(_)) = (&options.dir, &options.cache) {
            return Err(syn::Error::new(dir.span(), "give `dir` or `cache`, not both"));
        }
        Ok(options)
    }
}

/// The name of an option of Python's decorator here.
fn as_in_python(name: &str) -> &'static str {
    match name {
        "ttl_seconds" => ": write `ttl = \"…\"` here, with a unit",
        "stale_ttl_seconds" => ": write `stale = \"…\"` here, with a unit",
        "cache_instance" => ": write `cache = …` here",
        "cache_dir" | "directory" => ": write `dir = \"…\"` here",
        _ => "",
    }
}

fn code_change(text: &LitStr) -> syn::Result<CodeChange> {
    match &*text.value() {
        "recompute" => Ok(CodeChange::Recompute),
        "warn" => Ok(CodeChange::Warn),
        "ignore" => Ok(CodeChange::Ignore),
        _ => Err(syn::Error::new(text.span(), "give \"recompute\", \"warn\" or \"ignore\"")),
    }
}

/// Seconds from a number and a unit.
fn duration(text: &LitStr) -> syn::Result<f64> {
    let value = text.value();
    let value = value.trim();
    let split = value.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(value.len());
    let (number, unit) = value.split_at(split);
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => f64::NAN,
    };
    match number.trim().parse::<f64>() {
        Ok(number) if std::time::Duration::try_from_secs_f64(number * unit).is_ok() => Ok(number * unit),
        _ => Err(syn::Error::new(
            text.span(),
            "not a duration: give a number and a unit, such as \"90s\", \"15m\", \"6h\", \"7d\" or \"2w\"",
        )),
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;

    use super::*;

    #[test]
    fn lengths_of_time() {
        let seconds = |text: &str| duration(&LitStr::new(text, Span::call_site())).ok();
        assert_eq!(seconds("90s"), Some(90.0));
        assert_eq!(seconds("1.5 h"), Some(5400.0));
        assert_eq!(seconds("250ms"), Some(0.25));
        assert_eq!(seconds("7d"), Some(604_800.0));
        for wrong in ["", "6", "h", "-1h", "6 hours", "infs", "nan", "1e400s", "1e30s"] {
            assert_eq!(seconds(wrong), None, "{wrong:?}");
        }
    }
}
