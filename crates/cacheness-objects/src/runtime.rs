//! The runtime of this process: one thread that drives all connections.
//!
//! A call polls its own future in the thread that made it; the runtime's thread only moves bytes between sockets and
//! buffers, and runs the uploads of parts that a writer has started. It starts at the first use. A forked child has
//! neither the thread nor its connections, and starts its own.
//!
//! No thread of `std` is started here, also not by tokio or by the look-up of host names: the child of a fork might
//! wait for one for ever (see `cacheness_core::thread`).

use std::net::ToSocketAddrs;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use cacheness_core::process::PerProcess;
use cacheness_core::{Error, ErrorKind, Result, interrupt, thread};
use object_store::client::{DnsError, DnsFuture, DnsResolver};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The runtime, and what ends its thread when it is dropped.
struct Running {
    handle: Handle,
    _until: oneshot::Sender<()>,
}

static RUNNING: PerProcess<Result<Running, String>> = PerProcess::new();

fn start() -> Result<Running, String> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| format!("cannot start the client: {error}"))?;
    let handle = runtime.handle().clone();
    let (until, end) = oneshot::channel();
    if thread::start(move || drop(runtime.block_on(end))) {
        Ok(Running { handle, _until: until })
    } else {
        Err("cannot start the client: the system refuses a thread".to_owned())
    }
}

/// The runtime of this process.
pub(crate) fn handle() -> Result<&'static Handle> {
    match RUNNING.get_or_make(start) {
        Ok(running) => Ok(&running.handle),
        Err(what) => Err(Error::new(ErrorKind::Storage, what.clone())),
    }
}

/// Wakes a parked thread.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future in this thread, which may be one of an asynchronous program.
///
/// # Errors
/// Those of the future, and `Cancelled` if the embedding program asks to stop.
pub(crate) fn wait<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let _inside = handle()?.enter();
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let mut asked = Instant::now();
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return result;
        }
        std::thread::park_timeout(interrupt::INTERVAL);
        if asked.elapsed() >= interrupt::INTERVAL {
            if interrupt::requested() {
                return Err(interrupt::cancelled());
            }
            asked = Instant::now();
        }
    }
}

/// Looks host names up in threads that a forked child can start. A random one of the addresses comes first, which
/// spreads the load over the servers.
#[derive(Debug)]
pub(crate) struct Resolver;

impl DnsResolver for Resolver {
    fn resolve(&self, host: &str) -> DnsFuture {
        let host = host.to_owned();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let started = thread::start(move || {
                let found = (host.as_str(), 0).to_socket_addrs().map(|found| {
                    let mut found: Vec<_> = found.map(|address| address.ip()).collect();
                    if let (Ok(random), true) = (getrandom::u64(), found.len() > 1) {
                        let first = usize::try_from(random % found.len() as u64).unwrap_or_default();
                        found.rotate_left(first);
                    }
                    found
                });
                // The caller may have given up.
                drop(answer.send(found));
            });
            if !started {
                return Err(DnsError::from("the system refuses a thread to look the host up"));
            }
            Ok(answered.await??)
        })
    }
}
