//! `cacheness put FILE k=v…`

use std::collections::HashSet;
use std::io::{Read, Write};
use std::path::Path;

use cacheness::config::SerializationConfig;
use cacheness::core::cache::{CacheAttributes, CacheEngine, Ttl};
use cacheness::core::formats::plain::Value;
use cacheness::core::handler::encode_plain;
use cacheness::core::store::EntryKey;
use cacheness::{CacheBuilder, Error, ErrorKind, IntoEntryKey, Params};

use crate::args::Put;
use crate::failure::Failure;
use crate::json;
use crate::output::{Output, printable, say};
use crate::place::Directory;
use crate::typed::{Field, Lifetime};

pub(crate) fn run(args: &Put, directory: &Directory, out: &mut Output) -> Result<(), Failure> {
    if args.key.is_none() && args.params.is_empty() {
        return Err(Failure::Usage("there are no parameters to make a key from", "give some, as k=v, or --key NAME"));
    }
    // Before a store is made: a file or a key that is not what it should be leaves nothing behind.
    let key = key(args)?;
    given_once("metadata field", args.metadata.iter().map(|field| field.name.as_str()))?;
    let value = read(args)?;
    let mut payload = Vec::new();
    value.encode(&mut payload)?;
    let is_new = !directory.path.join("cacheness.toml").exists();
    // The limits of whoever owns the store are not known here: nothing is evicted.
    let cache = CacheBuilder::from_env()?.unlimited().directory(&directory.path).open()?;
    let engine: &CacheEngine = cache.engine();
    let type_name = match value.type_name() {
        "None" => "NoneType",
        other => other,
    };
    let encoded = encode_plain(payload, format!("builtins.{type_name}").into(), &engine.store().config().compression)?;
    let metadata =
        (!args.metadata.is_empty()).then(|| serde_json::Value::Object(Field::map(&args.metadata)).to_string());
    let ttl = args.ttl.map_or(Ttl::Default, |Lifetime(seconds)| Ttl::Seconds(seconds));
    engine.put(
        &key,
        encoded,
        CacheAttributes { description: args.description.clone(), metadata, ttl, computed: None },
    )?;
    cache.close()?;
    if is_new {
        say(format_args!("made a new store in {}", printable(&directory.path.display().to_string())));
    }
    writeln!(out, "{}", key.as_str())?;
    Ok(())
}

/// Refuses a name that is given twice: only one of its values could be kept.
fn given_once<'a>(what: &str, mut names: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    let Some(twice) = names.find(|name| !seen.insert(*name)) else { return Ok(()) };
    let error = Error::new(ErrorKind::InvalidInput, format!("the {what} {twice:?} is given twice"));
    Err(Failure::CommandLine(error.with_hint("several values are a list: a=[1,2]")))
}

/// The key that the command line names.
fn key(args: &Put) -> Result<EntryKey, Failure> {
    let key = match &args.key {
        Some(name) => EntryKey::from_name(name.as_str()),
        None => {
            given_once("parameter", args.params.iter().map(|one| one.name.as_str()))?;
            let params = args.params.iter().fold(Params::new(), |all, one| all.with(one.name.as_str(), one));
            params.into_entry_key(&SerializationConfig::default())
        }
    };
    key.map_err(Failure::CommandLine)
}

/// The value that the file has in it.
fn read(args: &Put) -> Result<Value, Failure> {
    let path = args.file.as_path();
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
        let hint = "without --json its bytes are stored";
        let text = text(bytes, "JSON", hint)?;
        let value = json::parse(&text).map_err(|e| wrong(format!("is not valid JSON: {e}"), hint))?;
        return match json::name_given_twice(&value) {
            Some(name) => Err(wrong(format!("has the name {name:?} twice in one object"), "only one could be kept")),
            None => Ok(value),
        };
    }
    if args.text {
        return text(bytes, "UTF-8", "without --text its bytes are stored").map(Value::Str);
    }
    Ok(Value::Bytes(bytes))
}
