//! Pages sorted by a field that has an index, read in the order of the index.
//!
//! The index has a field's values in the order of listings, class by class: see [`segments`]. Values that it does not
//! decide, lists and tagged values, are read first. The walk ends where every later entry is sorted behind the page.

use cacheness_core::Result;
use cacheness_core::backend::{Page, Query};
use cacheness_core::entry::EntrySummary;
use cacheness_core::query::{Root, Sort, Sorter};
use rusqlite::Connection;

use crate::filter::{self, Condition};
use crate::find::{Find, Found, bind, failed, selected};
use crate::index;
use crate::reach::{self, Indexed};
use crate::rows::{self, LAST};
use crate::totals;

/// If more values of the field are lists or tagged, all rows are read.
const MOST_OTHERS: u64 = 1_000;

/// The walk looks at no more than this part of all rows. Then reading all of them in the order of the table is faster.
const PART: u64 = 16;

/// The index of the first field of the order, if a page can be read along it.
pub(crate) fn index_of<'a>(connection: &Connection, query: &Query<'a>, page: &Page<'_>) -> Result<Option<Indexed<'a>>> {
    let Some(first) = query.sort.first() else { return Ok(None) };
    let is_narrow = !query.prefix.is_empty() || query.pinned || query.expired_at.is_some() || page.after.is_some();
    let is_of_metadata = first.field.root() == Root::Metadata && filter::is_plain(first.field.steps());
    if page.limit == 0 || is_narrow || !is_of_metadata || !index::usable(connection)?.contains(&first.field) {
        return Ok(None);
    }
    Ok(Indexed::of(&first.field))
}

/// The page along an index; `None` if the walk is long.
pub(crate) fn page(
    connection: &Connection,
    find: &Find<'_>,
    condition: &Condition,
    query: &Query<'_>,
    page: &Page<'_>,
    indexed: &Indexed<'_>,
) -> Result<Option<Vec<EntrySummary>>> {
    let Some(first) = query.sort.first() else { return Ok(None) };
    let most = (totals::get(connection)?.entries / PART).max(MOST_OTHERS);
    if page.offset.saturating_add(page.limit) as u64 > most {
        return Ok(None);
    }
    let sorter = Sorter::new(query.sort, page.offset, page.limit);
    let mut walk = Walk { connection, find, condition, query, sorter, left: MOST_OTHERS };
    if walk.along(indexed, None, &indexed.others())? == Step::TooFar {
        return Ok(None);
    }
    walk.left = most;
    for segment in segments(indexed, first) {
        match walk.along(indexed, Some(first), &segment)? {
            Step::Next => {}
            Step::Last => break,
            Step::TooFar => return Ok(None),
        }
    }
    Ok(Some(walk.sorter.finish()))
}

/// The conditions of the classes of values, in the order in which listings sort them.
fn segments(Indexed { value, kind, .. }: &Indexed<'_>, sort: &Sort) -> [String; 5] {
    let mut segments = [
        format!("{value} IS NULL"),
        // The empty string is greater than every number.
        format!("{value} < '' AND {kind} <> 'true' AND {kind} <> 'false'"),
        format!("{value} >= '' AND substr({value}, 1, 1) NOT IN ('[', '{{')"),
        format!("{value} = 0 AND {kind} = 'false'"),
        format!("{value} = 1 AND {kind} = 'true'"),
    ];
    if sort.descending {
        segments.reverse();
    }
    segments
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The next segment may have entries of the page.
    Next,
    /// All later entries are behind the page.
    Last,
    /// The walk has looked at as many rows as it may.
    TooFar,
}

struct Walk<'a, 'b> {
    connection: &'a Connection,
    find: &'a Find<'b>,
    condition: &'a Condition,
    query: &'a Query<'b>,
    sorter: Sorter<'a, EntrySummary>,
    /// How many rows may still be looked at.
    left: u64,
}

impl Walk<'_, '_> {
    /// Adds the matches of a segment to the page, in the order `sort` if there is one.
    fn along(&mut self, indexed: &Indexed<'_>, sort: Option<&Sort>, segment: &str) -> Result<Step> {
        let mut sql = self.condition.deciding(&selected(self.condition, self.find, true));
        sql.push(segment);
        if let Some(sort) = sort {
            reach::add_bounds(indexed, self.find.filter(), &mut sql);
            sql.push(" ORDER BY ").push(&indexed.value).push(if sort.descending { " DESC" } else { ", cache_key" });
        }
        let mut statement = self.connection.prepare(&sql.text).map_err(failed)?;
        bind(&mut statement, &sql.values)?;
        // Entries of one value come in the order of their keys, in which the page has them.
        let is_by_key = self.query.sort.len() == 1 && sort.is_some_and(|sort| !sort.descending);
        let (sorter, mut is_last) = (&mut self.sorter, false);
        let found = Found { rows: statement.raw_query(), find: self.find, subject: LAST + 1, left: self.left };
        let left = found.for_each(self.query, |row, version, values| {
            if sort.is_some() && sorter.ends_before(&values[0], is_by_key.then_some(version.key)) {
                is_last = true;
                return Ok(false);
            }
            sorter.push(values, version.key, || rows::summary(row))?;
            Ok(true)
        })?;
        self.left = left.unwrap_or(0);
        Ok(match left {
            _ if is_last => Step::Last,
            None => Step::TooFar,
            Some(_) => Step::Next,
        })
    }
}
