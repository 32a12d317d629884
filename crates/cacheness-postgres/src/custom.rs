//! Rows of user-defined tables that belong to entries: those of tables with a foreign key on the entries that cascades.
//!
//! PostgreSQL removes them with their entry. A put that replaces an entry keeps its row, so the rows of the former entry are
//! removed here. A put has to know the tables for that: it compares the number of triggers that the table of entries has
//! with the one that belongs to the list which this process knows. A foreign key is two triggers.

mod select;
mod tables;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use cacheness_core::backend::{CustomRow, time_of};
use cacheness_core::formats::plain::{Value, calendar};
use cacheness_core::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use tokio_postgres::types::Type;

use crate::error::database_error;
use crate::link::{Link, Param};
use crate::names::{Names, quoted};

pub(crate) use select::select;
pub(crate) use tables::{create, missing};

const WRITE: &str = "cannot write custom metadata";

/// The tables with rows of entries, and how many triggers the table of entries has with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    pub(crate) triggers: i64,
    /// A statement for each table: it removes the rows of an entry.
    pub(crate) removals: Arc<[String]>,
}

/// What a process knows of the tables.
#[derive(Debug, Default)]
pub(crate) struct Known {
    tables: Mutex<Tables>,
    columns: Mutex<HashMap<String, Arc<Columns>>>,
}

/// The columns of a table.
#[derive(Debug, Default)]
struct Columns {
    types: HashMap<String, String>,
    /// The column of its generated key, if it has one of integers.
    key: Option<String>,
}

impl Known {
    pub(crate) fn tables(&self) -> Tables {
        self.tables.lock().clone()
    }

    /// Reads the list anew.
    pub(crate) fn refresh(&self, link: &mut Link, names: &Names) -> Result<Tables> {
        let action = "cannot read the tables of custom metadata";
        let entries = names.of("entries");
        let sql = "SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass($1)), \
                   n.nspname::text, c.relname::text, a.attname::text \
                   FROM (SELECT 1) AS one LEFT JOIN (pg_constraint AS f \
                     JOIN pg_class AS c ON c.oid = f.conrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace \
                     JOIN pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1]) \
                   ON f.contype = 'f' AND f.confdeltype = 'c' AND f.confrelid = to_regclass($1) ORDER BY 2, 3, 4";
        let rows = link.query_once(action, sql, &[(&entries, Type::TEXT)])?;
        let text = |row: &tokio_postgres::Row, place: usize| row.try_get::<_, Option<String>>(place).ok().flatten();
        let removals: Arc<[String]> = rows
            .iter()
            .filter_map(|row| {
                let (schema, table, column) = (text(row, 1)?, text(row, 2)?, text(row, 3)?);
                Some(format!("DELETE FROM {}.{} WHERE {} = $1", quoted(&schema), quoted(&table), quoted(&column)))
            })
            .collect();
        let triggers = rows.first().and_then(|row| row.try_get(0).ok()).unwrap_or(0);
        let tables = Tables { triggers, removals };
        *self.tables.lock() = tables.clone();
        self.columns.lock().clear();
        Ok(tables)
    }

    /// The columns of a table in the schema of the store.
    fn columns(&self, link: &mut Link, names: &Names, table: &str) -> Result<Arc<Columns>> {
        if let Some(known) = self.columns.lock().get(table) {
            return Ok(Arc::clone(known));
        }
        let sql = "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), \
                   i.indnkeyatts = 1 AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) \
                   FROM pg_attribute AS a LEFT JOIN pg_index AS i \
                     ON i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY(i.indkey) \
                   WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped";
        let name = format!("{}.{}", quoted(names.schema()), quoted(table));
        let rows = link.query_once(WRITE, sql, &[(&name, Type::TEXT)])?;
        if rows.is_empty() {
            return Err(Error::new(ErrorKind::Metadata, format!("there is no table {table}")));
        }
        let mut columns = Columns::default();
        for row in &rows {
            let (Ok(name), Ok(kind)) = (row.try_get::<_, String>(0), row.try_get::<_, String>(1)) else { continue };
            if row.try_get::<_, Option<bool>>(2).ok().flatten() == Some(true) {
                columns.key = Some(name.clone());
            }
            columns.types.insert(name, kind);
        }
        let columns = Arc::new(columns);
        self.columns.lock().insert(table.to_owned(), Arc::clone(&columns));
        Ok(columns)
    }

    /// Inserts rows that belong to the entry `key`; returns the key of each in its table, 0 where it is no integer.
    pub(crate) fn insert(&self, link: &mut Link, names: &Names, key: &str, rows: &[CustomRow]) -> Result<Vec<i64>> {
        let mut ids: Vec<i64> = Vec::with_capacity(rows.len());
        for row in rows {
            cacheness_core::failpoint::reached("put/row");
            let columns = self.columns(link, names, &row.table)?;
            let mut values = Vec::with_capacity(row.values.len() + 1);
            if let Some(owner) = &row.owner {
                values.push((owner.as_str(), Some(key.to_owned())));
            }
            for (column, value) in &row.values {
                values.push((column.as_str(), text_of(&row.table, column, value)?));
            }
            for (column, other) in &row.references {
                let id = ids.get(*other).ok_or_else(|| {
                    let what = format!("{}.{column} refers to row {other}, which is not before it", row.table);
                    Error::new(ErrorKind::InvalidInput, what)
                })?;
                values.push((column.as_str(), Some(id.to_string())));
            }
            let sql = insertion(names, &row.table, &columns, values.iter().map(|(column, _)| *column))?;
            let params: Vec<Param<'_>> = values.iter().map(|(_, value)| value as Param<'_>).collect();
            let inserted = link.query(WRITE, &sql, &params).map_err(|error| refused(&row.table, error))?;
            ids.push(inserted.first().and_then(|row| row.try_get(0).ok()).unwrap_or(0));
        }
        Ok(ids)
    }
}

/// The statement that inserts a row. Values are sent as texts, which PostgreSQL reads as values of the columns' types.
fn insertion<'a>(
    names: &Names,
    table: &str,
    columns: &Columns,
    given: impl Iterator<Item = &'a str>,
) -> Result<String> {
    let (mut list, mut marks) = (String::new(), String::new());
    for (place, column) in given.enumerate() {
        let kind = columns.types.get(column).ok_or_else(|| {
            Error::new(ErrorKind::Metadata, format!("the table {table} has no column {column}"))
                .with_hint("migrate_custom_metadata_tables() adds columns that a model has got")
        })?;
        let comma = if place == 0 { "" } else { ", " };
        // A `String` is always written.
        let _ = write!(list, "{comma}{}", quoted(column));
        let _ = write!(marks, "{comma}CAST(${}::text AS {kind})", place + 1);
    }
    let values = if list.is_empty() { "DEFAULT VALUES".to_owned() } else { format!("({list}) VALUES ({marks})") };
    let key = columns.key.as_deref().map_or_else(|| "0::bigint".to_owned(), |key| format!("{}::bigint", quoted(key)));
    Ok(format!("INSERT INTO {}.{} {values} RETURNING {key}", quoted(names.schema()), quoted(table)))
}

/// A value as a text that PostgreSQL reads.
fn text_of(table: &str, column: &str, value: &Value) -> Result<Option<String>> {
    Ok(Some(match value {
        Value::None => return Ok(None),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) if value.is_infinite() => {
            if *value > 0.0 {
                "Infinity".to_owned()
            } else {
                "-Infinity".to_owned()
            }
        }
        Value::Float(value) => format!("{value:?}"),
        Value::Str(text) if text.contains('\0') => {
            let what = format!("{table}.{column}: PostgreSQL keeps no NUL character");
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        Value::Str(text) => text.clone(),
        Value::Bytes(bytes) | Value::ByteArray(bytes) => bytes.iter().fold("\\x".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }),
        Value::DateTime(_) if time_of(value).is_some() => {
            return Ok(time_of(value).and_then(|time| calendar::format_datetime(time.0)));
        }
        Value::Date(days) if calendar::is_date(*days) => return Ok(calendar::format_date(*days)),
        other => {
            let what = format!("{table}.{column}: a database keeps no value of type {}", other.type_name());
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
    }))
}

/// The error of a row that cannot be stored. A violated constraint is named in PostgreSQL's words, with the column.
#[cold]
fn refused(table: &str, error: Error) -> Error {
    match database_error(&error) {
        Some(said) if said.class() == "23" => {
            let detail = said.detail().map_or_else(String::new, |detail| format!(": {detail}"));
            let what = format!("a row of {table} is refused: {}{detail}", said.message());
            Error::new(ErrorKind::Constraint, what).with_source(error)
        }
        Some(said) if said.class() == "22" => {
            let what = format!("a row of {table} is refused: {}", said.message());
            Error::new(ErrorKind::InvalidInput, what).with_source(error)
        }
        _ => error.within(table),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_inserted_by_name_and_type() {
        let names = Names::new("s", "cache_");
        let columns = Columns {
            types: [("a", "integer"), ("b \"c\"", "timestamp without time zone")]
                .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
                .into(),
            key: Some("id".to_owned()),
        };
        let sql = insertion(&names, "t", &columns, ["a", "b \"c\""].into_iter()).unwrap();
        let expected = "INSERT INTO \"s\".\"t\" (\"a\", \"b \"\"c\"\"\") VALUES (CAST($1::text AS integer), \
                        CAST($2::text AS timestamp without time zone)) RETURNING \"id\"::bigint";
        assert_eq!(sql, expected);
        assert_eq!(insertion(&names, "t", &columns, ["x"].into_iter()).unwrap_err().kind(), ErrorKind::Metadata);
        let none = insertion(&names, "t", &Columns::default(), std::iter::empty()).unwrap();
        assert_eq!(none, "INSERT INTO \"s\".\"t\" DEFAULT VALUES RETURNING 0::bigint");
    }

    #[test]
    fn values_are_texts() {
        let text = |value: Value| text_of("t", "c", &value).unwrap();
        assert_eq!(text(Value::None), None);
        assert_eq!(text(Value::Float(0.1)).as_deref(), Some("0.1"));
        assert_eq!(text(Value::Float(f64::NEG_INFINITY)).as_deref(), Some("-Infinity"));
        assert_eq!(text(Value::Bytes(vec![0, 255])).as_deref(), Some("\\x00ff"));
        assert!(text_of("t", "c", &Value::Str("a\0".into())).is_err());
        assert!(text_of("t", "c", &Value::List(Vec::new())).is_err());
    }
}
