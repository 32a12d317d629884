//! Searches with a filter.
//!
//! SQL decides about most rows; where its condition is NULL, the evaluator decides. See `filter`.

use cacheness_core::backend::{Page, Position, Query, Versions};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{EntrySummary, EntryVersion};
use cacheness_core::formats::plain::Value as Plain;
use cacheness_core::query::{Evaluator, Field, Filter, Operator, Sorter, Subject};
use cacheness_core::{Error, Result};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, Rows, Statement};

use crate::error::translate;
use crate::filter::{self, Condition, PINNED_SQL, Sql};
use crate::index;
use crate::rows::{self, LAST, columns};
use crate::scan::{after_prefix, first, most};

/// Up to this many rows are found by an index and sorted. If it finds more, a walk in the order of the keys is faster: it
/// ends with the page.
const FEW: i64 = 5_000;

/// The rows that one step of a search looks at: at most about a second.
const STEP: i64 = 250_000;

/// The columns by which the evaluator decides.
const SUBJECT: &str = "cache_key, created_at, file_hash, metadata, params";

/// What a search needs beside the query itself.
pub(crate) struct Find<'a> {
    evaluator: Evaluator<'a>,
    filter: &'a Filter,
}

impl<'a> Find<'a> {
    /// `None` if there is neither a filter nor another order than that of the keys.
    pub(crate) fn new(query: &Query<'a>) -> Result<Option<Self>> {
        let filter = match query.filter {
            Some(filter) => filter,
            None if query.sort.is_empty() => return Ok(None),
            None => everything(),
        };
        Ok(Some(Self { evaluator: Evaluator::new(filter, query.sort)?, filter }))
    }

    fn all() -> Result<Self> {
        Ok(Self { evaluator: Evaluator::new(everything(), &[])?, filter: everything() })
    }

    fn condition(&self) -> Condition {
        Condition::of(self.filter)
    }
}

fn everything() -> &'static Filter {
    static ALL: std::sync::OnceLock<Filter> = std::sync::OnceLock::new();
    ALL.get_or_init(Filter::all)
}

fn failed(error: rusqlite::Error) -> Error {
    translate("cannot search the entries", error)
}

/// Whether the metadata of a row is no JSON for SQLite. The evaluator then names the entry.
fn is_malformed(error: &Error) -> bool {
    error.with_causes().to_string().contains("malformed JSON")
}

/// Runs `search` with the filter's condition in SQL; if some metadata is damaged, with the evaluator alone.
fn with_condition<T>(find: &Find<'_>, mut search: impl FnMut(Condition) -> Result<T>) -> Result<T> {
    match search(find.condition()) {
        Err(error) if is_malformed(&error) => search(Condition::unknown()),
        result => result,
    }
}

/// Adds the conditions of the query except its filter.
fn add_query(sql: &mut Sql, query: &Query<'_>, page: &Page<'_>, walk: &str) {
    let (from, operator) = first(query, page);
    if !(from.is_empty() && operator == ">=") {
        sql.push(" AND ").push(walk).push("cache_key ").push(operator).push(" ").bind(from.to_owned());
    }
    if let Some(end) = after_prefix(query.prefix) {
        sql.push(" AND ").push(walk).push("cache_key < ").bind(end);
    }
    if let Some(Timestamp(time)) = query.expired_at {
        // A unary plus keeps the planner from using an index on the following column.
        sql.push(" AND +expires_at <= ").bind(time);
    }
    if query.pinned {
        sql.push(" AND ").push(PINNED_SQL);
    }
}

/// A test that every match passes, whose field has an index by which at most `most` rows pass it.
fn by_index<'a>(connection: &Connection, find: &Find<'a>, most: i64) -> Result<Option<(&'a Field, &'a Operator)>> {
    let indexed = index::all(connection)?;
    if indexed.is_empty() {
        return Ok(None);
    }
    for (field, operator) in filter::necessary(find.filter.node()) {
        if !indexed.contains(field) {
            continue;
        }
        let Some(sql) = filter::by_index(field, operator, Vec::new()) else { continue };
        let count = format!(
            "SELECT count(*) FROM (SELECT 1 FROM cache_entries WHERE {} LIMIT {})",
            sql.text,
            most.saturating_add(1)
        );
        let mut statement = connection.prepare(&count).map_err(failed)?;
        bind(&mut statement, &sql.values)?;
        let found: i64 =
            statement.raw_query().next().map_err(failed)?.map_or(Ok(0), |row| row.get(0)).map_err(failed)?;
        if found <= most {
            return Ok(Some((field, operator)));
        }
    }
    Ok(None)
}

/// Adds the condition that the index of a field answers.
fn add_indexed(sql: &mut Sql, (field, operator): (&Field, &Operator)) {
    if let Some(indexed) = filter::by_index(field, operator, std::mem::take(&mut sql.values)) {
        sql.push(" AND ").push(&indexed.text);
        sql.values = indexed.values;
    }
}

fn bind(statement: &mut Statement<'_>, values: &[Value]) -> Result<()> {
    values.iter().enumerate().try_for_each(|(i, value)| statement.raw_bind_parameter(i + 1, value)).map_err(failed)
}

/// The rows of a search: [`SUBJECT`] from the column `subject` on, then the condition, and whether the entry is pinned;
/// [`columns`] and the key before them, if whole entries are wanted.
struct Found<'a, 'b> {
    rows: Rows<'a>,
    find: &'a Find<'b>,
    subject: usize,
}

impl Found<'_, '_> {
    /// Calls `visit` with every row that matches, until it returns `false`. With an order, it also gets the values by which
    /// the entry is sorted.
    fn for_each(
        mut self,
        query: &Query<'_>,
        mut visit: impl FnMut(&Row<'_>, &EntryVersionRef<'_>, Vec<Plain>) -> Result<bool>,
    ) -> Result<()> {
        while let Some(row) = self.rows.next().map_err(failed)? {
            let unknown = matches!(row.get_ref(self.subject + 5).map_err(failed)?, ValueRef::Null);
            let glimpse = rows::glimpse(row, self.subject)?;
            let mut values = Vec::new();
            if unknown || !query.sort.is_empty() {
                let whole = self.find.evaluator.needs_entry().then(|| rows::summary(row)).transpose()?;
                let pinned = row.get(self.subject + 6).map_err(failed)?;
                let subject = Subject { glimpse, entry: whole.as_ref(), pinned };
                match self.find.evaluator.ranked(&subject, query.sort)? {
                    Some(found) => values = found,
                    None => continue,
                }
            }
            let version =
                EntryVersionRef { key: glimpse.key, created_at: glimpse.created_at, file_hash: glimpse.file_hash };
            if !visit(row, &version, values)? {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// An [`EntryVersion`] in a row.
struct EntryVersionRef<'a> {
    key: &'a str,
    created_at: Timestamp,
    file_hash: u64,
}

impl EntryVersionRef<'_> {
    fn to_owned(&self) -> EntryVersion {
        EntryVersion { key: self.key.to_owned(), created_at: self.created_at, file_hash: self.file_hash }
    }
}

/// The columns of [`Found`]; `whole` for whole entries.
fn selected(condition: &Condition, find: &Find<'_>, whole: bool) -> String {
    let pinned = if find.evaluator.needs_entry() { PINNED_SQL } else { "0" };
    let entry = if whole { concat!(columns!(), ", cache_key, ") } else { "" };
    format!("{entry}{SUBJECT}, {}, {pinned}", condition.expression())
}

/// A statement that selects these columns of the rows that may match. With an index, the planner uses no other.
fn statement(
    columns: &str,
    condition: Condition,
    query: &Query<'_>,
    page: &Page<'_>,
    indexed: Option<(&Field, &Operator)>,
) -> Sql {
    let mut sql = condition.statement(columns);
    add_query(&mut sql, query, page, if indexed.is_some() { "+" } else { "" });
    if let Some(indexed) = indexed {
        add_indexed(&mut sql, indexed);
    }
    sql
}

/// The statement of a page, in the order of the keys unless the caller sorts.
fn statement_of_page(
    find: &Find<'_>,
    condition: Condition,
    query: &Query<'_>,
    page: &Page<'_>,
    indexed: Option<(&Field, &Operator)>,
) -> Sql {
    let exact = condition.exact;
    let mut sql = statement(&selected(&condition, find, true), condition, query, page, indexed);
    if query.sort.is_empty() {
        sql.push(" ORDER BY ").push(if indexed.is_some() { "+cache_key" } else { "cache_key" });
        if exact {
            sql.push(" LIMIT ").bind(most(page.limit));
            sql.push(" OFFSET ").bind(i64::try_from(page.offset).unwrap_or(i64::MAX));
        }
    }
    sql
}

/// A page of entries without their inline payloads.
pub(crate) fn select(connection: &Connection, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<EntrySummary>> {
    let find = Find::new(query)?.map_or_else(Find::all, Ok)?;
    with_condition(&find, |condition| page_of(connection, &find, condition, query, page))
}

fn page_of(
    connection: &Connection,
    find: &Find<'_>,
    condition: Condition,
    query: &Query<'_>,
    page: &Page<'_>,
) -> Result<Vec<EntrySummary>> {
    let exact = condition.exact;
    let is_sorted = query.sort.is_empty();
    let mut sorter = Sorter::new(query.sort, page.offset, page.most());
    let sql = statement_of_page(find, condition, query, page, by_index(connection, find, FEW)?);
    let mut statement = connection.prepare(&sql.text).map_err(failed)?;
    bind(&mut statement, &sql.values)?;
    let found = Found { rows: statement.raw_query(), find, subject: LAST + 1 };
    let mut entries = Vec::new();
    let mut skipped = if exact { page.offset } else { 0 };
    found.for_each(query, |row, version, values| {
        if !is_sorted {
            sorter.push(values, version.key, || rows::summary(row))?;
        } else if skipped < page.offset {
            skipped += 1;
        } else {
            entries.push(rows::summary(row)?);
            return Ok(entries.len() < page.most());
        }
        Ok(true)
    })?;
    Ok(if is_sorted { entries } else { sorter.finish() })
}

/// The number of entries that match.
pub(crate) fn count(connection: &Connection, query: &Query<'_>) -> Result<u64> {
    let query = &Query { sort: &[], ..*query };
    let find = Find::new(query)?.map_or_else(Find::all, Ok)?;
    with_condition(&find, |condition| {
        // The index of the only field that is asked for decides without the rows, however many there are.
        let is_only = filter::necessary(find.filter.node()).len() == 1;
        let indexed = by_index(connection, &find, if is_only { i64::MAX } else { FEW })?;
        if condition.exact || (indexed.is_some() && is_only) {
            return count_in_sql(connection, &find, condition, query, indexed);
        }
        let needs_entry = find.evaluator.needs_entry();
        let columns = selected(&condition, &find, needs_entry);
        let sql = statement(&columns, condition, query, &Page::default(), indexed);
        count_rows(connection, &find, query, &sql)
    })
}

/// Counts the rows of which SQL knows that they match, and decides about the others one by one.
fn count_in_sql(
    connection: &Connection,
    find: &Find<'_>,
    condition: Condition,
    query: &Query<'_>,
    indexed: Option<(&Field, &Operator)>,
) -> Result<u64> {
    let (expression, exact) = (condition.expression(), condition.exact);
    let columns = selected(&condition, find, find.evaluator.needs_entry());
    let counts = if exact { "count(*), count(*)".to_owned() } else { format!("count(*), count({expression})") };
    let mut sql = statement(&counts, condition, query, &Page::default(), indexed);
    let (all, known): (i64, i64) = {
        let mut statement = connection.prepare(&sql.text).map_err(failed)?;
        bind(&mut statement, &sql.values)?;
        let mut rows = statement.raw_query();
        let row = rows.next().map_err(failed)?;
        row.map_or(Ok((0, 0)), |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?
    };
    let mut count = u64::try_from(known).unwrap_or(0);
    if all > known {
        sql.text = sql.text.replacen(&counts, &columns, 1);
        sql.push(" AND ").push(&expression).push(" IS NULL");
        count += count_rows(connection, find, query, &sql)?;
    }
    Ok(count)
}

/// The number of rows of a statement that match.
fn count_rows(connection: &Connection, find: &Find<'_>, query: &Query<'_>, sql: &Sql) -> Result<u64> {
    let mut statement = connection.prepare(&sql.text).map_err(failed)?;
    bind(&mut statement, &sql.values)?;
    let subject = if find.evaluator.needs_entry() { LAST + 1 } else { 0 };
    let mut count = 0;
    Found { rows: statement.raw_query(), find, subject }.for_each(query, |_, _, _| {
        count += 1;
        Ok(true)
    })?;
    Ok(count)
}

/// The next entries that match, in the order of the table, so that each of its pages is read once.
pub(crate) fn search(connection: &Connection, query: &Query<'_>, from: &Position, limit: usize) -> Result<Versions> {
    let query = &Query { sort: &[], ..*query };
    let find = Find::new(query)?.map_or_else(Find::all, Ok)?;
    let after = if let Position::Number(id) = from { *id } else { i64::MIN };
    let bounds: (Option<i64>, Option<i64>) = connection
        .prepare_cached("SELECT min(id), max(id) FROM cache_entries WHERE id > ?1")
        .and_then(|mut statement| statement.query_row([after], |row| Ok((row.get(0)?, row.get(1)?))))
        .map_err(failed)?;
    let (Some(least), Some(last)) = bounds else { return Ok(Versions::default()) };
    with_condition(&find, |condition| {
        let needs_entry = find.evaluator.needs_entry();
        let columns = selected(&condition, &find, needs_entry);
        // With an index all rows are found at once.
        let indexed = by_index(connection, &find, FEW)?;
        let (walk, end) = if indexed.is_some() { ("+", last) } else { ("", last.min(least.saturating_add(STEP))) };
        let any_key = Query { prefix: "", ..*query };
        let mut sql = statement(&format!("{columns}, id"), condition, &any_key, &Page::default(), indexed);
        if !query.prefix.is_empty() {
            sql.push(" AND substr(cache_key, 1, ")
                .bind(i64::try_from(query.prefix.chars().count()).unwrap_or(i64::MAX));
            sql.push(") = ").bind(query.prefix.to_owned());
        }
        sql.push(" AND ").push(walk).push("id > ").bind(after).push(" AND ").push(walk).push("id <= ").bind(end);
        sql.push(" ORDER BY ").push(walk).push("id");
        let mut statement = connection.prepare(&sql.text).map_err(failed)?;
        bind(&mut statement, &sql.values)?;
        let subject = if needs_entry { LAST + 1 } else { 0 };
        let mut found = Versions { versions: Vec::new(), next: (end < last).then_some(Position::Number(end)) };
        Found { rows: statement.raw_query(), find: &find, subject }.for_each(query, |row, version, _| {
            found.versions.push(version.to_owned());
            let more = limit == 0 || found.versions.len() < limit;
            if !more {
                found.next = Some(Position::Number(row.get(subject + 7).map_err(failed)?));
            }
            Ok(more)
        })?;
        Ok(found)
    })
}

#[cfg(test)]
mod tests {
    use cacheness_core::query::field;

    use super::*;
    use crate::{SqliteMetadata, SqliteOptions};
    use cacheness_core::backend::MetadataBackend as _;

    /// How SQLite executes the statement of a page.
    fn plan(connection: &Connection, filter: &Filter) -> String {
        let query = Query { filter: Some(filter), ..Query::default() };
        let find = Find::new(&query).unwrap().unwrap();
        let page = Page { limit: 100, ..Page::default() };
        let indexed = by_index(connection, &find, FEW).unwrap();
        let sql = statement_of_page(&find, find.condition(), &query, &page, indexed);
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", sql.text)).unwrap();
        bind(&mut statement, &sql.values).unwrap();
        let mut rows = statement.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            steps.push(row.get::<_, String>(3).unwrap());
        }
        steps.join("; ")
    }

    #[test]
    fn a_filter_uses_the_index_of_its_field() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteMetadata::open(SqliteOptions::new(dir.path().join("db"))).unwrap();
        let accuracy = Field::parse("accuracy").unwrap();
        let nested = Field::parse("a.b").unwrap();
        let uses = |filter: &Filter, name: &str| {
            let plan = store.read(|connection| Ok(plan(connection, filter))).unwrap();
            plan.contains(&format!("USING INDEX cache_metadata:{name} "))
        };
        let good = field("accuracy").ge(0.9) & field("project").eq("x");
        assert!(!uses(&good, "accuracy"), "there is none");
        store.create_index(&accuracy).unwrap();
        store.create_index(&nested).unwrap();
        for filter in [
            good.clone(),
            field("accuracy").eq(1),
            field("accuracy").lt("x"),
            field("accuracy").is_in([1, 2]),
            field("accuracy").starts_with("x"),
            field("entry.file_size").gt(1) & field("accuracy").eq(true),
        ] {
            assert!(uses(&filter, "accuracy"), "{filter}");
        }
        assert!(uses(&field("a.b").eq("x"), "a.b"));
        for filter in [field("accuracy").ne(1), field("accuracy").is_missing(), good.clone() | field("b").eq(1)] {
            assert!(!uses(&filter, "accuracy"), "{filter}");
        }
        store.drop_index(&accuracy).unwrap();
        assert!(!uses(&good, "accuracy"));
        store.close().unwrap();
    }
}
