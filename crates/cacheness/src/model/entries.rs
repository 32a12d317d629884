//! What queries of models may ask about the entry that a row belongs to.

use cacheness_core::clock::Timestamp;

use super::Column;

/// The entries that rows belong to: its functions are columns for the conditions and the order of every
/// [`ModelQuery`](super::ModelQuery).
///
/// ```
/// # #[cfg(feature = "macros")]
/// # fn main() -> cacheness::Result<()> {
/// # use cacheness::{Entries, Timestamp, prelude::*};
/// # #[derive(MetadataModel)]
/// # struct Experiment { accuracy: f64 }
/// # let dir = tempfile::tempdir().unwrap();
/// # let cache = Cache::open(dir.path().join("cache"))?;
/// # cache.put_with(&vec![1, 2], params! { x: 1 }, &[&Experiment { accuracy: 0.5 }])?;
/// # let yesterday = Timestamp(0);
/// let recent = cache
///     .query::<Experiment>()
///     .filter(Entries::created_at().ge(yesterday) & Entries::data_type().eq("plain"))
///     .order_by(Entries::file_size().desc());
/// assert_eq!(recent.count()?, 1);
/// # Ok(()) }
/// # #[cfg(not(feature = "macros"))]
/// # fn main() {}
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Entries {}

impl Entries {
    /// The key: 16 hexadecimal digits, or the name.
    #[must_use]
    pub fn cache_key() -> Column<Self, String> {
        Column::of_entries("cache_key")
    }

    /// When the value was put.
    #[must_use]
    pub fn created_at() -> Column<Self, Timestamp> {
        Column::of_entries("created_at")
    }

    /// When the value was last read.
    #[must_use]
    pub fn accessed_at() -> Column<Self, Timestamp> {
        Column::of_entries("accessed_at")
    }

    /// When it expires; `NULL` if it never does.
    #[must_use]
    pub fn expires_at() -> Column<Self, Option<Timestamp>> {
        Column::of_entries("expires_at")
    }

    /// How often the value was read.
    #[must_use]
    pub fn access_count() -> Column<Self, u64> {
        Column::of_entries("access_count")
    }

    /// Bytes of the payload as stored.
    #[must_use]
    pub fn file_size() -> Column<Self, u64> {
        Column::of_entries("file_size")
    }

    /// The kind of the value: `plain`, `array`, `table`, …
    #[must_use]
    pub fn data_type() -> Column<Self, String> {
        Column::of_entries("data_type")
    }

    /// The type of the value in the language that wrote it.
    #[must_use]
    pub fn object_type() -> Column<Self, String> {
        Column::of_entries("object_type")
    }

    /// The storage format: `msgpack`, `b2nd`, `parquet`, …
    #[must_use]
    pub fn storage_format() -> Column<Self, String> {
        Column::of_entries("storage_format")
    }

    /// The description; `NULL` if there is none.
    #[must_use]
    pub fn description() -> Column<Self, Option<String>> {
        Column::of_entries("description")
    }
}
