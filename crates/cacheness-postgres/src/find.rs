//! Pages, counts and searches.
//!
//! SQL decides about most rows; where its condition is NULL, the evaluator decides. See `filter`.

use std::sync::Arc;

use cacheness_core::Result;
use cacheness_core::backend::{Page, Position, Query, Versions};
use cacheness_core::entry::EntrySummary;
use cacheness_core::formats::plain::Value as Plain;
use cacheness_core::query::{Evaluator, Field, Filter, Sorter, Subject};
use tokio_postgres::Row;

use crate::filter::{Condition, Sql, Value};
use crate::index;
use crate::link::{Link, Param};
use crate::names::Names;
use crate::rows::{self, LAST, SUMMARY};
use crate::statements::Statements;

const SEARCH: &str = "cannot search the entries";

/// The rows that are read at a time where the evaluator decides about some of them.
const STEP: usize = 2_000;

/// What comes after all keys with a prefix; `None` if nothing does.
pub(crate) fn after_prefix(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'), // Surrogates are not characters.
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// What is before the first NUL. No key has a NUL, so no key is between the two.
fn whole(text: &str) -> &str {
    text.split('\0').next().unwrap_or_default()
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Where a search looks.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) statements: &'a Statements,
    pub(crate) names: &'a Names,
    pub(crate) indexes: &'a index::Known,
}

/// A page of entries without their inline payloads.
pub(crate) fn select(
    link: &mut Link,
    place: Place<'_>,
    query: &Query<'_>,
    page: &Page<'_>,
) -> Result<Vec<EntrySummary>> {
    if query.prefix.contains('\0') {
        return Ok(Vec::new());
    }
    if query.filter.is_none() && query.sort.is_empty() {
        return plain(link, place.statements, query, page);
    }
    let all = Filter::all();
    let filter = query.filter.unwrap_or(&all);
    let evaluator = Evaluator::new(filter, query.sort)?;
    let condition = Condition::of(filter);
    let exact = condition.exact;
    if query.sort.is_empty() {
        let mut entries = Vec::new();
        let mut skipped = if exact { page.offset } else { 0 };
        let step = if exact { page.limit } else { STEP.max(page.offset.saturating_add(page.most().min(STEP))) };
        let mut walk = Walk::new(place, &condition, query, page, step, exact);
        while entries.len() < page.most() {
            let rows = walk.next(link)?;
            for row in &rows {
                let Some((summary, _)) = decide(&evaluator, query, row)? else { continue };
                if skipped < page.offset {
                    skipped += 1;
                } else {
                    entries.push(summary);
                    if entries.len() >= page.most() {
                        break;
                    }
                }
            }
            if walk.is_over {
                break;
            }
        }
        return Ok(entries);
    }
    let mut sorter = Sorter::new(query.sort, page.offset, page.most());
    let mut walk = Walk::new(place, &condition, query, &Page { offset: 0, ..*page }, STEP, false);
    while !walk.is_over {
        for row in &walk.next(link)? {
            if let Some((summary, values)) = decide(&evaluator, query, row)? {
                let key = summary.entry.key.clone();
                sorter.push(values, &key, || Ok(summary))?;
            }
        }
    }
    Ok(sorter.finish())
}

/// A page without a filter.
fn plain(link: &mut Link, sql: &Statements, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<EntrySummary>> {
    let after = page.after.map(whole);
    let end = after_prefix(query.prefix);
    let expired = query.expired_at.map(|time| time.0);
    let limit = (page.limit > 0).then(|| signed(page.limit));
    let offset = signed(page.offset);
    let params: [Param<'_>; 7] = [&query.prefix, &after, &end, &expired, &query.pinned, &limit, &offset];
    let rows = link.query("cannot list entries", &sql.page, &params)?;
    rows.iter().map(rows::summary).collect()
}

/// Whether the entry in a row of [`SUMMARY`], whether it is pinned, and the condition, matches; and how it is sorted.
fn decide(evaluator: &Evaluator<'_>, query: &Query<'_>, row: &Row) -> Result<Option<(EntrySummary, Vec<Plain>)>> {
    let summary = rows::summary(row)?;
    let known: Option<bool> = row.try_get(LAST + 1).unwrap_or_default();
    if known == Some(true) && query.sort.is_empty() {
        return Ok(Some((summary, Vec::new())));
    }
    let pinned = row.try_get(LAST).unwrap_or(false);
    let subject = Subject { glimpse: rows::glimpse(&summary), entry: Some(&summary), pinned };
    let values = evaluator.ranked(&subject, query.sort)?;
    Ok(values.map(|values| (summary, values)))
}

/// Adds the conditions of a query except its filter.
fn add_query(sql: &mut Sql, query: &Query<'_>) {
    if !query.prefix.is_empty() {
        sql.push(" AND cache_key >= ").bind(Value::Text(query.prefix.to_owned()));
        if let Some(end) = after_prefix(query.prefix) {
            sql.push(" AND cache_key < ").bind(Value::Text(end));
        }
    }
    if let Some(time) = query.expired_at {
        sql.push(" AND expires_at <= ").bind(Value::Int(time.0));
    }
    if query.pinned {
        sql.push(" AND pinned");
    }
}

/// The indexes that may help a query; without a filter none is looked for.
fn indexes(link: &mut Link, place: Place<'_>, query: &Query<'_>) -> Result<Arc<[Field]>> {
    if query.filter.is_none() {
        return Ok(Arc::default());
    }
    place.indexes.get(link, place.names)
}

/// The rows that may match, in the order of their keys.
struct Walk<'a> {
    place: Place<'a>,
    condition: &'a Condition,
    query: &'a Query<'a>,
    after: Option<String>,
    offset: usize,
    step: usize,
    is_over: bool,
}

impl<'a> Walk<'a> {
    fn new(
        place: Place<'a>,
        condition: &'a Condition,
        query: &'a Query<'a>,
        page: &Page<'_>,
        step: usize,
        exact: bool,
    ) -> Self {
        let after = page.after.map(|after| whole(after).to_owned());
        Self { place, condition, query, after, offset: if exact { page.offset } else { 0 }, step, is_over: false }
    }

    fn next(&mut self, link: &mut Link) -> Result<Vec<Row>> {
        let condition = &self.condition.sql.text;
        let mut sql = self.condition.sql.clone();
        sql.text = format!(
            "SELECT {SUMMARY}, pinned, ({condition}) FROM {} WHERE ({condition}) IS NOT FALSE",
            self.place.names.of("entries")
        );
        add_query(&mut sql, self.query);
        index::narrow(&mut sql, self.query, &indexes(link, self.place, self.query)?);
        if let Some(after) = &self.after {
            sql.push(" AND cache_key > ").bind(Value::Text(after.clone()));
        }
        sql.push(" ORDER BY cache_key");
        if self.step > 0 {
            sql.push(" LIMIT ").bind(Value::Int(signed(self.step)));
        }
        if self.offset > 0 {
            sql.push(" OFFSET ").bind(Value::Int(signed(self.offset)));
        }
        let rows = link.query_once(SEARCH, &sql.text, &sql.params())?;
        self.offset = 0;
        self.is_over = self.step == 0 || rows.len() < self.step;
        if let Some(last) = rows.last() {
            self.after = last.try_get(0).ok();
        }
        Ok(rows)
    }
}

/// The number of entries that match.
pub(crate) fn count(link: &mut Link, place: Place<'_>, query: &Query<'_>) -> Result<u64> {
    if query.prefix.contains('\0') {
        return Ok(0);
    }
    let query = &Query { sort: &[], ..*query };
    let all = Filter::all();
    let filter = query.filter.unwrap_or(&all);
    let evaluator = Evaluator::new(filter, &[])?;
    let condition = Condition::of(filter);
    let text = &condition.sql.text;
    let mut sql = condition.sql.clone();
    sql.text = format!(
        "SELECT count(*) FILTER (WHERE known), count(*) FILTER (WHERE known IS NULL) FROM \
         (SELECT ({text}) AS known FROM {} WHERE TRUE",
        place.names.of("entries")
    );
    add_query(&mut sql, query);
    index::narrow(&mut sql, query, &indexes(link, place, query)?);
    sql.push(") AS found");
    let rows = link.query_once(SEARCH, &sql.text, &sql.params())?;
    let number = |column: usize| rows.first().and_then(|row| row.try_get::<_, i64>(column).ok()).unwrap_or(0);
    let (known, unknown) = (number(0), number(1));
    let mut count = u64::try_from(known).unwrap_or(0);
    if unknown > 0 {
        // Only the rows about which SQL does not know.
        let mut sql = condition.sql.clone();
        sql.text = format!("({text}) IS NULL");
        let condition = Condition { sql, exact: false };
        let mut walk = Walk::new(place, &condition, query, &Page::default(), STEP, false);
        while !walk.is_over {
            for row in &walk.next(link)? {
                let summary = rows::summary(row)?;
                let pinned = row.try_get(LAST).unwrap_or(false);
                let subject = Subject { glimpse: rows::glimpse(&summary), entry: Some(&summary), pinned };
                count += u64::from(evaluator.matches(&subject)?);
            }
        }
    }
    Ok(count)
}

/// The next entries that match, in the order of their keys.
pub(crate) fn search(
    link: &mut Link,
    place: Place<'_>,
    query: &Query<'_>,
    from: &Position,
    limit: usize,
) -> Result<Versions> {
    if query.prefix.contains('\0') {
        return Ok(Versions::default());
    }
    let query = &Query { sort: &[], ..*query };
    let all = Filter::all();
    let filter = query.filter.unwrap_or(&all);
    let evaluator = Evaluator::new(filter, &[])?;
    let condition = if query.filter.is_some() { Condition::of(filter) } else { Condition::all() };
    let after = match from {
        Position::Key(key) => Some(key.as_str()),
        _ => None,
    };
    let step = if limit > 0 { limit.min(50_000) } else { 50_000 };
    let mut walk = Walk::new(place, &condition, query, &Page { after, ..Page::default() }, step, false);
    let rows = walk.next(link)?;
    let mut versions = Vec::with_capacity(rows.len());
    for row in &rows {
        if let Some((summary, _)) = decide(&evaluator, query, row)? {
            versions.push(summary.entry.version());
        }
    }
    let next = if walk.is_over { None } else { walk.after.map(Position::Key) };
    Ok(Versions { versions, next })
}
