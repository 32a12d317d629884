//! A request to stop that reaches a caller while a backend waits for a server: Ctrl-C in Python.
//!
//! A backend that waits asks [`requested`] a few times a second, and gives up with [`cancelled`]. What asks the embedding
//! program is set once, by [`on_wait`]; without it, nothing stops a call but its time-outs.

use std::sync::OnceLock;
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// How long a backend waits between two questions.
pub const INTERVAL: Duration = Duration::from_millis(100);

static ASK: OnceLock<fn() -> bool> = OnceLock::new();

/// Sets what [`requested`] asks. It runs in the thread that waits; only the first call counts.
pub fn on_wait(ask: fn() -> bool) {
    let _ = ASK.set(ask);
}

/// Whether the calling thread shall stop waiting.
#[must_use]
pub fn requested() -> bool {
    ASK.get().is_some_and(|ask| ask())
}

/// The error of a call that was stopped.
#[must_use]
pub fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the call was interrupted")
}
