//! Pages of entries in the order of their keys; see `find` for those with a filter.

use cacheness_core::Result;
use cacheness_core::backend::{Page, Query};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::EntrySummary;
use rusqlite::Connection;

use crate::error::translate;
use crate::rows::{self, columns};
use crate::statement::prepare;

/// Up to this many expired entries are found by their expiry and sorted; more are found by walking all keys.
const FEW_EXPIRED: i64 = 10_000;

/// The first string, in the order of bytes, that is greater than all that start with `prefix`; `None` if there is none.
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

/// The key at which a page begins, and whether it is part of the page.
pub(crate) fn first<'a>(query: &Query<'a>, page: &Page<'a>) -> (&'a str, &'static str) {
    match page.after {
        Some(after) if after >= query.prefix => (after, ">"),
        _ => (query.prefix, ">="),
    }
}

/// The limit of a page, for SQL.
pub(crate) fn most(limit: usize) -> i64 {
    if limit == 0 { -1 } else { i64::try_from(limit).unwrap_or(i64::MAX) }
}

/// The keys of pinned entries.
pub(crate) fn pinned(connection: &Connection, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<String>> {
    let failed = |e| translate("cannot list pinned entries", e);
    let (from, operator) = first(query, page);
    let end = after_prefix(query.prefix);
    let below = if end.is_some() { "AND cache_key < ?3" } else { "" };
    let sql =
        format!("SELECT cache_key FROM cache_pins WHERE cache_key {operator} ?1 {below} ORDER BY cache_key LIMIT ?2");
    let mut statement = prepare(connection, &sql)?;
    statement.raw_bind_parameter(1, from).map_err(failed)?;
    statement.raw_bind_parameter(2, most(page.limit)).map_err(failed)?;
    if let Some(end) = &end {
        statement.raw_bind_parameter(3, end.as_str()).map_err(failed)?;
    }
    let mut rows = statement.raw_query();
    let mut keys = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        keys.push(row.get(0).map_err(failed)?);
    }
    Ok(keys)
}

/// Which entries of a page are read, and how they are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
    All,
    /// Expired ones, by walking the keys.
    ExpiredByKey,
    /// Expired ones, by their expiry, and sorted.
    ExpiredByExpiry,
}

/// The statement of a page: ?1 is the key at which it begins, ?2 the end of the keys, ?3 the time of expiry, ?4 the limit.
fn page_sql(operator: &str, ends: bool, walk: Walk, pinned: bool) -> String {
    // A unary plus keeps the planner from using an index on the following column.
    let key = if walk == Walk::ExpiredByExpiry { "+cache_key" } else { "cache_key" };
    let end = if ends { format!(" AND {key} < ?2") } else { String::new() };
    let expired = match walk {
        Walk::All => "",
        Walk::ExpiredByKey => " AND +expires_at <= ?3",
        Walk::ExpiredByExpiry => " AND expires_at <= ?3",
    };
    let pinned = if pinned { " AND cache_key IN (SELECT cache_key FROM cache_pins)" } else { "" };
    format!(
        concat!(
            "SELECT ",
            columns!(),
            ", cache_key FROM cache_entries WHERE {key} {operator} ?1{end}{expired}{pinned} ORDER BY {key} LIMIT ?4"
        ),
        key = key,
        operator = operator,
        end = end,
        expired = expired,
        pinned = pinned,
    )
}

/// A page of entries without their inline payloads; neither a filter nor another order nor an offset.
pub(crate) fn select(connection: &Connection, query: &Query<'_>, page: &Page<'_>) -> Result<Vec<EntrySummary>> {
    let failed = |e| translate("cannot list entries", e);
    let (from, operator) = first(query, page);
    let end = after_prefix(query.prefix);
    let mut walk = Walk::All;
    if let Some(Timestamp(time)) = query.expired_at {
        let count = "SELECT count(*) FROM (SELECT 1 FROM cache_entries WHERE expires_at <= ?1 LIMIT ?2)";
        let expired: i64 =
            prepare(connection, count)?.query_row([time, FEW_EXPIRED + 1], |row| row.get(0)).map_err(failed)?;
        walk = if expired <= FEW_EXPIRED { Walk::ExpiredByExpiry } else { Walk::ExpiredByKey };
    }
    let mut statement = prepare(connection, &page_sql(operator, end.is_some(), walk, query.pinned))?;
    // Parameters that this variant of the statement lacks are not bound.
    statement.raw_bind_parameter(1, from).map_err(failed)?;
    if let Some(end) = &end {
        statement.raw_bind_parameter(2, end.as_str()).map_err(failed)?;
    }
    if let Some(Timestamp(time)) = query.expired_at {
        statement.raw_bind_parameter(3, time).map_err(failed)?;
    }
    statement.raw_bind_parameter(4, most(page.limit)).map_err(failed)?;
    let mut rows = statement.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        found.push(rows::summary(row)?);
    }
    Ok(found)
}

/// The smallest and the largest creation time.
pub(crate) fn created_range(connection: &Connection) -> Result<Option<(Timestamp, Timestamp)>> {
    let found: (Option<i64>, Option<i64>) =
        prepare(connection, "SELECT min(created_at), max(created_at) FROM cache_entries")?
            .query_row((), |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(|e| translate("cannot read when entries were put", e))?;
    Ok(found.0.map(Timestamp).zip(found.1.map(Timestamp)))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn the_end_of_a_prefix() {
        let end = |prefix: &str| after_prefix(prefix);
        assert_eq!(end(""), None);
        assert_eq!(end("a").as_deref(), Some("b"));
        assert_eq!(end("a\u{7f}").as_deref(), Some("a\u{80}"));
        assert_eq!(end("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(end("a\u{10ffff}\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(end("\u{10ffff}"), None);
    }

    /// SQLite's plan for a statement on an empty database.
    fn plan(sql: &str) -> String {
        let (_, connection) = crate::connect::open_in_memory().unwrap();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.raw_query().mapped(|row| row.get::<_, String>(3)).collect::<Result<Vec<_>, _>>();
        steps.unwrap().join("; ")
    }

    #[test]
    fn a_page_is_read_in_order_unless_few_entries_are_expired() {
        for operator in [">", ">="] {
            for (ends, pinned) in [(false, false), (true, false), (false, true), (true, true)] {
                for walk in [Walk::All, Walk::ExpiredByKey] {
                    let plan = plan(&page_sql(operator, ends, walk, pinned));
                    assert!(plan.contains("(cache_key"), "{walk:?}: {plan}");
                    assert!(!plan.contains("TEMP B-TREE FOR ORDER"), "{walk:?}: {plan}");
                }
            }
            for ends in [false, true] {
                let plan = plan(&page_sql(operator, ends, Walk::ExpiredByExpiry, false));
                assert!(plan.contains("cache_entries_expiry (expires_at<?)"), "{plan}");
            }
        }
    }

    /// A new limit needs no new plan: a statement is prepared once.
    #[test]
    fn a_statement_is_planned_once() {
        let (_, connection) = crate::connect::open_in_memory().unwrap();
        let sql = page_sql(">=", false, Walk::All, false);
        for limit in [1, 1_000, 2] {
            let mut statement = prepare(&connection, &sql).unwrap();
            statement.raw_bind_parameter(1, "").unwrap();
            statement.raw_bind_parameter(4, limit).unwrap();
            assert!(statement.raw_query().next().unwrap().is_none());
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "limit {limit}");
        }
    }
}
