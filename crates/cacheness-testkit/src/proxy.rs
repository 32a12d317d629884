//! A proxy between a client and a server, which delays, cuts, and loses what they send.
//!
//! It knows nothing of the protocol. What a client sends until the server answers counts as a request; that holds for
//! clients that wait for each answer, as those of databases do.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use url::Url;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It reaches the server, and the answer reaches the client.
    None,
    /// It reaches the server later.
    Delay(Duration),
    /// It does not reach the server; both connections are closed.
    Request,
    /// Half of its bytes reach the server; both connections are closed.
    HalfRequest,
    /// It reaches the server, whose answer is lost: both connections are closed when it comes.
    Answer,
    /// It reaches the server, whose answer ends after so many bytes.
    HalfAnswer(usize),
    /// The connection of the client is closed. The request reaches the server later, over a connection that stays open.
    Late(Duration),
}

/// A piece of a request, as a plan sees it.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The number of the connection.
    pub connection: usize,
    /// How many pieces this connection has sent before.
    pub number: usize,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// Where the server listens.
#[derive(Clone, Debug)]
pub enum Server {
    /// Host and port.
    Tcp(String, u16),
    /// The path of a socket.
    Unix(PathBuf),
}

impl Server {
    fn connect(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(host, port) => TcpStream::connect((host.as_str(), *port)).map(Socket::Tcp),
            Self::Unix(path) => UnixStream::connect(path).map(Socket::Unix),
        }
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
        }
    }

    fn close(&self) {
        // It may be closed already.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => { stream }.read(buffer),
            Self::Unix(stream) => { stream }.read(buffer),
        }
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => { stream }.write_all(bytes),
            Self::Unix(stream) => { stream }.write_all(bytes),
        }
    }
}

type Plan = Box<dyn Fn(&Piece<'_>) -> Cut + Send + Sync>;

#[derive(Default)]
struct Shared {
    plan: Mutex<Option<Arc<Plan>>>,
    open: Mutex<Vec<(Socket, Socket)>>,
    connections: AtomicUsize,
    is_down: AtomicBool,
    ended: AtomicBool,
}

/// A running proxy.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Starts a proxy in front of the PostgreSQL server that a URL names; returns the URL of the same database behind it.
    ///
    /// # Panics
    /// The URL is none, or the system refuses a port.
    #[must_use]
    pub fn of_postgres(url: &str) -> (Self, String) {
        let mut url = Url::parse(&with_host(url)).expect("a URL");
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let port = url.port().unwrap_or(5432);
        let host = pairs.iter().find(|(name, _)| name == "host").map(|(_, host)| host.as_str()).or(url.host_str());
        let server = match host.unwrap_or("127.0.0.1") {
            path if path.starts_with('/') => Server::Unix(format!("{path}/.s.PGSQL.{port}").into()),
            host => Server::Tcp(host.to_owned(), port),
        };
        let proxy = Self::start(server);
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(proxy.port())).expect("a port");
        let kept = pairs.iter().filter(|(name, _)| name != "host" && name != "sslmode");
        url.query_pairs_mut().clear().extend_pairs(kept).append_pair("sslmode", "disable");
        (proxy, url.into())
    }

    /// Starts a proxy in front of a server.
    ///
    /// # Panics
    /// The system refuses a port.
    #[must_use]
    pub fn start(server: Server) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::Acquire) {
                    return;
                }
                let Ok(server) = server.connect() else { continue };
                if accepting.is_down.load(Ordering::Acquire) {
                    continue;
                }
                let number = accepting.connections.fetch_add(1, Ordering::Relaxed);
                // A connection that cannot be set up is one more that breaks.
                let _ = Connection::start(&accepting, number, client, server);
            }
        });
        Self { address, shared }
    }

    /// The port of the proxy on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Asks `plan` what happens to each piece from now on. The answer to a former piece is not changed.
    pub fn cut(&self, plan: impl Fn(&Piece<'_>) -> Cut + Send + Sync + 'static) {
        *self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(Box::new(plan)));
    }

    /// Lets everything pass again.
    pub fn heal(&self) {
        *self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.shared.is_down.store(false, Ordering::Release);
    }

    /// Closes all connections, and each new one at once.
    pub fn go_down(&self) {
        self.shared.is_down.store(true, Ordering::Release);
        self.close_all();
    }

    /// Closes all connections.
    pub fn close_all(&self) {
        let open = std::mem::take(&mut *self.shared.open.lock().unwrap_or_else(PoisonError::into_inner));
        for (client, server) in open {
            client.close();
            server.close();
        }
    }

    /// How many connections there were so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        self.close_all();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

/// A URL with a host: one that names the directory of a socket as an option has none, and is then none that parses.
fn with_host(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgresql", url));
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = if authority.is_empty() || authority.ends_with('@') { "127.0.0.1" } else { "" };
    format!("{scheme}://{authority}{host}{path}")
}

/// What the answer is to suffer.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Passes,
    Ends(usize),
    /// Nobody waits for it.
    Ignored,
}

struct Connection {
    shared: Arc<Shared>,
    number: usize,
    client: Socket,
    server: Socket,
    answer: Mutex<Answer>,
}

impl Connection {
    fn start(shared: &Arc<Shared>, number: usize, client: TcpStream, server: Socket) -> io::Result<()> {
        client.set_nodelay(true)?;
        if let Socket::Tcp(server) = &server {
            server.set_nodelay(true)?;
        }
        let client = Socket::Tcp(client);
        let pair = (client.try_clone()?, server.try_clone()?);
        shared.open.lock().unwrap_or_else(PoisonError::into_inner).push(pair);
        let answer = Mutex::new(Answer::Passes);
        let connection = Arc::new(Self { shared: Arc::clone(shared), number, client, server, answer });
        let other = Arc::clone(&connection);
        std::thread::spawn(move || {
            // An error ends the connection, as its end does.
            let _ = connection.requests();
            connection.close();
        });
        std::thread::spawn(move || {
            let _ = other.answers();
            other.close();
        });
        Ok(())
    }

    fn close(&self) {
        self.client.close();
        self.server.close();
    }

    fn expect(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    fn requests(&self) -> io::Result<()> {
        let (client, server) = (&self.client, &self.server);
        let mut buffer = vec![0; 1 << 16];
        for number in 0.. {
            let count = client.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            let bytes = &buffer[..count];
            let plan = self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let piece = Piece { connection: self.number, number, bytes };
            match plan.map_or(Cut::None, |plan| plan(&piece)) {
                Cut::None => server.write_all(bytes)?,
                Cut::Delay(pause) => {
                    std::thread::sleep(pause);
                    server.write_all(bytes)?;
                }
                Cut::Request => return Ok(()),
                Cut::HalfRequest => return server.write_all(&bytes[..count / 2]),
                Cut::Answer => {
                    self.expect(Answer::Ends(0));
                    server.write_all(bytes)?;
                }
                Cut::HalfAnswer(count) => {
                    self.expect(Answer::Ends(count));
                    server.write_all(bytes)?;
                }
                Cut::Late(pause) => {
                    self.expect(Answer::Ignored);
                    client.close();
                    std::thread::sleep(pause);
                    server.write_all(bytes)?;
                    // The session on the server goes on until somebody ends it.
                    std::thread::sleep(Duration::from_secs(1));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn answers(&self) -> io::Result<()> {
        let (client, server) = (&self.client, &self.server);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = server.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            let answer = *self.answer.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Answer::Passes => client.write_all(&buffer[..count])?,
                Answer::Ends(at) => return client.write_all(&buffer[..at.min(count)]),
                Answer::Ignored => {}
            }
        }
    }
}
