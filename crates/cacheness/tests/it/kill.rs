//! A process that works on a store is killed: at every failpoint, and at random instants. Whatever it was told is stored
//! is there afterwards, nothing is torn, and nothing but blobs that nobody names is left over.
//!
//! The process is this test binary again, with one test and a place. It writes down what it begins and what it has
//! ended, and the test compares the store with that.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use cacheness::CacheConfig;
use cacheness::core::failpoint::POINTS;
use cacheness::prelude::*;

/// Names the directory of the store, the writer's name, its seed, and how many entries there may be.
const WORK: &str = "CACHENESS_TEST_WORK";

/// The signal, as Linux numbers it.
const KILLED: i32 = 9;

const KEYS: u64 = 8;

/// How many operations a process does that nobody kills.
const OPERATIONS: u64 = 150;

/// Pseudo-random numbers: the same seed gives the same work.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// The value of a number: some travel inside their entries, some are files.
fn value(number: u64) -> Vec<u8> {
    let mut chance = Chance(number);
    let size = if number.is_multiple_of(2) { 100 } else { 9000 };
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend((0..size).map(|_| u8::try_from(chance.below(256)).unwrap()));
    bytes
}

fn open(dir: &Path, max_entries: u64) -> Cache {
    let mut config = CacheConfig::default();
    config.store.inline_threshold_bytes = 1024;
    config.limits.max_entries = (max_entries > 0).then_some(max_entries);
    Cache::builder().directory(dir.join("cache")).config(config).open().unwrap()
}

/// Works on keys of its own until it is done or killed.
fn work(dir: &Path, writer: &str, seed: u64, max_entries: u64) {
    let mut log = OpenOptions::new().create(true).append(true).open(dir.join(format!("log {writer}"))).unwrap();
    writeln!(log, "open").unwrap();
    let cache = open(dir, max_entries);
    let mut chance = Chance(seed);
    for number in 1..=OPERATIONS {
        let key = format!("{writer} {}", chance.below(KEYS));
        let named = || Named(&key);
        let kind = chance.below(20);
        let mut note = |what: &str| writeln!(log, "{what}").unwrap();
        match kind {
            0..12 => {
                note(&format!("put {number} {key}"));
                cache.put(&value(number), named()).unwrap();
            }
            12..15 => {
                note(&format!("delete 0 {key}"));
                cache.invalidate(named()).unwrap();
            }
            15..18 => {
                note(&format!("touch 0 {key}"));
                cache.touch(named(), None).unwrap();
            }
            18 => {
                note(&format!("get 0 {key}"));
                cache.get::<Vec<u8>>(named()).unwrap();
            }
            // Only a writer that is alone may remove everything.
            _ if writer == "alone" => {
                note("clear 0 all");
                cache.clear().unwrap();
            }
            _ => continue,
        }
        note("done");
    }
    cache.close().unwrap();
    writeln!(log, "closed").unwrap();
}

/// By itself nothing; in a process that another test has started, its work.
#[test]
fn a_process_works() {
    let Ok(what) = std::env::var(WORK) else { return };
    let mut parts = what.splitn(4, ',');
    let mut next = || parts.next().unwrap().to_owned();
    let (writer, seed, max_entries, dir) = (next(), next(), next(), next());
    work(Path::new(&dir), &writer, seed.parse().unwrap(), max_entries.parse().unwrap());
}

fn start(dir: &Path, writer: &str, seed: u64, max_entries: u64, failpoint: Option<String>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kill::a_process_works", "--nocapture"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.env(WORK, format!("{writer},{seed},{max_entries},{}", dir.display()));
    if let Some(failpoint) = failpoint {
        command.env("CACHENESS_FAILPOINT", failpoint);
    }
    command.spawn().unwrap()
}

/// What each key may hold: one number or nothing, or one of two where an operation was on its way.
type Expected = HashMap<String, Vec<Option<u64>>>;

fn expected(dir: &Path, writer: &str) -> Expected {
    let log = std::fs::read_to_string(dir.join(format!("log {writer}"))).unwrap();
    let mut held: Expected = (0..KEYS).map(|key| (format!("{writer} {key}"), vec![None])).collect();
    let mut begun: Option<(&str, Option<u64>)> = None;
    let settle = |held: &mut Expected, (key, number): (&str, Option<u64>), done: bool| {
        for (name, values) in held.iter_mut().filter(|(name, _)| key == "all" || *name == key) {
            let former = if done { vec![] } else { std::mem::take(values) };
            *values = [former, vec![number]].concat();
            values.dedup();
            assert!(values.len() <= 2, "{name}");
        }
    };
    for line in log.lines() {
        let mut words = line.splitn(3, ' ');
        match (words.next().unwrap(), words.next(), words.next()) {
            ("done", ..) => {
                if let Some(change) = begun.take() {
                    settle(&mut held, change, true);
                }
            }
            ("put", Some(number), Some(key)) => begun = Some((key, Some(number.parse().unwrap()))),
            ("delete" | "clear", _, Some(key)) => begun = Some((key, None)),
            _ => begun = None,
        }
    }
    if let Some(change) = begun {
        settle(&mut held, change, false);
    }
    held
}

/// A minute passes: younger files may belong to a writer that has not locked them yet.
fn age_temporary_files(dir: &Path) {
    let Ok(listing) = std::fs::read_dir(dir.join("cache/tmp")) else { return };
    for entry in listing {
        let file = OpenOptions::new().write(true).open(entry.unwrap().path()).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(120)).unwrap();
    }
}

/// Compares the store with what its writers have been told.
fn check(dir: &Path, writers: &[&str], max_entries: u64, what: &str) {
    age_temporary_files(dir);
    let cache = open(dir, max_entries);
    let mut whole = false;
    for writer in writers {
        let expected = expected(dir, writer);
        // A clear that was on its way took everything or nothing.
        for (key, allowed) in &expected {
            let bytes: Option<Vec<u8>> = cache.get(Named(key)).unwrap();
            let found = bytes.map(|bytes| {
                let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
                assert_eq!(bytes, value(number), "{what}: {key} is torn");
                number
            });
            let evicted = max_entries > 0 && found.is_none();
            assert!(evicted || allowed.contains(&found), "{what}: {key} holds {found:?}, not one of {allowed:?}");
            whole |= found.is_some();
        }
    }
    let entries = cache.list_entries().unwrap();
    let totals = cache.stats().unwrap().totals;
    let bytes: u64 = entries.iter().map(cacheness::EntryInfo::size).sum();
    assert_eq!((totals.entries, totals.bytes), (entries.len() as u64, bytes), "{what}: totals");
    assert_eq!(whole, !entries.is_empty(), "{what}: entries that nobody has put");
    // A dead writer's temporary files go when somebody opens the store; nobody holds a lock.
    cache.put(&1_u64, Named("after")).unwrap();
    assert_eq!(cache.get_or_insert_with(Named("computed after"), || 5_u64).unwrap(), 5);
    cache.close().unwrap();
    let temporary: Vec<_> = super::files(&dir.join("cache")).into_iter().filter(|name| name.contains("tmp")).collect();
    assert!(temporary.is_empty(), "{what}: {temporary:?}");
}

/// Long runs are asked for by the environment.
fn rounds(few: u64) -> u64 {
    match std::env::var("CACHENESS_SOAK") {
        Ok(times) => few * times.parse::<u64>().expect("CACHENESS_SOAK is a number of times"),
        Err(_) => few,
    }
}

#[test]
fn at_every_failpoint() {
    for point in POINTS {
        let max_entries = if *point == "evict/committed" { 5 } else { 0 };
        let counts: &[u64] = match *point {
            "migrate/step" => &[1, 2],
            "evict/committed" | "clear/committed" | "delete/committed" | "update/committed" => &[1, 3],
            _ => &[1, 2, 7, 20],
        };
        for round in 0..rounds(1) {
            for count in counts {
                let dir = tempfile::tempdir().unwrap();
                let what = format!("{point}:{count}, seed {round}");
                // Nothing is cleared or evicted where the log could not say what is left of it.
                let mut child = start(dir.path(), "alone", round, max_entries, Some(format!("{point}:{count}")));
                let status = child.wait().unwrap();
                assert_eq!(status.signal(), Some(KILLED), "{what} was not reached");
                check(dir.path(), &["alone"], max_entries, &what);
            }
        }
    }
}

#[test]
fn at_random_instants() {
    let mut chance = Chance(1);
    for round in 0..rounds(30) {
        let dir = tempfile::tempdir().unwrap();
        let mut child = start(dir.path(), "alone", round, 0, None);
        let log = dir.path().join("log alone");
        while !log.exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(chance.below(60_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        check(dir.path(), &["alone"], 0, &format!("round {round}"));
    }
}

#[test]
fn beside_others_that_live() {
    for (round, point) in POINTS.iter().enumerate().filter(|(_, point)| !point.starts_with("clear")) {
        let dir = tempfile::tempdir().unwrap();
        let what = format!("{point}, with others");
        let max_entries = if *point == "evict/committed" { 12 } else { 0 };
        let seed = round as u64;
        let count = if point.starts_with("migrate") { 1 } else { 3 };
        let mut dies = start(dir.path(), "dies", seed, max_entries, Some(format!("{point}:{count}")));
        let lives: Vec<Child> =
            ["one", "two"].iter().map(|name| start(dir.path(), name, seed + 100, max_entries, None)).collect();
        let status = dies.wait().unwrap();
        // Another process may have made the schema.
        assert!(status.signal() == Some(KILLED) || point.starts_with("migrate"), "{what}: {status}");
        for mut child in lives {
            assert!(child.wait().unwrap().success(), "{what}: another process failed");
        }
        check(dir.path(), &["dies", "one", "two"], max_entries, &what);
    }
}
