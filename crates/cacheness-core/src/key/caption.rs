//! Parameters as one readable line: `module.function(origin="EWR", window=3)`, or `fold=3, model="xgboost"`.

use std::fmt::Write;

use super::Shape;
use super::render::render_as;
use crate::error::Result;

/// Characters of a caption.
const LINE: usize = 200;
/// Characters of one text in it.
const TEXT: usize = 60;
/// Items of one collection in it.
const ITEMS: usize = 8;

/// The name of the parameter that holds the name of a decorated function.
pub(crate) const FUNCTION: &str = "__function__";
/// The name of the parameter that holds the arguments of a decorated function.
pub(crate) const ARGUMENTS: &str = "arguments";

/// A description of an entry by its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    /// The name of the decorated function (`module.function`).
    pub function: Option<String>,
    /// The call of the function, or the parameters with their names. At most 200 characters, without control characters.
    pub call: String,
}

impl Caption {
    /// The caption of parameters. Arguments are in the order of the encoding, not of the function.
    ///
    /// # Errors
    /// As [`decode`](super::decode).
    pub fn of_params(encoding: &[u8]) -> Result<Self> {
        let mut params = match render_as(encoding, &mut Pieces)? {
            Piece::Object(params) => params,
            other => return Ok(Self { function: None, call: Line::of(|line| line.piece(&other)) }),
        };
        let mut take = |name: &str| params.iter().position(|(known, _)| known == name).map(|at| params.remove(at).1);
        Ok(match (take(FUNCTION), take(ARGUMENTS)) {
            (Some(Piece::Text(function)), Some(arguments)) => {
                let call = Line::of(|line| {
                    line.escaped(&function, usize::MAX, false);
                    line.call(&arguments);
                });
                Self { function: Some(function), call }
            }
            (function, arguments) => {
                let given = [(FUNCTION, function), (ARGUMENTS, arguments)];
                params.extend(given.into_iter().filter_map(|(name, piece)| Some((name.to_owned(), piece?))));
                Self { function: None, call: Line::of(|line| line.fields(&params)) }
            }
        })
    }

    /// The caption of an entry with a name.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        Self { function: None, call: Line::of(|line| line.escaped(name, usize::MAX, false)) }
    }
}

/// A value to write into a line.
enum Piece {
    /// Written in quotation marks.
    Text(String),
    /// Written unchanged.
    Bare(String),
    List(Vec<Piece>),
    Object(Vec<(String, Piece)>),
    /// A value of a type with this name.
    Named(String, Box<Piece>),
}

struct Pieces;

impl Shape for Pieces {
    type Shown = Piece;
    type Name = String;

    fn null(&mut self) -> Piece {
        Piece::Bare("None".into())
    }

    fn bool(&mut self, value: bool) -> Piece {
        Piece::Bare(if value { "True" } else { "False" }.into())
    }

    fn int(&mut self, value: i64) -> Piece {
        Piece::Bare(value.to_string())
    }

    fn uint(&mut self, value: u64) -> Piece {
        Piece::Bare(value.to_string())
    }

    fn float(&mut self, value: f64) -> Piece {
        Piece::Bare(format!("{value:?}"))
    }

    fn text(&mut self, value: &str) -> Piece {
        Piece::Text(value.into())
    }

    fn notation(&mut self, value: &str) -> Piece {
        Piece::Bare(value.into())
    }

    fn list(&mut self, items: Vec<Piece>) -> Piece {
        Piece::List(items)
    }

    fn name(&mut self, name: &str) -> String {
        name.to_owned()
    }

    fn shown(name: String) -> Piece {
        Piece::Text(name)
    }

    fn object(&mut self, fields: Vec<(String, Piece)>) -> Piece {
        Piece::Object(fields)
    }

    fn named(&mut self, name: &str, value: Piece) -> Piece {
        Piece::Named(name.to_owned(), Box::new(value))
    }
}

/// A line of limited length.
#[derive(Default)]
struct Line {
    text: String,
    /// Characters written; more than [`LINE`] once it is full.
    length: usize,
}

impl Line {
    fn of(write: impl FnOnce(&mut Self)) -> String {
        let mut line = Self::default();
        write(&mut line);
        if line.is_full() {
            line.text.push('…');
        }
        line.text
    }

    fn is_full(&self) -> bool {
        self.length >= LINE
    }

    /// Appends text without control characters.
    fn push(&mut self, text: &str) {
        for character in text.chars() {
            // Reserves one for the ellipsis.
            self.length += 1;
            if self.is_full() {
                self.length = LINE;
                return;
            }
            self.text.push(character);
        }
    }

    /// Appends at most this many characters of a text, with control characters escaped.
    fn escaped(&mut self, text: &str, at_most: usize, quoted: bool) {
        let mut rest = text.chars();
        for character in rest.by_ref().take(at_most) {
            if self.is_full() {
                return;
            }
            match character {
                '\'' => self.push("'"),
                '"' | '\\' if !quoted => self.push(character.encode_utf8(&mut [0; 4])),
                _ => {
                    let mut escaped = String::new();
                    write!(escaped, "{}", character.escape_debug()).expect("a string takes everything");
                    self.push(&escaped);
                }
            }
        }
        if rest.next().is_some() {
            self.push("…");
        }
    }

    fn piece(&mut self, piece: &Piece) {
        match piece {
            Piece::Text(text) => {
                self.push("\"");
                self.escaped(text, TEXT, true);
                self.push("\"");
            }
            Piece::Bare(text) => self.escaped(text, TEXT, false),
            Piece::List(items) => {
                self.push("[");
                self.items(items, Self::piece);
                self.push("]");
            }
            Piece::Object(fields) => {
                self.push("{");
                self.items(fields, |line, (name, value)| {
                    line.escaped(name, TEXT, false);
                    line.push(": ");
                    line.piece(value);
                });
                self.push("}");
            }
            Piece::Named(name, value) => {
                self.escaped(name.rsplit(['.', ':']).next().unwrap_or(name), TEXT, false);
                self.call(value);
            }
        }
    }

    fn call(&mut self, arguments: &Piece) {
        self.push("(");
        match arguments {
            Piece::Object(fields) => self.fields(fields),
            other => self.piece(other),
        }
        self.push(")");
    }

    fn fields(&mut self, fields: &[(String, Piece)]) {
        self.joined(fields, fields.len(), |line, (name, value)| {
            line.escaped(name, TEXT, false);
            line.push("=");
            line.piece(value);
        });
    }

    fn items<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.joined(items, ITEMS, write);
    }

    fn joined<T>(&mut self, items: &[T], at_most: usize, write: impl Fn(&mut Self, &T)) {
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.push(", ");
            }
            if self.is_full() {
                return;
            }
            if i == at_most {
                self.push("…");
                return;
            }
            write(self, item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SerializationConfig;
    use crate::key::Params;
    use crate::params;

    fn caption(params: &Params<'_>) -> Caption {
        Caption::of_params(&params.key(&SerializationConfig::default()).unwrap().encoding).unwrap()
    }

    #[test]
    fn a_call_names_its_function() {
        let found = caption(&params! {
            "__function__": "flights.delays", "__version__": 2,
            "arguments": params! { origin: "EWR", window: 3, mean: 0.5, all: true, none: () },
        });
        assert_eq!(found.function.as_deref(), Some("flights.delays"));
        assert_eq!(found.call, r#"flights.delays(all=True, mean=0.5, none=None, origin="EWR", window=3)"#);
        let found = caption(&params! { "__function__": "f", "arguments": vec!["a", "b"] });
        assert_eq!(found.call, r#"f(["a", "b"])"#);
    }

    #[test]
    fn other_parameters_are_named() {
        assert_eq!(
            caption(&params! { model: "xgboost", fold: 3 }),
            Caption { function: None, call: r#"fold=3, model="xgboost""#.into() }
        );
        // What only looks like a function's is the user's own.
        assert_eq!(caption(&params! { "__function__": "f" }).call, r#"__function__="f""#);
        assert_eq!(caption(&params! { "__function__": 1, "arguments": 2 }).function, None);
        assert_eq!(Caption::of_name("daily/report").call, "daily/report");
    }

    #[test]
    fn nothing_is_long_or_acts_upon_a_terminal() {
        let found = caption(&params! { text: "a\"b\\c\n\u{1b}[31m\u{202e}", many: (0..100).collect::<Vec<i32>>() });
        assert_eq!(found.call, "many=[0, 1, 2, 3, 4, 5, 6, 7, …], text=\"a\\\"b\\\\c\\n\\u{1b}[31m\\u{202e}\"");
        assert_eq!(Caption::of_name("a\r\u{7}b").call, "a\\r\\u{7}b");
        let long = caption(&params! { text: "x".repeat(3000) });
        assert_eq!(long.call, format!("text=\"{}…\"", "x".repeat(TEXT)));
        let names: Vec<String> = (0..500).map(|i| format!("parameter_{i}")).collect();
        let many = names.iter().fold(Params::new(), |params, name| params.with(name.as_str(), 1));
        assert_eq!(caption(&many).call.chars().count(), LINE);
        assert!(caption(&many).call.ends_with('…'));
        assert_eq!(Caption::of_name(&"é".repeat(1000)).call.chars().count(), LINE);
        assert_eq!(Caption::of_name(&"é".repeat(199)).call, "é".repeat(199));
    }
}
