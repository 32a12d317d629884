//! Queries of rows of user-defined tables, translated to SQL. Names are quoted, values are bound.

use cacheness_core::backend::{
    Aggregate, ColumnType, RowColumn, RowFilter, RowQuery, RowSelect, RowSource, RowTest, SqlRows, SqlRowsWriter,
    time_of,
};
use cacheness_core::formats::plain::Value;
use cacheness_core::query::Comparison;
use cacheness_core::{Error, ErrorKind, Result};
use rusqlite::Connection;
use rusqlite::types::ToSqlOutput;

use super::quoted;
use super::values::{returned, stored};
use crate::error::translate;
use crate::scan::after_prefix;

/// The number of parameters that a statement may have.
const MOST_VALUES: usize = 32_766;

fn failed(error: rusqlite::Error) -> Error {
    translate("cannot query custom metadata", error)
}

/// The rows of the query.
pub(crate) fn select(connection: &Connection, query: &RowQuery<'_>) -> Result<SqlRows> {
    let mut sql = Text { text: String::new(), values: Vec::new(), query };
    let columns = sql.statement()?;
    if sql.values.len() > MOST_VALUES {
        let what = format!("the query has {} values, and SQLite allows {MOST_VALUES}", sql.values.len());
        return Err(Error::new(ErrorKind::InvalidInput, what));
    }
    let mut statement = connection.prepare(&sql.text).map_err(failed)?;
    for (place, value) in sql.values.iter().enumerate() {
        statement.raw_bind_parameter(place + 1, value).map_err(failed)?;
    }
    let mut writer = SqlRowsWriter::new(columns.iter().map(|(name, _)| name.clone()));
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(failed)? {
        for (place, (name, kind)) in columns.iter().enumerate() {
            let value = row.get_ref(place).map_err(failed)?;
            returned(*kind, value, |value| writer.push(value)).map_err(|error| error.within(name))?;
        }
    }
    writer.finish()
}

/// A statement in the making.
struct Text<'a> {
    text: String,
    values: Vec<ToSqlOutput<'a>>,
    query: &'a RowQuery<'a>,
}

impl<'a> Text<'a> {
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
                let (name, kind) = match function {
                    Aggregate::Min => ("min", column.kind),
                    Aggregate::Max => ("max", column.kind),
                    Aggregate::Average => ("avg", ColumnType::Float),
                };
                self.push(name).push("(").column(column).push(")");
                vec![(shown(column), kind)]
            }
            RowSelect::Columns(columns) => {
                for (place, column) in columns.iter().enumerate() {
                    self.push(if place == 0 { "" } else { ", " }).column(column);
                }
                columns.iter().map(|column| (shown(column), column.kind)).collect()
            }
        };
        self.from();
        self.push(" WHERE ").filter(query.filter)?;
        if let RowSelect::Columns(_) = query.select {
            for (place, order) in query.order.iter().enumerate() {
                self.push(if place == 0 { " ORDER BY " } else { ", " }).column(&order.column);
                self.push(if order.descending { " DESC" } else { "" });
            }
            if query.limit.is_some() || query.offset > 0 {
                let bounded = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
                self.push(" LIMIT ").bind(query.limit.map_or(-1, bounded));
                self.push(" OFFSET ").bind(bounded(query.offset));
            }
        }
        Ok(columns)
    }

    fn push(&mut self, text: &str) -> &mut Self {
        self.text += text;
        self
    }

    fn bind(&mut self, value: impl Into<ToSqlOutput<'a>>) -> &mut Self {
        self.values.push(value.into());
        self.push("?")
    }

    fn column(&mut self, column: &RowColumn) -> &mut Self {
        match &column.source {
            RowSource::Table(name) => {
                let place = self.query.tables.iter().position(|table| table.name == name);
                self.push(&format!("t{}.", place.expect("the query has been checked")));
            }
            RowSource::Entry => drop(self.push("e.")),
        }
        self.push(&quoted(&column.name))
    }

    fn from(&mut self) {
        let query = self.query;
        for (place, table) in query.tables.iter().enumerate() {
            let name = quoted(table.name);
            if place == 0 {
                self.push(&format!(" FROM main.{name} AS t0"));
            } else {
                let (own, first) = (quoted(table.owner), quoted(query.tables[0].owner));
                self.push(&format!(" JOIN main.{name} AS t{place} ON t{place}.{own} = t0.{first}"));
            }
        }
        if asks_for_entries(query) {
            let owner = quoted(query.tables[0].owner);
            self.push(&format!(" JOIN main.cache_entries AS e ON e.cache_key = t0.{owner}"));
        }
    }

    fn filter(&mut self, filter: &'a RowFilter) -> Result<()> {
        let (parts, between, none) = match filter {
            RowFilter::And(parts) => (parts, " AND ", "1"),
            RowFilter::Or(parts) => (parts, " OR ", "0"),
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

    fn test(&mut self, column: &'a RowColumn, test: &'a RowTest) -> Result<()> {
        match test {
            RowTest::Eq(value) => self.column(column).push(" = ").value(column, value)?,
            RowTest::Compare(comparison, value) => {
                let operator = match comparison {
                    Comparison::Greater => " > ",
                    Comparison::GreaterOrEqual => " >= ",
                    Comparison::Less => " < ",
                    Comparison::LessOrEqual => " <= ",
                };
                self.column(column).push(operator).value(column, value)?;
            }
            RowTest::In(values) => {
                self.column(column).push(" IN (");
                for (place, value) in values.iter().enumerate() {
                    self.push(if place == 0 { "" } else { ", " }).value(column, value)?;
                }
                self.push(")");
            }
            RowTest::IsNull => drop(self.column(column).push(" IS NULL")),
            RowTest::Contains(text) => {
                self.push("instr(").column(column).push(", ");
                self.bind(text.as_str()).push(") > 0");
            }
            RowTest::StartsWith(text) => {
                self.push("(").column(column).push(" >= ").bind(text.as_str());
                if let Some(end) = after_prefix(text) {
                    self.push(" AND ").column(column).push(" < ").bind(end);
                }
                self.push(")");
            }
        }
        Ok(())
    }

    fn value(&mut self, column: &RowColumn, value: &'a Value) -> Result<()> {
        let output = match (&column.source, time_of(value)) {
            // Times of entries are integers.
            (RowSource::Entry, Some(time)) => ToSqlOutput::from(time.0),
            _ => stored(value).map_err(|class| {
                let what = format!("{}: a database keeps no value of type {class}", shown(column));
                Error::new(ErrorKind::InvalidInput, what)
            })?,
        };
        self.bind(output);
        Ok(())
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
