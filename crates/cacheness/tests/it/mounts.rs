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
        // When there is room again, everything works again.
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

/// Takes what is left of the file system.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
}

/// With nothing left, entries can be removed, by who has the cache open and by who opens it then.
#[test]
#[ignore = "mounts a file system: make soak"]
fn removals_from_a_disk_that_is_full() {
    let Some(dir) = work() else { return mounted("removals_from_a_disk_that_is_full") };
    for backend in ["sqlite", "json"] {
        for size in [300, 60_000] {
            for reopened in [false, true] {
                let what = format!("{backend}, {size} bytes, reopened: {reopened}");
                let path = dir.join("cache");
                let mut cache = Cache::builder().directory(&path).metadata_backend(backend).open().unwrap();
                let mut count = 0_u64;
                while cache.put(&noise_of(count, size), params! { number: count }).is_ok() {
                    count += 1;
                }
                fill(&dir.join("other"));
                if reopened {
                    cache.close().unwrap_or_else(|error| panic!("{what}: {error:?}"));
                    fill(&dir.join("other"));
                    cache = Cache::open(&path).unwrap_or_else(|error| panic!("{what}: {error:?}"));
                }
                assert!(count > 20, "{what}: {count}");
                let value = |number: u64| cache.get::<Vec<u8>>(params! { number: number }).unwrap();
                // A JSON file is written as a whole: with small values in it, there is no room for two.
                let alone = backend == "sqlite" || size > 300;
                let one = cache.invalidate(params! { number: 1 });
                assert!(one.is_ok() || !alone, "{what}: {one:?}");
                assert_eq!(value(1).is_none(), alone, "{what}");
                assert_eq!(value(2), Some(noise_of(2, size)), "{what}");
                assert_eq!(cache.list_entries().unwrap().len() as u64, count - u64::from(alone), "{what}");
                let cleared = cache.clear().unwrap_or_else(|error| panic!("{what}: {error:?}"));
                assert_eq!(cleared, count - u64::from(alone), "{what}");
                cache
                    .put(&noise_of(1, size), params! { number: 1 })
                    .unwrap_or_else(|error| panic!("{what}: {error:?}"));
                assert_eq!(cache.get::<Vec<u8>>(params! { number: 1 }).unwrap(), Some(noise_of(1, size)), "{what}");
                cache.close().unwrap();
                fs::remove_dir_all(&path).unwrap();
                fs::remove_file(dir.join("other")).unwrap();
            }
        }
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
