//! User-defined tables as data: what a backend needs to create one, or to find out whether it is already there.

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::plain::{DateTime, Value, Zone, calendar};

/// The longest name of a table or column, in bytes: that of PostgreSQL.
const LONGEST_NAME: usize = 63;

/// The type of a column. `docs/formats/models.md` says how each backend keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ColumnType {
    /// [`Value::Int`].
    Integer,
    /// [`Value::Float`], which is not NaN.
    Float,
    /// [`Value::Bool`].
    Boolean,
    /// [`Value::Str`]. Texts are ordered by their UTF-8 bytes.
    Text,
    /// [`Value::Bytes`].
    Bytes,
    /// An instant, to the microsecond, in the years 1 to 9999: [`Value::DateTime`] in UTC, see [`time_value`].
    Time,
    /// A day: [`Value::Date`].
    Date,
    /// JSON as text: [`Value::Str`]. It is not compared.
    Json,
}

impl ColumnType {
    /// Its name in messages: `integer`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Float => "floating-point number",
            Self::Boolean => "boolean",
            Self::Text => "text",
            Self::Bytes => "blob",
            Self::Time => "time",
            Self::Date => "date",
            Self::Json => "JSON",
        }
    }

    /// Whether a column of this type keeps `value`, which is not `None`.
    #[must_use]
    pub fn keeps(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Float, Value::Float(value)) => !value.is_nan(),
            (Self::Integer, Value::Int(_))
            | (Self::Boolean, Value::Bool(_))
            | (Self::Text | Self::Json, Value::Str(_))
            | (Self::Bytes, Value::Bytes(_)) => true,
            (Self::Time, value) => time_of(value).is_some(),
            (Self::Date, Value::Date(days)) => calendar::is_date(*days),
            _ => false,
        }
    }
}

/// A time as the value of a column; `None` outside of the years 1 to 9999.
#[must_use]
pub fn time_value(time: Timestamp) -> Option<Value> {
    let zone = Zone::Fixed { offset: 0, name: None };
    calendar::is_datetime(time.0).then_some(Value::DateTime(DateTime { micros: time.0, fold: false, zone }))
}

/// The time of a value of a column; `None` if it is none. A datetime without a zone is one in UTC.
#[must_use]
pub fn time_of(value: &Value) -> Option<Timestamp> {
    let Value::DateTime(DateTime { micros, zone, .. }) = value else { return None };
    let micros = match zone {
        Zone::Naive => *micros,
        Zone::Fixed { offset, .. } => micros.checked_sub(*offset)?,
        _ => return None,
    };
    calendar::is_datetime(micros).then_some(Timestamp(micros))
}

/// A column of a user-defined table.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SchemaColumn {
    /// The name.
    pub name: String,
    /// The type.
    pub kind: ColumnType,
    /// Whether it may be `NULL`.
    pub nullable: bool,
    /// Whether it is the primary key, or a part of it.
    pub primary_key: bool,
    /// The value of rows that are inserted without one, and of those that are there when the column is added.
    pub default: Option<Value>,
}

impl SchemaColumn {
    /// A column that must not be `NULL`.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: ColumnType) -> Self {
        Self { name: name.into(), kind, nullable: false, primary_key: false, default: None }
    }

    /// Sets whether it may be `NULL`.
    #[must_use]
    pub fn nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }

    /// Makes it the primary key, or a part of it.
    #[must_use]
    pub fn primary_key(mut self) -> Self {
        self.primary_key = true;
        self
    }

    /// Sets the default.
    #[must_use]
    pub fn default_value(mut self, value: Value) -> Self {
        self.default = Some(value);
        self
    }
}

/// An index of a user-defined table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaIndex {
    /// Its columns, in their order.
    pub columns: Vec<String>,
    /// Whether no two rows may have the same values.
    pub unique: bool,
}

/// A user-defined table whose rows belong to entries. Beside [`columns`](Self::columns) it has the column
/// [`owner`](Self::owner), and [`generated_key`](Self::generated_key) if it has no primary key of its own.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// The column with the key of the entry that a row belongs to: a text with an index, never `NULL`, and a foreign key
    /// that removes the row with its entry.
    pub owner: String,
    /// Its own columns.
    pub columns: Vec<SchemaColumn>,
    /// Its indexes. One that is not unique is called `ix_`, the table, `_`, and the columns joined by `_`.
    pub indexes: Vec<SchemaIndex>,
}

impl Schema {
    /// The column with the key of the entry, in every table of a model.
    pub const OWNER: &'static str = "cache_key";

    /// The primary key of a table without one of its own: an integer that the database generates.
    pub const GENERATED_KEY: &'static str = "id";

    /// A table of this name, without columns of its own.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), owner: Self::OWNER.to_owned(), columns: Vec::new(), indexes: Vec::new() }
    }

    /// Adds a column.
    #[must_use]
    pub fn column(mut self, column: SchemaColumn) -> Self {
        self.columns.push(column);
        self
    }

    /// Adds an index of these columns.
    #[must_use]
    pub fn index<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>, unique: bool) -> Self {
        self.indexes.push(SchemaIndex { columns: columns.into_iter().map(Into::into).collect(), unique });
        self
    }

    /// The name of the primary key that the database generates; `None` if the table has one of its own.
    #[must_use]
    pub fn generated_key(&self) -> Option<&'static str> {
        let has_own = self.columns.iter().any(|column| column.primary_key);
        (!has_own).then_some(Self::GENERATED_KEY)
    }

    /// The columns of the primary key, in their order: rows without another order are in that of these.
    pub fn primary_key(&self) -> impl Iterator<Item = (&str, ColumnType)> {
        let own = self.columns.iter().filter(|column| column.primary_key);
        let generated = self.generated_key().map(|name| (name, ColumnType::Integer));
        own.map(|column| (column.name.as_str(), column.kind)).chain(generated)
    }

    /// Refuses a table that no backend could keep. Backends call it first.
    ///
    /// # Errors
    /// `InvalidInput`: a name that is empty, too long, or used twice; a table whose name belongs to the store; a default
    /// that its column does not keep; an index of a column that does not exist.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::new(ErrorKind::InvalidInput, format!("the table {}: {what}", self.name)));
        if let Some(why) = wrong_name(&self.name) {
            return wrong(format!("its name {why}"));
        }
        let lower = self.name.to_ascii_lowercase();
        if ["cache_", "sqlite_", "pg_"].iter().any(|prefix| lower.starts_with(prefix)) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("the table {} has a name of the store", self.name),
            )
            .with_hint("begin the name with custom_"));
        }
        let generated = self.generated_key();
        let mut names: Vec<String> = Vec::new();
        let all = self.columns.iter().map(|column| column.name.as_str());
        for name in all.chain([self.owner.as_str()]).chain(generated) {
            if let Some(why) = wrong_name(name) {
                return wrong(format!("the name of the column {name:?} {why}"));
            }
            // Databases do not tell the case of letters apart.
            let lower = name.to_lowercase();
            if names.contains(&lower) {
                return wrong(format!("two columns are called {name}"));
            }
            names.push(lower);
        }
        for column in &self.columns {
            if column.primary_key && column.nullable {
                return wrong(format!("the column {} is a primary key, which cannot be null", column.name));
            }
            match &column.default {
                Some(Value::None) if column.nullable => {}
                Some(value) if !column.kind.keeps(value) => {
                    let (name, kind) = (&column.name, column.kind.name());
                    return wrong(format!("the default of the column {name} is no {kind}"));
                }
                _ => {}
            }
        }
        for name in self.indexes.iter().flat_map(|index| &index.columns) {
            if !names.contains(&name.to_lowercase()) {
                return wrong(format!("it has an index of the column {name}, which does not exist"));
            }
        }
        if self.indexes.iter().any(|index| index.columns.is_empty()) {
            return wrong("it has an index without columns".to_owned());
        }
        Ok(())
    }
}

fn wrong_name(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.len() > LONGEST_NAME {
        Some("is longer than 63 bytes")
    } else if name.contains('\0') {
        Some("has a NUL character")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Schema {
        Schema::new("custom_runs")
            .column(SchemaColumn::new("accuracy", ColumnType::Float).nullable(true))
            .column(SchemaColumn::new("count", ColumnType::Integer).default_value(Value::Int(3)))
            .index(["accuracy", "cache_key"], false)
    }

    #[test]
    fn a_table_is_checked() {
        table().check().expect("right");
        assert_eq!(table().primary_key().collect::<Vec<_>>(), [("id", ColumnType::Integer)]);
        let own = table().column(SchemaColumn::new("name", ColumnType::Text).primary_key());
        assert_eq!(own.primary_key().collect::<Vec<_>>(), [("name", ColumnType::Text)]);
        own.check().expect("right");
        let column = |name: &str| table().column(SchemaColumn::new(name, ColumnType::Text));
        let key = SchemaColumn::new("key", ColumnType::Text).primary_key().nullable(true);
        let default = |value| table().column(SchemaColumn::new("x", ColumnType::Float).default_value(value));
        for (wrong, why) in [
            (Schema::new(""), "its name is empty"),
            (Schema::new("x".repeat(64)), "longer than 63 bytes"),
            (Schema::new("a\0b"), "NUL"),
            (Schema::new("Cache_entries"), "name of the store"),
            (column("Accuracy"), "two columns are called Accuracy"),
            (column("cache_key"), "two columns are called cache_key"),
            (column("ID"), "two columns are called id"),
            (column(""), "is empty"),
            (table().column(key), "cannot be null"),
            (default(Value::Int(1)), "the default of the column x is no floating-point number"),
            (default(Value::Float(f64::NAN)), "is no floating-point number"),
            (default(Value::None), "is no floating-point number"),
            (table().index(["none"], true), "the column none, which does not exist"),
            (table().index(Vec::<String>::new(), true), "an index without columns"),
        ] {
            let error = wrong.check().expect_err(why);
            assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn times_are_in_utc_and_in_the_calendar() {
        let time = Timestamp(1_795_176_000_000_001);
        assert_eq!(time_of(&time_value(time).expect("in the calendar")), Some(time));
        let zoned = |zone| Value::DateTime(DateTime { micros: time.0, fold: false, zone });
        assert_eq!(time_of(&zoned(Zone::Naive)), Some(time));
        let hour = 3_600_000_000;
        assert_eq!(time_of(&zoned(Zone::Fixed { offset: hour, name: None })), Some(Timestamp(time.0 - hour)));
        assert_eq!(time_of(&zoned(Zone::Named("Europe/Berlin".into()))), None);
        assert_eq!((time_value(Timestamp(i64::MAX)), time_value(Timestamp(i64::MIN))), (None, None));
        assert_eq!(time_of(&Value::Int(1)), None);
    }
}
