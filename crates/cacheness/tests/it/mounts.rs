//! Real file systems that are full, and that become read-only under a running store: in a name space of their own, which
//! takes `unshare` and the permission to mount. Part of `make soak`; `hazards.rs` does the same system call by system call.

use std::fs;
use std::path::Path;
use std::process::Command;

use cacheness::ErrorKind;
use cacheness::prelude::*;

use crate::{files, noise_of};

const WORK: &str = "CACHENESS_TEST_MOUNTED";

/// Runs `test` of this file again, where a file system of 4 MiB in memory is mounted at the directory in [`WORK`].
fn mounted(test: &str) {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@""#;
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("mounts::{test}"), "--include-ignored", "--nocapture"])
        .env(WORK, dir.path())
        .status()
        .expect("unshare(1) is installed");
    assert!(status.success(), "{status}: the test failed, or name spaces of users are not allowed here");
}

fn work() -> Option<std::path::PathBuf> {
    std::env::var_os(WORK).map(Into::into)
}

fn remount(dir: &Path, how: &str) {
    let status = Command::new("mount").args(["-o", how]).arg(dir).status().unwrap();
    assert!(status.success(), "{how}");
}

#[test]
#[ignore = "mounts a file system: make soak"]
fn a_disk_that_is_full() {
    let Some(dir) = work() else { return mounted("a_disk_that_is_full") };
    for backend in ["sqlite", "json"] {
        let path = dir.join(backend);
        let cache = Cache::builder().directory(&path).metadata_backend(backend).open().unwrap();
        let mut stored = Vec::new();
        let mut refused = 0;
        for number in 0..200_u64 {
            let bytes = noise_of(number, if number % 2 == 0 { 300 } else { 60_000 });
            match cache.put(&bytes, params! { number: number }) {
                Ok(_) => stored.push(number),
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.kind(), ErrorKind::Storage, "{backend}: {error:?}");
                    assert!(error.hint().is_some_and(|hint| hint.contains("space")), "{backend}: {error:?}");
                }
            }
        }
        assert!(refused > 0 && stored.len() > 20, "{backend}: {refused} refused, {} stored", stored.len());
        let check = |cache: &Cache| {
            for number in &stored {
                let bytes = noise_of(*number, if number % 2 == 0 { 300 } else { 60_000 });
                assert_eq!(
                    cache.get::<Vec<u8>>(params! { number: *number }).unwrap(),
                    Some(bytes),
                    "{backend}: {number}"
                );
            }
        };
        check(&cache);
        drop(cache);
        let cache = Cache::open(&path).unwrap();
        check(&cache);
        // Removing needs room in the log, or in a file beside; when something is removed by hand, everything works again.
        remount(&dir, "remount,size=16m");
        let removed = stored.iter().filter(|number| **number % 2 == 1).count();
        for number in stored.iter().filter(|number| **number % 2 == 1) {
            assert!(cache.invalidate(params! { number: *number }).unwrap(), "{backend}: {number}");
        }
        assert!(removed > 5, "{backend}");
        cache.put(&noise_of(7, 60_000), params! { after: true }).unwrap();
        cache.close().unwrap();
        assert!(files(&path).iter().all(|name| !name.contains("tmp")), "{backend}: {:?}", files(&path));
        fs::remove_dir_all(&path).unwrap();
        remount(&dir, "remount,size=4m");
    }
}

#[test]
#[ignore = "mounts a file system: make soak"]
fn a_file_system_that_becomes_read_only() {
    let Some(dir) = work() else { return mounted("a_file_system_that_becomes_read_only") };
    for backend in ["sqlite", "json"] {
        let path = dir.join(backend);
        {
            let cache = Cache::builder().directory(&path).metadata_backend(backend).open().unwrap();
            cache.put(&noise_of(1, 300), params! { x: 1 }).unwrap();
            cache.put(&noise_of(2, 60_000), params! { x: 2 }).unwrap();
            cache.close().unwrap();
        }
        // A file that is open for writing keeps the kernel from remounting, so nothing is: the cache is opened after.
        remount(&dir, "remount,ro");
        let cache = Cache::open(&path).unwrap();
        assert_eq!(cache.get::<Vec<u8>>(params! { x: 1 }).unwrap(), Some(noise_of(1, 300)), "{backend}");
        assert_eq!(cache.get::<Vec<u8>>(params! { x: 2 }).unwrap(), Some(noise_of(2, 60_000)), "{backend}");
        let error = cache.put(&1, params! { x: 3 }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{backend}: {error:?}");
        assert_eq!(cache.list_entries().unwrap().len(), 2, "{backend}");
        drop(cache);
        remount(&dir, "remount,rw");
        let cache = Cache::open(&path).unwrap();
        cache.put(&1, params! { x: 3 }).unwrap();
        assert_eq!(cache.get::<i32>(params! { x: 3 }).unwrap(), Some(1), "{backend}");
        cache.close().unwrap();
    }
}
