//! Typed metadata: structs whose values are rows of a table of their own, stored with an entry and removed with it.

mod column;
mod entries;
mod query;
mod scope;

use std::sync::{Arc, OnceLock};

use cacheness_core::backend::{CustomRow, Schema, SchemaColumn, SqlValue};
use cacheness_core::column::{ColumnValue, Operand};
use cacheness_core::formats::plain::Value;
use cacheness_core::{Error, Result};

pub use column::{Column, Condition, Order};
pub use entries::Entries;
pub use query::ModelQuery;
pub use scope::{Contains, Here, Shape, Sole, There};

/// A struct whose values are rows of a table, each of which belongs to an entry. Implemented by the
/// [derive](macro@crate::MetadataModel).
///
/// ```
/// # #[cfg(feature = "macros")]
/// # fn main() -> cacheness::Result<()> {
/// use cacheness::prelude::*;
///
/// #[derive(Debug, PartialEq, MetadataModel)]
/// #[metadata(table = "custom_experiments")]
/// struct Experiment {
///     #[metadata(unique)]
///     name: String,
///     #[metadata(index)]
///     accuracy: f64,
///     epochs: Option<u32>,
/// }
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("cache");
/// let cache = Cache::open(&path)?;
/// for (fold, accuracy) in [(0, 0.95), (1, 0.5), (2, 0.92)] {
///     let experiment = Experiment { name: format!("ridge {fold}"), accuracy, epochs: None };
///     cache.put_with(&vec![accuracy], params! { model: "ridge", fold: fold }, &[&experiment])?;
/// }
///
/// let good = cache.query::<Experiment>().filter(Experiment::accuracy().ge(0.9));
/// assert_eq!(good.count()?, 2);
/// let best = good.order_by(Experiment::accuracy().desc()).first()?.expect("there are two");
/// assert_eq!(best, Experiment { name: "ridge 0".into(), accuracy: 0.95, epochs: None });
///
/// // The rows of an entry go with it.
/// cache.invalidate(params! { model: "ridge", fold: 0 })?;
/// assert_eq!(cache.query::<Experiment>().max(Experiment::accuracy())?, Some(0.92));
/// # Ok(()) }
/// # #[cfg(not(feature = "macros"))]
/// # fn main() {}
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no model of typed metadata",
    note = "a struct of your own: `#[derive(cacheness::MetadataModel)]`"
)]
pub trait MetadataModel: Sized + 'static {
    /// The name of the table.
    const TABLE: &'static str;

    /// The table.
    ///
    /// # Errors
    /// `InvalidInput` for a default that its column does not keep.
    fn schema() -> Result<&'static Schema>;

    /// The values of the columns of [`schema`](Self::schema), by their names.
    ///
    /// # Errors
    /// `InvalidInput` for a value that its column does not keep; the error names it.
    fn to_row(&self) -> Result<Vec<(String, Value)>>;

    /// The value whose row is next in `reader`, which has the columns of [`schema`](Self::schema), in their order.
    ///
    /// # Errors
    /// `Serialization` for a value that is not of the type of its field.
    fn from_row(reader: &mut RowReader<'_>) -> Result<Self>;
}

/// A value of any model: rows of several models are stored with one entry as `&[&a as &dyn ModelRow, &b]`.
pub trait ModelRow {
    /// The table, and the row without its owner.
    #[doc(hidden)]
    fn row(&self) -> Result<(&'static Schema, CustomRow)>;
}

impl<M: MetadataModel> ModelRow for M {
    fn row(&self) -> Result<(&'static Schema, CustomRow)> {
        let schema = M::schema()?;
        Ok((schema, CustomRow::new(&*schema.name, Some(&schema.owner), self.to_row()?)))
    }
}

/// The rows of a put, and their tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelRows {
    schemas: Vec<&'static Schema>,
    rows: Vec<CustomRow>,
    /// The first value that cannot be stored.
    failed: Option<Arc<Error>>,
}

impl ModelRows {
    pub(crate) fn push(&mut self, row: &(impl ModelRow + ?Sized)) {
        match row.row() {
            Ok((schema, row)) => {
                if !self.schemas.contains(&schema) {
                    self.schemas.push(schema);
                }
                self.rows.push(row);
            }
            Err(error) => drop(self.failed.get_or_insert(Arc::new(error))),
        }
    }

    /// The tables and the rows.
    pub(crate) fn finish(self) -> Result<(Vec<&'static Schema>, Vec<CustomRow>)> {
        match self.failed {
            Some(error) => Err(again(&error)),
            None => Ok((self.schemas, self.rows)),
        }
    }
}

/// The error once more: it was kept until its value is used.
fn again(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.to_string());
    match error.hint() {
        Some(hint) => copy.with_hint(hint.to_owned()),
        None => copy,
    }
}

/// The values of a row, to be read column by column.
#[derive(Debug)]
pub struct RowReader<'a> {
    values: std::vec::IntoIter<SqlValue>,
    names: std::slice::Iter<'a, String>,
}

impl<'a> RowReader<'a> {
    /// `names` are those of the columns, for errors.
    fn new(values: Vec<SqlValue>, names: &'a [String]) -> Self {
        Self { values: values.into_iter(), names: names.iter() }
    }

    /// The value of the next column.
    ///
    /// # Errors
    /// `Serialization` if it is no `T`; the error names the column.
    pub fn read<T: ColumnValue>(&mut self) -> Result<T> {
        let value = self.values.next().unwrap_or_default();
        let name = self.names.next();
        T::from_column(value).map_err(|error| error.within(name.map_or("a column", String::as_str)))
    }
}

/// What the derive writes.
#[doc(hidden)]
pub mod derived {
    use super::*;

    /// The table in `cell`, which is made once.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn schema(cell: &'static OnceLock<Schema>, make: fn() -> Result<Schema>) -> Result<&'static Schema> {
        match cell.get() {
            Some(schema) => Ok(schema),
            None => {
                let made = make()?;
                Ok(cell.get_or_init(|| made))
            }
        }
    }

    /// The column of a field of this type.
    #[must_use]
    pub fn column<T: ColumnValue>(name: &str) -> SchemaColumn {
        SchemaColumn::new(name, T::TYPE).nullable(T::NULLABLE)
    }

    /// The default of a column.
    ///
    /// # Errors
    /// `InvalidInput` if the column does not keep it.
    pub fn default<T: ColumnValue>(name: &str, value: impl Operand<T::Value>) -> Result<Value> {
        value.operand().map_err(|error| error.within(format_args!("the default of {name}")))
    }

    /// The value of a field.
    ///
    /// # Errors
    /// `InvalidInput` if its column does not keep it; the error names the column.
    pub fn value<T: ColumnValue>(table: &str, name: &str, value: &T) -> Result<(String, Value)> {
        match value.to_column() {
            Ok(value) => Ok((name.to_owned(), value)),
            Err(error) => Err(error.within(format_args!("{table}.{name}"))),
        }
    }
}
