//! `cacheness info [DIR] KEY`

use std::io::Write;

use cacheness::EntryInfo;
use serde_json::{Value, json};

use crate::args::Info;
use crate::failure::Failure;
use crate::output::{Output, printable};
use crate::place::{Directory, resolve};
use crate::show;

pub(crate) fn run(args: &Info, directory: &Directory, out: &mut Output) -> Result<(), Failure> {
    let store = directory.read()?;
    let key = resolve(&store, args.which.key())?;
    let Some(summary) = store.get_entry(&key)? else { return Err(Failure::NoEntry(key)) };
    let entry = EntryInfo::from(summary);
    let report = if args.verify { store.verify_integrity(&key)? } else { None };
    let mut all = show::json(&entry)?;
    if let (Some(report), Value::Object(map)) = (&report, &mut all) {
        let signature = format!("{:?}", report.signature).to_lowercase();
        map.insert(
            "verified".into(),
            json!({ "valid": report.valid, "signature": signature, "problem": report.problem }),
        );
    }
    if args.json {
        writeln!(out, "{all:#}")?;
    } else if let Value::Object(map) = &all {
        let width = map.keys().map(String::len).max().unwrap_or(0);
        for (name, value) in map {
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
    }
    match report.filter(|report| !report.valid) {
        None => Ok(()),
        Some(report) => Err(Failure::Damaged(report.problem.unwrap_or_else(|| format!("entry {key} is damaged")))),
    }
}
