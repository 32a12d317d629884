//! Which entries to list, and in which pages.

use crate::clock::Timestamp;
use crate::entry::EntryVersion;
use crate::query::{Filter, Sort};

/// Selects entries. The default is all entries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'a> {
    /// Only keys with this prefix.
    pub prefix: &'a str,
    /// Only entries that expire at or before this time.
    pub expired_at: Option<Timestamp>,
    /// Only entries that are pinned.
    pub pinned: bool,
    /// Only entries that match the filter.
    pub filter: Option<&'a Filter>,
    /// The order of listings; if empty, the ascending byte order of the keys.
    pub sort: &'a [Sort],
}

/// A page of a listing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page<'a> {
    /// Only keys after this one: in the order of the keys, the last of the previous page.
    pub after: Option<&'a str>,
    /// This many of the entries are left out first.
    pub offset: usize,
    /// At most this many; 0 means no limit.
    pub limit: usize,
}

impl Page<'_> {
    /// The limit, with 0 replaced by the maximum.
    #[must_use]
    pub fn most(&self) -> usize {
        if self.limit == 0 { usize::MAX } else { self.limit }
    }
}

/// The position of a search through all entries; a backend reads only positions that it has written itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Position {
    /// At the start.
    #[default]
    Start,
    /// After this key.
    Key(String),
    /// After this place in the backend's own order.
    Number(i64),
}

/// The result of one step of a search.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    /// The entries found.
    pub versions: Vec<EntryVersion>,
    /// Where the search continues; `None` at the end.
    pub next: Option<Position>,
}
