//! Which store a command is about, and which entries: the words after the verb.
//!
//! The directory is the first word, or `--dir`; which of the words it is, is decided by their number and, where several
//! keys may follow, by whether a store is in it. A word that could be either is an error, never a guess.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use cacheness::core::backend::{Page, Query};
use cacheness::core::store::Store;
use cacheness::{Clock, Error, ErrorKind, OpenMode, Place, StoreConfig};

use crate::failure::Failure;

/// The environment variable that names the directory.
const VARIABLE: &str = "CACHENESS_DIR";
/// Where a cache is if nothing names it; the same in both languages.
const DEFAULT: &str = "./cache";
/// What every store's directory has in it.
const MANIFEST: &str = "cacheness.toml";
/// How many keys are named where a prefix is not enough.
const NAMED: usize = 5;

/// What names the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `--dir`.
    Option,
    /// The first word after the verb.
    Word,
    /// The environment.
    Variable,
    /// Nothing.
    Default,
}

impl Source {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Option | Self::Word => "command line",
            Self::Variable => VARIABLE,
            Self::Default => "default",
        }
    }
}

/// The store's directory, and what names it.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    pub(crate) source: Source,
}

impl Directory {
    /// What the command line says, else the environment, else the default.
    pub(crate) fn choose(option: Option<&Path>, word: Option<&Path>) -> Result<Self, Failure> {
        match (option, word) {
            (Some(_), Some(word)) => Err(Failure::Usage(
                format!("the directory is given twice: with --dir and as {word:?}"),
                "leave out one of them".into(),
            )),
            (Some(path), None) => Ok(Self { path: path.to_owned(), source: Source::Option }),
            (None, Some(path)) => Ok(Self { path: path.to_owned(), source: Source::Word }),
            (None, None) => Ok(Self::unnamed()),
        }
    }

    /// The directory where the command line names none.
    fn unnamed() -> Self {
        match std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
            Some(path) => Self { path: path.into(), source: Source::Variable },
            None => Self { path: DEFAULT.into(), source: Source::Default },
        }
    }

    fn place(&self) -> Place {
        Place::Directory(self.path.clone())
    }

    /// Says how a directory is named, if this one is no store.
    fn explain(&self, error: Error) -> Error {
        // Of a store that is damaged, the error itself says what to do.
        if error.kind() != ErrorKind::NotAStore || self.path.join("cacheness.toml").exists() {
            return error;
        }
        match self.source {
            Source::Default => error.with_hint(format!("name the store's directory with --dir, or in {VARIABLE}")),
            Source::Word if !self.path.exists() && self.is_a_key() => error.with_hint(format!(
                "it is a key of {}; the first word here is a store's directory",
                Self::unnamed().path.display()
            )),
            _ => error,
        }
    }

    /// Whether the word is a key of the store that is meant where none is named.
    fn is_a_key(&self) -> bool {
        let Some(word) = self.path.to_str() else { return false };
        Self::unnamed().read().is_ok_and(|store| resolve(&store, OsStr::new(word)).is_ok())
    }

    /// Opens the store for reading.
    pub(crate) fn read(&self) -> Result<Store, Failure> {
        self.read_with(StoreConfig::default())
    }

    pub(crate) fn read_with(&self, config: StoreConfig) -> Result<Store, Failure> {
        let opened = cacheness::open_store(&self.place(), config, OpenMode::ReadOnly, Clock::system());
        Ok(opened.map_err(|e| self.explain(e))?)
    }

    /// Opens the store, which must be there, for writing.
    pub(crate) fn write(&self) -> Result<Store, Failure> {
        let opened = cacheness::open_store(&self.place(), StoreConfig::default(), OpenMode::Existing, Clock::system());
        // Of a cache's entries, what is to go may be a miss before it is gone; a store's are pinned.
        Ok(opened.map_err(|e| self.explain(e))?.that_forgets())
    }
}

/// Whether a store is in this directory.
pub(crate) fn holds_a_store(path: &Path) -> bool {
    path.join(MANIFEST).is_file()
}

/// The directory and the key of `[DIR] KEY`, which are one or two words.
pub(crate) fn directory_and_key<'a>(
    option: Option<&Path>,
    words: &'a [OsString],
) -> Result<(Directory, &'a OsStr), Failure> {
    let (word, key) = match words {
        [directory, key] => (Some(Path::new(directory)), key.as_os_str()),
        [key] => (None, key.as_os_str()),
        _ => (None, OsStr::new("")),
    };
    Ok((Directory::choose(option, word)?, key))
}

/// The directory and the keys of `[DIR] KEY…`: the first of several words is the directory if a store is in it.
pub(crate) fn directory_and_keys<'a>(
    option: Option<&Path>,
    words: &'a [OsString],
) -> Result<(Directory, &'a [OsString]), Failure> {
    let [first, keys @ ..] = words else { return Ok((Directory::choose(option, None)?, words)) };
    if option.is_some() || keys.is_empty() || !holds_a_store(Path::new(first)) {
        return Ok((Directory::choose(option, None)?, words));
    }
    let directory = Directory::choose(None, Some(Path::new(first)))?;
    if directory.is_a_key() {
        return Err(Failure::Usage(
            format!("{first:?} is a store's directory, and a key of {}", Directory::unnamed().path.display()),
            "name the directory with --dir: then all words are keys".into(),
        ));
    }
    Ok((directory, keys))
}

/// The key that `given` is, or that alone starts with it.
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
