//! The sockets that a forked child inherits and must close.
//!
//! A child never uses the connections of its parent. Would it keep them open, the server would believe in a session that is
//! still there when the parent has died, and keep its locks. The child cannot drop what it inherited either: its copy of
//! the `epoll` instance is the parent's, and removing a socket from it would remove the parent's. Closing the descriptors
//! touches neither.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::RawFd;
use std::sync::Once;
use std::sync::atomic::{AtomicI32, Ordering};

use cacheness_core::process::in_children;

/// How long the peer may stay silent before the connection counts as lost, in milliseconds.
const SILENCE: libc::c_int = 30_000;

#[allow(clippy::cast_possible_truncation)]
const SIZE: libc::socklen_t = size_of::<libc::c_int>() as libc::socklen_t;

/// Makes the system notice a peer that is gone.
pub(crate) fn watch_peer(descriptor: RawFd) -> io::Result<()> {
    let options = [
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 30),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 10),
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3),
        (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, SILENCE),
    ];
    for (level, name, value) in options {
        let value: libc::c_int = value;
        // SAFETY: the value is an integer of the size that is given.
        let set = unsafe { libc::setsockopt(descriptor, level, name, (&raw const value).cast(), SIZE) };
        if set != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The maximum number of sockets that are closed in a child.
const MOST: usize = 1024;
const FREE: i32 = -1;

/// Atomics and no mutex, because the handler of a fork reads them.
static OPEN: [AtomicI32; MOST] = [const { AtomicI32::new(FREE) }; MOST];

extern "C" fn close_all() {
    for place in &OPEN {
        let descriptor = place.swap(FREE, Ordering::Relaxed);
        if descriptor != FREE {
            // SAFETY: closing a descriptor is a system call; nothing in the child uses this one.
            unsafe { libc::close(descriptor) };
        }
    }
}

/// A socket that is closed in forked children as long as this exists.
#[derive(Debug)]
pub(crate) struct ClosedInChildren(Option<usize>);

impl ClosedInChildren {
    pub(crate) fn new(descriptor: RawFd) -> Self {
        static REGISTERED: Once = Once::new();
        REGISTERED.call_once(|| {
            // SAFETY: the handler uses atomics and a system call only.
            unsafe { in_children(close_all) };
        });
        let take =
            |place: &AtomicI32| place.compare_exchange(FREE, descriptor, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        Self(OPEN.iter().position(take))
    }
}

impl Drop for ClosedInChildren {
    fn drop(&mut self) {
        if let Some(place) = self.0 {
            OPEN[place].store(FREE, Ordering::Relaxed);
        }
    }
}
