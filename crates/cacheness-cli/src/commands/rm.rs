//! `cacheness rm [DIR] KEY…`, and in bulk `cacheness rm [DIR] FILTER…`.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use cacheness::EntryInfo;
use cacheness::core::entry::EntryVersion;
use cacheness::core::store::Store;
use serde_json::json;

use super::ls;
use crate::args::{Rm, StoreOptions};
use crate::failure::Failure;
use crate::output::{Output, say};
use crate::place::{Directory, directory_and_keys, resolve};
use crate::progress::Progress;
use crate::show::{self, entries};
use crate::terminal;

/// How many entries a preview shows.
const PREVIEW: usize = 10;
/// How many entries one transaction removes.
const BATCH: usize = 1024;

/// The entries to remove.
#[derive(Default)]
struct Found {
    versions: Vec<EntryVersion>,
    bytes: u64,
    /// The first of them.
    first: Vec<EntryInfo>,
}

impl Found {
    fn add(&mut self, entry: EntryInfo) {
        self.bytes = self.bytes.saturating_add(entry.size());
        self.versions.push(entry.entry().version());
        if self.first.len() < PREVIEW {
            self.first.push(entry);
        }
    }
}

pub(crate) fn run(args: &Rm, option: &StoreOptions, out: &mut Output) -> Result<(), Failure> {
    let in_bulk = !args.filters.is_empty();
    let (directory, keys) = if in_bulk {
        let directory = match args.words.as_slice() {
            [] => Directory::choose(option, None)?,
            [one] => Directory::choose(option, Some(Path::new(one)))?,
            _ => {
                let what = "rm takes keys or filters, not both";
                return Err(Failure::Usage(
                    what.into(),
                    "with filters, the only argument is the store's directory".into(),
                ));
            }
        };
        (directory, &[][..])
    } else if args.words.is_empty() {
        let hint = "give keys, or filters such as --prefix, --where, --older-than; use clear to remove all entries";
        return Err(Failure::Usage("no keys and no filters are given".into(), hint.into()));
    } else {
        directory_and_keys(option, &args.words)?
    };
    let store = if args.dry_run { directory.read()? } else { directory.write()? };
    let mut found = Found::default();
    if in_bulk {
        let selection = args.filters.selection(store.clock().now());
        // A filter with a mistake in it selects nothing, so nothing is removed.
        selection.for_each(&store, |entry| {
            found.add(entry);
            Ok(())
        })?;
        if found.versions.is_empty() {
            selection.explain_nothing();
        }
    }
    // Resolves all keys first: if one of them is wrong, nothing is removed.
    let keys = keys.iter().map(|key| resolve(&store, key)).collect::<Result<BTreeSet<_>, _>>()?;
    for key in keys {
        // An entry that another process has removed meanwhile is skipped.
        store.get_entry(&key)?.into_iter().for_each(|summary| found.add(summary.into()));
    }
    if args.dry_run {
        return preview(args, &found, &store, out);
    }
    if in_bulk && !args.removing.yes && !found.versions.is_empty() {
        if !terminal::may_ask() {
            let what =
                format!("{} would be removed, but there is no terminal to ask for confirmation", summary(&found));
            let hint = "use --yes to remove without asking, or --dry-run to show the entries";
            return Err(Failure::Usage(what, hint.into()));
        }
        show_first(&found, &store, say);
        if !terminal::ask(&format!("Remove {}?", summary(&found))) {
            return Err(Failure::Declined("nothing was removed"));
        }
    }
    let changed = if in_bulk { remove(args, &store, &found)? } else { BTreeSet::new() };
    if !in_bulk {
        for version in &found.versions {
            store.delete(&version.key)?;
        }
    }
    store.close()?;
    let removed = found.versions.len() as u64 - changed.len() as u64;
    if args.json {
        let keys: Vec<&str> = found.versions.iter().filter(|v| !changed.contains(&v.key)).map(|v| &*v.key).collect();
        let report = json!({ "dry_run": false, "entries": removed, "changed": changed, "keys": keys });
        writeln!(out, "{report:#}")?;
    } else {
        say(format_args!("removed {}", entries(removed)));
    }
    if !changed.is_empty() {
        let stay = entries(changed.len() as u64);
        say(format_args!("kept {stay} that changed meanwhile"));
    }
    Ok(())
}

fn summary(found: &Found) -> String {
    format!("{} ({})", entries(found.versions.len() as u64), show::bytes(found.bytes))
}

/// Removes the entries that have not changed since they were found; returns the keys of those that have.
fn remove(args: &Rm, store: &Store, found: &Found) -> Result<BTreeSet<String>, Failure> {
    let mut progress = Progress::entries(args.removing.progress.progress, found.versions.len() as u64).says("removing");
    let mut changed = BTreeSet::new();
    for batch in found.versions.chunks(BATCH) {
        for version in store.delete_batch(batch)? {
            if store.get_entry(&version.key)?.is_some() {
                changed.insert(version.key.clone());
            }
        }
        progress.advance(batch.len() as u64);
    }
    Ok(changed)
}

/// Prints what would be removed.
fn preview(args: &Rm, found: &Found, store: &Store, out: &mut Output) -> Result<(), Failure> {
    if args.json {
        let keys: Vec<&str> = found.versions.iter().map(|version| &*version.key).collect();
        let report = json!({ "dry_run": true, "entries": keys.len(), "bytes": found.bytes, "keys": keys });
        writeln!(out, "{report:#}")?;
        return Ok(());
    }
    let mut lines = Vec::new();
    show_first(found, store, |line| lines.push(line));
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    say(format_args!("{} would be removed", summary(found)));
    Ok(())
}

/// Prints the first entries, line by line.
fn show_first(found: &Found, store: &Store, mut line: impl FnMut(String)) {
    if found.first.is_empty() {
        return;
    }
    let table = ls::table(&found.first, store.clock().now());
    table.lines(terminal::width()).0.into_iter().for_each(&mut line);
    let more = found.versions.len() - found.first.len();
    if more > 0 {
        line(format!("… and {more} more"));
    }
}
