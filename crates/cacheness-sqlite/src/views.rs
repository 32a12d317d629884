//! What queries of users see: temporary views of one connection. Specified in `docs/formats/views.md`.
//!
//! The views `entries` and `cache_entries` select from a third view, and only that one reads tables. Its name is random:
//! the authorizer learns from SQLite the name of the view that a read comes from, and a user's common table expression may
//! have any name, but not one that the user cannot know.

use cacheness_core::clock::Timestamp;
use cacheness_core::entry::Computed;
use cacheness_core::fields;
use cacheness_core::key::{Caption, render};
use cacheness_core::{Error, ErrorKind, Result};
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;

use crate::error::translate;

/// The views that users may name.
pub(crate) const VIEWS: [&str; 2] = ["entries", "cache_entries"];

/// The columns of `entries`, in their order. `cache_entries` has one more at its end, `full_metadata`.
const COLUMNS: &str = "cache_key, function, call, description, data_type, object_type, handler_used, storage_format, \
    serializer, compression_codec, file_size, size_mb, inline, actual_path, created_at, created, accessed_at, \
    last_accessed, expires_at, expires, access_count, compute_seconds, file_hash, entry_signature, metadata, params, pinned";

/// The prefix of the functions that only the views call.
pub(crate) const PRIVATE: &str = "cacheness_";

/// The view that reads tables. Its condition is true for every row: SQLite asks again about a table of which a statement
/// uses no column, and then does not say which view it comes from. `{full}` is the expression of `full_metadata`.
const BASE: &str = "SELECT e.cache_key AS cache_key, cacheness_function(e.params) AS function, \
    cacheness_call(e.params, e.cache_key) AS call, coalesce(e.description, '') AS description, e.data_type AS data_type, \
    e.object_type AS object_type, e.handler AS handler_used, e.storage_format AS storage_format, \
    e.storage_format AS serializer, e.compression AS compression_codec, e.file_size AS file_size, \
    e.file_size / 1048576.0 AS size_mb, e.locator IS NULL AS inline, e.locator AS actual_path, \
    cacheness_time(e.created_at) AS created_at, cacheness_time(e.created_at) AS created, \
    cacheness_time(e.accessed_at) AS accessed_at, cacheness_time(e.accessed_at) AS last_accessed, \
    cacheness_time(e.expires_at) AS expires_at, cacheness_time(e.expires_at) AS expires, e.access_count AS access_count, \
    cacheness_seconds(e.computed) AS compute_seconds, printf('%016x', e.file_hash) AS file_hash, \
    iif(e.signature IS NULL, NULL, lower(hex(e.signature))) AS entry_signature, e.metadata AS metadata, \
    cacheness_params(e.params) AS params, \
    EXISTS (SELECT 1 FROM main.cache_pins AS p WHERE p.cache_key = e.cache_key) AS pinned, {full} AS full_metadata \
    FROM main.cache_entries AS e WHERE +e.cache_key >= ''";

/// Creates the views and their functions on this connection; returns the name of the view that reads tables.
pub(crate) fn create(connection: &Connection, full_metadata: bool) -> Result<String> {
    let failed = |e| translate("cannot create the views of a query", e);
    let random = || getrandom::u64().map_err(|e| Error::io("the system has no random numbers", e.into()));
    let base = format!("v{:016x}{:016x}", random()?, random()?);
    register(connection).map_err(failed)?;
    let full = if full_metadata { "cacheness_full(e.metadata, e.params)" } else { "NULL" };
    let body = BASE.replace("{full}", full);
    let sql = format!(
        "CREATE TEMP VIEW {base} AS {body}; CREATE TEMP VIEW entries AS SELECT {COLUMNS} FROM temp.{base}; \
         CREATE TEMP VIEW cache_entries AS SELECT {COLUMNS}, full_metadata FROM temp.{base}"
    );
    connection.execute_batch(&sql).map_err(failed)?;
    Ok(base)
}

fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("cacheness_time", 1, flags, |c| {
        Ok(optional(c, 0)?.and_then(integer).map(|micros| Timestamp(micros).to_iso()))
    })?;
    connection.create_scalar_function("cacheness_seconds", 1, flags, |c| {
        let computed = optional(c, 0)?.and_then(blob).and_then(|bytes| <[u8; 24]>::try_from(bytes).ok());
        Ok(computed.map(|bytes| Computed::from_bytes(bytes).seconds()))
    })?;
    connection.create_scalar_function("cacheness_function", 1, flags, |c| {
        Ok(caption(optional(c, 0)?).and_then(|caption| caption.function))
    })?;
    connection.create_scalar_function("cacheness_call", 2, flags, |c| {
        let of_name = || -> rusqlite::Result<Caption> { Ok(Caption::of_name(c.get_raw(1).as_str()?)) };
        Ok(caption(optional(c, 0)?).map_or_else(of_name, Ok)?.call)
    })?;
    connection.create_scalar_function("cacheness_params", 1, flags, |c| {
        Ok(optional(c, 0)?.and_then(blob).and_then(|params| render(params).ok()).map(|params| params.to_string()))
    })?;
    connection.create_scalar_function("cacheness_full", 2, flags, |c| {
        let metadata = optional(c, 0)?.and_then(|value| value.as_str().ok());
        Ok(fields::full_metadata(metadata, optional(c, 1)?.and_then(blob)))
    })
}

/// The argument, if it is not `NULL`.
fn optional<'a>(context: &'a Context<'_>, index: usize) -> rusqlite::Result<Option<ValueRef<'a>>> {
    Ok(Some(context.get_raw(index)).filter(|value| *value != ValueRef::Null))
}

fn integer(value: ValueRef<'_>) -> Option<i64> {
    value.as_i64().ok()
}

fn blob(value: ValueRef<'_>) -> Option<&[u8]> {
    value.as_blob().ok()
}

fn caption(params: Option<ValueRef<'_>>) -> Option<Caption> {
    params.and_then(blob).and_then(|params| Caption::of_params(params).ok())
}

/// A copy, in memory, of what the views read from a database that has only one connection.
pub(crate) fn copy(from: &Connection, to: &Connection) -> Result<()> {
    const TABLES: [(&str, &str); 2] = [
        (
            "cache_entries",
            "cache_key, created_at, accessed_at, expires_at, access_count, handler, data_type, storage_format, compression, \
             object_type, file_size, file_hash, signature, description, metadata, params, computed, locator",
        ),
        ("cache_pins", "cache_key"),
    ];
    let failed = |e| translate("cannot copy the entries for a query", e);
    for (table, columns) in TABLES {
        let names: Vec<&str> = columns.split(", ").map(str::trim).collect();
        let rest = names[1..].iter().map(|name| format!(", {name}")).collect::<String>();
        let places = vec!["?"; names.len()].join(", ");
        to.execute_batch(&format!(
            "CREATE TABLE {table} (id INTEGER PRIMARY KEY, cache_key TEXT NOT NULL UNIQUE{rest}); BEGIN"
        ))
        .map_err(failed)?;
        let mut insert = to.prepare(&format!("INSERT INTO {table} ({columns}) VALUES ({places})")).map_err(failed)?;
        let mut select = from.prepare(&format!("SELECT {columns} FROM {table}")).map_err(failed)?;
        let mut rows = select.raw_query();
        while let Some(row) = rows.next().map_err(failed)? {
            for index in 0..names.len() {
                let value = row.get_ref(index).map_err(failed)?;
                insert.raw_bind_parameter(index + 1, rusqlite::types::ToSqlOutput::Borrowed(value)).map_err(failed)?;
            }
            insert.raw_execute().map_err(failed)?;
        }
        to.execute_batch("COMMIT").map_err(failed)?;
    }
    Ok(())
}

/// The error for a statement that has no result, or none at all.
pub(crate) fn no_query() -> Error {
    Error::new(ErrorKind::InvalidInput, "there is no query").with_hint("write SELECT … FROM entries")
}
