//! A preview of a value: its type, shape and beginning. It runs no code of the value: pickles and payloads of custom
//! handlers are not decoded.

mod array;
mod plain;
mod table;

use std::io;

use cacheness::EntryInfo;
use cacheness::core::entry::OWN_HANDLERS;
use cacheness::core::store::{EntryKey, Fetched, Store};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::output::Output;
use crate::table::{Table, shorten};

/// Plain data and tables of more bytes than this are read only on request.
const UNASKED: u64 = 64 << 20;
/// How much is shown by default.
const HEAD: usize = 5;

const INDENT: &str = "    ";

/// The description of a value, and its beginning.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Preview {
    /// Shape, dtype, rows, columns, …
    #[serde(flatten)]
    pub(crate) facts: Map<String, Value>,
    /// The beginning as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<Box<RawValue>>,
    /// The beginning as text.
    #[serde(skip)]
    shown: Shown,
}

/// The beginning of a value, as text.
#[derive(Debug, Default)]
enum Shown {
    #[default]
    Nothing,
    Lines(Vec<String>),
    Table(Table, Vec<String>),
}

impl Preview {
    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.into(), value.into());
        self
    }

    /// Sets the beginning; `json` is valid JSON made by this program.
    fn head(mut self, json: String, shown: Shown) -> Self {
        self.head = RawValue::from_string(json).ok();
        self.shown = shown;
        self
    }

    /// Prints the beginning; `limit` is the width of the terminal.
    pub(crate) fn print(&self, limit: Option<usize>, out: &mut Output) -> io::Result<()> {
        let width = limit.map(inside);
        let (lines, rest) = match &self.shown {
            Shown::Nothing => return Ok(()),
            Shown::Lines(lines) => (lines.clone(), &[][..]),
            Shown::Table(table, rest) => (table.lines(width).0, rest.as_slice()),
        };
        out.heading("head:")?;
        for line in lines.iter().chain(rest) {
            let line = width.map_or_else(|| line.clone(), |width| shorten(line, width));
            io::Write::write_fmt(out, format_args!("{INDENT}{line}\n"))?;
        }
        Ok(())
    }
}

/// The width that remains of `limit` after the indentation.
fn inside(limit: usize) -> usize {
    limit.saturating_sub(INDENT.len()).max(1)
}

/// Previews `head` rows, items or lines of an entry's value. `None` if the value cannot be shown.
pub(crate) fn look(
    store: &Store,
    entry: &EntryInfo,
    head: Option<usize>,
    limit: Option<usize>,
) -> cacheness::Result<Option<Preview>> {
    if !OWN_HANDLERS.contains(&entry.handler()) || entry.entry().format.runs_code() {
        return Ok(None);
    }
    let is_array = matches!(entry.storage_format(), "b2nd" | "npy");
    let is_table = matches!(entry.storage_format(), "parquet" | "arrow");
    let bytes = entry.size().max(entry.original_size().unwrap_or(0));
    // Only the shown part of an array is read.
    if !is_array && bytes > UNASKED && head.is_none() {
        return Ok(None);
    }
    if !is_array && !is_table && entry.storage_format() != "msgpack" {
        return Ok(None);
    }
    let key = EntryKey::Name(entry.key().to_owned());
    let Fetched::Found(stored) = store.fetch(&key, store.read_options(), |_| true)? else { return Ok(None) };
    let head = head.unwrap_or(HEAD);
    let look = match (is_array, is_table) {
        (true, _) => array::look(*stored, head),
        (_, true) => table::look(*stored, head, limit.map(inside)),
        _ => plain::look(*stored, head),
    };
    look.map(Some)
}
