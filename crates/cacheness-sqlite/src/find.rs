//! Searches with a filter.
//!
//! SQL decides about most rows; where its condition is NULL, the evaluator decides. See `filter`.

use cacheness_core::backend::{Page, Position, Query, Versions};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{EntrySummary, EntryVersion};
use cacheness_core::formats::plain::Value as Plain;
use cacheness_core::query::{Evaluator, Filter, Sorter, Subject};
use cacheness_core::{Error, Result};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, Rows, Statement};

use crate::error::translate;
use crate::filter::{Condition, PINNED_SQL, Sql};
use crate::reach::Reach;
use crate::rows::{self, LAST, columns};
use crate::scan::{after_prefix, first, most};
use crate::sorted;
use crate::totals;

/// Up to this many rows are found by an index and sorted, whatever else could be done.
const FEW: i64 = 5_000;

/// How many columns of an index are read in the time that it takes to read and decide about one row in the order of the
/// keys.
const IN_INDEX: f64 = 16.0;

/// The rows that one step of a search looks at: at most about a second.
const STEP: i64 = 250_000;

/// How many rows [`decides`] looks at.
const FIRST: i64 = 1_000;

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

    pub(crate) fn filter(&self) -> &'a Filter {
        self.filter
    }

    fn condition(&self) -> Condition {
        Condition::of(self.filter)
    }
}

fn everything() -> &'static Filter {
    static ALL: std::sync::OnceLock<Filter> = std::sync::OnceLock::new();
    ALL.get_or_init(Filter::all)
}

pub(crate) fn failed(error: rusqlite::Error) -> Error {
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

/// Runs `search` on one state of the database: what a look into an index has shown stays true.
fn on_one_state<T>(connection: &Connection, search: impl FnOnce() -> Result<T>) -> Result<T> {
    if !connection.is_autocommit() {
        return search();
    }
    let state = connection.unchecked_transaction().map_err(failed)?;
    let found = search()?;
    state.finish().map_err(failed)?;
    Ok(found)
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

/// The tests that find the rows by an index, and the number of rows that they find, if it is at most `most`.
fn by_index<'a>(
    connection: &Connection,
    find: &Find<'a>,
    most: impl Fn(&Reach<'a>) -> i64,
) -> Result<Option<Reach<'a>>> {
    let mut best: Option<(i64, Reach<'a>)> = None;
    for reach in Reach::all(connection, find.filter)? {
        let most = best.as_ref().map_or_else(|| most(&reach), |(found, _)| *found - 1);
        if most == i64::MAX {
            return Ok(Some(reach));
        }
        let mut sql = Sql::default();
        sql.push("SELECT count(*) FROM (SELECT 1 FROM cache_entries WHERE ");
        reach.add_range(&mut sql);
        sql.push(" LIMIT ").bind(most.saturating_add(1)).push(")");
        let mut statement = connection.prepare(&sql.text).map_err(failed)?;
        bind(&mut statement, &sql.values)?;
        let found: i64 =
            statement.raw_query().next().map_err(failed)?.map_or(Ok(0), |row| row.get(0)).map_err(failed)?;
        if found <= most {
            best = Some((found, reach));
        }
    }
    Ok(best.map(|(_, reach)| reach))
}

/// The tests that find the rows of a page faster by an index than a walk in the order of the keys, which ends with the page.
///
/// With `is_whole` all rows that match are needed.
fn of_page<'a>(
    connection: &Connection,
    find: &Find<'a>,
    query: &Query<'_>,
    page: &Page<'_>,
    is_whole: bool,
) -> Result<Option<Reach<'a>>> {
    let total = totals::get(connection)?.entries;
    let is_whole = is_whole || page.limit == 0;
    let wanted = if is_whole { total } else { (page.offset as u64).saturating_add(page.limit as u64).min(total) };
    by_index(connection, find, |reach| {
        if query.sort.is_empty() && reach.is_exact() && reach.is_by_key() {
            // Only the rows of the page are read.
            return i64::MAX;
        }
        // If the index finds n of the rows, the walk reads about `wanted * total / n`.
        let cheap = if reach.is_exact() && query.sort.is_empty() { IN_INDEX } else { 1.0 };
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an estimate")]
        let even = (cheap * wanted as f64 * total as f64).sqrt() as i64;
        even.max(FEW)
    })
}

pub(crate) fn bind(statement: &mut Statement<'_>, values: &[Value]) -> Result<()> {
    values.iter().enumerate().try_for_each(|(i, value)| statement.raw_bind_parameter(i + 1, value)).map_err(failed)
}

/// The rows of a search: [`SUBJECT`] from the column `subject` on, then the condition, and whether the entry is pinned;
/// [`columns`] and the key before them, if whole entries are wanted.
pub(crate) struct Found<'a, 'b> {
    pub(crate) rows: Rows<'a>,
    pub(crate) find: &'a Find<'b>,
    pub(crate) subject: usize,
    /// How many rows may be looked at.
    pub(crate) left: u64,
}

impl Found<'_, '_> {
    /// Calls `visit` with every row that matches, until it returns `false`. With an order, it also gets the values by which
    /// the entry is sorted. Returns how many more rows may be looked at; `None` if there were too many.
    pub(crate) fn for_each(
        mut self,
        query: &Query<'_>,
        mut visit: impl FnMut(&Row<'_>, &EntryVersionRef<'_>, Vec<Plain>) -> Result<bool>,
    ) -> Result<Option<u64>> {
        while let Some(row) = self.rows.next().map_err(failed)? {
            let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
            self.left = left;
            let unknown = match row.get_ref(self.subject + 5).map_err(failed)? {
                ValueRef::Null => true,
                ValueRef::Integer(0) => continue,
                _ => false,
            };
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
                break;
            }
        }
        Ok(Some(self.left))
    }
}

/// An [`EntryVersion`] in a row.
pub(crate) struct EntryVersionRef<'a> {
    pub(crate) key: &'a str,
    created_at: Timestamp,
    file_hash: u64,
}

impl EntryVersionRef<'_> {
    fn to_owned(&self) -> EntryVersion {
        EntryVersion { key: self.key.to_owned(), created_at: self.created_at, file_hash: self.file_hash }
    }
}

/// The columns of [`Found`]; `whole` for whole entries.
pub(crate) fn selected(condition: &Condition, find: &Find<'_>, whole: bool) -> String {
    let pinned = if find.evaluator.needs_entry() { PINNED_SQL } else { "0" };
    let entry = if whole { concat!(columns!(), ", cache_key, ") } else { "" };
    format!("{entry}{SUBJECT}, {}, {pinned}", condition.expression())
}

/// A unary plus keeps the planner from using an index on the following column.
fn walk(reach: Option<&Reach<'_>>) -> &'static str {
    match reach {
        Some(reach) if !reach.is_by_key() => "+",
        _ => "",
    }
}

/// A statement that selects these columns of the rows that may match. With an index, the planner uses no other.
fn statement(
    columns: &str,
    condition: Condition,
    query: &Query<'_>,
    page: &Page<'_>,
    reach: Option<&Reach<'_>>,
) -> Sql {
    let mut sql = condition.statement(columns);
    add_query(&mut sql, query, page, walk(reach));
    if let Some(reach) = reach {
        reach.add_to(sql.push(" AND "));
    }
    sql
}

/// The statement of a page, in the order of the keys unless the caller sorts; and whether it returns the page and no other
/// row.
fn statement_of_page(
    find: &Find<'_>,
    condition: Condition,
    query: &Query<'_>,
    page: &Page<'_>,
    reach: Option<&Reach<'_>>,
) -> (Sql, bool) {
    let walk = walk(reach);
    let is_sorted = query.sort.is_empty();
    let add_limit = |sql: &mut Sql| {
        sql.push(" LIMIT ").bind(most(page.limit));
        sql.push(" OFFSET ").bind(i64::try_from(page.offset).unwrap_or(i64::MAX));
    };
    if let Some(reach) = reach.filter(|reach| is_sorted && reach.is_exact()) {
        // Only rows of the page are read; the index has everything that is needed to find them.
        let columns = selected(&Condition::always(), find, true);
        let mut sql = Sql::default();
        sql.push("SELECT ").push(&columns).push(" FROM cache_entries WHERE id IN (SELECT id FROM cache_entries WHERE ");
        reach.add_to(&mut sql);
        add_query(&mut sql, query, page, walk);
        sql.push(" ORDER BY ").push(walk).push("cache_key");
        add_limit(&mut sql);
        sql.push(") ORDER BY +cache_key");
        return (sql, true);
    }
    let exact = condition.exact;
    let mut sql = statement(&selected(&condition, find, true), condition, query, page, reach);
    if is_sorted {
        sql.push(" ORDER BY ").push(walk).push("cache_key");
        if exact {
            add_limit(&mut sql);
        }
    }
    (sql, is_sorted && exact)
}

/// A page of entries without their inline payloads.
pub(crate) fn select(connection: &Connection, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<EntrySummary>> {
    let find = Find::new(query)?.map_or_else(Find::all, Ok)?;
    with_condition(&find, |condition| on_one_state(connection, || page_of(connection, &find, condition, query, page)))
}

fn page_of(
    connection: &Connection,
    find: &Find<'_>,
    condition: Condition,
    query: &Query<'_>,
    page: &Page<'_>,
) -> Result<Vec<EntrySummary>> {
    let is_sorted = query.sort.is_empty();
    let along = if is_sorted { None } else { sorted::index_of(connection, query, page)? };
    let mut reach = of_page(connection, find, query, page, !is_sorted && along.is_none())?;
    if let (Some(along), None) = (along, &reach) {
        if let Some(found) = sorted::page(connection, find, &condition, query, page, &along)? {
            return Ok(found);
        }
        reach = of_page(connection, find, query, page, true)?;
    }
    let mut sorter = Sorter::new(query.sort, page.offset, page.most());
    let (sql, is_page) = statement_of_page(find, condition, query, page, reach.as_ref());
    let mut statement = connection.prepare(&sql.text).map_err(failed)?;
    bind(&mut statement, &sql.values)?;
    let found = Found { rows: statement.raw_query(), find, subject: LAST + 1, left: u64::MAX };
    let mut entries = Vec::new();
    let mut skipped = if is_page { page.offset } else { 0 };
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
        on_one_state(connection, || {
            // An index that decides alone does so without the rows, however many there are.
            let reach = by_index(connection, &find, |reach| if reach.is_all() { i64::MAX } else { FEW })?;
            if let Some(reach) = reach.as_ref().filter(|reach| reach.is_exact()) {
                // Two ranges are counted faster than the type of each value is compared.
                let all = count_in_index(connection, query, |sql| reach.add_range(sql))?;
                if !reach.excludes_booleans() {
                    return Ok(all);
                }
                let booleans = count_in_index(connection, query, |sql| reach.add_booleans(sql))?;
                return Ok(all.saturating_sub(booleans));
            }
            let counts_in_sql = match &reach {
                Some(reach) => reach.is_all(),
                None => decides(connection, &condition)?,
            };
            if condition.exact || counts_in_sql {
                return count_in_sql(connection, &find, condition, query, reach.as_ref());
            }
            let needs_entry = find.evaluator.needs_entry();
            let columns = selected(&condition, &find, needs_entry);
            let sql = statement(&columns, condition, query, &Page::default(), reach.as_ref());
            count_rows(connection, &find, query, &sql)
        })
    })
}

/// Whether SQL decides about the first rows of the table: then it probably decides about all of them.
fn decides(connection: &Connection, condition: &Condition) -> Result<bool> {
    let sql = format!(
        "SELECT NOT EXISTS (SELECT 1 FROM cache_entries \
         WHERE id < {FIRST} + (SELECT min(id) FROM cache_entries) AND {} IS NULL)",
        condition.expression()
    );
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    bind(&mut statement, condition.values())?;
    let mut rows = statement.raw_query();
    rows.next().map_err(failed)?.map_or(Ok(false), |row| row.get(0)).map_err(failed)
}

/// Counts the rows of which SQL knows that they match, and decides about the others one by one.
fn count_in_sql(
    connection: &Connection,
    find: &Find<'_>,
    condition: Condition,
    query: &Query<'_>,
    reach: Option<&Reach<'_>>,
) -> Result<u64> {
    let (expression, exact) = (condition.expression(), condition.exact);
    let columns = selected(&condition, find, find.evaluator.needs_entry());
    let counts = if exact { "count(*), count(*)".to_owned() } else { format!("count(*), count({expression})") };
    let mut sql = statement(&counts, condition, query, &Page::default(), reach);
    let [all, known] = count_of(connection, &sql)?;
    let mut count = known;
    if all > known {
        sql.text = sql.text.replacen(&counts, &columns, 1);
        sql.push(" AND ").push(&expression).push(" IS NULL");
        count += count_rows(connection, find, query, &sql)?;
    }
    Ok(count)
}

/// The number of rows that an index finds.
fn count_in_index(connection: &Connection, query: &Query<'_>, add: impl FnOnce(&mut Sql)) -> Result<u64> {
    let mut sql = Sql::default();
    sql.push("SELECT count(*), 0 FROM cache_entries WHERE ");
    add(&mut sql);
    add_query(&mut sql, query, &Page::default(), "+");
    count_of(connection, &sql).map(|[count, _]| count)
}

/// The result of a statement that counts.
fn count_of(connection: &Connection, sql: &Sql) -> Result<[u64; 2]> {
    let mut statement = connection.prepare(&sql.text).map_err(failed)?;
    bind(&mut statement, &sql.values)?;
    let mut rows = statement.raw_query();
    let row = rows.next().map_err(failed)?;
    let (one, other): (i64, i64) = row.map_or(Ok((0, 0)), |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
    Ok([u64::try_from(one).unwrap_or(0), u64::try_from(other).unwrap_or(0)])
}

/// The number of rows of a statement that match.
fn count_rows(connection: &Connection, find: &Find<'_>, query: &Query<'_>, sql: &Sql) -> Result<u64> {
    let mut statement = connection.prepare(&sql.text).map_err(failed)?;
    bind(&mut statement, &sql.values)?;
    let subject = if find.evaluator.needs_entry() { LAST + 1 } else { 0 };
    let mut count = 0;
    Found { rows: statement.raw_query(), find, subject, left: u64::MAX }.for_each(query, |_, _, _| {
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
        on_one_state(connection, || {
            let needs_entry = find.evaluator.needs_entry();
            let columns = selected(&condition, &find, needs_entry);
            // With an index all rows are found at once.
            let reach = by_index(connection, &find, |_| FEW)?;
            let (walk, end) = if reach.is_some() { ("+", last) } else { ("", last.min(least.saturating_add(STEP))) };
            let any_key = Query { prefix: "", ..*query };
            let mut sql = statement(&format!("{columns}, id"), condition, &any_key, &Page::default(), reach.as_ref());
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
            Found { rows: statement.raw_query(), find: &find, subject, left: u64::MAX }.for_each(
                query,
                |row, version, _| {
                    found.versions.push(version.to_owned());
                    let more = limit == 0 || found.versions.len() < limit;
                    if !more {
                        found.next = Some(Position::Number(row.get(subject + 7).map_err(failed)?));
                    }
                    Ok(more)
                },
            )?;
            Ok(found)
        })
    })
}

#[cfg(test)]
mod tests {
    use cacheness_core::query::{Field, field};

    use super::*;
    use crate::{SqliteMetadata, SqliteOptions};
    use cacheness_core::backend::MetadataBackend as _;

    /// How SQLite executes the statement of a page.
    fn plan(connection: &Connection, filter: &Filter) -> String {
        let query = Query { filter: Some(filter), ..Query::default() };
        let find = Find::new(&query).unwrap().unwrap();
        let page = Page { limit: 100, ..Page::default() };
        let reach = of_page(connection, &find, &query, &page, false).unwrap();
        let (sql, _) = statement_of_page(&find, find.condition(), &query, &page, reach.as_ref());
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
            plan.contains(&format!("INDEX cache_metadata:{name} "))
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
