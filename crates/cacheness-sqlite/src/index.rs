//! Indexes of fields of the metadata.
//!
//! Each is an index of SQLite on an expression, whose name contains the field: the schema is the record of them.

use cacheness_core::query::{Field, Root};
use cacheness_core::{Error, ErrorKind, Result};
use rusqlite::Connection;

use crate::error::translate;
use crate::filter;

const PREFIX: &str = "cache_metadata:";

fn name(field: &Field) -> String {
    // Quoted as an identifier.
    format!("\"{PREFIX}{}\"", field.to_string().replace('"', "\"\""))
}

/// The columns of an index of the field: its value; the key, so that entries of one value are in the order of their keys;
/// and its type, by which most conditions are decided without the row.
pub(crate) fn expressions(field: &Field) -> Result<String> {
    if field.root() != Root::Metadata {
        return Err(Error::new(ErrorKind::InvalidInput, format!("{field} is not a field of the metadata"))
            .with_hint("an index is made of a field of the metadata; put a parameter there too to have it indexed"));
    }
    columns(field).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, format!("no index can be made of {field}"))
            .with_hint("a name with quotes, backslashes or control characters has no index")
    })
}

fn columns(field: &Field) -> Option<String> {
    let (value, kind) = (filter::extract(field.steps())?, filter::json_type(field.steps())?);
    Some(format!("{value}, cache_key, {kind}"))
}

fn statement(field: &Field, columns: &str) -> String {
    format!("CREATE INDEX {} ON cache_entries ({columns})", name(field))
}

/// The fields that have an index.
pub(crate) fn all(connection: &Connection) -> Result<Vec<Field>> {
    Ok(listed(connection)?.into_iter().map(|(field, _)| field).collect())
}

/// The fields whose index has the columns of this release. A search cannot use another one.
pub(crate) fn usable(connection: &Connection) -> Result<Vec<Field>> {
    let mut found = listed(connection)?;
    found.retain(|(field, sql)| columns(field).is_some_and(|columns| *sql == statement(field, &columns)));
    Ok(found.into_iter().map(|(field, _)| field).collect())
}

fn listed(connection: &Connection) -> Result<Vec<(Field, String)>> {
    let failed = |e| translate("cannot list the indexes", e);
    let sql = "SELECT substr(name, 16), sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'cache_entries' \
               AND substr(name, 1, 15) = 'cache_metadata:' ORDER BY 1";
    let mut statement = connection.prepare(sql).map_err(failed)?;
    let mut rows = statement.raw_query();
    let mut fields = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let (text, sql): (String, String) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
        // An index that this release would not make is none of its own.
        fields.extend(Field::parse(&text).map(|field| (field, sql)));
    }
    Ok(fields)
}

/// Creates an index, in place of one with other columns; `false` if there is one.
pub(crate) fn create(connection: &Connection, field: &Field, columns: &str) -> Result<bool> {
    if usable(connection)?.contains(field) {
        return Ok(false);
    }
    let sql = format!("DROP INDEX IF EXISTS {}; {}", name(field), statement(field, columns));
    connection.execute_batch(&sql).map(|()| true).map_err(|e| translate("cannot create an index", e))
}

/// Removes an index; `false` if there is none.
pub(crate) fn remove(connection: &Connection, field: &Field) -> Result<bool> {
    if !all(connection)?.contains(field) {
        return Ok(false);
    }
    let sql = format!("DROP INDEX {}", name(field));
    connection.execute_batch(&sql).map(|()| true).map_err(|e| translate("cannot remove an index", e))
}
