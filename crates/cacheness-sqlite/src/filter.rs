//! Filters as SQL.
//!
//! A filter becomes an expression with three results, as SQL has them: 1, 0, and NULL where SQL cannot tell. `AND`, `OR`
//! and `NOT` treat NULL as "unknown", so that it remains only where it matters. Rows of which it is NULL are decided by
//! the evaluator.
//!
//! JSON's types tell the classes apart. What is NULL: lists, and objects, because a tagged value is one; a path through a
//! list or a tagged value; regular expressions; parameters, which are not JSON in the database.

use std::fmt::Write as _;

use cacheness_core::query::{Comparison, EntryType, Field, Filter, Node, Operator, PINNED, Root, Scalar};
use rusqlite::types::Value;

/// Lists of operands up to this length are part of a statement.
pub(crate) const MOST_OPERANDS: usize = 500;

/// The value of a field of the metadata; a single bracket where a path of several steps finds nothing and may lead through
/// a list or a tagged value. `None` if a name cannot be written in a path.
pub(crate) fn extract(steps: &[String]) -> Option<String> {
    let path = path(steps)?;
    let through = through(steps)?;
    Some(if through.is_empty() {
        format!("json_extract(metadata, {path})")
    } else {
        format!("coalesce(json_extract(metadata, {path}), CASE WHEN {through} THEN '[' END)")
    })
}

/// The type of the value in JSON; NULL if there is none.
pub(crate) fn json_type(steps: &[String]) -> Option<String> {
    path(steps).map(|path| format!("json_type(metadata, {path})"))
}

/// A part of a statement, and the values of its parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sql {
    pub(crate) text: String,
    pub(crate) values: Vec<Value>,
}

impl Sql {
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a parameter.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let number = self.values.len();
        write!(self.text, "?{number}").expect("a String takes everything");
        self
    }
}

/// The condition of a filter: a conjunction of parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Condition {
    /// Each is 1, 0 or NULL.
    parts: Vec<String>,
    values: Vec<Value>,
    /// Whether it is never NULL.
    pub(crate) exact: bool,
}

impl Condition {
    /// That of a filter.
    pub(crate) fn of(filter: &Filter) -> Self {
        let nodes = match filter.node() {
            Node::And(nodes) => nodes.as_slice(),
            node => std::slice::from_ref(node),
        };
        let mut writer = Writer { sql: Sql::default(), exact: true };
        let mut parts = Vec::with_capacity(nodes.len());
        for node in nodes {
            writer.node(node);
            parts.push(std::mem::take(&mut writer.sql.text));
        }
        Self { parts, values: writer.sql.values, exact: writer.exact }
    }

    /// The parameters of its expression.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }

    /// NULL for every row.
    pub(crate) fn unknown() -> Self {
        Self { parts: vec!["NULL".into()], values: Vec::new(), exact: false }
    }

    /// 1 for every row.
    pub(crate) fn always() -> Self {
        Self { parts: Vec::new(), values: Vec::new(), exact: true }
    }

    /// As an expression: 1, 0 or NULL.
    pub(crate) fn expression(&self) -> String {
        if self.parts.is_empty() { "1".into() } else { format!("({})", self.parts.join(" AND ")) }
    }

    /// A statement that selects `columns` of the rows of which it is not 0, to be continued. Each part stands by itself, so
    /// that the first that is 0 ends the row.
    pub(crate) fn statement(self, columns: &str) -> Sql {
        let mut text = format!("SELECT {columns} FROM cache_entries WHERE 1");
        for part in &self.parts {
            write!(text, " AND ({part}) IS NOT 0").expect("a String takes everything");
        }
        Sql { text, values: self.values }
    }

    /// A statement that selects `columns`, among them the expression, of the rows that the continuation names.
    pub(crate) fn deciding(&self, columns: &str) -> Sql {
        Sql { text: format!("SELECT {columns} FROM cache_entries WHERE "), values: self.values.clone() }
    }
}

/// Whether a filter says no more than its [`necessary`] tests.
pub(crate) fn is_conjunction(node: &Node) -> bool {
    match node {
        Node::And(nodes) => nodes.iter().all(is_conjunction),
        Node::Test(..) => true,
        _ => false,
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

/// A scalar as `json_extract` returns it; `None` for one that equals missing values, which no index finds.
pub(crate) fn value_of(scalar: &Scalar<'_>) -> Option<Value> {
    Some(match scalar {
        Scalar::Null | Scalar::Instant(_) => return None,
        Scalar::Bool(value) => Value::Integer((*value).into()),
        Scalar::Int(value) => Value::Integer(*value),
        Scalar::Float(value) => Value::Real(*value),
        Scalar::Text(text) => Value::Text(text.clone().into_owned()),
    })
}

pub(crate) fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Greater => " > ",
        Comparison::GreaterOrEqual => " >= ",
        Comparison::Less => " < ",
        Comparison::LessOrEqual => " <= ",
    }
}

/// A path of `json_extract` as a literal; `None` if a name cannot be written there.
fn path(steps: &[String]) -> Option<String> {
    let mut path = String::from("'$");
    for step in steps {
        if step.is_empty() || step.chars().any(|c| c.is_control() || "\"\\".contains(c)) {
            return None;
        }
        // In the JSON of metadata a key that starts with `$` has one more; see `docs/formats/metadata.md`.
        let dollar = if step.starts_with('$') { "$" } else { "" };
        let simple = step.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && step.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if simple {
            write!(path, ".{step}").ok()?;
        } else {
            write!(path, ".\"{dollar}{}\"", step.replace('\'', "''")).ok()?;
        }
    }
    path.push('\'');
    Some(path)
}

/// What SQL cannot tell of a list or an object.
const OTHERS: &str = " WHEN 'array' THEN NULL WHEN 'object' THEN NULL";

/// A value in the JSON of the metadata, as expressions.
struct JsonValue {
    /// Its type; NULL if there is none.
    kind: String,
    /// The value; text for lists and objects.
    value: String,
}

/// The names of the fields that tagged values have beside their tag.
const OF_TAGS: [&str; 7] = ["value", "data", "shape", "order", "name", "zone", "fold"];

/// Whether the value that JSON has at a path is the value of the field, unless it is a list or an object: no step can be a
/// field of a tagged value.
pub(crate) fn is_plain(steps: &[String]) -> bool {
    !steps.iter().skip(1).any(|step| OF_TAGS.contains(&step.as_str()))
}

/// Whether only numbers and strings other than the empty value are asked for.
fn is_scalar_test(operator: &Operator) -> bool {
    let is_scalar = |operand| matches!(Scalar::of(operand), Some(Scalar::Int(_) | Scalar::Float(_) | Scalar::Text(_)));
    match operator {
        Operator::Eq(operand) | Operator::Compare(_, operand) => is_scalar(operand),
        Operator::In(operands) => operands.iter().all(is_scalar),
        _ => false,
    }
}

/// Whether a path of several steps may lead through a list or a tagged value; in each tagged value is `"$`.
fn through(steps: &[String]) -> Option<String> {
    if steps.len() < 2 {
        return Some(String::new());
    }
    let mut through = String::from("instr(metadata, '\"$') > 0");
    for end in 1..steps.len() {
        write!(through, " OR json_type(metadata, {}) IS 'array'", path(&steps[..end])?).ok()?;
    }
    Some(format!("({through})"))
}

/// Writes a condition.
struct Writer {
    sql: Sql,
    exact: bool,
}

impl Writer {
    fn node(&mut self, node: &Node) {
        match node {
            Node::And(nodes) => self.joined(nodes, " AND ", "1"),
            Node::Or(nodes) => self.joined(nodes, " OR ", "0"),
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
                self.sql.push("0");
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
        self.sql.push("NULL");
    }

    fn metadata(&mut self, field: &Field, operator: &Operator) {
        let steps = field.steps();
        let Some(whole) = path(steps) else { return self.unknown() };
        self.exact = false;
        let Some(through) = through(steps) else { return self.unknown() };
        let found = JsonValue {
            kind: format!("json_type(metadata, {whole})"),
            value: format!("json_extract(metadata, {whole})"),
        };
        if through.is_empty() {
            self.json(&found, operator);
        } else if let (true, true, Some(value)) = (is_plain(steps), is_scalar_test(operator), extract(steps)) {
            // Whether the path leads through something else matters only where it finds nothing.
            self.json(&JsonValue { kind: format!("coalesce({}, 'array')", found.kind), value }, operator);
        } else {
            self.sql.push("CASE WHEN ").push(&through).push(" THEN NULL ELSE ");
            self.json(&found, operator);
            self.sql.push(" END");
        }
    }

    /// The condition of a value of this type in JSON.
    fn json(&mut self, found: &JsonValue, operator: &Operator) {
        let (kind, value) = (found.kind.as_str(), found.value.as_str());
        let sql = &mut self.sql;
        match operator {
            Operator::Eq(operand) => match Scalar::of(operand) {
                Some(Scalar::Instant(_)) | None => {
                    // Scalars of JSON are neither datetimes nor what SQL cannot compare, except numbers.
                    sql.push("CASE ").push(kind).push(OTHERS);
                    sql.push(" WHEN 'integer' THEN NULL WHEN 'real' THEN NULL WHEN 'text' THEN NULL ELSE 0 END");
                }
                Some(operand) => Self::scalar(sql, found, &operand, Comparison::GreaterOrEqual, " = "),
            },
            Operator::In(operands) => {
                if operands.len() > MOST_OPERANDS {
                    sql.push("NULL");
                    return;
                }
                sql.push("(0");
                for operand in operands {
                    self.sql.push(" OR ");
                    self.json(found, &Operator::Eq(operand.clone()));
                }
                self.sql.push(")");
            }
            Operator::Compare(comparison, operand) => match Scalar::of(operand) {
                Some(Scalar::Instant(_)) | None => {
                    sql.push("CASE ").push(kind).push(OTHERS);
                    sql.push(" WHEN 'integer' THEN NULL WHEN 'real' THEN NULL WHEN 'text' THEN NULL ELSE 0 END");
                }
                Some(operand) => Self::scalar(sql, found, &operand, *comparison, sign(*comparison)),
            },
            Operator::Exists(wanted) => {
                sql.push("(").push(kind).push(if *wanted { " IS NOT NULL)" } else { " IS NULL)" });
            }
            Operator::Regex(_) => {
                sql.push("CASE ").push(kind).push(OTHERS).push(" WHEN 'text' THEN NULL ELSE 0 END");
            }
            Operator::Contains(text) | Operator::StartsWith(text) if text.contains('\0') => {
                sql.push("CASE ").push(kind).push(OTHERS).push(" WHEN 'text' THEN NULL ELSE 0 END");
            }
            Operator::Contains(text) => {
                sql.push("CASE ").push(kind).push(OTHERS).push(" WHEN 'text' THEN instr(").push(value).push(", ");
                sql.bind(text.clone()).push(") > 0 ELSE 0 END");
            }
            Operator::StartsWith(text) => {
                let characters = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
                sql.push("CASE ").push(kind).push(OTHERS).push(" WHEN 'text' THEN substr(").push(value).push(", 1, ");
                sql.bind(characters).push(") = ").bind(text.clone()).push(" ELSE 0 END");
            }
        }
    }

    fn scalar(sql: &mut Sql, found: &JsonValue, operand: &Scalar<'_>, comparison: Comparison, sign: &str) {
        let JsonValue { kind, value } = found;
        let null_holds = comparison.holds(std::cmp::Ordering::Equal);
        match operand {
            Scalar::Null => {
                let holds = if null_holds { "1" } else { "0" };
                sql.push("CASE coalesce(").push(kind).push(", 'null')").push(OTHERS);
                sql.push(" WHEN 'null' THEN ").push(holds).push(" ELSE 0 END");
            }
            Scalar::Bool(operand) => {
                sql.push("CASE ").push(kind).push(OTHERS);
                for (name, found) in [("'true'", true), ("'false'", false)] {
                    let order = found.cmp(operand);
                    let holds = if sign == " = " { order.is_eq() } else { comparison.holds(order) };
                    sql.push(" WHEN ").push(name).push(if holds { " THEN 1" } else { " THEN 0" });
                }
                sql.push(" ELSE 0 END");
            }
            Scalar::Int(_) | Scalar::Float(_) | Scalar::Text(_) => {
                let types: &[&str] = if matches!(operand, Scalar::Text(_)) { &["text"] } else { &["integer", "real"] };
                let Some(operand) = value_of(operand) else { return };
                // Mostly the first comparison decides.
                sql.push("CASE WHEN ").push(value).push(sign).bind(operand).push(" THEN CASE ").push(kind);
                for name in types {
                    sql.push(" WHEN '").push(name).push("' THEN 1");
                }
                sql.push(OTHERS).push(" ELSE 0 END");
                // Lists and objects are texts that start with their bracket; a text is greater than every number.
                if types.len() == 1 {
                    sql.push(" WHEN substr(").push(value).push(", 1, 1) IN ('[', '{') THEN NULL");
                } else if !sign.starts_with(" >") {
                    sql.push(" WHEN ").push(value).push(" >= '[' THEN CASE substr(").push(value);
                    sql.push(", 1, 1) WHEN '[' THEN NULL WHEN '{' THEN NULL ELSE 0 END");
                }
                sql.push(" ELSE 0 END");
            }
            Scalar::Instant(_) => {}
        }
    }

    fn entry(&mut self, field: &Field, operator: &Operator) {
        let name = field.steps()[0].as_str();
        let Some(column) = column(name) else { return self.unknown() };
        let class = field.entry_type().unwrap_or(EntryType::Text);
        let sql = &mut self.sql;
        match operator {
            Operator::Exists(wanted) => {
                sql.push(if *wanted { "1" } else { "0" });
            }
            Operator::Eq(operand) => match Scalar::of(operand) {
                None => self.unknown(),
                Some(Scalar::Null) => {
                    sql.push("(").push(column).push(" IS NULL)");
                }
                Some(operand) => match of_class(&operand, class) {
                    // An equality with NULL is not unknown here: a missing value is not equal.
                    Some(value) => {
                        sql.push("(").push(column).push(" IS ").bind(value).push(")");
                    }
                    None => {
                        sql.push("0");
                    }
                },
            },
            Operator::In(operands) => {
                if operands.len() > MOST_OPERANDS {
                    return self.unknown();
                }
                sql.push("(0");
                for operand in operands {
                    self.sql.push(" OR ");
                    self.entry(field, &Operator::Eq(operand.clone()));
                }
                self.sql.push(")");
            }
            Operator::Compare(comparison, operand) => match Scalar::of(operand) {
                None => self.unknown(),
                Some(Scalar::Null) if comparison.holds(std::cmp::Ordering::Equal) => {
                    sql.push("(").push(column).push(" IS NULL)");
                }
                Some(operand) => match of_class(&operand, class) {
                    Some(value) => {
                        sql.push("coalesce(").push(column).push(sign(*comparison)).bind(value).push(", 0)");
                    }
                    None => {
                        sql.push("0");
                    }
                },
            },
            Operator::Regex(_) => self.unknown(),
            Operator::Contains(text) | Operator::StartsWith(text) if text.contains('\0') => self.unknown(),
            _ if class != EntryType::Text => {
                sql.push("0");
            }
            Operator::Contains(text) => {
                sql.push("coalesce(instr(").push(column).push(", ").bind(text.clone()).push(") > 0, 0)");
            }
            Operator::StartsWith(text) => {
                let characters = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
                sql.push("coalesce(substr(").push(column).push(", 1, ").bind(characters).push(") = ");
                sql.bind(text.clone()).push(", 0)");
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
        "file_size" => "file_size",
        "size_mb" => "(file_size / 1048576.0)",
        "access_count" => "access_count",
        "inline" => "(locator IS NULL)",
        PINNED => PINNED_SQL,
        "created_at" | "created" => "created_at",
        "accessed_at" | "last_accessed" => "accessed_at",
        "expires_at" | "expires" => "expires_at",
        _ => return None,
    })
}

/// Whether an entry is pinned.
pub(crate) const PINNED_SQL: &str =
    "EXISTS (SELECT 1 FROM cache_pins WHERE cache_pins.cache_key = cache_entries.cache_key)";

/// An operand for a column of the class; `None` if its class is another one.
fn of_class(operand: &Scalar<'_>, class: EntryType) -> Option<Value> {
    Some(match (operand, class) {
        (Scalar::Text(text), EntryType::Text) => Value::Text(text.clone().into_owned()),
        (Scalar::Int(value), EntryType::Number) => Value::Integer(*value),
        (Scalar::Float(value), EntryType::Number) => Value::Real(*value),
        (Scalar::Bool(value), EntryType::Flag) => Value::Integer((*value).into()),
        (Scalar::Instant(micros), EntryType::Time) => Value::Integer(*micros),
        _ => return None,
    })
}
