//! A database outside of its store's directory: the manifest has its path and an id, the database the same id.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cacheness_core::backend::MetadataBackend;
use cacheness_core::config::StoreConfig;
use cacheness_core::{Error, ErrorKind, Result};
use cacheness_sqlite::{SqliteAccess, SqliteMetadata, SqliteOptions};
use serde::{Deserialize, Serialize};

/// How long a process that finds a database without its store waits for another one that is just making both.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a manifest says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Database {
    /// Its absolute path.
    path: PathBuf,
    /// 32 hexadecimal digits, made with the store.
    id: String,
}

impl Database {
    /// The database that a new store is to have, made and claimed; `None` for one in the directory. `is_made` tells
    /// whether the store has been made meanwhile, by another process.
    pub(crate) fn create(
        config: &StoreConfig,
        in_directory: &Path,
        is_made: impl Fn() -> Result<bool>,
    ) -> Result<Option<Self>> {
        let Some(path) = wanted(config)?.filter(|path| path != in_directory) else { return Ok(None) };
        let started = Instant::now();
        while path.exists() {
            if is_made()? {
                return Ok(None);
            }
            if started.elapsed() >= PATIENCE {
                return Err(Error::new(
                    ErrorKind::NotAStore,
                    format!("database_url: {} is there already", path.display()),
                )
                .with_hint("a database belongs to one store: give the path of one to be made, or leave it out"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut id = [0; 16];
        getrandom::fill(&mut id)
            .map_err(|e| Error::new(ErrorKind::Storage, format!("the system gives no random bytes: {e}")))?;
        let database = Self { path, id: id.iter().map(|byte| format!("{byte:02x}")).collect() };
        database.open(config, SqliteAccess::ReadWrite)?.close()?;
        Ok(Some(database))
    }

    /// Opens it.
    ///
    /// # Errors
    /// - `Integrity`: it is gone.
    /// - `NotAStore`: it belongs to another store.
    pub(crate) fn open_existing(&self, config: &StoreConfig, access: SqliteAccess) -> Result<SqliteMetadata> {
        if !self.path.exists() {
            return Err(Error::new(ErrorKind::Integrity, format!("the database {} is gone", self.path.display()))
                .with_hint(
                    "put it back; to begin with an empty store, remove cacheness.toml and the directory blobs: all entries are \
                     lost then",
                ));
        }
        self.open(config, access)
    }

    fn open(&self, config: &StoreConfig, access: SqliteAccess) -> Result<SqliteMetadata> {
        let options = SqliteOptions::new(&self.path).durability(config.durability).access(access);
        let metadata = SqliteMetadata::open(options)?;
        metadata.claim(&self.id)?;
        Ok(metadata)
    }
}

/// Refuses a configuration that asks for another database than the one `recorded`, or the one in the directory.
pub(crate) fn refuse_other(config: &StoreConfig, recorded: Option<&Database>, in_directory: &Path) -> Result<()> {
    let Some(path) = wanted(config)? else { return Ok(()) };
    let known = recorded.map_or(in_directory, |database| &database.path);
    if path == known {
        return Ok(());
    }
    let what = format!("the store has its database at {}, and database_url is {}", known.display(), path.display());
    Err(Error::new(ErrorKind::InvalidInput, what)
        .with_hint("leave database_url out, the directory says where it is; or give another directory"))
}

fn wanted(config: &StoreConfig) -> Result<Option<PathBuf>> {
    let Some(path) = config.database_path()? else { return Ok(None) };
    std::path::absolute(&path).map(Some).map_err(|e| Error::io(format_args!("cannot use {}", path.display()), e))
}
