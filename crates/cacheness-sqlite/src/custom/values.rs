//! Values of user-defined tables in the form that SQLAlchemy gives them in SQLite, and back.

use cacheness_core::backend::{ColumnType, SqlRef, time_of};
use cacheness_core::clock::Timestamp;
use cacheness_core::formats::plain::{Value, calendar};
use cacheness_core::{Error, ErrorKind, Result};
use rusqlite::types::{ToSqlOutput, Value as Owned, ValueRef};

/// A value as SQLite keeps it; an error is the name of a type that a table has no form for.
pub(super) fn stored(value: &Value) -> Result<ToSqlOutput<'_>, &'static str> {
    Ok(ToSqlOutput::Borrowed(match value {
        Value::None => ValueRef::Null,
        Value::Bool(value) => ValueRef::Integer(i64::from(*value)),
        Value::Int(value) => ValueRef::Integer(*value),
        Value::Float(value) => ValueRef::Real(*value),
        Value::Str(text) => ValueRef::Text(text.as_bytes()),
        Value::Bytes(bytes) | Value::ByteArray(bytes) => ValueRef::Blob(bytes),
        Value::DateTime(_) | Value::Date(_) => {
            let text = match value {
                Value::Date(days) => calendar::format_date(*days),
                other => time_of(other).and_then(time_text),
            };
            return text.map(|text| ToSqlOutput::Owned(Owned::Text(text))).ok_or(value.type_name());
        }
        other => return Err(other.type_name()),
    }))
}

/// `2026-11-20 12:30:00.000000`: with all six decimals, so that texts are in the order of the times.
fn time_text(Timestamp(micros): Timestamp) -> Option<String> {
    let date = calendar::format_date(i32::try_from(micros.div_euclid(calendar::DAY)).ok()?)?;
    let rest = micros.rem_euclid(calendar::DAY);
    let (seconds, decimals) = (rest / 1_000_000, rest % 1_000_000);
    Some(format!("{date} {:02}:{:02}:{:02}.{decimals:06}", seconds / 3600, seconds / 60 % 60, seconds % 60))
}

/// Calls `push` with a value that SQLite keeps in a column of this type, in the form of
/// [`select_rows`](cacheness_core::backend::MetadataBackend::select_rows). Times of entries are integers in the database.
pub(super) fn returned(
    kind: ColumnType,
    value: ValueRef<'_>,
    push: impl FnOnce(SqlRef<'_>) -> Result<()>,
) -> Result<()> {
    let found = match (kind, value) {
        (_, ValueRef::Null) => Some(SqlRef::Null),
        (ColumnType::Integer | ColumnType::Time, ValueRef::Integer(value)) => Some(SqlRef::Int(value)),
        (ColumnType::Float, ValueRef::Real(value)) => Some(SqlRef::Float(value)),
        (ColumnType::Float, ValueRef::Integer(value)) => exact(value).map(SqlRef::Float),
        (ColumnType::Boolean, ValueRef::Integer(value @ (0 | 1))) => Some(SqlRef::Bool(value == 1)),
        (ColumnType::Text | ColumnType::Json, ValueRef::Text(bytes)) => {
            std::str::from_utf8(bytes).ok().map(SqlRef::Text)
        }
        (ColumnType::Bytes, ValueRef::Blob(bytes)) => Some(SqlRef::Bytes(bytes)),
        (ColumnType::Time, ValueRef::Text(bytes)) => {
            let parsed = std::str::from_utf8(bytes).ok().and_then(calendar::parse_iso);
            parsed.map(|(micros, offset)| SqlRef::Int(micros - offset.unwrap_or(0)))
        }
        (ColumnType::Date, ValueRef::Text(bytes)) => {
            let days = std::str::from_utf8(bytes).ok().and_then(calendar::parse_date);
            days.map(|days| SqlRef::Int(i64::from(days)))
        }
        // SQLite makes a number of a JSON text that is one.
        (ColumnType::Json, ValueRef::Integer(value)) => return push(SqlRef::Text(&value.to_string())),
        (ColumnType::Json, ValueRef::Real(value)) if value.is_finite() => {
            return push(SqlRef::Text(&format!("{value:?}")));
        }
        _ => None,
    };
    match found {
        Some(found) => push(found),
        None => Err(Error::new(ErrorKind::Serialization, format!("{} is no {}", shown(value), kind.name()))),
    }
}

fn shown(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "a NULL",
        ValueRef::Integer(_) => "an integer",
        ValueRef::Real(_) => "a floating-point number",
        ValueRef::Text(_) => "a text",
        ValueRef::Blob(_) => "a blob",
    }
}

/// The floating-point number of this value, if there is one.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn exact(value: i64) -> Option<f64> {
    let float = value as f64;
    (float as i128 == i128::from(value)).then_some(float)
}
