//! Completions of a word on the command line: verbs and options, and keys of the store that the words before it name.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};

use cacheness::EntryInfo;
use cacheness::core::backend::{Page, Query};
use cacheness::core::fields::FIELDS;
use clap::{ArgMatches, CommandFactory};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter, complete};

use crate::args::{Args, StoreOptions};
use crate::failure::Failure;
use crate::output::{Output, is_tricky};
use crate::place::{Directory, directory_and_keys, holds_a_store};
use crate::show;
use crate::table::shorten;
use crate::typed::ORDERS;

/// The maximum number of keys offered.
const KEYS: usize = 200;
/// How many entries are scanned for the names of functions.
const LOOKED_AT: usize = 2_000;
/// The maximum length of the help text of a candidate.
const HELP: usize = 80;
const TYPES: [&str; 6] = ["array", "dataframe", "object", "plain", "series", "table"];

/// The verb in the scripts that [`completions`](crate::commands) prints: `cacheness __complete -- WORD…`. It is not part of
/// the documented command line.
const VERB: &str = "__complete";

/// The words to complete, if the arguments request completion.
pub(crate) fn asked(args: &[OsString]) -> Option<&[OsString]> {
    match args {
        [_, verb, dashes, words @ ..] if verb == VERB && dashes == "--" => Some(words),
        _ => None,
    }
}

/// Prints the candidates for the last of `words`, each with a tab and its help text.
pub(crate) fn run(words: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let Some(last) = words.len().checked_sub(1) else { return Ok(()) };
    let mut command = command(&words[..last]);
    let current = std::env::current_dir().ok();
    // Invalid words have no candidates.
    let candidates = complete(&mut command, words.to_vec(), last, current.as_deref()).unwrap_or_default();
    for candidate in candidates.iter().filter(|candidate| !candidate.is_hide_set()) {
        let Some(value) = candidate.get_value().to_str().filter(|value| !value.contains(is_tricky)) else { continue };
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        let help = help.lines().next().unwrap_or_default();
        writeln!(out, "{value}\t{}", shorten(help, HELP))?;
    }
    Ok(())
}

/// The command line, with completers for the word after the words `before`.
fn command(before: &[OsString]) -> clap::Command {
    let command = Args::command();
    let found = command.clone().ignore_errors(true).try_get_matches_from(before).ok();
    let verb = found.as_ref().and_then(ArgMatches::subcommand);
    let Some((verb, matches)) = verb else { return command };
    let text = |name: &str| matches.try_get_one::<String>(name).ok().flatten().cloned();
    let dir = matches.try_get_one::<PathBuf>("dir").ok().flatten().cloned();
    let option = StoreOptions { dir, url: text("url"), blobs: text("blobs") };
    let words: Vec<OsString> = match matches.try_get_many::<OsString>("words") {
        Ok(Some(words)) => words.cloned().collect(),
        _ => Vec::new(),
    };
    let place = matches.try_get_one::<PathBuf>("directory").ok().flatten().cloned();
    let position = Position { option, words, place };
    let add = |command: clap::Command, name: &'static str, completer: ArgValueCompleter| {
        if command.get_arguments().any(|arg| arg.get_id() == name) {
            command.mut_arg(name, |arg| arg.add(completer))
        } else {
            command
        }
    };
    let keys = matches!(verb, "get" | "info" | "rm").then(|| position.clone());
    command.mut_subcommand(verb, |command| {
        let command = match keys {
            None => command,
            Some(position) => add(command, "words", ArgValueCompleter::new(Keys(position))),
        };
        let types = |current: &OsStr| {
            let matching = TYPES.iter().filter(|name| name.starts_with(&*current.to_string_lossy()));
            matching.map(CompletionCandidate::new).collect()
        };
        let command = add(command, "data_type", ArgValueCompleter::new(types));
        let command = add(command, "tags", ArgValueCompleter::new(Tags(position.clone())));
        let command =
            add(command, "conditions", ArgValueCompleter::new(Fields { position: position.clone(), sort: false }));
        let command = add(command, "sort", ArgValueCompleter::new(Fields { position: position.clone(), sort: true }));
        add(command, "function", ArgValueCompleter::new(Functions(position)))
    })
}

/// What the words before the cursor say about the store.
#[derive(Clone)]
struct Position {
    option: StoreOptions,
    words: Vec<OsString>,
    place: Option<PathBuf>,
}

impl Position {
    /// The entries whose keys start with `prefix`.
    fn entries(&self, prefix: &str, limit: usize) -> Vec<EntryInfo> {
        let found = || {
            let store = self.directory()?.read()?;
            let found =
                store.metadata().select(&Query { prefix, ..Query::default() }, &Page { limit, ..Page::default() })?;
            Ok::<_, Failure>(found.into_iter().map(EntryInfo::from).collect())
        };
        // A store that cannot be read has no candidates.
        found().unwrap_or_default()
    }

    fn directory(&self) -> Result<Directory, Failure> {
        let word = self.place.as_deref();
        // `words` excludes the word under the cursor, so a single word may be the directory.
        match self.words.as_slice() {
            [first] if !self.option.is_given() && holds_a_store(Path::new(first)) => {
                Directory::choose(&self.option, Some(Path::new(first)))
            }
            words if word.is_none() => Ok(directory_and_keys(&self.option, words)?.0),
            _ => Directory::choose(&self.option, word),
        }
    }
}

/// Completes keys and, for the first word, directories that contain stores.
struct Keys(Position);

impl ValueCompleter for Keys {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let text = current.to_string_lossy();
        let describe = |entry: EntryInfo| {
            let call = Some(show::call(&entry)).filter(|call| !call.is_empty());
            let words = call.unwrap_or_else(|| format!("{}, {}", entry.data_type(), show::bytes(entry.size())));
            CompletionCandidate::new(entry.key()).help(Some(words.into()))
        };
        let mut all: Vec<_> = self.0.entries(&text, KEYS).into_iter().map(describe).collect();
        if self.0.words.is_empty() && !self.0.option.is_given() {
            let is_wanted =
                |found: &CompletionCandidate| text.contains('/') || holds_a_store(Path::new(found.get_value()));
            all.extend(PathCompleter::dir().complete(current).into_iter().filter(is_wanted));
        }
        all
    }
}

/// Completes tags that are in the store.
struct Tags(Position);

impl ValueCompleter for Tags {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let text = current.to_string_lossy();
        let entries = self.0.entries("", LOOKED_AT);
        let tags: BTreeSet<String> = entries.iter().flat_map(EntryInfo::tags).collect();
        tags.into_iter().filter(|tag| tag.starts_with(&*text)).map(CompletionCandidate::new).collect()
    }
}

/// Completes the name of a field at the start of a filter, or of an order.
struct Fields {
    position: Position,
    sort: bool,
}

impl ValueCompleter for Fields {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let text = current.to_string_lossy();
        let (sign, text) = match text.strip_prefix('-') {
            Some(text) if self.sort => ("-", text),
            _ => ("", &*text),
        };
        let mut names = BTreeSet::new();
        for entry in self.position.entries("", LOOKED_AT) {
            let literally = |name: &String| name.replace('\\', "\\\\").replace('.', "\\.");
            names.extend(entry.metadata().keys().map(literally));
            if let Ok(Some(serde_json::Value::Object(params))) = entry.params() {
                names.extend(params.keys().map(|name| format!("params.{}", literally(name))));
            }
        }
        names.extend(FIELDS.iter().map(|name| format!("entry.{name}")));
        if self.sort && sign.is_empty() {
            names.extend(ORDERS.iter().map(|(name, _)| (*name).to_owned()));
        }
        let is_wanted = |name: &String| name.starts_with(text) && !name.contains(|c: char| c.is_whitespace());
        names.into_iter().filter(is_wanted).map(|name| CompletionCandidate::new(format!("{sign}{name}"))).collect()
    }
}

/// Completes the names of functions whose results are in the store.
struct Functions(Position);

impl ValueCompleter for Functions {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let text = current.to_string_lossy();
        let entries = self.0.entries("", LOOKED_AT);
        let mut names: Vec<String> = entries.iter().filter_map(EntryInfo::function).collect();
        names.retain(|name| name.starts_with(&*text));
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(CompletionCandidate::new).collect()
    }
}
