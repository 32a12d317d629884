//! Functions that SQLite leaves to programs: the one behind the operator `REGEXP`, and `floor`, which SQLAlchemy uses for
//! divisions of integers.

use std::sync::Arc;

use regex::Regex;
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};

/// Installs the functions. `REGEXP`: whether the expression occurs in the text. Expressions are those of the crate `regex`, which needs
/// a time linear in the text, and has no references to earlier groups and no looking around.
pub(super) fn install(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("floor", 1, flags, floor)?;
    connection.create_scalar_function("regexp", 2, flags, occurs)
}

/// The largest whole number that is not greater, as an integer if there is one.
fn floor(context: &Context<'_>) -> rusqlite::Result<Value> {
    Ok(match context.get_raw(0) {
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => {
            let whole = number.floor();
            // 2 to the power of 63 has no exact neighbour below it.
            #[allow(clippy::cast_possible_truncation)]
            if whole.abs() < 9.2e18 { Value::Integer(whole as i64) } else { Value::Real(whole) }
        }
        _ => Value::Null,
    })
}

fn occurs(context: &Context<'_>) -> rusqlite::Result<Option<bool>> {
    let wrong = |error: regex::Error| rusqlite::Error::UserFunctionError(Box::new(error));
    let expression: Arc<Regex> = context.get_or_create_aux(0, |value| -> rusqlite::Result<Regex> {
        Regex::new(value.as_str().unwrap_or_default()).map_err(wrong)
    })?;
    Ok(match context.get_raw(1) {
        ValueRef::Null => None,
        ValueRef::Text(text) => Some(expression.is_match(&String::from_utf8_lossy(text))),
        ValueRef::Integer(number) => Some(expression.is_match(&number.to_string())),
        ValueRef::Real(number) => Some(expression.is_match(&number.to_string())),
        ValueRef::Blob(_) => Some(false),
    })
}
