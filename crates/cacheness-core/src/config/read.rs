//! Configurations from files: an option that does not exist is refused with the nearest one that does.

use serde::de::DeserializeOwned;
use serde::{Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{CacheConfig, StoreConfig};
use crate::error::{Error, ErrorKind, Result};

/// How alike two names are at least for one to be suggested for the other.
const ALIKE: f64 = 0.8;

/// Of `known`, the name most like `name`, if one is like it.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(alike, _)| *alike > ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

impl CacheConfig {
    /// Reads a configuration from a file of any format that serde knows; what is left out has its default.
    ///
    /// ```
    /// use cacheness_core::config::CacheConfig;
    ///
    /// let text = "default_ttl_seconds = 60.0\n[limits]\nmax_entry = 1000";
    /// let error = CacheConfig::read(toml::Deserializer::parse(text)?).unwrap_err();
    /// assert_eq!(error.to_string(), "unknown option \"max_entry\" in limits");
    /// assert_eq!(error.hint(), Some("did you mean \"max_entries\"?"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]: the file is malformed, an option does not exist, or has a value of a wrong type or
    /// one that makes no sense.
    pub fn read<'de, D: Deserializer<'de>>(file: D) -> Result<Self>
    where
        D::Error: std::fmt::Display,
    {
        let config: Self = read(file)?;
        config.check()?;
        Ok(config)
    }
}

impl StoreConfig {
    /// Reads a configuration from a file of any format that serde knows; what is left out has its default.
    ///
    /// # Errors
    /// Those of [`CacheConfig::read`].
    pub fn read<'de, D: Deserializer<'de>>(file: D) -> Result<Self>
    where
        D::Error: std::fmt::Display,
    {
        let config: Self = read(file)?;
        config.check()?;
        Ok(config)
    }
}

fn read<'de, C: Serialize + DeserializeOwned + Default, D: Deserializer<'de>>(file: D) -> Result<C>
where
    D::Error: std::fmt::Display,
{
    let invalid =
        |e: &dyn std::fmt::Display| Error::new(ErrorKind::InvalidInput, format!("the configuration is not valid: {e}"));
    let given: Value = serde::Deserialize::deserialize(file).map_err(|e: D::Error| invalid(&e))?;
    let known = serde_json::to_value(C::default()).expect("a configuration is valid JSON");
    let (Value::Object(options), Value::Object(known)) = (&given, &known) else {
        return Err(invalid(&"it is not a table of options"));
    };
    refuse_unknown(options, known, "")?;
    serde_json::from_value(given).map_err(|e| invalid(&e))
}

/// The defaults have every option there is.
fn refuse_unknown(given: &Map<String, Value>, known: &Map<String, Value>, section: &str) -> Result<()> {
    for (name, value) in given {
        match (value, known.get(name)) {
            (Value::Object(given), Some(Value::Object(known))) => {
                let section = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
                refuse_unknown(given, known, &section)?;
            }
            (_, Some(_)) => {}
            (_, None) => {
                let place = if section.is_empty() { String::new() } else { format!(" in {section}") };
                let hint = match nearest(name, known.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => format!("the options are {}", known.keys().cloned().collect::<Vec<_>>().join(", ")),
                };
                let what = format!("unknown option {name:?}{place}");
                return Err(Error::new(ErrorKind::InvalidInput, what).with_hint(hint));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<CacheConfig> {
        CacheConfig::read(&mut serde_json::Deserializer::from_str(text))
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        assert_eq!(json("{}").unwrap(), CacheConfig::default());
        let config = json(r#"{"store": {"compression": {"pickle_compression_level": 3}}}"#).unwrap();
        assert_eq!(config.store.compression.pickle_compression_level, 3);
        assert_eq!(config.limits, CacheConfig::default().limits);
        let whole = serde_json::to_string(&CacheConfig::default()).unwrap();
        assert_eq!(json(&whole).unwrap(), CacheConfig::default());
    }

    #[test]
    fn what_does_not_exist_is_refused_with_what_does() {
        let error = json(r#"{"store": {"compression": {"pickle_compresion_level": 3}}}"#).unwrap_err();
        assert_eq!(error.to_string(), r#"unknown option "pickle_compresion_level" in store.compression"#);
        assert_eq!(error.hint(), Some(r#"did you mean "pickle_compression_level"?"#));
        let error = json(r#"{"zzz": 1}"#).unwrap_err();
        assert_eq!(error.to_string(), r#"unknown option "zzz""#);
        assert!(error.hint().unwrap().starts_with("the options are storage_mode, default_ttl_seconds"));
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for wrong in [
            "[]",
            "1",
            "{",
            r#"{"limits": 3}"#,
            r#"{"limits": {"max_entries": -1}}"#,
            r#"{"limits": {"eviction_policy": "best"}}"#,
            r#"{"default_ttl_seconds": "an hour"}"#,
            r#"{"default_ttl_seconds": -1}"#,
            r#"{"store": {"shard_chars": 5}}"#,
        ] {
            assert_eq!(json(wrong).unwrap_err().kind(), ErrorKind::InvalidInput, "{wrong}");
        }
    }
}
