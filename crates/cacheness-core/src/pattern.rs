//! Which entries have given values in their metadata, or among the parameters of their key.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::entry::Glimpse;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::metadata;
use crate::formats::plain::Value;
use crate::key;

/// Names and values, all of which an entry must have: a name that its metadata has is looked up there, any other among the
/// parameters of its key, as listings show them.
#[derive(Clone, Debug, Default)]
pub struct Pattern {
    wanted: Vec<Wanted>,
}

#[derive(Clone, Debug)]
struct Wanted {
    name: String,
    /// The name as a field of the metadata's JSON.
    field: String,
    /// `None` if it is no plain value.
    value: Option<Value>,
}

impl Pattern {
    /// A pattern that every entry matches.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value that an entry must have under `name`, in place of one that was given under that name before. `None`
    /// stands for a value that only the caller can compare: what is under that name is never said to be equal here.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: Option<Value>) -> Self {
        let name = name.into();
        self.wanted.retain(|wanted| wanted.name != name);
        let field = if name.starts_with('$') { format!("${name}") } else { name.clone() };
        self.wanted.push(Wanted { name, field, value });
        self
    }

    /// The names and values of a JSON object as `docs/formats/metadata.md` specifies it.
    ///
    /// # Errors
    /// Those of [`from_json`](metadata::from_json), and [`InvalidInput`](ErrorKind::InvalidInput) for a name that is no
    /// string: left out it would let more entries match.
    pub fn from_json(json: &str) -> Result<Self> {
        let Value::Map(pairs) = metadata::from_json(json)? else { return Ok(Self::new()) };
        let named = pairs.into_iter().map(|(name, value)| match name {
            Value::Str(name) => Ok((name, value)),
            name => {
                let sentence = format!("a name to match is a {}; names are strings", name.type_name());
                Err(Error::new(ErrorKind::InvalidInput, sentence))
            }
        });
        named.collect()
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Whether an entry matches. `compare` says whether the value that is there is the one that is wanted, or `None` if it
    /// cannot say; then neither can this, unless another value differs.
    ///
    /// # Errors
    /// [`Serialization`](ErrorKind::Serialization) for metadata or parameters that are damaged, where they have to be
    /// looked at.
    pub fn judge(&self, entry: &Glimpse<'_>, compare: impl Fn(&Value, &Value) -> Option<bool>) -> Result<Option<bool>> {
        let damaged = |error: Error| error.within(format_args!("entry {}", entry.key));
        let fields = entry.metadata.map(|json| self.fields(json)).transpose().map_err(damaged)?;
        let mut params = None;
        let mut verdict = Some(true);
        for (i, wanted) in self.wanted.iter().enumerate() {
            let found = match &fields {
                None => Ok(None),
                Some(Fields::Raw(raw)) => {
                    raw[i].map(|raw| metadata::value_from_json(raw.get(), &wanted.name)).transpose()
                }
                Some(Fields::Read(all)) => Ok(all.get(&wanted.name).cloned()),
            };
            let found = match (found.map_err(damaged)?, entry.params) {
                (Some(found), _) => found,
                (None, None) => return Ok(Some(false)),
                (None, Some(encoding)) => {
                    let params = match &params {
                        Some(params) => params,
                        None => params.insert(Value::from(key::render(encoding).map_err(damaged)?)),
                    };
                    match params.get(&wanted.name) {
                        Some(found) => found.clone(),
                        None => return Ok(Some(false)),
                    }
                }
            };
            match wanted.value.as_ref().and_then(|value| compare(&found, value)) {
                Some(true) => {}
                Some(false) => return Ok(Some(false)),
                None => verdict = None,
            }
        }
        Ok(verdict)
    }

    /// What the metadata has under the names.
    fn fields<'a>(&self, json: &'a str) -> Result<Fields<'a>> {
        let mut reader = serde_json::Deserializer::from_str(json);
        if let Ok(Some(found)) = Finder(&self.wanted).deserialize(&mut reader)
            && reader.end().is_ok()
        {
            return Ok(Fields::Raw(found));
        }
        // The whole is one tagged value, or is damaged: the reader of metadata knows.
        metadata::from_json(json).map(Fields::Read)
    }
}

/// What an entry's metadata has.
enum Fields<'a> {
    /// What is under the wanted names, in their order.
    Raw(Vec<Option<&'a RawValue>>),
    /// Everything.
    Read(Value),
}

impl<S: Into<String>, V: Into<Value>> FromIterator<(S, V)> for Pattern {
    fn from_iter<I: IntoIterator<Item = (S, V)>>(values: I) -> Self {
        values.into_iter().fold(Self::new(), |pattern, (name, value)| pattern.with(name, Some(value.into())))
    }
}

/// Takes the wanted fields out of a JSON object; `None` if the object as a whole has a tag.
struct Finder<'a>(&'a [Wanted]);

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
        while let Some(field) = fields.next_key_seed(Field(self.0))? {
            match field {
                // Of a name that comes twice the last counts, as everywhere.
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

/// What a field of the object is.
enum Named {
    Wanted(usize),
    Tag,
    Other,
}

struct Field<'a>(&'a [Wanted]);

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = Named;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Named, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Field<'_> {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Named, E> {
        Ok(match self.0.iter().position(|wanted| wanted.field == name) {
            Some(i) => Named::Wanted(i),
            None if name.starts_with('$') && !name.starts_with("$$") => Named::Tag,
            None => Named::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::config::SerializationConfig;
    use crate::key::Params;

    fn judged(pattern: &Pattern, metadata: Option<&str>, params: Option<&[u8]>) -> Result<Option<bool>> {
        let entry = Glimpse { key: "k", created_at: Timestamp(0), file_hash: 0, metadata, params };
        pattern.judge(&entry, Value::equals)
    }

    fn is_match(pattern: &Pattern, metadata: &str) -> bool {
        judged(pattern, Some(metadata), None).expect("judged") == Some(true)
    }

    #[test]
    fn values_are_looked_up_in_the_metadata() {
        let pattern = Pattern::from_iter([("group", 3)]);
        for yes in
            [r#"{"group":3}"#, r#"{"a":{"group":4},"group":3.0}"#, r#"{"gr\u006fup":3}"#, r#"{"group":4,"group":3}"#]
        {
            assert!(is_match(&pattern, yes), "{yes}");
        }
        for no in [r#"{"group":4}"#, r#"{"group":"3"}"#, r#"{"a":{"group":3}}"#, "{}", r#"{"group":3,"group":4}"#] {
            assert!(!is_match(&pattern, no), "{no}");
        }
        assert_eq!(judged(&pattern, None, None).expect("judged"), Some(false));
        let both = Pattern::from_iter([("a", Value::from(1)), ("b", Value::None)]);
        assert!(is_match(&both, r#"{"b":null,"a":1}"#));
        assert!(!is_match(&both, r#"{"a":1}"#));
        assert!(is_match(&Pattern::new(), "{}"));
    }

    #[test]
    fn names_with_a_dollar_are_names() {
        let pattern = Pattern::from_iter([("$x", 1)]);
        assert!(is_match(&pattern, r#"{"$$x":1}"#));
        assert!(!is_match(&pattern, r#"{"$$$x":1}"#));
        // A tag that makes a map of the whole.
        let pattern = Pattern::from_iter([("a", 1)]);
        assert!(is_match(&pattern, r#"{"$map":[["a",1],[2,3]]}"#));
        assert_eq!(Pattern::from_json(r#"{"$$x":1}"#).expect("read").wanted[0].name, "$x");
        let error = Pattern::from_json(r#"{"$map":[["a",1],[2,3]]}"#).expect_err("a number is no name");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn tagged_values_have_their_types() {
        let tuple = Pattern::from_iter([("shape", Value::Tuple(vec![2.into(), 3.into()]))]);
        assert!(is_match(&tuple, r#"{"shape":{"$tuple":[2,3]}}"#));
        assert!(!is_match(&tuple, r#"{"shape":[2,3]}"#));
        let scalar = r#"{"accuracy":{"$numpy":"<f8","value":0.5}}"#;
        let pattern = Pattern::from_iter([("accuracy", 0.5)]);
        assert_eq!(judged(&pattern, Some(scalar), None).expect("judged"), None);
        let two = Pattern::from_iter([("accuracy", Value::from(0.5)), ("fold", Value::from(1))]);
        assert_eq!(judged(&two, Some(scalar), None).expect("judged"), Some(false));
    }

    #[test]
    fn names_that_the_metadata_lacks_are_looked_up_among_the_parameters() {
        let params = Params::new().with("kind", "x").with("shape", (2, 3));
        let params = params.key(&SerializationConfig::default()).expect("a key").encoding;
        let kind = Pattern::from_iter([("kind", "x")]);
        assert_eq!(judged(&kind, None, Some(&params)).expect("judged"), Some(true));
        assert_eq!(judged(&kind, Some(r#"{"kind":null}"#), Some(&params)).expect("judged"), Some(false));
        assert_eq!(judged(&Pattern::from_iter([("other", "x")]), None, Some(&params)).expect("judged"), Some(false));
        // Parameters are compared as listings show them: a tuple is a list there.
        let shape = Pattern::from_iter([("shape", Value::List(vec![2.into(), 3.into()]))]);
        assert_eq!(judged(&shape, None, Some(&params)).expect("judged"), Some(true));
    }

    #[test]
    fn what_only_the_caller_can_compare_is_left_to_it() {
        let pattern = Pattern::new().with("a", None).with("b", Some(1.into()));
        assert_eq!(judged(&pattern, Some(r#"{"a":1,"b":1}"#), None).expect("judged"), None);
        assert_eq!(judged(&pattern, Some(r#"{"a":1,"b":2}"#), None).expect("judged"), Some(false));
        assert_eq!(judged(&pattern, Some(r#"{"b":1}"#), None).expect("judged"), Some(false));
    }

    #[test]
    fn damage_is_an_error_that_names_the_entry() {
        let pattern = Pattern::from_iter([("a", 1)]);
        for damaged in ["", "[]", "{", r#"{"a":1} x"#, r#"{"$what":1}"#, r#"{"a":{"$tuple":3}}"#] {
            let error = judged(&pattern, Some(damaged), None).expect_err(damaged);
            assert_eq!(error.kind(), ErrorKind::Serialization, "{damaged}");
            assert!(error.to_string().contains("entry k"), "{error}");
        }
        let error = judged(&pattern, None, Some(&[0xff])).expect_err("no encoding");
        assert_eq!(error.kind(), ErrorKind::Serialization);
    }
}
