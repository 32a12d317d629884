//! `cacheness get [DIR] KEY`

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use cacheness::StoreConfig;
use cacheness::core::cache::is_expired;
use cacheness::core::formats::plain::Value;
use cacheness::core::handler::decode_plain;
use cacheness::core::payload::Stored;
use cacheness::core::store::{EntryKey, Fetched};
use cacheness::{Error, ErrorKind};

use crate::args::Get;
use crate::failure::Failure;
use crate::json;
use crate::output::{Output, printable, say};
use crate::place::{Directory, resolve};
use crate::show;

/// More plain data than this is not printed on a terminal.
const PRINTED: u64 = 1 << 20;

pub(crate) fn run(args: &Get, directory: &Directory, out: &mut Output) -> Result<(), Failure> {
    let mut config = StoreConfig::default();
    // Nothing here decodes a pickle: its bytes are written into a file, which runs nothing.
    config.security.trust_unsigned_pickles = true;
    let store = directory.read_with(config)?;
    let key = resolve(&store, args.which.key())?;
    let (now, mut expired) = (store.clock().now(), false);
    let fetched = store.fetch(&EntryKey::Name(key.clone()), store.read_options(), |entry| {
        expired = is_expired(entry, now);
        args.expired || !expired
    })?;
    let stored = match fetched {
        Fetched::Found(stored) => *stored,
        _ if expired => return Err(Failure::Expired(key)),
        _ => return Err(Failure::NoEntry(key)),
    };
    match &args.output {
        None => print(stored, out),
        Some(path) if path.as_os_str() == "-" => {
            let content = content(stored)?;
            out.write_all(&content)?;
            Ok(())
        }
        Some(path) => {
            let format = match &*stored.format().compression {
                "none" => stored.format().storage_format.to_string(),
                codec => format!("{}+{codec}", stored.format().storage_format),
            };
            let is_plain = is_plain(&stored);
            let content = content(stored)?;
            write(path, &content).map_err(|e| Failure::file("write", path, e))?;
            let what = if is_plain { String::new() } else { format!(" of {format}") };
            let path = printable(&path.display().to_string());
            say(format_args!("wrote {}{what} to {path}", show::bytes(content.len() as u64)));
            Ok(())
        }
    }
}

fn is_plain(stored: &Stored) -> bool {
    stored.format().storage_format == "msgpack"
}

/// Prints plain data as JSON.
fn print(stored: Stored, out: &mut Output) -> Result<(), Failure> {
    let (key, size) = (stored.key().to_owned(), stored.size());
    let refused = |what: String| {
        let hint = "-o FILE writes it into a file, -o - to standard output";
        Failure::Engine(Error::new(ErrorKind::Unsupported, what).with_hint(hint))
    };
    if !is_plain(&stored) {
        let format = stored.format();
        return Err(refused(format!("entry {key} is a {}, stored as {}", format.object_type, format.storage_format)));
    }
    if size > PRINTED && io::stdout().is_terminal() {
        return Err(refused(format!("entry {key} has {}, too much to print", show::bytes(size))));
    }
    let value = decode_plain(stored, Value::decode)?;
    if matches!(value, Value::Bytes(_) | Value::ByteArray(_)) {
        return Err(refused(format!("entry {key} is {}, which JSON has not", value.type_name())));
    }
    writeln!(out, "{}", as_json(&key, &value)?)?;
    Ok(())
}

/// What a file of the value has in it. Only plain data is decoded.
fn content(stored: Stored) -> Result<Vec<u8>, Failure> {
    if !is_plain(&stored) {
        return Ok(stored.into_bytes()?.to_vec());
    }
    let key = stored.key().to_owned();
    Ok(match decode_plain(stored, Value::decode)? {
        Value::Bytes(bytes) | Value::ByteArray(bytes) => bytes,
        Value::Str(text) => text.into_bytes(),
        other => format!("{}\n", as_json(&key, &other)?).into_bytes(),
    })
}

/// All of the value or an error: nothing is left out.
fn as_json(key: &str, value: &Value) -> Result<String, Failure> {
    json::pretty(value).map_err(|why| {
        let what = format!("entry {key} cannot be written as JSON: {why}");
        let error = Error::new(ErrorKind::Unsupported, what);
        Failure::Engine(error.with_hint("something of it would be lost; read it with a program, in Python or Rust"))
    })
}

/// Writes a file as a whole: whoever reads it sees the former one or the new one.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    // A device or a pipe is written to, and what a link leads to.
    let found = std::fs::symlink_metadata(path);
    if found.is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return std::fs::write(path, content);
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    // What is left of it after the umask, as with any new file.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let mut file = builder.prefix(".cacheness-").permissions(mode).tempfile_in(parent)?;
    file.write_all(content)?;
    file.persist(path)?;
    Ok(())
}
