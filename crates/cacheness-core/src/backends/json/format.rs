//! The content of `cache_metadata.json`. Specified in `docs/formats/store.md`.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};

use crate::backends::entries::Entries;
use crate::backends::fields::{Hex, Time};
use crate::backends::row::Row;
use crate::error::{Error, ErrorKind, Result};

/// The version that this release writes, and the newest it reads.
const FORMAT: u64 = 1;
/// Distinguishes the file from the JSON of other programs.
const APPLICATION: &str = "cacheness";

/// The file as it is written.
#[derive(Serialize)]
struct Written<'a> {
    format: u64,
    application: &'static str,
    written_by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_key: Option<Hex<16>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    garbage: Vec<Garbage<'a>>,
    entries: Rows<'a>,
}

/// A blob that no entry names any more.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Garbage<'a> {
    locator: Cow<'a, str>,
    due: Time,
}

struct Rows<'a>(&'a Entries);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Row::of))
    }
}

/// The file as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    format: u64,
    application: Cow<'a, str>,
    #[allow(dead_code)] // read through `Header`, even if the rest is unreadable
    written_by: Cow<'a, str>,
    #[serde(default)]
    signing_key: Option<Hex<16>>,
    #[serde(default)]
    garbage: Vec<Garbage<'a>>,
    entries: Vec<Row<'a>>,
}

/// The part that is read of a file of any program and any version.
#[derive(Deserialize)]
struct Header {
    format: Option<u64>,
    application: Option<String>,
    written_by: Option<String>,
}

/// Writes the file.
pub(super) fn write(entries: &Entries, out: impl Write) -> std::io::Result<()> {
    let written_by = env!("CARGO_PKG_VERSION");
    let garbage = entries.garbage().iter().map(|(locator, due)| Garbage { locator: locator.into(), due: Time(*due) });
    let document = Written {
        format: FORMAT,
        application: APPLICATION,
        written_by,
        signing_key: entries.signing_key().map(Hex),
        garbage: garbage.collect(),
        entries: Rows(entries),
    };
    let layout = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(out, layout);
    document.serialize(&mut serializer)?;
    serializer.into_inner().write_all(b"\n")
}

/// Reads the content of the file at `path`.
///
/// # Errors
/// `NotAStore` for JSON of another program, `NewerFormat`, `Metadata` for damage.
pub(super) fn read(content: &[u8], path: &Path) -> Result<Entries> {
    let damaged = |problem: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Metadata, format!("{} is damaged: {problem}", path.display())).with_hint(
            "nothing has been changed; put the file back from a copy. To begin with an empty store, remove it and the \
                 directory blobs: all entries are lost then",
        )
    };
    let document = match serde_json::from_slice::<Read<'_>>(content) {
        Ok(document) if document.application == APPLICATION && document.format == FORMAT => document,
        other => {
            let header = match serde_json::from_slice::<Header>(content) {
                Ok(header) => header,
                Err(error) if error.is_data() => return Err(not_a_store(path)),
                Err(error) => return Err(damaged(&error)),
            };
            return Err(match header.format {
                _ if header.application.as_deref() != Some(APPLICATION) => not_a_store(path),
                Some(format) if format > FORMAT => newer(format, header.written_by),
                Some(FORMAT) => match other {
                    Err(error) => damaged(&error),
                    Ok(_) => not_a_store(path),
                },
                _ => damaged(&"it does not name a format"),
            });
        }
    };
    let mut entries = Entries::default();
    let garbage = document.garbage.into_iter().map(|garbage| (garbage.locator.into_owned(), garbage.due.0));
    entries.restore(garbage.collect(), document.signing_key.map(|hex| hex.0));
    for row in document.entries {
        let key = row.cache_key.clone().into_owned();
        let kept = row.into_kept().map_err(|problem| damaged(&format_args!("entry {key:?} {problem}")))?;
        if !entries.load(kept) {
            return Err(damaged(&format_args!("entry {key:?} occurs twice, or its size is impossible")));
        }
    }
    Ok(entries)
}

fn not_a_store(path: &Path) -> Error {
    Error::new(ErrorKind::NotAStore, format!("{} belongs to another program", path.display()))
        .with_hint("give another directory: cacheness only uses files that it has created")
}

fn newer(format: u64, written_by: Option<String>) -> Error {
    let by = written_by.map_or_else(|| "a newer release".to_owned(), |release| format!("cacheness {release}"));
    Error::new(
        ErrorKind::NewerFormat,
        format!(
            "the store was written by {by} in format {format}; this release, {}, reads formats up to {FORMAT}",
            env!("CARGO_PKG_VERSION")
        ),
    )
    .with_hint(format!("install {by}, or use another directory"))
}
