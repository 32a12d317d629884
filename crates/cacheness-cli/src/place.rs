//! Which store a command is about, and which entry.

use std::path::{Path, PathBuf};

use cacheness::core::metadata::Scan;
use cacheness::core::store::Store;
use cacheness::{Access, Clock, Error, ErrorKind, Place, StoreConfig};

use crate::failure::Failure;

/// The environment variable that names the directory.
const VARIABLE: &str = "CACHENESS_DIR";
/// Where a cache is if nobody says anything; the same in both languages.
const DEFAULT: &str = "./cache";
/// How many keys are named where a prefix is not enough.
const NAMED: usize = 5;

/// The store's directory, and who says so.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    pub(crate) source: &'static str,
}

impl Directory {
    /// What the command line says, else the environment, else the default.
    pub(crate) fn choose(option: Option<&Path>, argument: Option<&Path>) -> Result<Self, Failure> {
        let (path, source) = match (option, argument) {
            (Some(_), Some(_)) => {
                return Err(Failure::Usage("the directory is given twice", "leave out DIR or --dir"));
            }
            (Some(path), None) | (None, Some(path)) => (path.to_owned(), "command line"),
            (None, None) => match std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
                Some(path) => (path.into(), VARIABLE),
                None => (DEFAULT.into(), "default"),
            },
        };
        Ok(Self { path, source })
    }

    fn place(&self) -> Place {
        Place::Directory(self.path.clone())
    }

    /// Says how another directory is named, if this one is no store and nobody has named it.
    fn explain(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::NotAStore && self.source == "default" {
            return error.with_hint(format!("name the store's directory with --dir, or in {VARIABLE}"));
        }
        error
    }

    /// Opens the store for reading.
    pub(crate) fn read(&self) -> Result<Store, Failure> {
        self.read_with(StoreConfig::default())
    }

    pub(crate) fn read_with(&self, config: StoreConfig) -> Result<Store, Failure> {
        let opened = cacheness::open_store(&self.place(), config, Access::ReadOnly, Clock::system());
        Ok(opened.map_err(|e| self.explain(e))?)
    }

    /// Opens the store, which must be there, for writing.
    pub(crate) fn write(&self) -> Result<Store, Failure> {
        let opened = cacheness::open_store(&self.place(), StoreConfig::default(), Access::Existing, Clock::system());
        Ok(opened.map_err(|e| self.explain(e))?)
    }
}

/// The key that `given` is, or that alone starts with it.
pub(crate) fn resolve(store: &Store, given: &str) -> Result<String, Failure> {
    if store.get_entry(given)?.is_some() {
        return Ok(given.to_owned());
    }
    if given.is_empty() {
        return Err(Failure::NoEntry(String::new()));
    }
    let scan = Scan { prefix: given, limit: NAMED + 1, ..Scan::default() };
    let mut keys: Vec<String> = store.metadata().scan(&scan)?.into_iter().map(|found| found.entry.key).collect();
    match keys.len() {
        0 => Err(Failure::NoEntry(given.to_owned())),
        1 => Ok(keys.remove(0)),
        more => {
            if more > NAMED {
                keys[NAMED] = "…".to_owned();
            }
            Err(Failure::Ambiguous(given.to_owned(), keys))
        }
    }
}
