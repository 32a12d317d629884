//! The contract of a front door: how it runs work that may wait, and what its errors mean.

use crate::error::{Error, ErrorKind};

/// What an error that ends a read says about the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The entry is damaged or its signature is wrong: it counts as a miss, and the value can be recomputed.
    Damaged,
    /// The value cannot be decoded here. The caller gets the error, and the read counts as a miss.
    Unreadable,
    /// Something else went wrong, an interruption for example.
    Unrelated,
}

/// The error type of a front door.
pub trait ReadError: From<Error> {
    /// What the error says about the entry.
    fn failure(&self) -> Failure;

    /// Logs that the entry counts as a miss because of this error.
    fn log_miss(&self);
}

impl ReadError for Error {
    fn failure(&self) -> Failure {
        match self.kind() {
            ErrorKind::Integrity | ErrorKind::Signature => Failure::Damaged,
            _ => Failure::Unreadable,
        }
    }

    fn log_miss(&self) {
        log::warn!("{}; counts as a miss", self.with_causes());
    }
}

/// How a front door runs work that may wait for a disk or a server.
pub trait Blocking {
    /// Whether `run` is so expensive that the memory of the process is searched first without it.
    const COSTS: bool;

    /// Runs `work`. Python releases the GIL meanwhile.
    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R;
}

/// Runs work on the calling thread.
#[derive(Clone, Copy, Debug)]
pub struct InPlace;

impl Blocking for InPlace {
    const COSTS: bool = false;

    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        work()
    }
}
