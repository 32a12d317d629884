//! Options from a file and from the environment: code comes before the environment, which comes before a file.

use std::ffi::OsString;
use std::path::Path;

use cacheness_core::config::{BackendUrl, ConfigOption, Settings, options};
use cacheness_core::{Error, ErrorKind, Result};
use serde_json::Value;

use super::CacheBuilder;
use crate::place::{OpenMode, Place};

/// Names a file of options.
const FILE: &str = "CACHENESS_CONFIG";
/// The URL of a store, and that of its blobs, for a program that names neither a directory nor a URL.
const STORE: &str = "CACHENESS_STORE";
const BLOBS: &str = "CACHENESS_BLOBS";
/// A path, which may have any bytes.
const DIRECTORY: &str = "CACHENESS_DIR";

impl CacheBuilder {
    /// Options from the environment. Later calls on the builder take precedence.
    ///
    /// Every option has a variable: `CACHENESS_` and its name in capitals, as `CACHENESS_MAX_ENTRIES`. These are shorter:
    ///
    /// | variable | option |
    /// |---|---|
    /// | `CACHENESS_DIR` | [`directory`](Self::directory) |
    /// | `CACHENESS_MAX_SIZE_MB` | [`max_size_mb`](Self::max_size_mb) |
    /// | `CACHENESS_BACKEND` | the metadata backend, with `sqlite` and `json` that of a new directory |
    /// | `CACHENESS_COMPRESSION_CODEC` | codec of plain data: `none`, `lz4`, `zstd`, `gzip` |
    /// | `CACHENESS_COMPRESSION_LEVEL` | its level: 1 to 9, with zstd up to 22 |
    ///
    /// `CACHENESS_CONFIG` names a file as for [`from_file`](Self::from_file), whose options the other variables override.
    /// `CACHENESS_STORE` and `CACHENESS_BLOBS` are those of [`url`](Self::url) and [`blobs`](Self::blobs), unless the
    /// program calls `url`, `directory` or `in_memory`. `docs/configuration.md` lists all options.
    ///
    /// # Errors
    /// `InvalidInput`: the value of a variable is invalid; or those of [`from_file`](Self::from_file).
    pub fn from_env() -> Result<Self> {
        match std::env::var_os(FILE).filter(|path| !path.is_empty()) {
            Some(path) => Self::from_file(path).map_err(|e| e.within(FILE)),
            None => Self::from_settings(Settings::default()),
        }
    }

    /// Options from a file in TOML (`.toml`) or JSON (`.json`), and from the environment, which overrides them. The Python
    /// package reads the same files, and those in YAML.
    ///
    /// ```
    /// use cacheness::{CacheBuilder, prelude::*};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("team.toml");
    /// std::fs::write(&path, "default_ttl_seconds = 3600\n[compression]\narray_format = \"npy\"\n")?;
    /// let cache = CacheBuilder::from_file(&path)?.directory(dir.path().join("cache")).open()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// - `Storage`: the file cannot be read.
    /// - `InvalidInput`: it is malformed, or options in it do not exist or are invalid; the message names all of them.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::io(format_args!("cannot read the configuration {shown}"), e))?;
        let mut settings = Settings::default();
        let invalid = |e: &dyn std::fmt::Display| Error::new(ErrorKind::InvalidInput, format!("{shown}: {e}"));
        match path.extension().and_then(|name| name.to_str()) {
            Some("toml") => {
                let file = toml::Deserializer::parse(&text).map_err(|e| invalid(&e))?;
                settings.read_file(path, &text, file)?;
            }
            Some("json") => settings.read_file(path, &text, &mut serde_json::Deserializer::from_str(&text))?,
            Some("yaml" | "yml") => {
                return Err(Error::new(ErrorKind::Unsupported, format!("{shown} is YAML, which only Python reads"))
                    .with_hint("write the options in TOML or JSON, which both languages read"));
            }
            _ => {
                return Err(Error::new(ErrorKind::InvalidInput, format!("{shown} has no format that is known"))
                    .with_hint("name the file .toml or .json"));
            }
        }
        Self::from_settings(settings)
    }

    /// The options that a file and the environment set, with the origin of each.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn from_settings(mut settings: Settings) -> Result<Self> {
        let directory = std::env::var_os(DIRECTORY).filter(|path| !path.is_empty());
        let mut variables = Vec::new();
        for name in options().iter().map(ConfigOption::variable).filter(|name| name != DIRECTORY) {
            variables.extend(text(&name)?.map(|value| (name, value)));
        }
        variables.extend(directory.as_ref().map(|path| (DIRECTORY.to_owned(), path.to_string_lossy().into_owned())));
        settings.read_variables(variables)?;
        let switch = |name: &str| settings.value(name) == Some(&Value::Bool(true));
        let place = |path: OsString| if path == ":memory:" { Place::Memory } else { Place::Directory(path.into()) };
        let of_file = settings.value("cache_dir").and_then(Value::as_str).map(OsString::from);
        Ok(Self {
            place: directory.or(of_file).map(place),
            access: if switch("read_only") { OpenMode::ReadOnly } else { OpenMode::default() },
            cleanup: switch("cleanup_on_init"),
            config: settings.config()?,
            of_environment: (text(STORE)?.map(BackendUrl::from), text(BLOBS)?.map(BackendUrl::from)),
            settings,
            ..Self::default()
        })
    }
}

/// The value of a variable; `None` if it is not set, or empty.
fn text(name: &str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Error::new(ErrorKind::InvalidInput, format!("the environment variable {name} is no valid UTF-8"))
                .with_hint("set it to a text"))
        }
    }
}
