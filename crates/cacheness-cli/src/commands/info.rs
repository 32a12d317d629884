//! `cacheness info DIR KEY`

use std::io::Write;

use cacheness::EntryInfo;
use serde_json::{Value, json};

use crate::Failure;
use crate::args::Info;
use crate::commands::open;
use crate::show;

pub(crate) fn run(args: &Info, out: &mut dyn Write) -> Result<(), Failure> {
    let store = open(&args.dir)?;
    let key = match store.get_entry(&args.key)? {
        Some(found) => found.entry.key,
        None => {
            let mut matches = Vec::new();
            store.for_each(&args.key, |summary| {
                matches.push(summary.entry.key);
                Ok(())
            })?;
            match <[String; 1]>::try_from(matches) {
                Ok([key]) => key,
                Err(_) => return Err(Failure::NoEntry(args.key.clone())),
            }
        }
    };
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
        return Ok(());
    }
    let Value::Object(map) = &all else { return Ok(()) };
    let width = map.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in map {
        match value {
            Value::Null => {}
            Value::Object(inner) if inner.is_empty() => {}
            Value::Object(inner) => {
                writeln!(out, "{name}:")?;
                for (name, value) in inner {
                    writeln!(out, "    {name} = {}", show::value(value))?;
                }
            }
            other => writeln!(out, "{name:width$}  {}", show::value(other))?,
        }
    }
    Ok(())
}
