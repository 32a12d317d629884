//! Translating PostgreSQL's errors into the engine's.

use cacheness_core::{Error, ErrorKind};
use tokio_postgres::error::SqlState;

/// Translates an error during `action` (`"cannot read an entry"`) into one of the engine.
pub(crate) fn translate(action: &str, error: tokio_postgres::Error) -> Error {
    let (kind, hint) = kind_of(&error);
    let is_full = error.code().is_some_and(|code| *code == SqlState::DISK_FULL);
    // What tokio-postgres displays itself is only the class of the error.
    let text = match error.as_db_error() {
        Some(error) => format!("{action} in PostgreSQL: {}", error.message()),
        None => format!("{action} in PostgreSQL"),
    };
    let result = Error::new(kind, text).with_source(Cause(error));
    match hint {
        _ if is_full => result.for_want_of_space().with_hint("free some space on the disk of the PostgreSQL server"),
        Some(hint) => result.with_hint(hint),
        None => result,
    }
}

/// The kind of a PostgreSQL error, and what to do about it.
pub(crate) fn kind_of(error: &tokio_postgres::Error) -> (ErrorKind, Option<&'static str>) {
    let Some(code) = error.code() else {
        if is_certificate(error) {
            return (
                ErrorKind::Denied,
                Some(
                    "the certificate of the server is not trusted: check the host of the connection URL, and name the \
                     certificate of its authority as sslrootcert",
                ),
            );
        }
        let lost = "the connection to the PostgreSQL server was lost; check the server and the network between";
        return if error.is_closed() || is_io(error) {
            (ErrorKind::Unavailable, Some(lost))
        } else {
            (ErrorKind::Metadata, None)
        };
    };
    match *code {
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => (ErrorKind::Conflict, None),
        SqlState::QUERY_CANCELED => {
            (ErrorKind::TimedOut, Some("give it more time with statement_timeout, or see what keeps the server busy"))
        }
        SqlState::LOCK_NOT_AVAILABLE => (ErrorKind::Busy, None),
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW => {
            (ErrorKind::Unavailable, Some("the PostgreSQL server starts or stops; try again"))
        }
        SqlState::TOO_MANY_CONNECTIONS => (
            ErrorKind::Unavailable,
            Some("the server has no free connection; lower pool_size and max_overflow, or raise max_connections there"),
        ),
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            (ErrorKind::Denied, Some("check the user and the password of the connection URL, and pg_hba.conf"))
        }
        SqlState::INSUFFICIENT_PRIVILEGE => {
            (ErrorKind::Denied, Some("docs/postgresql.md lists the privileges that a role needs"))
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => (ErrorKind::ReadOnly, Some("the connection, or the server, only reads")),
        SqlState::INVALID_CATALOG_NAME => {
            (ErrorKind::InvalidInput, Some("create the database first: CREATE DATABASE …, or createdb"))
        }
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN | SqlState::UNDEFINED_OBJECT => {
            (ErrorKind::Metadata, None)
        }
        SqlState::PROGRAM_LIMIT_EXCEEDED => {
            (ErrorKind::InvalidInput, Some("PostgreSQL keeps at most 1 GB in one value"))
        }
        _ if code.code().starts_with("23") => (ErrorKind::Constraint, None),
        _ if code.code().starts_with("08") => (ErrorKind::Unavailable, None),
        _ => (ErrorKind::Metadata, None),
    }
}

/// Whether the certificate of the server was refused.
fn is_certificate(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(found) = cause {
        // An error inside one of the system is no source of it.
        let inner = found.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()).or_else(|| found.downcast_ref());
        if let Some(rustls::Error::InvalidCertificate(_)) = tls {
            return true;
        }
        cause = found.source();
    }
    false
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>())
}

/// Whether the connection is of no further use.
pub(crate) fn is_fatal(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        None => true,
        Some(code) => code.code().starts_with("57P") || code.code().starts_with("08"),
    }
}

/// What the server said, if it is the cause of an error.
pub(crate) fn database_error(error: &Error) -> Option<Said> {
    let cause = std::error::Error::source(error)?.downcast_ref::<Cause>()?;
    let said = cause.0.as_db_error()?;
    let position = match said.position() {
        Some(tokio_postgres::error::ErrorPosition::Original(position)) => usize::try_from(*position).ok(),
        _ => None,
    };
    let detail = said.detail().map(str::to_owned);
    Some(Said { code: said.code().code().to_owned(), message: said.message().to_owned(), detail, position })
}

/// An error of the server.
pub(crate) struct Said {
    code: String,
    message: String,
    detail: Option<String>,
    position: Option<usize>,
}

impl Said {
    /// The SQLSTATE.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// Its first two characters.
    pub(crate) fn class(&self) -> &str {
        self.code.get(..2).unwrap_or_default()
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The character of the statement, counted from 1.
    pub(crate) fn position(&self) -> Option<usize> {
        self.position
    }
}

/// An error of tokio-postgres whose message says what happened.
#[derive(Debug)]
struct Cause(tokio_postgres::Error);

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_db_error() {
            None => match std::error::Error::source(&self.0) {
                Some(source) => write!(f, "{}: {source}", self.0),
                None => write!(f, "{}", self.0),
            },
            Some(error) => {
                write!(f, "{} (SQLSTATE {})", error.severity(), error.code().code())?;
                match error.detail() {
                    Some(detail) => write!(f, ": {detail}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for Cause {}

/// The error for a row that this release could not have written.
pub(crate) fn malformed(key: &str, what: &str) -> Error {
    Error::new(ErrorKind::Integrity, format!("entry {key}: its {what} is malformed"))
        .with_hint("the row has been damaged or changed by another program; delete the entry")
}
