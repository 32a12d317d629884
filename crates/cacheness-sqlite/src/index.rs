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

/// The expressions of an index of the field.
pub(crate) fn expressions(field: &Field) -> Result<String> {
    if field.root() != Root::Metadata {
        return Err(Error::new(ErrorKind::InvalidInput, format!("{field} is not a field of the metadata"))
            .with_hint("an index is made of a field of the metadata; put a parameter there too to have it indexed"));
    }
    filter::indexed(field).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, format!("no index can be made of {field}"))
            .with_hint("a name with quotes, backslashes or control characters has no index")
    })
}

/// The fields that have an index.
pub(crate) fn all(connection: &Connection) -> Result<Vec<Field>> {
    let failed = |e| translate("cannot list the indexes", e);
    let sql = "SELECT substr(name, 16) FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'cache_entries' \
               AND substr(name, 1, 15) = 'cache_metadata:' ORDER BY 1";
    let mut statement = connection.prepare(sql).map_err(failed)?;
    let mut rows = statement.raw_query();
    let mut fields = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let text: String = row.get(0).map_err(failed)?;
        // An index that this release would not make is none of its own.
        fields.extend(Field::parse(&text));
    }
    Ok(fields)
}

/// Creates an index; `false` if there is one.
pub(crate) fn create(connection: &Connection, field: &Field, expressions: &str) -> Result<bool> {
    if all(connection)?.contains(field) {
        return Ok(false);
    }
    let sql = format!("CREATE INDEX {} ON cache_entries ({expressions})", name(field));
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
