//! PostgreSQL: a database that several machines share.

use std::sync::Arc;
use std::time::Duration;

use cacheness_core::backend::{Locks, MetadataBackend};
use cacheness_core::config::BackendUrl;
use cacheness_core::{Error, ErrorKind, Result};
use cacheness_postgres::{PostgresLocks, PostgresMetadata, PostgresOptions};
use serde_json::Value;

use super::factory::{BackendContext, MetadataFactory};

/// The options of the backend. SQLAlchemy's names, as far as they mean the same.
const OPTIONS: [&str; 12] = [
    "connection_url",
    "schema",
    "table_prefix",
    "table_name",
    "pool_size",
    "max_overflow",
    "pool_timeout",
    "pool_recycle",
    "pool_pre_ping",
    "connect_timeout",
    "statement_timeout",
    "echo",
];

/// The schemes of URLs; those with a driver are SQLAlchemy's.
const SCHEMES: [&str; 5] =
    ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg"];

pub(super) fn factory() -> MetadataFactory {
    let factory = MetadataFactory::new("postgresql", |context| {
        Ok(Box::new(PostgresMetadata::open(options(context)?)?) as Box<dyn MetadataBackend>)
    });
    let factory = factory.options(&OPTIONS).remote().outlives_the_process().locate(location).locks(|context| {
        let locks: Arc<dyn Locks> = Arc::new(PostgresLocks::open(&options(context)?)?);
        Ok(locks)
    });
    SCHEMES.into_iter().fold(factory, MetadataFactory::scheme)
}

/// The URL as a directory records it: without the password and the driver.
fn location(url: &BackendUrl) -> Result<String> {
    PostgresOptions::from_url(url.as_str())?;
    let text = url.without_secrets();
    let rest = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
    Ok(format!("postgresql://{rest}"))
}

fn options(context: &BackendContext<'_>) -> Result<PostgresOptions> {
    let given = context.options;
    let text = |name: &str| match given.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(wrong(name, "is not a text")),
    };
    let url = match (context.url, text("connection_url")?) {
        (Some(url), _) => url.as_str(),
        (None, Some(url)) => url,
        (None, None) => {
            return Err(Error::new(ErrorKind::InvalidInput, "the metadata backend \"postgresql\" needs an address")
                .with_hint("give connection_url = \"postgresql://user:password@host:5432/database\""));
        }
    };
    let mut options = PostgresOptions::from_url(url)?.read_only(context.read_only);
    if let Some(schema) = text("schema")? {
        options = options.schema(schema)?;
    }
    if let Some(prefix) = text("table_prefix")? {
        options = options.table_prefix(prefix)?;
    }
    // The name of the table of entries: what is before its last word is the prefix of all tables.
    if let Some(table) = text("table_name")? {
        let prefix = table.strip_suffix("entries").ok_or_else(|| wrong("table_name", "does not end in \"entries\""))?;
        options = options.table_prefix(prefix)?;
    }
    let number = |name: &str| match given.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            value.as_f64().filter(|number| number.is_finite()).map(Some).ok_or_else(|| wrong(name, "is not a number"))
        }
    };
    let count = |name: &str, default: usize| {
        let Some(number) = number(name)? else { return Ok(default) };
        if number.fract() != 0.0 || !(0.0..=1e6).contains(&number) {
            return Err(wrong(name, "is not a whole number from 0 on"));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(number as usize)
    };
    let seconds = |name: &str| {
        let Some(number) = number(name)? else { return Ok(None) };
        let duration = Duration::try_from_secs_f64(number).ok().filter(|duration| !duration.is_zero());
        duration.map(Some).ok_or_else(|| wrong(name, "is not a number of seconds above 0"))
    };
    options = options.pool(count("pool_size", 5)?, count("max_overflow", 10)?);
    if let Some(timeout) = seconds("pool_timeout")? {
        options = options.pool_timeout(timeout);
    }
    // SQLAlchemy's -1 is "never".
    if number("pool_recycle")?.is_some_and(|age| age != -1.0) {
        options = options.pool_recycle(seconds("pool_recycle")?);
    }
    if let Some(timeout) = seconds("connect_timeout")? {
        options = options.connect_timeout(timeout);
    }
    if let Some(timeout) = seconds("statement_timeout")? {
        options = options.statement_timeout(timeout);
    }
    for name in ["pool_pre_ping", "echo"] {
        match given.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::Bool(value)) if name == "pool_pre_ping" => options = options.pool_pre_ping(*value),
            // SQLAlchemy's log of statements; ours has them at the level `trace`.
            Some(Value::Bool(_)) => {}
            Some(_) => return Err(wrong(name, "is neither true nor false")),
        }
    }
    Ok(options)
}

fn wrong(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("metadata_backend_options: {name} {what}"))
}
