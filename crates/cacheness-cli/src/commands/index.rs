//! `cacheness index ls|add|remove`

use std::io::Write;
use std::path::Path;

use cacheness::query::Field;
use serde_json::json;

use crate::args::{Index, IndexChange, IndexLs, StoreOptions};
use crate::failure::Failure;
use crate::output::{Output, printable, say};
use crate::place::{Directory, directory_and_key};

pub(crate) fn run(args: &Index, option: &StoreOptions, out: &mut Output) -> Result<(), Failure> {
    match args {
        Index::Ls(ls) => list(ls, &Directory::choose(option, ls.place.directory.as_deref())?, out),
        Index::Add(add) => change(add, option, true),
        Index::Remove(remove) => change(remove, option, false),
    }
}

fn list(args: &IndexLs, directory: &Directory, out: &mut Output) -> Result<(), Failure> {
    let store = directory.read()?;
    let fields: Vec<String> = store.metadata().indexes()?.iter().map(ToString::to_string).collect();
    let text = store.metadata().has_text_index()?;
    if args.json {
        let report = json!({ "fields": fields, "text": text });
        writeln!(out, "{report:#}")?;
        return Ok(());
    }
    for field in &fields {
        writeln!(out, "{}", printable(field))?;
    }
    out.flush()?;
    if text {
        say("and the full-text index");
    } else if fields.is_empty() {
        say("no indexes");
    }
    Ok(())
}

fn change(args: &IndexChange, option: &StoreOptions, wanted: bool) -> Result<(), Failure> {
    if args.text {
        if args.words.len() > 1 {
            let what = "the full-text index has no field";
            return Err(Failure::Usage(what.into(), "with --text, the only argument is the store's directory".into()));
        }
        let store = Directory::choose(option, args.words.first().map(Path::new))?.write()?;
        let metadata = store.metadata();
        let changed = if wanted { metadata.create_text_index() } else { metadata.drop_text_index() }?;
        report("the full-text index", wanted, changed);
        return Ok(store.close()?);
    }
    if args.words.is_empty() {
        let hint = "give a field of the metadata, or --text for the full-text index";
        return Err(Failure::Usage("no field is given".into(), hint.into()));
    }
    let (directory, name) = directory_and_key(option, &args.words)?;
    let field = Field::parse(&name.to_string_lossy()).map_err(Failure::CommandLine)?;
    let store = directory.write()?;
    let changed = if wanted { store.metadata().create_index(&field) } else { store.metadata().drop_index(&field) }?;
    report(&format!("the index of {}", printable(&field.to_string())), wanted, changed);
    Ok(store.close()?)
}

fn report(what: &str, wanted: bool, changed: bool) {
    say(match (wanted, changed) {
        (true, true) => format!("added {what}"),
        (true, false) => format!("{what} exists already"),
        (false, true) => format!("removed {what}"),
        (false, false) => format!("{what} does not exist"),
    });
}
