//! Selection of entries by the filters of a command line.

use std::collections::HashSet;

use cacheness::core::entry::EntrySummary;
use cacheness::core::formats::plain::Value;
use cacheness::core::query::{Evaluator, Filter, Subject};
use cacheness::core::store::Store;
use cacheness::{EntryInfo, Timestamp};

use crate::args::Filters;
use crate::failure::Failure;
use crate::typed::Lifetime;

impl Filters {
    /// Whether every entry is selected.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { prefix, data_type, function, conditions, older_than } = self;
        prefix.is_none() && data_type.is_none() && function.is_none() && conditions.is_empty() && older_than.is_none()
    }

    /// Refuses filters that no entry can match.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let mut seen = HashSet::new();
        match self.conditions.iter().find(|condition| !seen.insert(condition.name.as_str())) {
            None => Ok(()),
            Some(twice) => Err(Failure::Usage(
                format!("--where {} is given twice, but an entry has only one value for a name", twice.name),
                "an entry must match all --where; run the command once for each value".into(),
            )),
        }
    }

    /// Calls `visit` with every selected entry, in the order of the keys.
    pub(crate) fn for_each(
        &self,
        store: &Store,
        mut visit: impl FnMut(EntryInfo) -> cacheness::Result<()>,
    ) -> cacheness::Result<()> {
        let now = store.clock().now();
        let values = self.conditions.iter().map(|c| (Value::Str(c.name.clone()), c.value.clone())).collect();
        let filter = Filter::named(&Value::Map(values))?;
        let evaluator = Evaluator::new(&filter, &[])?;
        store.for_each(self.prefix.as_deref().unwrap_or(""), |summary: EntrySummary| {
            let entry = EntryInfo::from(summary);
            if self.takes(&entry, &evaluator, now)? { visit(entry) } else { Ok(()) }
        })
    }

    fn takes(&self, entry: &EntryInfo, evaluator: &Evaluator<'_>, now: Timestamp) -> cacheness::Result<bool> {
        if self.data_type.as_deref().is_some_and(|wanted| wanted != entry.data_type())
            || self.older_than.is_some_and(|age| !is_older(entry.created_at(), age, now))
        {
            return Ok(false);
        }
        if let Some(wanted) = &self.function
            && !entry.function().is_some_and(|name| is_named(&name, wanted))
        {
            return Ok(false);
        }
        let whole = EntrySummary { entry: entry.entry().clone(), inline: entry.is_inline() };
        evaluator.matches(&Subject::of(&whole, false))
    }
}

#[allow(clippy::cast_precision_loss)]
fn is_older(then: Timestamp, Lifetime(seconds): Lifetime, now: Timestamp) -> bool {
    now.0.saturating_sub(then.0) as f64 > seconds * 1e6
}

/// Whether `wanted` names a function: its full name, or the part after a module or type.
fn is_named(name: &str, wanted: &str) -> bool {
    name == wanted || name.strip_suffix(wanted).is_some_and(|module| module.ends_with('.') || module.ends_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_by_the_end_of_its_name() {
        for (name, wanted, is) in [
            ("taxi.data.trips", "taxi.data.trips", true),
            ("taxi.data.trips", "data.trips", true),
            ("taxi.data.trips", "trips", true),
            ("taxi.data.trips", "rips", false),
            ("taxi.data.trips", "taxi", false),
            ("trips", "trips", true),
            ("trips", "", false),
            ("taxi::data::trips", "data::trips", true),
            ("taxi::data::trips", "trips", true),
            ("taxi::data::trips", ":trips", false),
        ] {
            assert_eq!(is_named(name, wanted), is, "{name} {wanted}");
        }
    }

    #[test]
    fn older_is_longer_ago() {
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        assert!(is_older(at(0), Lifetime(9.0), at(10)));
        assert!(!is_older(at(0), Lifetime(10.0), at(10)));
        assert!(!is_older(at(11), Lifetime(0.0), at(10)), "a clock that was set back");
        assert!(!is_older(Timestamp(i64::MIN), Lifetime(1e300), Timestamp(i64::MAX)));
    }
}
