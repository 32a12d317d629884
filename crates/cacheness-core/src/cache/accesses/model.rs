//! Threads that record reads while others flush them, or try to.

use std::sync::Arc;

use loom::thread;

use super::*;
use crate::error::{Error, ErrorKind};
use crate::sync::model::check;

/// Counts the flushed reads, or fails.
fn flush(accesses: &Accesses, written: &Mutex<u64>, succeeds: bool) {
    let done = accesses.write_down(Timestamp(1), |accesses| {
        if !succeeds {
            return Err(Error::new(ErrorKind::Metadata, "on purpose"));
        }
        *written.lock() += accesses.iter().map(|access| access.count).sum::<u64>();
        Ok(())
    });
    // Another thread may have taken everything.
    assert!(!succeeds || done.is_ok());
}

#[test]
fn no_read_is_lost_or_counted_twice() {
    check(3, || {
        let shared = Arc::new((Accesses::new(Timestamp(0)), Mutex::new(0)));
        let flushing = |succeeds: bool| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let (accesses, written) = &*shared;
                assert!(accesses.note("a", Timestamp(1)));
                flush(accesses, written, succeeds);
            })
        };
        let others = [flushing(true), flushing(false)];
        let (accesses, written) = &*shared;
        for key in ["a", "b"] {
            assert!(accesses.note(key, Timestamp(2)));
        }
        others.into_iter().for_each(|other| other.join().expect("joined"));
        flush(accesses, written, true);
        assert_eq!(*written.lock(), 4);
    });
}
