//! Where the database is, and how to connect to it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use cacheness_core::{Error, ErrorKind, Result};
use url::Url;

/// How much a connection is protected, with the meaning that `sslmode` has in libpq.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it, without asking who it is.
    #[default]
    Prefer,
    /// TLS, without asking who the server is.
    Require,
    /// TLS, and a certificate that a trusted authority has signed.
    VerifyCa,
    /// TLS, and such a certificate for the name of the host.
    VerifyFull,
}

impl SslMode {
    fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            other => {
                return Err(wrong(format!("sslmode={other} is not known"))
                    .with_hint("one of disable, prefer, require, verify-ca, verify-full"));
            }
        })
    }
}

/// A text that is never displayed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Opens a store in a PostgreSQL database. Passwords are left out of `Debug`.
#[derive(Clone, Debug, PartialEq)]
pub struct PostgresOptions {
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    pub(crate) database: String,
    pub(crate) ssl_mode: SslMode,
    pub(crate) root_certificate: Option<PathBuf>,
    pub(crate) application_name: String,
    pub(crate) server_options: Option<String>,
    pub(crate) schema: Option<String>,
    pub(crate) table_prefix: String,
    pub(crate) pool_size: usize,
    pub(crate) max_overflow: usize,
    pub(crate) pool_timeout: Duration,
    pub(crate) pool_recycle: Option<Duration>,
    pub(crate) pool_pre_ping: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) statement_timeout: Duration,
    pub(crate) read_only: bool,
}

/// The server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// By its name or address.
    Tcp(String),
    /// By the directory of its socket.
    Unix(PathBuf),
}

fn wrong(what: String) -> Error {
    Error::new(ErrorKind::InvalidInput, what)
}

/// The forms of the scheme: also SQLAlchemy's, whose driver is not used.
fn is_postgres(scheme: &str) -> bool {
    let (name, driver) = scheme.split_once('+').unwrap_or((scheme, ""));
    matches!(name, "postgresql" | "postgres") && driver.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The URL with a host: libpq allows none, where a parameter names the directory of a socket.
fn with_host(text: &str) -> std::borrow::Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://") else { return text.into() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !authority.is_empty() && !authority.ends_with('@') {
        return text.into();
    }
    format!("{scheme}://{authority}localhost{path}").into()
}

fn decoded(text: &str, what: &str) -> Result<String> {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| wrong(format!("the {what} in the connection URL is not UTF-8")))
}

impl PostgresOptions {
    /// From a URL: `postgresql://user:password@host:5432/database?sslmode=verify-full`.
    ///
    /// The parameters `sslmode`, `sslrootcert`, `application_name`, `connect_timeout` (seconds), `host` (a directory with a
    /// socket), `user`, `password`, `dbname`, `options`, `schema` and `table_prefix` are read. What is missing is taken as libpq takes it without its
    /// environment: port 5432, the user `postgres`, the database of the user's name.
    ///
    /// # Errors
    /// `InvalidInput`, in which the password never appears.
    pub fn from_url(text: &str) -> Result<Self> {
        let hint = "a connection URL is postgresql://user:password@host:5432/database?sslmode=verify-full; signs such as @ and / \
                    in a password are written %40 and %2F";
        let url = Url::parse(&with_host(text))
            .map_err(|e| wrong(format!("the connection URL is not valid: {e}")).with_hint(hint))?;
        if !is_postgres(url.scheme()) {
            return Err(wrong(format!("the connection URL has the scheme {}", url.scheme())).with_hint(hint));
        }
        let user = match decoded(url.username(), "user")? {
            user if user.is_empty() => "postgres".to_owned(),
            user => user,
        };
        let password = url.password().map(|password| decoded(password, "password")).transpose()?.map(Secret);
        let database = match decoded(url.path().trim_start_matches('/'), "database")? {
            name if name.is_empty() => user.clone(),
            name => name,
        };
        let host = match url.host_str() {
            None | Some("") => "localhost".to_owned(),
            Some(host) => decoded(host, "host")?.trim_start_matches('[').trim_end_matches(']').to_owned(),
        };
        let host = if host.starts_with('/') { Host::Unix(host.into()) } else { Host::Tcp(host) };
        let mut options = Self {
            host,
            port: url.port().unwrap_or(5432),
            user,
            password,
            database,
            ssl_mode: SslMode::default(),
            root_certificate: None,
            application_name: "cacheness".to_owned(),
            server_options: None,
            schema: None,
            table_prefix: "cache_".to_owned(),
            pool_size: 5,
            max_overflow: 10,
            pool_timeout: Duration::from_secs(30),
            pool_recycle: None,
            pool_pre_ping: false,
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(60),
            read_only: false,
        };
        for (name, value) in url.query_pairs() {
            options.read_parameter(&name, &value)?;
        }
        Ok(options)
    }

    fn read_parameter(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "sslmode" => self.ssl_mode = SslMode::parse(value)?,
            "sslrootcert" if value == "system" => self.root_certificate = None,
            "sslrootcert" => self.root_certificate = Some(value.into()),
            "user" => value.clone_into(&mut self.user),
            "password" => self.password = Some(Secret(value.to_owned())),
            "dbname" => value.clone_into(&mut self.database),
            "application_name" => value.clone_into(&mut self.application_name),
            "options" => self.server_options = Some(value.to_owned()),
            "host" if value.starts_with('/') => self.host = Host::Unix(value.into()),
            "host" => self.host = Host::Tcp(value.to_owned()),
            "schema" => self.schema = Some(name_of("schema", value)?),
            "table_prefix" => self.table_prefix = prefix_of(value)?,
            "connect_timeout" => {
                let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
                self.connect_timeout = Duration::from_secs(seconds.ok_or_else(|| {
                    wrong(format!("connect_timeout={value} in the connection URL is not a number of seconds above 0"))
                })?);
            }
            other => {
                return Err(wrong(format!("the connection URL has the parameter {other}, which is not known")).with_hint(
                    "sslmode, sslrootcert, application_name, connect_timeout, host, options, schema, table_prefix are",
                ));
            }
        }
        Ok(())
    }

    /// The role, and its password if it needs one.
    #[must_use]
    pub fn user(mut self, name: &str, password: Option<&str>) -> Self {
        name.clone_into(&mut self.user);
        self.password = password.map(|password| Secret(password.to_owned()));
        self
    }

    /// The database.
    #[must_use]
    pub fn database(mut self, name: &str) -> Self {
        name.clone_into(&mut self.database);
        self
    }

    /// What the server shows as the name of the program; `cacheness` by default.
    #[must_use]
    pub fn application_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.application_name);
        self
    }

    /// The schema of the tables; created if it is missing. Without it they are in the first schema of the user's search path.
    ///
    /// # Errors
    /// `InvalidInput` for a name that PostgreSQL cannot have.
    pub fn schema(mut self, name: &str) -> Result<Self> {
        self.schema = Some(name_of("schema", name)?);
        Ok(self)
    }

    /// What the names of the tables begin with, so that several stores can be in one schema. The default is `cache_`.
    ///
    /// # Errors
    /// `InvalidInput` unless it has letters, digits and underscores, at most 32 of them.
    pub fn table_prefix(mut self, prefix: &str) -> Result<Self> {
        self.table_prefix = prefix_of(prefix)?;
        Ok(self)
    }

    /// See [`SslMode`].
    #[must_use]
    pub fn ssl_mode(mut self, mode: SslMode) -> Self {
        self.ssl_mode = mode;
        self
    }

    /// A file with the certificates of trusted authorities, in PEM. Without it, those that the system trusts.
    #[must_use]
    pub fn root_certificate(mut self, path: impl Into<PathBuf>) -> Self {
        self.root_certificate = Some(path.into());
        self
    }

    /// The number of connections that stay open, and how many more are opened while all are used.
    #[must_use]
    pub fn pool(mut self, size: usize, max_overflow: usize) -> Self {
        (self.pool_size, self.max_overflow) = (size.max(1), max_overflow);
        self
    }

    /// How long a call waits for a connection while all are used.
    #[must_use]
    pub fn pool_timeout(mut self, timeout: Duration) -> Self {
        self.pool_timeout = timeout;
        self
    }

    /// Connections older than this are closed instead of being used again.
    #[must_use]
    pub fn pool_recycle(mut self, age: Option<Duration>) -> Self {
        self.pool_recycle = age;
        self
    }

    /// Whether a connection that nobody has used for a second is tried before it is used: one more round trip. Without it, a
    /// call whose connection is gone is repeated on a new one, if repeating it is safe.
    #[must_use]
    pub fn pool_pre_ping(mut self, ping: bool) -> Self {
        self.pool_pre_ping = ping;
        self
    }

    /// How long connecting may take.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a statement may take.
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// Whether the store is only read: nothing is created, and PostgreSQL itself refuses every change.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// The place for messages: host, port and database, without the user and the password.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.host {
            Host::Tcp(host) => format!("{host}:{}/{}", self.port, self.database),
            Host::Unix(path) => format!("{}/{}", path.display(), self.database),
        }
    }
}

/// The longest prefix: with the longest name of a table it stays below PostgreSQL's 63 bytes.
const LONGEST_PREFIX: usize = 32;

fn prefix_of(prefix: &str) -> Result<String> {
    let is_word = prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_word || prefix.len() > LONGEST_PREFIX {
        return Err(wrong(format!("table_prefix {prefix:?} cannot begin the name of a table"))
            .with_hint("give up to 32 letters, digits and underscores"));
    }
    Ok(prefix.to_owned())
}

fn name_of(what: &str, name: &str) -> Result<String> {
    if name.is_empty() || name.len() > 63 || name.contains(['\0', '\'', '"', '\\']) {
        return Err(wrong(format!("{name:?} is no name of a {what}"))
            .with_hint("give 1 to 63 bytes without quotation marks and backslashes"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let options = PostgresOptions::from_url(
            "postgresql+psycopg://me:p%40ss%2Fw@db.example:6543/my%20data?sslmode=verify-full&sslrootcert=/ca.pem&connect_timeout=3",
        )
        .unwrap();
        assert_eq!(options.host, Host::Tcp("db.example".into()));
        assert_eq!((options.port, options.user.as_str(), options.database.as_str()), (6543, "me", "my data"));
        assert_eq!(options.password, Some(Secret("p@ss/w".into())));
        assert_eq!(options.ssl_mode, SslMode::VerifyFull);
        assert_eq!(options.connect_timeout, Duration::from_secs(3));
        assert_eq!(options.place(), "db.example:6543/my data");

        let least = PostgresOptions::from_url("postgres://localhost").unwrap();
        assert_eq!((least.port, least.user.as_str(), least.database.as_str()), (5432, "postgres", "postgres"));
        let socket = PostgresOptions::from_url("postgresql://me@/x?host=/var/run/postgresql").unwrap();
        assert_eq!(socket.host, Host::Unix("/var/run/postgresql".into()));
        let socket = PostgresOptions::from_url("postgresql://%2Frun/x").unwrap();
        assert_eq!(socket.host, Host::Unix("/run".into()));
        assert_eq!(PostgresOptions::from_url("postgresql://[::1]:1/x").unwrap().host, Host::Tcp("::1".into()));
    }

    #[test]
    fn a_password_is_never_shown() {
        let options = PostgresOptions::from_url("postgresql://me:secret@h/x").unwrap();
        assert!(!format!("{options:?} {}", options.place()).contains("secret"));
        for url in [
            "mysql://me:secret@h/x",
            "postgresql://me:secret@h:99999/x",
            "postgresql://me:secret@h/x?sslmode=always",
            "postgresql://me:secret@h/x?unknown=1",
            "postgresql://me:secret@h/x?connect_timeout=0",
            "postgresql://me:secret@h/x?table_prefix=a-b",
        ] {
            let error = PostgresOptions::from_url(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(!format!("{error:?}{}", error.with_causes()).contains("secret"), "{error:?}");
        }
    }
}
