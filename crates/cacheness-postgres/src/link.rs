//! One connection, driven by the thread that uses it.
//!
//! Each has a runtime of its own without threads: a call sends its request, and waits for the answer in the same place.
//! That is three times as fast as a runtime that all connections share, and a fork meets no thread.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::net::ToSocketAddrs as _;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use cacheness_core::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Row, Statement, config};

use crate::descriptors::{ClosedInChildren, watch_peer};
use crate::error::{is_fatal, translate};
use crate::options::{Host, PostgresOptions, SslMode};
use crate::tls;

/// A value of a parameter.
pub(crate) type Param<'a> = &'a (dyn ToSql + Sync);

type Driver = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// A request whose answer is rows.
type Request<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, tokio_postgres::Error>> + Send + 'a>>;

/// Statements of users' filters and tables are as many as users write; beyond this the prepared ones are forgotten.
const MOST_STATEMENTS: usize = 200;

/// What a statement waits for beyond the time that the server gives it: the network.
const GRACE: Duration = Duration::from_secs(10);

/// How often a query is asked whether to go on.
const ASKED: Duration = Duration::from_millis(10);

/// A connection.
pub(crate) struct Link {
    // Declared first, so that it is dropped before the runtime.
    client: Client,
    line: Line,
    statements: HashMap<String, Statement>,
    session: Option<Session>,
    pub(crate) opened: Instant,
    pub(crate) used: Instant,
}

/// What brings requests to the server and answers back.
struct Line {
    driver: Driver,
    runtime: Runtime,
    limit: Duration,
    /// Whether a request has failed in a way after which nothing is known of the connection.
    broken: bool,
    _socket: ClosedInChildren,
}

/// What identifies the session of a connection on the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) process: i32,
    pub(crate) begun: SystemTime,
}

/// A statement of a pipeline and its values.
pub(crate) struct Step<'a> {
    pub(crate) sql: &'a str,
    pub(crate) params: Vec<Param<'a>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("broken", &self.line.broken).finish_non_exhaustive()
    }
}

/// Runs a future on a runtime, also inside another runtime, where waiting is forbidden: there on a thread of its own.
fn wait<T: Send>(runtime: &Runtime, work: impl Future<Output = T> + Send) -> T {
    if Handle::try_current().is_err() {
        return runtime.block_on(work);
    }
    std::thread::scope(|scope| match scope.spawn(|| runtime.block_on(work)).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

impl Line {
    /// Waits for the answer to a request, and drives the connection meanwhile.
    fn drive<T: Send>(
        &mut self,
        action: &str,
        request: impl Future<Output = Result<T, tokio_postgres::Error>> + Send,
    ) -> Result<T> {
        let Self { driver, runtime, limit, broken, .. } = self;
        let timed = async {
            let mut request = std::pin::pin!(request);
            let both = poll_fn(|context| {
                // The request first: it hands its message to the driver.
                if let Poll::Ready(result) = request.as_mut().poll(context) {
                    return Poll::Ready(Some(result));
                }
                let ended = driver.as_mut().poll(context);
                // The driver may have brought the answer, or have failed the request.
                match (request.as_mut().poll(context), ended) {
                    (Poll::Ready(result), _) => Poll::Ready(Some(result)),
                    (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Some(Err(error))),
                    (Poll::Pending, Poll::Ready(Ok(()))) => Poll::Ready(None),
                    (Poll::Pending, Poll::Pending) => Poll::Pending,
                }
            });
            tokio::time::timeout(*limit, both).await
        };
        match wait(runtime, timed) {
            Ok(Some(Ok(value))) => Ok(value),
            Ok(Some(Err(error))) => {
                *broken |= is_fatal(&error);
                Err(translate(action, error))
            }
            Ok(None) => {
                *broken = true;
                Err(Error::new(ErrorKind::Unavailable, format!("{action}: PostgreSQL has closed the connection")))
            }
            Err(_) => {
                *broken = true;
                Err(Error::new(ErrorKind::TimedOut, format!("{action}: PostgreSQL has not answered within {limit:?}"))
                    .with_hint("check the server and the network between"))
            }
        }
    }
}

impl Link {
    /// Connects.
    pub(crate) fn open(options: &PostgresOptions) -> Result<Self> {
        Self::connect(options).map_err(|error| error.within(options.place()))
    }

    fn connect(options: &PostgresOptions) -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::io("cannot set up a connection", e))?;
        let config = config_of(options);
        let deadline = Instant::now() + options.connect_timeout;
        let (client, driver, socket) = match &options.host {
            Host::Tcp(host) => {
                let stream = connected(host, options.port, deadline)?;
                let socket = ClosedInChildren::new(stream.as_raw_fd());
                let stream = registered(&runtime, || tokio::net::TcpStream::from_std(stream).map_err(unreachable))?;
                let opened = if options.ssl_mode == SslMode::Disable {
                    start(&runtime, deadline, config.connect_raw(stream, NoTls))?
                } else {
                    let tls = tls_for(options, host)?;
                    start(&runtime, deadline, config.connect_raw(stream, tls))?
                };
                (opened.0, opened.1, socket)
            }
            Host::Unix(directory) => {
                let stream = registered(&runtime, || unix(options, directory))?;
                let socket = ClosedInChildren::new(stream.as_raw_fd());
                let opened = start(&runtime, deadline, config.connect_raw(stream, NoTls))?;
                (opened.0, opened.1, socket)
            }
        };
        let now = Instant::now();
        let limit = options.statement_timeout.saturating_add(GRACE);
        let line = Line { driver, runtime, limit, broken: false, _socket: socket };
        Ok(Self { client, line, statements: HashMap::new(), session: None, opened: now, used: now })
    }

    /// Whether the connection is of no further use.
    pub(crate) fn is_broken(&self) -> bool {
        self.line.broken || self.client.is_closed()
    }

    /// Makes sure that the connection is not used again: its session may be inside a transaction.
    pub(crate) fn give_up(&mut self) {
        self.line.broken = true;
    }

    /// The session, which the server is asked for once.
    pub(crate) fn session(&mut self) -> Result<Session> {
        if let Some(session) = self.session {
            return Ok(session);
        }
        let action = "cannot learn the number of a session";
        let sql = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let rows = self.query_once(action, sql, &[])?;
        let found = rows.first().and_then(|row| {
            Some(Session { process: row.try_get(0).ok()?, begun: row.try_get::<_, Option<SystemTime>>(1).ok()?? })
        });
        self.session = found;
        found.ok_or_else(|| Error::new(ErrorKind::Metadata, format!("{action}: PostgreSQL does not list it")))
    }

    /// The prepared form of a statement.
    pub(crate) fn prepare(&mut self, action: &str, sql: &str) -> Result<Statement> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        if self.statements.len() >= MOST_STATEMENTS {
            self.statements.clear();
        }
        let statement = self.line.drive(action, self.client.prepare(sql))?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// The rows of a statement that is used again and again: one round trip, and another one at its first use.
    pub(crate) fn query(&mut self, action: &str, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>> {
        let statement = self.prepare(action, sql)?;
        self.line.drive(action, self.client.query(&statement, params))
    }

    /// The rows of a statement that is used once: always one round trip.
    pub(crate) fn query_once(&mut self, action: &str, sql: &str, params: &[(Param<'_>, Type)]) -> Result<Vec<Row>> {
        self.line.drive(action, self.client.query_typed(sql, params))
    }

    /// A statement that is prepared for one use, with the types of its parameters.
    pub(crate) fn prepare_once(&mut self, action: &str, sql: &str, types: &[Type]) -> Result<Statement> {
        self.line.drive(action, self.client.prepare_typed(sql, types))
    }

    /// The rows of a prepared statement.
    pub(crate) fn query_prepared(
        &mut self,
        action: &str,
        statement: &Statement,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>> {
        self.line.drive(action, self.client.query(statement, params))
    }

    /// Does `work`, however long it takes, unless `stop` is true: that is asked a hundred times a second. `false` if it was
    /// stopped; the answer to what it has sent is still to come then, see [`Link::cancel`].
    pub(crate) fn until<'a, F>(
        &'a mut self,
        action: &str,
        mut stop: impl FnMut() -> bool + Send,
        work: impl FnOnce(&'a Client) -> F,
    ) -> Result<bool>
    where
        F: Future<Output = Result<(), tokio_postgres::Error>> + Send,
    {
        let Self { client, line, .. } = self;
        let client: &'a Client = client;
        let limit = std::mem::replace(&mut line.limit, Duration::MAX / 4);
        let work = work(client);
        let request = async move {
            let mut work = std::pin::pin!(work);
            loop {
                match tokio::time::timeout(ASKED, work.as_mut()).await {
                    Ok(done) => return done.map(|()| true),
                    Err(_) if stop() => return Ok(false),
                    Err(_) => {}
                }
            }
        };
        let done = line.drive(action, request);
        line.limit = limit;
        done
    }

    /// Stops the statement that runs, by a connection of its own. The connection can be used afterwards.
    pub(crate) fn cancel(&mut self, options: &PostgresOptions) -> Result<()> {
        let token = self.client.cancel_token();
        let failed = |e| translate("cannot stop a query", e);
        let deadline = Instant::now() + options.connect_timeout;
        let runtime = &self.line.runtime;
        let cancelled = match &options.host {
            Host::Tcp(host) => {
                let stream = registered(runtime, || {
                    tokio::net::TcpStream::from_std(connected(host, options.port, deadline)?).map_err(unreachable)
                })?;
                if options.ssl_mode == SslMode::Disable {
                    wait(runtime, token.cancel_query_raw(stream, NoTls))
                } else {
                    wait(runtime, token.cancel_query_raw(stream, tls_for(options, host)?))
                }
            }
            Host::Unix(directory) => {
                let stream = registered(runtime, || unix(options, directory))?;
                wait(runtime, token.cancel_query_raw(stream, NoTls))
            }
        };
        cancelled.map_err(failed)
    }

    /// Statements without parameters and results.
    pub(crate) fn batch(&mut self, action: &str, sql: &str) -> Result<()> {
        self.line.drive(action, self.client.batch_execute(sql))
    }

    /// Gives the client to `work`, which may send several requests.
    pub(crate) fn with_client<'a, T, F>(&'a mut self, action: &str, work: impl FnOnce(&'a mut Client) -> F) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T, tokio_postgres::Error>> + Send + 'a,
    {
        let Self { client, line, .. } = self;
        line.drive(action, work(client))
    }

    /// A transaction of statements that do not depend on each other's rows, in one round trip: all of them, or none. Its
    /// first statement is `begin`.
    pub(crate) fn transaction(&mut self, action: &str, begin: &str, steps: &[Step<'_>]) -> Result<Vec<Vec<Row>>> {
        let mut rows = self.pipeline(action, begin, steps, Some("COMMIT"))?;
        rows.pop();
        Ok(rows)
    }

    /// The beginning of such a transaction, up to its `COMMIT`.
    pub(crate) fn begin(&mut self, action: &str, begin: &str, steps: &[Step<'_>]) -> Result<Vec<Vec<Row>>> {
        let begun = self.pipeline(action, begin, steps, None);
        if begun.is_err() && !self.is_broken() {
            self.batch(action, "ROLLBACK")?;
        }
        begun
    }

    /// The rows of each step, and an empty list for the end.
    fn pipeline(
        &mut self,
        action: &str,
        begin: &str,
        steps: &[Step<'_>],
        end: Option<&'static str>,
    ) -> Result<Vec<Vec<Row>>> {
        let statements = steps.iter().map(|step| self.prepare(action, step.sql)).collect::<Result<Vec<Statement>>>()?;
        let client = &self.client;
        let mut requests: Vec<Request<'_>> = Vec::with_capacity(steps.len() + 2);
        let bare = |sql: &'static str| async move { client.batch_execute(sql).await.map(|()| Vec::new()) };
        requests.push(Box::pin(async move { client.batch_execute(begin).await.map(|()| Vec::new()) }));
        for (statement, step) in statements.iter().zip(steps) {
            requests.push(Box::pin(client.query(statement, &step.params)));
        }
        requests.extend(end.map(|end| -> Request<'_> { Box::pin(bare(end)) }));
        let mut results: Vec<Option<Result<Vec<Row>, tokio_postgres::Error>>> = requests.iter().map(|_| None).collect();
        // Each request is sent when it is first polled, so that the server gets them in order.
        let all = poll_fn(move |context| {
            let mut pending = false;
            for (request, result) in requests.iter_mut().zip(&mut results) {
                if result.is_none() {
                    match request.as_mut().poll(context) {
                        Poll::Ready(done) => *result = Some(done),
                        Poll::Pending => pending = true,
                    }
                }
            }
            if pending {
                return Poll::Pending;
            }
            // After an error PostgreSQL refuses the rest, and the `COMMIT` rolls back.
            Poll::Ready(std::mem::take(&mut results).into_iter().flatten().collect::<Result<Vec<_>, _>>())
        });
        let mut rows = self.line.drive(action, all)?;
        rows.remove(0);
        Ok(rows)
    }
}

/// A socket of the runtime.
fn registered<T>(runtime: &Runtime, make: impl FnOnce() -> Result<T>) -> Result<T> {
    let _context = runtime.enter();
    make()
}

fn tls_for(
    options: &PostgresOptions,
    host: &str,
) -> Result<impl TlsConnect<tokio::net::TcpStream, Stream: Send, Future: Send> + use<>> {
    let mut connector = tls::connector(options)?;
    let tls = MakeTlsConnect::<tokio::net::TcpStream>::make_tls_connect(&mut connector, host);
    tls.map_err(|e| Error::new(ErrorKind::Unavailable, "TLS cannot be set up").with_source(e))
}

fn unix(options: &PostgresOptions, directory: &std::path::Path) -> Result<tokio::net::UnixStream> {
    let path = directory.join(format!(".s.PGSQL.{}", options.port));
    let stream = std::os::unix::net::UnixStream::connect(path).map_err(unreachable)?;
    stream.set_nonblocking(true).map_err(unreachable)?;
    tokio::net::UnixStream::from_std(stream).map_err(unreachable)
}

fn unreachable(error: std::io::Error) -> Error {
    let kind = if error.kind() == std::io::ErrorKind::TimedOut { ErrorKind::TimedOut } else { ErrorKind::Unavailable };
    Error::new(kind, "the PostgreSQL server cannot be reached")
        .with_source(error)
        .with_hint("check the host and the port, and that the server runs and listens there")
}

/// A socket that is connected to the first of the host's addresses that answers. The addresses are looked up here: the
/// lookup of tokio starts threads.
fn connected(host: &str, port: u16, deadline: Instant) -> Result<std::net::TcpStream> {
    let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs().map_err(unreachable)? {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match std::net::TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(unreachable)?;
                stream.set_nonblocking(true).map_err(unreachable)?;
                watch_peer(stream.as_raw_fd()).map_err(unreachable)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(unreachable(last))
}

/// Introduces the client to the server.
fn start<S, T>(
    runtime: &Runtime,
    deadline: Instant,
    connect: impl Future<Output = Result<(Client, tokio_postgres::Connection<S, T>), tokio_postgres::Error>> + Send,
) -> Result<(Client, Driver)>
where
    tokio_postgres::Connection<S, T>: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
    S: Send,
    T: Send,
{
    let left = deadline.saturating_duration_since(Instant::now());
    let timed = async { tokio::time::timeout(left, connect).await };
    match wait(runtime, timed) {
        Ok(Ok((client, connection))) => Ok((client, Box::pin(connection))),
        Ok(Err(error)) => Err(translate("cannot connect", error)),
        Err(_) => Err(unreachable(std::io::ErrorKind::TimedOut.into())),
    }
}

fn config_of(options: &PostgresOptions) -> Config {
    let mut config = Config::new();
    config.user(&options.user).dbname(&options.database).application_name(&options.application_name);
    if let Some(password) = &options.password {
        config.password(&password.0);
    }
    config.ssl_mode(match options.ssl_mode {
        SslMode::Disable => config::SslMode::Disable,
        SslMode::Prefer => config::SslMode::Prefer,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => config::SslMode::Require,
    });
    // A session whose client is gone ends, and with it its locks.
    let mut server = format!(
        "-c statement_timeout={} -c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3",
        options.statement_timeout.as_millis()
    );
    if options.read_only {
        server += " -c default_transaction_read_only=on";
    }
    if let Some(own) = &options.server_options {
        server = format!("{server} {own}");
    }
    config.options(server);
    config
}
