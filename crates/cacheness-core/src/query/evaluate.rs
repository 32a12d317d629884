//! Deciding whether an entry matches a filter.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::field::{Field, Root, entry_value};
use super::filter::{Filter, Node, Operator};
use super::order;
use super::sort::Sort;
use crate::entry::{EntrySummary, Glimpse};
use crate::error::{Error, Result};
use crate::formats::plain::Value;
use crate::formats::plain::tagged_json;
use crate::key;

/// What a filter looks at: an entry, or as much of it as [`Evaluator::needs_entry`] asks for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The key, the metadata and the parameters.
    pub glimpse: Glimpse<'a>,
    /// The whole entry.
    pub entry: Option<&'a EntrySummary>,
    /// Whether it is pinned.
    pub pinned: bool,
}

impl<'a> Subject<'a> {
    /// A whole entry.
    #[must_use]
    pub fn of(entry: &'a EntrySummary, pinned: bool) -> Self {
        Self { glimpse: Glimpse::from(&entry.entry), entry: Some(entry), pinned }
    }
}

/// Decides about many entries. Created once per query.
#[derive(Debug)]
pub struct Evaluator<'a> {
    filter: &'a Filter,
    /// The top-level fields of the metadata that are needed, in their JSON form.
    names: Vec<String>,
    needs_entry: bool,
}

impl<'a> Evaluator<'a> {
    /// For a filter, and for the fields by which its results are sorted.
    ///
    /// # Errors
    /// Those of [`Filter::check`].
    pub fn new(filter: &'a Filter, sort: &[Sort]) -> Result<Self> {
        filter.check()?;
        let mut new = Self { filter, names: Vec::new(), needs_entry: false };
        filter.node().for_each_test(&mut |field, _| new.need(field));
        sort.iter().for_each(|sort| new.need(&sort.field));
        Ok(new)
    }

    fn need(&mut self, field: &Field) {
        match field.root() {
            Root::Metadata => {
                let name = json_name(&field.steps()[0]);
                if !self.names.contains(&name) {
                    self.names.push(name);
                }
            }
            Root::Params => {}
            Root::Entry => self.needs_entry = true,
        }
    }

    /// Whether a field of the entry itself is needed, so that a [`Subject`] must have the whole entry.
    #[must_use]
    pub fn needs_entry(&self) -> bool {
        self.needs_entry
    }

    /// Whether the entry matches.
    ///
    /// # Errors
    /// [`Serialization`](crate::ErrorKind::Serialization) for damaged metadata or parameters, if they are needed.
    pub fn matches(&self, subject: &Subject<'_>) -> Result<bool> {
        // Nearly all filters are decided by one field.
        Opened::new(self, subject)?.decide(self.filter.node())
    }

    /// Whether the entry matches; if so, the values by which it is sorted.
    ///
    /// # Errors
    /// As [`Evaluator::matches`].
    pub fn ranked(&self, subject: &Subject<'_>, sort: &[Sort]) -> Result<Option<Vec<Value>>> {
        let opened = Opened::new(self, subject)?;
        if !opened.decide(self.filter.node())? {
            return Ok(None);
        }
        sort.iter().map(|sort| opened.rank(sort)).collect::<Result<_>>().map(Some)
    }

    /// The different values of a field, to group entries by: each element of a list, and null where there is nothing. The
    /// field is one of the filter, or of those that results are sorted by.
    ///
    /// # Errors
    /// As [`Evaluator::matches`].
    pub fn values(&self, subject: &Subject<'_>, field: &Field) -> Result<Vec<Value>> {
        Opened::new(self, subject)?.with_values(field, |values| {
            let mut different: Vec<Value> = Vec::new();
            for value in values.found.iter().flat_map(|value| items(value).unwrap_or(std::slice::from_ref(*value))) {
                if !different.iter().any(|known| order::equal(known, value)) {
                    different.push(value.clone());
                }
            }
            if different.is_empty() {
                different.push(Value::None);
            }
            different
        })
    }
}

/// The name of a top-level field in the JSON of metadata.
fn json_name(name: &str) -> String {
    if name.starts_with('$') { format!("${name}") } else { name.to_owned() }
}

/// An entry whose metadata has been split into its fields. Values are decoded when they are first asked for.
struct Opened<'a> {
    evaluator: &'a Evaluator<'a>,
    subject: &'a Subject<'a>,
    raw: Fields<'a>,
    decoded: Vec<OnceCell<Value>>,
    params: OnceCell<Value>,
}

enum Fields<'a> {
    /// The values of [`Evaluator::names`].
    Raw(Vec<Option<&'a RawValue>>),
    /// Everything: the metadata as a whole has a tag.
    Whole(Value),
}

impl<'a> Opened<'a> {
    fn new(evaluator: &'a Evaluator<'a>, subject: &'a Subject<'a>) -> Result<Self> {
        let names = &evaluator.names;
        let raw = match subject.glimpse.metadata.filter(|_| !names.is_empty()) {
            None => Fields::Raw(vec![None; names.len()]),
            Some(json) => split(names, json).map_err(|error| damaged(error, subject))?,
        };
        let decoded = names.iter().map(|_| OnceCell::new()).collect();
        Ok(Self { evaluator, subject, raw, decoded, params: OnceCell::new() })
    }

    fn decide(&self, node: &Node) -> Result<bool> {
        match node {
            Node::And(nodes) => {
                for node in nodes {
                    if !self.decide(node)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Node::Or(nodes) => {
                for node in nodes {
                    if self.decide(node)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Node::Not(node) => self.decide(node).map(|decided| !decided),
            Node::Test(field, operator) => self.with_values(field, |values| test(operator, values)),
            Node::Invalid(_) => Ok(false),
        }
    }

    /// The value by which the entry is sorted.
    fn rank(&self, sort: &Sort) -> Result<Value> {
        self.with_values(&sort.field, |values| {
            let all = values.found.iter().flat_map(|value| items(value).unwrap_or(std::slice::from_ref(*value)));
            let chosen = if sort.descending {
                all.max_by(|a, b| order::total(a, b))
            } else {
                all.min_by(|a, b| order::total(a, b))
            };
            chosen.cloned().unwrap_or_default()
        })
    }

    fn with_values<T>(&self, field: &Field, use_them: impl FnOnce(&Values<'_>) -> T) -> Result<T> {
        let mut values = Values { found: Vec::new(), missing: false };
        let entry_field;
        let steps = field.steps();
        match field.root() {
            Root::Metadata => match self.metadata(&steps[0])? {
                Some(value) => values.descend(value, &steps[1..]),
                None => values.missing = true,
            },
            Root::Params => match self.params()? {
                Some(value) => values.descend(value, steps),
                None => values.missing = true,
            },
            Root::Entry => {
                let entry = self.subject.entry;
                entry_field = entry.map(|entry| entry_value(entry, self.subject.pinned, &steps[0])).unwrap_or_default();
                values.found.push(&entry_field);
            }
        }
        Ok(use_them(&values))
    }

    fn metadata(&self, name: &str) -> Result<Option<&Value>> {
        let raw = match &self.raw {
            Fields::Whole(all) => return Ok(all.get(name)),
            Fields::Raw(raw) => raw,
        };
        let json = json_name(name);
        let Some(i) = self.evaluator.names.iter().position(|known| *known == json) else { return Ok(None) };
        let Some(raw) = raw[i] else { return Ok(None) };
        if let Some(known) = self.decoded[i].get() {
            return Ok(Some(known));
        }
        let value = tagged_json::value_from_json(raw.get(), name).map_err(|error| damaged(error, self.subject))?;
        Ok(Some(self.decoded[i].get_or_init(|| value)))
    }

    fn params(&self) -> Result<Option<&Value>> {
        let Some(encoding) = self.subject.glimpse.params else { return Ok(None) };
        if let Some(known) = self.params.get() {
            return Ok(Some(known));
        }
        let value = Value::from(key::render(encoding).map_err(|error| damaged(error, self.subject))?);
        Ok(Some(self.params.get_or_init(|| value)))
    }
}

fn damaged(error: Error, subject: &Subject<'_>) -> Error {
    error.within(format_args!("entry {}", subject.glimpse.key))
}

/// The values to which a path leads.
struct Values<'a> {
    found: Vec<&'a Value>,
    /// Whether the path, or one of its branches, leads to nothing.
    missing: bool,
}

impl<'a> Values<'a> {
    fn descend(&mut self, value: &'a Value, steps: &[String]) {
        let Some((step, rest)) = steps.split_first() else {
            self.found.push(value);
            return;
        };
        if let Value::Map(_) = value {
            match value.get(step) {
                Some(value) => self.descend(value, rest),
                None => self.missing = true,
            }
            return;
        }
        let Some(items) = items(value) else {
            self.missing = true;
            return;
        };
        if step.bytes().all(|byte| byte.is_ascii_digit()) {
            match step.parse::<usize>().ok().and_then(|position| items.get(position)) {
                Some(item) => self.descend(item, rest),
                None => self.missing = true,
            }
            return;
        }
        let mut any = false;
        for item in items.iter().filter(|item| matches!(item, Value::Map(_))) {
            any = true;
            self.descend(item, steps);
        }
        self.missing |= !any;
    }
}

fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => Some(items),
        _ => None,
    }
}

/// Whether an operator holds for one of the values.
fn test(operator: &Operator, values: &Values<'_>) -> bool {
    let any = |holds: &dyn Fn(&Value) -> bool| {
        values.found.iter().any(|value| holds(value) || items(value).is_some_and(|items| items.iter().any(holds)))
    };
    let text = |holds: &dyn Fn(&str) -> bool| {
        any(&|value| match value {
            Value::Str(text) => holds(text),
            Value::NumpyScalar(_) => order::text(value).is_some_and(|text| holds(&text)),
            _ => false,
        })
    };
    let is_null = |value: &Value| matches!(value, Value::None);
    match operator {
        Operator::Eq(wanted) => (is_null(wanted) && values.missing) || any(&|value| order::equal(value, wanted)),
        Operator::In(wanted) => {
            (values.missing && wanted.iter().any(is_null))
                || any(&|value| wanted.iter().any(|wanted| order::equal(value, wanted)))
        }
        Operator::Compare(comparison, wanted) => {
            (is_null(wanted) && values.missing && comparison.holds(Ordering::Equal))
                || any(&|value| order::compare(value, wanted).is_some_and(|order| comparison.holds(order)))
        }
        Operator::Exists(wanted) => values.found.is_empty() != *wanted,
        Operator::Regex(expression) => text(&|text| expression.is_match(text)),
        Operator::Contains(wanted) => text(&|text| text.contains(wanted)),
        Operator::StartsWith(wanted) => text(&|text| text.starts_with(wanted)),
    }
}

/// The values under these names in the JSON of metadata.
fn split<'a>(names: &[String], json: &'a str) -> Result<Fields<'a>> {
    let mut reader = serde_json::Deserializer::from_str(json);
    if let Ok(Some(found)) = Finder(names).deserialize(&mut reader)
        && reader.end().is_ok()
    {
        return Ok(Fields::Raw(found));
    }
    // The whole has a tag or is damaged: the reader of metadata decides.
    tagged_json::from_json(json).map(Fields::Whole)
}

/// Extracts fields from a JSON object; `None` if the object as a whole has a tag.
struct Finder<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Finder<'_> {
    type Value = Option<Vec<Option<&'de RawValue>>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Finder<'_> {
    type Value = Option<Vec<Option<&'de RawValue>>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut found = vec![None; self.0.len()];
        let mut tagged = false;
        while let Some(named) = fields.next_key_seed(Name(self.0))? {
            match named {
                // The last of duplicate names counts, as everywhere.
                Named::Wanted(i) => found[i] = Some(fields.next_value::<&RawValue>()?),
                named => {
                    tagged |= matches!(named, Named::Tag);
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok((!tagged).then_some(found))
    }
}

/// The name of a field of the object.
enum Named {
    Wanted(usize),
    Tag,
    Other,
}

struct Name<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Named;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Named, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Named, E> {
        Ok(match self.0.iter().position(|wanted| wanted == name) {
            Some(i) => Named::Wanted(i),
            None if name.starts_with('$') && !name.starts_with("$$") => Named::Tag,
            None => Named::Other,
        })
    }
}
