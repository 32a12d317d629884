//! A server of S3 in this process, on a port of its own, that can misbehave.
//!
//! Keeps objects as files, signs and checks signatures like S3, and knows multipart uploads, but no list of unfinished
//! ones. Its thread ends with the process.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::CONTENT_LENGTH;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};

/// The bucket that every server has.
pub const BUCKET: &str = "cacheness-tests";
/// The access key.
pub const ACCESS_KEY: &str = "tester";
/// The secret key.
pub const SECRET_KEY: &str = "not-a-secret-of-anybody";

/// A request, as a plan of faults sees it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET`, `PUT`, …
    pub method: String,
    /// The path, with the bucket.
    pub path: String,
    /// What stands after the question mark.
    pub query: String,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is served.
    None,
    /// It is not served; the answer has this status and this code of S3.
    Status(u16, &'static str),
    /// It is served, but the answer is 200 with this code of S3 in its body.
    ErrorInside(&'static str),
    /// It is served; the connection breaks after so many bytes of the answer's body.
    Cut(usize),
    /// It is served; the first byte of the answer's body is another one.
    Wrong,
    /// It is served, and the connection breaks before the answer.
    Lost,
    /// It is not served, and the connection breaks.
    Refused,
    /// It is served after this time.
    Delay(Duration),
    /// It is never answered.
    Silent,
}

type Plan = Box<dyn Fn(&Seen) -> Fault + Send + Sync>;

#[derive(Default)]
struct Shared {
    requests: AtomicU64,
    plan: Mutex<Option<Arc<Plan>>>,
}

/// A running server.
pub struct S3Server {
    address: SocketAddr,
    root: tempfile::TempDir,
    shared: Arc<Shared>,
}

impl S3Server {
    /// Starts a server with an empty bucket.
    ///
    /// # Panics
    /// The system refuses a directory, a thread or a port.
    #[must_use]
    pub fn start() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir(root.path().join(BUCKET)).expect("a bucket");
        let shared = Arc::new(Shared::default());
        let (started, address) = mpsc::channel();
        let (path, of_server) = (root.path().to_owned(), Arc::clone(&shared));
        std::thread::spawn(move || serve(&path, &of_server, &started));
        let address = address.recv().expect("a server");
        Self { address, root, shared }
    }

    /// `http://127.0.0.1:…`
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The number of requests so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Asks `plan` what happens to each request from now on.
    pub fn fail(&self, plan: impl Fn(&Seen) -> Fault + Send + Sync + 'static) {
        *self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(Box::new(plan)));
    }

    /// Serves all requests again.
    pub fn heal(&self) {
        *self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The keys of all objects, in order.
    ///
    /// # Panics
    /// The directory cannot be read.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        collect(&self.root.path().join(BUCKET), "", &mut keys);
        keys.sort_unstable();
        keys
    }

    /// The number of uploads that were neither completed nor aborted, as their files tell.
    ///
    /// # Panics
    /// The directory cannot be read.
    #[must_use]
    pub fn uploads(&self) -> usize {
        let names = fs::read_dir(self.root.path()).expect("a directory").flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with(".upload-") && name.ends_with(".json")).count()
    }
}

fn collect(directory: &Path, prefix: &str, keys: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{name}/"), keys);
        } else {
            keys.push(name);
        }
    }
}

fn serve(root: &Path, shared: &Arc<Shared>, started: &mpsc::Sender<SocketAddr>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).expect("a directory"));
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        started.send(listener.local_addr().expect("an address")).expect("somebody waits");
        loop {
            let Ok((socket, _)) = listener.accept().await else { continue };
            // Otherwise the second packet of an answer waits for the client, who waits for it.
            socket.set_nodelay(true).expect("a socket");
            let (service, shared) = (service.clone(), Arc::clone(shared));
            tokio::spawn(async move {
                let answer = service_fn(move |request| answer(service.clone(), Arc::clone(&shared), request));
                // A broken connection is what some of the tests want.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
            });
        }
    });
}

/// A connection that breaks.
fn broken() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

async fn answer(service: S3Service, shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let plan = shared.plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let seen = Seen {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
    };
    let fault = plan.map_or(Fault::None, |plan| plan(&seen));
    let is_head = request.method() == Method::HEAD;
    match fault {
        Fault::Status(status, code) => {
            // The client has sent its body before it reads the answer.
            let _ = request.into_body().collect().await;
            let body = if is_head { String::new() } else { error_body(code) };
            let mut response = Response::new(Body::http_body(Full::new(Bytes::from(body)).map_err(never)));
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            return Ok(response);
        }
        Fault::Refused => return Err(broken()),
        Fault::Delay(pause) => tokio::time::sleep(pause).await,
        Fault::Silent => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            return Err(broken());
        }
        _ => {}
    }
    let response = service.call(request.map(Body::from)).await.map_err(|_| broken())?;
    let (mut parts, body) = response.into_parts();
    let body = match fault {
        Fault::Lost => return Err(broken()),
        Fault::ErrorInside(code) => {
            parts.headers.remove(CONTENT_LENGTH);
            Body::http_body(Full::new(Bytes::from(error_body(code))).map_err(never))
        }
        Fault::Cut(at) => {
            let bytes = body.collect().await.map_err(|_| broken())?.to_bytes();
            let first = bytes.slice(..at.min(bytes.len()));
            Body::http_body(StreamBody::new(stream::iter([Ok(Frame::data(first)), Err(broken())])))
        }
        Fault::Wrong => {
            let mut bytes = body.collect().await.map_err(|_| broken())?.to_bytes().to_vec();
            if let Some(first) = bytes.first_mut() {
                *first ^= 1;
            }
            Body::http_body(Full::new(Bytes::from(bytes)).map_err(never))
        }
        _ => body,
    };
    Ok(Response::from_parts(parts, body))
}

fn never(error: Infallible) -> io::Error {
    match error {}
}

fn error_body(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>made by a test</Message></Error>")
}
