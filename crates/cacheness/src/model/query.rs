//! Queries of models.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use cacheness_core::backend::{
    Aggregate, Part, RowColumn, RowFilter, RowOrder, RowQuery, RowSelect, RowSource, RowTable, RowTest, Schema, SqlRows,
};
use cacheness_core::column::{ColumnValue, Compared, Number};
use cacheness_core::entry::EntrySummary;
use cacheness_core::formats::plain::Value;
use cacheness_core::store::Store;
use cacheness_core::{Error, Result};

use super::{Column, Condition, Contains, MetadataModel, Order, RowReader, Shape, again};
use crate::cache::Cache;
use crate::info::EntryInfo;
use crate::key::IntoEntryKey;

/// The number of entries that are looked up at once.
const BATCH: usize = 1000;

/// Rows of a model, or of several: made by [`Cache::query`]. Rows of expired entries are among them until these are removed.
///
/// A row with `.join::<Other>()` has one value of each model, all of the same entry:
///
/// ```
/// # #[cfg(feature = "macros")]
/// # fn main() -> cacheness::Result<()> {
/// use cacheness::prelude::*;
///
/// #[derive(MetadataModel)]
/// struct Experiment {
///     name: String,
///     accuracy: f64,
/// }
///
/// #[derive(MetadataModel)]
/// struct Timing {
///     seconds: f64,
/// }
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let cache = Cache::open(dir.path().join("cache"))?;
/// for (fold, accuracy) in [(0, 0.95), (1, 0.5)] {
///     let experiment = Experiment { name: format!("fold {fold}"), accuracy };
///     let timing = Timing { seconds: 1.5 + f64::from(fold) };
///     let options = PutOptions::new().tags(["ridge"]).custom_metadata([&experiment]).custom_metadata([&timing]);
///     cache.put_with(&accuracy, params! { fold: fold }, options)?;
/// }
/// let fast = cache
///     .query::<Experiment>()
///     .join::<Timing>()
///     .filter(Timing::seconds().lt(2.0))
///     .order_by(Experiment::accuracy().desc())
///     .all()?;
/// assert_eq!((fast.len(), &*fast[0].0.name, fast[0].1.seconds), (1, "fold 0", 1.5));
///
/// // Each row with its entry; the key gets the value.
/// for (experiment, entry) in cache.query::<Experiment>().with_entries()? {
///     assert_eq!(entry.metadata()["tags"][0], "ridge");
///     assert_eq!(cache.get::<f64>(Named(entry.key()))?, Some(experiment.accuracy));
/// }
/// # Ok(()) }
/// # #[cfg(not(feature = "macros"))]
/// # fn main() {}
/// ```
#[must_use]
pub struct ModelQuery<'a, S> {
    store: &'a Store,
    filters: Vec<RowFilter>,
    /// The first condition with an operand that its column cannot keep.
    failed: Option<Arc<Error>>,
    order: Vec<RowOrder>,
    limit: Option<u64>,
    offset: u64,
    of: PhantomData<fn() -> S>,
}

impl<S> Clone for ModelQuery<'_, S> {
    fn clone(&self) -> Self {
        let Self { store, filters, failed, order, limit, offset, of } = self;
        let (filters, failed, order) = (filters.clone(), failed.clone(), order.clone());
        Self { store, filters, failed, order, limit: *limit, offset: *offset, of: *of }
    }
}

impl<S> fmt::Debug for ModelQuery<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelQuery").field("filters", &self.filters).field("order", &self.order).finish_non_exhaustive()
    }
}

impl Cache {
    /// The rows of a model: see [`ModelQuery`].
    pub fn query<M: MetadataModel>(&self) -> ModelQuery<'_, M> {
        ModelQuery {
            store: self.engine().store(),
            filters: Vec::new(),
            failed: None,
            order: Vec::new(),
            limit: None,
            offset: 0,
            of: PhantomData,
        }
    }
}

/// What is read of a query.
struct Reading {
    schemas: Vec<&'static Schema>,
    /// The key of the entry, then the columns of each model.
    columns: Vec<RowColumn>,
    names: Vec<String>,
}

impl<'a, S: Shape> ModelQuery<'a, S> {
    /// Reads another model too: each row of the result has one row of each model, all of the same entry. Entries that lack a
    /// row of one of them are left out.
    pub fn join<M: MetadataModel>(self) -> ModelQuery<'a, (S, M)> {
        let Self { store, filters, failed, order, limit, offset, of: _ } = self;
        ModelQuery { store, filters, failed, order, limit, offset, of: PhantomData }
    }

    /// Only rows for which the condition holds, and those of further calls.
    pub fn filter<M, Place>(mut self, condition: Condition<M>) -> Self
    where
        S: Contains<M, Place>,
    {
        match condition.into_filter() {
            Ok(filter) => self.filters.push(filter),
            Err(error) => drop(self.failed.get_or_insert(Arc::new(error))),
        }
        self
    }

    /// Only rows of this entry.
    pub fn of_entry(mut self, key: impl IntoEntryKey) -> Self {
        let key = key.into_entry_key(&self.store.config().serialization);
        let test = key.map(|key| RowTest::Eq(Value::from(key.as_str())));
        match test.and_then(|test| Ok(RowFilter::Test(owner(Self::schemas()?[0]), test))) {
            Ok(filter) => self.filters.push(filter),
            Err(error) => drop(self.failed.get_or_insert(Arc::new(error))),
        }
        self
    }

    /// Sorts the rows; further calls sort those that are equal so far. Without an order, and where it leaves one open, rows are
    /// in the order of the primary key: without one of their own, that in which they were stored.
    pub fn order_by<M, Place>(mut self, order: Order<M>) -> Self
    where
        S: Contains<M, Place>,
    {
        self.order.push(order.order);
        self
    }

    /// At most this many rows.
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Leaves out this many rows first.
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// The rows.
    ///
    /// # Errors
    /// `Unsupported` by the metadata backend; `InvalidInput` for a condition with a value that its column cannot keep, and if
    /// the table exists and cannot be changed to what the model says; `Serialization` for a value that is not of the type of
    /// its field; `ReadOnly` if the table does not exist; `Metadata`, `Closed`.
    pub fn all(&self) -> Result<Vec<S::Row>> {
        self.read(self.limit, |_, row| row)
    }

    /// The first row.
    ///
    /// # Errors
    /// Those of [`all`](Self::all).
    pub fn first(&self) -> Result<Option<S::Row>> {
        let limit = self.limit.unwrap_or(1).min(1);
        Ok(self.read(Some(limit), |_, row| row)?.pop())
    }

    /// The rows, each after the key of its entry.
    ///
    /// # Errors
    /// Those of [`all`](Self::all).
    pub fn with_keys(&self) -> Result<Vec<(String, S::Row)>> {
        self.read(self.limit, |key, row| (key, row))
    }

    /// The rows, each with its entry. The entries are looked up after the rows; a row whose entry has been removed in between is
    /// left out.
    ///
    /// # Errors
    /// Those of [`all`](Self::all).
    pub fn with_entries(&self) -> Result<Vec<(S::Row, EntryInfo)>> {
        let rows = self.with_keys()?;
        let mut keys: Vec<&str> = rows.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut entries: HashMap<String, EntryInfo> = HashMap::with_capacity(keys.len());
        for keys in keys.chunks(BATCH) {
            let found = self.store.metadata().get_batch(keys, Part::Summary)?;
            let found = found.into_iter().flatten();
            entries.extend(found.map(|entry| (entry.key.clone(), EntryInfo::from(EntrySummary::from(entry)))));
        }
        let with_entry = |(key, row)| entries.get(&key).map(|entry| (row, entry.clone()));
        Ok(rows.into_iter().filter_map(with_entry).collect())
    }

    /// The number of rows, whatever the limit and the offset.
    ///
    /// # Errors
    /// Those of [`all`](Self::all).
    pub fn count(&self) -> Result<u64> {
        self.value(RowSelect::Count, "the number of rows")
    }

    /// The least value of a column, whatever the limit and the offset; `None` without a value that is not `NULL`.
    ///
    /// # Errors
    /// Those of [`all`](Self::all).
    pub fn min<M, Place, T>(&self, column: Column<M, T>) -> Result<Option<T::Value>>
    where
        S: Contains<M, Place>,
        T: ColumnValue<Value: Compared>,
    {
        self.value(RowSelect::Aggregate(Aggregate::Min, &column.row_column()), "min")
    }

    /// The greatest value of a column, whatever the limit and the offset; `None` without a value that is not `NULL`.
    ///
    /// # Errors
    /// Those of [`all`](Self::all).
    pub fn max<M, Place, T>(&self, column: Column<M, T>) -> Result<Option<T::Value>>
    where
        S: Contains<M, Place>,
        T: ColumnValue<Value: Compared>,
    {
        self.value(RowSelect::Aggregate(Aggregate::Max, &column.row_column()), "max")
    }

    /// The average of the values of a column that are not `NULL`, whatever the limit and the offset; `None` without one.
    ///
    /// # Errors
    /// Those of [`all`](Self::all).
    pub fn avg<M, Place, T>(&self, column: Column<M, T>) -> Result<Option<f64>>
    where
        S: Contains<M, Place>,
        T: ColumnValue<Value: Number>,
    {
        self.value(RowSelect::Aggregate(Aggregate::Average, &column.row_column()), "avg")
    }

    fn schemas() -> Result<Vec<&'static Schema>> {
        let mut schemas = Vec::new();
        S::tables(&mut schemas)?;
        Ok(schemas)
    }

    fn reading() -> Result<Reading> {
        let schemas = Self::schemas()?;
        let mut columns = vec![owner(schemas[0])];
        for schema in &schemas {
            columns.extend(schema.columns.iter().map(|column| of_table(schema, &column.name, column.kind)));
        }
        let mut names = vec![format!("{}.{}", schemas[0].name, schemas[0].owner)];
        for schema in &schemas {
            names.extend(schema.columns.iter().map(|column| format!("{}.{}", schema.name, column.name)));
        }
        Ok(Reading { schemas, columns, names })
    }

    fn read<T>(&self, limit: Option<u64>, mut make: impl FnMut(String, S::Row) -> T) -> Result<Vec<T>> {
        let Reading { schemas, columns, names } = Self::reading()?;
        let rows = self.select(&schemas, RowSelect::Columns(&columns), limit)?;
        let make = |values: Result<_>| {
            let mut reader = RowReader::new(values?, &names);
            let key = reader.read()?;
            Ok(make(key, S::read(&mut reader)?))
        };
        rows.map(make).collect()
    }

    /// The only value of the only row.
    fn value<T: ColumnValue>(&self, select: RowSelect<'_>, name: &str) -> Result<T> {
        let mut rows = self.select(&Self::schemas()?, select, None)?;
        let values = rows.next().transpose()?.unwrap_or_default();
        RowReader::new(values, &[name.to_owned()]).read()
    }

    fn select(&self, schemas: &[&'static Schema], select: RowSelect<'_>, limit: Option<u64>) -> Result<SqlRows> {
        if let Some(error) = &self.failed {
            return Err(again(error));
        }
        schemas.iter().try_for_each(|schema| self.store.register_schema(schema))?;
        let tables: Vec<RowTable<'_>> =
            schemas.iter().map(|schema| RowTable { name: &schema.name, owner: &schema.owner }).collect();
        // Rows that are equal in the order are in one order too.
        let mut order = self.order.clone();
        for schema in schemas {
            let key = schema.primary_key().map(|(name, kind)| of_table(schema, name, kind));
            order.extend(key.map(|column| RowOrder { column, descending: false }));
        }
        let filter = RowFilter::And(self.filters.clone());
        let (order, filter, offset) = (order.as_slice(), &filter, self.offset);
        self.store.select_rows(&RowQuery { tables: &tables, select, filter, order, limit, offset })
    }
}

fn of_table(schema: &'static Schema, name: &'static str, kind: cacheness_core::backend::ColumnType) -> RowColumn {
    RowColumn { source: RowSource::Table(schema.name.as_str().into()), name: name.into(), kind }
}

/// The column with the key of the entry.
fn owner(schema: &'static Schema) -> RowColumn {
    of_table(schema, &schema.owner, cacheness_core::backend::ColumnType::Text)
}
