//! Options from several sources, each with its origin: code before the environment before a file before the defaults.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::backend::{masked, masked_text};
use super::options::{ConfigOption, Kind, SECTIONS, count, options};
use super::read::{Given, nearest};
use super::{BackendOptions, CacheConfig};
use crate::error::{Error, ErrorKind, Result};

/// Where the value of an option comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nothing sets it.
    Default,
    /// A file, and the line if the file has the name of the option once.
    File(PathBuf, Option<usize>),
    /// This environment variable.
    Variable(String),
    /// The program, or its command line.
    Code,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Self::File(path, None) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Code => f.write_str("argument"),
        }
    }
}

/// The options that files and variables set. Sources are added from the weakest to the strongest.
///
/// ```
/// use cacheness_core::config::{Origin, Settings};
///
/// let mut settings = Settings::default();
/// let file = "max_entries = 5\n[compression]\npickle_compression_level = 3";
/// settings.read_file("team.toml".as_ref(), file, toml::Deserializer::parse(file)?)?;
/// settings.read_variables([("CACHENESS_MAX_ENTRIES".into(), "7".into())])?;
/// assert_eq!(settings.config()?.limits.max_entries, Some(7));
/// assert_eq!(settings.origin("max_entries"), Origin::Variable("CACHENESS_MAX_ENTRIES".into()));
/// assert_eq!(settings.origin("pickle_compression_level").to_string(), "team.toml:3");
/// assert_eq!(settings.origin("durability"), Origin::Default);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Settings {
    given: HashMap<&'static str, (Value, Origin)>,
    /// The backend of a new directory, which `CACHENESS_BACKEND` names.
    of_new_directory: Option<String>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.given.iter().map(|(name, (value, _))| (name, masked(name, value)))).finish()
    }
}

impl Settings {
    /// Adds the options of a file: sections, options beside them, or both. `text` is its content, for the lines.
    ///
    /// # Errors
    /// `InvalidInput`: the file is malformed; an option does not exist, has an invalid value, or is given twice. The message
    /// names all of them.
    pub fn read_file<'de, D: Deserializer<'de>>(&mut self, path: &Path, text: &str, file: D) -> Result<()>
    where
        D::Error: fmt::Display,
    {
        let invalid =
            |what: &dyn fmt::Display| Error::new(ErrorKind::InvalidInput, format!("{}: {what}", path.display()));
        let Given(given) = Deserialize::deserialize(file).map_err(|e: D::Error| invalid(&e))?;
        let Value::Object(given) = given else { return Err(invalid(&"it is not a table of options")) };
        let Sorted { found, problems } = sorted(&given);
        match problems.as_slice() {
            [] => {}
            [one] => {
                let error = invalid(one);
                return Err(match one.hint() {
                    Some(hint) => error.with_hint(hint.to_owned()),
                    None => error,
                });
            }
            all => {
                let line = |error: &Error| match error.hint() {
                    Some(hint) => format!("\n  {error} ({hint})"),
                    None => format!("\n  {error}"),
                };
                let lines: String = all.iter().map(line).collect();
                return Err(invalid(&format!("{} options are wrong{lines}", all.len())));
            }
        }
        for (option, value) in found {
            let origin = Origin::File(path.to_owned(), line_of(text, option));
            self.given.insert(option.name, (value, origin));
        }
        Ok(())
    }

    /// Adds the options that environment variables set; other variables, and empty ones, are ignored.
    ///
    /// # Errors
    /// `InvalidInput`: the value of a variable is invalid; the message names it.
    pub fn read_variables(&mut self, variables: impl IntoIterator<Item = (String, String)>) -> Result<()> {
        let variables: HashMap<String, String> =
            variables.into_iter().filter(|(name, value)| name.starts_with("CACHENESS_") && !value.is_empty()).collect();
        if variables.is_empty() {
            return Ok(());
        }
        for option in options() {
            let name = option.variable();
            let Some(text) = variables.get(&name) else { continue };
            let value = option.of_text(text)?;
            if option.name == "backend" && matches!(text.as_str(), "sqlite" | "json") {
                // An existing directory records its own, and is no contradiction.
                self.of_new_directory = Some(text.clone());
                self.given.insert("backend", (Value::Null, Origin::Variable(name)));
            } else {
                self.given.insert(option.name, (value, Origin::Variable(name)));
            }
        }
        Ok(())
    }

    /// The value of an option and where it comes from. Secrets are hidden.
    #[must_use]
    pub fn shown(&self, option: &ConfigOption) -> (Value, Origin) {
        match self.given.get(option.name) {
            Some((Value::Null, origin)) if option.name == "backend" => {
                (self.of_new_directory.clone().map_or(Value::Null, Value::from), origin.clone())
            }
            Some((value, origin)) => (masked(option.name, value), origin.clone()),
            None => (option.default_value(), Origin::Default),
        }
    }

    /// The value of an option that a source sets.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.given.get(name).map(|(value, _)| value)
    }

    /// Where the value of an option comes from.
    #[must_use]
    pub fn origin(&self, name: &str) -> Origin {
        self.given.get(name).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// The options that the engine has.
    ///
    /// # Errors
    /// `InvalidInput`: options contradict each other.
    pub fn config(&self) -> Result<CacheConfig> {
        let mut all = serde_json::to_value(CacheConfig::default()).expect("a configuration is valid JSON");
        for option in options().iter().filter(|option| !option.is_of_backend()) {
            let (Some(path), Some(value)) = (option.path(), self.value(option.name)) else { continue };
            // A store in memory has no files, which are the default and no contradiction.
            let is_default = option.name == "blob_backend" && value == "filesystem";
            let whole = count(value).filter(|_| matches!(option.kind, Kind::Count(..))).map(Value::from);
            let place = path.split('.').try_fold(&mut all, |at, name| at.get_mut(name));
            if let Some(place) = place
                && !is_default
            {
                *place = whole.unwrap_or_else(|| value.clone());
            }
        }
        let invalid = |e: serde_json::Error| Error::new(ErrorKind::InvalidInput, masked_text(&e.to_string(), "***"));
        let mut config = CacheConfig::deserialize(all).map_err(invalid)?;
        let store = &mut config.store;
        store.metadata_backend_options = self.of_backend("metadata", &store.metadata_backend_options)?;
        store.blob_backend_options = self.of_backend("blob", &store.blob_backend_options)?;
        if let Some(name) = &self.of_new_directory {
            store.default_metadata_backend.clone_from(name);
        }
        config.check()?;
        Ok(config)
    }

    /// Options of a backend: those that are given together, and those beside them.
    fn of_backend(&self, section: &str, together: &BackendOptions) -> Result<BackendOptions> {
        let mut all: Map<String, Value> = Map::clone(together);
        for option in options().iter().filter(|option| option.section == section && option.is_of_backend()) {
            let Some(value) = self.value(option.name) else { continue };
            if let Some(other) = all.insert(option.name.to_owned(), value.clone())
                && other != *value
            {
                let what = format!("{} is given twice, also in {section}_backend_options", option.name);
                return Err(Error::new(ErrorKind::InvalidInput, what).with_hint("give it once"));
            }
        }
        Ok(all.into())
    }
}

/// The options of a file, and what is wrong with it.
#[derive(Default)]
struct Sorted {
    found: Vec<(&'static ConfigOption, Value)>,
    problems: Vec<Error>,
}

impl Sorted {
    fn add(&mut self, option: Option<&'static ConfigOption>, name: &str, section: &str, value: &Value) {
        let Some(option) = option else { return self.problems.push(unknown(name, section)) };
        if !option.accepts(value) {
            return self.problems.push(option.refused(&place(name, section), value));
        }
        match (option.kind, value) {
            // Beside it, so that each option has an origin. What is not known here is for a backend of the program's own.
            (Kind::Table, Value::Object(together)) => {
                let is_known = |name: &str| options().iter().find(|one| one.is_of_backend() && one.name == name);
                let mut rest = Map::new();
                for (name, value) in together {
                    match is_known(name).filter(|one| one.section == option.section && one.accepts(value)) {
                        Some(one) => self.insert(one, value.clone()),
                        None => drop(rest.insert(name.clone(), value.clone())),
                    }
                }
                self.insert(option, rest.into());
            }
            _ if option.is_none(value) => self.insert(option, Value::Null),
            _ => self.insert(option, value.clone()),
        }
    }

    fn insert(&mut self, option: &'static ConfigOption, value: Value) {
        match self.found.iter().find(|(one, _)| one.name == option.name) {
            Some((_, other)) if *other != value => {
                let what = format!("{} is given twice, with different values", option.name);
                self.problems.push(Error::new(ErrorKind::InvalidInput, what).with_hint("give it once"));
            }
            Some(_) => {}
            None => self.found.push((option, value)),
        }
    }
}

fn sorted(given: &Map<String, Value>) -> Sorted {
    let mut sorted = Sorted::default();
    for (name, value) in given {
        let Some(section) = SECTIONS.iter().find(|section| *section == name) else {
            sorted.add(options().iter().find(|option| is_called(option, name)), name, "", value);
            continue;
        };
        let Value::Object(inside) = value else {
            sorted.add(None, name, "", &Value::Null);
            continue;
        };
        for (name, value) in inside {
            // The metadata section has the default time to live too, where `null` sets nothing.
            let is_other = *section == "metadata" && name == "default_ttl_seconds";
            if is_other && (value.is_null() || value == "none") {
                continue;
            }
            let in_section =
                |option: &&ConfigOption| is_called(option, name) && (option.section == *section || is_other);
            sorted.add(options().iter().find(in_section), name, section, value);
        }
    }
    sorted
}

fn is_called(option: &ConfigOption, name: &str) -> bool {
    option.name == name || option.alias == Some(name)
}

fn unknown(name: &str, section: &str) -> Error {
    if SECTIONS.contains(&name) {
        return Error::new(ErrorKind::InvalidInput, format!("{name} is a section"))
            .with_hint("give a table of options");
    }
    let elsewhere = options().iter().find(|option| is_called(option, name));
    let known = options().iter().filter(|option| section.is_empty() || option.section == section);
    let hint = match (elsewhere, nearest(name, known.clone().map(|option| option.name))) {
        (Some(option), _) => format!("it is an option of the section {:?}", option.section),
        (None, Some(near)) => format!("did you mean {near:?}?"),
        (None, None) if section.is_empty() => format!("the sections are {}", SECTIONS.join(", ")),
        (None, None) => format!("the options are {}", known.map(|option| option.name).collect::<Vec<_>>().join(", ")),
    };
    Error::new(ErrorKind::InvalidInput, format!("unknown option {}", place(&format!("{name:?}"), section)))
        .with_hint(hint)
}

/// A name, and the section that it is in.
fn place(name: &str, section: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{name} in {section}") }
}

/// The line of a file that has the option's name as a key, counted from 1; `None` if several have, or none.
pub fn line_of(text: &str, option: &ConfigOption) -> Option<usize> {
    let has_key = |line: &str, name: &str| {
        line.match_indices(name).any(|(at, _)| {
            let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
            let (before, after) = (&line[..at], line[at + name.len()..].trim_start_matches(['"', '\'']).trim_start());
            let begins = before
                .chars()
                .next_back()
                .is_none_or(|c| !is_name(c) || (c == '.' && before.ends_with(&format!("{}.", option.section))));
            begins && after.starts_with(['=', ':']) && !before.contains('#')
        })
    };
    let names = [Some(option.name), option.alias];
    let is_it = |line: &str| names.into_iter().flatten().any(|name| has_key(line, name));
    let mut lines = text.lines().enumerate().filter(|(_, line)| is_it(line)).map(|(number, _)| number + 1);
    lines.next().filter(|_| lines.next().is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn json_file(text: &str) -> Result<Settings> {
        let mut settings = Settings::default();
        settings.read_file(Path::new("c.json"), text, &mut serde_json::Deserializer::from_str(text))?;
        Ok(settings)
    }

    #[test]
    fn sections_and_options_beside_them_say_the_same() {
        let flat = json_file(r#"{"max_entries": 5, "backend": "json", "enable_signing": false, "shard_chars": 1.0}"#);
        let nested = json_file(
            r#"{"storage": {"max_entries": 5}, "metadata": {"metadata_backend": "json"}, "blob": {"shard_chars": 1},
                "security": {"enable_entry_signing": false}}"#,
        );
        let (flat, nested) = (flat.unwrap().config().unwrap(), nested.unwrap().config().unwrap());
        assert_eq!(flat, nested);
        assert_eq!((flat.limits.max_entries, flat.store.metadata_backend.as_deref()), (Some(5), Some("json")));
        let blob = json_file(r#"{"blob": {"backend": "s3", "bucket": "b", "backend_options": {"region": "x"}}}"#);
        let store = blob.unwrap().config().unwrap().store;
        assert_eq!(store.blob_backend.unwrap().as_str(), "s3");
        assert_eq!(serde_json::to_value(&store.blob_backend_options).unwrap(), json!({"bucket": "b", "region": "x"}));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let error = json_file(
            r#"{"max_entrys": 1, "storage": {"max_entries": 0, "backend": "json"}, "eviction_policy": "lur", "security": 1,
                "secret_key": 5}"#,
        )
        .unwrap_err()
        .to_string();
        for part in [
            "c.json: 6 options are wrong",
            "unknown option \"max_entrys\" (did you mean \"max_entries\"?)",
            "max_entries in storage is 0 (give a whole number that is greater than zero, or none)",
            "unknown option \"backend\" in storage (it is an option of the section \"metadata\")",
            "eviction_policy is \"lur\" (did you mean \"lru\"? give one of lru, lfu, fifo, none)",
            "security is a section (give a table of options)",
            "secret_key is \"***\"",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let error = json_file(r#"{"max_entries": 1, "storage": {"max_entries": 2}}"#).unwrap_err();
        assert_eq!(error.to_string(), "c.json: max_entries is given twice, with different values");
        assert_eq!(error.hint(), Some("give it once"));
        let error = json_file(r#"{"pool_size": 1, "backend_options": {"pool_size": 2}}"#).unwrap_err();
        assert_eq!(error.to_string(), "c.json: pool_size is given twice, with different values");
        let mut settings = json_file(r#"{"backend_options": {"pool_size": 2, "own": 1}}"#).unwrap();
        settings.read_variables([("CACHENESS_POOL_SIZE".to_owned(), "3".to_owned())]).unwrap();
        let options = serde_json::to_value(&settings.config().unwrap().store.metadata_backend_options).unwrap();
        assert_eq!(options, json!({"own": 1, "pool_size": 3}));
        for text in ["[]", "{", "1"] {
            assert_eq!(json_file(text).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn the_environment_comes_before_a_file_and_each_option_knows_its_origin() {
        let text =
            "{\n  \"max_entries\": 5,\n  \"security\": {\"allow_pickle\": false},\n  \"cache_dir\": \"max_entries\"\n}";
        let mut settings = json_file(text).unwrap();
        settings
            .read_variables(
                [("CACHENESS_MAX_ENTRIES", "7"), ("CACHENESS_DIR", ""), ("CACHENESS_TEST", "1"), ("HOME", "/")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned())),
            )
            .unwrap();
        assert_eq!(settings.value("max_entries"), Some(&json!(7)));
        assert_eq!(settings.origin("max_entries"), Origin::Variable("CACHENESS_MAX_ENTRIES".into()));
        assert_eq!(settings.origin("allow_pickle"), Origin::File("c.json".into(), Some(3)));
        assert_eq!(settings.origin("cache_dir").to_string(), "c.json:4");
        assert_eq!(settings.origin("sample").to_string(), "default");
        let config = settings.config().unwrap();
        assert!(!config.store.security.allow_pickle);
        assert_eq!(config.limits.max_entries, Some(7));
    }

    #[test]
    fn a_backend_of_the_environment_is_that_of_a_new_directory() {
        let of = |name: &str| {
            let mut settings = Settings::default();
            settings.read_variables([("CACHENESS_BACKEND".to_owned(), name.to_owned())]).unwrap();
            settings.config().unwrap().store
        };
        assert_eq!((of("json").metadata_backend, of("json").default_metadata_backend.as_str()), (None, "json"));
        let other = of("postgresql");
        assert_eq!(
            (other.metadata_backend.as_deref(), other.default_metadata_backend.as_str()),
            (Some("postgresql"), "sqlite")
        );
    }

    #[test]
    fn a_line_is_told_if_there_is_one() {
        let of = |text: &str, name: &str| line_of(text, options().iter().find(|one| one.name == name).unwrap());
        assert_eq!(of("a = 1\nmax_entries = 5", "max_entries"), Some(2));
        assert_eq!(of("storage.max_entries = 5", "max_entries"), Some(1));
        assert_eq!(of("max_entries: 5\n# max_entries: 6", "max_entries"), Some(1));
        assert_eq!(of("x_max_entries = 5\nmax_entries_x = 5\n\"max_entries\" : 1", "max_entries"), Some(3));
        assert_eq!(of("max_entries = 1\nmax_entries = 2", "max_entries"), None);
        assert_eq!(of("metadata_backend = \"json\"", "backend"), Some(1));
    }
}
