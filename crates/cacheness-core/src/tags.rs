//! Tags: the strings in the field `tags` of the user's metadata.
//!
//! Nothing else is stored, so filters, SQL and full-text search see them like any other field.

use std::collections::BTreeMap;

use crate::backend::{EntryUpdate, Query};
use crate::cache::CacheEngine;
use crate::entry::{Entry, EntrySummary};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::plain::{Value, tagged_json};
use crate::query::{Filter, field};
use crate::store::{EntryKey, Store};

/// The field of the metadata.
pub const FIELD: &str = "tags";

/// The filter of the entries that have a tag.
#[must_use]
pub fn filter(tag: &str) -> Filter {
    field(FIELD).eq(tag)
}

/// The metadata with these tags behind those that it has: in JSON, as entries keep it.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for an empty tag, and if the field `tags` of the metadata holds anything but strings.
pub fn join(metadata: Option<String>, tags: &[String]) -> Result<Option<String>> {
    match change(metadata.as_deref(), tags, &[])? {
        Some(joined) => Ok(Some(joined)),
        None => Ok(metadata),
    }
}

/// The metadata with tags added and others removed; `None` if it stays as it is. Without tags it has no field `tags`.
fn change(metadata: Option<&str>, add: &[String], remove: &[String]) -> Result<Option<String>> {
    if add.iter().any(String::is_empty) {
        return Err(Error::new(ErrorKind::InvalidInput, "a tag is an empty string"));
    }
    let mut pairs = match metadata.map(tagged_json::from_json).transpose()? {
        Some(Value::Map(pairs)) => pairs,
        _ => Vec::new(),
    };
    let place = pairs.iter().position(|(name, _)| name.as_str() == Some(FIELD));
    let former = place.map_or_else(|| Ok(Vec::new()), |place| strings(&pairs[place].1))?;
    let mut tags: Vec<String> = Vec::with_capacity(former.len() + add.len());
    for tag in former.iter().chain(add) {
        if !tags.contains(tag) && !remove.contains(tag) {
            tags.push(tag.clone());
        }
    }
    if tags == former {
        return Ok(None);
    }
    let list = (!tags.is_empty()).then(|| Value::List(tags.into_iter().map(Value::Str).collect()));
    match (place, list) {
        (Some(place), Some(list)) => pairs[place].1 = list,
        (Some(place), None) => drop(pairs.remove(place)),
        (None, Some(list)) => pairs.push((FIELD.into(), list)),
        (None, None) => {}
    }
    tagged_json::to_json(&Value::Map(pairs)).map(Some)
}

/// The tags in a value of the field: a list of strings, or a single one.
fn strings(value: &Value) -> Result<Vec<String>> {
    let wrong = |what: &str| {
        let what = format!("the metadata has {what} in its field tags, which is for a list of strings");
        Error::new(ErrorKind::InvalidInput, what).with_hint("rename that field to give the entry tags")
    };
    let items = match value {
        Value::None => return Ok(Vec::new()),
        Value::Str(tag) => return Ok(vec![tag.clone()]),
        Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => items,
        other => return Err(wrong(&format!("a {}", other.type_name()))),
    };
    let text = |item: &Value| item.as_str().map(str::to_owned);
    items.iter().map(|item| text(item).ok_or_else(|| wrong(&format!("a {}", item.type_name())))).collect()
}

/// The tags of an entry; empty if the field holds something else.
fn of(entry: &Entry) -> Result<Vec<String>> {
    let Some(metadata) = entry.metadata.as_deref() else { return Ok(Vec::new()) };
    let metadata = tagged_json::from_json(metadata).map_err(|error| error.within(format!("entry {}", entry.key)))?;
    Ok(metadata.get(FIELD).and_then(|value| strings(value).ok()).unwrap_or_default())
}

impl Store {
    /// Adds tags to an entry and removes others; `false` if there is no entry. Of several writers each change counts.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an empty tag, and if the field `tags` of its metadata holds anything but strings;
    /// [`ErrorKind::ReadOnly`], and those of [`Store::update_entry`].
    pub fn change_tags(&self, key: &str, add: &[String], remove: &[String]) -> Result<bool> {
        let mut found = false;
        self.update_entries(&[key], |entry| {
            found = true;
            let changed = change(entry.metadata.as_deref(), add, remove)?;
            Ok(changed.map(|json| EntryUpdate { metadata: Some(Some(json)), ..EntryUpdate::default() }))
        })?;
        Ok(found)
    }

    /// All tags, and how many entries have each, expired ones too. Scans all entries.
    ///
    /// # Errors
    /// [`ErrorKind::Serialization`] for damaged metadata.
    pub fn tags(&self) -> Result<BTreeMap<String, u64>> {
        let tagged = field(FIELD).exists();
        let mut counts = BTreeMap::new();
        self.for_each_in(&Query { filter: Some(&tagged), ..Query::default() }, |EntrySummary { entry, .. }| {
            let mut tags = of(&entry)?;
            tags.sort_unstable();
            tags.dedup();
            tags.into_iter().for_each(|tag| *counts.entry(tag).or_default() += 1);
            Ok(())
        })?;
        Ok(counts)
    }
}

impl CacheEngine {
    /// [`Store::change_tags`] for the entry of a key, expired or not.
    ///
    /// # Errors
    /// Those of [`Store::change_tags`].
    pub fn change_tags(&self, key: &EntryKey, add: &[String], remove: &[String]) -> Result<bool> {
        self.refuse_if_unwritable()?;
        match self.get_entry(key, true)? {
            Some(_) => self.store().change_tags(key.as_str(), add, remove),
            None => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn tags_are_joined_with_those_of_the_metadata() {
        for (metadata, add, joined) in [
            (None, &["b", "a", "b"][..], r#"{"tags":["b","a"]}"#),
            (Some(r#"{"x":1,"tags":["a"],"y":2}"#), &["b", "a"], r#"{"x":1,"tags":["a","b"],"y":2}"#),
            (Some(r#"{"tags":"a"}"#), &["b"], r#"{"tags":["a","b"]}"#),
            (Some(r#"{"tags":{"$tuple":["a"]}}"#), &["b"], r#"{"tags":["a","b"]}"#),
            (
                Some(r#"{"tags":null,"$$x":{"$int":"0x010000000000000000"}}"#),
                &["b"],
                r#"{"tags":["b"],"$$x":{"$int":"0x010000000000000000"}}"#,
            ),
            (Some(r#"{"x": 1}"#), &[], r#"{"x": 1}"#),
        ] {
            let found = join(metadata.map(str::to_owned), &tags(add)).expect("joined");
            assert_eq!(found.as_deref(), Some(joined), "{metadata:?} {add:?}");
        }
        assert_eq!(join(None, &[]).expect("none"), None);
    }

    #[test]
    fn the_last_tag_takes_the_field_with_it() {
        let metadata = Some(r#"{"tags":["a","b"],"x":1}"#);
        let without = |names: &[&str]| change(metadata, &[], &tags(names)).expect("changed");
        assert_eq!(without(&["a", "z"]).as_deref(), Some(r#"{"tags":["b"],"x":1}"#));
        assert_eq!(without(&["a", "b"]).as_deref(), Some(r#"{"x":1}"#));
        assert_eq!(without(&["z"]), None);
    }

    #[test]
    fn a_field_of_another_kind_is_left_alone() {
        for metadata in [r#"{"tags":3}"#, r#"{"tags":["a",1]}"#, r#"{"tags":{"a":1}}"#] {
            let error = join(Some(metadata.into()), &tags(&["b"])).expect_err(metadata);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(join(None, &tags(&[""])).expect_err("empty").kind(), ErrorKind::InvalidInput);
    }
}
