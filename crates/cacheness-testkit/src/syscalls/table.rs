//! The intercepted calls.

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Opens a file or directory, and may create it.
    Open,
    /// Reads from a file.
    Read,
    /// Writes to a file.
    Write,
    /// Makes written data durable.
    Sync,
    /// Changes the length of a file, or allocates space.
    Length,
    /// Renames or links a file.
    Rename,
    /// Removes a name.
    Unlink,
    /// Creates a directory.
    Mkdir,
    /// Queries a file.
    Look,
    /// Locks a file, or changes a descriptor.
    Lock,
    /// Maps a file into memory.
    Map,
    /// Lists a directory.
    List,
    /// Changes permissions.
    Mode,
}

/// The argument that identifies the file of a call.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Descriptor(usize),
    Path(usize),
    /// A directory's descriptor, and the path in the next argument.
    At(usize),
}

pub(super) struct Names(pub(super) Place, pub(super) Option<Place>);

const fn descriptor() -> Names {
    Names(Place::Descriptor(0), None)
}

const fn at(argument: usize) -> Names {
    Names(Place::At(argument), None)
}

const fn path() -> Names {
    Names(Place::Path(0), None)
}

pub(super) const TABLE: &[(i64, &str, Kind, Names)] = &[
    (libc::SYS_openat, "openat", Kind::Open, at(0)),
    (libc::SYS_openat2, "openat2", Kind::Open, at(0)),
    (libc::SYS_read, "read", Kind::Read, descriptor()),
    (libc::SYS_pread64, "pread64", Kind::Read, descriptor()),
    (libc::SYS_readv, "readv", Kind::Read, descriptor()),
    (libc::SYS_preadv, "preadv", Kind::Read, descriptor()),
    (libc::SYS_write, "write", Kind::Write, descriptor()),
    (libc::SYS_pwrite64, "pwrite64", Kind::Write, descriptor()),
    (libc::SYS_writev, "writev", Kind::Write, descriptor()),
    (libc::SYS_pwritev, "pwritev", Kind::Write, descriptor()),
    (libc::SYS_copy_file_range, "copy_file_range", Kind::Write, Names(Place::Descriptor(2), None)),
    (libc::SYS_sendfile, "sendfile", Kind::Write, descriptor()),
    (libc::SYS_fsync, "fsync", Kind::Sync, descriptor()),
    (libc::SYS_fdatasync, "fdatasync", Kind::Sync, descriptor()),
    (libc::SYS_sync_file_range, "sync_file_range", Kind::Sync, descriptor()),
    (libc::SYS_ftruncate, "ftruncate", Kind::Length, descriptor()),
    (libc::SYS_fallocate, "fallocate", Kind::Length, descriptor()),
    (libc::SYS_renameat2, "renameat2", Kind::Rename, Names(Place::At(0), Some(Place::At(2)))),
    (libc::SYS_linkat, "linkat", Kind::Rename, Names(Place::At(0), Some(Place::At(2)))),
    (libc::SYS_unlinkat, "unlinkat", Kind::Unlink, at(0)),
    (libc::SYS_mkdirat, "mkdirat", Kind::Mkdir, at(0)),
    (libc::SYS_newfstatat, "newfstatat", Kind::Look, at(0)),
    (libc::SYS_statx, "statx", Kind::Look, at(0)),
    (libc::SYS_fstat, "fstat", Kind::Look, descriptor()),
    (libc::SYS_statfs, "statfs", Kind::Look, path()),
    (libc::SYS_fstatfs, "fstatfs", Kind::Look, descriptor()),
    (libc::SYS_faccessat, "faccessat", Kind::Look, at(0)),
    (libc::SYS_faccessat2, "faccessat2", Kind::Look, at(0)),
    (libc::SYS_readlinkat, "readlinkat", Kind::Look, at(0)),
    (libc::SYS_lseek, "lseek", Kind::Look, descriptor()),
    (libc::SYS_flock, "flock", Kind::Lock, descriptor()),
    (libc::SYS_fcntl, "fcntl", Kind::Lock, descriptor()),
    (libc::SYS_mmap, "mmap", Kind::Map, Names(Place::Descriptor(4), None)),
    (libc::SYS_getdents64, "getdents64", Kind::List, descriptor()),
    (libc::SYS_fchmod, "fchmod", Kind::Mode, descriptor()),
    (libc::SYS_fchown, "fchown", Kind::Mode, descriptor()),
    (libc::SYS_fchmodat, "fchmodat", Kind::Mode, at(0)),
    // Calls that newer architectures lack.
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, "open", Kind::Open, path()),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, "rename", Kind::Rename, Names(Place::Path(0), Some(Place::Path(1)))),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_renameat, "renameat", Kind::Rename, Names(Place::At(0), Some(Place::At(2)))),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_link, "link", Kind::Rename, Names(Place::Path(0), Some(Place::Path(1)))),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, "unlink", Kind::Unlink, path()),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rmdir, "rmdir", Kind::Unlink, path()),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mkdir, "mkdir", Kind::Mkdir, path()),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_stat, "stat", Kind::Look, path()),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_lstat, "lstat", Kind::Look, path()),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_access, "access", Kind::Look, path()),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_readlink, "readlink", Kind::Look, path()),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, "chmod", Kind::Mode, path()),
];
