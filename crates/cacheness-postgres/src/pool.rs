//! The connections of a process.

use std::time::{Duration, Instant};

use cacheness_core::backend::PoolStats;
use cacheness_core::{Error, ErrorKind, Result};
use parking_lot::{Condvar, Mutex};

use crate::link::Link;
use crate::options::PostgresOptions;

/// A connection that was idle for longer is tried first, if the options ask for it.
const IDLE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct State {
    /// The connections that nobody uses, the last used one last.
    idle: Vec<Link>,
    /// All connections.
    open: usize,
    closed: bool,
    opened: u64,
    waits: u64,
}

/// Keeps connections open.
#[derive(Debug)]
pub(crate) struct Pool {
    state: Mutex<State>,
    freed: Condvar,
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), freed: Condvar::new() }
    }

    /// A connection that is used again, or a new one; waits for one while there are as many as there may be.
    pub(crate) fn take<'a>(&'a self, options: &'a PostgresOptions) -> Result<Taken<'a>> {
        let deadline = Instant::now() + options.pool_timeout;
        let most = options.pool_size.saturating_add(options.max_overflow);
        let mut state = self.state.lock();
        let mut has_waited = false;
        loop {
            if state.closed {
                return Err(Error::new(ErrorKind::Closed, "the store has been closed"));
            }
            if let Some(link) = state.idle.pop() {
                if link.is_broken() || options.pool_recycle.is_some_and(|age| link.opened.elapsed() >= age) {
                    state.open -= 1;
                    drop(link);
                    continue;
                }
                drop(state);
                let mut taken = Taken { pool: self, options, link: Some(link) };
                if options.pool_pre_ping && taken.link().used.elapsed() >= IDLE {
                    let alive = taken.link().batch("cannot reach the server", "").is_ok();
                    if !alive {
                        drop(taken);
                        state = self.state.lock();
                        continue;
                    }
                }
                return Ok(taken);
            }
            if state.open < most {
                state.open += 1;
                state.opened += 1;
                drop(state);
                let mut taken = Taken { pool: self, options, link: None };
                taken.link = Some(Link::open(options)?);
                return Ok(taken);
            }
            if !has_waited {
                has_waited = true;
                state.waits += 1;
            }
            if self.freed.wait_until(&mut state, deadline).timed_out() {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!("all {most} connections to {} were in use for {:?}", options.place(), options.pool_timeout),
                )
                .with_hint("raise pool_size and max_overflow, or use fewer threads"));
            }
        }
    }

    pub(crate) fn stats(&self, options: &PostgresOptions) -> PoolStats {
        let state = self.state.lock();
        let idle = state.idle.len();
        let mut stats = PoolStats::default();
        (stats.pool_size, stats.max_overflow) = (options.pool_size, options.max_overflow);
        (stats.open, stats.in_use, stats.idle) = (state.open, state.open.saturating_sub(idle), idle);
        (stats.opened, stats.waits) = (state.opened, state.waits);
        stats
    }

    /// Closes all connections: those in use when they are given back.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let idle = std::mem::take(&mut state.idle);
        state.open -= idle.len();
        drop(state);
        self.freed.notify_all();
    }
}

/// A connection in use; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    pool: &'a Pool,
    options: &'a PostgresOptions,
    /// `None` while it is being opened.
    link: Option<Link>,
}

impl Taken<'_> {
    pub(crate) fn link(&mut self) -> &mut Link {
        self.link.as_mut().expect("a taken connection has been opened")
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // A panic may have left a transaction open, or an answer unread.
        if let (true, Some(link)) = (std::thread::panicking(), &mut self.link) {
            link.give_up();
        }
        let mut state = self.pool.state.lock();
        let link = self.link.take().filter(|link| !link.is_broken());
        match link {
            Some(mut link) if !state.closed && state.idle.len() < self.options.pool_size => {
                link.used = Instant::now();
                state.idle.push(link);
            }
            link => {
                state.open = state.open.saturating_sub(1);
                drop(state);
                drop(link);
            }
        }
        self.pool.freed.notify_one();
    }
}
