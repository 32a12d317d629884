//! `cacheness put [DIR] FILE NAME=VALUE…`

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;

use cacheness::config::SerializationConfig;
use cacheness::core::cache::{CacheAttributes, CacheEngine, Ttl};
use cacheness::core::formats::plain::Value;
use cacheness::core::storable::encode_plain;
use cacheness::core::store::EntryKey;
use cacheness::core::tags;
use cacheness::{Error, ErrorKind, IntoEntryKey, Params};

use crate::args::{Put, StoreOptions};
use crate::failure::Failure;
use crate::json;
use crate::output::{Output, printable, say};
use crate::place::Directory;
use crate::typed::{Field, Lifetime, Parameter};

/// The words after the verb.
struct Words<'a> {
    directory: Option<&'a Path>,
    file: &'a Path,
    params: Vec<Parameter>,
}

impl<'a> Words<'a> {
    /// A parameter contains `=`. If the first two words do not, the first is the directory.
    fn read(option: &StoreOptions, words: &'a [OsString]) -> Result<Self, Failure> {
        let is_parameter = |word: &OsString| word.to_string_lossy().contains('=');
        let (directory, file, params) = match words {
            [directory, file, params @ ..] if !option.is_given() && !is_parameter(file) => {
                if Path::new(directory).is_file() {
                    return Err(Failure::Usage(
                        format!("{file:?} is not a parameter, and {directory:?} is a file, not a directory"),
                        "write parameters as model=ridge, and the store's directory before the file".into(),
                    ));
                }
                (Some(Path::new(directory)), Path::new(file), params)
            }
            [file, params @ ..] => (None, Path::new(file), params),
            [] => (None, Path::new("-"), words),
        };
        let parameter = |word: &OsString| {
            let wrong = |why: &str| {
                Failure::Usage(
                    format!("{word:?} is not a parameter: {why}"),
                    "write parameters as model=ridge, in quotes if they contain spaces".into(),
                )
            };
            let text = word.to_str().ok_or_else(|| wrong("it is not valid UTF-8"))?;
            text.parse().map_err(|why: String| wrong(&why))
        };
        Ok(Self { directory, file, params: params.iter().map(parameter).collect::<Result<_, _>>()? })
    }
}

pub(crate) fn run(args: &Put, option: &StoreOptions, out: &mut Output) -> Result<(), Failure> {
    let words = Words::read(option, &args.words)?;
    let directory = Directory::choose(option, words.directory)?;
    let usage = |what: &str, hint: &str| Err(Failure::Usage(what.into(), hint.into()));
    match (&args.key, words.params.is_empty()) {
        (None, true) => {
            return usage("there are no parameters to derive a key from", "give parameters as k=v, or --key NAME");
        }
        (Some(_), false) => {
            return usage("give parameters or --key, not both", "use --metadata for further values");
        }
        _ => {}
    }
    // Checked before the store is created, so that an invalid file or key leaves nothing behind.
    let key = key(args, &words.params)?;
    given_once("metadata field", args.metadata.iter().map(|field| field.name.as_str()))?;
    let metadata = (!args.metadata.is_empty()).then(|| Field::json(&args.metadata)).transpose();
    let metadata = metadata.map_err(Failure::CommandLine)?;
    let metadata = tags::join(metadata, &args.tags).map_err(Failure::CommandLine)?;
    let value = read(args, words.file)?;
    let mut payload = Vec::new();
    value.encode(&mut payload)?;
    let is_new = directory.is_new();
    // The limits of the programs that use the store are unknown here: evict nothing.
    let cache = directory.builder().unlimited().open()?;
    let engine: &CacheEngine = cache.engine();
    let type_name = match value.type_name() {
        "None" => "NoneType",
        other => other,
    };
    let encoded = encode_plain(payload, format!("builtins.{type_name}").into(), &engine.store().config().compression)?;
    let ttl = args.ttl.map_or(Ttl::Default, |Lifetime(seconds)| Ttl::Seconds(seconds));
    engine.put(
        &key,
        encoded,
        CacheAttributes { description: args.description.clone(), metadata, ttl, computed: None },
    )?;
    cache.close()?;
    if is_new {
        say(format_args!("created a new store in {}", printable(&directory.shown())));
    }
    writeln!(out, "{}", key.as_str())?;
    Ok(())
}

/// Refuses a duplicate name: only one of its values could be stored.
fn given_once<'a>(what: &str, mut names: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    let Some(twice) = names.find(|name| !seen.insert(*name)) else { return Ok(()) };
    let error = Error::new(ErrorKind::InvalidInput, format!("the {what} {twice:?} is given twice"));
    Err(Failure::CommandLine(error.with_hint("give several values as a list: a=[1,2]")))
}

/// The key that the command line names.
fn key(args: &Put, params: &[Parameter]) -> Result<EntryKey, Failure> {
    let key = match &args.key {
        Some(name) => EntryKey::from_name(name.as_str()),
        None => {
            given_once("parameter", params.iter().map(|one| one.name.as_str()))?;
            let params = params.iter().fold(Params::new(), |all, one| all.with(one.name.as_str(), one));
            params.into_entry_key(&SerializationConfig::default())
        }
    };
    key.map_err(Failure::CommandLine)
}

/// The value in the file.
fn read(args: &Put, path: &Path) -> Result<Value, Failure> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        read.map_err(|e| Failure::file("read", Path::new("standard input"), e))?;
        bytes
    } else {
        std::fs::read(path).map_err(|e| Failure::file("read", path, e))?
    };
    let wrong = |what: String, hint: &'static str| {
        let message = format!("{} {what}", path.display());
        Failure::Engine(Error::new(ErrorKind::Serialization, message).with_hint(hint))
    };
    let text = |bytes, wanted: &str, hint| {
        String::from_utf8(bytes).map_err(|e| wrong(format!("is not valid {wanted}: {e}"), hint))
    };
    if args.json {
        let hint = "omit --json to store its bytes";
        let text = text(bytes, "JSON", hint)?;
        let value = json::parse(&text).map_err(|e| wrong(format!("is not valid JSON: {e}"), hint))?;
        return match json::name_given_twice(&value) {
            Some(name) => {
                Err(wrong(format!("has the name {name:?} twice in one object"), "only one of them could be stored"))
            }
            None => Ok(value),
        };
    }
    if args.text {
        return text(bytes, "UTF-8", "omit --text to store its bytes").map(Value::Str);
    }
    Ok(Value::Bytes(bytes))
}
