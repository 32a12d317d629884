//! One module per verb.

pub(crate) mod info;
pub(crate) mod ls;

use std::path::Path;

use cacheness::core::store::Store;
use cacheness::{Access, Place, Result, StoreConfig};

/// Opens the store in `dir` for reading.
fn open(dir: &Path) -> Result<Store> {
    let place = Place::Directory(dir.to_owned());
    cacheness::open_store(&place, StoreConfig::default(), Access::ReadOnly, cacheness::Clock::system())
}
