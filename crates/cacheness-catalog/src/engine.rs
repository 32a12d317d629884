//! The kinds of databases, and what their connections are described by.

use std::fmt;

use cacheness_core::config::nearest;
use cacheness_core::{Error, ErrorKind, Result};

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Engine {
    /// `postgres`, `postgresql`.
    Postgres,
    /// `mysql`, `mariadb`.
    MySql,
    /// `sqlite`, `sqlite3`.
    Sqlite,
    /// `duckdb`.
    DuckDb,
    /// `redshift`.
    Redshift,
    /// `snowflake`.
    Snowflake,
    /// `bigquery`.
    BigQuery,
    /// `databricks`.
    Databricks,
    /// `sqlserver`, `mssql`.
    SqlServer,
}

/// Names of engines as people write them.
const NAMES: &[(&str, Engine)] = &[
    ("postgres", Engine::Postgres),
    ("postgresql", Engine::Postgres),
    ("mysql", Engine::MySql),
    ("mariadb", Engine::MySql),
    ("sqlite", Engine::Sqlite),
    ("sqlite3", Engine::Sqlite),
    ("duckdb", Engine::DuckDb),
    ("redshift", Engine::Redshift),
    ("snowflake", Engine::Snowflake),
    ("bigquery", Engine::BigQuery),
    ("databricks", Engine::Databricks),
    ("sqlserver", Engine::SqlServer),
    ("mssql", Engine::SqlServer),
];

/// How a detail is named in credentials, and the field of [`Details`](crate::Details) that it becomes.
pub(crate) const SERVER: &[(&str, &str)] = &[
    ("host", "host"),
    ("hostname", "host"),
    ("server", "host"),
    ("port", "port"),
    ("database", "database"),
    ("dbname", "database"),
    ("db", "database"),
    ("user", "user"),
    ("username", "user"),
    ("schema", "schema"),
    ("search_path", "search_path"),
];
const FILE: &[(&str, &str)] =
    &[("database", "database"), ("path", "database"), ("file", "database"), ("db", "database"), ("schema", "schema")];

/// Names that are no part of the identity of a database: how to reach it, and for how long.
const OPTIONS: &[&str] = &[
    "application_name",
    "charset",
    "connect_timeout",
    "connection_timeout",
    "keepalives",
    "options",
    "passfile",
    "read_only",
    "ssl",
    "ssl_ca",
    "ssl_cert",
    "ssl_disabled",
    "ssl_mode",
    "sslcert",
    "sslmode",
    "sslrootcert",
    "statement_timeout",
    "target_session_attrs",
    "timeout",
    "unix_socket",
];
/// Parts of the names of secrets.
const SECRETS: &[&str] = &["password", "passwd", "pass", "secret", "token", "key", "keyfile", "credential", "pwd"];

impl Engine {
    /// The engine of this name, in any case.
    ///
    /// # Errors
    /// `InvalidInput`: there is none; the hint has the nearest name.
    pub fn named(name: &str) -> Result<Self> {
        let lower = name.trim().to_lowercase();
        if let Some((_, engine)) = NAMES.iter().find(|(known, _)| *known == lower) {
            return Ok(*engine);
        }
        let hint = match nearest(&lower, NAMES.iter().map(|(known, _)| *known)) {
            Some(near) => format!("did you mean {near:?}?"),
            None => {
                "give postgres, mysql, sqlite, duckdb, redshift, snowflake, bigquery, databricks or sqlserver".into()
            }
        };
        Err(Error::new(ErrorKind::InvalidInput, format!("unknown db_type {name:?}")).with_hint(hint))
    }

    /// The name in catalogs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
            Self::Sqlite => "sqlite",
            Self::DuckDb => "duckdb",
            Self::Redshift => "redshift",
            Self::Snowflake => "snowflake",
            Self::BigQuery => "bigquery",
            Self::Databricks => "databricks",
            Self::SqlServer => "sqlserver",
        }
    }

    /// Whether a database is a file.
    #[must_use]
    pub fn is_file(self) -> bool {
        matches!(self, Self::Sqlite | Self::DuckDb)
    }

    /// The port of a server, unless one is given.
    pub(crate) fn port(self) -> Option<u16> {
        match self {
            Self::Postgres => Some(5432),
            Self::MySql => Some(3306),
            Self::Redshift => Some(5439),
            Self::SqlServer => Some(1433),
            _ => None,
        }
    }

    /// The details that its credentials may have.
    pub(crate) fn details(self) -> &'static [(&'static str, &'static str)] {
        if self.is_file() { FILE } else { SERVER }
    }

    /// Whether credentials may have names beyond those that are known here. They are then part of the identity.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Redshift | Self::Snowflake | Self::BigQuery | Self::Databricks | Self::SqlServer)
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether the value of this name is a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    name.split(['_', '-', '.']).any(|part| SECRETS.contains(&part))
        || SECRETS.iter().any(|secret| name.ends_with(secret))
}

/// Whether this name has no part in the identity of a database.
pub(crate) fn is_option(name: &str) -> bool {
    OPTIONS.contains(&name) || is_secret(name)
}

/// All names that the credentials of `engine` may have, for hints.
pub(crate) fn known(engine: Engine) -> impl Iterator<Item = &'static str> {
    let own = engine.details().iter().map(|(name, _)| *name);
    own.chain(["url", "password"]).chain(OPTIONS.iter().copied())
}
