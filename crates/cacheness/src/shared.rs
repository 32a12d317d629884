//! The caches that functions share.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use cacheness_core::process::PerProcess;
use cacheness_core::{Error, Result};
use parking_lot::Mutex;

use crate::cache::{Cache, CacheBuilder};

/// The caches that functions share, by directory; the default one under `None`.
type Shared = Mutex<HashMap<Option<PathBuf>, Cache>>;

/// A forked child opens its own: the lock of the inherited one may never be released.
static SHARED: PerProcess<Shared> = PerProcess::new();

fn open_once(directory: Option<PathBuf>, open: impl FnOnce() -> Result<Cache>) -> Result<Cache> {
    let mut shared = SHARED.get_or_make(Mutex::default).lock();
    if let Some(cache) = shared.get(&directory)
        && !cache.engine().is_closed()
    {
        return Ok(cache.clone());
    }
    let cache = open()?;
    shared.insert(directory, cache.clone());
    Ok(cache)
}

/// The cache of functions that name none: the one of [`set_default_cache`], else the one that the environment
/// configures ([`CacheBuilder::from_env`]), opened at the first use. If it was closed, it is opened again.
///
/// # Errors
/// Those of [`CacheBuilder::from_env`] and [`CacheBuilder::open`].
pub fn default_cache() -> Result<Cache> {
    open_once(None, || CacheBuilder::from_env()?.open())
}

/// Makes `cache` the default of functions that name none. Does not close the previous one.
///
/// ```
/// # #[cfg(feature = "macros")]
/// # fn main() -> cacheness::Result<()> {
/// use cacheness::{default_cache, prelude::*, reset_default_cache, set_default_cache};
///
/// #[cached]
/// fn double(number: u32) -> u32 {
///     number * 2
/// }
///
/// set_default_cache(Cache::builder().in_memory().open()?);
/// assert_eq!((double(21), double(21)), (42, 42));
/// assert_eq!(default_cache()?.stats()?.counts.hits, 1);
/// reset_default_cache()?;
/// # Ok(()) }
/// # #[cfg(not(feature = "macros"))]
/// # fn main() {}
/// ```
pub fn set_default_cache(cache: Cache) {
    SHARED.get_or_make(Mutex::default).lock().insert(None, cache);
}

/// Closes the default cache, if it is open; the next use opens the one that the environment configures.
///
/// # Errors
/// Those of [`Cache::close`].
pub fn reset_default_cache() -> Result<()> {
    let former = SHARED.get_or_make(Mutex::default).lock().remove(&None);
    former.map_or(Ok(()), |cache| cache.close())
}

/// The cache in a directory, shared by all functions that name the directory.
///
/// # Errors
/// Those of [`Cache::open`].
pub fn shared(directory: impl AsRef<Path>) -> Result<Cache> {
    let path = std::path::absolute(directory.as_ref());
    let path = path.map_err(|e| Error::io("cannot find the current directory", e))?;
    open_once(Some(path.clone()), || Cache::open(path))
}
