//! `cacheness tag ls|add|remove`

use std::ffi::OsString;
use std::io::Write;

use crate::args::{StoreOptions, Tag, TagChange, TagLs};
use crate::failure::Failure;
use crate::output::{Output, printable, say};
use crate::place::{Directory, directory_and_keys, resolve};
use crate::table::{Column, Table};
use crate::terminal;

pub(crate) fn run(args: &Tag, option: &StoreOptions, out: &mut Output) -> Result<(), Failure> {
    match args {
        Tag::Ls(ls) => list(ls, &Directory::choose(option, ls.place.directory.as_deref())?, out),
        Tag::Add(add) => change(add, option, true),
        Tag::Remove(remove) => change(remove, option, false),
    }
}

fn list(args: &TagLs, directory: &Directory, out: &mut Output) -> Result<(), Failure> {
    let tags = directory.read()?.tags()?;
    if args.json {
        let json = serde_json::to_string_pretty(&tags).expect("names and numbers are valid JSON");
        writeln!(out, "{json}")?;
        return Ok(());
    }
    if tags.is_empty() {
        say("no tags");
        return Ok(());
    }
    let mut table = Table::new(vec![Column::new("TAG").shortened_to(16), Column::new("ENTRIES").right()]);
    for (tag, count) in tags {
        table.push(vec![printable(&tag), count.to_string()]);
    }
    table.print(terminal::width(), out)?;
    Ok(())
}

fn change(args: &TagChange, option: &StoreOptions, add: bool) -> Result<(), Failure> {
    let (directory, words) = directory_and_keys(option, &args.words)?;
    let [key, tags @ ..] = words else {
        return Err(Failure::Usage("no key is given".into(), "give a key and tags".into()));
    };
    if tags.is_empty() {
        return Err(Failure::Usage("no tags are given".into(), "give a key and tags".into()));
    }
    let tags = tags.iter().map(text).collect::<Result<Vec<String>, _>>()?;
    let store = directory.write()?;
    let key = resolve(&store, key)?;
    let (added, removed) = if add { (&tags[..], &[][..]) } else { (&[][..], &tags[..]) };
    let found = store.change_tags(&key, added, removed)?;
    store.close()?;
    if !found {
        return Err(Failure::NoEntry(key.into()));
    }
    let (verb, place) = if add { ("added", "to") } else { ("removed", "from") };
    say(format_args!("{verb} {} {place} {}", printable(&tags.join(", ")), printable(&key)));
    Ok(())
}

fn text(word: &OsString) -> Result<String, Failure> {
    word.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::Usage("a tag is not UTF-8".into(), "give it in UTF-8".into()))
}
