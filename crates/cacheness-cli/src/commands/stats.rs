//! `cacheness stats`

use std::collections::BTreeMap;
use std::io::Write;

use cacheness::EntryInfo;
use cacheness::core::cache::is_expired;
use serde::Serialize;

use crate::args::Stats;
use crate::failure::Failure;
use crate::output::{Output, printable};
use crate::place::Directory;
use crate::show::{self, entries};
use crate::table::{Column, Table};
use crate::terminal;

/// Entries, and the sum of their bytes.
#[derive(Default, Serialize)]
struct Sum {
    entries: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, entry: &EntryInfo) {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(entry.size());
    }
}

#[derive(Default, Serialize)]
struct Report {
    cache_dir: String,
    backend_type: String,
    blob_backend_type: String,
    total_entries: u64,
    total_size_bytes: u64,
    /// Payloads stored inside their entries; the others are files.
    inline: Sum,
    files: Sum,
    expired: Sum,
    unsigned: Sum,
    oldest: Option<String>,
    newest: Option<String>,
    types: BTreeMap<String, Sum>,
}

pub(crate) fn run(args: &Stats, directory: &Directory, out: &mut Output) -> Result<(), Failure> {
    let store = directory.read()?;
    let now = store.clock().now();
    let mut report = Report {
        cache_dir: directory.shown(),
        backend_type: store.metadata().name().to_owned(),
        blob_backend_type: store.blobs().name().to_owned(),
        ..Report::default()
    };
    let mut range = None;
    store.for_each("", |summary| {
        let entry = EntryInfo::from(summary);
        report.total_entries += 1;
        report.total_size_bytes = report.total_size_bytes.saturating_add(entry.size());
        if entry.is_inline() { &mut report.inline } else { &mut report.files }.add(&entry);
        if is_expired(entry.entry(), now) {
            report.expired.add(&entry);
        }
        if !entry.is_signed() {
            report.unsigned.add(&entry);
        }
        report.types.entry(entry.data_type().to_owned()).or_default().add(&entry);
        let at = entry.created_at();
        let (oldest, newest) = range.unwrap_or((at, at));
        range = Some((at.min(oldest), at.max(newest)));
        Ok(())
    })?;
    (report.oldest, report.newest) =
        (range.map(|(oldest, _)| oldest.to_iso()), range.map(|(_, newest)| newest.to_iso()));
    if args.json {
        let json = serde_json::to_string_pretty(&report).expect("names and numbers are valid JSON");
        writeln!(out, "{json}")?;
        return Ok(());
    }
    let line = |sum: &Sum| format!("{}, {}", entries(sum.entries), show::bytes(sum.bytes));
    writeln!(out, "directory  {}", printable(&report.cache_dir))?;
    writeln!(out, "backends   {}, {}", report.backend_type, report.blob_backend_type)?;
    let all = Sum { entries: report.total_entries, bytes: report.total_size_bytes };
    writeln!(out, "all        {}", line(&all))?;
    writeln!(out, "inline     {}", line(&report.inline))?;
    writeln!(out, "files      {}", line(&report.files))?;
    writeln!(out, "expired    {}", line(&report.expired))?;
    writeln!(out, "unsigned   {}", line(&report.unsigned))?;
    if let (Some(oldest), Some(newest)) = (&report.oldest, &report.newest) {
        writeln!(out, "oldest     {oldest}")?;
        writeln!(out, "newest     {newest}")?;
        writeln!(out)?;
        let columns =
            [Column::new("TYPE").shortened_to(8), Column::new("ENTRIES").right(), Column::new("SIZE").right()];
        let mut table = Table::new(columns.to_vec());
        for (name, sum) in &report.types {
            table.push(vec![printable(name), sum.entries.to_string(), show::bytes(sum.bytes)]);
        }
        table.print(terminal::width(), out)?;
    }
    Ok(())
}
