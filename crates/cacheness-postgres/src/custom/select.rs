//! Queries of rows of user-defined tables, translated to SQL. Names are quoted, values are bound: as texts that PostgreSQL
//! reads as values of the columns' types.

use cacheness_core::backend::{
    Aggregate, ColumnType, RowColumn, RowFilter, RowQuery, RowSelect, RowSource, RowTest, SqlRef, SqlRows,
    SqlRowsWriter, time_of,
};
use cacheness_core::formats::plain::Value;
use cacheness_core::query::Comparison;
use cacheness_core::{Error, ErrorKind, Result};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::text_of;
use crate::error::database_error;
use crate::find::after_prefix;
use crate::link::{Link, Param};
use crate::names::{Names, quoted};
use crate::text::unescape;

const ACTION: &str = "cannot query custom metadata";

/// The number of parameters that a statement may have.
const MOST_VALUES: usize = 65_535;

/// The rows of the query.
pub(crate) fn select(link: &mut Link, names: &Names, query: &RowQuery<'_>) -> Result<SqlRows> {
    let mut sql = Text { text: String::new(), values: Vec::new(), query, names };
    let columns = sql.statement()?;
    if sql.values.len() > MOST_VALUES {
        let what = format!("the query has {} values, and PostgreSQL allows {MOST_VALUES}", sql.values.len());
        return Err(Error::new(ErrorKind::InvalidInput, what));
    }
    let params: Vec<(Param<'_>, Type)> = sql.values.iter().map(|value| (value as Param<'_>, Type::TEXT)).collect();
    let rows = link.query_once(ACTION, &sql.text, &params).map_err(|error| {
        // A value that the type of its column does not have: which one, PostgreSQL does not say.
        if database_error(&error).is_some_and(|said| matches!(said.class(), "22" | "42")) && !sql.is_unknown(&error) {
            let shown: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
            return error.with_kind(ErrorKind::Serialization).within(shown.join(", "));
        }
        error
    })?;
    let mut writer = SqlRowsWriter::new(columns.iter().map(|(name, _)| name.clone()));
    for row in &rows {
        for (place, (name, kind)) in columns.iter().enumerate() {
            push(&mut writer, row, place, *kind).map_err(|error| error.within(name))?;
        }
    }
    writer.finish()
}

fn push(writer: &mut SqlRowsWriter, row: &Row, place: usize, kind: ColumnType) -> Result<()> {
    let wrong = |_| Error::new(ErrorKind::Serialization, format!("a value is no {}", kind.name()));
    match kind {
        ColumnType::Integer | ColumnType::Time | ColumnType::Date => {
            writer.push(row.try_get::<_, Option<i64>>(place).map_err(wrong)?.map_or(SqlRef::Null, SqlRef::Int))
        }
        ColumnType::Float => {
            writer.push(row.try_get::<_, Option<f64>>(place).map_err(wrong)?.map_or(SqlRef::Null, SqlRef::Float))
        }
        ColumnType::Boolean => {
            writer.push(row.try_get::<_, Option<bool>>(place).map_err(wrong)?.map_or(SqlRef::Null, SqlRef::Bool))
        }
        ColumnType::Bytes => {
            writer.push(row.try_get::<_, Option<&[u8]>>(place).map_err(wrong)?.map_or(SqlRef::Null, SqlRef::Bytes))
        }
        _ => {
            let text = row.try_get::<_, Option<&str>>(place).map_err(wrong)?.map(unescape);
            writer.push(text.as_deref().map_or(SqlRef::Null, SqlRef::Text))
        }
    }
}

/// A statement in the making.
struct Text<'a> {
    text: String,
    values: Vec<String>,
    query: &'a RowQuery<'a>,
    names: &'a Names,
}

impl Text<'_> {
    /// Whether the error is that a table or a column does not exist.
    fn is_unknown(&self, error: &Error) -> bool {
        database_error(error).is_some_and(|said| matches!(said.code(), "42P01" | "42703" | "42501"))
    }

    /// Writes the statement; returns the names and the types of its columns.
    fn statement(&mut self) -> Result<Vec<(String, ColumnType)>> {
        let query = self.query;
        self.push("SELECT ");
        let columns = match query.select {
            RowSelect::Count => {
                self.push("count(*)");
                vec![("the number of rows".to_owned(), ColumnType::Integer)]
            }
            RowSelect::Aggregate(function, column) => {
                let kind = if function == Aggregate::Average { ColumnType::Float } else { column.kind };
                let value = self.ordered(column);
                let aggregate = match (function, column.kind) {
                    (Aggregate::Average, _) => format!("avg({value})::double precision"),
                    (Aggregate::Min, ColumnType::Boolean) => format!("bool_and({value})"),
                    (Aggregate::Max, ColumnType::Boolean) => format!("bool_or({value})"),
                    // PostgreSQL has no least blob.
                    (Aggregate::Min, ColumnType::Bytes) => {
                        format!("(array_agg({value} ORDER BY {value}) FILTER (WHERE {value} IS NOT NULL))[1]")
                    }
                    (Aggregate::Max, ColumnType::Bytes) => {
                        format!("(array_agg({value} ORDER BY {value} DESC) FILTER (WHERE {value} IS NOT NULL))[1]")
                    }
                    (Aggregate::Min, _) => format!("min({value})"),
                    (Aggregate::Max, _) => format!("max({value})"),
                };
                let aggregate = returned(column, kind, &aggregate);
                self.push(&aggregate);
                vec![(shown(column), kind)]
            }
            RowSelect::Columns(columns) => {
                for (place, column) in columns.iter().enumerate() {
                    let value = returned(column, column.kind, &self.name(column));
                    self.push(if place == 0 { "" } else { ", " }).push(&value);
                }
                columns.iter().map(|column| (shown(column), column.kind)).collect()
            }
        };
        self.from();
        self.push(" WHERE ").filter(query.filter)?;
        if let RowSelect::Columns(_) = query.select {
            for (place, order) in query.order.iter().enumerate() {
                let value = self.ordered(&order.column);
                self.push(if place == 0 { " ORDER BY " } else { ", " }).push(&value);
                self.push(if order.descending { " DESC NULLS LAST" } else { " ASC NULLS FIRST" });
            }
            let bounded = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            if let Some(limit) = query.limit {
                self.push(&format!(" LIMIT {}", bounded(limit)));
            }
            if query.offset > 0 {
                self.push(&format!(" OFFSET {}", bounded(query.offset)));
            }
        }
        Ok(columns)
    }

    fn push(&mut self, text: &str) -> &mut Self {
        self.text += text;
        self
    }

    /// Adds a parameter that is read as a value of this type.
    fn bind(&mut self, value: String, kind: &str) -> &mut Self {
        self.values.push(value);
        let number = self.values.len();
        self.push(&format!("${number}::text::{kind}"))
    }

    fn name(&self, column: &RowColumn) -> String {
        let table = match &column.source {
            RowSource::Table(name) => {
                let place = self.query.tables.iter().position(|table| table.name == name);
                format!("t{}", place.unwrap_or_default())
            }
            RowSource::Entry => "e".to_owned(),
        };
        format!("{table}.{}", quoted(&column.name))
    }

    /// A column whose order is that of bytes.
    fn ordered(&self, column: &RowColumn) -> String {
        let name = self.name(column);
        if column.kind == ColumnType::Text { format!("{name}::text COLLATE \"C\"") } else { name }
    }

    fn from(&mut self) {
        let query = self.query;
        let schema = quoted(self.names.schema());
        for (place, table) in query.tables.iter().enumerate() {
            let name = quoted(table.name);
            if place == 0 {
                self.push(&format!(" FROM {schema}.{name} AS t0"));
            } else {
                let (own, first) = (quoted(table.owner), quoted(query.tables[0].owner));
                self.push(&format!(" JOIN {schema}.{name} AS t{place} ON t{place}.{own} = t0.{first}"));
            }
        }
        if asks_for_entries(query) {
            let (entries, owner) = (self.names.of("entries"), quoted(query.tables[0].owner));
            self.push(&format!(" JOIN {entries} AS e ON e.cache_key = t0.{owner}"));
        }
    }

    fn filter(&mut self, filter: &RowFilter) -> Result<()> {
        let (parts, between, none) = match filter {
            RowFilter::And(parts) => (parts, " AND ", "TRUE"),
            RowFilter::Or(parts) => (parts, " OR ", "FALSE"),
            RowFilter::Not(part) => {
                self.push("(");
                self.filter(part)?;
                // Also if it is NULL.
                self.push(" IS NOT TRUE)");
                return Ok(());
            }
            RowFilter::Test(column, test) => return self.test(column, test),
        };
        if parts.is_empty() {
            self.push(none);
            return Ok(());
        }
        for (place, part) in parts.iter().enumerate() {
            self.push(if place == 0 { "(" } else { between });
            self.filter(part)?;
        }
        self.push(")");
        Ok(())
    }

    fn test(&mut self, column: &RowColumn, test: &RowTest) -> Result<()> {
        let name = self.name(column);
        match test {
            RowTest::Eq(value) => {
                // An equality needs no order, and so the index of the column answers it.
                self.push("(").push(&name).push(" = ").value(column, value)?;
                self.push(")");
            }
            RowTest::Compare(comparison, value) => self.compare(column, *comparison, value)?,
            RowTest::In(values) => {
                self.push("(FALSE");
                for value in values {
                    self.push(" OR ").push(&name).push(" = ").value(column, value)?;
                }
                self.push(")");
            }
            RowTest::IsNull => drop(self.push("(").push(&name).push(" IS NULL)")),
            // No text of PostgreSQL has a NUL.
            RowTest::Contains(text) | RowTest::StartsWith(text) if text.contains('\0') => {
                self.push("(").push(&name).push(" IS NULL AND NULL)");
            }
            RowTest::Contains(text) => {
                self.push("(strpos(").push(&name).push("::text, ").bind(text.clone(), "text").push(") > 0)");
            }
            RowTest::StartsWith(text) => {
                let ordered = self.ordered(column);
                self.push("(").push(&ordered).push(" >= ").bind(text.clone(), "text");
                if let Some(end) = after_prefix(text) {
                    self.push(" AND ").push(&ordered).push(" < ").bind(end, "text");
                }
                self.push(")");
            }
        }
        Ok(())
    }

    fn compare(&mut self, column: &RowColumn, comparison: Comparison, value: &Value) -> Result<()> {
        let mut operator = match comparison {
            Comparison::Greater => " > ",
            Comparison::GreaterOrEqual => " >= ",
            Comparison::Less => " < ",
            Comparison::LessOrEqual => " <= ",
        };
        let cut;
        let mut value = value;
        if let Value::Str(text) = value
            && let Some((before, _)) = text.split_once('\0')
        {
            // Between the text before the NUL and this one there is no text of PostgreSQL.
            operator =
                if matches!(comparison, Comparison::Greater | Comparison::GreaterOrEqual) { " > " } else { " <= " };
            cut = Value::Str(before.to_owned());
            value = &cut;
        }
        let ordered = self.ordered(column);
        self.push("(").push(&ordered).push(operator).value(column, value)?;
        self.push(")");
        Ok(())
    }

    fn value(&mut self, column: &RowColumn, value: &Value) -> Result<()> {
        let kind = match column.kind {
            ColumnType::Integer => "bigint",
            ColumnType::Float => "double precision",
            ColumnType::Boolean => "boolean",
            ColumnType::Bytes => "bytea",
            ColumnType::Time if column.source == RowSource::Entry => "bigint",
            ColumnType::Time => "timestamp",
            ColumnType::Date => "date",
            _ => "text",
        };
        let text = match (&column.source, time_of(value)) {
            // Times of entries are integers.
            (RowSource::Entry, Some(time)) => time.0.to_string(),
            _ if matches!(value, Value::Str(text) if text.contains('\0')) => {
                self.push("NULL");
                return Ok(());
            }
            _ => text_of(&shown(column), "", value)?.unwrap_or_default(),
        };
        self.bind(text, kind);
        Ok(())
    }
}

/// The expression of a value in the form in which rows are returned.
fn returned(column: &RowColumn, kind: ColumnType, value: &str) -> String {
    match kind {
        ColumnType::Integer => format!("({value})::bigint"),
        ColumnType::Float => format!("({value})::double precision"),
        ColumnType::Boolean | ColumnType::Bytes => value.to_owned(),
        ColumnType::Time if column.source == RowSource::Entry => value.to_owned(),
        ColumnType::Time => format!("(extract(epoch FROM {value}) * 1000000)::bigint"),
        ColumnType::Date => format!("({value} - date '1970-01-01')::bigint"),
        _ => format!("({value})::text"),
    }
}

/// A column in messages: `custom_runs.accuracy`.
fn shown(column: &RowColumn) -> String {
    match &column.source {
        RowSource::Table(table) => format!("{table}.{}", column.name),
        RowSource::Entry => format!("entry.{}", column.name),
    }
}

/// Whether a column of entries occurs.
fn asks_for_entries(query: &RowQuery<'_>) -> bool {
    let is_of_entry = |column: &RowColumn| column.source == RowSource::Entry;
    let in_select = match query.select {
        RowSelect::Columns(columns) => columns.iter().any(is_of_entry),
        RowSelect::Count => false,
        RowSelect::Aggregate(_, column) => is_of_entry(column),
    };
    let mut found = in_select || query.order.iter().any(|order| is_of_entry(&order.column));
    let visited = query.filter.for_each_test(&mut |column, _| {
        found |= is_of_entry(column);
        Ok(())
    });
    found && visited.is_ok()
}
