//! `cacheness ls [DIR]`

use std::io::Write;

use cacheness::{EntryInfo, Timestamp};
use serde_json::Value;

use crate::args::Ls;
use crate::failure::Failure;
use crate::output::{Output, printable, say};
use crate::place::Directory;
use crate::show::{self, entries};
use crate::table::{Column, Table};
use crate::terminal;

pub(crate) fn run(args: &Ls, directory: &Directory, out: &mut Output) -> Result<(), Failure> {
    let store = directory.read()?;
    let now = store.clock().now();
    let selection = args.filters.selection(now);
    let selection = if args.expired { selection.expired(now) } else { selection };
    let found = selection.list(&store, &args.sort, args.reverse, args.offset, args.limit)?;
    let count = if args.limit.is_none() && args.offset == 0 { found.len() as u64 } else { selection.count(&store)? };
    if args.quiet {
        print_keys(&found, args.null, out)?;
    } else if args.json {
        print_json(&found, out)?;
    } else if !found.is_empty() {
        return print_table(&found, count, now, out);
    } else {
        say(if count == 0 { "no entries" } else { "no entries shown" });
    }
    if count == 0 {
        selection.explain_nothing();
    }
    Ok(())
}

/// Prints a JSON object for each entry, one per line.
pub(super) fn print_json(found: &[EntryInfo], out: &mut Output) -> Result<(), Failure> {
    for entry in found {
        writeln!(out, "{}", Value::Object(show::json(entry)?))?;
    }
    Ok(())
}

/// Prints the table of some of `count` entries, and a line below it.
pub(super) fn print_table(found: &[EntryInfo], count: u64, now: Timestamp, out: &mut Output) -> Result<(), Failure> {
    let table = table(found, now);
    let missing = table.print(terminal::width(), out)?;
    let bytes = found.iter().map(EntryInfo::size).fold(0, u64::saturating_add);
    let shown = if (found.len() as u64) < count { format!("{} of ", found.len()) } else { String::new() };
    let missing = if missing.is_empty() {
        String::new()
    } else {
        format!(" (too narrow for {})", missing.join(", ").to_lowercase())
    };
    out.flush()?;
    say(format_args!("{shown}{}, {}{missing}", entries(count), show::bytes(bytes)));
    Ok(())
}

/// Prints complete keys. On a terminal control characters are escaped; another program gets the keys unchanged.
pub(super) fn print_keys(found: &[EntryInfo], null: bool, out: &mut Output) -> Result<(), Failure> {
    let on_terminal = terminal::width().is_some();
    for entry in found {
        let key = if on_terminal { printable(entry.key()) } else { entry.key().to_owned() };
        write!(out, "{key}{}", if null { '\0' } else { '\n' })?;
    }
    Ok(())
}

/// The entries as a table.
pub(crate) fn table(entries: &[EntryInfo], now: Timestamp) -> Table {
    let expires = entries.iter().any(|entry| entry.expires_at().is_some());
    let mut columns = vec![
        Column::new("KEY").shortened_to(16),
        Column::new("TYPE").left_out(5),
        Column::new("FORMAT").left_out(1),
        Column::new("SIZE").right().left_out(6),
        Column::new("CREATED").left_out(4),
    ];
    columns.extend(expires.then_some(Column::new("EXPIRES").left_out(3)));
    columns.push(Column::new("PARAMETERS").shortened_to(20).left_out(7));
    columns.push(Column::new("METADATA").shortened_to(16).left_out(2));
    let mut table = Table::new(columns);
    for entry in entries {
        let mut row = vec![
            printable(entry.key()),
            printable(entry.data_type()),
            printable(&show::format(entry.storage_format(), entry.compression())),
            show::bytes(entry.size()),
            show::age(now, entry.created_at()),
        ];
        if expires {
            row.push(entry.expires_at().map_or_else(String::new, |at| show::expiry(now, at)));
        }
        row.extend([show::call(entry), show::metadata(entry)]);
        table.push(row);
    }
    table
}
