//! The engine's log records as records of Python's logger `cacheness`.
//!
//! Any thread may create a record, with or without the interpreter's lock, and while it holds locks of the engine. The
//! record is therefore only queued, and the interpreter's main thread delivers it between two instructions.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::time::Duration;

use cacheness_core::process::PerProcess;
use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;

/// The maximum number of queued records; the oldest are dropped.
const MOST: usize = 1000;

struct Bridge;

static BRIDGE: Bridge = Bridge;
/// A forked child has a queue of its own: the lock of the inherited one may never be released.
static QUEUE: PerProcess<Mutex<VecDeque<(Level, String)>>> = PerProcess::new();

fn queue() -> &'static Mutex<VecDeque<(Level, String)>> {
    QUEUE.get_or_make(Mutex::default)
}

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info && metadata.target().starts_with("cacheness")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = record.args().to_string();
        let Some(mut queue) = queue().try_lock_for(Duration::from_millis(100)) else { return };
        if queue.len() == MOST {
            queue.pop_front();
        }
        queue.push_back((record.level(), text));
        drop(queue);
        // SAFETY: both functions may be called from any thread without the interpreter's lock. If the interpreter's own
        // queue is full, what is queued here is delivered with the next record.
        unsafe {
            if pyo3::ffi::Py_IsInitialized() != 0 {
                pyo3::ffi::Py_AddPendingCall(Some(deliver), std::ptr::null_mut());
            }
        }
    }

    fn flush(&self) {}
}

/// Called by the interpreter, in its main thread, with its lock.
extern "C" fn deliver(_: *mut c_void) -> c_int {
    Python::attach(|py| {
        let records = std::mem::take(&mut *queue().lock());
        for (level, text) in records {
            if let Err(error) = emit(py, level, &text) {
                error.write_unraisable(py, None);
            }
        }
    });
    0
}

fn emit(py: Python<'_>, level: Level, text: &str) -> PyResult<()> {
    let number = match level {
        Level::Error => 40,
        Level::Warn => 30,
        Level::Info => 20,
        Level::Debug | Level::Trace => 10,
    };
    let logger = py.import(intern!(py, "cacheness._log"))?.getattr(intern!(py, "logger"))?;
    logger.call_method1(intern!(py, "log"), (number, "%s", text))?;
    Ok(())
}

/// Sends the engine's records to Python; called once, when the module is imported.
pub(crate) fn install() {
    if log::set_logger(&BRIDGE).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}
