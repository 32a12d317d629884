//! Patterns that match entries by values in their metadata, the parameters of their key, or their own fields.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::entry::{EntrySummary, Glimpse};
use crate::error::{Error, ErrorKind, Result};
use crate::fields;
use crate::formats::plain::Value;
use crate::formats::plain::tagged_json;
use crate::key;

/// Names and values, all of which an entry must have.
///
/// A name is looked up in the user's metadata, then among the parameters of the key, as listings show them, then among
/// the arguments of the function whose result the entry is, then among the [fields](fields::FIELDS) of the entry
/// itself. The first of these places that has the name decides.
#[derive(Clone, Debug, Default)]
pub struct Pattern {
    wanted: Vec<Wanted>,
}

#[derive(Clone, Debug)]
struct Wanted {
    name: String,
    /// The name as a field of the metadata's JSON.
    field: String,
    /// `None` if it is not a plain value.
    value: Option<Value>,
}

/// Whether an entry matches.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The entry has all values.
    Matches,
    /// Another value differs, or a name is missing.
    Differs,
    /// Undecided: the entry matches if these values equal the wanted ones under these names, which the comparison could
    /// not decide.
    Undecided(Vec<(String, Value)>),
}

impl Pattern {
    /// A pattern that every entry matches.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value that an entry must have under `name`; replaces an earlier one of that name. `None` stands for a
    /// value that only the caller can compare: the pattern itself never finds it equal.
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
    /// Those of [`from_json`](tagged_json::from_json); [`InvalidInput`](ErrorKind::InvalidInput) for a name that is not a
    /// string, because ignoring it would match more entries; those of [`Pattern::check`].
    pub fn from_json(json: &str) -> Result<Self> {
        refuse_operator_tags(json)?;
        let Value::Map(pairs) = tagged_json::from_json(json)? else { return Ok(Self::new()) };
        let named = pairs.into_iter().map(|(name, value)| match name {
            Value::Str(name) => Ok((name, value)),
            name => {
                let sentence = format!("a name to match is a {}; names are strings", name.type_name());
                Err(Error::new(ErrorKind::InvalidInput, sentence))
            }
        });
        let pattern: Self = named.collect::<Result<_>>()?;
        pattern.check()?;
        Ok(pattern)
    }

    /// Refuses a mapping with a name that starts with `$`, which looks like a comparison. As a value it would silently
    /// match nothing.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported).
    pub fn check(&self) -> Result<()> {
        for Wanted { name, value, .. } in &self.wanted {
            if let Some(Value::Map(pairs)) = value
                && let Some(operator) =
                    pairs.iter().filter_map(|(key, _)| key.as_str()).find(|key| key.starts_with('$'))
            {
                return Err(no_operators(name, operator));
            }
        }
        Ok(())
    }

    /// Whether the pattern is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Whether a name may be a field of the entry, which a [`Glimpse`] does not have.
    #[must_use]
    pub fn names_fields(&self) -> bool {
        self.wanted.iter().any(|wanted| fields::FIELDS.contains(&&*wanted.name))
    }

    /// Whether an entry matches. Values that only Python can compare are equal if they are identical.
    ///
    /// # Errors
    /// Those of [`Pattern::judge`].
    pub fn matches(&self, entry: &EntrySummary) -> Result<bool> {
        Ok(self.judge(&Glimpse::from(&entry.entry), Some(entry), same)? == Verdict::Matches)
    }

    /// Whether an entry matches. `whole` is needed if the pattern [names fields](Self::names_fields). `compare` returns
    /// whether the found value equals the wanted one, or `None` if it cannot decide.
    ///
    /// # Errors
    /// [`Serialization`](ErrorKind::Serialization) for damaged metadata or parameters, if they must be examined.
    pub fn judge(
        &self,
        entry: &Glimpse<'_>,
        whole: Option<&EntrySummary>,
        compare: impl Fn(&Value, &Value) -> Option<bool>,
    ) -> Result<Verdict> {
        let damaged = |error: Error| error.within(format_args!("entry {}", entry.key));
        let fields = entry.metadata.map(|json| self.fields(json)).transpose().map_err(damaged)?;
        let mut params = None;
        let mut undecided = Vec::new();
        for (i, wanted) in self.wanted.iter().enumerate() {
            let found = match &fields {
                None => Ok(None),
                Some(Fields::Raw(raw)) => {
                    raw[i].map(|raw| tagged_json::value_from_json(raw.get(), &wanted.name)).transpose()
                }
                Some(Fields::Read(all)) => Ok(all.get(&wanted.name).cloned()),
            };
            let mut found = found.map_err(damaged)?;
            if let (None, Some(encoding)) = (&found, entry.params) {
                let params = match &params {
                    Some(params) => params,
                    None => params.insert(Value::from(key::render(encoding).map_err(damaged)?)),
                };
                found = parameter(params, &wanted.name).cloned();
            }
            let found = found.or_else(|| whole.and_then(|whole| fields::field(whole, &wanted.name)));
            let Some(found) = found else { return Ok(Verdict::Differs) };
            match wanted.value.as_ref().and_then(|value| compare(&found, value)) {
                Some(true) => {}
                Some(false) => return Ok(Verdict::Differs),
                None => undecided.push((wanted.name.clone(), found)),
            }
        }
        Ok(if undecided.is_empty() { Verdict::Matches } else { Verdict::Undecided(undecided) })
    }

    /// The metadata's values under the names.
    fn fields<'a>(&self, json: &'a str) -> Result<Fields<'a>> {
        let mut reader = serde_json::Deserializer::from_str(json);
        if let Ok(Some(found)) = Finder(&self.wanted).deserialize(&mut reader)
            && reader.end().is_ok()
        {
            return Ok(Fields::Raw(found));
        }
        // The whole is a tagged value or damaged: the metadata reader decides.
        tagged_json::from_json(json).map(Fields::Read)
    }
}

/// The value of a name in the parameters: a parameter, or an argument of the function whose result the entry is.
fn parameter<'a>(params: &'a Value, name: &str) -> Option<&'a Value> {
    let argument = || {
        params.get(FUNCTION)?;
        params.get(ARGUMENTS)?.get(name)
    };
    params.get(name).or_else(argument)
}

/// The name that marks the parameters of a function's result.
const FUNCTION: &str = "__function__";
const ARGUMENTS: &str = "arguments";

#[cold]
/// Whether two values are equal; values that only Python can compare are equal if they are identical.
pub(crate) fn same(found: &Value, wanted: &Value) -> Option<bool> {
    Some(found.equals(wanted).unwrap_or_else(|| found == wanted))
}

fn no_operators(name: &str, operator: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{name:?}: comparisons such as {operator} are not available yet"))
        .with_hint("match equal values here, and decide about others with delete_where or in a loop over the entries")
}

/// Refuses operators, which the metadata reader would take for unknown tags.
fn refuse_operator_tags(json: &str) -> Result<()> {
    const OPERATORS: [&str; 13] =
        ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$regex", "$not", "$and", "$or"];
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(json) else { return Ok(()) };
    for (name, value) in &fields {
        let of_value = value.as_object().into_iter().flat_map(|value| value.keys());
        if let Some(operator) = of_value.chain([name]).find(|key| OPERATORS.contains(&key.as_str())) {
            return Err(no_operators(name, operator));
        }
    }
    Ok(())
}

/// The fields of an entry's metadata.
enum Fields<'a> {
    /// The values of the wanted names, in their order.
    Raw(Vec<Option<&'a RawValue>>),
    /// Everything.
    Read(Value),
}

impl<S: Into<String>, V: Into<Value>> FromIterator<(S, V)> for Pattern {
    fn from_iter<I: IntoIterator<Item = (S, V)>>(values: I) -> Self {
        values.into_iter().fold(Self::new(), |pattern, (name, value)| pattern.with(name, Some(value.into())))
    }
}

/// Extracts the wanted fields from a JSON object; `None` if the object as a whole has a tag.
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

    /// `None` if undecided.
    fn judged(pattern: &Pattern, metadata: Option<&str>, params: Option<&[u8]>) -> Result<Option<bool>> {
        let entry = Glimpse { key: "k", created_at: Timestamp(0), file_hash: 0, metadata, params };
        Ok(match pattern.judge(&entry, None, Value::equals)? {
            Verdict::Matches => Some(true),
            Verdict::Differs => Some(false),
            Verdict::Undecided(_) => None,
        })
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
        // A tag that turns the whole into a map.
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
    fn arguments_of_a_function_come_behind_parameters() {
        let encoding = |params: Params<'_>| params.key(&SerializationConfig::default()).expect("a key").encoding;
        let arguments = || Params::new().with("origin", "JFK").with("arguments", 7);
        let call = encoding(Params::new().with("__function__", "m.f").with("arguments", arguments()));
        for (name, value, expected) in [("origin", Value::from("JFK"), true), ("__function__", "m.f".into(), true)] {
            let pattern = Pattern::from_iter([(name, value)]);
            assert_eq!(judged(&pattern, None, Some(&call)).expect("judged"), Some(expected), "{name}");
        }
        // A parameter precedes an argument of the same name.
        let pattern = Pattern::from_iter([("arguments", 7)]);
        assert_eq!(judged(&pattern, None, Some(&call)).expect("judged"), Some(false));
        // Similar parameters that do not belong to a function.
        let other = encoding(Params::new().with("arguments", arguments()));
        let pattern = Pattern::from_iter([("origin", "JFK")]);
        assert_eq!(judged(&pattern, None, Some(&other)).expect("judged"), Some(false));
        // Metadata precedes both.
        assert_eq!(judged(&pattern, Some(r#"{"origin":"EWR"}"#), Some(&call)).expect("judged"), Some(false));
    }

    #[test]
    fn comparisons_are_refused_and_not_taken_for_values() {
        for (json, name) in [
            (r#"{"accuracy":{"$gte":0.9}}"#, "accuracy"),
            (r#"{"a":1,"tag":{"$in":["x"]}}"#, "tag"),
            (r#"{"$or":[{"a":1}]}"#, "$or"),
            (r#"{"a":{"$$any":1}}"#, "a"),
        ] {
            let error = Pattern::from_json(json).expect_err(json);
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{json}");
            assert!(error.to_string().contains(name), "{error}");
        }
        let values = Value::Map(vec![("$gte".into(), 0.9.into())]);
        assert_eq!(Pattern::new().with("a", Some(values)).check().unwrap_err().kind(), ErrorKind::Unsupported);
        Pattern::from_json(r#"{"a":{"$tuple":[1]},"b":{"c":1}}"#).expect("values");
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
