//! Reports: what some entries are together, by type and by any field.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use super::{CacheEngine, is_expired};
use crate::backend::Query;
use crate::clock::Timestamp;
use crate::entry::{Computed, EntrySummary};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::plain::Value;
use crate::query::{Evaluator, Field, Filter, Ordered, Sort, Subject};
use crate::store::Store;

/// The field by which every report is grouped first.
pub const TYPE: &str = "entry.data_type";

/// What some entries are together, and in groups by the values of fields.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The time of the report.
    pub time: Timestamp,
    /// All of the entries.
    pub totals: Totals,
    /// The groups of each field under its name, the largest first: of [`TYPE`], then of the fields that were asked for.
    pub by: Vec<(String, Vec<Group>)>,
}

/// The entries with one value of a field.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Group {
    /// The value; null for entries without the field. If the value of an entry is a list, the entry is in the group of each
    /// different element.
    pub value: Value,
    /// Its entries.
    pub totals: Totals,
}

/// Totals of entries.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Totals {
    /// The number of entries.
    pub entries: u64,
    /// The bytes of their payloads.
    pub bytes: u64,
    /// The times of the first and the last put; `None` without entries.
    pub created: Option<(Timestamp, Timestamp)>,
    /// How many have expired.
    pub expired: u64,
    /// How many are pinned.
    pub pinned: u64,
    /// How often they were read since they were put.
    pub reads: u64,
    /// Reads times the seconds of the computation, of results of functions.
    pub seconds_saved: f64,
}

impl Totals {
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 reads")]
    fn add(&mut self, EntrySummary { entry, .. }: &EntrySummary, pinned: bool, now: Timestamp) {
        let at = entry.created_at;
        let (oldest, newest) = self.created.unwrap_or((at, at));
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(entry.size);
        self.created = Some((at.min(oldest), at.max(newest)));
        self.expired += u64::from(is_expired(entry, now));
        self.pinned += u64::from(pinned);
        self.reads = self.reads.saturating_add(entry.access_count);
        self.seconds_saved += entry.access_count as f64 * entry.computed.map_or(0.0, Computed::seconds);
    }
}

impl Report {
    /// Reports on the entries of `query`, whose order must be that of the keys: their totals, and those of the groups that
    /// the fields `by` make of them. Memory is taken for the groups, not for the entries.
    ///
    /// # Errors
    /// `InvalidInput` for what is no field and for a mistake in the filter; `Serialization` for damaged metadata or
    /// parameters, if they are needed; those of the metadata backend.
    pub fn of(store: &Store, query: &Query<'_>, by: &[impl AsRef<str>], now: Timestamp) -> Result<Self> {
        Self::adjusted(store, query, by, now, |_| {})
    }

    fn adjusted(
        store: &Store,
        query: &Query<'_>,
        by: &[impl AsRef<str>],
        now: Timestamp,
        adjust: impl Fn(&mut EntrySummary),
    ) -> Result<Self> {
        let mut fields: Vec<(String, Sort)> = Vec::new();
        for name in [TYPE].into_iter().chain(by.iter().map(AsRef::as_ref)) {
            if name.starts_with('$') {
                return Err(Error::new(ErrorKind::InvalidInput, format!("{name:?} is an operator, not a field"))
                    .with_hint(r"write \$ for a name that begins with $"));
            }
            if fields.iter().all(|(known, _)| known != name) {
                fields.push((name.to_owned(), Sort { field: Field::parse(name)?, descending: false }));
            }
        }
        let wanted: Vec<Sort> = fields.iter().map(|(_, sort)| sort.clone()).collect();
        let every = Filter::all();
        let evaluator = Evaluator::new(&every, &wanted)?;
        let pinned: HashSet<String> = store.pinned()?.into_iter().collect();
        let mut totals = Totals::default();
        let mut groups: Vec<BTreeMap<Ordered, Totals>> = vec![BTreeMap::new(); fields.len()];
        store.for_each_in(query, |mut found| {
            adjust(&mut found);
            let is_pinned = pinned.contains(&found.entry.key);
            totals.add(&found, is_pinned, now);
            let subject = Subject::of(&found, is_pinned);
            for (sort, groups) in wanted.iter().zip(&mut groups) {
                for value in evaluator.values(&subject, &sort.field)? {
                    groups.entry(Ordered(value)).or_default().add(&found, is_pinned, now);
                }
            }
            Ok(())
        })?;
        let by = fields.into_iter().zip(groups).map(|((name, _), groups)| {
            let group = |(Ordered(value), totals)| Group { value, totals };
            let mut groups: Vec<Group> = groups.into_iter().map(group).collect();
            // Groups of one size stay in the order of their values.
            groups.sort_by_key(|Group { totals, .. }| Reverse((totals.bytes, totals.entries)));
            (name, groups)
        });
        Ok(Self { time: now, totals, by: by.collect() })
    }

    /// The totals of the entries with this value of a field, compared as in filters; `None` if there are none, or if the
    /// report is not grouped by the field.
    #[must_use]
    pub fn group(&self, field: &str, value: impl Into<Value>) -> Option<&Totals> {
        let wanted = Ordered(value.into());
        let (_, groups) = self.by.iter().find(|(name, _)| name == field)?;
        groups.iter().find(|group| Ordered(group.value.clone()) == wanted).map(|group| &group.totals)
    }
}

impl CacheEngine {
    /// Reports on the entries that match the filter, expired ones too; accesses are up to date.
    ///
    /// # Errors
    /// Those of [`Report::of`]; `Closed`.
    pub fn report(&self, filter: &Filter, by: &[impl AsRef<str>]) -> Result<Report> {
        self.refuse_if_closed()?;
        self.flush_before_reading()?;
        let query = Query { filter: (!filter.is_empty()).then_some(filter), ..Query::default() };
        let adjust = |found: &mut EntrySummary| self.accesses.add_to(&mut found.entry);
        Report::adjusted(&self.store, &query, by, self.store.clock().now(), adjust)
    }
}
