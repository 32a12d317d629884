//! User-defined tables: created when they are missing, extended by new columns and indexes. Their form is that of
//! SQLAlchemy: `docs/formats/models.md`.

use std::fmt::Write;

use cacheness_core::backend::{ColumnType, Schema, SchemaColumn, SchemaIndex};
use cacheness_core::formats::plain::Value;
use cacheness_core::{Error, ErrorKind, Result};
use rusqlite::Connection;
use rusqlite::ffi::ErrorCode;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::quoted;
use super::values::stored;
use crate::error::translate;

fn failed(error: rusqlite::Error) -> Error {
    translate("cannot read a table of custom metadata", error)
}

/// Makes the table what the schema says, in a transaction of the caller.
pub(crate) fn create(connection: &Connection, schema: &Schema) -> Result<()> {
    for statement in missing(connection, schema)? {
        connection.execute_batch(&statement).map_err(|error| {
            let is_refused = error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation);
            let error = translate("cannot create a table of custom metadata", error).within(&schema.name);
            match is_refused {
                true => error.with_hint("rows that exist have equal values in the columns of a unique index"),
                false => error,
            }
        })?;
    }
    Ok(())
}

/// The statements that make the table what the schema says; none if it is.
pub(crate) fn missing(connection: &Connection, schema: &Schema) -> Result<Vec<String>> {
    let kind: Option<String> = {
        let mut statement = connection
            .prepare("SELECT type FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE AND type IN ('table', 'view')")
            .map_err(failed)?;
        let mut rows = statement.query([&schema.name]).map_err(failed)?;
        rows.next().map_err(failed)?.map(|row| row.get(0)).transpose().map_err(failed)?
    };
    match kind.as_deref() {
        None => {
            let mut statements = vec![creation(schema)?];
            statements.extend(indexes(schema).filter(|index| !index.unique).map(|index| index_of(schema, &index)));
            Ok(statements)
        }
        Some("table") => missing_parts(connection, schema),
        Some(_) => Err(Error::new(ErrorKind::InvalidInput, format!("{} is a view, not a table", schema.name))),
    }
}

/// The indexes of the schema and that of the owner.
fn indexes(schema: &Schema) -> impl Iterator<Item = SchemaIndex> {
    let owner = Schema::new("").index([schema.owner.clone()], false).indexes;
    owner.into_iter().chain(schema.indexes.iter().cloned())
}

fn creation(schema: &Schema) -> Result<String> {
    let mut parts = Vec::new();
    let generated = schema.generated_key().map(|name| SchemaColumn::new(name, ColumnType::Integer));
    // A key of parameters has 16 characters, a name up to 1024.
    let owner = format!("{} VARCHAR(1024) NOT NULL", quoted(&schema.owner));
    if let Some(key) = &generated {
        parts.push(definition(key)?);
    }
    for column in &schema.columns {
        parts.push(definition(column)?);
    }
    parts.push(owner);
    let key: Vec<&str> = schema.primary_key().map(|(name, _)| name).collect();
    parts.push(format!("PRIMARY KEY ({})", list(&key)));
    for index in schema.indexes.iter().filter(|index| index.unique) {
        parts.push(format!("UNIQUE ({})", list(&index.columns)));
    }
    let owner = quoted(&schema.owner);
    parts.push(format!("FOREIGN KEY({owner}) REFERENCES cache_entries (cache_key) ON DELETE CASCADE"));
    Ok(format!("CREATE TABLE {} (\n\t{}\n)", quoted(&schema.name), parts.join(",\n\t")))
}

fn definition(column: &SchemaColumn) -> Result<String> {
    let kind = match column.kind {
        ColumnType::Integer => "INTEGER",
        ColumnType::Float => "FLOAT",
        ColumnType::Boolean => "BOOLEAN",
        ColumnType::Text => "VARCHAR",
        ColumnType::Bytes => "BLOB",
        ColumnType::Time => "DATETIME",
        ColumnType::Date => "DATE",
        ColumnType::Json => "JSON",
        other => {
            let what = format!("the column {}: SQLite keeps no {}", column.name, other.name());
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
    };
    let mut text = format!("{} {kind}", quoted(&column.name));
    if let Some(value) = &column.default {
        let literal = literal(value).map_err(|error| error.within(&column.name))?;
        write!(text, " DEFAULT {literal}").expect("writing into a String never fails");
    }
    if !column.nullable {
        text += " NOT NULL";
    }
    Ok(text)
}

/// A value in the text of a statement: the default of a column cannot be a parameter.
fn literal(value: &Value) -> Result<String> {
    let wrong = |what: &str| Error::new(ErrorKind::InvalidInput, format!("{what} cannot be a default"));
    let text = |text: &str| match text.contains('\0') {
        true => Err(wrong("a text with a NUL character")),
        false => Ok(format!("'{}'", text.replace('\'', "''"))),
    };
    let output = stored(value).map_err(wrong)?;
    let value = match &output {
        ToSqlOutput::Borrowed(value) => *value,
        ToSqlOutput::Owned(value) => ValueRef::from(value),
        _ => return Err(wrong("such a value")),
    };
    match value {
        ValueRef::Null => Ok("NULL".to_owned()),
        ValueRef::Integer(value) => Ok(value.to_string()),
        ValueRef::Real(value) if value.is_infinite() => Ok(if value > 0.0 { "9e999" } else { "-9e999" }.to_owned()),
        ValueRef::Real(value) => Ok(format!("{value:?}")),
        ValueRef::Text(bytes) => text(std::str::from_utf8(bytes).map_err(|_| wrong("a text that is not UTF-8"))?),
        ValueRef::Blob(bytes) => {
            Ok(format!("X'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
        }
    }
}

fn list(names: &[impl AsRef<str>]) -> String {
    names.iter().map(|name| quoted(name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// The statement that creates an index; SQLAlchemy's name for one that is not unique.
fn index_of(schema: &Schema, index: &SchemaIndex) -> String {
    let unique = if index.unique { "UNIQUE " } else { "" };
    let (name, table) = (quoted(&index_name(schema, index)), quoted(&schema.name));
    format!("CREATE {unique}INDEX {name} ON {table} ({})", list(&index.columns))
}

fn index_name(schema: &Schema, index: &SchemaIndex) -> String {
    let prefix = if index.unique { "uq" } else { "ix" };
    format!("{prefix}_{}_{}", schema.name, index.columns.join("_"))
}

/// A column of a table that exists.
struct Present {
    name: String,
    declared: String,
    nullable: bool,
    in_key: bool,
}

fn missing_parts(connection: &Connection, schema: &Schema) -> Result<Vec<String>> {
    let table = &schema.name;
    let present = columns(connection, table)?;
    let find = |name: &str| present.iter().find(|column| column.name.eq_ignore_ascii_case(name));
    let mut statements = Vec::new();
    if find(&schema.owner).is_none() || !belongs_to_entries(connection, schema)? {
        let what = format!("has no column {} that is a foreign key on cache_entries and cascades", schema.owner);
        return Err(impossible(schema, &what, None));
    }
    if let Some(key) = schema.generated_key()
        && find(key).is_none_or(|column| !column.in_key)
    {
        let what = format!("has another primary key than {key}");
        return Err(impossible(schema, &what, Some("name the columns of its primary key in the model")));
    }
    for column in &schema.columns {
        match find(&column.name) {
            Some(present) => compare(schema, column, present)?,
            None => {
                refuse_addition(schema, column)?;
                statements.push(format!("ALTER TABLE {} ADD COLUMN {}", quoted(table), definition(column)?));
            }
        }
    }
    let known = known_indexes(connection, table)?;
    let key: Vec<&str> = present.iter().filter(|column| column.in_key).map(|column| column.name.as_str()).collect();
    for index in indexes(schema) {
        let is_same = |columns: &[String]| {
            columns.len() == index.columns.len()
                && columns.iter().zip(&index.columns).all(|(a, b)| a.eq_ignore_ascii_case(b))
        };
        let is_there = known.iter().any(|(name, unique, columns)| {
            (*unique || !index.unique) && (is_same(columns) || name.eq_ignore_ascii_case(&index_name(schema, &index)))
        });
        let is_key = key.len() == index.columns.len() && key.iter().zip(&index.columns).all(|(a, b)| a == b);
        if !is_there && !is_key {
            statements.push(index_of(schema, &index));
        }
    }
    Ok(statements)
}

fn columns(connection: &Connection, table: &str) -> Result<Vec<Present>> {
    let sql = "SELECT name, type, \"notnull\", pk FROM pragma_table_info(?1)";
    let mut statement = connection.prepare(sql).map_err(failed)?;
    let found = statement.query_map([table], |row| {
        let (not_null, key): (bool, i64) = (row.get(2)?, row.get(3)?);
        Ok(Present { name: row.get(0)?, declared: row.get(1)?, nullable: !not_null, in_key: key > 0 })
    });
    found.and_then(Iterator::collect).map_err(failed)
}

fn belongs_to_entries(connection: &Connection, schema: &Schema) -> Result<bool> {
    let sql = "SELECT 1 FROM pragma_foreign_key_list(?1) WHERE \"from\" = ?2 COLLATE NOCASE \
               AND \"table\" = 'cache_entries' COLLATE NOCASE AND on_delete = 'CASCADE'";
    connection.prepare(sql).and_then(|mut keys| keys.exists([&schema.name, &schema.owner])).map_err(failed)
}

/// The name of each index that covers all rows, whether it is unique, and its columns.
fn known_indexes(connection: &Connection, table: &str) -> Result<Vec<(String, bool, Vec<String>)>> {
    let sql = "SELECT list.name, list.\"unique\", coalesce(info.name, '') FROM pragma_index_list(?1) AS list, \
               pragma_index_info(list.name) AS info WHERE list.partial = 0 ORDER BY list.seq, info.seqno";
    let mut statement = connection.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([table]).map_err(failed)?;
    let mut found: Vec<(String, bool, Vec<String>)> = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let (name, unique, column): (String, bool, String) =
            (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?, row.get(2).map_err(failed)?);
        match found.last_mut() {
            Some((last, _, columns)) if *last == name => columns.push(column),
            _ => found.push((name, unique, vec![column])),
        }
    }
    Ok(found)
}

fn refuse_addition(schema: &Schema, column: &SchemaColumn) -> Result<()> {
    let name = &column.name;
    if column.primary_key {
        return Err(impossible(schema, &format!("lacks the column {name}, which is part of the primary key"), None));
    }
    let has_default = column.default.as_ref().is_some_and(|value| *value != Value::None);
    if !column.nullable && !has_default {
        let what = format!("lacks the column {name}, and rows that exist have no value for it");
        return Err(impossible(schema, &what, Some("let the column be null (an Option), or give it a default")));
    }
    Ok(())
}

fn compare(schema: &Schema, column: &SchemaColumn, present: &Present) -> Result<()> {
    let name = &column.name;
    if column.primary_key != present.in_key {
        return Err(impossible(schema, &format!("has another primary key than the model: {name}"), None));
    }
    if !fits(column.kind, &present.declared) {
        let (found, wanted) = (&present.declared, column.kind.name());
        let what = format!("has the column {name} of type {found}, and the model a {wanted}");
        return Err(impossible(schema, &what, Some("give the new column another name")));
    }
    if !column.primary_key && column.nullable != present.nullable {
        let (may, instead) = if present.nullable {
            ("may", "let it be null in the model (an Option)")
        } else {
            ("must not", "do not let it be null in the model (no Option)")
        };
        let what = format!("has the column {name}, which {may} be null, unlike that of the model");
        return Err(impossible(schema, &what, Some(instead)));
    }
    Ok(())
}

/// Whether a column with this declaration keeps values of the type.
fn fits(kind: ColumnType, declared: &str) -> bool {
    let declared = declared.to_ascii_uppercase();
    let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
    let found = if has(&["BOOL"]) {
        ColumnType::Boolean
    } else if has(&["INT"]) {
        ColumnType::Integer
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        ColumnType::Text
    } else if has(&["BLOB", "BINARY"]) {
        ColumnType::Bytes
    } else if has(&["REAL", "FLOA", "DOUB", "NUMERIC", "DECIMAL"]) {
        ColumnType::Float
    } else if has(&["DATETIME", "TIMESTAMP"]) {
        ColumnType::Time
    } else if has(&["DATE"]) {
        ColumnType::Date
    } else if has(&["TIME"]) {
        ColumnType::Text
    } else if has(&["JSON"]) {
        ColumnType::Json
    } else {
        return true;
    };
    let pair = |a, b| (kind, found) == (a, b) || (kind, found) == (b, a);
    kind == found || pair(ColumnType::Boolean, ColumnType::Integer) || pair(ColumnType::Json, ColumnType::Text)
}

fn impossible(schema: &Schema, what: &str, instead: Option<&str>) -> Error {
    let table = &schema.name;
    let choice = instead.map(|instead| format!("{instead}; or ")).unwrap_or_default();
    let hint = format!(
        "{choice}give the model another table, or drop this one (DROP TABLE {}), with the rows that it has",
        quoted(table)
    );
    let what = format!("the table {table} {what}: a table that exists cannot be changed so");
    Error::new(ErrorKind::InvalidInput, what).with_hint(hint)
}
