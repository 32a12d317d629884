//! `cacheness ls`

use std::cmp::Reverse;
use std::io::Write;

use cacheness::core::cache::is_expired;
use cacheness::{EntryInfo, Timestamp};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::Value;

use super::entries;
use crate::args::{Ls, Sort};
use crate::failure::Failure;
use crate::output::{Output, printable, say};
use crate::place::Directory;
use crate::show;

/// On a terminal of fewer columns lines are not broken by us.
const NARROW: u16 = 60;

pub(crate) fn run(args: &Ls, directory: &Directory, out: &mut Output) -> Result<(), Failure> {
    let store = directory.read()?;
    let now = store.clock().now();
    let mut found: Vec<EntryInfo> = Vec::new();
    store.for_each(&args.prefix, |summary| {
        let entry = EntryInfo::from(summary);
        if is_wanted(args, &entry, now)? {
            found.push(entry);
        }
        Ok(())
    })?;
    let count = found.len();
    match args.sort {
        Sort::Key => {}
        Sort::Created => found.sort_by_key(|e| Reverse(e.created_at())),
        Sort::Accessed => found.sort_by_key(|e| Reverse(e.accessed_at())),
        Sort::Expires => found.sort_by_key(|e| e.expires_at().map_or((true, Timestamp::default()), |at| (false, at))),
        Sort::Size => found.sort_by_key(|e| Reverse(e.size())),
    }
    if args.reverse {
        found.reverse();
    }
    found.truncate(args.limit.unwrap_or(usize::MAX));
    if args.json {
        for entry in &found {
            writeln!(out, "{}", show::json(entry)?)?;
        }
        return Ok(());
    }
    if found.is_empty() {
        say(if count == 0 { "no entries" } else { "no entries shown" });
        return Ok(());
    }
    print_table(&found, now, out)?;
    let bytes = found.iter().map(EntryInfo::size).fold(0, u64::saturating_add);
    let shown = if found.len() < count { format!("{} of ", found.len()) } else { String::new() };
    out.flush()?;
    say(format_args!("{shown}{}, {}", entries(count as u64), show::bytes(bytes)));
    Ok(())
}

fn is_wanted(args: &Ls, entry: &EntryInfo, now: Timestamp) -> cacheness::Result<bool> {
    if args.data_type.as_deref().is_some_and(|wanted| wanted != entry.data_type())
        || args.expired && !is_expired(entry.entry(), now)
    {
        return Ok(false);
    }
    if args.fields.is_empty() {
        return Ok(true);
    }
    let metadata = entry.metadata();
    let params = match entry.params()? {
        Some(Value::Object(params)) => params,
        _ => serde_json::Map::new(),
    };
    Ok(args.fields.iter().all(|field| field.is_in(&metadata) || field.is_in(&params)))
}

fn print_table(entries: &[EntryInfo], now: Timestamp, out: &mut Output) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // A terminal that does not know its width says zero.
    if table.width().is_some_and(|width| width > NARROW) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    let expires = entries.iter().any(|entry| entry.expires_at().is_some());
    let mut header = vec!["KEY", "TYPE", "FORMAT", "SIZE", "CREATED"];
    header.extend(expires.then_some("EXPIRES"));
    header.extend(["PARAMETERS", "METADATA"]);
    table.set_header(header);
    for entry in entries {
        let mut row = vec![
            printable(entry.key()),
            printable(entry.data_type()),
            printable(&show::format(entry)),
            show::bytes(entry.size()),
            show::age(now, entry.created_at()),
        ];
        if expires {
            row.push(entry.expires_at().map_or_else(String::new, |at| show::expiry(now, at)));
        }
        row.extend([show::params(entry)?, show::metadata(entry)]);
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    // Keys are copied from here: they are not broken, however narrow the terminal is.
    if let Some(key) = table.column_mut(0) {
        key.set_constraint(ColumnConstraint::ContentWidth);
    }
    if let Some(size) = table.column_mut(3) {
        size.set_cell_alignment(CellAlignment::Right);
    }
    for (i, line) in table.lines().enumerate() {
        if i == 0 { out.heading(line.trim_end())? } else { writeln!(out, "{}", line.trim_end())? }
    }
    Ok(())
}
