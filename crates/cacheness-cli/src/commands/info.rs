//! `cacheness info [DIR] KEY`

use std::io::Write;

use cacheness::EntryInfo;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::args::{Info, StoreOptions};
use crate::failure::{Failure, reasons};
use crate::output::{Output, printable, say};
use crate::place::{directory_and_key, resolve};
use crate::preview::{self, Preview};
use crate::show;
use crate::terminal;

/// The fields of an entry, and a preview of its value.
#[derive(Serialize)]
struct Described<'a> {
    #[serde(flatten)]
    entry: &'a Map<String, Value>,
    value: Option<&'a Preview>,
}

pub(crate) fn run(args: &Info, option: &StoreOptions, out: &mut Output) -> Result<(), Failure> {
    let (directory, key) = directory_and_key(option, &args.which.words)?;
    let store = directory.read()?;
    let key = resolve(&store, key)?;
    let Some(summary) = store.get_entry(&key)? else { return Err(Failure::NoEntry(key.into())) };
    let entry = EntryInfo::from(summary);
    let report = if args.verify { store.verify_integrity(&key)? } else { None };
    let limit = terminal::width();
    let preview = match args.head {
        Some(0) => Ok(None),
        head => preview::look(&store, &entry, head, limit),
    };
    let mut all = show::json(&entry)?;
    if let Some(report) = &report {
        let signature = format!("{:?}", report.signature).to_lowercase();
        let verified = json!({ "valid": report.valid, "signature": signature, "problem": report.problem });
        all.insert("verified".into(), verified);
    }
    let value = preview.as_ref().ok().and_then(Option::as_ref);
    if args.json {
        let described = Described { entry: &all, value };
        let json = serde_json::to_string_pretty(&described).expect("names and numbers are valid JSON");
        writeln!(out, "{json}")?;
    } else {
        print(&all, value, limit, out)?;
    }
    out.flush()?;
    if let Some(report) = report.filter(|report| !report.valid) {
        return Err(Failure::Damaged(report.problem.unwrap_or_else(|| format!("entry {key} is damaged"))));
    }
    if let Err(error) = preview {
        say(format_args!("the value is not shown: {}", printable(&reasons(&error))));
    }
    Ok(())
}

fn print(
    all: &Map<String, Value>,
    preview: Option<&Preview>,
    limit: Option<usize>,
    out: &mut Output,
) -> Result<(), Failure> {
    let nothing = Map::new();
    let facts = preview.map_or(&nothing, |preview| &preview.facts);
    let width = all.keys().chain(facts.keys()).map(String::len).max().unwrap_or(0);
    for (name, value) in all {
        match value {
            Value::Null => {}
            Value::Object(inner) if inner.is_empty() => {}
            Value::Object(inner) => {
                out.heading(&format!("{name}:"))?;
                for (name, value) in inner {
                    writeln!(out, "    {} = {}", printable(name), show::value(value))?;
                }
            }
            other => writeln!(out, "{name:width$}  {}", show::value(other))?,
        }
    }
    if !facts.is_empty() {
        out.heading("value:")?;
    }
    for (name, value) in facts {
        match value.as_array() {
            Some(columns) if name == "columns" => {
                writeln!(out, "    columns = {}", columns.len())?;
                for column in columns.iter().take(if limit.is_some() { COLUMNS } else { usize::MAX }) {
                    writeln!(out, "        {} {}", show::value(&column["name"]), show::value(&column["dtype"]))?;
                }
                if limit.is_some() && columns.len() > COLUMNS {
                    writeln!(out, "        … {} more, --json shows all", columns.len() - COLUMNS)?;
                }
            }
            _ => writeln!(out, "    {name} = {}", show::value(value))?,
        }
    }
    if let Some(preview) = preview {
        preview.print(limit, out)?;
    }
    Ok(())
}

/// How many columns of a table are listed on a terminal.
const COLUMNS: usize = 20;
