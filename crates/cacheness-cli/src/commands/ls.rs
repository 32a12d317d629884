//! `cacheness ls DIR`

use std::cmp::Reverse;
use std::io::Write;

use cacheness::EntryInfo;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::Failure;
use crate::args::{Ls, Sort};
use crate::commands::open;
use crate::show;

pub(crate) fn run(args: &Ls, out: &mut dyn Write) -> Result<(), Failure> {
    let store = open(&args.dir)?;
    let mut entries: Vec<EntryInfo> = Vec::new();
    store.for_each(&args.prefix, |summary| {
        let entry = EntryInfo::from(summary);
        if args.data_type.as_deref().is_none_or(|wanted| wanted == entry.data_type()) {
            entries.push(entry);
        }
        Ok(())
    })?;
    let found = entries.len();
    match args.sort {
        Sort::Key => {}
        Sort::Created => entries.sort_by_key(|e| Reverse(e.created_at())),
        Sort::Accessed => entries.sort_by_key(|e| Reverse(e.accessed_at())),
        Sort::Size => entries.sort_by_key(|e| Reverse(e.size())),
    }
    entries.truncate(args.limit.unwrap_or(usize::MAX));
    if args.json {
        for entry in &entries {
            writeln!(out, "{}", show::json(entry)?)?;
        }
        return Ok(());
    }
    if entries.is_empty() {
        eprintln!("no entries");
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["KEY", "TYPE", "FORMAT", "SIZE", "CREATED", "PARAMETERS", "METADATA"]);
    let now = cacheness::Clock::system().now();
    for entry in &entries {
        table.add_row([
            entry.key().to_owned(),
            entry.data_type().to_owned(),
            show::format(entry),
            show::bytes(entry.size()),
            show::age(now, entry.created_at()),
            show::params(entry)?,
            show::metadata(entry),
        ]);
    }
    if let Some(size) = table.column_mut(3) {
        size.set_cell_alignment(CellAlignment::Right);
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    let bytes: u64 = entries.iter().map(EntryInfo::size).sum();
    let more = if entries.len() < found { format!(" of {found}") } else { String::new() };
    eprintln!("{}{more} entries, {}", entries.len(), show::bytes(bytes));
    Ok(())
}
