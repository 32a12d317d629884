//! The tables: created, and brought up to date by the numbered migrations of `refinery`, under a lock of the server.

use cacheness_core::{Error, ErrorKind, Result};
use refinery::{Migration, Runner};
use tokio_postgres::types::Type;

use crate::error::kind_of;
use crate::link::Link;
use crate::names::{Names, quoted};
use crate::options::PostgresOptions;

/// The migrations. A released one never changes.
const MIGRATIONS: &[(&str, &str)] = &[("V1__entries", include_str!("../migrations/V1__entries.sql"))];

/// The number of the last one.
const LATEST: i32 = 1;

/// The names of the store's tables, whether or not they exist.
pub(crate) fn names(link: &mut Link, options: &PostgresOptions) -> Result<Names> {
    let schema = match &options.schema {
        Some(schema) => schema.clone(),
        None => {
            let found = link.query_once("cannot find the schema", "SELECT current_schema()::text", &[])?;
            let schema: Option<String> = found.first().and_then(|row| row.try_get(0).ok()).flatten();
            schema.ok_or_else(|| {
                Error::new(ErrorKind::InvalidInput, "the user's search path names no schema that exists")
                    .with_hint("name one: schema=… in the connection URL")
            })?
        }
    };
    Ok(Names::new(&schema, &options.table_prefix))
}

/// The names of the store's tables, which exist and are up to date afterwards.
pub(crate) fn prepare(link: &mut Link, options: &PostgresOptions) -> Result<Names> {
    let names = names(link, options)?;
    match version(link, &names)? {
        Some(LATEST) => return Ok(names),
        Some(newer) if newer > LATEST => {
            return Err(Error::new(
                ErrorKind::NewerFormat,
                format!("{} has tables of version {newer}; this release knows {LATEST}", options.place()),
            )
            .with_hint("update cacheness"));
        }
        _ if options.read_only => {
            return Err(Error::new(
                ErrorKind::NotAStore,
                format!(
                    "{} has no store in the schema {} with the prefix {}",
                    options.place(),
                    names.schema(),
                    options.table_prefix
                ),
            )
            .with_hint("open it once for writing"));
        }
        _ => {}
    }
    let lock = names.number("migrate");
    let locked = [(&lock as crate::link::Param<'_>, Type::INT8)];
    link.query_once("cannot wait for the migration of another process", "SELECT pg_advisory_lock($1)", &locked)?;
    let migrated = migrate(link, options, &names);
    // A connection that is lost releases the lock itself.
    let released = link.query_once("cannot end a migration", "SELECT pg_advisory_unlock($1)", &locked);
    migrated.and_then(|()| released.map(|_| names))
}

/// The number of the last migration that was applied; `None` without tables.
fn version(link: &mut Link, names: &Names) -> Result<Option<i32>> {
    let action = "cannot look for the tables of the store";
    let history = names.of("migrations");
    let found = link.query_once(action, "SELECT to_regclass($1) IS NOT NULL", &[(&history, Type::TEXT)])?;
    if !found.first().and_then(|row| row.try_get(0).ok()).unwrap_or(false) {
        return Ok(None);
    }
    let found = link.query_once(action, &format!("SELECT max(version)::integer FROM {history}"), &[])?;
    Ok(found.first().and_then(|row| row.try_get(0).ok()).flatten())
}

fn migrate(link: &mut Link, options: &PostgresOptions, names: &Names) -> Result<()> {
    if version(link, names)? == Some(LATEST) {
        return Ok(());
    }
    if let Some(schema) = &options.schema {
        // Also `IF NOT EXISTS` needs the privilege to create one.
        let exists = "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)";
        let found = link.query_once("cannot find the schema", exists, &[(schema, Type::TEXT)])?;
        if !found.first().and_then(|row| row.try_get(0).ok()).unwrap_or(false) {
            link.batch("cannot create the schema", &format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema)))?;
        }
    }
    let failed = |e: refinery::Error| failure(&options.place(), e);
    let migrations = MIGRATIONS
        .iter()
        .map(|(name, sql)| Migration::unapplied(name, &names.write(sql)))
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(failed)?;
    let mut runner = Runner::new(&migrations);
    runner.set_migration_table_name(names.of("migrations"));
    let done = link.with_client("cannot create the tables of the store", |client| async move {
        Ok(runner.run_async(client).await)
    })?;
    done.map(drop).map_err(failed)
}

/// The error of a migration, with the kind of what PostgreSQL has answered.
fn failure(place: &str, error: refinery::Error) -> Error {
    let what = format!("the tables of the store cannot be created or updated in {place}");
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(found) = cause {
        if let Some(answer) = found.downcast_ref::<tokio_postgres::Error>() {
            let (kind, hint) = kind_of(answer);
            let what = match answer.as_db_error() {
                Some(said) => format!("{what}: {}", said.message()),
                None => what,
            };
            let hint = hint.unwrap_or("docs/postgresql.md lists the privileges that the role needs");
            return Error::new(kind, what).with_hint(hint).with_source(error);
        }
        cause = found.source();
    }
    Error::new(ErrorKind::Metadata, what).with_source(error)
}
