//! Which Rust type is stored in which column of a user-defined table.

use chrono::{DateTime, NaiveDate, Utc};

use crate::backend::{ColumnType, SqlValue, time_value};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::plain::Value;

/// A type that a column of a user-defined table keeps.
///
/// | Rust | column |
/// |---|---|
/// | integers up to 64 bits | integer of 64 bits; a `u64` above `i64::MAX` is refused |
/// | `f64`, `f32` | float of 64 bits; NaN is refused |
/// | `bool`, `String`, `Vec<u8>` | boolean, text, blob |
/// | [`Timestamp`], `chrono::DateTime<Utc>` | time in UTC, to the microsecond, in the years 1 to 9999 |
/// | `chrono::NaiveDate` | date |
/// | `serde_json::Value` | JSON; a number that stands alone is refused unless it is an integer that an `i64` holds |
/// | `Option` of one of them | the same, and `NULL` |
///
/// A type of your own takes the column of another one:
///
/// ```
/// use cacheness_core::backend::{ColumnType, SqlValue};
/// use cacheness_core::column::{ColumnValue, Compared};
/// use cacheness_core::formats::plain::Value;
/// use cacheness_core::{Error, ErrorKind, Result};
///
/// #[derive(Debug, PartialEq)]
/// enum Stage {
///     Test,
///     Production,
/// }
///
/// impl ColumnValue for Stage {
///     type Value = Self;
///     const TYPE: ColumnType = ColumnType::Text;
///
///     fn to_column(&self) -> Result<Value> {
///         Ok(Value::from(if *self == Self::Test { "test" } else { "production" }))
///     }
///
///     fn from_column(value: SqlValue) -> Result<Self> {
///         match String::from_column(value)?.as_str() {
///             "test" => Ok(Self::Test),
///             "production" => Ok(Self::Production),
///             other => Err(Error::new(ErrorKind::Serialization, format!("{other:?} is no stage"))),
///         }
///     }
/// }
///
/// /// Filters compare it.
/// impl Compared for Stage {}
///
/// assert_eq!(Stage::from_column(SqlValue::Text("test".into()))?, Stage::Test);
/// # Ok::<(), cacheness_core::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type of a column",
    note = "columns are integers, floats, `bool`, `String`, `Vec<u8>`, `cacheness::Timestamp`, `chrono::DateTime<Utc>`, \
            `chrono::NaiveDate`, `cacheness::serde_json::Value`, and an `Option` of one of them",
    note = "a type of your own: implement `cacheness::ColumnValue` for it",
    note = "a field that is not stored: `#[metadata(skip)]`"
)]
pub trait ColumnValue: Sized {
    /// The type of the values that are not `NULL`: itself, or what an `Option` holds.
    type Value: ColumnValue<Value = Self::Value>;

    /// The type of the column.
    const TYPE: ColumnType;

    /// Whether the column may be `NULL`.
    const NULLABLE: bool = false;

    /// The value that is stored: one that [`ColumnType::keeps`], or `None`.
    ///
    /// # Errors
    /// `InvalidInput` for a value that the column cannot keep.
    fn to_column(&self) -> Result<Value>;

    /// The value that was stored, in the form of [`select_rows`](crate::backend::MetadataBackend::select_rows).
    ///
    /// # Errors
    /// `Serialization` for a value that is out of range, or not of this type.
    fn from_column(value: SqlValue) -> Result<Self>;
}

/// A type whose columns are compared, ordered, and have a least and a greatest value: all except JSON.
#[diagnostic::on_unimplemented(message = "columns of `{Self}` are not compared", label = "this column")]
pub trait Compared: ColumnValue {}

/// A type whose columns have an average.
#[diagnostic::on_unimplemented(message = "columns of `{Self}` have no average", label = "this column")]
pub trait Number: Compared {}

/// A value that a column of the type `T` is compared with: a `T`, a reference to one, `&str` for `String`, `&[u8]` for
/// `Vec<u8>`.
#[diagnostic::on_unimplemented(
    message = "a column of `{T}` is not compared with `{Self}`",
    note = "give a `{T}`; `is_null()` asks for missing values"
)]
pub trait Operand<T: ColumnValue> {
    /// The value that is compared.
    ///
    /// # Errors
    /// Those of [`ColumnValue::to_column`].
    fn operand(self) -> Result<Value>;
}

impl<T: ColumnValue> Operand<T> for T {
    fn operand(self) -> Result<Value> {
        self.to_column()
    }
}

impl<T: ColumnValue> Operand<T> for &T {
    fn operand(self) -> Result<Value> {
        self.to_column()
    }
}

impl Operand<String> for &str {
    fn operand(self) -> Result<Value> {
        Ok(Value::from(self))
    }
}

impl Operand<Vec<u8>> for &[u8] {
    fn operand(self) -> Result<Value> {
        Ok(Value::Bytes(self.to_vec()))
    }
}

fn refused(what: String) -> Error {
    Error::new(ErrorKind::InvalidInput, what)
}

/// The error of a value that is no `T`.
#[cold]
fn unfit<T>(value: &SqlValue) -> Error {
    let found = match value {
        SqlValue::Null => "NULL".to_owned(),
        SqlValue::Bool(value) => value.to_string(),
        SqlValue::Int(value) => value.to_string(),
        SqlValue::Float(value) => format!("{value:?}"),
        SqlValue::Text(_) => "a text".to_owned(),
        SqlValue::Bytes(_) => "a blob".to_owned(),
    };
    let class = std::any::type_name::<T>();
    let class = class.rsplit("::").next().unwrap_or(class);
    let error = Error::new(ErrorKind::Serialization, format!("{found} is no {class}"));
    match value {
        SqlValue::Null => error.with_hint(format!("read it as an Option<{class}>")),
        _ => error,
    }
}

macro_rules! integers {
    ($($class:ty)*) => {
        $(
            impl ColumnValue for $class {
                type Value = Self;
                const TYPE: ColumnType = ColumnType::Integer;

                fn to_column(&self) -> Result<Value> {
                    let value = i64::try_from(*self);
                    value.map(Value::Int).map_err(|_| refused(format!("{self} exceeds the integers of a column")))
                }

                fn from_column(value: SqlValue) -> Result<Self> {
                    match &value {
                        SqlValue::Int(found) => Self::try_from(*found).map_err(|_| unfit::<Self>(&value)),
                        _ => Err(unfit::<Self>(&value)),
                    }
                }
            }

            impl Compared for $class {}
            impl Number for $class {}
        )*
    };
}

integers! { i8 i16 i32 i64 isize u8 u16 u32 u64 usize }

impl ColumnValue for f64 {
    type Value = Self;
    const TYPE: ColumnType = ColumnType::Float;

    fn to_column(&self) -> Result<Value> {
        if self.is_nan() {
            return Err(refused("a column keeps no NaN".to_owned()).with_hint("make it an Option, and store None"));
        }
        Ok(Value::Float(*self))
    }

    fn from_column(value: SqlValue) -> Result<Self> {
        if let SqlValue::Float(found) = value { Ok(found) } else { Err(unfit::<Self>(&value)) }
    }
}

/// Only numbers that an `f32` holds are read: others were stored by another program.
impl ColumnValue for f32 {
    type Value = Self;
    const TYPE: ColumnType = ColumnType::Float;

    fn to_column(&self) -> Result<Value> {
        f64::from(*self).to_column()
    }

    #[allow(clippy::cast_possible_truncation)]
    fn from_column(value: SqlValue) -> Result<Self> {
        match value {
            SqlValue::Float(found) if f64::from(found as Self) == found => Ok(found as Self),
            other => Err(unfit::<Self>(&other)),
        }
    }
}

impl ColumnValue for bool {
    type Value = Self;
    const TYPE: ColumnType = ColumnType::Boolean;

    fn to_column(&self) -> Result<Value> {
        Ok(Value::Bool(*self))
    }

    fn from_column(value: SqlValue) -> Result<Self> {
        if let SqlValue::Bool(found) = value { Ok(found) } else { Err(unfit::<Self>(&value)) }
    }
}

impl ColumnValue for String {
    type Value = Self;
    const TYPE: ColumnType = ColumnType::Text;

    fn to_column(&self) -> Result<Value> {
        Ok(Value::Str(self.clone()))
    }

    fn from_column(value: SqlValue) -> Result<Self> {
        if let SqlValue::Text(found) = value { Ok(found) } else { Err(unfit::<Self>(&value)) }
    }
}

impl ColumnValue for Vec<u8> {
    type Value = Self;
    const TYPE: ColumnType = ColumnType::Bytes;

    fn to_column(&self) -> Result<Value> {
        Ok(Value::Bytes(self.clone()))
    }

    fn from_column(value: SqlValue) -> Result<Self> {
        if let SqlValue::Bytes(found) = value { Ok(found) } else { Err(unfit::<Self>(&value)) }
    }
}

impl ColumnValue for Timestamp {
    type Value = Self;
    const TYPE: ColumnType = ColumnType::Time;

    fn to_column(&self) -> Result<Value> {
        time_value(*self).ok_or_else(|| refused(format!("{self} is not in the years 1 to 9999")))
    }

    fn from_column(value: SqlValue) -> Result<Self> {
        if let SqlValue::Int(found) = value { Ok(Self(found)) } else { Err(unfit::<Self>(&value)) }
    }
}

/// Nanoseconds are cut off.
impl ColumnValue for DateTime<Utc> {
    type Value = Self;
    const TYPE: ColumnType = ColumnType::Time;

    fn to_column(&self) -> Result<Value> {
        Timestamp(self.timestamp_micros()).to_column()
    }

    fn from_column(value: SqlValue) -> Result<Self> {
        let Timestamp(micros) = Timestamp::from_column(value)?;
        Self::from_timestamp_micros(micros).ok_or_else(|| unfit::<Self>(&SqlValue::Int(micros)))
    }
}

impl ColumnValue for NaiveDate {
    type Value = Self;
    const TYPE: ColumnType = ColumnType::Date;

    fn to_column(&self) -> Result<Value> {
        let days = i32::try_from(self.signed_duration_since(Self::default()).num_days()).map(Value::Date);
        let days = days.ok().filter(|days| ColumnType::Date.keeps(days));
        days.ok_or_else(|| refused(format!("{self} is not in the years 1 to 9999")))
    }

    fn from_column(value: SqlValue) -> Result<Self> {
        let found = match &value {
            SqlValue::Int(days) => chrono::TimeDelta::try_days(*days),
            _ => None,
        };
        let day = found.and_then(|days| Self::default().checked_add_signed(days));
        day.ok_or_else(|| unfit::<Self>(&value))
    }
}

impl ColumnValue for serde_json::Value {
    type Value = Self;
    const TYPE: ColumnType = ColumnType::Json;

    fn to_column(&self) -> Result<Value> {
        // SQLite makes a number of a text that is one, and not always the same.
        if let Self::Number(number) = self
            && !number.is_i64()
        {
            let what = format!("a column of JSON does not keep the number {number} by itself");
            return Err(refused(what).with_hint("store it in a column of numbers, or in an array"));
        }
        Ok(Value::Str(self.to_string()))
    }

    fn from_column(value: SqlValue) -> Result<Self> {
        let SqlValue::Text(text) = &value else { return Err(unfit::<Self>(&value)) };
        serde_json::from_str(text)
            .map_err(|e| Error::new(ErrorKind::Serialization, "the text is no JSON").with_source(e))
    }
}

impl Compared for f64 {}
impl Compared for f32 {}
impl Compared for bool {}
impl Compared for String {}
impl Compared for Vec<u8> {}
impl Compared for Timestamp {}
impl Compared for DateTime<Utc> {}
impl Compared for NaiveDate {}
impl Number for f64 {}
impl Number for f32 {}

impl<T: ColumnValue<Value = T>> ColumnValue for Option<T> {
    type Value = T;
    const TYPE: ColumnType = T::TYPE;
    const NULLABLE: bool = true;

    fn to_column(&self) -> Result<Value> {
        self.as_ref().map_or(Ok(Value::None), T::to_column)
    }

    fn from_column(value: SqlValue) -> Result<Self> {
        if value == SqlValue::Null { Ok(None) } else { T::from_column(value).map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value as a backend returns it.
    fn returned(value: Value) -> SqlValue {
        match value {
            Value::Date(days) => SqlValue::Int(days.into()),
            other => SqlValue::Int(crate::backend::time_of(&other).expect("a time").0),
        }
    }

    #[test]
    fn dates_and_times_of_chrono_come_back() {
        let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).expect("a date");
        for date in [day(1, 1, 1), day(1969, 12, 31), day(2024, 2, 29), day(9999, 12, 31)] {
            assert_eq!(NaiveDate::from_column(returned(date.to_column().expect("kept"))).expect("read"), date);
            let time = date.and_hms_micro_opt(23, 59, 59, 999_999).expect("a time").and_utc();
            let kept = |time: DateTime<Utc>| returned(time.to_column().expect("kept"));
            assert_eq!(DateTime::from_column(kept(time)).expect("read"), time);
            let finer = time.checked_add_signed(chrono::TimeDelta::nanoseconds(999)).expect("a time");
            assert_eq!(DateTime::from_column(kept(finer)).expect("read"), time, "nanoseconds are cut off");
        }
        for date in [day(0, 12, 31), day(10_000, 1, 1)] {
            assert_eq!(date.to_column().expect_err("refused").kind(), ErrorKind::InvalidInput);
            let time = date.and_hms_opt(0, 0, 0).expect("a time").and_utc();
            assert_eq!(time.to_column().expect_err("refused").kind(), ErrorKind::InvalidInput);
        }
        for value in [SqlValue::Int(i64::MAX), SqlValue::Int(i64::MIN), SqlValue::Null, SqlValue::Text(String::new())] {
            assert_eq!(NaiveDate::from_column(value.clone()).expect_err("no date").kind(), ErrorKind::Serialization);
            assert_eq!(DateTime::<Utc>::from_column(value).expect_err("no time").kind(), ErrorKind::Serialization);
        }
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        assert_eq!(u64::MAX.to_column().expect_err("refused").kind(), ErrorKind::InvalidInput);
        assert_eq!(u8::from_column(SqlValue::Int(255)).expect("read"), 255);
        for (error, message) in [
            (u8::from_column(SqlValue::Int(256)).map(drop), "256 is no u8"),
            (i64::from_column(SqlValue::Null).map(drop), "NULL is no i64"),
            (f32::from_column(SqlValue::Float(0.1)).map(drop), "0.1 is no f32"),
            (bool::from_column(SqlValue::Int(1)).map(drop), "1 is no bool"),
            (String::from_column(SqlValue::Bytes(Vec::new())).map(drop), "a blob is no String"),
            (serde_json::Value::from_column(SqlValue::Text("{".into())).map(drop), "the text is no JSON"),
        ] {
            assert_eq!(error.expect_err("refused").to_string(), message);
        }
        assert_eq!(<Option<u8>>::from_column(SqlValue::Null).expect("read"), None);
        let null = serde_json::Value::from_column(SqlValue::Text("null".into())).expect("read");
        assert_eq!(null, serde_json::Value::Null, "JSON's null is a value");
    }
}
