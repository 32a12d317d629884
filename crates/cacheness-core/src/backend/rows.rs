//! Rows of user-defined tables that belong to an entry.

use std::sync::OnceLock;

use crate::formats::plain::Value;

/// A row of a user-defined table, committed with its entry and removed with it. Backends without
/// [`custom_rows`](super::Capability::custom_rows) refuse it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CustomRow {
    /// The table.
    pub table: String,
    /// The column that refers to the entry: it receives the entry's key. `None` for a row that belongs to other rows of
    /// the same put.
    pub owner: Option<String>,
    /// Columns and values: `None`, booleans, numbers, texts and bytes.
    pub values: Vec<(String, Value)>,
    /// Columns that receive the key which an earlier row of the same put is given, and the number of that row.
    pub references: Vec<(String, usize)>,
}

impl CustomRow {
    /// A row of `table` with these columns and values, which refers to its entry in the column `owner`.
    #[must_use]
    pub fn new(table: impl Into<String>, owner: Option<&str>, values: Vec<(String, Value)>) -> Self {
        Self { table: table.into(), owner: owner.map(str::to_owned), values, references: Vec::new() }
    }

    /// Lets a column receive the key of the row with this number.
    #[must_use]
    pub fn with_reference(mut self, column: impl Into<String>, row: usize) -> Self {
        self.references.push((column.into(), row));
        self
    }
}

/// The rows of one put, and afterwards the keys that they were given.
#[derive(Debug, Default)]
pub struct CustomRows {
    rows: Vec<CustomRow>,
    ids: OnceLock<Vec<i64>>,
}

/// No rows.
static NONE: CustomRows = CustomRows { rows: Vec::new(), ids: OnceLock::new() };

impl CustomRows {
    /// No rows.
    pub(crate) fn none() -> &'static Self {
        &NONE
    }

    /// These rows; one may refer to those before it.
    #[must_use]
    pub fn new(rows: Vec<CustomRow>) -> Self {
        Self { rows, ids: OnceLock::new() }
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[CustomRow] {
        &self.rows
    }

    /// The keys of the rows in their tables, once they are committed.
    #[must_use]
    pub fn ids(&self) -> &[i64] {
        self.ids.get().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn committed(&self, ids: Vec<i64>) {
        if !self.rows.is_empty() {
            let _ = self.ids.set(ids);
        }
    }
}
