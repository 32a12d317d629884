//! Configurations from files: an unknown option is refused, with the nearest existing one as a hint.

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::CacheConfig;
use super::backend::{masked, masked_text};
use crate::error::{Error, ErrorKind, Result};

/// The minimum similarity of two names for one to be suggested for the other.
const ALIKE: f64 = 0.8;

/// The name in `known` that is most similar to `name`, if any. For short names, one that differs in a letter or has two of
/// them exchanged; else the shortest that contains it, as `default_ttl_seconds` contains `ttl`.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (name, known) = (name.to_lowercase(), known.collect::<Vec<_>>());
    let has_parts = |candidate: &&str| name.split('_').all(|part| candidate.split('_').any(|one| one == part));
    let part_of = known.iter().copied().filter(has_parts).min_by_key(|candidate| candidate.len());
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name, candidate), candidate))
        .filter(|(alike, candidate)| *alike > ALIKE || strsim::damerau_levenshtein(&name, candidate) <= 1)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
        .or(part_of)
}

impl CacheConfig {
    /// Reads a configuration from a file of any format that serde supports; omitted options have their defaults.
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
    /// [`ErrorKind::InvalidInput`]: the file is malformed, or an option does not exist, or has an invalid value or one of a
    /// wrong type.
    pub fn read<'de, D: Deserializer<'de>>(file: D) -> Result<Self>
    where
        D::Error: std::fmt::Display,
    {
        let invalid = |e: &dyn std::fmt::Display| {
            Error::new(ErrorKind::InvalidInput, format!("the configuration is not valid: {e}"))
        };
        let Given(given) = Deserialize::deserialize(file).map_err(|e: D::Error| invalid(&e))?;
        let known = serde_json::to_value(Self::default()).expect("a configuration is valid JSON");
        let (Value::Object(options), Value::Object(known)) = (&given, &known) else {
            return Err(invalid(&"it is not a table of options"));
        };
        refuse_unknown(options, known, "")?;
        let config = Self::deserialize(&given).map_err(|e| wrong_value(options, &[]).unwrap_or_else(|| invalid(&e)))?;
        config.check()?;
        Ok(config)
    }
}

/// The content of a file, as JSON. A number that JSON cannot represent becomes its name, not `null`, which is no limit.
pub(super) struct Given(pub(super) Value);

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(file: D) -> std::result::Result<Self, D::Error> {
        file.deserialize_any(GivenVisitor).map(Self)
    }
}

struct GivenVisitor;

impl<'de> Visitor<'de> for GivenVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("options and their values")
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> std::result::Result<Value, E> {
        Ok(if value.is_finite() { value.into() } else { value.to_string().into() })
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_none<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> std::result::Result<Value, D::Error> {
        value.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Given(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> std::result::Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Given(value))) = pairs.next_entry::<String, Given>()? {
            if map.insert(name.clone(), value).is_some() {
                return Err(serde::de::Error::custom(format_args!("{name} is given twice")));
            }
        }
        Ok(map.into())
    }
}

/// The error for the first option whose value alone makes the configuration unreadable.
#[cold]
fn wrong_value(given: &Map<String, Value>, sections: &[&str]) -> Option<Error> {
    given.iter().find_map(|(name, value)| {
        let path = [sections, &[name.as_str()]].concat();
        let within = |inner, name: &&str| Value::Object(Map::from_iter([((*name).to_owned(), inner)]));
        let alone = |value: Value| path.iter().rev().fold(value, within);
        if let Value::Object(options) = value
            && CacheConfig::deserialize(alone(Value::Object(Map::new()))).is_ok()
        {
            return wrong_value(options, &path);
        }
        let error = CacheConfig::deserialize(alone(value.clone())).err()?.to_string();
        let place = if sections.is_empty() { String::new() } else { format!(" in {}", sections.join(".")) };
        let shown = masked(name, value);
        let what = Error::new(ErrorKind::InvalidInput, format!("{name}{place} is {shown}"));
        Some(match expected(&error, value) {
            Some(hint) => what.with_hint(hint),
            None => {
                let error = masked_text(&error, "***");
                Error::new(ErrorKind::InvalidInput, format!("{name}{place} is {shown}: {error}"))
            }
        })
    })
}

/// A hint for a valid value, from serde's error, which says what it expected and puts names in backticks.
fn expected(error: &str, value: &Value) -> Option<String> {
    let (_, wanted) = error.rsplit_once("expected ")?;
    let names: Vec<&str> = wanted.split('`').skip(1).step_by(2).collect();
    if !names.is_empty() {
        let near = value.as_str().and_then(|value| nearest(value, names.iter().copied()));
        let meant = near.map(|near| format!("did you mean {near:?}? ")).unwrap_or_default();
        return Some(format!("{meant}give one of {}", names.join(", ")));
    }
    Some(match wanted.split(' ').next()? {
        "f64" => "give a number".into(),
        "u64" | "usize" => "give a whole number that is zero or more".into(),
        "u8" => "give a digit".into(),
        "i32" => "give a whole number".into(),
        "a" if wanted == "a boolean" => "give true or false".into(),
        "a" if wanted == "a string" => "give text".into(),
        "a" if wanted == "a sequence" => "give a list".into(),
        "struct" => "give a table of options".into(),
        "string" => "give a name".into(),
        _ => return None,
    })
}

/// Finds unknown options; the defaults have every option. A section without options there takes any.
fn refuse_unknown(given: &Map<String, Value>, known: &Map<String, Value>, section: &str) -> Result<()> {
    for (name, value) in given {
        match (value, known.get(name)) {
            (Value::Object(_), Some(Value::Object(known))) if known.is_empty() => {}
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

    fn toml(text: &str) -> Result<CacheConfig> {
        CacheConfig::read(toml::Deserializer::parse(text).unwrap())
    }

    /// JSON has no such numbers, and would say `null`, which is no limit.
    #[test]
    fn what_is_no_number_is_no_limit_either() {
        for (number, shown) in [("nan", "NaN"), ("inf", "inf"), ("-inf", "-inf")] {
            let error = toml(&format!("[limits]\nmax_cache_size_mb = {number}")).unwrap_err();
            assert_eq!(error.to_string(), format!("max_cache_size_mb in limits is {shown:?}"));
            assert_eq!(error.hint(), Some("give a number"));
            for option in ["default_ttl_seconds", "flight_patience_seconds"] {
                let error = toml(&format!("{option} = {number}")).unwrap_err();
                assert_eq!(error.to_string(), format!("{option} is {shown:?}"));
            }
        }
        let error = json(r#"{"default_ttl_seconds": 1, "default_ttl_seconds": 2}"#).unwrap_err();
        assert!(error.to_string().contains("default_ttl_seconds is given twice"), "{error}");
        let config = toml("default_ttl_seconds = 60\n[limits]\nmax_cache_size_mb = 1e3").unwrap();
        assert_eq!((config.default_ttl_seconds, config.limits.max_cache_size_mb), (Some(60.0), Some(1000.0)));
    }

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
        let error = json(r#"{"ttl": 1}"#).unwrap_err();
        assert_eq!(error.hint(), Some(r#"did you mean "default_ttl_seconds"?"#));
        let error = json(r#"{"limits": {"cache_size": 1}}"#).unwrap_err();
        assert_eq!(error.hint(), Some(r#"did you mean "max_cache_size_mb"?"#));
        let error = json(r#"{"zzz": 1}"#).unwrap_err();
        assert_eq!(error.to_string(), r#"unknown option "zzz""#);
        assert!(error.hint().unwrap().starts_with("the options are storage_mode, default_ttl_seconds"));
    }

    #[test]
    fn a_value_of_a_wrong_type_names_its_option() {
        for (given, what, hint) in [
            (r#"{"limits": {"max_cache_size_mb": "10"}}"#, r#"max_cache_size_mb in limits is "10""#, "give a number"),
            (
                r#"{"limits": {"max_entries": 1, "eviction_policy": "lur"}}"#,
                r#"eviction_policy in limits is "lur""#,
                r#"did you mean "lru"? give one of lru, lfu, fifo, none"#,
            ),
            (
                r#"{"limits": {"eviction_policy": "best"}}"#,
                r#"eviction_policy in limits is "best""#,
                "give one of lru, lfu, fifo, none",
            ),
            (r#"{"limits": {"eviction_policy": 1}}"#, "eviction_policy in limits is 1", "give a name"),
            (
                r#"{"limits": {"max_entries": -1}}"#,
                "max_entries in limits is -1",
                "give a whole number that is zero or more",
            ),
            (r#"{"limits": 3}"#, "limits is 3", "give a table of options"),
            (r#"{"default_ttl_seconds": "an hour"}"#, r#"default_ttl_seconds is "an hour""#, "give a number"),
            (r#"{"flight_patience_seconds": null}"#, "flight_patience_seconds is null", "give a number"),
            (r#"{"store": {"shard_chars": 300}}"#, "shard_chars in store is 300", "give a digit"),
            (
                r#"{"store": {"durability": "ful"}}"#,
                r#"durability in store is "ful""#,
                r#"did you mean "full"? give one of normal, full"#,
            ),
            (
                r#"{"store": {"security": {"allow_pickle": "no"}}}"#,
                r#"allow_pickle in store.security is "no""#,
                "give true or false",
            ),
            (
                r#"{"store": {"security": {"custom_signed_fields": "all"}}}"#,
                r#"custom_signed_fields in store.security is "all""#,
                "give a list",
            ),
            (
                r#"{"store": {"security": {"signing_key_file": 1}}}"#,
                "signing_key_file in store.security is 1",
                "give text",
            ),
            (
                r#"{"store": {"compression": {"pickle_compression_level": 1.5}}}"#,
                "pickle_compression_level in store.compression is 1.5",
                "give a whole number",
            ),
        ] {
            let error = json(given).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.hint()), (what, Some(hint)), "{given}");
        }
    }

    #[test]
    fn a_level_is_one_of_its_codec() {
        let compression = |codec, level| {
            json(&format!(
                r#"{{"store": {{"compression": {{"pickle_compression_codec": "{codec}", "pickle_compression_level": {level}}}}}}}"#
            ))
        };
        for (codec, level) in [("zstd", 22), ("lz4", 9), ("gzip", 1), ("none", 22)] {
            assert!(compression(codec, level).is_ok(), "{codec} {level}");
        }
        for (codec, level) in [("zstd", 23), ("lz4", 10), ("gzip", 22), ("zstd", 0)] {
            let error = compression(codec, level).unwrap_err();
            assert_eq!(error.to_string(), format!("pickle_compression_level is {level}, with {codec}"));
        }
        let zstd = compression("zstd", 15).unwrap().store.compression;
        assert_eq!(zstd.with_pickle_codec(crate::config::Codec::Lz4).pickle_compression_level, 9);
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
            r#"{"store": {"security": {"signing_key_file": ""}}}"#,
        ] {
            assert_eq!(json(wrong).unwrap_err().kind(), ErrorKind::InvalidInput, "{wrong}");
        }
    }
}
