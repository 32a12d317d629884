//! Which entries to list, and in which pages.

use std::ops::Range;

use crate::clock::Timestamp;
use crate::entry::{Entry, Glimpse};

/// Selects entries. The default is all entries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'a> {
    /// Only keys with this prefix.
    pub prefix: &'a str,
    /// Only entries that expire at or before this time.
    pub expired_at: Option<Timestamp>,
    /// Only entries that are pinned.
    pub pinned: bool,
}

/// A page of a listing, in ascending byte order of the keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page<'a> {
    /// Only keys after this one: the last of the previous page.
    pub after: Option<&'a str>,
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

/// The position of a walk through all entries; a backend reads only positions that it has written itself.
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

/// The [`Glimpse`]s of one step of a walk. Their texts share one buffer, so that a million of them cost few
/// allocations.
#[derive(Clone, Debug, Default)]
pub struct Glimpses {
    bytes: Vec<u8>,
    rows: Vec<Row>,
    /// Where the walk continues; `None` at the end.
    pub next: Option<Position>,
}

#[derive(Clone, Debug)]
struct Row {
    created_at: Timestamp,
    file_hash: u64,
    key: Range<usize>,
    metadata: Option<Range<usize>>,
    params: Option<Range<usize>>,
}

impl Glimpses {
    /// Adds a glimpse.
    pub fn push(&mut self, glimpse: &Glimpse<'_>) {
        let Glimpse { key, created_at, file_hash, metadata, params } = *glimpse;
        let mut keep = |bytes: &[u8]| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            start..self.bytes.len()
        };
        let key = keep(key.as_bytes());
        let metadata = metadata.map(|metadata| keep(metadata.as_bytes()));
        let params = params.map(&mut keep);
        self.rows.push(Row { created_at, file_hash, key, metadata, params });
    }

    /// The number of glimpses.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All of them, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = Glimpse<'_>> {
        let text = |range: &Range<usize>| std::str::from_utf8(&self.bytes[range.clone()]).unwrap_or_default();
        self.rows.iter().map(move |row| Glimpse {
            key: text(&row.key),
            created_at: row.created_at,
            file_hash: row.file_hash,
            metadata: row.metadata.as_ref().map(text),
            params: row.params.as_ref().map(|range| &self.bytes[range.clone()]),
        })
    }
}

impl<'a> FromIterator<&'a Entry> for Glimpses {
    fn from_iter<I: IntoIterator<Item = &'a Entry>>(entries: I) -> Self {
        let mut glimpses = Self::default();
        entries.into_iter().for_each(|entry| glimpses.push(&Glimpse::from(entry)));
        glimpses
    }
}
