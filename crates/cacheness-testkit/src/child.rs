//! Forked child processes, for tests of what a backend must survive.
#![allow(unsafe_code)]

use std::io::{PipeReader, PipeWriter, Read, Write};

/// A child that runs until its work is done or it is killed.
pub struct Child(libc::pid_t);

/// One end of a channel between parent and child.
pub struct Line {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Line {
    /// Tells the other side to go on.
    pub fn send(&mut self) {
        self.writer.write_all(b"!").expect("written");
    }

    /// Waits for the other side to send.
    pub fn wait(&mut self) {
        self.reader.read_exact(&mut [0]).expect("the other side sends");
    }
}

impl Child {
    /// Runs `work` in a child, which exits afterwards. A panic in `work` makes it fail.
    pub fn start(work: impl FnOnce(&mut Line)) -> (Self, Line) {
        let (from_parent, to_child) = std::io::pipe().expect("a pipe");
        let (from_child, to_parent) = std::io::pipe().expect("a pipe");
        // SAFETY: glibc keeps its allocator usable after a fork; the child runs this closure and exits without
        // returning.
        match unsafe { libc::fork() } {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => {
                drop((to_child, from_child));
                let mut line = Line { reader: from_parent, writer: to_parent };
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&mut line)));
                // SAFETY: exits this process without running the parent's exit handlers.
                unsafe { libc::_exit(if result.is_ok() { 0 } else { 101 }) }
            }
            pid => (Self(pid), Line { reader: from_child, writer: to_child }),
        }
    }

    fn status(&self) -> libc::c_int {
        let mut status = 0;
        loop {
            // SAFETY: the child is ours and is waited for once.
            let result = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
            if result == self.0 {
                return status;
            }
            let error = std::io::Error::last_os_error();
            assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "waitpid: {error}");
        }
    }

    /// Waits for the child to finish; panics if it failed.
    pub fn join(self) {
        let status = self.status();
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the child failed: status {status:#x}");
    }

    /// Kills the child.
    pub fn kill(self) {
        // SAFETY: the child is ours and has not been waited for.
        assert_eq!(unsafe { libc::kill(self.0, libc::SIGKILL) }, 0);
        let status = self.status();
        assert!(libc::WIFSIGNALED(status), "status {status:#x}");
    }
}
