//! Rows of user-defined tables that belong to entries: those of tables with a foreign key on `cache_entries` that
//! cascades. SQLite removes them with their entry. A put that replaces an entry keeps its row, so the rows of the former
//! entry are removed here. Each function runs inside a transaction of its caller.

mod select;
mod tables;
mod values;

use std::fmt::Write;
use std::sync::Arc;

use cacheness_core::backend::CustomRow;
use cacheness_core::formats::plain::Value;
use cacheness_core::{Error, ErrorKind, Result, failpoint};
use rusqlite::ffi::ErrorCode;
use rusqlite::{CachedStatement, Connection};

use crate::error::translate;
use crate::pool::Pool;
use crate::statement::{prepare, step};

pub(crate) use select::select;
pub(crate) use tables::{create, missing};

/// A statement for each table: it removes the rows of an entry.
#[derive(Clone, Debug)]
pub(crate) struct KnownTables {
    /// SQLite's number of the schema for which they hold.
    schema: i64,
    removals: Arc<[String]>,
}

/// Where the tables are known from.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    pub(crate) pool: &'a Pool,
    /// No other handle has committed since this process did, so the schema is as it was.
    pub(crate) known: bool,
}

impl Tables<'_> {
    /// Without a statement if the schema cannot have changed since the last call.
    fn removals(self, connection: &Connection) -> Result<Arc<[String]>> {
        let failed = |e| translate("cannot read the schema", e);
        let before = self.pool.tracker().tables();
        if let Some(before) = before.as_ref().filter(|_| self.known) {
            return Ok(Arc::clone(&before.removals));
        }
        let schema = prepare(connection, "PRAGMA schema_version")?.query_row((), |row| row.get(0)).map_err(failed)?;
        if let Some(before) = before.filter(|before| before.schema == schema) {
            return Ok(before.removals);
        }
        let sql = "SELECT tables.name, keys.\"from\" FROM sqlite_schema AS tables, \
                   pragma_foreign_key_list(tables.name) AS keys \
                   WHERE tables.type = 'table' AND keys.\"table\" = 'cache_entries' COLLATE NOCASE \
                   AND keys.on_delete = 'CASCADE'";
        let mut statement = prepare(connection, sql)?;
        let removal =
            |table: String, column: String| format!("DELETE FROM {} WHERE {} = ?1", quoted(&table), quoted(&column));
        let found = statement.query_map((), |row| Ok(removal(row.get(0)?, row.get(1)?))).map_err(failed)?;
        let removals: Arc<[String]> = found.collect::<rusqlite::Result<Vec<_>>>().map_err(failed)?.into();
        self.pool.tracker().note_tables(Some(KnownTables { schema, removals: Arc::clone(&removals) }));
        Ok(removals)
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Removes the rows of the entry `key`, which stays.
pub(crate) fn remove(connection: &Connection, key: &str, tables: Tables<'_>) -> Result<()> {
    let removals = tables.removals(connection)?;
    if removals.len() > 1 {
        // Rows of one table may refer to rows of another. The setting ends with the transaction.
        step(connection, "PRAGMA defer_foreign_keys = ON")?;
    }
    for removal in removals.iter() {
        prepare(connection, removal)?.execute([key]).map_err(|e| translate("cannot remove custom metadata", e))?;
    }
    Ok(())
}

/// Inserts rows that belong to the entry `key`; returns the rowid of each.
pub(crate) fn insert(connection: &Connection, key: &str, rows: &[CustomRow]) -> Result<Vec<i64>> {
    let mut ids: Vec<i64> = Vec::with_capacity(rows.len());
    for row in rows {
        failpoint::reached("put/row");
        let failed = |error| refused(row, error);
        let mut statement = prepare(connection, &insertion(row)).map_err(|error| error.within(&row.table))?;
        let mut place = 0;
        let mut next = || {
            place += 1;
            place
        };
        if row.owner.is_some() {
            statement.raw_bind_parameter(next(), key).map_err(failed)?;
        }
        for (column, value) in &row.values {
            bind(&mut statement, next(), value).map_err(|what| match what {
                Refused::Value(class) => {
                    let what = format!("{}.{column}: a database keeps no value of type {class}", row.table);
                    Error::new(ErrorKind::InvalidInput, what)
                }
                Refused::Sqlite(error) => failed(error),
            })?;
        }
        for (column, other) in &row.references {
            let id = ids.get(*other).ok_or_else(|| {
                let what = format!("{}.{column} refers to row {other}, which is not before it", row.table);
                Error::new(ErrorKind::InvalidInput, what)
            })?;
            statement.raw_bind_parameter(next(), id).map_err(failed)?;
        }
        statement.raw_execute().map_err(failed)?;
        drop(statement);
        ids.push(connection.last_insert_rowid());
    }
    Ok(ids)
}

/// The error of a row that cannot be stored. A violated constraint is named in SQLite's words, with the column.
#[cold]
fn refused(row: &CustomRow, error: rusqlite::Error) -> Error {
    match error {
        rusqlite::Error::SqliteFailure(code, Some(message)) if code.code == ErrorCode::ConstraintViolation => {
            Error::new(ErrorKind::Constraint, format!("a row of {} is refused: {message}", row.table))
        }
        error => translate("cannot write custom metadata", error).within(&row.table),
    }
}

/// The statement that inserts a row: first the owner, then values, then references.
fn insertion(row: &CustomRow) -> String {
    let columns = row.owner.iter().chain(row.values.iter().map(|(column, _)| column));
    let columns = columns.chain(row.references.iter().map(|(column, _)| column));
    let mut sql = format!("INSERT INTO {}", quoted(&row.table));
    let (mut names, mut marks) = (String::new(), String::new());
    for (place, column) in columns.enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        write!(names, "{comma}{}", quoted(column)).expect("writing into a String never fails");
        write!(marks, "{comma}?{}", place + 1).expect("writing into a String never fails");
    }
    sql += &if names.is_empty() { " DEFAULT VALUES".to_owned() } else { format!(" ({names}) VALUES ({marks})") };
    sql
}

enum Refused {
    /// There is no such type in SQLite.
    Value(&'static str),
    Sqlite(rusqlite::Error),
}

fn bind(statement: &mut CachedStatement<'_>, place: usize, value: &Value) -> std::result::Result<(), Refused> {
    let value = values::stored(value).map_err(Refused::Value)?;
    statement.raw_bind_parameter(place, value).map_err(Refused::Sqlite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        let row = CustomRow::new("a \"b\"", Some("cache_key"), vec![("x".into(), Value::None)]).with_reference("y", 0);
        let sql = r#"INSERT INTO "a ""b""" ("cache_key", "x", "y") VALUES (?1, ?2, ?3)"#;
        assert_eq!(insertion(&row), sql);
        assert_eq!(insertion(&CustomRow::new("t", None, Vec::new())), "INSERT INTO \"t\" DEFAULT VALUES");
    }
}
