//! One row, and its values as Rust types.

use std::fmt;
use std::sync::Arc;

use cacheness_core::backend::SqlValue;
use cacheness_core::{Error, ErrorKind, Result};

/// A row of a query.
#[derive(Clone, PartialEq)]
pub struct QueryRow {
    names: Arc<[String]>,
    values: Vec<SqlValue>,
}

/// Shows the names and values.
impl fmt::Debug for QueryRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.names.iter().zip(&self.values)).finish()
    }
}

impl QueryRow {
    pub(super) fn new(names: Arc<[String]>, values: Vec<SqlValue>) -> Self {
        Self { names, values }
    }

    /// The value of a column, given by its name or its index. The first of several columns of one name.
    ///
    /// # Errors
    /// `InvalidInput` if there is no such column, or if its value is not a `T`. Only an `Option` can be `NULL`.
    pub fn get<T: FromSqlValue>(&self, column: impl ColumnIndex) -> Result<T> {
        let index = column.index(&self.names)?;
        let value = &self.values[index];
        T::from_sql_value(value).ok_or_else(|| {
            let (name, found) = (&self.names[index], kind(value));
            let wanted = std::any::type_name::<T>();
            Error::new(ErrorKind::InvalidInput, format!("the column {name} has {found} here, which is no {wanted}"))
        })
    }

    /// All values, in the order of the columns.
    #[must_use]
    pub fn values(&self) -> &[SqlValue] {
        &self.values
    }
}

fn kind(value: &SqlValue) -> &'static str {
    match value {
        SqlValue::Null => "NULL",
        SqlValue::Bool(_) => "a boolean",
        SqlValue::Int(_) => "an integer",
        SqlValue::Float(_) => "a floating-point number",
        SqlValue::Text(_) => "a text",
        SqlValue::Bytes(_) => "a blob",
    }
}

/// A column: its index from 0, or its name.
pub trait ColumnIndex {
    /// The index of the column among those of these names.
    ///
    /// # Errors
    /// `InvalidInput` if there is no such column.
    fn index(self, names: &[String]) -> Result<usize>;
}

impl ColumnIndex for usize {
    fn index(self, names: &[String]) -> Result<usize> {
        if self < names.len() {
            return Ok(self);
        }
        Err(Error::new(ErrorKind::InvalidInput, format!("there is no column {self}: the result has {}", names.len())))
    }
}

impl ColumnIndex for &str {
    fn index(self, names: &[String]) -> Result<usize> {
        names.iter().position(|name| name == self).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, format!("there is no column {self}"))
                .with_hint(format!("the columns are {}", names.join(", ")))
        })
    }
}

/// A Rust type of a value.
pub trait FromSqlValue: Sized {
    /// The value; `None` if it is of another type or out of range.
    fn from_sql_value(value: &SqlValue) -> Option<Self>;
}

macro_rules! integers {
    ($($class:ty)*) => {
        $(impl FromSqlValue for $class {
            fn from_sql_value(value: &SqlValue) -> Option<Self> {
                match value {
                    SqlValue::Int(value) => (*value).try_into().ok(),
                    _ => None,
                }
            }
        })*
    };
}

integers! { i8 i16 i32 i64 isize u8 u16 u32 u64 usize }

/// SQLite has no booleans: 0 and 1 are accepted too.
impl FromSqlValue for bool {
    fn from_sql_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Bool(value) => Some(*value),
            SqlValue::Int(value @ (0 | 1)) => Some(*value == 1),
            _ => None,
        }
    }
}

/// Integers are accepted if a floating-point number has their value.
impl FromSqlValue for f64 {
    fn from_sql_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Float(value) => Some(*value),
            SqlValue::Int(value) => exact(*value),
            _ => None,
        }
    }
}

/// The floating-point number of this value, if there is one.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
pub(super) fn exact(value: i64) -> Option<f64> {
    let float = value as f64;
    (float as i128 == i128::from(value)).then_some(float)
}

impl FromSqlValue for String {
    fn from_sql_value(value: &SqlValue) -> Option<Self> {
        if let SqlValue::Text(text) = value { Some(text.clone()) } else { None }
    }
}

impl FromSqlValue for Vec<u8> {
    fn from_sql_value(value: &SqlValue) -> Option<Self> {
        if let SqlValue::Bytes(bytes) = value { Some(bytes.clone()) } else { None }
    }
}

impl FromSqlValue for SqlValue {
    fn from_sql_value(value: &SqlValue) -> Option<Self> {
        Some(value.clone())
    }
}

impl<T: FromSqlValue> FromSqlValue for Option<T> {
    fn from_sql_value(value: &SqlValue) -> Option<Self> {
        if *value == SqlValue::Null { Some(None) } else { T::from_sql_value(value).map(Some) }
    }
}
