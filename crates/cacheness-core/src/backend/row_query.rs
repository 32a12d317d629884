//! A query of rows of user-defined tables as data, which each backend translates into its own dialect.

use std::borrow::Cow;

use super::ColumnType;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::plain::Value;
use crate::query::Comparison;

/// The columns of entries that a [`RowColumn`] may name, and their types. Their values are those of
/// `docs/formats/views.md`, times as times; `expires_at` and `description` may be `NULL`.
pub const ENTRY_COLUMNS: &[(&str, ColumnType)] = &[
    ("cache_key", ColumnType::Text),
    ("created_at", ColumnType::Time),
    ("accessed_at", ColumnType::Time),
    ("expires_at", ColumnType::Time),
    ("access_count", ColumnType::Integer),
    ("file_size", ColumnType::Integer),
    ("data_type", ColumnType::Text),
    ("object_type", ColumnType::Text),
    ("storage_format", ColumnType::Text),
    ("description", ColumnType::Text),
];

/// How deep conditions may be nested.
const MAX_DEPTH: usize = 100;

/// A table of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowTable<'a> {
    /// Its name.
    pub name: &'a str,
    /// The column with the key of the entry that a row belongs to.
    pub owner: &'a str,
}

/// Where a column is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowSource {
    /// In the table of this name, which is one of [`RowQuery::tables`].
    Table(Cow<'static, str>),
    /// In the entry that the row belongs to: one of [`ENTRY_COLUMNS`].
    Entry,
}

/// A column of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowColumn {
    /// Where it is.
    pub source: RowSource,
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its type: which values it is compared with, and which it returns.
    pub kind: ColumnType,
}

/// Which rows are meant. A test of a `NULL` does not hold; its negation does.
#[derive(Clone, Debug, PartialEq)]
pub enum RowFilter {
    /// All hold; every row, if it is empty.
    And(Vec<RowFilter>),
    /// At least one holds; no row, if it is empty.
    Or(Vec<RowFilter>),
    /// Does not hold.
    Not(Box<RowFilter>),
    /// A test of a column.
    Test(RowColumn, RowTest),
}

/// A test of the value of a column. An operand is a value of the column's type.
#[derive(Clone, Debug, PartialEq)]
pub enum RowTest {
    /// Equal to the value.
    Eq(Value),
    /// Equal to one of the values.
    In(Vec<Value>),
    /// Greater, or less, than the value.
    Compare(Comparison, Value),
    /// `NULL`.
    IsNull,
    /// A text that contains this one.
    Contains(String),
    /// A text that starts with this one.
    StartsWith(String),
}

/// An order of rows: `NULL` comes before every value, or after every value if it is descending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowOrder {
    /// The column.
    pub column: RowColumn,
    /// From the greatest value to the least.
    pub descending: bool,
}

/// What is computed of a column, without its `NULL`s; `NULL` if there is no other value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The average, a float; of integers or floats.
    Average,
}

/// What a query returns.
#[derive(Clone, Copy, Debug)]
pub enum RowSelect<'a> {
    /// The values of these columns for each row.
    Columns(&'a [RowColumn]),
    /// One row with the number of rows, an integer. The order, the limit and the offset do not apply.
    Count,
    /// One row with a value. The order, the limit and the offset do not apply.
    Aggregate(Aggregate, &'a RowColumn),
}

/// A query of rows of user-defined tables. Rows of expired entries are rows like others.
#[derive(Clone, Copy, Debug)]
pub struct RowQuery<'a> {
    /// The tables, at least one, each once. A row of the result has one row of each, all of the same entry.
    pub tables: &'a [RowTable<'a>],
    /// What is returned.
    pub select: RowSelect<'a>,
    /// Which rows.
    pub filter: &'a RowFilter,
    /// Their order; rows that are equal in it are in any order.
    pub order: &'a [RowOrder],
    /// At most this many rows.
    pub limit: Option<u64>,
    /// This many rows are left out first.
    pub offset: u64,
}

impl RowFilter {
    /// Every row.
    #[must_use]
    pub fn all() -> Self {
        Self::And(Vec::new())
    }

    fn is_deeper_than(&self, depth: usize) -> bool {
        match self {
            Self::And(parts) | Self::Or(parts) => depth == 0 || parts.iter().any(|part| part.is_deeper_than(depth - 1)),
            Self::Not(part) => depth == 0 || part.is_deeper_than(depth - 1),
            Self::Test(..) => false,
        }
    }

    /// Calls `visit` for every test.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn for_each_test<'a>(&'a self, visit: &mut impl FnMut(&'a RowColumn, &'a RowTest) -> Result<()>) -> Result<()> {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().try_for_each(|part| part.for_each_test(visit)),
            Self::Not(part) => part.for_each_test(visit),
            Self::Test(column, test) => visit(column, test),
        }
    }
}

impl RowQuery<'_> {
    /// Refuses a query that no backend could answer. Backends call it first.
    ///
    /// # Errors
    /// `InvalidInput`: no table, or one twice; a column of a table that is not read, or that entries do not have; an
    /// operand or an average that does not fit its column; conditions nested too deeply.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::new(ErrorKind::InvalidInput, what));
        if self.tables.is_empty() {
            return wrong("the query reads no table".to_owned());
        }
        for (place, table) in self.tables.iter().enumerate() {
            if self.tables[..place].iter().any(|other| other.name == table.name) {
                return wrong(format!("the query reads {} twice", table.name));
            }
        }
        match self.select {
            RowSelect::Columns(columns) => columns.iter().try_for_each(|column| self.check_column(column))?,
            RowSelect::Count => {}
            RowSelect::Aggregate(function, column) => {
                self.check_column(column)?;
                let is_number = matches!(column.kind, ColumnType::Integer | ColumnType::Float);
                let has_order = column.kind != ColumnType::Json;
                if (function == Aggregate::Average && !is_number) || !has_order {
                    let (name, kind) = (&column.name, column.kind.name());
                    return wrong(format!("the column {name} is a {kind}, which has no {function:?}"));
                }
            }
        }
        self.order.iter().try_for_each(|order| self.check_column(&order.column))?;
        if self.filter.is_deeper_than(MAX_DEPTH) {
            return wrong(format!("the conditions are nested deeper than {MAX_DEPTH} levels"));
        }
        self.filter.for_each_test(&mut |column, test| {
            self.check_column(column)?;
            let values: &[Value] = match test {
                RowTest::Eq(value) | RowTest::Compare(_, value) => std::slice::from_ref(value),
                RowTest::In(values) => values,
                RowTest::IsNull => return Ok(()),
                RowTest::Contains(_) | RowTest::StartsWith(_) if column.kind == ColumnType::Text => return Ok(()),
                RowTest::Contains(_) | RowTest::StartsWith(_) => {
                    return wrong(format!("the column {} is no text", column.name));
                }
            };
            if column.kind == ColumnType::Json {
                return wrong(format!("the column {} is JSON, which is not compared", column.name));
            }
            match values.iter().find(|value| !column.kind.keeps(value)) {
                Some(other) => {
                    let (name, kind, other) = (&column.name, column.kind.name(), other.type_name());
                    wrong(format!("the column {name} is a {kind}, and is compared with a {other}"))
                }
                None => Ok(()),
            }
        })
    }

    fn check_column(&self, column: &RowColumn) -> Result<()> {
        let known = match &column.source {
            RowSource::Table(name) => self.tables.iter().any(|table| table.name == name),
            RowSource::Entry => ENTRY_COLUMNS.contains(&(&*column.name, column.kind)),
        };
        if known {
            return Ok(());
        }
        let what = match &column.source {
            RowSource::Table(table) => {
                format!("the query does not read {table}, whose column {} it asks for", column.name)
            }
            RowSource::Entry => format!("entries have no column {} that is a {}", column.name, column.kind.name()),
        };
        Err(Error::new(ErrorKind::InvalidInput, what))
    }
}
