//! The short text form of filters, for commands: `accuracy >= 0.9 and project = fraud`.

use std::fmt;

use super::field::Field;
use super::filter::{self, Comparison, Filter, MAX_DEPTH, Node, Operator};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::plain::tagged_json;
use crate::formats::plain::{DateTime, Value, Zone, calendar};

impl Filter {
    /// The filter of a text: JSON if it starts with a brace, else the short form of `docs/formats/filters.md`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]. The message has three lines: what is wrong, the text, and a caret under the place.
    pub fn parse(text: &str) -> Result<Self> {
        if text.trim_start().starts_with('{') {
            return Self::from_json(text);
        }
        let mut parser = Parser { text, at: 0 };
        let node = parser.or(0)?;
        parser.skip_blanks();
        if parser.at < text.len() {
            return Err(parser.error("`and`, `or` or the end is expected here"));
        }
        Ok(node.into())
    }
}

struct Parser<'a> {
    text: &'a str,
    /// Bytes.
    at: usize,
}

/// The operators in words and signs; longer ones before those that they start with.
const OPERATORS: [&str; 15] =
    ["==", "!=", "<=", ">=", "!~", "=", "<", ">", "~", "in", "not", "contains", "startswith", "exists", "missing"];

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn error(&self, what: &str) -> Error {
        self.error_at(self.at, what)
    }

    fn error_at(&self, at: usize, what: &str) -> Error {
        // One line, whatever the text has in it.
        let shown = |text: &str| text.replace(|c: char| c.is_control(), " ");
        let before = shown(&self.text[..at]).chars().count();
        let message = format!("{what}\n  {}\n  {:before$}^", shown(self.text), "");
        Error::new(ErrorKind::InvalidInput, message)
    }

    /// Takes a word or a sign, if it is next.
    fn take(&mut self, wanted: &str) -> bool {
        self.skip_blanks();
        let Some(rest) = self.rest().strip_prefix(wanted) else { return false };
        let is_word = wanted.ends_with(|c: char| c.is_ascii_alphabetic());
        if is_word && rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.') {
            return false;
        }
        self.at += wanted.len();
        true
    }

    fn or(&mut self, depth: usize) -> Result<Node> {
        let mut nodes = vec![self.and(depth)?];
        while self.take("or") {
            nodes.push(self.and(depth)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Or(nodes) })
    }

    fn and(&mut self, depth: usize) -> Result<Node> {
        let mut nodes = vec![self.not(depth)?];
        while self.take("and") {
            nodes.push(self.not(depth)?);
        }
        Ok(Filter::simplest(nodes))
    }

    fn not(&mut self, depth: usize) -> Result<Node> {
        if depth > MAX_DEPTH {
            return Err(self.error(&format!("it is nested deeper than {MAX_DEPTH} levels")));
        }
        let start = self.at;
        if self.take("not") {
            self.skip_blanks();
            // A field may be called `not`.
            if !self.rest().starts_with(['=', '!', '<', '>', '~']) {
                return Ok(Node::Not(Box::new(self.not(depth + 1)?)));
            }
            self.at = start;
        }
        if self.take("(") {
            let node = self.or(depth + 1)?;
            if !self.take(")") {
                return Err(self.error("a closing parenthesis is missing"));
            }
            return Ok(node);
        }
        self.condition()
    }

    fn condition(&mut self) -> Result<Node> {
        self.skip_blanks();
        let start = self.at;
        let name = self.field()?;
        let field = Field::parse(&name).map_err(|error| self.placed(start, &error))?;
        self.skip_blanks();
        let place = self.at;
        let Some(sign) = OPERATORS.into_iter().find(|operator| self.take(operator)) else {
            let what = format!(
                "an operator is expected after {name}: = != < <= > >= ~ !~ in contains startswith exists missing"
            );
            return Err(self.error(&what));
        };
        let mut negated = matches!(sign, "!=" | "!~");
        let sign = if sign == "not" {
            negated = true;
            if !self.take("in") {
                return Err(self.error("`in` is expected after `not`"));
            }
            "in"
        } else {
            sign
        };
        let value_at = {
            self.skip_blanks();
            self.at
        };
        let operator = match sign {
            "exists" => Operator::Exists(true),
            "missing" => Operator::Exists(false),
            "in" => match self.value()? {
                Value::List(items) => Operator::In(items),
                _ => return Err(self.error_at(value_at, "a list in brackets is expected after `in`")),
            },
            "~" | "!~" => filter::compile(&self.string(sign)?, "").map_err(|error| self.placed(value_at, &error))?,
            "contains" => Operator::Contains(self.string(sign)?),
            "startswith" => Operator::StartsWith(self.string(sign)?),
            "<" => Operator::Compare(Comparison::Less, self.value()?),
            "<=" => Operator::Compare(Comparison::LessOrEqual, self.value()?),
            ">" => Operator::Compare(Comparison::Greater, self.value()?),
            ">=" => Operator::Compare(Comparison::GreaterOrEqual, self.value()?),
            _ => Operator::Eq(self.value()?),
        };
        let at = if matches!(sign, "exists" | "missing") { place } else { value_at };
        let node = Node::test(field, operator).map_err(|error| self.placed(at, &error))?;
        Ok(if negated { Node::Not(Box::new(node)) } else { node })
    }

    /// An error of another parser, with its place in the text.
    fn placed(&self, at: usize, error: &Error) -> Error {
        let placed = self.error_at(at, &error.to_string());
        match error.hint() {
            Some(hint) => placed.with_hint(hint.to_owned()),
            None => placed,
        }
    }

    fn field(&mut self) -> Result<String> {
        if self.rest().starts_with(['"', '\'']) {
            return self.quoted();
        }
        let rest = self.rest();
        let mut literal = false;
        let end = rest
            .char_indices()
            .find(|(_, c)| {
                let ends = !literal && (c.is_whitespace() || "=!<>~()[]{},\"'".contains(*c));
                literal = !literal && *c == '\\';
                ends
            })
            .map_or(rest.len(), |(end, _)| end);
        if end == 0 {
            return Err(self.error("the name of a field is expected here"));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }

    /// A string in quotes, with JSON's escapes.
    fn quoted(&mut self) -> Result<String> {
        let start = self.at;
        let quote = self.rest().chars().next().unwrap_or('"');
        let mut json = String::from('"');
        let mut rest = self.text[start + 1..].char_indices();
        while let Some((i, c)) = rest.next() {
            match c {
                '\\' => match rest.next() {
                    Some((_, '\'')) => json.push('\''),
                    Some((_, escaped)) => json.extend(['\\', escaped]),
                    None => break,
                },
                '"' if quote == '\'' => json.push_str("\\\""),
                c if c == quote => {
                    json.push('"');
                    self.at = start + 1 + i + 1;
                    return serde_json::from_str(&json)
                        .map_err(|_| self.error_at(start, "the string has an invalid escape"));
                }
                c => json.push(c),
            }
        }
        Err(self.error_at(start, "the string does not end"))
    }

    /// The operand of an operator for strings: whatever it looks like, it is one.
    fn string(&mut self, operator: &str) -> Result<String> {
        self.skip_blanks();
        if self.rest().starts_with(['"', '\'']) {
            return self.quoted();
        }
        let word = self.word();
        if word.is_empty() {
            return Err(self.error(&format!("a string is expected after {operator}")));
        }
        Ok(word.to_owned())
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || ",()[]{}\"'".contains(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn value(&mut self) -> Result<Value> {
        self.skip_blanks();
        let start = self.at;
        match self.rest().chars().next() {
            Some('"' | '\'') => self.quoted().map(Value::Str),
            Some('[') => self.list(),
            Some('{') => self.json(),
            _ => {
                let word = self.word();
                if word.is_empty() {
                    return Err(self.error("a value is expected here"));
                }
                if self.rest().starts_with('(') && matches!(word, "date" | "datetime") {
                    return self.time(start, word);
                }
                Ok(word_value(word))
            }
        }
    }

    fn list(&mut self) -> Result<Value> {
        let start = self.at;
        self.at += 1;
        let mut items = Vec::new();
        loop {
            if self.take("]") {
                return Ok(Value::List(items));
            }
            if !items.is_empty() && !self.take(",") {
                let what =
                    if self.rest().is_empty() { "the list does not end" } else { "a comma or `]` is expected here" };
                return Err(if self.rest().is_empty() { self.error_at(start, what) } else { self.error(what) });
            }
            self.skip_blanks();
            if self.rest().starts_with(['[', '{']) {
                return Err(self.error("a list of lists is written as JSON in braces"));
            }
            items.push(self.value()?);
        }
    }

    fn json(&mut self) -> Result<Value> {
        let start = self.at;
        let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter::<serde_json::Value>();
        let parsed = values.next();
        let end = values.byte_offset();
        match parsed {
            Some(Ok(json)) => {
                self.at += end;
                tagged_json::value_of(json).map_err(|error| self.placed(start, &error))
            }
            _ => Err(self.error_at(start, "this is not valid JSON")),
        }
    }

    /// `date(2026-11-20)` or `datetime(2026-11-20T12:00:00Z)`.
    fn time(&mut self, start: usize, kind: &str) -> Result<Value> {
        self.at += 1;
        let Some((content, _)) = self.rest().split_once(')') else {
            return Err(self.error_at(start, "a closing parenthesis is missing"));
        };
        self.at += content.len() + 1;
        let text = content.trim().trim_matches(['"', '\'']);
        let value = match (kind, calendar::parse_iso(text)) {
            ("date", _) => calendar::parse_date(text).map(Value::Date),
            (_, Some((micros, offset))) => {
                let zone = offset.map_or(Zone::Naive, |offset| Zone::Fixed { offset, name: None });
                Some(Value::DateTime(DateTime { micros, fold: false, zone }))
            }
            _ => None,
        };
        value.ok_or_else(|| self.error_at(start, &format!("{text:?} is no {kind} in ISO 8601")))
    }
}

/// The value of a word without quotes.
fn word_value(word: &str) -> Value {
    match word {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::None,
        // JSON's numbers: `007` and `1.` are strings.
        _ => match serde_json::from_str::<serde_json::Number>(word) {
            Ok(number) => Value::from(serde_json::Value::Number(number)),
            Err(_) => Value::Str(word.to_owned()),
        },
    }
}

/// The short form, which [`Filter::parse`] reads again if all values have one.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.node(), 0)
    }
}

/// `above`: how tightly the context binds: 0 nothing, 1 or, 2 and, 3 not.
fn write(f: &mut fmt::Formatter<'_>, node: &Node, above: u8) -> fmt::Result {
    let mut joined = |nodes: &[Node], word: &str, empty: &str, binds: u8| {
        if nodes.is_empty() {
            return f.write_str(empty);
        }
        if above >= binds {
            f.write_str("(")?;
        }
        for (i, node) in nodes.iter().enumerate() {
            if i > 0 {
                write!(f, " {word} ")?;
            }
            write(f, node, binds)?;
        }
        if above >= binds { f.write_str(")") } else { Ok(()) }
    };
    match node {
        Node::And(nodes) => joined(nodes, "and", "everything", 2),
        Node::Or(nodes) => joined(nodes, "or", "nothing", 1),
        Node::Not(node) => {
            f.write_str("not ")?;
            write(f, node, 3)
        }
        Node::Test(field, operator) => {
            let name = field.to_string();
            let plain = name.chars().all(|c| c.is_alphanumeric() || "_.\\-".contains(c)) && name != "not";
            if plain {
                f.write_str(&name)?;
            } else {
                write!(f, "{}", text(&name))?;
            }
            match operator {
                Operator::Eq(value) => write!(f, " = {}", shown(value)),
                Operator::In(values) => {
                    let items: Vec<String> = values.iter().map(shown).collect();
                    write!(f, " in [{}]", items.join(", "))
                }
                Operator::Compare(comparison, value) => {
                    let sign = match comparison {
                        Comparison::Greater => ">",
                        Comparison::GreaterOrEqual => ">=",
                        Comparison::Less => "<",
                        Comparison::LessOrEqual => "<=",
                    };
                    write!(f, " {sign} {}", shown(value))
                }
                Operator::Exists(true) => f.write_str(" exists"),
                Operator::Exists(false) => f.write_str(" missing"),
                Operator::Regex(expression) => write!(f, " ~ {}", text(expression.as_str())),
                Operator::Contains(value) => write!(f, " contains {}", text(value)),
                Operator::StartsWith(value) => write!(f, " startswith {}", text(value)),
            }
        }
        Node::Invalid(error) => write!(f, "<{error}>"),
    }
}

fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Date(days) => format!("date({})", calendar::format_date(*days).unwrap_or_default()),
        Value::DateTime(DateTime { micros, zone, .. }) if !matches!(zone, Zone::Named(_)) => {
            format!("datetime({}{})", calendar::format_datetime(*micros).unwrap_or_default(), zone.to_text())
        }
        value => match tagged_json::json_of(value) {
            Ok(json) => json.to_string(),
            Err(_) => format!("<{}>", value.type_name()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_is_the_mapping() {
        for (text, json) in [
            ("a = 1", r#"{"a": 1}"#),
            ("a==1.0 and b != x", r#"{"a": 1.0, "b": {"$ne": "x"}}"#),
            ("a.b.0 >= -1e3", r#"{"a.b.0": {"$gte": -1e3}}"#),
            (
                "a in [x, \"y z\", 3, null] or not b exists",
                r#"{"$or": [{"a": {"$in": ["x", "y z", 3, null]}}, {"$not": {"b": {"$exists": true}}}]}"#,
            ),
            ("a not in []", r#"{"a": {"$nin": []}}"#),
            (
                "(a = 1 or b = 2) and c missing",
                r#"{"$and": [{"$or": [{"a": 1}, {"b": 2}]}, {"c": {"$exists": false}}]}"#,
            ),
            (
                r"a ~ ^x\d+$ and a !~ 'y\\.'",
                r#"{"$and": [{"a": {"$regex": "^x\\d+$"}}, {"a": {"$not": {"$regex": "y\\."}}}]}"#,
            ),
            ("a contains 5 and b startswith 'it''", r""),
            ("'my field' = true", r#"{"my field": true}"#),
            ("order = 1 and android = 2", r#"{"order": 1, "android": 2}"#),
            ("not = 1", r#"{"not": 1}"#),
            ("a = date(2026-11-20)", r#"{"a": {"$eq": {"$date": "2026-11-20"}}}"#),
            ("a < datetime(2026-11-20T12:00Z)", r#"{"a": {"$lt": {"$datetime": "2026-11-20T12:00:00+00:00"}}}"#),
            ("a = 2026-11-20", r#"{"a": "2026-11-20"}"#),
            ("a = {\"b\": [1, [2]]}", r#"{"a": {"b": [1, [2]]}}"#),
            ("params.p = \"\\u00e9'\"", r#"{"params.p": "é'"}"#),
        ] {
            if json.is_empty() {
                Filter::parse(text).expect_err(text);
                continue;
            }
            let (short, long) = (Filter::parse(text).expect(text), Filter::from_json(json).expect(json));
            assert_eq!(short.to_string(), long.to_string(), "{text}");
            assert_eq!(Filter::parse(json).expect(json).to_string(), long.to_string());
            assert_eq!(Filter::parse(&short.to_string()).expect("again").to_string(), short.to_string(), "{short}");
        }
    }

    #[test]
    fn a_caret_stands_under_the_mistake() {
        for (text, place) in [
            ("", 0),
            ("accuracy 5", 9),
            ("accuracy >= ", 12),
            ("a = 1 nd b = 2", 6),
            ("(a = 1", 6),
            ("a in 5", 5),
            ("a in [1 2]", 8),
            ("a in [1,", 8),
            ("é = \"x", 4),
            ("entry.filesize > 5", 0),
            ("entry.created_at > yesterday", 19),
            ("a ~ '('", 4),
            ("a > [1]", 4),
            ("a = {\"x\": }", 4),
            ("a = date(x)", 4),
            ("a = 1 and", 9),
        ] {
            let error = Filter::parse(text).expect_err(text).to_string();
            let lines: Vec<&str> = error.lines().collect();
            let caret = lines.last().expect("lines").chars().count() - 3;
            assert_eq!(caret, place, "{error}");
            assert!(lines[lines.len() - 2].ends_with(text), "{error}");
        }
        Filter::parse(&"(".repeat(100_000)).expect_err("deep");
        Filter::parse(&"not ".repeat(100_000)).expect_err("deep");
    }
}
