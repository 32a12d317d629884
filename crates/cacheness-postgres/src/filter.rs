//! Filters as SQL.
//!
//! A filter becomes a condition with three results: true, false, and NULL where SQL cannot tell. `AND`, `OR` and `NOT` treat
//! NULL as "unknown", so that it remains only where it matters. Rows of which it is NULL are decided by the evaluator.
//!
//! The metadata is asked in the column `document`, see there: an array is what SQL cannot tell. So are regular expressions,
//! parameters, and texts in which a NUL was escaped.

use std::fmt::Write as _;

use cacheness_core::query::{Comparison, EntryType, Field, Filter, Node, Operator, PINNED, Root, Scalar};
use tokio_postgres::types::Type;

use crate::document;
use crate::link::Param;
use crate::text::ESCAPE;

/// Lists of operands up to this length are part of a statement.
const MOST_OPERANDS: usize = 500;

/// A value of a parameter.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Int(i64),
}

/// A part of a statement, and the values of its parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sql {
    pub(crate) text: String,
    values: Vec<Value>,
}

impl Sql {
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a parameter; its type follows it.
    pub(crate) fn bind(&mut self, value: Value) -> &mut Self {
        let kind = if matches!(value, Value::Text(_)) { "text" } else { "bigint" };
        self.values.push(value);
        let number = self.values.len();
        // A `String` is always written.
        let _ = write!(self.text, "${number}::{kind}");
        self
    }

    pub(crate) fn params(&self) -> Vec<(Param<'_>, Type)> {
        let typed = |value: &Value| if matches!(value, Value::Text(_)) { Type::TEXT } else { Type::INT8 };
        self.values.iter().map(|value| (value.param(), typed(value))).collect()
    }
}

impl Value {
    fn param(&self) -> Param<'_> {
        match self {
            Self::Text(text) => text,
            Self::Int(value) => value,
        }
    }
}

/// The condition of a filter as the beginning of a statement, and whether it is never NULL.
pub(crate) struct Condition {
    pub(crate) sql: Sql,
    pub(crate) exact: bool,
}

impl Condition {
    pub(crate) fn of(filter: &Filter) -> Self {
        let mut writer = Writer { sql: Sql::default(), exact: true };
        writer.node(filter.node());
        Self { sql: writer.sql, exact: writer.exact }
    }

    /// True for every row.
    pub(crate) fn all() -> Self {
        let mut sql = Sql::default();
        sql.push("TRUE");
        Self { sql, exact: true }
    }
}

/// The tests that hold for every match.
pub(crate) fn necessary(node: &Node) -> Vec<(&Field, &Operator)> {
    match node {
        Node::And(nodes) => nodes.iter().flat_map(necessary).collect(),
        Node::Test(field, operator) => vec![(field, operator)],
        _ => Vec::new(),
    }
}

/// Adds a condition that holds for all rows for which the test holds and that the index of its field finds; `false` if there
/// is none.
pub(crate) fn by_index(sql: &mut Sql, field: &Field, operator: &Operator) -> bool {
    let Some(value) = extract(field) else { return false };
    let single = |sql: &mut Sql, sign: &str, operand: &Scalar<'_>| {
        let Some(json) = json_of(operand) else { return false };
        sql.push(&value).push(sign).bind(Value::Text(json)).push("::jsonb");
        true
    };
    let mut own = Sql { text: String::new(), values: std::mem::take(&mut sql.values) };
    own.push(" AND (");
    let found = match operator {
        Operator::Eq(operand) => Scalar::of(operand).is_some_and(|operand| single(&mut own, " = ", &operand)),
        // The order of texts in `jsonb` is that of a language.
        Operator::Compare(comparison, operand) => match Scalar::of(operand) {
            Some(operand @ (Scalar::Int(_) | Scalar::Float(_) | Scalar::Bool(_))) => {
                single(&mut own, sign(*comparison), &operand)
            }
            _ => false,
        },
        Operator::In(operands) if operands.len() <= MOST_OPERANDS && !operands.is_empty() => {
            let mut all = true;
            for (i, operand) in operands.iter().enumerate() {
                own.push(if i > 0 { " OR " } else { "" });
                all &= Scalar::of(operand).is_some_and(|operand| single(&mut own, " = ", &operand));
            }
            all
        }
        _ => false,
    };
    if found {
        // Arrays are after all scalars, except the empty one, which is before them.
        own.push(" OR (").push(&value).push(" > 'true'::jsonb AND ").push(&value).push(" < '{}'::jsonb) OR ");
        // A path of several steps that finds nothing may lead through a list.
        if field.steps().len() > 1 {
            own.push(&value).push(" IS NULL OR ");
        }
        // The evaluator has to see damaged metadata.
        own.push(&value).push(" = '[]'::jsonb OR document IS NULL)");
        sql.text.push_str(&own.text);
    }
    sql.values = own.values;
    found
}

/// The expression of the index of a field of the metadata.
pub(crate) fn extract(field: &Field) -> Option<String> {
    path(field.steps()).map(|path| format!("(document #> {path})"))
}

/// A scalar as JSON; `None` for one that equals missing values, or that the document does not have.
fn json_of(scalar: &Scalar<'_>) -> Option<String> {
    Some(match scalar {
        Scalar::Null | Scalar::Instant(_) => return None,
        Scalar::Bool(value) => value.to_string(),
        Scalar::Int(value) => value.to_string(),
        Scalar::Float(value) => document::number(*value)?,
        Scalar::Text(text) => serde_json::to_string(text).ok()?,
    })
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Greater => " > ",
        Comparison::GreaterOrEqual => " >= ",
        Comparison::Less => " < ",
        Comparison::LessOrEqual => " <= ",
    }
}

/// A path of `#>` as a literal; `None` if a name cannot be written there.
fn path(steps: &[String]) -> Option<String> {
    let mut path = String::from("'{");
    for (i, step) in steps.iter().enumerate() {
        if step.contains('\0') {
            return None;
        }
        let comma = if i > 0 { "," } else { "" };
        let name = step.replace('\\', "\\\\").replace('"', "\\\"").replace('\'', "''");
        write!(path, "{comma}\"{name}\"").ok()?;
    }
    path.push_str("}'");
    // A backslash is one, whatever the server's settings are.
    Some(if path.contains('\\') { format!(" E{}", path.replace('\\', "\\\\")) } else { path })
}

/// Whether a path of several steps leads through a list, of which the evaluator decides; empty if it has one step.
fn through(steps: &[String]) -> Option<String> {
    let mut through = String::new();
    for end in 1..steps.len() {
        let or = if end > 1 { " OR " } else { "" };
        write!(through, "{or}jsonb_typeof(document #> {}) IS NOT DISTINCT FROM 'array'", path(&steps[..end])?).ok()?;
    }
    Some(through)
}

/// Writes a condition.
struct Writer {
    sql: Sql,
    exact: bool,
}

const CASE_ARRAY: &str = " WHEN 'array' THEN NULL::boolean";

impl Writer {
    fn node(&mut self, node: &Node) {
        match node {
            Node::And(nodes) => self.joined(nodes, " AND ", "TRUE"),
            Node::Or(nodes) => self.joined(nodes, " OR ", "FALSE"),
            Node::Not(node) => {
                self.sql.push("(NOT ");
                self.node(node);
                self.sql.push(")");
            }
            Node::Test(field, operator) => match field.root() {
                Root::Metadata => self.metadata(field, operator),
                Root::Params => self.unknown(),
                Root::Entry => self.entry(field, operator),
            },
            Node::Invalid(_) => {
                self.sql.push("FALSE");
            }
        }
    }

    fn joined(&mut self, nodes: &[Node], word: &str, empty: &str) {
        if nodes.is_empty() {
            self.sql.push(empty);
            return;
        }
        self.sql.push("(");
        for (i, node) in nodes.iter().enumerate() {
            self.sql.push(if i > 0 { word } else { "" });
            self.node(node);
        }
        self.sql.push(")");
    }

    fn unknown(&mut self) {
        self.exact = false;
        self.sql.push("NULL::boolean");
    }

    fn metadata(&mut self, field: &Field, operator: &Operator) {
        let steps = field.steps();
        let (Some(path), Some(through)) = (path(steps), through(steps)) else { return self.unknown() };
        self.exact = false;
        // A document is missing where the metadata is damaged: the evaluator says so.
        self.sql.push("CASE WHEN document IS NULL");
        if !through.is_empty() {
            self.sql.push(" OR ").push(&through);
        }
        self.sql.push(" THEN NULL::boolean ELSE ");
        self.json(&path, operator);
        self.sql.push(" END");
    }

    /// The condition of the value at the path. It is never NULL but for an array, and what only the evaluator compares.
    fn json(&mut self, path: &str, operator: &Operator) {
        let kind = format!("jsonb_typeof(document #> {path})");
        let text = format!("(document #>> {path}) COLLATE \"C\"");
        let sql = &mut self.sql;
        match operator {
            Operator::Eq(operand) => match Scalar::of(operand) {
                Some(Scalar::Instant(_)) | None => Self::only_evaluator(sql, &kind),
                Some(operand) => Self::scalar(sql, path, &operand, Comparison::GreaterOrEqual, " = "),
            },
            Operator::Compare(comparison, operand) => match Scalar::of(operand) {
                Some(Scalar::Instant(_)) | None => Self::only_evaluator(sql, &kind),
                Some(operand) => Self::scalar(sql, path, &operand, *comparison, sign(*comparison)),
            },
            Operator::In(operands) => {
                if operands.len() > MOST_OPERANDS {
                    sql.push("NULL::boolean");
                    return;
                }
                sql.push("(FALSE");
                for operand in operands {
                    self.sql.push(" OR ");
                    self.json(path, &Operator::Eq(operand.clone()));
                }
                self.sql.push(")");
            }
            Operator::Exists(wanted) => {
                sql.push("(").push(&kind).push(if *wanted { " IS NOT NULL)" } else { " IS NULL)" });
            }
            Operator::Regex(_) => {
                sql.push("CASE ").push(&kind).push(CASE_ARRAY).push(" WHEN 'string' THEN NULL ELSE FALSE END");
            }
            Operator::Contains(part) | Operator::StartsWith(part) if part.contains('\0') => {
                sql.push("CASE ").push(&kind).push(CASE_ARRAY).push(" WHEN 'string' THEN NULL ELSE FALSE END");
            }
            Operator::Contains(part) => {
                sql.push("CASE ").push(&kind).push(CASE_ARRAY).push(" WHEN 'string' THEN strpos(").push(&text);
                sql.push(", ").bind(Value::Text(part.clone())).push(") > 0 ELSE FALSE END");
            }
            Operator::StartsWith(part) => {
                sql.push("CASE ").push(&kind).push(CASE_ARRAY).push(" WHEN 'string' THEN starts_with(").push(&text);
                sql.push(", ").bind(Value::Text(part.clone())).push(") ELSE FALSE END");
            }
        }
    }

    /// A comparison with what SQL does not compare; scalars of JSON are no datetimes.
    fn only_evaluator(sql: &mut Sql, kind: &str) {
        sql.push("CASE ").push(kind).push(CASE_ARRAY);
        sql.push(" WHEN 'object' THEN NULL WHEN 'number' THEN NULL WHEN 'string' THEN NULL ELSE FALSE END");
    }

    fn scalar(sql: &mut Sql, path: &str, operand: &Scalar<'_>, comparison: Comparison, sign: &str) {
        let kind = format!("jsonb_typeof(document #> {path})");
        let is_equality = sign == " = ";
        let holds = |order: std::cmp::Ordering| if is_equality { order.is_eq() } else { comparison.holds(order) };
        let word = |holds: bool| if holds { "TRUE" } else { "FALSE" };
        match operand {
            Scalar::Null => {
                sql.push("CASE coalesce(").push(&kind).push(", 'null')").push(CASE_ARRAY);
                sql.push(" WHEN 'null' THEN ").push(word(holds(std::cmp::Ordering::Equal))).push(" ELSE FALSE END");
            }
            Scalar::Bool(operand) => {
                sql.push("CASE ").push(&kind).push(CASE_ARRAY);
                sql.push(" WHEN 'boolean' THEN CASE WHEN (document #> ").push(path).push(") = 'true'::jsonb THEN ");
                sql.push(word(holds(true.cmp(operand)))).push(" ELSE ").push(word(holds(false.cmp(operand))));
                sql.push(" END ELSE FALSE END");
            }
            Scalar::Int(_) | Scalar::Float(_) => {
                sql.push("CASE ").push(&kind).push(CASE_ARRAY).push(" WHEN 'number' THEN ");
                match json_of(operand) {
                    Some(number) => {
                        sql.push("(document #> ")
                            .push(path)
                            .push(")")
                            .push(sign)
                            .bind(Value::Text(number))
                            .push("::jsonb");
                    }
                    // Infinite: on one side of all numbers of JSON.
                    None => {
                        let is_more = matches!(operand, Scalar::Float(value) if *value > 0.0);
                        let order = if is_more { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater };
                        sql.push(word(holds(order)));
                    }
                }
                sql.push(" ELSE FALSE END");
            }
            Scalar::Text(operand) => {
                sql.push("CASE ").push(&kind).push(CASE_ARRAY).push(" WHEN 'string' THEN (document #>> ").push(path);
                sql.push(") COLLATE \"C\"").push(sign).bind(Value::Text(operand.clone().into_owned()));
                sql.push(" ELSE FALSE END");
            }
            Scalar::Instant(_) => {}
        }
    }

    fn entry(&mut self, field: &Field, operator: &Operator) {
        let name = field.steps()[0].as_str();
        let Some(column) = column(name) else { return self.unknown() };
        let class = field.entry_type().unwrap_or(EntryType::Text);
        match operator {
            Operator::Exists(wanted) => {
                self.sql.push(if *wanted { "TRUE" } else { "FALSE" });
            }
            Operator::Eq(operand) => match Scalar::of(operand) {
                None => self.unknown(),
                Some(Scalar::Null) => {
                    self.sql.push("(").push(column).push(" IS NULL)");
                }
                Some(operand) => self.column(name, column, class, &operand, " IS NOT DISTINCT FROM "),
            },
            Operator::In(operands) => {
                if operands.len() > MOST_OPERANDS {
                    return self.unknown();
                }
                self.sql.push("(FALSE");
                for operand in operands {
                    self.sql.push(" OR ");
                    self.entry(field, &Operator::Eq(operand.clone()));
                }
                self.sql.push(")");
            }
            Operator::Compare(comparison, operand) => match Scalar::of(operand) {
                None => self.unknown(),
                Some(Scalar::Null) if comparison.holds(std::cmp::Ordering::Equal) => {
                    self.sql.push("(").push(column).push(" IS NULL)");
                }
                Some(Scalar::Null) => {
                    self.sql.push("FALSE");
                }
                Some(operand) => self.column(name, column, class, &operand, sign(*comparison)),
            },
            Operator::Regex(_) => self.unknown(),
            Operator::Contains(text) | Operator::StartsWith(text) if text.contains('\0') => self.unknown(),
            _ if class != EntryType::Text => {
                self.sql.push("FALSE");
            }
            Operator::Contains(text) => {
                self.unless_escaped(column, |sql| {
                    sql.push("coalesce(strpos(").push(column).push(", ").bind(Value::Text(text.clone()));
                    sql.push(") > 0, FALSE)");
                });
            }
            Operator::StartsWith(text) => {
                self.unless_escaped(column, |sql| {
                    sql.push("coalesce(starts_with(").push(column).push(", ").bind(Value::Text(text.clone()));
                    sql.push("), FALSE)");
                });
            }
        }
    }

    /// A condition of a text, unless characters of it are escaped.
    fn unless_escaped(&mut self, column: &str, write: impl FnOnce(&mut Sql)) {
        self.exact = false;
        self.sql.push("CASE WHEN strpos(").push(column).push(", ").bind(Value::Text(ESCAPE.to_string()));
        self.sql.push(") > 0 THEN NULL ELSE ");
        write(&mut self.sql);
        self.sql.push(" END");
    }

    /// A comparison of a column with an operand of any class.
    fn column(&mut self, name: &str, column: &str, class: EntryType, operand: &Scalar<'_>, sign: &str) {
        match (operand, class) {
            (Scalar::Text(text), EntryType::Text) => {
                let text = Value::Text(text.clone().into_owned());
                self.unless_escaped(column, |sql| {
                    sql.push("coalesce(").push(column).push(sign).bind(text).push(", FALSE)");
                });
            }
            (Scalar::Int(_) | Scalar::Float(_), EntryType::Number) => match json_of(operand) {
                // Exact: a size in megabytes is a size in bytes, and the number is multiplied.
                Some(number) => {
                    let times = if name == "size_mb" { " * 1048576" } else { "" };
                    self.sql.push("coalesce((").push(column).push(")::numeric").push(sign).push("(");
                    self.sql.bind(Value::Text(number)).push("::numeric").push(times).push("), FALSE)");
                }
                None => self.unknown(),
            },
            (Scalar::Bool(value), EntryType::Flag) => {
                self.sql.push("(").push(column).push(sign).push(if *value { "TRUE)" } else { "FALSE)" });
            }
            (Scalar::Instant(micros), EntryType::Time) => {
                self.sql.push("coalesce(").push(column).push(sign).bind(Value::Int(*micros)).push(", FALSE)");
            }
            _ => {
                self.sql.push("FALSE");
            }
        }
    }
}

/// The column, or the expression, of a field of the entry itself; `None` if there is none in SQL.
fn column(name: &str) -> Option<&'static str> {
    Some(match name {
        "cache_key" => "cache_key",
        "description" => "coalesce(description, '')",
        "data_type" => "data_type",
        "object_type" => "object_type",
        "handler_used" => "handler",
        "storage_format" | "serializer" => "storage_format",
        "compression_codec" => "compression",
        "actual_path" => "locator",
        "file_size" | "size_mb" => "file_size",
        "access_count" => "access_count",
        "inline" => "(locator IS NULL)",
        PINNED => "pinned",
        "created_at" | "created" => "created_at",
        "accessed_at" | "last_accessed" => "accessed_at",
        "expires_at" | "expires" => "expires_at",
        _ => return None,
    })
}
