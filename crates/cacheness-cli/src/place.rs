//! Which store and which entries a command names: the words after the verb.
//!
//! The directory is the first word, or `--dir`; `--store` is a URL in place of it, or beside it. The number of words decides whether the first word is the directory; if
//! several keys may follow, it is one if it contains a store. An ambiguous word is an error, never a guess.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use cacheness::config::Origin;
use cacheness::core::backend::{Page, Query};
use cacheness::core::store::Store;
use cacheness::{CacheBuilder, CacheConfig, Clock, Error, ErrorKind, OpenMode, Place, StoreConfig};

use crate::args::StoreOptions;
use crate::failure::Failure;

/// The environment variables that name the directory, and the store.
const DIRECTORY: &str = "CACHENESS_DIR";
const STORE: &str = "CACHENESS_STORE";
/// The default directory of a cache; the same in both languages.
const DEFAULT: &str = "./cache";
/// The file that every store's directory contains.
const MANIFEST: &str = "cacheness.toml";
/// How many keys the error for an ambiguous prefix lists.
const NAMED: usize = 5;

/// What names the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `--dir` or `--store`.
    Option,
    /// The first word after the verb.
    Word,
    /// This environment variable, or this line of a file.
    Setting(String),
    /// The default, `./cache`.
    Default,
}

impl Source {
    pub(crate) fn words(&self) -> &str {
        match self {
            Self::Option | Self::Word => "command line",
            Self::Setting(name) => name,
            Self::Default => "default",
        }
    }
}

/// The store, and what names it: mostly a directory.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    place: Place,
    config: CacheConfig,
    builder: CacheBuilder,
    pub(crate) source: Source,
}

impl Directory {
    /// The store on the command line, else that of the environment, else the default.
    pub(crate) fn choose(option: &StoreOptions, word: Option<&Path>) -> Result<Self, Failure> {
        if let (true, Some(word)) = (option.is_given(), word) {
            let given = if option.dir.is_some() {
                "directory is given twice: with --dir"
            } else {
                "store is given twice: with --store"
            };
            return Err(Failure::Usage(format!("the {given} and as {word:?}"), "remove one of them".into()));
        }
        let mut builder = CacheBuilder::from_env()?;
        let origin = builder.settings().origin("cache_dir");
        let is_set = std::env::var_os(STORE).is_some_and(|url| !url.is_empty());
        let source = match (option.is_given(), word) {
            (true, _) => Source::Option,
            (false, Some(_)) => Source::Word,
            (false, None) if is_set => Source::Setting(STORE.into()),
            (false, None) if origin == Origin::Default => Source::Default,
            (false, None) => Source::Setting(origin.to_string()),
        };
        if let Some(path) = option.dir.as_deref().or(word) {
            builder = builder.directory(path);
        }
        if let Some(url) = &option.url {
            builder = builder.url(url);
        }
        if let Some(url) = &option.blobs {
            builder = builder.blobs(url);
        }
        let (place, config) = builder.resolve().map_err(|error| match source {
            Source::Option => Failure::CommandLine(error),
            _ => Failure::Engine(error),
        })?;
        Ok(Self { place, config, builder, source })
    }

    /// The store if the command line names none.
    fn unnamed() -> Result<Self, Failure> {
        Self::choose(&StoreOptions::default(), None)
    }

    /// The directory, if there is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Directory(path) => Some(path),
            Place::Memory => None,
        }
    }

    /// The directory, or else the URL without its secrets.
    pub(crate) fn shown(&self) -> String {
        match (&self.place, &self.config.store.database_url) {
            (Place::Directory(path), _) => path.display().to_string(),
            (Place::Memory, Some(url)) => url.to_string(),
            (Place::Memory, None) => ":memory:".to_owned(),
        }
    }

    /// The options of the store, with what the URLs say.
    pub(crate) fn store_config(&self) -> &StoreConfig {
        &self.config.store
    }

    /// Opens the cache with its options.
    pub(crate) fn builder(&self) -> CacheBuilder {
        self.builder.clone()
    }

    /// Whether the directory is no store yet.
    pub(crate) fn is_new(&self) -> bool {
        self.path().is_some_and(|path| !holds_a_store(path))
    }

    /// Adds a hint on how to specify the directory, if this one is not a store.
    fn explain(&self, error: Error) -> Error {
        // The error of a damaged store has a hint of its own.
        let Some(path) =
            self.path().filter(|path| error.kind() == ErrorKind::NotAStore && !path.join(MANIFEST).exists())
        else {
            return error;
        };
        match self.source {
            Source::Default => error.with_hint(format!(
                "specify the store's directory with --dir, or in {DIRECTORY}; or its URL with --store"
            )),
            Source::Word if !path.exists() && self.is_a_key() => error.with_hint(format!(
                "this is a key of {}; the first argument here is a store's directory",
                Self::unnamed().map(|store| store.shown()).unwrap_or_default()
            )),
            _ => error,
        }
    }

    /// Whether the word is a key of the default store.
    fn is_a_key(&self) -> bool {
        let Some(word) = self.path().and_then(Path::to_str) else { return false };
        Self::unnamed().and_then(|store| store.read()).is_ok_and(|store| resolve(&store, OsStr::new(word)).is_ok())
    }

    /// Where the store is for a command that creates none: entries in a database can be read on a machine that has no
    /// directory for them.
    fn existing(&self) -> Place {
        let scheme = self.config.store.database_url.as_ref().and_then(|url| url.scheme());
        let is_default = self.builder.settings().origin("cache_dir") == Origin::Default;
        match &self.place {
            Place::Directory(path)
                if scheme.is_some_and(|scheme| scheme != "sqlite")
                    && is_default
                    && path == Path::new(DEFAULT)
                    && !holds_a_store(path) =>
            {
                Place::Memory
            }
            place => place.clone(),
        }
    }

    /// Opens the store for reading.
    pub(crate) fn read(&self) -> Result<Store, Failure> {
        self.read_with(|_| {})
    }

    pub(crate) fn read_with(&self, change: impl FnOnce(&mut StoreConfig)) -> Result<Store, Failure> {
        let mut config = self.config.store.clone();
        change(&mut config);
        let opened = cacheness::open_store(&self.existing(), config, OpenMode::ReadOnly, Clock::system());
        Ok(opened.map_err(|e| self.explain(e))?)
    }

    /// Opens the store, which must exist, for writing.
    pub(crate) fn write(&self) -> Result<Store, Failure> {
        let config = self.config.store.clone();
        let opened = cacheness::open_store(&self.existing(), config, OpenMode::Existing, Clock::system());
        // On a full disk, payloads of a cache may be deleted before their entries; those of a store are pinned.
        Ok(opened.map_err(|e| self.explain(e))?.that_forgets())
    }
}

/// Whether this directory contains a store.
pub(crate) fn holds_a_store(path: &Path) -> bool {
    path.join(MANIFEST).is_file()
}

/// The directory and the key of `[DIR] KEY`, from one or two words.
pub(crate) fn directory_and_key<'a>(
    option: &StoreOptions,
    words: &'a [OsString],
) -> Result<(Directory, &'a OsStr), Failure> {
    let (word, key) = match words {
        [directory, key] => (Some(Path::new(directory)), key.as_os_str()),
        [key] => (None, key.as_os_str()),
        _ => (None, OsStr::new("")),
    };
    Ok((Directory::choose(option, word)?, key))
}

/// The directory and the keys of `[DIR] KEY…`: the first of several words is the directory if it contains a store.
pub(crate) fn directory_and_keys<'a>(
    option: &StoreOptions,
    words: &'a [OsString],
) -> Result<(Directory, &'a [OsString]), Failure> {
    let [first, keys @ ..] = words else { return Ok((Directory::choose(option, None)?, words)) };
    if option.is_given() || keys.is_empty() || !holds_a_store(Path::new(first)) {
        return Ok((Directory::choose(option, None)?, words));
    }
    let directory = Directory::choose(option, Some(Path::new(first)))?;
    if directory.is_a_key() {
        return Err(Failure::Usage(
            format!("{first:?} is both a store's directory and a key of {}", Directory::unnamed()?.shown()),
            "specify the directory with --dir; all arguments are then keys".into(),
        ));
    }
    Ok((directory, keys))
}

/// The key `given`, or else the only key that starts with it.
pub(crate) fn resolve(store: &Store, given: &OsStr) -> Result<String, Failure> {
    let Some(key) = given.to_str() else { return Err(Failure::NoEntry(given.to_owned())) };
    if store.get_entry(key)?.is_some() {
        return Ok(key.to_owned());
    }
    if key.is_empty() {
        return Err(Failure::NoEntry(given.to_owned()));
    }
    let (query, page) = (Query { prefix: key, ..Query::default() }, Page { limit: NAMED + 1, ..Page::default() });
    let mut keys = store.metadata().keys(&query, &page)?;
    match keys.len() {
        0 => Err(Failure::NoEntry(given.to_owned())),
        1 => Ok(keys.remove(0)),
        more => {
            if more > NAMED {
                keys[NAMED] = "…".to_owned();
            }
            Err(Failure::Ambiguous(key.to_owned(), keys))
        }
    }
}
