//! The filter of a thread, and its listener. See `seccomp(2)` and `seccomp_unotify(2)`.
#![allow(clippy::cast_possible_truncation)] // BPF codes have 16 bits; the constants have 32

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::Answer;
use super::table::TABLE;

/// The interval between checks whether the work is done, in milliseconds.
const PATIENCE: i32 = 5;

/// Offsets in `struct seccomp_data`: the number of the call, and the lower half of an argument.
const NUMBER: u32 = 0;
const fn argument(index: u32) -> u32 {
    16 + 8 * index + if cfg!(target_endian = "big") { 4 } else { 0 }
}

const fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Skips `yes` instructions if the accumulator is `k`, else `no`.
const fn jump(k: u32, yes: u8, no: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt: yes, jf: no, k }
}

/// Notifies before the calls of [`TABLE`], except mappings of anonymous memory.
fn program() -> Vec<libc::sock_filter> {
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let others: Vec<u32> = TABLE
        .iter()
        .filter(|(number, ..)| *number != libc::SYS_mmap)
        .map(|(number, ..)| u32::try_from(*number).expect("numbers of calls are small"))
        .collect();
    let mmap = u32::try_from(libc::SYS_mmap).expect("numbers of calls are small");
    let mut program = vec![statement(load, NUMBER), jump(mmap, 0, 3)];
    // An mmap without a descriptor is memory: a notification could wait for the allocator that requests it.
    program.extend([
        statement(load, argument(4)),
        jump(u32::MAX, 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ]);
    // Loads the number again, because the accumulator may hold that descriptor; `mmap` is in the list too.
    program.push(statement(load, NUMBER));
    let list: Vec<u32> = std::iter::once(mmap).chain(others).collect();
    for (i, number) in list.iter().enumerate() {
        program.push(jump(*number, u8::try_from(list.len() - i).expect("fewer than 256 calls"), 0));
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
    program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF));
    program
}

/// Installs the filter for this thread and all threads that it starts.
pub(super) fn install() -> Listener {
    let mut program = program();
    let prog =
        libc::sock_fprog { len: u16::try_from(program.len()).expect("a short program"), filter: program.as_mut_ptr() };
    // SAFETY: plain system calls; the program outlives them.
    let descriptor = unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1_u64, 0_u64, 0_u64, 0_u64), 0);
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const prog,
        )
    };
    let descriptor = i32::try_from(descriptor).expect("a descriptor");
    assert!(descriptor >= 0, "seccomp with a listener: {}", io::Error::last_os_error());
    // SAFETY: the descriptor is new and has no other owner.
    Listener(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Receives the filter's notifications.
pub(super) struct Listener(OwnedFd);

impl Listener {
    /// Answers until no thread is left under the filter, or `is_done`; then returns the listener.
    pub(super) fn serve(
        self,
        mut judge: impl FnMut(i64, [u64; 6]) -> Answer,
        is_done: impl Fn() -> bool,
    ) -> Option<Self> {
        let descriptor = self.0.as_raw_fd();
        loop {
            let mut poll = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
            // SAFETY: one descriptor, which is open.
            let ready = unsafe { libc::poll(&raw mut poll, 1, PATIENCE) };
            if poll.revents & libc::POLLIN == 0 {
                if poll.revents & libc::POLLHUP != 0 {
                    return None;
                }
                if ready <= 0 && is_done() {
                    return Some(self);
                }
                continue;
            }
            // SAFETY: the structs are plain data for which all zeros are a value, as the kernel requires; the requests
            // match them.
            unsafe {
                let mut question: libc::seccomp_notif = zeroed();
                if libc::ioctl(descriptor, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut question) != 0 {
                    continue;
                }
                let answer = judge(i64::from(question.data.nr), question.data.args);
                let mut response: libc::seccomp_notif_resp = zeroed();
                response.id = question.id;
                match answer {
                    Answer::Go => {
                        response.flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).expect("one bit");
                    }
                    Answer::Fail(error) => response.error = -error,
                    Answer::Done(result) if result < 0 => response.error = i32::try_from(result).expect("an errno"),
                    Answer::Done(result) => response.val = result,
                }
                // Fails if the asking thread was killed meanwhile.
                libc::ioctl(descriptor, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const response);
            }
        }
    }
}
