//! The details of a connection in one form, whatever the form in which they were given.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use cacheness_core::config::nearest;
use cacheness_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use url::Url;

use crate::engine::{self, Engine};

/// Which database a connection reaches, as whom, and what it sees first. Has no secrets.
///
/// Two connections with the same details see the same metadata. A password, a token or a key file is no part of them, nor is
/// how the connection is encrypted: a new password is the same database.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Details {
    engine: Engine,
    /// `host` in lower case, `port`, `database` (the real path of a file), `user`, `schema`, `search_path`; and for the
    /// engines with credentials of their own all others that are no secrets.
    fields: BTreeMap<String, String>,
}

impl Details {
    /// Reads credentials: an object with `host`, `port`, `database`, `user`, `schema` and their other usual names, or with
    /// `url`; for SQLite and DuckDB `database` or `path`.
    ///
    /// # Errors
    /// `InvalidInput`: the engine is unknown; a name is unknown, given twice, missing, or has a value of another type. The
    /// error names it, and shows no value.
    pub fn of(db_type: &str, credentials: &Value) -> Result<Self> {
        let engine = Engine::named(db_type)?;
        let given = match credentials {
            Value::Object(given) => given,
            other => {
                return Err(invalid(format!("db_creds is {}", kind(other)))
                    .with_hint("give the details of the connection by name: host, port, database, user, password"));
            }
        };
        let mut fields = BTreeMap::new();
        for name in ["url", "connection_url", "database_url", "connection_string"] {
            if let Some(value) = given.get(name) {
                from_url(engine, name, &text(name, value)?, &mut fields)?;
            }
        }
        for (name, value) in given {
            add(engine, name, value, &mut fields)?;
        }
        let mut details = Self { engine, fields };
        details.complete(given)?;
        Ok(details)
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// A detail: `host`, `port`, `database`, `user`, `schema`, `search_path`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// The name of the database in a cache: the SHA-256 of the details, 64 hexadecimal digits.
    ///
    /// It is that of the JSON array of the engine's name and the object of the details, sorted by name and without spaces:
    /// `["postgres",{"database":"mydb","host":"localhost","port":"5432","user":"ada"}]`.
    #[must_use]
    pub fn cache_key(&self) -> String {
        let text = serde_json::to_string(&(self.engine.name(), &self.fields)).expect("texts are always valid JSON");
        Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Brings the details into their canonical form, and adds defaults.
    fn complete(&mut self, given: &Map<String, Value>) -> Result<()> {
        if self.engine.is_file() {
            let path = self.fields.get("database").ok_or_else(|| missing(self.engine, "database"))?;
            let path = real_path(self.engine, path)?;
            self.fields.insert("database".into(), path);
            return Ok(());
        }
        if let Some(host) = self.fields.get_mut("host")
            && !host.starts_with('/')
        {
            *host = host.to_lowercase();
        }
        if matches!(self.engine, Engine::Postgres | Engine::MySql) {
            if !self.fields.contains_key("host") && !given.contains_key("unix_socket") {
                return Err(missing(self.engine, "host"));
            }
            if !self.fields.contains_key("database") {
                return Err(missing(self.engine, "database"));
            }
        }
        if let Some(port) = self.engine.port() {
            self.fields.entry("port".into()).or_insert_with(|| port.to_string());
        }
        Ok(())
    }
}

impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Details");
        shown.field("engine", &self.engine);
        for (name, value) in &self.fields {
            shown.field(name, value);
        }
        shown.finish()
    }
}

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidInput, what)
}

fn missing(engine: Engine, name: &str) -> Error {
    invalid(format!("db_creds has no {name}, which {engine} needs"))
}

/// The type of a value, which may be a secret.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn text(name: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) if !text.contains('\0') => Ok(text.clone()),
        Value::String(_) => Err(invalid(format!("{name} in db_creds has a NUL character"))),
        other => Err(invalid(format!("{name} in db_creds is {}", kind(other))).with_hint("give a text")),
    }
}

/// Adds a credential to the details, unless it has no part in them.
fn add(engine: Engine, name: &str, value: &Value, fields: &mut BTreeMap<String, String>) -> Result<()> {
    let lower = name.to_lowercase();
    if matches!(&*lower, "url" | "connection_url" | "database_url" | "connection_string") || engine::is_option(&lower) {
        return Ok(());
    }
    let field = match engine.details().iter().find(|(known, _)| *known == lower) {
        Some((_, field)) => (*field).to_owned(),
        None if engine.is_open() => lower,
        None => {
            let error = invalid(format!("{name:?} is no detail of a connection to {engine}"));
            return Err(match nearest(&lower, engine::known(engine)) {
                Some(near) => error.with_hint(format!("did you mean {near:?}?")),
                None => error.with_hint("give host, port, database, user, password, schema"),
            });
        }
    };
    let value = match (&*field, value) {
        // An absent detail, as configurations write it.
        (_, Value::Null) => return Ok(()),
        ("port", value) => port(value)?,
        ("search_path", Value::Array(schemas)) => {
            let schemas: Vec<String> = schemas.iter().map(|schema| text(name, schema)).collect::<Result<_>>()?;
            schemas.join(",")
        }
        (_, Value::Number(number)) if engine.is_open() => number.to_string(),
        (_, Value::Bool(value)) if engine.is_open() => value.to_string(),
        (_, value) => text(name, value)?,
    };
    if value.is_empty() {
        return Ok(());
    }
    let value = if field == "search_path" { search_path(&value) } else { value };
    match fields.insert(field.clone(), value.clone()) {
        Some(former) if former != value => Err(invalid(format!("{field} is given twice in db_creds, also as {name}"))),
        _ => Ok(()),
    }
}

/// The schemas of a search path, without spaces around them.
fn search_path(given: &str) -> String {
    given.split(',').map(str::trim).filter(|schema| !schema.is_empty()).collect::<Vec<_>>().join(",")
}

fn port(value: &Value) -> Result<String> {
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match number {
        Some(number @ 1..=65_535) => Ok(number.to_string()),
        _ => Err(invalid("port in db_creds is no port".into()).with_hint("give a number from 1 to 65535")),
    }
}

/// Adds the details of a URL: `postgresql://user:password@host:port/database?search_path=…`.
fn from_url(engine: Engine, name: &str, given: &str, fields: &mut BTreeMap<String, String>) -> Result<()> {
    // The text may have a password: no part of it is shown.
    let wrong = |hint: &str| invalid(format!("{name} in db_creds is no URL of {engine}")).with_hint(hint.to_owned());
    let (scheme, rest) = given.split_once("://").ok_or_else(|| wrong("give scheme://user@host:port/database"))?;
    // A driver, as SQLAlchemy writes it.
    let scheme = scheme.split('+').next().unwrap_or(scheme);
    if Engine::named(scheme).ok() != Some(engine) {
        return Err(wrong("its scheme is that of another database"));
    }
    if engine.is_file() {
        let path = rest.split('?').next().unwrap_or(rest);
        let path = path.strip_prefix('/').unwrap_or(path);
        return add(engine, "database", &Value::String(path.to_owned()), fields);
    }
    let url = Url::parse(&format!("{scheme}://{rest}")).map_err(|_| wrong("give scheme://user@host:port/database"))?;
    let plain = |text: &str| {
        // As the name of a query: percent signs are decoded, and nothing else.
        let text = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
        let decoded = url::form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned());
        Value::String(decoded.unwrap_or_default())
    };
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    add(engine, "host", &plain(host), fields)?;
    if let Some(port) = url.port() {
        add(engine, "port", &Value::from(port), fields)?;
    }
    add(engine, "database", &plain(url.path().trim_start_matches('/')), fields)?;
    add(engine, "user", &plain(url.username()), fields)?;
    for (name, value) in url.query_pairs() {
        add(engine, &name, &Value::String(value.into_owned()), fields)?;
    }
    Ok(())
}

/// The path of a file without links, also if the file does not exist yet.
fn real_path(engine: Engine, given: &str) -> Result<String> {
    if given == ":memory:" {
        return Ok(given.to_owned());
    }
    let path = Path::new(given);
    let failed = |e| Error::io(format_args!("cannot find the {engine} database {given:?}"), e);
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let whole = normal(&std::path::absolute(path).map_err(failed)?);
            // The directory may be a link although the file is missing.
            match (whole.parent().map(Path::canonicalize), whole.file_name()) {
                (Some(Ok(parent)), Some(name)) => parent.join(name),
                _ => whole,
            }
        }
        Err(error) => return Err(failed(error)),
    };
    real.into_os_string()
        .into_string()
        .map_err(|_| invalid(format!("the path of the {engine} database is no valid UTF-8")))
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut found = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(found.pop()),
            Component::CurDir => {}
            other => found.push(other),
        }
    }
    found
}
