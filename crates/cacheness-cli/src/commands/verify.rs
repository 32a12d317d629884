//! `cacheness verify [DIR]`

use std::io::Write;

use cacheness::core::sign::SignatureState;
use cacheness::core::store::Store;
use cacheness::{EntryInfo, ErrorKind};
use serde::Serialize;

use crate::args::Verify;
use crate::failure::{Failure, reasons};
use crate::output::{Output, printable, say};
use crate::place::Directory;
use crate::progress::Progress;
use crate::show::{self, entries};
use crate::table::{Column, Table};
use crate::terminal;

#[derive(Default, Serialize)]
struct Signatures {
    valid: u64,
    wrong: u64,
    missing: u64,
    /// There is no key to check them with.
    unchecked: u64,
}

#[derive(Serialize)]
struct Damaged {
    cache_key: String,
    problem: String,
}

#[derive(Default, Serialize)]
struct Report {
    entries: u64,
    bytes: u64,
    valid: u64,
    signatures: Signatures,
    damaged: Vec<Damaged>,
}

pub(crate) fn run(args: &Verify, directory: &Directory, out: &mut Output) -> Result<(), Failure> {
    let store = directory.read()?;
    let report = check(args, &store)?;
    if args.json {
        let json = serde_json::to_string_pretty(&report).expect("names and numbers are valid JSON");
        writeln!(out, "{json}")?;
    } else if !report.damaged.is_empty() {
        let mut table = Table::new(vec![Column::new("KEY").shortened_to(16), Column::new("PROBLEM").shortened_to(20)]);
        for damaged in &report.damaged {
            table.push(vec![printable(&damaged.cache_key), printable(&damaged.problem)]);
        }
        table.print(terminal::width(), out)?;
    }
    out.flush()?;
    let count = entries(report.entries);
    if !report.damaged.is_empty() {
        let damaged = report.damaged.len();
        return Err(Failure::Damaged(format!(
            "{damaged} of {count} {}",
            if damaged == 1 { "is damaged" } else { "are damaged" }
        )));
    }
    if !args.json {
        say(format_args!("{count}, {}: all payloads match their hashes", show::bytes(report.bytes)));
        let Signatures { valid, wrong: _, missing, unchecked } = report.signatures;
        let parts = [(valid, "valid"), (missing, "missing"), (unchecked, "not checked for lack of a key")];
        let parts: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        if !parts.is_empty() {
            say(format_args!("signatures: {}", parts.join(", ")));
        }
    }
    Ok(())
}

fn check(args: &Verify, store: &Store) -> Result<Report, Failure> {
    let mut report = Report::default();
    let mut progress = Progress::bytes(args.progress.progress, store.totals()?.bytes).says("verifying");
    let selection = args.filters.selection(store.clock().now());
    selection.for_each(store, |entry| {
        check_one(store, &entry, &mut report)?;
        progress.advance(entry.size());
        Ok(())
    })?;
    Ok(report)
}

fn check_one(store: &Store, entry: &EntryInfo, report: &mut Report) -> cacheness::Result<()> {
    let problem = match store.verify_integrity(entry.key()) {
        // Removed since it was listed.
        Ok(None) => return Ok(()),
        Ok(Some(found)) => {
            let signatures = &mut report.signatures;
            *match found.signature {
                SignatureState::Valid => &mut signatures.valid,
                SignatureState::Invalid => &mut signatures.wrong,
                SignatureState::Unsigned if entry.is_signed() => &mut signatures.unchecked,
                SignatureState::Unsigned => &mut signatures.missing,
            } += 1;
            found.problem.or_else(|| (!found.valid).then(|| "the entry is damaged".to_owned()))
        }
        Err(error) if error.kind() == ErrorKind::Closed => return Err(error),
        // If one entry cannot be read, the others still may be.
        Err(error) => Some(reasons(&error)),
    };
    report.entries += 1;
    report.bytes = report.bytes.saturating_add(entry.size());
    match problem {
        None => report.valid += 1,
        Some(problem) => report.damaged.push(Damaged { cache_key: entry.key().to_owned(), problem }),
    }
    Ok(())
}
