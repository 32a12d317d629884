//! Columns of models as values, and what is asked about them.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use cacheness_core::backend::{RowColumn, RowFilter, RowOrder, RowSource, RowTest};
use cacheness_core::column::{ColumnValue, Compared, Operand};
use cacheness_core::formats::plain::Value;
use cacheness_core::query::Comparison;
use cacheness_core::{Error, Result};

use super::{MetadataModel, again};

/// The column of a model's field of the type `T`: `Experiment::accuracy()`, which the derive writes.
///
/// ```
/// # #[cfg(feature = "macros")]
/// # fn main() {
/// # use cacheness::prelude::*;
/// # #[derive(MetadataModel)]
/// # struct Experiment { accuracy: f64, stage: Option<String> }
/// let wanted = Experiment::accuracy().ge(0.9) & !Experiment::stage().starts_with("test");
/// let others = Experiment::stage().is_null() | Experiment::accuracy().is_in([0.5, 0.75]);
/// # let _: [cacheness::Condition<Experiment>; 2] = [wanted, others];
/// # }
/// # #[cfg(not(feature = "macros"))]
/// # fn main() {}
/// ```
pub struct Column<M, T> {
    /// `None`: a column of entries.
    table: Option<&'static str>,
    name: &'static str,
    of: PhantomData<fn() -> (M, T)>,
}

impl<M, T> Clone for Column<M, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, T> Copy for Column<M, T> {}

impl<M, T> fmt::Debug for Column<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Column({}.{})", self.table.unwrap_or("entry"), self.name)
    }
}

impl<M: MetadataModel, T: ColumnValue> Column<M, T> {
    /// The column of this name. The derive calls it.
    #[doc(hidden)]
    #[must_use]
    pub fn of_model(name: &'static str) -> Self {
        Self { table: Some(M::TABLE), name, of: PhantomData }
    }
}

impl<M, T: ColumnValue> Column<M, T> {
    pub(super) const fn of_entries(name: &'static str) -> Self {
        Self { table: None, name, of: PhantomData }
    }

    pub(super) fn row_column(self) -> RowColumn {
        let source = self.table.map_or(RowSource::Entry, |table| RowSource::Table(Cow::Borrowed(table)));
        RowColumn { source, name: Cow::Borrowed(self.name), kind: T::TYPE }
    }

    fn test(self, test: Result<RowTest>) -> Condition<M> {
        let filter = match test {
            Ok(test) => Ok(RowFilter::Test(self.row_column(), test)),
            Err(error) => Err(Arc::new(error.within(self.name))),
        };
        Condition { filter, of: PhantomData }
    }

    /// `NULL`: only a column of an `Option` can be.
    #[must_use]
    pub fn is_null(self) -> Condition<M> {
        self.test(Ok(RowTest::IsNull))
    }

    /// Not `NULL`.
    #[must_use]
    pub fn is_not_null(self) -> Condition<M> {
        !self.is_null()
    }
}

/// A condition about a `NULL` does not hold, and its negation does. A value that the column cannot keep, such as NaN, fails
/// the query with `InvalidInput`.
impl<M, T: ColumnValue> Column<M, T> {
    fn compare(self, comparison: Comparison, value: impl Operand<T::Value>) -> Condition<M>
    where
        T::Value: Compared,
    {
        self.test(value.operand().map(|value| RowTest::Compare(comparison, value)))
    }

    /// Equal to `value`.
    #[must_use]
    #[allow(clippy::should_implement_trait)]
    pub fn eq(self, value: impl Operand<T::Value>) -> Condition<M>
    where
        T::Value: Compared,
    {
        self.test(value.operand().map(RowTest::Eq))
    }

    /// Not equal to `value`, or `NULL`.
    #[must_use]
    #[allow(clippy::should_implement_trait)]
    pub fn ne(self, value: impl Operand<T::Value>) -> Condition<M>
    where
        T::Value: Compared,
    {
        !self.eq(value)
    }

    /// Greater than `value`.
    #[must_use]
    pub fn gt(self, value: impl Operand<T::Value>) -> Condition<M>
    where
        T::Value: Compared,
    {
        self.compare(Comparison::Greater, value)
    }

    /// Greater than `value`, or equal.
    #[must_use]
    pub fn ge(self, value: impl Operand<T::Value>) -> Condition<M>
    where
        T::Value: Compared,
    {
        self.compare(Comparison::GreaterOrEqual, value)
    }

    /// Less than `value`.
    #[must_use]
    pub fn lt(self, value: impl Operand<T::Value>) -> Condition<M>
    where
        T::Value: Compared,
    {
        self.compare(Comparison::Less, value)
    }

    /// Less than `value`, or equal.
    #[must_use]
    pub fn le(self, value: impl Operand<T::Value>) -> Condition<M>
    where
        T::Value: Compared,
    {
        self.compare(Comparison::LessOrEqual, value)
    }

    /// Equal to one of the values.
    #[must_use]
    pub fn is_in<O: Operand<T::Value>>(self, values: impl IntoIterator<Item = O>) -> Condition<M>
    where
        T::Value: Compared,
    {
        let values: Result<Vec<Value>> = values.into_iter().map(Operand::operand).collect();
        self.test(values.map(RowTest::In))
    }

    /// Equal to none of the values, or `NULL`.
    #[must_use]
    pub fn not_in<O: Operand<T::Value>>(self, values: impl IntoIterator<Item = O>) -> Condition<M>
    where
        T::Value: Compared,
    {
        !self.is_in(values)
    }

    /// From the least value to the greatest, after those that are `NULL`. Texts and bytes are in the order of their bytes.
    #[must_use]
    pub fn asc(self) -> Order<M>
    where
        T::Value: Compared,
    {
        Order { order: RowOrder { column: self.row_column(), descending: false }, of: PhantomData }
    }

    /// From the greatest value to the least; those that are `NULL` come last.
    #[must_use]
    pub fn desc(self) -> Order<M>
    where
        T::Value: Compared,
    {
        Order { order: RowOrder { column: self.row_column(), descending: true }, of: PhantomData }
    }
}

impl<M, T: ColumnValue<Value = String>> Column<M, T> {
    /// A text that contains this one; case matters.
    #[must_use]
    pub fn contains(self, text: impl Into<String>) -> Condition<M> {
        self.test(Ok(RowTest::Contains(text.into())))
    }

    /// A text that starts with this one; case matters.
    #[must_use]
    pub fn starts_with(self, text: impl Into<String>) -> Condition<M> {
        self.test(Ok(RowTest::StartsWith(text.into())))
    }
}

/// Which rows of the model `M` are meant: made by the methods of a [`Column`], joined by `&`, `|` and `!`.
pub struct Condition<M> {
    pub(super) filter: Result<RowFilter, Arc<Error>>,
    of: PhantomData<fn() -> M>,
}

impl<M> Clone for Condition<M> {
    fn clone(&self) -> Self {
        Self { filter: self.filter.clone(), of: PhantomData }
    }
}

impl<M> fmt::Debug for Condition<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.filter).finish()
    }
}

impl<M> Condition<M> {
    /// `Err`: an operand that its column cannot keep.
    pub(super) fn into_filter(self) -> Result<RowFilter> {
        self.filter.map_err(|error| again(&error))
    }

    fn join(self, other: Self, join: fn(RowFilter, RowFilter) -> RowFilter) -> Self {
        let filter = match (self.filter, other.filter) {
            (Ok(one), Ok(other)) => Ok(join(one, other)),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        Self { filter, of: PhantomData }
    }
}

/// Both hold.
impl<M> std::ops::BitAnd for Condition<M> {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        self.join(other, |one, other| match one {
            RowFilter::And(mut parts) => {
                parts.push(other);
                RowFilter::And(parts)
            }
            one => RowFilter::And(vec![one, other]),
        })
    }
}

/// At least one holds.
impl<M> std::ops::BitOr for Condition<M> {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.join(other, |one, other| match one {
            RowFilter::Or(mut parts) => {
                parts.push(other);
                RowFilter::Or(parts)
            }
            one => RowFilter::Or(vec![one, other]),
        })
    }
}

/// Does not hold.
impl<M> std::ops::Not for Condition<M> {
    type Output = Self;

    fn not(self) -> Self {
        Self { filter: self.filter.map(|filter| RowFilter::Not(Box::new(filter))), of: PhantomData }
    }
}

/// An order of rows: [`Column::asc`], [`Column::desc`].
pub struct Order<M> {
    pub(super) order: RowOrder,
    of: PhantomData<fn() -> M>,
}

impl<M> Clone for Order<M> {
    fn clone(&self) -> Self {
        Self { order: self.order.clone(), of: PhantomData }
    }
}

impl<M> fmt::Debug for Order<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Order").field(&self.order).finish()
    }
}
