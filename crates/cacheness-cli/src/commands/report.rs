//! `cacheness report`

use std::io::Write;

use cacheness::core::query::Field;
use cacheness::report::{Group, Report, TYPE, Totals};
use serde::Serialize;

use crate::args;
use crate::failure::Failure;
use crate::output::{Output, printable};
use crate::place::Directory;
use crate::show::{self, entries};
use crate::table::{Column, Table};
use crate::terminal;

/// How many groups of a field are shown on a terminal.
const ROWS: usize = 20;

/// Totals in JSON, with the names of `Cache.report` in Python.
#[derive(Serialize)]
struct Shown {
    entries: u64,
    bytes: u64,
    oldest: Option<String>,
    newest: Option<String>,
    expired: u64,
    pinned: u64,
    reads: u64,
    seconds_saved: f64,
}

impl From<&Totals> for Shown {
    fn from(totals: &Totals) -> Self {
        Self {
            entries: totals.entries,
            bytes: totals.bytes,
            oldest: totals.created.map(|(oldest, _)| oldest.to_iso()),
            newest: totals.created.map(|(_, newest)| newest.to_iso()),
            expired: totals.expired,
            pinned: totals.pinned,
            reads: totals.reads,
            seconds_saved: totals.seconds_saved,
        }
    }
}

#[derive(Serialize)]
struct ShownGroup {
    value: serde_json::Value,
    #[serde(flatten)]
    totals: Shown,
}

#[derive(Serialize)]
struct ShownReport {
    cache_dir: String,
    #[serde(flatten)]
    totals: Shown,
    by: serde_json::Map<String, serde_json::Value>,
}

pub(crate) fn run(args: &args::Report, directory: &Directory, out: &mut Output) -> Result<(), Failure> {
    for name in &args.by {
        Field::parse(name).map_err(Failure::CommandLine)?;
    }
    let store = directory.read()?;
    let now = store.clock().now();
    let selection = args.filters.selection(now);
    let report = Report::of(&store, &selection.all(), &args.by, now)?;
    store.close()?;
    if args.json { object(directory, &report, out) } else { tables(&report, out) }
}

fn object(directory: &Directory, report: &Report, out: &mut Output) -> Result<(), Failure> {
    let group = |Group { value, totals, .. }: &Group| {
        serde_json::to_value(ShownGroup { value: value.to_display_json(), totals: totals.into() })
    };
    let by = report.by.iter().map(|(name, groups)| {
        groups.iter().map(group).collect::<serde_json::Result<_>>().map(|groups| (name.clone(), groups))
    });
    let by = by.collect::<serde_json::Result<_>>().expect("names and numbers are valid JSON");
    let shown = ShownReport { cache_dir: directory.shown(), totals: (&report.totals).into(), by };
    let json = serde_json::to_string_pretty(&shown).expect("names and numbers are valid JSON");
    writeln!(out, "{json}")?;
    Ok(())
}

fn tables(report: &Report, out: &mut Output) -> Result<(), Failure> {
    let Report { time: now, totals: total, .. } = report;
    let flags = format!("{} expired, {} pinned", total.expired, total.pinned);
    writeln!(out, "{}, {}; {flags}", entries(total.entries), show::bytes(total.bytes))?;
    if let Some((oldest, newest)) = total.created {
        writeln!(out, "put from {} to {}", oldest.to_iso(), newest.to_iso())?;
    }
    let reads = if total.reads == 1 { "1 read".to_owned() } else { format!("{} reads", total.reads) };
    writeln!(out, "{reads} saved {} of computation", duration(total.seconds_saved))?;
    let width = terminal::width();
    for (name, groups) in report.by.iter().filter(|(_, groups)| !groups.is_empty()) {
        writeln!(out)?;
        let title = if name == TYPE { "TYPE".to_owned() } else { printable(name) };
        let mut table = Table::new(vec![
            Column::new(title).shortened_to(8),
            Column::new("ENTRIES").right(),
            Column::new("SIZE").right(),
            Column::new("OLDEST").left_out(3),
            Column::new("NEWEST").left_out(4),
            Column::new("EXPIRED").right().left_out(2),
            Column::new("PINNED").right().left_out(1),
            Column::new("READS").right().left_out(5),
            Column::new("SAVED").right().left_out(6),
        ]);
        // A file or a pipe gets all of them.
        let shown = if width.is_some() { ROWS } else { groups.len() };
        for Group { value, totals, .. } in groups.iter().take(shown) {
            let (oldest, newest) = totals.created.unwrap_or((*now, *now));
            table.push(vec![
                show::value(&value.to_display_json()),
                totals.entries.to_string(),
                show::bytes(totals.bytes),
                show::age(*now, oldest),
                show::age(*now, newest),
                totals.expired.to_string(),
                totals.pinned.to_string(),
                totals.reads.to_string(),
                duration(totals.seconds_saved),
            ]);
        }
        table.print(width, out)?;
        if groups.len() > shown {
            writeln!(out, "… and {} more", groups.len() - shown)?;
        }
    }
    Ok(())
}

fn duration(seconds: f64) -> String {
    for (unit, length) in [("d", 86_400.0), ("h", 3600.0), ("min", 60.0)] {
        if seconds >= length {
            return format!("{:.1} {unit}", seconds / length);
        }
    }
    format!("{seconds:.1} s")
}
