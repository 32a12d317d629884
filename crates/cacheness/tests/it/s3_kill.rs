//! Processes that put objects are killed at every failpoint: the entry has its former value or the new one, its object is
//! there, and what is left besides is collected.
//!
//! A process is this test binary again, with one test and a place (see `kill`).

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cacheness::prelude::*;
use cacheness::{CacheConfig, Clock, StoreConfig};
use cacheness_core::backend::{Page, Query};
use cacheness_core::config::BackendOptions;
use cacheness_testkit::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use serde_json::{Value, json};

use super::{number_of, numbered};

/// Names the directory of the store and the address of the server, in a process that works.
const WORK: &str = "CACHENESS_TEST_S3_WORK";

/// The signal, as Linux numbers it.
const KILLED: i32 = 9;

const PUTS: u64 = 6;

/// An object of one request, or of three parts.
fn size(number: u64) -> usize {
    if number.is_multiple_of(2) { 20_000 } else { 11_000_000 }
}

fn open(dir: &Path, endpoint: &str, clock: Clock) -> Cache {
    let options = json!({"bucket": BUCKET, "prefix": "kill", "endpoint_url": endpoint, "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY, "part_size_mb": 5, "max_concurrency": 2});
    let Value::Object(options) = options else { panic!("a map") };
    let store = StoreConfig {
        blob_backend: Some("s3".into()),
        blob_backend_options: BackendOptions::from(options),
        allow_local_index: true,
        inline_threshold_bytes: 1000,
        ..StoreConfig::default()
    };
    let config = CacheConfig { store, ..CacheConfig::default() };
    Cache::builder().directory(dir.join("cache")).config(config).clock(clock).open().unwrap()
}

/// By itself nothing; in a process that the other test has started, its work.
#[test]
fn a_process_puts_objects() {
    let Ok(what) = std::env::var(WORK) else { return };
    let (endpoint, dir) = what.split_once(' ').unwrap();
    let cache = open(Path::new(dir), endpoint, Clock::system());
    for number in 1..=PUTS {
        cache.put(&numbered(number, size(number)), Named("key")).unwrap();
        std::fs::write(Path::new(dir).join("acknowledged"), number.to_string()).unwrap();
    }
}

#[test]
fn at_every_failpoint_of_a_put() {
    let points = [
        ("blob/created", 1),
        ("blob/half", 1),
        ("blob/half", 3),
        ("blob/written", 1),
        ("blob/placed", 1),
        ("blob/placed", 2),
        ("put/blob", 1),
        ("put/blob", 2),
        ("put/committed", 1),
        ("put/committed", 2),
        ("put/done", 3),
    ];
    for (point, count) in points {
        let what = format!("{point}:{count}");
        let (server, dir) = (S3Server::start(), tempfile::tempdir().unwrap());
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "s3_kill::a_process_puts_objects", "--nocapture"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .env(WORK, format!("{} {}", server.endpoint(), dir.path().display()))
            .env("CACHENESS_FAILPOINT", &what)
            .status()
            .unwrap();
        assert_eq!(status.signal(), Some(KILLED), "{what}: {status}");
        let acknowledged =
            std::fs::read_to_string(dir.path().join("acknowledged")).map_or(0, |text| text.parse().unwrap());
        // Beyond the grace of replaced objects.
        let clock = Clock::manual(Clock::system().now().saturating_add(Duration::from_secs(24 * 3600)));
        let cache = open(dir.path(), &server.endpoint(), clock);
        let found = cache.get::<Vec<u8>>(Named("key")).unwrap().map_or(0, |bytes| number_of(&bytes));
        assert!((acknowledged..=acknowledged + 1).contains(&found), "{what}: {found} after {acknowledged}");
        let store = cache.engine().store();
        let named = store.metadata().select(&Query::default(), &Page::default()).unwrap().len();
        assert_eq!(named, usize::from(found > 0), "{what}");
        store.gc(Some(Duration::ZERO)).unwrap();
        // The mark of the store is an object too.
        assert_eq!(server.keys().len(), named + 1, "{what}: {:?}", server.keys());
        // This server lists no uploads. `cacheness-objects` tests with another one that they are swept.
        let begun = matches!(point, "blob/created" | "blob/half" | "blob/written");
        assert_eq!(server.uploads(), usize::from(begun), "{what}");
        cache.put(&numbered(100, size(1)), Named("key")).unwrap();
        assert_eq!(cache.get::<Vec<u8>>(Named("key")).unwrap().map(|bytes| number_of(&bytes)), Some(100), "{what}");
    }
}
