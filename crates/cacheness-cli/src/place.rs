//! Which store and which entries a command names: the words after the verb.
//!
//! The directory is the first word, or `--dir`. The number of words decides whether the first word is the directory; if
//! several keys may follow, it is one if it contains a store. An ambiguous word is an error, never a guess.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use cacheness::core::backend::{Page, Query};
use cacheness::core::store::Store;
use cacheness::{Clock, Error, ErrorKind, OpenMode, Place, StoreConfig};

use crate::failure::Failure;

/// The environment variable that names the directory.
const VARIABLE: &str = "CACHENESS_DIR";
/// The default directory of a cache; the same in both languages.
const DEFAULT: &str = "./cache";
/// The file that every store's directory contains.
const MANIFEST: &str = "cacheness.toml";
/// How many keys the error for an ambiguous prefix lists.
const NAMED: usize = 5;

/// The source of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `--dir`.
    Option,
    /// The first word after the verb.
    Word,
    /// The environment.
    Variable,
    /// The default, `./cache`.
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

/// The store's directory, and its source.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    pub(crate) source: Source,
}

impl Directory {
    /// The directory on the command line, else that of the environment, else the default.
    pub(crate) fn choose(option: Option<&Path>, word: Option<&Path>) -> Result<Self, Failure> {
        match (option, word) {
            (Some(_), Some(word)) => Err(Failure::Usage(
                format!("the directory is given twice: with --dir and as {word:?}"),
                "remove one of them".into(),
            )),
            (Some(path), None) => Ok(Self { path: path.to_owned(), source: Source::Option }),
            (None, Some(path)) => Ok(Self { path: path.to_owned(), source: Source::Word }),
            (None, None) => Ok(Self::unnamed()),
        }
    }

    /// The directory if the command line names none.
    fn unnamed() -> Self {
        match std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
            Some(path) => Self { path: path.into(), source: Source::Variable },
            None => Self { path: DEFAULT.into(), source: Source::Default },
        }
    }

    fn place(&self) -> Place {
        Place::Directory(self.path.clone())
    }

    /// Adds a hint on how to specify the directory, if this one is not a store.
    fn explain(&self, error: Error) -> Error {
        // The error of a damaged store has a hint of its own.
        if error.kind() != ErrorKind::NotAStore || self.path.join("cacheness.toml").exists() {
            return error;
        }
        match self.source {
            Source::Default => error.with_hint(format!("specify the store's directory with --dir, or in {VARIABLE}")),
            Source::Word if !self.path.exists() && self.is_a_key() => error.with_hint(format!(
                "this is a key of {}; the first argument here is a store's directory",
                Self::unnamed().path.display()
            )),
            _ => error,
        }
    }

    /// Whether the word is a key of the default store.
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

    /// Opens the store, which must exist, for writing.
    pub(crate) fn write(&self) -> Result<Store, Failure> {
        let opened = cacheness::open_store(&self.place(), StoreConfig::default(), OpenMode::Existing, Clock::system());
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

/// The directory and the keys of `[DIR] KEY…`: the first of several words is the directory if it contains a store.
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
            format!("{first:?} is both a store's directory and a key of {}", Directory::unnamed().path.display()),
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
