//! Queries of users over the views of `docs/formats/views.md`.
//!
//! A query becomes the inner part of a statement of ours, which defines the views: so it can be nothing but a `SELECT`. It
//! runs in a read-only transaction whose search path has only PostgreSQL's own names. Before it runs, PostgreSQL tells how
//! it would execute it, and with that which tables it reads.

use std::time::Duration;

use bytes::BytesMut;
use cacheness_core::backend::{Cancel, Sql, SqlParams, SqlRef, SqlRows, SqlRowsWriter, SqlValue};
use cacheness_core::{Error, ErrorKind, Result};
use futures_util::StreamExt as _;
use tokio_postgres::Statement;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::link::{Link, Param};
use crate::names::Names;
use crate::numeric;
use crate::options::PostgresOptions;
use crate::scan_sql::{Parameter, Scanned, scan};
use crate::text::{escape, unescape};

const RUN: &str = "cannot run a query";

/// The longest statement, in bytes.
const LONGEST_STATEMENT: usize = 1 << 20;

/// A time in the form that listings have; a time that PostgreSQL does not have is a number of microseconds.
macro_rules! time {
    ($column:literal) => {
        concat!(
            "CASE WHEN e.",
            $column,
            " BETWEEN -62135596800000000 AND 253402300799999999 THEN \
             to_char(timestamp 'epoch' + e.",
            $column,
            " * interval '1 microsecond', \
             'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"') ELSE e.",
            $column,
            "::text END"
        )
    };
}

/// The columns of the view `entries`.
const COLUMNS: &str = concat!(
    "e.cache_key, e.function, coalesce(e.call, e.cache_key) AS call, coalesce(e.description, '') AS description, \
     e.data_type, e.object_type, e.handler AS handler_used, e.storage_format, e.storage_format AS serializer, \
     e.compression AS compression_codec, e.file_size, e.file_size / 1048576.0::double precision AS size_mb, \
     e.locator IS NULL AS inline, e.locator AS actual_path, ",
    time!("created_at"),
    " AS created_at, ",
    time!("created_at"),
    " AS created, ",
    time!("accessed_at"),
    " AS accessed_at, ",
    time!("accessed_at"),
    " AS last_accessed, ",
    time!("expires_at"),
    " AS expires_at, ",
    time!("expires_at"),
    " AS expires, e.access_count, ",
    "(SELECT sum(get_byte(e.computed, 16 + n) * power(256::double precision, n)) FROM generate_series(0, 7) AS n) \
       / 1e6::double precision AS compute_seconds, \
     lpad(to_hex(e.file_hash), 16, '0') AS file_hash, encode(e.signature, 'hex') AS entry_signature, e.metadata, \
     e.params_json AS params, e.pinned"
);

/// The expression of `full_metadata`: the user's metadata, then the parameters that have other names.
const FULL: &str = "'{' || concat_ws(',', \
     CASE WHEN e.document IS NOT NULL THEN \
       nullif(btrim(regexp_replace(e.metadata, '^\\s*[{]|[}]\\s*$', '', 'g'), E' \\t\\r\\n'), '') END, \
     (SELECT string_agg(to_json(p.key)::text || ':' || p.value::text, ',') FROM json_each(e.params_json::json) AS p \
      WHERE e.document IS NULL OR e.metadata IS NULL \
        OR p.key NOT IN (SELECT json_object_keys(e.metadata::json)))) || '}'";

/// Functions that run SQL of their own, change the session or wait; and whatever begins with `pg_`.
const REFUSED: [&str; 20] = [
    "query_to_xml",
    "query_to_xmlschema",
    "query_to_xml_and_xmlschema",
    "table_to_xml",
    "table_to_xmlschema",
    "table_to_xml_and_xmlschema",
    "schema_to_xml",
    "schema_to_xmlschema",
    "schema_to_xml_and_xmlschema",
    "database_to_xml",
    "database_to_xmlschema",
    "database_to_xml_and_xmlschema",
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "ts_stat",
    "set_config",
    "current_setting",
    "nextval",
    "setval",
    "information_schema",
];

fn refusal(what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("queries only read: {what} is refused"))
        .with_hint("write one SELECT that reads the views entries or cache_entries")
}

fn no_query() -> Error {
    Error::new(ErrorKind::InvalidInput, "there is no query").with_hint("write SELECT … FROM entries")
}

/// Runs a query.
pub(crate) fn run(link: &mut Link, options: &PostgresOptions, names: &Names, sql: &Sql<'_>) -> Result<SqlRows> {
    if sql.text.len() > LONGEST_STATEMENT {
        return Err(Error::new(ErrorKind::InvalidInput, format!("the query has {} bytes", sql.text.len()))
            .with_hint("pass values as parameters; a list of them as JSON"));
    }
    if sql.cancel.is_cancelled() {
        return Err(Error::new(ErrorKind::Cancelled, "the query was cancelled"));
    }
    if sql.timeout == Some(Duration::ZERO) {
        return Err(timed_out(Duration::ZERO));
    }
    let scanned = scan(sql.text)?;
    check_names(&scanned)?;
    let values = bound(&scanned, sql.params)?;
    let timeout = sql.timeout.map_or(0, |timeout| timeout.as_millis().max(1));
    let begin = format!(
        "BEGIN READ ONLY; SET LOCAL search_path = pg_catalog; SET LOCAL statement_timeout = {timeout}; \
         SET LOCAL timezone = 'UTC'"
    );
    link.batch(RUN, &begin)?;
    let result = answer(link, options, names, sql, &scanned, &values);
    if !link.is_broken() {
        // Also ends a query that was given up.
        link.batch(RUN, "ROLLBACK")?;
    }
    match result {
        Err(error) if error.kind() == ErrorKind::TimedOut => Err(timed_out(sql.timeout.unwrap_or_default())),
        result => result,
    }
}

fn timed_out(timeout: Duration) -> Error {
    Error::new(ErrorKind::TimedOut, format!("the query was stopped after {} seconds", timeout.as_secs_f64()))
        .with_hint("give it more time with timeout, or let it examine fewer entries")
        .retryable(false)
}

/// Refuses what no query needs, and what would make nonsense of the frame around it.
fn check_names(scanned: &Scanned) -> Result<()> {
    let Some(first) = scanned.text.split_whitespace().next() else { return Err(no_query()) };
    let first = first.trim_start_matches('(').to_uppercase();
    let is_query = ["SELECT", "VALUES", "WITH", "TABLE", ""].iter().any(|word| first == **word)
        || ["SELECT", "VALUES"]
            .iter()
            .any(|word| first.strip_prefix(word).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric)));
    if !is_query {
        return Err(refusal(first.trim_end_matches(';')));
    }
    let depth = scanned.text.chars().try_fold(0_i32, |depth, c| match c {
        '(' => Some(depth + 1),
        ')' => (depth > 0).then_some(depth - 1),
        _ => Some(depth),
    });
    // Parentheses in texts are counted too, so this refuses only what leaves the frame for certain.
    if depth.is_none() && !scanned.text.contains(['\'', '"', '$']) {
        return Err(Error::new(ErrorKind::InvalidInput, "the query is wrong: a parenthesis is closed and not opened"));
    }
    for name in &scanned.names {
        if name.starts_with("pg_")
            || name.starts_with("lo_")
            || name.starts_with("dblink")
            || REFUSED.contains(&name.as_str())
        {
            return Err(refusal(name));
        }
    }
    Ok(())
}

/// A value of a parameter.
#[derive(Debug)]
struct Bound<'a>(&'a SqlValue);

impl Bound<'_> {
    fn kind(&self) -> Type {
        match self.0 {
            SqlValue::Null => Type::UNKNOWN,
            SqlValue::Bool(_) => Type::BOOL,
            SqlValue::Int(_) => Type::INT8,
            SqlValue::Float(_) => Type::FLOAT8,
            SqlValue::Text(_) => Type::TEXT,
            SqlValue::Bytes(_) => Type::BYTEA,
        }
    }
}

impl ToSql for Bound<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self.0 {
            SqlValue::Null => Ok(IsNull::Yes),
            SqlValue::Bool(value) => value.to_sql(kind, out),
            SqlValue::Int(value) => value.to_sql(kind, out),
            SqlValue::Float(value) => value.to_sql(kind, out),
            SqlValue::Text(text) => escape(text).to_sql(kind, out),
            SqlValue::Bytes(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn plural(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// The value of each parameter.
fn bound<'a>(scanned: &Scanned, params: &'a SqlParams) -> Result<Vec<Bound<'a>>> {
    let wrong = |what: String, hint: &'static str| Error::new(ErrorKind::InvalidInput, what).with_hint(hint);
    if let SqlParams::Positional(values) = params {
        let count = scanned.parameters.iter().fold(0, |count, parameter| match parameter {
            Parameter::Number(number) => count.max(number + 1),
            Parameter::Named(_) => count + 1,
        });
        if values.len() != count {
            let (parameters, given) = (plural(count, "parameter"), plural(values.len(), "value"));
            let what = format!("the query has {parameters}, and {given} given");
            return Err(wrong(what, "give a value for each ? of the query"));
        }
    }
    let value = |(place, parameter): (usize, &Parameter)| match (params, parameter) {
        (SqlParams::Positional(values), Parameter::Number(number)) => Ok(Bound(&values[*number])),
        (SqlParams::Positional(values), Parameter::Named(_)) => Ok(Bound(&values[place])),
        (SqlParams::Named(values), Parameter::Named(name)) => {
            let found = values.iter().find(|(known, _)| known == name);
            let missing = || wrong(format!("no value is given for :{name}"), "give a value for each name");
            found.map(|(_, value)| Bound(value)).ok_or_else(missing)
        }
        (SqlParams::Named(_), Parameter::Number(number)) => Err(wrong(
            format!("parameter {} of the query has no name, and values are given by names", number + 1),
            "write :name in place of ?, or give the values as a sequence",
        )),
    };
    scanned.parameters.iter().enumerate().map(value).collect()
}

/// The error of a statement that cannot be prepared or fails.
fn failure(error: Error, frame: usize, text: &str) -> Error {
    let Some(cause) = crate::error::database_error(&error) else { return error };
    if cause.class() == "57" || cause.class() == "08" || cause.class() == "53" || cause.class() == "40" {
        return error;
    }
    let place = cause.position().and_then(|position| position.checked_sub(frame)).map(|offset| {
        let before: String = text.chars().take(offset.saturating_sub(1)).collect();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!(" (line {line}, column {column})")
    });
    if cause.code() == "25006" || cause.message().contains("data-modifying") {
        return refusal("a statement that writes");
    }
    let what = format!("the query is wrong: {}{}", cause.message(), place.unwrap_or_default());
    Error::new(ErrorKind::InvalidInput, what)
        .with_hint("docs/formats/views.md lists the views entries and cache_entries and their columns")
}

fn answer(
    link: &mut Link,
    options: &PostgresOptions,
    names: &Names,
    sql: &Sql<'_>,
    scanned: &Scanned,
    values: &[Bound<'_>],
) -> Result<SqlRows> {
    let entries = names.of("entries");
    let full = if sql.full_metadata { FULL } else { "NULL::text" };
    let frame = format!(
        "WITH entries AS NOT MATERIALIZED (SELECT {COLUMNS} FROM {entries} AS e), \
         cache_entries AS NOT MATERIALIZED (SELECT {COLUMNS}, {full} AS full_metadata FROM {entries} AS e) SELECT * FROM (\n"
    );
    let limit = sql.limit.map_or_else(String::new, |limit| format!(" LIMIT {}", limit.min(i64::MAX.cast_unsigned())));
    let text = format!("{frame}{}\n) AS query{limit}", scanned.text);
    let length = frame.chars().count();
    let types: Vec<Type> = values.iter().map(Bound::kind).collect();
    let statement = link.prepare_once(RUN, &text, &types).map_err(|error| failure(error, length, &scanned.text))?;
    if statement.columns().is_empty() {
        return Err(no_query());
    }
    let params: Vec<Param<'_>> = values.iter().map(|value| value as Param<'_>).collect();
    check_tables(link, names, &text, &types, &params).map_err(|error| failure(error, length, &scanned.text))?;
    let rows = fetch(link, options, &statement, &params, &sql.cancel);
    rows.map_err(|error| failure(error, length, &scanned.text))
}

/// Refuses a query that reads other tables than the entries.
fn check_tables(link: &mut Link, names: &Names, text: &str, types: &[Type], params: &[Param<'_>]) -> Result<()> {
    let explain = link.prepare_once(RUN, &format!("EXPLAIN (VERBOSE, FORMAT JSON) {text}"), types)?;
    let rows = link.query_prepared(RUN, &explain, params)?;
    let plan: Option<Any<'_>> = rows.first().and_then(|row| row.try_get(0).ok());
    let plan: serde_json::Value = match plan {
        Some(Any(Kept::Text(plan))) => serde_json::from_str(&plan).unwrap_or_default(),
        _ => serde_json::Value::Null,
    };
    let mut other = None;
    visit(&plan, &mut |node| {
        let text = |name: &str| node.get(name).and_then(serde_json::Value::as_str);
        if let Some(table) = text("Relation Name")
            && (text("Schema") != Some(names.schema()) || table != names.bare("entries"))
        {
            other = Some(match text("Schema") {
                Some(schema) => format!("{schema}.{table}"),
                None => table.to_owned(),
            });
        }
    });
    match other {
        Some(table) => Err(refusal(&format!("reading {table}"))),
        None if plan.is_null() => {
            Err(Error::new(ErrorKind::Metadata, "PostgreSQL did not say which tables a query reads"))
        }
        None => Ok(()),
    }
}

fn visit(value: &serde_json::Value, see: &mut impl FnMut(&serde_json::Map<String, serde_json::Value>)) {
    match value {
        serde_json::Value::Array(items) => items.iter().for_each(|item| visit(item, see)),
        serde_json::Value::Object(map) => {
            see(map);
            map.values().for_each(|item| visit(item, see));
        }
        _ => {}
    }
}

/// The rows, written away as they come.
fn fetch(
    link: &mut Link,
    options: &PostgresOptions,
    statement: &Statement,
    params: &[Param<'_>],
    cancel: &Cancel,
) -> Result<SqlRows> {
    let mut writer = SqlRowsWriter::new(statement.columns().iter().map(|column| column.name().to_owned()));
    let columns = statement.columns().len();
    let mut failed = None;
    let flag = cancel.clone();
    let read = link.until(
        RUN,
        || flag.is_cancelled(),
        |client| async {
            let rows = client.query_raw(statement, params.iter().copied()).await?;
            let mut rows = std::pin::pin!(rows);
            while let Some(row) = rows.next().await {
                let row = row?;
                for column in 0..columns {
                    let pushed = match row.try_get::<_, Option<Any<'_>>>(column) {
                        Ok(value) => writer.push(value.as_ref().map_or(SqlRef::Null, Any::as_ref)),
                        Err(error) => Err(unreadable(statement, column, &error)),
                    };
                    if let Err(error) = pushed {
                        failed = Some(error);
                        return Ok(());
                    }
                }
            }
            Ok(())
        },
    );
    match read {
        Ok(true) => {}
        Ok(false) => {
            link.cancel(options)?;
            return Err(Error::new(ErrorKind::Cancelled, "the query was cancelled"));
        }
        Err(error) => return Err(error),
    }
    match failed {
        Some(error) => {
            // The rest of its rows is of no use.
            link.cancel(options)?;
            Err(error)
        }
        None => writer.finish(),
    }
}

fn unreadable(statement: &Statement, column: usize, error: &tokio_postgres::Error) -> Error {
    let (name, kind) = statement.columns().get(column).map_or(("", "?"), |c| (c.name(), c.type_().name()));
    let what = format!("the column {name} of the query has the type {kind}");
    Error::new(ErrorKind::InvalidInput, what)
        .with_hint("return it as a text: CAST(… AS text)")
        .with_source(error.to_string())
}

/// A value of any type that a query can return.
struct Any<'a>(Kept<'a>);

enum Kept<'a> {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(std::borrow::Cow<'a, str>),
    Bytes(&'a [u8]),
}

impl Any<'_> {
    fn as_ref(&self) -> SqlRef<'_> {
        match &self.0 {
            Kept::Bool(value) => SqlRef::Bool(*value),
            Kept::Int(value) => SqlRef::Int(*value),
            Kept::Float(value) => SqlRef::Float(*value),
            Kept::Text(text) => SqlRef::Text(text),
            Kept::Bytes(bytes) => SqlRef::Bytes(bytes),
        }
    }
}

impl<'a> FromSql<'a> for Any<'a> {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let text = |raw| std::str::from_utf8(raw).map(|text| Kept::Text(unescape(text)));
        Ok(Self(match *kind {
            Type::BOOL => Kept::Bool(bool::from_sql(kind, raw)?),
            Type::INT2 => Kept::Int(i16::from_sql(kind, raw)?.into()),
            Type::INT4 => Kept::Int(i32::from_sql(kind, raw)?.into()),
            Type::INT8 => Kept::Int(i64::from_sql(kind, raw)?),
            Type::OID => Kept::Int(u32::from_sql(kind, raw)?.into()),
            Type::FLOAT4 => Kept::Float(f32::from_sql(kind, raw)?.into()),
            Type::FLOAT8 => Kept::Float(f64::from_sql(kind, raw)?),
            Type::NUMERIC => {
                let decimal = numeric::decimal(raw).ok_or("a number that is none")?;
                match decimal.parse() {
                    Ok(value) => Kept::Int(value),
                    Err(_) => Kept::Float(decimal.parse()?),
                }
            }
            Type::BYTEA => Kept::Bytes(raw),
            Type::JSONB => text(raw.get(1..).unwrap_or_default())?,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::JSON | Type::XML => {
                text(raw)?
            }
            _ => return Err(format!("values of the type {kind} are not read").into()),
        }))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
