//! `cacheness get [DIR] KEY`

use std::fs::Permissions;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use cacheness::core::cache::is_expired;
use cacheness::core::formats::plain::Value;
use cacheness::core::payload::Stored;
use cacheness::core::storable::decode_plain;
use cacheness::core::store::{EntryKey, Fetched};
use cacheness::{Error, ErrorKind};
use tempfile::NamedTempFile;

use crate::args::{Get, StoreOptions};
use crate::failure::Failure;
use crate::json;
use crate::output::{Output, printable, say};
use crate::place::{directory_and_key, resolve};
use crate::show;
use crate::terminal;

/// The maximum number of bytes of plain data to print on a terminal.
const PRINTED: u64 = 1 << 20;

pub(crate) fn run(args: &Get, option: &StoreOptions, out: &mut Output) -> Result<(), Failure> {
    let (directory, key) = directory_and_key(option, &args.which.words)?;
    // Nothing here decodes a pickle: its bytes are only written to a file.
    let store = directory.read_with(|config| config.security.trust_unsigned_pickles = true)?;
    let key = resolve(&store, key)?;
    let (now, mut expired) = (store.clock().now(), false);
    let fetched = store.fetch(&EntryKey::Name(key.clone()), store.read_options(), |entry| {
        expired = is_expired(entry, now);
        args.expired || !expired
    })?;
    let stored = match fetched {
        Fetched::Found(stored) => *stored,
        _ if expired => return Err(Failure::Expired(key)),
        _ => return Err(Failure::NoEntry(key.into())),
    };
    match &args.output {
        None => print(stored, out),
        Some(path) if path.as_os_str() == "-" => {
            let content = content(stored)?;
            out.write_all(&content)?;
            Ok(())
        }
        Some(path) => {
            let target = Target::of(path, args.force)?;
            let format = show::format(&stored.format().storage_format, &stored.format().compression);
            let is_plain = is_plain(&stored);
            let content = content(stored)?;
            target.write(&content)?;
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
        let hint = "use -o FILE to write it to a file, or -o - for standard output";
        Failure::Engine(Error::new(ErrorKind::Unsupported, what).with_hint(hint))
    };
    if !is_plain(&stored) {
        let format = stored.format();
        return Err(refused(format!("entry {key} is a {}, stored as {}", format.object_type, format.storage_format)));
    }
    if size > PRINTED && io::stdout().is_terminal() {
        return Err(refused(format!("entry {key} has {}, which is too much to print", show::bytes(size))));
    }
    let value = decode_plain(stored, Value::decode)?;
    if matches!(value, Value::Bytes(_) | Value::ByteArray(_)) {
        return Err(refused(format!("entry {key} is {}, which JSON cannot represent", value.type_name())));
    }
    writeln!(out, "{}", as_json(&key, &value)?)?;
    Ok(())
}

/// The content of a file for the value. Only plain data is decoded.
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

/// The complete value as JSON, or an error.
fn as_json(key: &str, value: &Value) -> Result<String, Failure> {
    json::pretty(value).map_err(|why| {
        let what = format!("entry {key} cannot be written as JSON: {why}");
        let error = Error::new(ErrorKind::Unsupported, what);
        Failure::Engine(error.with_hint("a part of it would be lost; read the value from Python or Rust"))
    })
}

/// The target of `-o`.
enum Target<'a> {
    /// A device or a pipe: written to directly.
    Device(&'a Path),
    /// No file exists yet; one that another program creates meanwhile is not overwritten.
    New(&'a Path, PathBuf),
    /// A file that may be replaced, with its path behind all links and its permissions.
    Replaced(&'a Path, PathBuf, Permissions),
}

impl<'a> Target<'a> {
    /// Asks for confirmation if the file exists, unless `force` is set.
    fn of(path: &'a Path, force: bool) -> Result<Self, Failure> {
        let behind = |path: &Path| std::fs::canonicalize(path).map_err(|e| Failure::file("write", path, e));
        let found = match std::fs::metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // For a dangling link, its target is created.
                let target = std::fs::read_link(path).map(|link| path.parent().unwrap_or(Path::new("")).join(link));
                return Ok(Self::New(path, target.unwrap_or_else(|_| path.to_owned())));
            }
            Err(error) => return Err(Failure::file("write", path, error)),
        };
        if found.is_dir() {
            return Err(Failure::file("write", path, io::ErrorKind::IsADirectory.into()));
        }
        if !found.is_file() {
            return Ok(Self::Device(path));
        }
        if !force {
            let exists = format!("{} exists ({})", printable(&path.display().to_string()), show::bytes(found.len()));
            if !terminal::may_ask() {
                let what = format!("{exists}, but there is no terminal to ask for confirmation");
                return Err(Failure::Usage(what, "use --force to overwrite it".into()));
            }
            if !terminal::ask(&format!("{exists}. Overwrite it?")) {
                return Err(Failure::Declined("nothing was written"));
            }
        }
        Ok(Self::Replaced(path, behind(path)?, found.permissions()))
    }

    /// Writes the file atomically: a reader sees the previous file or the new one.
    fn write(self, content: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Device(path) => std::fs::write(path, content).map_err(|e| Failure::file("write", path, e)),
            Self::New(path, target) => {
                let written = temporary(&target, content).and_then(|file| Ok(file.persist_noclobber(&target)?));
                match written {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Failure::Usage(
                        format!("another program has created {} meanwhile", path.display()),
                        "use --force to overwrite it".into(),
                    )),
                    written => written.map(drop).map_err(|e| Failure::file("write", path, e)),
                }
            }
            Self::Replaced(path, target, permissions) => {
                let written = temporary(&target, content).and_then(|file| {
                    file.as_file().set_permissions(permissions)?;
                    Ok(file.persist(&target)?)
                });
                written.map(drop).map_err(|e| Failure::file("write", path, e))
            }
        }
    }
}

/// Creates a temporary file beside `target` with the content.
fn temporary(target: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    // Reduced by the umask, as for any new file.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let mut file = builder.prefix(".cacheness-").permissions(mode).tempfile_in(parent)?;
    file.write_all(content)?;
    Ok(file)
}
