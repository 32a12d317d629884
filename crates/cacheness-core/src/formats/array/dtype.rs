//! NumPy's array-protocol type strings and structured type descriptions: how many bytes an item has, and the small part
//! of Python's literal syntax that they and the header of `.npy` files are written in.

use crate::error::{Error, ErrorKind, Result};

/// The maximum nesting of literals; structured dtypes of real programs have three or four levels.
const MAX_DEPTH: usize = 32;

/// The maximum length of the text of a dtype: half of the longest header that readers accept.
const MAX_TEXT: usize = 512 << 10;

/// A Python literal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Str(String),
    Int(i64),
    Bool(bool),
    None,
    Tuple(Vec<Literal>),
    List(Vec<Literal>),
    Dict(Vec<Pair>),
}

/// An item of a dictionary, with the text that its value was written as.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) key: Literal,
    pub(super) value: Literal,
    pub(super) text: String,
}

fn bad(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Serialization, why.to_string())
}

/// Parses one Python literal that takes the whole of `text`, spaces apart.
pub(super) fn parse_literal(text: &str) -> Result<Literal> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.skip_space();
    if parser.at == text.len() { Ok(value) } else { Err(parser.unexpected()) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn unexpected(&self) -> Error {
        match self.text[self.at..].chars().next() {
            Some(c) => bad(format_args!("unexpected {c:?} at character {} of its description", self.at)),
            None => bad("its description ends too early"),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.text[self.at..].starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn value(&mut self, depth: usize) -> Result<Literal> {
        if depth > MAX_DEPTH {
            return Err(bad(format_args!("its description is nested deeper than {MAX_DEPTH} levels")));
        }
        self.skip_space();
        match self.peek() {
            Some(b'\'' | b'"') => self.string().map(Literal::Str),
            Some(b'-' | b'0'..=b'9') => self.integer().map(Literal::Int),
            Some(b'(') => {
                self.at += 1;
                let (mut items, comma) = self.items(b')', depth)?;
                // Parentheses without a comma only group.
                Ok(if items.len() == 1 && !comma { items.remove(0) } else { Literal::Tuple(items) })
            }
            Some(b'[') => {
                self.at += 1;
                self.items(b']', depth).map(|(items, _)| Literal::List(items))
            }
            Some(b'{') => {
                self.at += 1;
                self.dict(depth)
            }
            _ if self.word("True") => Ok(Literal::Bool(true)),
            _ if self.word("False") => Ok(Literal::Bool(false)),
            _ if self.word("None") => Ok(Literal::None),
            _ => Err(self.unexpected()),
        }
    }

    /// The items up to `end`, and whether a comma was among them.
    fn items(&mut self, end: u8, depth: usize) -> Result<(Vec<Literal>, bool)> {
        let mut items = Vec::new();
        let mut comma = false;
        while !self.eat(end) {
            if !items.is_empty() && !comma {
                return Err(self.unexpected());
            }
            items.push(self.value(depth + 1)?);
            let more = self.eat(b',');
            comma |= more;
            if !more {
                if self.eat(end) {
                    break;
                }
                return Err(self.unexpected());
            }
        }
        Ok((items, comma))
    }

    fn dict(&mut self, depth: usize) -> Result<Literal> {
        let mut pairs = Vec::new();
        while !self.eat(b'}') {
            let key = self.value(depth + 1)?;
            if !self.eat(b':') {
                return Err(self.unexpected());
            }
            self.skip_space();
            let start = self.at;
            let value = self.value(depth + 1)?;
            pairs.push(Pair { key, value, text: self.text[start..self.at].to_owned() });
            if !self.eat(b',') {
                if self.eat(b'}') {
                    break;
                }
                return Err(self.unexpected());
            }
        }
        Ok(Literal::Dict(pairs))
    }

    fn integer(&mut self) -> Result<i64> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        let digits = &self.text[start..self.at];
        let number =
            digits.parse().map_err(|_| bad(format_args!("{digits} in its description is not a valid number")))?;
        // Python 2 wrote long integers with a suffix.
        self.at += usize::from(self.peek() == Some(b'L'));
        Ok(number)
    }

    fn string(&mut self) -> Result<String> {
        let quote = if self.peek() == Some(b'"') { '"' } else { '\'' };
        let mut out = String::new();
        let mut chars = self.text[self.at + 1..].char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                _ if c == quote => {
                    self.at += 1 + i + 1;
                    return Ok(out);
                }
                '\\' => {
                    let (_, escape) = chars.next().ok_or_else(|| bad("its description ends inside a string"))?;
                    let digits = match escape {
                        'n' => {
                            out.push('\n');
                            continue;
                        }
                        'r' => {
                            out.push('\r');
                            continue;
                        }
                        't' => {
                            out.push('\t');
                            continue;
                        }
                        '\\' | '\'' | '"' => {
                            out.push(escape);
                            continue;
                        }
                        'x' => 2,
                        'u' => 4,
                        'U' => 8,
                        _ => return Err(bad("unknown escape sequence in its description")),
                    };
                    let mut code = 0u32;
                    for _ in 0..digits {
                        let digit = chars.next().and_then(|(_, c)| c.to_digit(16));
                        let digit = digit.ok_or_else(|| bad("broken escape sequence in its description"))?;
                        code = code.checked_mul(16).map_or(u32::MAX, |code| code | digit);
                    }
                    out.push(char::from_u32(code).ok_or_else(|| bad("its description is not valid Unicode"))?);
                }
                c => out.push(c),
            }
        }
        Err(bad("its description ends inside a string"))
    }
}

/// Bytes of one item of `dtype`: an array-protocol type string, or the `repr` of the `descr` of a structured dtype.
///
/// A dtype with Python objects, or an unknown one, is an error of kind `Unsupported`.
pub fn itemsize_of(dtype: &str) -> Result<usize> {
    if dtype.len() > MAX_TEXT {
        return Err(bad(format_args!("the description of its dtype has {} bytes", dtype.len())));
    }
    if dtype.starts_with('[') { descr_size(&parse_literal(dtype)?, 0) } else { simple_size(dtype) }
}

/// Bytes of one item of a parsed `descr`.
pub(super) fn descr_size(descr: &Literal, depth: usize) -> Result<usize> {
    let too_large = || bad("its dtype is too large");
    if depth > MAX_DEPTH {
        return Err(bad("its dtype is nested too deeply"));
    }
    let fields = match descr {
        Literal::Str(simple) => return simple_size(simple),
        Literal::List(fields) => fields,
        _ => return Err(bad("its dtype is described in an unknown way")),
    };
    let mut total = 0usize;
    for field in fields {
        let Literal::Tuple(parts) = field else {
            return Err(bad("a field of its dtype is not a tuple"));
        };
        let (format, shape) = match parts.as_slice() {
            [Literal::Str(_) | Literal::Tuple(_), format] => (format, &[][..]),
            [Literal::Str(_) | Literal::Tuple(_), format, Literal::Tuple(shape)] => (format, shape.as_slice()),
            [Literal::Str(_) | Literal::Tuple(_), format, shape @ Literal::Int(_)] => {
                (format, std::slice::from_ref(shape))
            }
            _ => return Err(bad("a field of its dtype is described in an unknown way")),
        };
        let mut size = descr_size(format, depth + 1)?;
        for extent in shape {
            let Literal::Int(extent) = extent else {
                return Err(bad("a field of its dtype has an invalid shape"));
            };
            let extent = usize::try_from(*extent).map_err(|_| bad("a field of its dtype has a negative extent"))?;
            size = size.checked_mul(extent).ok_or_else(too_large)?;
        }
        total = total.checked_add(size).ok_or_else(too_large)?;
    }
    Ok(total)
}

fn simple_size(dtype: &str) -> Result<usize> {
    let unknown = || {
        Error::new(ErrorKind::Unsupported, format!("its dtype {dtype:?} is unknown"))
            .with_hint("write dtypes as NumPy's array-protocol strings, such as <f8 or >M8[ns]")
    };
    let rest = dtype.strip_prefix(['<', '>', '|', '=']).unwrap_or(dtype);
    let mut chars = rest.chars();
    let kind = chars.next().ok_or_else(unknown)?;
    let rest = chars.as_str();
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = rest.split_at(digits);
    let count: usize = count.parse().map_err(|_| unknown())?;
    // Only dates and times have a unit, such as [ns] or [25s].
    let unit_fits = match kind {
        'M' | 'm' => unit.is_empty() || (unit.starts_with('[') && unit.ends_with(']') && !unit.contains(['\'', '\\'])),
        _ => unit.is_empty(),
    };
    let size_fits = match kind {
        'b' => count == 1,
        'i' | 'u' => matches!(count, 1 | 2 | 4 | 8 | 16),
        'f' => matches!(count, 2 | 4 | 8 | 10 | 12 | 16),
        'c' => matches!(count, 8 | 16 | 20 | 24 | 32),
        'M' | 'm' => count == 8,
        'S' | 'a' | 'V' | 'U' => true,
        _ => false,
    };
    if !unit_fits || !size_fits {
        return Err(unknown());
    }
    if kind == 'U' { count.checked_mul(4).ok_or_else(unknown) } else { Ok(count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_simple_types() {
        for (dtype, size) in [
            ("<f8", 8),
            ("|b1", 1),
            (">i4", 4),
            ("<U5", 20),
            ("|S7", 7),
            ("|V0", 0),
            ("<M8[ns]", 8),
            ("<m8[25s]", 8),
            ("<m8", 8),
            ("<c16", 16),
            ("<f2", 2),
            ("<f16", 16),
        ] {
            assert_eq!(itemsize_of(dtype).unwrap(), size, "{dtype}");
        }
        for dtype in ["", "<", "|O8", "<f3", "<f8x", "f", "<U99999999999999999999", "<b2", "<M8[n's]", "T16", "<f-8"] {
            assert_eq!(itemsize_of(dtype).unwrap_err().kind(), ErrorKind::Unsupported, "{dtype}");
        }
        assert!(itemsize_of(&format!("<U{}", usize::MAX)).is_err());
        assert_eq!(itemsize_of(&format!("[('{}', '<i4')]", "x".repeat(500_000))).unwrap(), 4);
        assert!(itemsize_of(&format!("[('{}', '<i4')]", "x".repeat(600_000))).is_err());
    }

    #[test]
    fn sizes_of_structured_types() {
        assert_eq!(itemsize_of("[('a', '<i4'), ('', '|V4'), ('b', '<f8', (2, 3))]").unwrap(), 56);
        assert_eq!(itemsize_of(r#"[(('a title', "it's"), '<i4'), ('é', [('x', '<U2')], (3,))]"#).unwrap(), 28);
        assert_eq!(itemsize_of("[]").unwrap(), 0);
        for dtype in ["[('a', '|O8')]", "[('a',)]", "[('a', '<i4'", "['<i4']", "[('a', '<i4', (-1,))]", "[1]"] {
            assert!(itemsize_of(dtype).is_err(), "{dtype}");
        }
        assert!(itemsize_of("[('a', '<i4', (9223372036854775807, 9223372036854775807))]").is_err());
    }

    #[test]
    fn literals() {
        assert_eq!(parse_literal("( 1 )").unwrap(), Literal::Int(1));
        assert_eq!(parse_literal("(1,)").unwrap(), Literal::Tuple(vec![Literal::Int(1)]));
        assert_eq!(parse_literal("()").unwrap(), Literal::Tuple(vec![]));
        assert_eq!(parse_literal("(3L, -4)").unwrap(), Literal::Tuple(vec![Literal::Int(3), Literal::Int(-4)]));
        assert_eq!(parse_literal(r"'\xe9\u00e9\\\''").unwrap(), Literal::Str("éé\\'".into()));
        for text in ["(1", "(,)", "[1 2]", "{1}", "'a", "True False", "9223372036854775808", "{'a': }", r"'\ud800'", ""]
        {
            assert!(parse_literal(text).is_err(), "{text}");
        }
        assert!(parse_literal(&"[".repeat(100_000)).is_err());
    }
}
