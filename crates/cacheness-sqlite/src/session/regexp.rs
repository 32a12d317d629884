//! The function behind SQL's operator `REGEXP`, which SQLite leaves to programs.

use std::sync::Arc;

use regex::Regex;
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;

/// Installs `REGEXP`: whether the expression occurs in the text. Expressions are those of the crate `regex`, which needs
/// a time linear in the text, and has no references to earlier groups and no looking around.
pub(super) fn install(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("regexp", 2, flags, occurs)
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
