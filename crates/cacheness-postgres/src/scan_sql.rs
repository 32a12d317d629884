//! Reading a user's statement: where its parameters are, where it ends, which names are in it.
//!
//! PostgreSQL parses it. What is read here is only what the protocol does not have: `?` and `:name` in place of `$1`.

use cacheness_core::{Error, ErrorKind, Result};

/// A statement with the parameters of PostgreSQL.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Scanned {
    pub(crate) text: String,
    /// What each `$n` stands for, from `$1` on.
    pub(crate) parameters: Vec<Parameter>,
    /// The names in it, in lower case unless they are quoted.
    pub(crate) names: Vec<String>,
}

/// A parameter as the user wrote it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Parameter {
    /// By its number, from 0 on.
    Number(usize),
    /// By its name.
    Named(String),
}

fn wrong(what: &str, hint: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, what.to_owned()).with_hint(hint)
}

fn unfinished(what: &str) -> Error {
    wrong(&format!("the query is wrong: {what} is not finished"), "close it, or pass values as parameters")
}

/// Reads a statement.
pub(crate) fn scan(text: &str) -> Result<Scanned> {
    if text.contains('\0') {
        return Err(wrong("the query has a NUL character", "pass values as parameters"));
    }
    let mut scan = Scan { rest: text, out: Scanned::default(), next: 0, ended: false };
    while let Some(first) = scan.rest.chars().next() {
        scan.token(first)?;
    }
    Ok(scan.out)
}

struct Scan<'a> {
    rest: &'a str,
    out: Scanned,
    /// The number of the next `?`.
    next: usize,
    /// After a semicolon.
    ended: bool,
}

impl<'a> Scan<'a> {
    /// Takes `length` bytes as they are.
    fn keep(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.out.text.push_str(taken);
        taken
    }

    fn token(&mut self, first: char) -> Result<()> {
        let rest = self.rest;
        if first.is_whitespace() {
            self.keep(first.len_utf8());
            return Ok(());
        }
        if rest.starts_with("--") {
            let end = rest.find('\n').unwrap_or(rest.len());
            self.rest = &rest[end..];
            return Ok(());
        }
        if rest.starts_with("/*") {
            let end = comment(rest).ok_or_else(|| unfinished("a comment"))?;
            self.rest = &rest[end..];
            self.out.text.push(' ');
            return Ok(());
        }
        if self.ended {
            return Err(wrong(
                "queries only read: a second statement is refused",
                "write one SELECT that reads the views entries or cache_entries",
            ));
        }
        match first {
            '\'' => {
                let escapes = self.out.text.ends_with(['e', 'E']) && !before_last(&self.out.text).is_some_and(is_word);
                let end = string(rest, escapes).ok_or_else(|| unfinished("a text"))?;
                self.keep(end);
            }
            '"' => {
                let end = quoted(rest).ok_or_else(|| unfinished("a name"))?;
                if self.out.text.ends_with(['u', 'U', '&']) && self.out.text.ends_with('&') {
                    return Err(wrong("names with U& are refused", "write the name as it is"));
                }
                let name = self.keep(end);
                self.out.names.push(name[1..end - 1].replace("\"\"", "\""));
            }
            ';' => {
                self.rest = &rest[1..];
                self.ended = true;
            }
            '$' => self.dollar()?,
            '?' => {
                let digits = digits(&rest[1..]);
                if let Some(after) = rest.strip_prefix("??") {
                    // The operator of JSON.
                    self.rest = after;
                    self.out.text.push('?');
                } else if digits > 0 {
                    let number: usize = rest[1..=digits].parse().unwrap_or(0);
                    self.rest = &rest[1 + digits..];
                    self.numbered(number)?;
                } else {
                    self.rest = &rest[1..];
                    let number = self.next;
                    self.next += 1;
                    self.parameter(Parameter::Number(number));
                }
            }
            ':' if rest.starts_with("::") || rest.starts_with(":=") => drop(self.keep(2)),
            ':' => {
                let name: &str = &rest[1..1 + word(&rest[1..])];
                if name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                    self.rest = &rest[1 + name.len()..];
                    self.parameter(Parameter::Named(name.to_owned()));
                } else {
                    self.keep(1);
                }
            }
            c if c.is_alphabetic() || c == '_' => {
                let name = self.keep(word(rest));
                self.out.names.push(name.to_lowercase());
            }
            c if c.is_ascii_digit() => drop(self.keep(word(rest))),
            c => drop(self.keep(c.len_utf8())),
        }
        Ok(())
    }

    /// `$1`, or a text between dollar signs.
    fn dollar(&mut self) -> Result<()> {
        let rest = self.rest;
        let digits = digits(&rest[1..]);
        if digits > 0 {
            let number: usize = rest[1..=digits].parse().unwrap_or(0);
            self.rest = &rest[1 + digits..];
            return self.numbered(number);
        }
        let length = word(&rest[1..]);
        if rest.as_bytes().get(1 + length) != Some(&b'$') {
            self.keep(1);
            return Ok(());
        }
        let tag = &rest[..length + 2];
        let end = rest[tag.len()..].find(tag).ok_or_else(|| unfinished("a text"))?;
        self.keep(tag.len() + end + tag.len());
        Ok(())
    }

    fn numbered(&mut self, number: usize) -> Result<()> {
        let Some(number) = number.checked_sub(1) else {
            return Err(wrong("the query is wrong: parameters are numbered from 1", "write ?1 for the first value"));
        };
        self.next = self.next.max(number + 1);
        self.parameter(Parameter::Number(number));
        Ok(())
    }

    fn parameter(&mut self, parameter: Parameter) {
        let known = self.out.parameters.iter().position(|known| *known == parameter);
        let place = known.unwrap_or_else(|| {
            self.out.parameters.push(parameter);
            self.out.parameters.len() - 1
        });
        self.out.text.push_str(&format!("${}", place + 1));
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

fn before_last(text: &str) -> Option<char> {
    text.chars().rev().nth(1)
}

fn word(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

fn digits(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())
}

/// The length of the comment that the text begins with; comments can be in comments.
fn comment(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// The length of the text in single quotation marks.
fn string(text: &str, escapes: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// The length of the name in double quotation marks.
fn quoted(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' if bytes.get(at + 1) == Some(&b'"') => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(query: &str) -> String {
        scan(query).unwrap().text
    }

    #[test]
    fn parameters() {
        let scanned = scan("SELECT ?, ?2, :name, :name, ?, a::text, $1, '?' || E'\\'?' , \"?\" -- ?").unwrap();
        assert_eq!(scanned.text, "SELECT $1, $2, $3, $3, $4, a::text, $1, '?' || E'\\'?' , \"?\" ");
        let expected =
            [Parameter::Number(0), Parameter::Number(1), Parameter::Named("name".into()), Parameter::Number(2)];
        assert_eq!(scanned.parameters, expected);
        assert_eq!(text("SELECT $$ ? $$, $a$ :x $a$, m ?? 'k', x[1:2]"), "SELECT $$ ? $$, $a$ :x $a$, m ? 'k', x[1:2]");
        assert_eq!(text("SELECT $"), "SELECT $");
        assert_eq!(text("SELECT 'é' || $é"), "SELECT 'é' || $é");
    }

    #[test]
    fn the_end_of_a_statement() {
        assert_eq!(text("SELECT 1 ; -- done\n /* /* really */ */ "), "SELECT 1  \n   ");
        for query in
            ["SELECT 1; SELECT 2", "SELECT 1; ;", "SELECT 'a", "SELECT \"a", "/* a", "SELECT $a$ b", "\0", "SELECT ?0"]
        {
            assert_eq!(scan(query).unwrap_err().kind(), ErrorKind::InvalidInput, "{query}");
        }
    }

    #[test]
    fn names_are_found() {
        assert_eq!(
            scan("SELECT A.b, \"C\"\"d\"(1) FROM x1").unwrap().names,
            ["select", "a", "b", "C\"d", "from", "x1"]
        );
    }
}
