//! A real ext4, in a file behind a loop device: it notices that it is damaged and becomes read-only under a running
//! store, or its power goes. Takes the rights of root. Part of `make soak`; `hazards.rs` and `power.rs` do the same on
//! disks that they simulate.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use cacheness::config::StoreConfig;
use cacheness::{BlobStore, Durability, ErrorKind, OpenMode, Place};

use crate::{number_of, numbered, soak};

/// A disk of 64 MiB that is mounted.
struct Disk {
    dir: tempfile::TempDir,
}

fn run(program: &str, arguments: &[&str], place: &Path) {
    let status = Command::new(program).args(arguments).arg(place).status();
    let status = status.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program}: {status}; these tests take root, loop devices and e2fsprogs");
}

impl Disk {
    fn new() -> Self {
        let disk = Self { dir: tempfile::tempdir().unwrap() };
        fs::File::create(disk.image()).unwrap().set_len(64 << 20).unwrap();
        run("mkfs.ext4", &["-q", "-F"], &disk.image());
        fs::create_dir(disk.path()).unwrap();
        disk.mount();
        disk
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// Where it is mounted.
    fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    fn mount(&self) {
        let image = self.image();
        run("mount", &["-o", "loop,errors=remount-ro", image.to_str().unwrap()], &self.path());
    }

    /// What a machine does that starts again: the journal is replayed.
    fn mount_again(&self, repair: bool) {
        run("umount", &[], &self.path());
        if repair {
            // Says 1 where it has repaired something, which it has.
            let status = Command::new("e2fsck").arg("-fy").arg(self.image()).output().unwrap().status;
            assert!(matches!(status.code(), Some(0 | 1)), "e2fsck: {status}");
        }
        self.mount();
    }

    /// Ext4 is told that it has found itself damaged: it gives its journal up and writes nothing any more.
    fn find_damage(&self) {
        let found = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(self.path()).output().unwrap();
        let device = String::from_utf8(found.stdout).unwrap();
        let device = device.trim().trim_start_matches("/dev/");
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").unwrap();
    }

    /// Nothing reaches the disk any more, what its journal has not written yet neither, and every call fails.
    fn lose_power(&self) {
        /// `EXT4_IOC_SHUTDOWN`, and its flag `EXT4_GOING_FLAGS_NOLOGFLUSH` (fs/ext4/ext4.h of Linux).
        const SHUTDOWN: libc::c_ulong = 0x8004_587d;
        const FORGET_THE_JOURNAL: u32 = 2;
        let how = FORGET_THE_JOURNAL;
        let root = fs::File::open(self.path()).unwrap();
        // SAFETY: the call reads one number of 32 bits, which lives as long as it takes.
        let result = unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &raw const how) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also where a test failed with files open.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

fn open(dir: &Path, backend: &str, durability: Durability) -> cacheness::Result<BlobStore> {
    let config = StoreConfig { durability, metadata_backend: Some(backend.to_owned()), ..StoreConfig::default() };
    BlobStore::open_with(&Place::Directory(dir.to_owned()), config, OpenMode::default())
}

/// Half of the values travel inside of their entry, half are files.
fn value(number: u64) -> Vec<u8> {
    numbered(number, if number.is_multiple_of(2) { 200 } else { 50_000 })
}

fn key(number: u64) -> String {
    format!("key {number}")
}

#[test]
#[ignore = "mounts a disk, as root: make soak"]
fn a_disk_becomes_read_only_under_a_running_store() {
    for backend in ["sqlite", "json"] {
        let disk = Disk::new();
        let dir = disk.path().join("store");
        let store = open(&dir, backend, Durability::Full).unwrap();
        let check = |store: &BlobStore, when: &str| {
            for number in 0..40 {
                let found = store.get::<Vec<u8>>(&key(number)).unwrap_or_else(|error| panic!("{when}: {error:?}"));
                assert_eq!(found, Some(value(number)), "{backend}, {when}: {number}");
            }
            assert_eq!(store.list("", None).unwrap().len(), 40, "{backend}, {when}");
        };
        for number in 0..40 {
            store.put(&key(number), &value(number)).unwrap();
        }
        let refused = |error: &cacheness::Error| {
            assert_eq!(error.kind(), ErrorKind::ReadOnly, "{backend}: {error:?}");
            assert!(error.hint().is_some_and(|hint| hint.contains("file system")), "{backend}: {error:?}");
        };
        // Another, which has nothing in memory.
        let other = open(&dir, backend, Durability::Full).unwrap();
        disk.find_damage();
        for store in [&store, &other] {
            check(store, "read-only");
            for number in [4, 5, 100, 101] {
                refused(&store.put(&key(number), &value(number + 1000)).unwrap_err());
            }
            refused(&store.delete(&key(3)).unwrap_err());
            check(store, "after puts that failed");
        }
        drop((store, other));
        // Who opens it now reads.
        let store = open(&dir, backend, Durability::Full).unwrap();
        check(&store, "opened while it is read-only");
        refused(&store.put("new", &value(0)).unwrap_err());
        drop(store);
        disk.mount_again(true);
        let store = open(&dir, backend, Durability::Full).unwrap();
        check(&store, "repaired");
        store.put(&key(4), &value(1004)).unwrap();
        assert_eq!(store.get::<Vec<u8>>(&key(4)).unwrap(), Some(value(1004)));
        store.close().unwrap();
    }
}

/// What a writer was told before the power went: the number under each key, and the one that was on its way.
#[derive(Default)]
struct Told {
    numbers: BTreeMap<u64, u64>,
    under_way: Option<(u64, u64)>,
}

/// Puts and replaces until the disk fails.
fn write(store: &BlobStore, told: &Mutex<Told>, round: u64) {
    for turn in 0.. {
        let (name, number) = ((turn * 7) % 60, round * 1_000_000 + turn);
        told.lock().unwrap().under_way = Some((name, number));
        if store.put(&key(name), &value(number)).is_err() {
            return;
        }
        let mut told = told.lock().unwrap();
        told.numbers.insert(name, number);
        told.under_way = None;
    }
}

/// Loses the power under a writer again and again; how many values were lost that the writer had been told are there.
fn losses(backend: &str, durability: Durability) -> u64 {
    let disk = Disk::new();
    let dir = disk.path().join("store");
    let told = Mutex::new(Told::default());
    let mut lost = 0;
    // What is there from the beginning is on the disk when the power goes first.
    open(&dir, backend, Durability::Full).unwrap().put(&key(1000), &value(1)).unwrap();
    for round in 0..soak(1) {
        let store = open(&dir, backend, durability).unwrap();
        // What a put is told while the power goes is not counted: a kernel may answer a sync well that comes at that moment.
        let mut told_before = BTreeMap::new();
        std::thread::scope(|scope| {
            scope.spawn(|| write(&store, &told, round));
            std::thread::sleep(Duration::from_millis(20 + round * 37 % 400));
            told_before.clone_from(&told.lock().unwrap().numbers);
            disk.lose_power();
        });
        drop(store);
        disk.mount_again(false);
        let store = open(&dir, backend, durability).unwrap_or_else(|error| panic!("{backend}, {round}: {error:?}"));
        assert_eq!(store.get::<Vec<u8>>(&key(1000)).unwrap(), Some(value(1)), "{backend}: written with time to spare");
        let mut told = told.lock().unwrap();
        let under_way = told.under_way.take();
        let mut found = BTreeMap::new();
        for (&name, &number) in &told.numbers {
            let sure = told_before.get(&name).copied();
            match store.get::<Vec<u8>>(&key(name)) {
                Ok(Some(bytes)) => {
                    let there = number_of(&bytes);
                    assert_eq!(bytes, value(there), "{backend}: another value's bytes");
                    assert!(there <= number || under_way == Some((name, there)), "{backend}: {there} after {number}");
                    lost += u64::from(sure.is_some_and(|sure| there < sure));
                    found.insert(name, there);
                }
                Ok(None) => lost += u64::from(sure.is_some()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Integrity, "{backend}: {error:?}");
                    lost += u64::from(sure.is_some());
                    assert!(store.delete(&key(name)).unwrap());
                }
            }
        }
        told.numbers = found;
        store.put("after", &round).unwrap();
        store.close().unwrap();
    }
    lost
}

#[test]
#[ignore = "mounts a disk, as root: make soak"]
fn full_durability_loses_nothing_when_the_power_goes() {
    for backend in ["sqlite", "json"] {
        assert_eq!(losses(backend, Durability::Full), 0, "{backend}");
    }
}

#[test]
#[ignore = "mounts a disk, as root: make soak"]
fn normal_durability_loses_what_was_written_last_when_the_power_goes() {
    for backend in ["sqlite", "json"] {
        let lost = losses(backend, Durability::Normal);
        assert!(lost > 0, "{backend}: full durability would lose nothing either, so the disk is not cut off");
    }
}
