//! `cacheness report`

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::io::Write;

use cacheness::core::cache::is_expired;
use cacheness::core::entry::EntrySummary;
use cacheness::core::query::{Evaluator, Field, Filter, Ordered, Sort, Subject};
use cacheness::{EntryInfo, Timestamp};
use serde::Serialize;

use crate::args;
use crate::failure::Failure;
use crate::output::{Output, printable};
use crate::place::Directory;
use crate::show::{self, entries};
use crate::table::{Column, Table};
use crate::terminal;

/// Every report begins with the totals by type.
const TYPE: &str = "entry.data_type";

/// How many groups of a field are shown on a terminal.
const ROWS: usize = 20;

/// The totals of some entries. The names are those of `Cache.report` in Python.
#[derive(Clone, Debug, Default)]
struct Totals {
    entries: u64,
    bytes: u64,
    range: Option<(Timestamp, Timestamp)>,
    expired: u64,
    pinned: u64,
    reads: u64,
    seconds_saved: f64,
}

impl Totals {
    #[allow(clippy::cast_precision_loss)]
    fn add(&mut self, entry: &EntryInfo, pinned: bool, now: Timestamp) {
        let at = entry.created_at();
        let (oldest, newest) = self.range.unwrap_or((at, at));
        let reads = entry.access_count();
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(entry.size());
        self.range = Some((at.min(oldest), at.max(newest)));
        self.expired += u64::from(is_expired(entry.entry(), now));
        self.pinned += u64::from(pinned);
        self.reads = self.reads.saturating_add(reads);
        self.seconds_saved += reads as f64 * entry.compute_seconds().unwrap_or(0.0);
    }

    fn shown(&self) -> Shown {
        let iso = |time: Timestamp| time.to_iso();
        Shown {
            entries: self.entries,
            bytes: self.bytes,
            oldest: self.range.map(|(oldest, _)| iso(oldest)),
            newest: self.range.map(|(_, newest)| iso(newest)),
            expired: self.expired,
            pinned: self.pinned,
            reads: self.reads,
            seconds_saved: self.seconds_saved,
        }
    }
}

/// Totals in JSON.
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

#[derive(Serialize)]
struct Group {
    value: serde_json::Value,
    #[serde(flatten)]
    totals: Shown,
}

#[derive(Serialize)]
struct Report {
    cache_dir: String,
    #[serde(flatten)]
    totals: Shown,
    by: serde_json::Map<String, serde_json::Value>,
}

/// The groups of a field, the largest first; groups of one size in the order of their values.
type Groups = Vec<(Ordered, Totals)>;

pub(crate) fn run(args: &args::Report, directory: &Directory, out: &mut Output) -> Result<(), Failure> {
    let mut fields: Vec<(&str, Field)> = Vec::new();
    for name in [TYPE].into_iter().chain(args.by.iter().map(String::as_str)) {
        if fields.iter().all(|(known, _)| *known != name) {
            fields.push((name, Field::parse(name).map_err(Failure::CommandLine)?));
        }
    }
    let store = directory.read()?;
    let now = store.clock().now();
    let pinned: HashSet<String> = store.pinned()?.into_iter().collect();
    let every = Filter::all();
    let wanted: Vec<Sort> = fields.iter().map(|(_, field)| Sort { field: field.clone(), descending: false }).collect();
    let evaluator = Evaluator::new(&every, &wanted)?;
    let mut total = Totals::default();
    let mut groups: Vec<BTreeMap<Ordered, Totals>> = vec![BTreeMap::new(); fields.len()];
    args.filters.selection(now).for_each(&store, |entry| {
        let is_pinned = pinned.contains(entry.key());
        total.add(&entry, is_pinned, now);
        let whole = EntrySummary { entry: entry.entry().clone(), inline: entry.is_inline() };
        let subject = Subject::of(&whole, is_pinned);
        for ((_, field), groups) in fields.iter().zip(&mut groups) {
            for value in evaluator.values(&subject, field)? {
                groups.entry(Ordered(value)).or_default().add(&entry, is_pinned, now);
            }
        }
        Ok(())
    })?;
    store.close()?;
    let groups: Vec<(&str, Groups)> = fields
        .iter()
        .zip(groups)
        .map(|((name, _), groups)| {
            let mut groups: Groups = groups.into_iter().collect();
            groups.sort_by_key(|(_, totals)| Reverse((totals.bytes, totals.entries)));
            (*name, groups)
        })
        .collect();
    if args.json { object(directory, &total, groups, out) } else { tables(&total, &groups, now, out) }
}

fn object(directory: &Directory, total: &Totals, groups: Vec<(&str, Groups)>, out: &mut Output) -> Result<(), Failure> {
    let group = |(Ordered(value), totals): (Ordered, Totals)| {
        serde_json::to_value(Group { value: value.to_display_json(), totals: totals.shown() })
    };
    let by = groups.into_iter().map(|(name, groups)| {
        groups.into_iter().map(group).collect::<serde_json::Result<_>>().map(|groups| (name.to_owned(), groups))
    });
    let by = by.collect::<serde_json::Result<_>>().expect("names and numbers are valid JSON");
    let report = Report { cache_dir: directory.path.display().to_string(), totals: total.shown(), by };
    let json = serde_json::to_string_pretty(&report).expect("names and numbers are valid JSON");
    writeln!(out, "{json}")?;
    Ok(())
}

fn tables(total: &Totals, groups: &[(&str, Groups)], now: Timestamp, out: &mut Output) -> Result<(), Failure> {
    let flags = format!("{} expired, {} pinned", total.expired, total.pinned);
    writeln!(out, "{}, {}; {flags}", entries(total.entries), show::bytes(total.bytes))?;
    if let Some((oldest, newest)) = total.range {
        writeln!(out, "put from {} to {}", oldest.to_iso(), newest.to_iso())?;
    }
    let reads = if total.reads == 1 { "1 read".to_owned() } else { format!("{} reads", total.reads) };
    writeln!(out, "{reads} saved {} of computation", duration(total.seconds_saved))?;
    let width = terminal::width();
    for (name, groups) in groups.iter().filter(|(_, groups)| !groups.is_empty()) {
        writeln!(out)?;
        let title = if *name == TYPE { "TYPE".to_owned() } else { printable(name) };
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
        for (Ordered(value), totals) in groups.iter().take(shown) {
            let (oldest, newest) = totals.range.unwrap_or((now, now));
            table.push(vec![
                show::value(&value.to_display_json()),
                totals.entries.to_string(),
                show::bytes(totals.bytes),
                show::age(now, oldest),
                show::age(now, newest),
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
