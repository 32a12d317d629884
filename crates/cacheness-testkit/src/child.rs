//! Forked child processes, for tests of what a backend must survive.
#![allow(unsafe_code)]

use std::io::{PipeReader, PipeWriter, Read, Write};

/// A child that runs until its work is done or it is killed.
pub struct Child(libc::pid_t);

/// One end of a channel between parent and child. The other side of a process that has ended sends nothing more, so
/// waiting for it panics.
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

    /// Sends bytes, for [`Line::rest`] on the other side.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).expect("written");
    }

    /// All that the other side has sent until it ended.
    #[must_use]
    pub fn rest(mut self) -> Vec<u8> {
        drop(self.writer);
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes).expect("read");
        bytes
    }
}

impl Child {
    /// Runs `work` in a child, which exits afterwards. A panic in `work` makes it fail.
    pub fn start(work: impl FnOnce()) -> Self {
        // SAFETY: glibc keeps its allocator usable after a fork; the child runs this closure and exits without
        // returning.
        match unsafe { libc::fork() } {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => {
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                // SAFETY: exits this process without running the parent's exit handlers.
                unsafe { libc::_exit(if result.is_ok() { 0 } else { 101 }) }
            }
            pid => Self(pid),
        }
    }

    /// [`Child::start`] with a channel: `work` gets the child's end, the caller the parent's.
    pub fn with_line(work: impl FnOnce(&mut Line)) -> (Self, Line) {
        let (from_parent, to_child) = std::io::pipe().expect("a pipe");
        let (from_child, to_parent) = std::io::pipe().expect("a pipe");
        let mut ends = Some((to_child, from_child));
        let mut line = Line { reader: from_parent, writer: to_parent };
        let child = Self::start(|| {
            drop(ends.take());
            work(&mut line);
        });
        let (writer, reader) = ends.expect("only the child has dropped its copy");
        (child, Line { reader, writer })
    }

    /// The id of the child's process.
    #[must_use]
    pub fn pid(&self) -> libc::pid_t {
        self.0
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
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL, "status {status:#x}");
    }
}
