//! Whether SQLite's write-ahead log works on the file system of a path.

use std::path::Path;

/// Whether the processes that use a file share memory through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilesystemKind {
    /// A file system of this machine: memory maps are shared, locks work.
    Local,
    /// A network or pass-through file system of this name (`nfs`, `smb`, `virtiofs`, …): a write-ahead log, which needs
    /// shared memory, would corrupt the database there.
    Network(&'static str),
}

/// Magic numbers of `statfs(2)`, from the kernel's `magic.h` and the file systems' sources.
const NETWORK: &[(u64, &str)] = &[
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xfe53_4d42, "smb"),
    (0xff53_4d42, "cifs"),
    (0x564c, "ncp"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "fuse"), // also virtiofs, sshfs, s3fs, gcsfuse: they share one number
    (0x0bd0_0bd0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x00c3_6400, "ceph"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "afs"),
    (0x7375_7245, "coda"),
    (0x1983_0326, "beegfs"),
    (0xaad7_aaea, "panfs"),
    (0x786f_4256, "vboxsf"),
    (0xbacb_acbc, "vmhgfs"),
    (0x013111a8, "ibrix"),
];

impl FilesystemKind {
    /// The kind of file system of `path`, which must exist. `Local` if the system does not say.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        match rustix::fs::statfs(path) {
            // The field is signed and 32 bits wide on some machines: only the low 32 bits mean something.
            #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast)]
            Ok(found) => Self::from_magic((found.f_type as u64) & 0xffff_ffff),
            Err(_) => Self::Local,
        }
    }

    fn from_magic(magic: u64) -> Self {
        NETWORK.iter().find(|(number, _)| *number == magic).map_or(Self::Local, |(_, name)| Self::Network(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers() {
        assert_eq!(FilesystemKind::from_magic(0xef53), FilesystemKind::Local, "ext4");
        assert_eq!(FilesystemKind::from_magic(0x6969), FilesystemKind::Network("nfs"));
        assert_eq!(FilesystemKind::from_magic(0xff53_4d42), FilesystemKind::Network("cifs"));
        assert_eq!(FilesystemKind::of(Path::new("/proc")), FilesystemKind::Local);
        assert_eq!(FilesystemKind::of(Path::new("/no/such/path")), FilesystemKind::Local);
    }
}
