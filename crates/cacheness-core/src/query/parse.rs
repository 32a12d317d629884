//! Filters from mappings and from JSON.

use serde_json::Value as Json;

use super::field::{Field, Root};
use super::filter::{self, Comparison, Filter, MAX_DEPTH, Node, Operator};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::plain::Value;
use crate::formats::plain::tagged_json;

/// All operators, those between filters first.
const OPERATORS: [&str; 16] = [
    "$and",
    "$or",
    "$not",
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$exists",
    "$regex",
    "$options",
    "$contains",
    "$startswith",
];

fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, what.into())
}

fn is_operator(name: &str) -> bool {
    name.starts_with('$')
}

fn unknown(name: &str) -> Error {
    let score = |other: &&str| strsim::jaro_winkler(other, name);
    let nearest =
        OPERATORS.iter().copied().max_by(|a, b| score(a).total_cmp(&score(b))).filter(|near| score(near) > 0.8);
    // Those of MongoDB that are near to another by their letters only.
    let foreign = ["$size", "$all", "$elemMatch", "$type", "$mod", "$nor", "$expr", "$where", "$text"];
    let hint = match nearest.filter(|_| !foreign.contains(&name)) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => format!("the operators are {}", OPERATORS.join(", ")),
    };
    invalid(format!("filters have no operator {name}")).with_hint(hint)
}

impl Filter {
    /// The filter of a mapping.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for whatever `docs/formats/filters.md` does not allow; the message names the operator or
    /// field, the hint the nearest one.
    pub fn from_value(value: &Value) -> Result<Self> {
        filter(value, 0).map(Self::from)
    }

    /// The filter of a JSON object. Values that JSON lacks have the tags of metadata.
    ///
    /// # Errors
    /// As [`Filter::from_value`], and [`ErrorKind::InvalidInput`] for invalid JSON.
    pub fn from_json(json: &str) -> Result<Self> {
        let json =
            serde_json::from_str(json).map_err(|error| invalid(format!("a filter is not valid JSON: {error}")))?;
        Self::from_value(&json_filter(json, 0)?)
    }

    /// A filter that each of these names satisfies, wherever an entry has the name first: in the user's metadata, among the
    /// parameters of the key, among the arguments of the function whose result the entry is, or among the fields of the
    /// entry itself. An entry without the name does not match. Names are taken literally; what stands for each is a value or
    /// a mapping of operators.
    ///
    /// # Errors
    /// As [`Filter::from_value`].
    pub fn named(values: &Value) -> Result<Self> {
        let Value::Map(pairs) = values else {
            return Err(invalid(format!("values by name are a mapping, not a {}", values.type_name())));
        };
        let mut nodes = Vec::with_capacity(pairs.len());
        for (name, condition) in pairs {
            match name {
                Value::Str(name) if ["$and", "$or", "$not"].contains(&name.as_str()) => {
                    return Err(invalid(format!("{name} is no name of a value")).with_hint("give a filter: where={…}"));
                }
                Value::Str(name) => nodes.push(anywhere(name, condition)?),
                name => {
                    let what = format!("a name to match is a {}; names are strings", name.type_name());
                    return Err(invalid(what));
                }
            }
        }
        Ok(Self::simplest(nodes).into())
    }

    /// [`Filter::named`] of a JSON object.
    ///
    /// # Errors
    /// As [`Filter::from_json`].
    pub fn named_json(json: &str) -> Result<Self> {
        let json = serde_json::from_str(json).map_err(|error| invalid(format!("this is not valid JSON: {error}")))?;
        let Json::Object(fields) = json else { return Err(invalid("values by name are a JSON object")) };
        let pairs = fields.into_iter().map(|(name, value)| {
            let name = name.strip_prefix('$').filter(|name| name.starts_with('$')).map(str::to_owned).unwrap_or(name);
            Ok((Value::Str(name), json_condition(value, 0)?))
        });
        Self::named(&Value::Map(pairs.collect::<Result<_>>()?))
    }
}

/// The condition holds in the first place that has the name.
fn anywhere(name: &str, condition: &Value) -> Result<Node> {
    let not = |node: Node| Node::Not(Box::new(node));
    let exists = |field: &Field| Node::test(field.clone(), Operator::Exists(true));
    let is_call = exists(&Field::new(Root::Params, ["__function__"])?)?;
    let places = [
        Field::new(Root::Metadata, [name]).map(|field| (field, false)),
        Field::new(Root::Params, [name]).map(|field| (field, false)),
        Field::new(Root::Params, ["arguments", name]).map(|field| (field, true)),
        Field::new(Root::Entry, [name]).map(|field| (field, false)),
    ];
    // Entries have few fields: most names are in no other place.
    let mut found = Vec::new();
    for (field, of_call) in places.into_iter().flatten() {
        let mut has = vec![exists(&field)?];
        if of_call {
            has.insert(0, is_call.clone());
        }
        match conditions(&field, condition, 0) {
            Ok(holds) => found.push((Filter::simplest(has), holds)),
            // A value that is no time may well be one of the metadata's field `created_at`.
            Err(_) if field.root() == Root::Entry => {}
            Err(error) => return Err(error),
        }
    }
    // From the last place to the first: it has the name and the condition holds, or it lacks the name and a later one has it.
    let mut node = Node::Or(Vec::new());
    for (has, holds) in found.into_iter().rev() {
        let later = match node {
            Node::Or(nodes) if nodes.is_empty() => None,
            node => Some(Node::And(vec![not(has.clone()), node])),
        };
        let here = Node::And(vec![has, holds]);
        node = Node::Or([Some(here), later].into_iter().flatten().collect());
    }
    Ok(node)
}

/// A filter in JSON, with values in place of their tags.
fn json_filter(json: Json, depth: usize) -> Result<Value> {
    if depth > MAX_DEPTH {
        return Err(invalid(format!("a filter is nested deeper than {MAX_DEPTH} levels")));
    }
    let Json::Object(fields) = json else { return tagged_json::value_of(json) };
    let pairs = fields.into_iter().map(|(name, value)| {
        let value = match (&*name, value) {
            ("$and" | "$or", Json::Array(filters)) => {
                Value::List(filters.into_iter().map(|filter| json_filter(filter, depth + 1)).collect::<Result<_>>()?)
            }
            ("$not", filter) => json_filter(filter, depth + 1)?,
            (_, condition) => json_condition(condition, depth)?,
        };
        Ok((Value::Str(name), value))
    });
    pairs.collect::<Result<_>>().map(Value::Map)
}

/// What has to hold for a field, in JSON.
fn json_condition(json: Json, depth: usize) -> Result<Value> {
    if depth > MAX_DEPTH {
        return Err(invalid(format!("a filter is nested deeper than {MAX_DEPTH} levels")));
    }
    let is_tag = |key: &String| is_operator(key) && !key.starts_with("$$");
    match json {
        Json::Object(fields) if fields.keys().any(|key| is_tag(key) && !tagged_json::is_tag(key)) => {
            let pairs = fields.into_iter().map(|(operator, operand)| {
                let operand = match &*operator {
                    "$not" => json_condition(operand, depth + 1)?,
                    _ => json_value(operand)?,
                };
                Ok((Value::Str(operator), operand))
            });
            pairs.collect::<Result<_>>().map(Value::Map)
        }
        json => Ok(match json_value(json)? {
            // Its keys are no operators.
            value @ Value::Map(_) if has_dollar(&value) => Value::Map(vec![("$eq".into(), value)]),
            value => value,
        }),
    }
}

fn json_value(json: Json) -> Result<Value> {
    tagged_json::value_of(json).map_err(|error| {
        error.with_kind(ErrorKind::InvalidInput).with_hint(
            "operators belong to the whole path of a field: {\"a.b\": {\"$gte\": 1}}; other values have the tags of metadata",
        )
    })
}

fn has_dollar(value: &Value) -> bool {
    matches!(value, Value::Map(pairs) if pairs.iter().any(|(key, _)| key.as_str().is_some_and(is_operator)))
}

fn filter(value: &Value, depth: usize) -> Result<Node> {
    if depth > MAX_DEPTH {
        return Err(invalid(format!("a filter is nested deeper than {MAX_DEPTH} levels")));
    }
    let Value::Map(pairs) = value else {
        let what = format!("a filter is a mapping of fields to conditions, not a {}", value.type_name());
        return Err(invalid(what));
    };
    let mut nodes = Vec::with_capacity(pairs.len());
    for (name, condition) in pairs {
        let Value::Str(name) = name else {
            return Err(invalid(format!("a field is named by a string, not by a {}", name.type_name())));
        };
        nodes.push(match &**name {
            "$and" => Node::And(filters(name, condition, depth)?),
            "$or" => Node::Or(filters(name, condition, depth)?),
            "$not" => Node::Not(Box::new(filter(condition, depth + 1)?)),
            name if OPERATORS.contains(&name) => {
                return Err(invalid(format!("{name} needs a field"))
                    .with_hint(format!("write {{\"FIELD\": {{\"{name}\": …}}}}")));
            }
            // A field with such a name is written with a backslash.
            name if is_operator(name) => return Err(unknown(name)),
            name => conditions(&Field::parse(name)?, condition, depth)?,
        });
    }
    Ok(Filter::simplest(nodes))
}

fn filters(operator: &str, value: &Value, depth: usize) -> Result<Vec<Node>> {
    match value {
        Value::List(items) | Value::Tuple(items) if !items.is_empty() => {
            items.iter().map(|item| filter(item, depth + 1)).collect()
        }
        _ => Err(invalid(format!("{operator} needs a list of at least one filter"))),
    }
}

/// What has to hold for a field: operators, or a value that it equals.
fn conditions(field: &Field, value: &Value, depth: usize) -> Result<Node> {
    if depth > MAX_DEPTH {
        return Err(invalid(format!("a filter is nested deeper than {MAX_DEPTH} levels")));
    }
    let Value::Map(pairs) = value else { return Node::test(field.clone(), Operator::Eq(value.clone())) };
    let operators = pairs.iter().filter(|(key, _)| key.as_str().is_some_and(is_operator)).count();
    if operators == 0 {
        if let Some(operator) = operator_inside(value) {
            let what = format!("{field}: {operator} is inside of a value");
            return Err(
                invalid(what).with_hint(format!("name the whole path: {{\"{field}.NAME\": {{\"{operator}\": …}}}}"))
            );
        }
        return Node::test(field.clone(), Operator::Eq(value.clone()));
    }
    if operators < pairs.len() {
        return Err(invalid(format!("{field}: some keys are operators and some are not"))
            .with_hint("a mapping as a value is compared by {\"$eq\": …}"));
    }
    let mut nodes = Vec::with_capacity(pairs.len());
    for (operator, operand) in pairs {
        let node = match operator.as_str().unwrap_or_default() {
            "$options" if value.get("$regex").is_some() => continue,
            "$not" => match operand {
                Value::Map(pairs) if pairs.iter().any(|(key, _)| key.as_str().is_some_and(is_operator)) => {
                    Node::Not(Box::new(conditions(field, operand, depth + 1)?))
                }
                _ => {
                    let error = invalid("$not needs operators").with_hint("for other values write {\"$ne\": …}");
                    return Err(error.within(field));
                }
            },
            name => {
                let named = |error: Error| error.within(field);
                let (operator, negated) = operator_of(name, operand, value.get("$options")).map_err(named)?;
                let test = Node::test(field.clone(), operator)?;
                if negated { Node::Not(Box::new(test)) } else { test }
            }
        };
        nodes.push(node);
    }
    Ok(Filter::simplest(nodes))
}

/// An operator by its name, and whether it is negated.
fn operator_of(name: &str, operand: &Value, options: Option<&Value>) -> Result<(Operator, bool)> {
    let text = || match operand {
        Value::Str(text) => Ok(text.clone()),
        other => Err(invalid(format!("{name} needs a string, not a {}", other.type_name()))
            .with_hint("to look for an element of a list, write {\"FIELD\": element}")),
    };
    let list = || match operand {
        Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => Ok(items.clone()),
        other => Err(invalid(format!("{name} needs a list, not a {}", other.type_name()))),
    };
    let compare = |comparison| Operator::Compare(comparison, operand.clone());
    let operator = match name {
        "$eq" | "$ne" => Operator::Eq(operand.clone()),
        "$gt" => compare(Comparison::Greater),
        "$gte" => compare(Comparison::GreaterOrEqual),
        "$lt" => compare(Comparison::Less),
        "$lte" => compare(Comparison::LessOrEqual),
        "$in" | "$nin" => Operator::In(list()?),
        "$exists" => match operand {
            Value::Bool(exists) => Operator::Exists(*exists),
            other => return Err(invalid(format!("$exists needs true or false, not a {}", other.type_name()))),
        },
        "$regex" => {
            let options = match options {
                None => "",
                Some(Value::Str(options)) => options,
                Some(_) => return Err(invalid("$options needs a string")),
            };
            filter::compile(&text()?, options)?
        }
        "$options" => return Err(invalid("$options needs $regex beside it")),
        "$contains" => Operator::Contains(text()?),
        "$startswith" => Operator::StartsWith(text()?),
        "$and" | "$or" => {
            return Err(invalid(format!("{name} stands around filters, not inside of a field's conditions")));
        }
        other => return Err(unknown(other)),
    };
    Ok((operator, matches!(name, "$ne" | "$nin")))
}

/// An operator below a mapping that is a value, where it would be taken for a key.
fn operator_inside(value: &Value) -> Option<&str> {
    match value {
        Value::Map(pairs) => pairs.iter().find_map(|(key, value)| match key.as_str() {
            Some(key) if OPERATORS.contains(&key) => Some(key),
            _ => operator_inside(value),
        }),
        Value::List(items) | Value::Tuple(items) => items.iter().find_map(operator_inside),
        _ => None,
    }
}
