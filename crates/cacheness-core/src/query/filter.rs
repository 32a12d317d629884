//! Filters as values.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::field::{EntryType, Field, Root, time_operand};
use super::order;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::plain::Value;

/// How deep filters may be nested.
pub const MAX_DEPTH: usize = 32;

/// The memory that a compiled regular expression may take: bytes.
const REGEX_SIZE: usize = 1 << 20;

/// Selects entries by their metadata, the parameters of their key and their own fields: `docs/formats/filters.md`.
///
/// ```
/// use cacheness_core::query::{Filter, field, param};
///
/// let good = field("accuracy").ge(0.9) & param("project").eq("fraud");
/// assert_eq!(good.to_string(), Filter::parse("accuracy >= 0.9 and params.project = fraud")?.to_string());
/// # Ok::<(), cacheness_core::Error>(())
/// ```
///
/// The default matches every entry. A mistake in a field or an operand is kept and reported where the filter is used:
/// see [`Filter::check`].
#[derive(Clone, Debug)]
pub struct Filter {
    node: Node,
}

/// The tree of a [`Filter`], for backends that translate it.
#[derive(Clone, Debug)]
pub enum Node {
    /// All match; every entry, if it is empty.
    And(Vec<Node>),
    /// At least one matches; no entry, if it is empty.
    Or(Vec<Node>),
    /// Does not match.
    Not(Box<Node>),
    /// An operator holds for a field.
    Test(Field, Operator),
    /// A mistake.
    Invalid(Arc<Error>),
}

/// An operator and its operand. The others of the language are negations of these.
#[derive(Clone, Debug)]
pub enum Operator {
    /// Equal to the value.
    Eq(Value),
    /// Equal to one of the values.
    In(Vec<Value>),
    /// Greater, or less, than the value, which is of an ordered class.
    Compare(Comparison, Value),
    /// There is a value, or there is none.
    Exists(bool),
    /// A string in which the expression is found.
    Regex(Regex),
    /// A string that contains this one.
    Contains(String),
    /// A string that starts with this one.
    StartsWith(String),
}

/// How a value compares with an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Comparison {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    /// Whether a value that compares so with the operand is meant.
    #[must_use]
    pub fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
        }
    }
}

impl Node {
    pub(super) fn test(field: Field, operator: Operator) -> Result<Self> {
        let is_time = field.entry_type() == Some(EntryType::Time);
        let operand = |value: Value| {
            if is_time { time_operand(value).map_err(|error| error.within(&field)) } else { Ok(value) }
        };
        let operator = match operator {
            Operator::Eq(value) => Operator::Eq(operand(value)?),
            Operator::In(values) => Operator::In(values.into_iter().map(operand).collect::<Result<_>>()?),
            Operator::Compare(comparison, value) => {
                if !order::is_ordered(&value) {
                    let what = format!("{field}: a {} has no order", value.type_name());
                    return Err(Error::new(ErrorKind::InvalidInput, what).with_hint(
                        "compare with a number, a string, a time or bytes; a list is asked for its elements",
                    ));
                }
                Operator::Compare(comparison, operand(value)?)
            }
            other => other,
        };
        Ok(Self::Test(field, operator))
    }

    fn invalid(error: Error) -> Self {
        Self::Invalid(Arc::new(error))
    }

    fn first_error(&self) -> Option<&Error> {
        match self {
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().find_map(Self::first_error),
            Self::Not(node) => node.first_error(),
            Self::Test(..) => None,
            Self::Invalid(error) => Some(error),
        }
    }

    /// Calls `visit` for every test.
    pub fn for_each_test<'a>(&'a self, visit: &mut impl FnMut(&'a Field, &'a Operator)) {
        match self {
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().for_each(|node| node.for_each_test(visit)),
            Self::Not(node) => node.for_each_test(visit),
            Self::Test(field, operator) => visit(field, operator),
            Self::Invalid(_) => {}
        }
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self { node: Node::And(Vec::new()) }
    }
}

impl From<Node> for Filter {
    fn from(node: Node) -> Self {
        Self { node }
    }
}

impl Filter {
    /// Matches every entry.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Its tree.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Whether it has no condition, so that it matches every entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.node, Node::And(nodes) if nodes.is_empty())
    }

    /// Whether it has no mistake.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for the first mistake: a field that entries do not have, an operand that does not fit its
    /// operator or field, an invalid regular expression.
    pub fn check(&self) -> Result<()> {
        self.node.first_error().map_or(Ok(()), |error| {
            let copy = Error::new(error.kind(), error.to_string());
            Err(match error.hint() {
                Some(hint) => copy.with_hint(hint.to_owned()),
                None => copy,
            })
        })
    }

    /// Matches what matches both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let mut nodes = match self.node {
            Node::And(nodes) => nodes,
            node => vec![node],
        };
        match other.node {
            Node::And(others) => nodes.extend(others),
            node => nodes.push(node),
        }
        Self { node: Self::simplest(nodes) }
    }

    /// Matches what matches one of both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { node: Node::Or(vec![self.node, other.node]) }
    }

    /// The conjunction of nodes.
    pub(super) fn simplest(mut nodes: Vec<Node>) -> Node {
        if nodes.len() == 1 { nodes.remove(0) } else { Node::And(nodes) }
    }
}

impl std::ops::BitAnd for Filter {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        self.and(other)
    }
}

impl std::ops::BitOr for Filter {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

impl std::ops::Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        Self { node: Node::Not(Box::new(self.node)) }
    }
}

/// A field, of which its methods make filters. See [`field`].
#[derive(Clone, Debug)]
pub struct FieldBuilder {
    field: Result<Field, Arc<Error>>,
}

/// A field of the user's metadata, or any other as [`Field::parse`] reads it: `field("accuracy")`, `field("entry.file_size")`.
#[must_use]
pub fn field(path: &str) -> FieldBuilder {
    FieldBuilder { field: Field::parse(path).map_err(Arc::new) }
}

/// A parameter of the key.
#[must_use]
pub fn param(name: &str) -> FieldBuilder {
    FieldBuilder { field: Field::new(Root::Params, [name]).map_err(Arc::new) }
}

impl FieldBuilder {
    fn test(self, operator: Result<Operator>) -> Filter {
        let node = match self.field {
            Ok(field) => {
                let operator = operator.map_err(|error| error.within(&field));
                operator.and_then(|operator| Node::test(field, operator)).unwrap_or_else(Node::invalid)
            }
            Err(error) => Node::Invalid(error),
        };
        Filter { node }
    }

    fn compare(self, comparison: Comparison, value: impl Into<Value>) -> Filter {
        self.test(Ok(Operator::Compare(comparison, value.into())))
    }

    /// `$eq`.
    #[must_use]
    #[allow(clippy::should_implement_trait)]
    pub fn eq(self, value: impl Into<Value>) -> Filter {
        self.test(Ok(Operator::Eq(value.into())))
    }

    /// `$ne`: also where it is missing.
    #[must_use]
    #[allow(clippy::should_implement_trait)]
    pub fn ne(self, value: impl Into<Value>) -> Filter {
        !self.eq(value)
    }

    /// `$gt`.
    #[must_use]
    pub fn gt(self, value: impl Into<Value>) -> Filter {
        self.compare(Comparison::Greater, value)
    }

    /// `$gte`.
    #[must_use]
    pub fn ge(self, value: impl Into<Value>) -> Filter {
        self.compare(Comparison::GreaterOrEqual, value)
    }

    /// `$lt`.
    #[must_use]
    pub fn lt(self, value: impl Into<Value>) -> Filter {
        self.compare(Comparison::Less, value)
    }

    /// `$lte`.
    #[must_use]
    pub fn le(self, value: impl Into<Value>) -> Filter {
        self.compare(Comparison::LessOrEqual, value)
    }

    /// `$in`.
    #[must_use]
    pub fn is_in<V: Into<Value>>(self, values: impl IntoIterator<Item = V>) -> Filter {
        self.test(Ok(Operator::In(values.into_iter().map(Into::into).collect())))
    }

    /// `$nin`: also where it is missing.
    #[must_use]
    pub fn not_in<V: Into<Value>>(self, values: impl IntoIterator<Item = V>) -> Filter {
        !self.is_in(values)
    }

    /// `$exists`: true.
    #[must_use]
    pub fn exists(self) -> Filter {
        self.test(Ok(Operator::Exists(true)))
    }

    /// `$exists`: false.
    #[must_use]
    pub fn is_missing(self) -> Filter {
        self.test(Ok(Operator::Exists(false)))
    }

    /// `$regex`.
    #[must_use]
    pub fn matches(self, expression: &str) -> Filter {
        self.test(compile(expression, ""))
    }

    /// `$contains`.
    #[must_use]
    pub fn contains(self, text: impl Into<String>) -> Filter {
        self.test(Ok(Operator::Contains(text.into())))
    }

    /// `$startswith`.
    #[must_use]
    pub fn starts_with(self, text: impl Into<String>) -> Filter {
        self.test(Ok(Operator::StartsWith(text.into())))
    }
}

/// The operator of a regular expression with the options `imsx`.
pub(super) fn compile(expression: &str, options: &str) -> Result<Operator> {
    let mut builder = RegexBuilder::new(expression);
    builder.size_limit(REGEX_SIZE).dfa_size_limit(REGEX_SIZE);
    for option in options.chars() {
        match option {
            'i' => builder.case_insensitive(true),
            'm' => builder.multi_line(true),
            's' => builder.dot_matches_new_line(true),
            'x' => builder.ignore_whitespace(true),
            other => {
                let what = format!("$options has no letter {other:?}; it has i, m, s and x");
                return Err(Error::new(ErrorKind::InvalidInput, what));
            }
        };
    }
    builder.build().map(Operator::Regex).map_err(|error| {
        let what = match error {
            regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
            error => format!("{expression:?} is no regular expression: {error}"),
        };
        Error::new(ErrorKind::InvalidInput, what).with_hint(
            "backreferences and look-around are not supported; a backslash takes a special character literally",
        )
    })
}
