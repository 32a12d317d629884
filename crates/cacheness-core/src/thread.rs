//! Threads that can be started in a forked child.
//!
//! A thread of `std` takes a mutex of the standard library when it starts and when it ends, to note its stack for the
//! message about an overflow. `fork()` copies that mutex as it is: if another thread holds it at that moment, no thread
//! that the child starts with `std` ever runs. The C library makes `pthread_create` usable in a child, so this module
//! calls it directly, and takes no lock of its own.
#![allow(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};

type Work = Box<dyn FnOnce() + Send>;

/// Starts a thread that nobody joins; `false` if the system refuses one. A panic ends the thread only.
pub fn start(work: impl FnOnce() + Send + 'static) -> bool {
    let work: *mut Work = Box::into_raw(Box::new(Box::new(work)));
    // SAFETY: an attribute and a thread are plain data, for which all zeros are a value, and the attribute is
    // initialised before its use. `run` gets the pointer of a box that nobody else uses.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        let mut thread: libc::pthread_t = std::mem::zeroed();
        let mut failed = libc::pthread_attr_init(&raw mut attributes) != 0;
        if !failed {
            failed = libc::pthread_attr_setdetachstate(&raw mut attributes, libc::PTHREAD_CREATE_DETACHED) != 0
                || libc::pthread_create(&raw mut thread, &raw const attributes, run, work.cast()) != 0;
            libc::pthread_attr_destroy(&raw mut attributes);
        }
        if failed {
            drop(Box::from_raw(work));
        }
        !failed
    }
}

extern "C" fn run(work: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `start` made it of a box and left it to this thread.
    let work = unsafe { Box::from_raw(work.cast::<Work>()) };
    // A panic must not leave a function of C; the hook has reported it.
    let _ = catch_unwind(AssertUnwindSafe(work));
    std::ptr::null_mut()
}
