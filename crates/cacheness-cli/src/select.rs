//! Selection of entries by the filters of a command line.

use cacheness::core::backend::{Page, Query};
use cacheness::core::formats::plain::{DateTime, Value, Zone};
use cacheness::core::store::Store;
use cacheness::core::tags;
use cacheness::query::{Node, Root, Sort};
use cacheness::{EntryInfo, Filter, Result, Timestamp, field};

use crate::args::Filters;
use crate::output::say;
use crate::typed::{Lifetime, Order};

/// What a command line selects.
pub(crate) struct Selection<'a> {
    prefix: &'a str,
    filter: Filter,
    expired_at: Option<Timestamp>,
}

impl Filters {
    /// Whether every entry is selected.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { prefix, data_type, function, tags, conditions, older_than } = self;
        prefix.is_none()
            && data_type.is_none()
            && function.is_none()
            && tags.is_empty()
            && conditions.is_empty()
            && older_than.is_none()
    }

    /// The selection, all in the filter language except the prefix, which is faster by itself.
    pub(crate) fn selection(&self, now: Timestamp) -> Selection<'_> {
        let mut filter = Filter::all();
        if let Some(data_type) = &self.data_type {
            filter = filter.and(field("entry.data_type").eq(data_type.as_str()));
        }
        if let Some(function) = &self.function {
            filter = filter.and(of_function(function));
        }
        filter = self.tags.iter().fold(filter, |filter, tag| filter.and(tags::filter(tag)));
        if let Some(age) = self.older_than {
            filter = filter.and(older_than(age, now));
        }
        filter = self.conditions.iter().fold(filter, |filter, condition| filter.and(condition.0.clone()));
        Selection { prefix: self.prefix.as_deref().unwrap_or(""), filter, expired_at: None }
    }
}

impl Selection<'_> {
    /// Only entries that have expired at that time.
    pub(crate) fn expired(mut self, now: Timestamp) -> Self {
        self.expired_at = Some(now);
        self
    }

    /// The prefix of its keys.
    pub(crate) fn prefix(&self) -> &str {
        self.prefix
    }

    /// Its filter.
    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

    fn query<'a>(&'a self, filter: &'a Filter, sort: &'a [Sort]) -> Query<'a> {
        let filter = (!filter.is_empty()).then_some(filter);
        Query { prefix: self.prefix, expired_at: self.expired_at, filter, sort, ..Query::default() }
    }

    /// All selected entries, in the order of the keys.
    pub(crate) fn all(&self) -> Query<'_> {
        self.query(&self.filter, &[])
    }

    /// Calls `visit` with every selected entry, in the order of the keys.
    pub(crate) fn for_each(&self, store: &Store, mut visit: impl FnMut(EntryInfo) -> Result<()>) -> Result<()> {
        store.for_each_in(&self.all(), |summary| visit(summary.into()))
    }

    /// The number of selected entries.
    pub(crate) fn count(&self, store: &Store) -> Result<u64> {
        self.count_of(store, &self.filter)
    }

    fn count_of(&self, store: &Store, filter: &Filter) -> Result<u64> {
        store.metadata().count(&self.query(filter, &[]))
    }

    /// A part of the selected entries in an order.
    pub(crate) fn list(
        &self,
        store: &Store,
        orders: &[Order],
        reverse: bool,
        offset: usize,
        limit: Option<usize>,
    ) -> Result<Vec<EntryInfo>> {
        let sort: Vec<Sort> = orders
            .iter()
            .map(|Order { sort, .. }| Sort { field: sort.field.clone(), descending: sort.descending != reverse })
            .collect();
        let limit = limit.unwrap_or(usize::MAX);
        let page = |filter: &Filter, sort: &[Sort], offset: usize, limit: usize| {
            // For a page 0 is no limit.
            let page = Page { offset, limit: if limit == usize::MAX { 0 } else { limit }, after: None };
            if limit == 0 { Ok(Vec::new()) } else { store.metadata().select(&self.query(filter, sort), &page) }
        };
        let found = match orders {
            [Order { sort: Sort { field: by, .. }, none_last: true }] => {
                // The filter language takes null for the smallest value.
                let has_one = field(&by.to_string()).ne(Value::None);
                let with = self.filter.clone().and(has_one.clone());
                let without = self.filter.clone().and(!has_one);
                let mut parts = [(with, &sort[..]), (without, &[][..])];
                if reverse {
                    parts.reverse();
                }
                let [(first, first_sort), (second, second_sort)] = &parts;
                let mut found = page(first, first_sort, offset, limit)?;
                let skipped = usize::try_from(self.count_of(store, first)?).unwrap_or(usize::MAX);
                let left = if limit == usize::MAX { limit } else { limit - found.len() };
                found.extend(page(second, second_sort, offset.saturating_sub(skipped), left)?);
                found
            }
            _ => page(&self.filter, &sort, offset, limit)?,
        };
        Ok(found.into_iter().map(EntryInfo::from).collect())
    }

    /// Says, if nothing was found, what a name without a prefix means.
    pub(crate) fn explain_nothing(&self) {
        if let Some(name) = metadata_field(&self.filter) {
            say(format_args!(
                "{name} is a field of the metadata; params.{name} is a parameter, entry.FIELD a field of the entry"
            ));
        }
    }
}

/// The first field of the metadata that a filter asks for, if it is a plain name.
fn metadata_field(filter: &Filter) -> Option<String> {
    let mut found = None;
    filter.node().for_each_test(&mut |field, _| {
        let is_plain = field.root() == Root::Metadata && field.steps().len() == 1 && field.steps()[0] != tags::FIELD;
        if is_plain && found.is_none() {
            found = Some(field.to_string());
        }
    });
    found.filter(|_| !matches!(filter.node(), Node::Invalid(_)))
}

/// The results of a function: named in full, or by the part after a module or type.
fn of_function(name: &str) -> Filter {
    let mut expression = String::from("(?:^|\\.|::)");
    for letter in name.chars() {
        // Not all signs: `\<` is an operator.
        if r"\.+*?()|[]{}^$#&-~".contains(letter) {
            expression.push('\\');
        }
        expression.push(letter);
    }
    expression.push('$');
    field("entry.function").matches(&expression)
}

/// Entries that were put longer ago.
#[allow(clippy::cast_possible_truncation)]
fn older_than(Lifetime(seconds): Lifetime, now: Timestamp) -> Filter {
    // A conversion from a float saturates.
    let micros = now.0.saturating_sub((seconds * 1e6) as i64);
    let time = DateTime { micros, fold: false, zone: Zone::Fixed { offset: 0, name: None } };
    field("entry.created_at").lt(Value::DateTime(time))
}

#[cfg(test)]
mod tests {
    use cacheness::query::Operator;
    use cacheness::{Cache, Clock, params};

    use super::*;

    fn is_named(name: &str, wanted: &str) -> bool {
        match of_function(wanted).node() {
            Node::Test(_, Operator::Regex(expression)) => expression.is_match(name),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_function_is_named_by_the_end_of_its_name() {
        for (name, wanted, is) in [
            ("taxi.data.trips", "taxi.data.trips", true),
            ("taxi.data.trips", "data.trips", true),
            ("taxi.data.trips", "trips", true),
            ("taxi.data.trips", "rips", false),
            ("taxi.data.trips", "taxi", false),
            ("taxi.dataxtrips", "data.trips", false),
            ("trips", "trips", true),
            ("trips", "", false),
            ("taxi::data::trips", "data::trips", true),
            ("taxi::data::trips", "trips", true),
            ("taxi::data::trips", ":trips", false),
            ("main.<locals>.größe", "<locals>.größe", true),
        ] {
            assert_eq!(is_named(name, wanted), is, "{name} {wanted}");
        }
    }

    #[test]
    fn older_is_longer_ago() {
        let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
        let cache = Cache::builder().in_memory().clock(clock.clone()).open().expect("opens");
        cache.put(1, params! { x: 1 }).expect("put");
        let is_older = |age: f64, now: Timestamp| {
            let filter = older_than(Lifetime(age), now);
            cache.engine().count(&filter).expect("counted") == 1
        };
        let after = |seconds: i64| Timestamp(clock.now().0 + seconds * 1_000_000);
        assert!(is_older(9.0, after(10)));
        assert!(!is_older(10.0, after(10)));
        assert!(!is_older(0.0, after(-1)), "a clock that was set back");
        assert!(!is_older(1e300, after(10)));
    }
}
