//! Fields: what a condition asks about.

use std::fmt;

use crate::clock::Timestamp;
use crate::entry::EntrySummary;
use crate::error::{Error, ErrorKind, Result};
use crate::fields;
use crate::formats::plain::{DateTime, Value, Zone, calendar};

/// Where a field is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Root {
    /// In the user's metadata.
    Metadata,
    /// Among the parameters of the key.
    Params,
    /// Among the fields of the entry itself.
    Entry,
}

/// A path to values of an entry: `config.depth`, `params.project`, `entry.file_size`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    root: Root,
    steps: Vec<String>,
}

/// The type of a field of the entry itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryType {
    /// A string or null.
    Text,
    /// A number or null.
    Number,
    /// A boolean.
    Flag,
    /// A datetime in UTC or null.
    Time,
}

/// Whether the entry is pinned: the only field that is not in [`fields::FIELDS`], because listings do not show it.
pub const PINNED: &str = "pinned";

fn entry_type(name: &str) -> Option<EntryType> {
    Some(match name {
        "created_at" | "created" | "accessed_at" | "last_accessed" | "expires_at" | "expires" => EntryType::Time,
        "file_size" | "size_mb" | "access_count" | "compute_seconds" => EntryType::Number,
        "inline" | PINNED => EntryType::Flag,
        name if fields::FIELDS.contains(&name) => EntryType::Text,
        _ => return None,
    })
}

impl Field {
    /// Parses a path: names separated by dots, the first of which may be `metadata`, `params` or `entry`. A backslash takes
    /// the next character literally.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an empty name, a lone root, and a field that entries do not have.
    pub fn parse(text: &str) -> Result<Self> {
        let mut steps = vec![String::new()];
        // Whether the first step is literal, so that it names no root.
        let mut literal = false;
        let mut rest = text.chars();
        while let Some(next) = rest.next() {
            let step = steps.last_mut().expect("there is one");
            match next {
                '\\' => {
                    literal |= steps.len() == 1;
                    let taken = rest.next().ok_or_else(|| invalid(text, "it ends with a backslash"))?;
                    steps.last_mut().expect("there is one").push(taken);
                }
                '.' => steps.push(String::new()),
                other => step.push(other),
            }
        }
        let root = match &*steps[0] {
            _ if literal => None,
            "metadata" => Some(Root::Metadata),
            "params" => Some(Root::Params),
            "entry" => Some(Root::Entry),
            _ => None,
        };
        if root.is_some() && steps.len() > 1 {
            steps.remove(0);
        } else if root.is_some() {
            // A field of the user's metadata with the name of a root.
            return Ok(Self { root: Root::Metadata, steps });
        }
        if steps.iter().any(String::is_empty) {
            return Err(invalid(text, "a name in it is empty"));
        }
        Self { root: root.unwrap_or(Root::Metadata), steps }.checked()
    }

    /// A field by the names of its path, taken literally.
    ///
    /// # Errors
    /// As [`Field::parse`].
    pub fn new<S: Into<String>>(root: Root, steps: impl IntoIterator<Item = S>) -> Result<Self> {
        let field = Self { root, steps: steps.into_iter().map(Into::into).collect() };
        if field.steps.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "a field needs a name"));
        }
        field.checked()
    }

    fn checked(self) -> Result<Self> {
        if self.root != Root::Entry || (self.steps.len() == 1 && entry_type(&self.steps[0]).is_some()) {
            return Ok(self);
        }
        let name = self.steps.join(".");
        let known = fields::FIELDS.iter().chain([&PINNED]);
        let nearest = known.max_by(|a, b| strsim::jaro_winkler(a, &name).total_cmp(&strsim::jaro_winkler(b, &name)));
        let error = Error::new(ErrorKind::InvalidInput, format!("entries have no field entry.{name}"));
        Err(match nearest {
            Some(nearest) if strsim::jaro_winkler(nearest, &name) > 0.7 => error
                .with_hint(format!("did you mean entry.{nearest}? A field of the metadata is named without `entry.`")),
            _ => error.with_hint(format!("the fields are {}, {PINNED}", fields::FIELDS.join(", "))),
        })
    }

    /// Where the path starts.
    #[must_use]
    pub fn root(&self) -> Root {
        self.root
    }

    /// The names of the path: at least one.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    /// The type, of a field of the entry itself.
    #[must_use]
    pub fn entry_type(&self) -> Option<EntryType> {
        if self.root == Root::Entry { entry_type(&self.steps[0]) } else { None }
    }
}

/// As [`Field::parse`] reads it.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_root = |name: &str| matches!(name, "metadata" | "params" | "entry");
        f.write_str(match self.root {
            Root::Metadata if self.steps.len() > 1 && is_root(&self.steps[0]) => "metadata.",
            Root::Metadata => "",
            Root::Params => "params.",
            Root::Entry => "entry.",
        })?;
        for (i, step) in self.steps.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            f.write_str(&step.replace('\\', "\\\\").replace('.', "\\."))?;
        }
        Ok(())
    }
}

fn invalid(text: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{text:?} is no field: {why}"))
        .with_hint("a field is a name, or names separated by dots; a backslash takes a dot literally")
}

/// The value of a field of the entry itself; the name is one of a [`Field`].
pub(super) fn entry_value(summary: &EntrySummary, pinned: bool, name: &str) -> Value {
    let entry = &summary.entry;
    match name {
        "created_at" | "created" => utc(entry.created_at),
        "accessed_at" | "last_accessed" => utc(entry.accessed_at),
        "expires_at" | "expires" => entry.expires_at.map_or(Value::None, utc),
        PINNED => Value::Bool(pinned),
        name => fields::field(summary, name).unwrap_or_default(),
    }
}

fn utc(time: Timestamp) -> Value {
    Value::DateTime(DateTime { micros: time.0, fold: false, zone: Zone::Fixed { offset: 0, name: None } })
}

/// An operand for a field that is a time, as a datetime in UTC.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if it is no time.
pub(super) fn time_operand(value: Value) -> Result<Value> {
    let local = |micros: i64, fold: bool| {
        use chrono::{MappedLocalTime, TimeZone as _};
        let wall = chrono::DateTime::from_timestamp_micros(micros)?.naive_utc();
        let found = match chrono::Local.from_local_datetime(&wall) {
            MappedLocalTime::Single(time) => time,
            MappedLocalTime::Ambiguous(earlier, later) => {
                if fold {
                    later
                } else {
                    earlier
                }
            }
            // A gap: as Python, the offset from before it.
            MappedLocalTime::None => {
                let day = chrono::TimeDelta::days(1);
                chrono::Local.from_local_datetime(&wall.checked_sub_signed(day)?).earliest()?.checked_add_signed(day)?
            }
        };
        Some(utc(Timestamp(found.timestamp_micros())))
    };
    let converted = match &value {
        Value::None => Some(Value::None),
        Value::DateTime(DateTime { zone: Zone::Naive, micros, fold }) => local(*micros, *fold),
        Value::DateTime(_) => Some(value.clone()),
        Value::Date(days) => local(i64::from(*days) * calendar::DAY, false),
        Value::Int(seconds) => seconds.checked_mul(1_000_000).map(|micros| utc(Timestamp(micros))),
        #[allow(clippy::cast_possible_truncation)]
        Value::Float(seconds) if seconds.abs() < 1e12 => Some(utc(Timestamp((seconds * 1e6).round() as i64))),
        Value::Str(text) => match calendar::parse_iso(text) {
            Some((micros, None)) => local(micros, false),
            Some((micros, Some(offset))) => Some(utc(Timestamp(micros - offset))),
            None => None,
        },
        _ => None,
    };
    converted.ok_or_else(|| {
        let what = match &value {
            Value::Str(text) => format!("{text:?}"),
            other => format!("a {}", other.type_name()),
        };
        Error::new(ErrorKind::InvalidInput, format!("{what} is no time"))
            .with_hint("give a datetime, a date, seconds since 1970, or a string such as 2026-11-20T12:30:00+01:00")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (text, root, steps) in [
            ("accuracy", Root::Metadata, &["accuracy"][..]),
            ("a.b.0", Root::Metadata, &["a", "b", "0"]),
            ("metadata.params.x", Root::Metadata, &["params", "x"]),
            ("params.project", Root::Params, &["project"]),
            ("params", Root::Metadata, &["params"]),
            (r"\params.x", Root::Metadata, &["params", "x"]),
            (r"a\.b\\c.d", Root::Metadata, &[r"a.b\c", "d"]),
            ("entry.file_size", Root::Entry, &["file_size"]),
            ("$x", Root::Metadata, &["$x"]),
        ] {
            let field = Field::parse(text).expect(text);
            assert_eq!(
                (field.root(), field.steps()),
                (root, &*steps.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
            );
            assert_eq!(Field::parse(&field.to_string()).expect("again"), field, "{field}");
        }
        for text in ["", "a.", ".a", "a..b", "a\\", "params.", "entry.nothing", "entry.file_size.x"] {
            assert_eq!(Field::parse(text).expect_err(text).kind(), ErrorKind::InvalidInput);
        }
        let error = Field::parse("entry.filesize").expect_err("unknown");
        assert!(error.hint().expect("a hint").contains("entry.file_size"), "{error:?}");
    }

    #[test]
    fn times_of_the_entry() {
        let hour = 3_600_000_000;
        for (operand, expected) in [
            (Value::from("1970-01-01T02:00:00+01:00"), hour),
            ("1970-01-01T01:00Z".into(), hour),
            ("1970-01-01 01:00:00.5Z".into(), hour + 500_000),
            (3600.into(), hour),
            (3600.25.into(), hour + 250_000),
        ] {
            assert_eq!(time_operand(operand).expect("a time"), utc(Timestamp(expected)));
        }
        assert_eq!(time_operand(Value::None).expect("null"), Value::None);
        for operand in
            [Value::from("yesterday"), "2026-13-01".into(), true.into(), f64::NAN.into(), "1970-01-01T01:00:00.".into()]
        {
            assert_eq!(time_operand(operand).expect_err("no time").kind(), ErrorKind::InvalidInput);
        }
    }
}
