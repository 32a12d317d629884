//! What the index of a field finds.
//!
//! The columns of an index are the value, the key, and the type. SQLite orders the values: null and missing, then numbers,
//! with booleans as 1 and 0 among them, then strings. Lists, objects, and what a path of several steps may find behind a
//! list are strings there that start with a bracket; only the evaluator can decide about them. Where a field has none of
//! these, which two looks into the index tell, the index decides alone.

use std::collections::BTreeSet;

use cacheness_core::Result;
use cacheness_core::query::{Comparison, Field, Filter, Operator, Scalar};
use rusqlite::Connection;

use crate::error::translate;
use crate::filter::{self, MOST_OPERANDS, Sql, sign, value_of};
use crate::index;

/// The columns of the index of a field, as expressions.
#[derive(Debug)]
pub(crate) struct Indexed<'a> {
    pub(crate) field: &'a Field,
    pub(crate) value: String,
    pub(crate) kind: String,
}

impl<'a> Indexed<'a> {
    /// `None` if no index can be made of the field.
    pub(crate) fn of(field: &'a Field) -> Option<Self> {
        let steps = field.steps();
        Some(Self { field, value: filter::extract(steps)?, kind: filter::json_type(steps)? })
    }

    /// The condition of values that the index does not decide.
    pub(crate) fn others(&self) -> String {
        let value = &self.value;
        format!("(({value} >= '[' AND {value} < '\\') OR ({value} >= '{{' AND {value} < '|'))")
    }

    /// Whether there are values that the index does not decide.
    fn has_others(&self, connection: &Connection) -> Result<bool> {
        let value = &self.value;
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM cache_entries WHERE {value} >= '[' AND {value} < '\\') \
             OR EXISTS (SELECT 1 FROM cache_entries WHERE {value} >= '{{' AND {value} < '|')"
        );
        connection.query_row(&sql, (), |row| row.get(0)).map_err(failed)
    }

    /// The condition of numbers and of strings alone, neither booleans nor what the index does not decide.
    pub(crate) fn is_no_boolean(&self) -> String {
        format!("{kind} <> 'true' AND {kind} <> 'false'", kind = self.kind)
    }
}

fn failed(error: rusqlite::Error) -> cacheness_core::Error {
    translate("cannot search the entries", error)
}

/// The tests of one field that every match of a filter passes, and that the index of the field answers.
#[derive(Debug)]
pub(crate) struct Reach<'a> {
    indexed: Indexed<'a>,
    operators: Vec<&'a Operator>,
    has_others: bool,
    /// Whether the filter has no other part.
    is_all: bool,
}

impl<'a> Reach<'a> {
    /// Those of a filter, one for each field.
    pub(crate) fn all(connection: &Connection, filter: &'a Filter) -> Result<Vec<Self>> {
        let tests = filter::necessary(filter.node());
        if tests.is_empty() {
            return Ok(Vec::new());
        }
        let usable = index::usable(connection)?;
        let are_all = filter::is_conjunction(filter.node());
        let mut found: Vec<Self> = Vec::new();
        for &(field, operator) in tests.iter().filter(|(field, _)| usable.contains(field)) {
            let Some(indexed) = Indexed::of(field) else { continue };
            if !candidates(&indexed, operator, &mut Sql::default()) {
                continue;
            }
            match found.iter_mut().find(|reach| reach.indexed.field == field) {
                Some(reach) => reach.operators.push(operator),
                None => {
                    let has_others = indexed.has_others(connection)?;
                    found.push(Self { indexed, operators: vec![operator], has_others, is_all: false });
                }
            }
        }
        if let [only] = found.as_mut_slice() {
            only.is_all = are_all && only.operators.len() == tests.len();
        }
        Ok(found)
    }

    /// Adds the condition of the rows that may match, which the index finds.
    pub(crate) fn add_to(&self, sql: &mut Sql) {
        self.add_range(sql);
        if !self.has_others && self.excludes_booleans() {
            sql.push(" AND ").push(&self.indexed.is_no_boolean());
        }
    }

    /// Whether booleans are among the values of the range, as 0 and 1, and do not match.
    pub(crate) fn excludes_booleans(&self) -> bool {
        let is_number = |operand| Class::of(operand) == Some(Class::Number);
        filter::is_plain(self.indexed.field.steps())
            && self.operators.iter().any(|operator| match operator {
                Operator::Eq(operand) | Operator::Compare(_, operand) => is_number(operand),
                Operator::In(operands) => operands.iter().all(is_number),
                _ => false,
            })
    }

    /// Adds the condition of the booleans in the range.
    pub(crate) fn add_booleans(&self, sql: &mut Sql) {
        let Indexed { value, kind, .. } = &self.indexed;
        self.add_range(sql);
        sql.push(" AND ").push(value).push(" IN (0, 1) AND ").push(kind).push(" IN ('true', 'false')");
    }

    /// Adds the condition of the part of the index in which the rows are: a superset, for whose end no row is examined.
    pub(crate) fn add_range(&self, sql: &mut Sql) {
        sql.push("(");
        for (i, operator) in self.operators.iter().enumerate() {
            sql.push(if i > 0 { " AND " } else { "" });
            candidates(&self.indexed, operator, sql);
        }
        if self.has_others {
            sql.push(" OR ").push(&self.indexed.others());
        } else {
            let rests: BTreeSet<String> =
                self.operators.iter().filter_map(|operator| self.exact_rest(operator)).collect();
            rests.iter().filter(|rest| !rest.is_empty()).for_each(|rest| {
                sql.push(" AND ").push(rest);
            });
        }
        sql.push(")");
    }

    /// Whether the filter has no other part.
    pub(crate) fn is_all(&self) -> bool {
        self.is_all
    }

    /// Whether the condition holds for the matches of the whole filter and for no other row.
    pub(crate) fn is_exact(&self) -> bool {
        self.is_all && !self.has_others && self.operators.iter().all(|operator| self.exact_rest(operator).is_some())
    }

    /// Whether the index has the rows in the order of their keys.
    pub(crate) fn is_by_key(&self) -> bool {
        !self.has_others && self.operators.iter().any(|operator| matches!(operator, Operator::Eq(_)))
    }

    /// Whether a comparison with a value of the class bounds the values on this side.
    fn has_bound(&self, class: Class, side: fn(&Operator) -> bool) -> bool {
        self.operators.iter().any(|operator| {
            side(operator) && matches!(operator, Operator::Compare(_, operand) if Class::of(operand) == Some(class))
        })
    }

    /// What has to hold besides the conditions of [`candidates`] for the index to decide about all values that are neither
    /// lists nor objects; `None` if it cannot.
    fn exact_rest(&self, operator: &Operator) -> Option<String> {
        if !filter::is_plain(self.indexed.field.steps()) {
            return None;
        }
        let class = match operator {
            Operator::Eq(operand) => Class::of(operand)?,
            Operator::Compare(_, operand) => Class::of(operand).filter(|class| *class != Class::Boolean)?,
            Operator::In(operands) => {
                let first = Class::of(operands.first()?).filter(|class| *class != Class::Boolean)?;
                operands.iter().all(|operand| Class::of(operand) == Some(first)).then_some(first)?
            }
            Operator::StartsWith(_) => Class::Text,
            _ => return None,
        };
        let Indexed { value, kind, .. } = &self.indexed;
        Some(match class {
            // The planner has one upper and one lower bound of an index: a second one only costs.
            Class::Number if is_greater(operator) && !self.has_bound(Class::Number, is_less) => format!("{value} < ''"),
            // Without booleans: see `excludes_booleans`.
            Class::Number => String::new(),
            Class::Text if is_less(operator) && !self.has_bound(Class::Text, is_greater) => {
                format!("{value} >= ''")
            }
            Class::Text => String::new(),
            Class::Boolean => format!("{kind} IN ('true', 'false')"),
        })
    }
}

fn is_greater(operator: &Operator) -> bool {
    matches!(operator, Operator::Compare(Comparison::Greater | Comparison::GreaterOrEqual, _))
}

fn is_less(operator: &Operator) -> bool {
    matches!(operator, Operator::Compare(Comparison::Less | Comparison::LessOrEqual, _))
}

/// The class of an operand whose values an index has side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Number,
    Text,
    Boolean,
}

impl Class {
    fn of(operand: &cacheness_core::formats::plain::Value) -> Option<Self> {
        Some(match Scalar::of(operand)? {
            Scalar::Int(_) | Scalar::Float(_) => Self::Number,
            Scalar::Text(_) => Self::Text,
            Scalar::Bool(_) => Self::Boolean,
            Scalar::Null | Scalar::Instant(_) => return None,
        })
    }
}

/// Adds a condition on the value that holds wherever the test does, except for what the index does not decide; `false` if
/// there is none.
fn candidates(indexed: &Indexed<'_>, operator: &Operator, sql: &mut Sql) -> bool {
    let value = &indexed.value;
    let operand_of = |operand| Scalar::of(operand).and_then(|scalar| value_of(&scalar));
    match operator {
        Operator::Eq(operand) => {
            let Some(operand) = operand_of(operand) else { return false };
            sql.push(value).push(" = ").bind(operand);
        }
        Operator::Compare(comparison, operand) => {
            let Some(operand) = operand_of(operand) else { return false };
            sql.push(value).push(sign(*comparison)).bind(operand);
        }
        Operator::In(operands) if !operands.is_empty() && operands.len() <= MOST_OPERANDS => {
            let Some(operands) = operands.iter().map(operand_of).collect::<Option<Vec<_>>>() else { return false };
            sql.push(value).push(" IN (");
            for (i, operand) in operands.into_iter().enumerate() {
                sql.push(if i > 0 { ", " } else { "" }).bind(operand);
            }
            sql.push(")");
        }
        Operator::StartsWith(text) if !text.is_empty() && !text.contains('\0') => {
            let Some(end) = crate::scan::after_prefix(text) else { return false };
            sql.push(value).push(" >= ").bind(text.clone());
            sql.push(" AND ").push(value).push(" < ").bind(end);
        }
        _ => return false,
    }
    true
}

/// Adds the conditions on the value of a field that every match of a filter passes, unless the index does not decide it.
pub(crate) fn add_bounds(indexed: &Indexed<'_>, filter: &Filter, sql: &mut Sql) {
    for (field, operator) in filter::necessary(filter.node()) {
        let mut bound = Sql { text: String::new(), values: std::mem::take(&mut sql.values) };
        if field == indexed.field && candidates(indexed, operator, &mut bound) {
            sql.push(" AND ").push(&bound.text);
        }
        sql.values = bound.values;
    }
}
