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
use crate::output::{Output, say};
use crate::place::Directory;
use crate::typed::{Field, Lifetime};

pub(crate) fn run(args: &Put, directory: &Directory, out: &mut Output) -> Result<(), Failure> {
    if args.key.is_none() && args.params.is_empty() {
        return Err(Failure::Usage("there are no parameters to make a key from", "give some, as k=v, or --key NAME"));
    }
    // Before a store is made: a file or a key that is not what it should be leaves nothing behind.
    let key = key(args)?;
    let value = read(args)?;
    let mut payload = Vec::new();
    value.encode(&mut payload)?;
    if args.json {
        // What cannot be read again is not stored: a map with a name twice.
        Value::decode(&payload).map_err(|e| e.within(args.file.display()))?;
    }
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
    engine.put(&key, encoded, CacheAttributes { description: args.description.clone(), metadata, ttl })?;
    cache.close()?;
    if is_new {
        say(format_args!("made a new store in {}", directory.path.display()));
    }
    writeln!(out, "{}", key.as_str())?;
    Ok(())
}

/// The key that the command line names.
fn key(args: &Put) -> Result<EntryKey, Failure> {
    let key = match &args.key {
        Some(name) => EntryKey::from_name(name.as_str()),
        None => {
            let mut names = HashSet::new();
            if let Some(twice) = args.params.iter().find(|one| !names.insert(&one.name)) {
                let what = format!("the parameter {:?} is given twice", twice.name);
                let error = Error::new(ErrorKind::InvalidInput, what);
                return Err(Failure::Key(error.with_hint("several values are a list: a=[1,2]")));
            }
            let params = args.params.iter().fold(Params::new(), |all, one| all.with(one.name.as_str(), one));
            params.into_entry_key(&SerializationConfig::default())
        }
    };
    key.map_err(Failure::Key)
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
    if args.json {
        if let Some(digits) = wide_integer(&bytes) {
            let what = format!("has the integer {digits}, which does not fit 64 bits");
            return Err(wrong(what, "JSON would make a rounded float of it; put it in quotes"));
        }
        return serde_json::from_slice(&bytes)
            .map_err(|e| wrong(format!("is not valid JSON: {e}"), "without --json its bytes are stored"));
    }
    if args.text {
        return String::from_utf8(bytes)
            .map(Value::Str)
            .map_err(|e| wrong(format!("is not valid UTF-8: {e}"), "without --text its bytes are stored"));
    }
    Ok(Value::Bytes(bytes))
}

/// The first integer in a JSON text that neither `i64` nor `u64` holds; a parser makes a float of it without a word.
fn wide_integer(json: &[u8]) -> Option<String> {
    let mut rest = json;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'"' {
            while let Some((&byte, after)) = rest.split_first() {
                rest = if byte == b'\\' { after.get(1..).unwrap_or_default() } else { after };
                if byte == b'"' {
                    break;
                }
            }
        } else if first == b'-' || first.is_ascii_digit() {
            let count = rest.iter().take_while(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')).count();
            let number = [&[first], &rest[..count]].concat();
            rest = &rest[count..];
            let text = String::from_utf8(number).ok()?;
            let is_integer = !text.contains(['.', 'e', 'E']);
            if is_integer && text.parse::<i64>().is_err() && text.parse::<u64>().is_err() {
                return Some(text);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::wide_integer;

    #[test]
    fn integers_that_json_would_round_are_found() {
        for json in [
            "18446744073709551615",
            "[-9223372036854775808]",
            "\"99999999999999999999\"",
            "1e30",
            "{\"a\\\"99999999999999999999\": 1}",
            "\"\\",
            "",
        ] {
            assert_eq!(wide_integer(json.as_bytes()), None, "{json}");
        }
        for json in ["18446744073709551616", "{\"a\": [1, -9223372036854775809]}", "[\"\\\\\", 99999999999999999999]"] {
            assert!(wide_integer(json.as_bytes()).is_some(), "{json}");
        }
    }
}
