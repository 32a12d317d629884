//! Many processes and threads at once on one store: nothing fails, nothing acknowledged is lost, nobody sees a mixture.
//!
//! A process is this test binary again, with one test and a place.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cacheness::CacheConfig;
use cacheness::prelude::*;

use super::noise_of;

/// Says what a process does: its part, its number and the directory.
const WORK: &str = "CACHENESS_TEST_WORK";

const PROCESSES: u64 = 8;
const THREADS: u64 = 4;
const OWN_KEYS: u64 = 6;
const SHARED_KEYS: u64 = 4;

/// How long the processes work.
fn time() -> Duration {
    Duration::from_secs(if super::is_soak() { 60 } else { 3 })
}

fn open(dir: &Path) -> Cache {
    let mut config = CacheConfig::default();
    config.store.inline_threshold_bytes = 1024;
    Cache::builder().directory(dir.join("cache")).config(config).open().unwrap()
}

/// The bytes of a number begin with it: some travel inside their entries, some are files, some are written by several
/// threads.
fn value(number: u64) -> Vec<u8> {
    let size = [100, 5_000, 900, 200_000][usize::try_from(number % 4).unwrap()];
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend(noise_of(number, size));
    bytes
}

fn number_of(bytes: &[u8]) -> u64 {
    let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes, value(number), "a mixture");
    number
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// What a thread has under the keys that it alone writes.
type Held = BTreeMap<String, u64>;

/// A thread of a process that does everything.
fn mix(cache: &Cache, thread: u64) -> Held {
    let mut chance = Chance(thread);
    let mut held = Held::new();
    let mut number = thread * 1_000_000;
    let until = Instant::now() + time();
    while Instant::now() < until {
        number += 1;
        let own = format!("own {thread} {}", chance.below(OWN_KEYS));
        let shared = format!("shared {}", chance.below(SHARED_KEYS));
        match chance.below(24) {
            0..6 => {
                cache.put(&value(number), Named(&own)).unwrap();
                held.insert(own, number);
            }
            6..8 => assert_eq!(cache.invalidate(Named(&own)).unwrap(), held.remove(&own).is_some(), "{own}"),
            8..10 => assert_eq!(cache.touch(Named(&own), None).unwrap(), held.contains_key(&own), "{own}"),
            10..16 => {
                let found = cache.get::<Vec<u8>>(Named(&own)).unwrap();
                assert_eq!(found.map(|bytes| number_of(&bytes)), held.get(&own).copied(), "{own}");
            }
            16..18 => drop(cache.put(&value(number), Named(&shared)).unwrap()),
            18..21 => drop(cache.get::<Vec<u8>>(Named(&shared)).unwrap().map(|bytes| number_of(&bytes))),
            21 => drop(cache.invalidate(Named(&shared)).unwrap()),
            22 => {
                let computed = cache.get_or_insert_with(Named(&shared), || value(number)).unwrap();
                number_of(&computed);
            }
            _ => drop(cache.list_entries().unwrap()),
        }
    }
    held
}

/// Notes for each key the number that was acknowledged last, for readers in other processes.
struct Acknowledged(File);

impl Acknowledged {
    fn open(dir: &Path) -> Self {
        let mut options = File::options();
        Self(options.read(true).write(true).create(true).truncate(false).open(dir.join("acknowledged")).unwrap())
    }

    fn set(&self, key: u64, number: u64) {
        self.0.write_all_at(&number.to_le_bytes(), key * 8).unwrap();
    }

    fn get(&self, key: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, key * 8).unwrap();
        u64::from_le_bytes(bytes)
    }
}

fn replace(dir: &Path) {
    let (cache, acknowledged) = (open(dir), Acknowledged::open(dir));
    let until = Instant::now() + time();
    for number in SHARED_KEYS.. {
        let key = number % SHARED_KEYS;
        // Each key has had every size.
        cache.put(&value(number * 7), Named(&format!("{key}"))).unwrap();
        acknowledged.set(key, number * 7);
        if Instant::now() >= until && key == 0 {
            break;
        }
    }
    std::fs::write(dir.join("done"), "").unwrap();
}

fn follow(dir: &Path) {
    let (cache, acknowledged) = (open(dir), Acknowledged::open(dir));
    let mut seen = vec![0; usize::try_from(SHARED_KEYS).unwrap()];
    let mut reads = 0;
    while !dir.join("done").exists() || reads == 0 {
        for key in 0..SHARED_KEYS {
            let least = acknowledged.get(key);
            let bytes = cache.get::<Vec<u8>>(Named(&format!("{key}"))).unwrap().expect("never without a value");
            let number = number_of(&bytes);
            let before = &mut seen[usize::try_from(key).unwrap()];
            assert!(number >= least && number >= *before, "{number} after {least} was acknowledged and {before} read");
            *before = number;
            reads += 1;
        }
    }
}

/// By itself nothing; in a process that another test has started, its part.
#[test]
fn a_process_takes_part() {
    let Ok(what) = std::env::var(WORK) else { return };
    let parts: Vec<&str> = what.splitn(3, ',').collect();
    let (number, dir) = (parts[1].parse::<u64>().unwrap(), Path::new(parts[2]));
    match parts[0] {
        "mix" => {
            let cache = open(dir);
            let mut held = Held::new();
            std::thread::scope(|scope| {
                let cache = &cache;
                let threads = (0..THREADS).map(|thread| scope.spawn(move || mix(cache, number * THREADS + thread + 1)));
                let threads: Vec<_> = threads.collect();
                threads.into_iter().for_each(|thread| held.extend(thread.join().unwrap()));
            });
            cache.close().unwrap();
            let lines: String = held.iter().map(|(key, number)| format!("{number} {key}\n")).collect();
            std::fs::write(dir.join(format!("held {number}")), lines).unwrap();
        }
        "replace" => replace(dir),
        _ => follow(dir),
    }
}

fn start(part: &str, number: u64, dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "stress::a_process_takes_part", "--nocapture"]).stdout(Stdio::null());
    command.env(WORK, format!("{part},{number},{}", dir.display())).spawn().unwrap()
}

fn join(children: Vec<Child>) {
    let ends: Vec<_> = children.into_iter().map(|mut child| child.wait().unwrap()).collect();
    assert!(ends.iter().all(std::process::ExitStatus::success), "{ends:?}");
}

/// Totals, files and the list of entries agree.
fn check(cache: &Cache, dir: &Path) {
    let entries = cache.list_entries().unwrap();
    let totals = cache.stats().unwrap().totals;
    let bytes: u64 = entries.iter().map(cacheness::EntryInfo::size).sum();
    assert_eq!((totals.entries, totals.bytes), (entries.len() as u64, bytes));
    let named = entries.iter().filter(|entry| entry.locator().is_some()).count();
    assert_eq!(super::blobs(&dir.join("cache")).len(), named, "blobs that nobody names");
    assert!(super::files(&dir.join("cache")).iter().all(|name| !name.contains("tmp")));
}

#[test]
fn everything_at_once() {
    let dir = tempfile::tempdir().unwrap();
    join((0..PROCESSES).map(|number| start("mix", number, dir.path())).collect());
    let cache = open(dir.path());
    let mut held = Held::new();
    for number in 0..PROCESSES {
        let text = std::fs::read_to_string(dir.path().join(format!("held {number}"))).unwrap();
        for line in text.lines() {
            let (number, key) = line.split_once(' ').unwrap();
            held.insert(key.to_owned(), number.parse().unwrap());
        }
    }
    let mut own = 0;
    for thread in 1..=PROCESSES * THREADS {
        for key in (0..OWN_KEYS).map(|key| format!("own {thread} {key}")) {
            let found = cache.get::<Vec<u8>>(Named(&key)).unwrap().map(|bytes| number_of(&bytes));
            assert_eq!(found, held.get(&key).copied(), "{key}");
            own += usize::from(found.is_some());
        }
    }
    assert!(own == held.len() && own > 0);
    check(&cache, dir.path());
}

#[test]
fn one_replaces_what_eight_read() {
    let dir = tempfile::tempdir().unwrap();
    let acknowledged = Acknowledged::open(dir.path());
    let cache = open(dir.path());
    for key in 0..SHARED_KEYS {
        acknowledged.set(key, 0);
        cache.put(&value(0), Named(&format!("{key}"))).unwrap();
    }
    let mut children = vec![start("replace", 0, dir.path())];
    children.extend((0..8).map(|number| start("follow", number, dir.path())));
    join(children);
    for key in 0..SHARED_KEYS {
        let bytes = cache.get::<Vec<u8>>(Named(&format!("{key}"))).unwrap().unwrap();
        assert_eq!(number_of(&bytes), acknowledged.get(key));
    }
    check(&cache, dir.path());
}
