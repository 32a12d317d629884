//! Of all processes that miss a value, one computes it. A process is this test binary again, with one test and a place.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cacheness::prelude::*;

/// Names the directory that a process shares with the test that has started it.
const PLACE: &str = "CACHENESS_TEST_PLACE";

/// How long something that happens anyway may take on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// What processes and their parent tell each other, by files.
struct Place(PathBuf);

impl Place {
    fn tell(&self, what: &str) {
        std::fs::write(self.0.join(what), "").unwrap();
    }

    fn is_told(&self, what: &str) -> bool {
        self.0.join(what).exists()
    }

    fn note(&self, what: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.0.join(what)).unwrap();
        // In one write: several processes append to the file.
        file.write_all(format!("{}\n", std::process::id()).as_bytes()).unwrap();
    }

    /// The processes that have noted this.
    fn noted(&self, what: &str) -> Vec<u32> {
        let text = std::fs::read_to_string(self.0.join(what)).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    fn start(&self) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "processes::a_process_computes_what_it_misses", "--nocapture"]);
        command.env(PLACE, &self.0).stdout(Stdio::null()).spawn().unwrap()
    }
}

/// By itself a test; in a process that another test has started, what that test is about.
#[test]
fn a_process_computes_what_it_misses() {
    let own = tempfile::tempdir().unwrap();
    let (place, is_child) = match std::env::var_os(PLACE) {
        Some(path) => (Place(path.into()), true),
        None => (Place(own.path().to_owned()), false),
    };
    let cache = Cache::open(place.0.join("cache")).unwrap();
    place.note("ready");
    if is_child {
        wait_until("all begin", || place.is_told("go"));
    }
    let value = cache.get_or_insert_with(params! { step: "shared" }, || {
        place.note("computed");
        wait_until("it may end", || !is_child || place.is_told("end"));
        vec![42_u64; 10_000]
    });
    assert_eq!(value.unwrap(), vec![42; 10_000]);
    place.note("done");
    assert!(!place.noted("computed").is_empty());
}

fn value_in(place: &Path) -> Option<Vec<u64>> {
    Cache::open(place.join("cache")).unwrap().get(params! { step: "shared" }).unwrap()
}

#[test]
fn one_of_eight_processes_computes() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place(dir.path().to_owned());
    let children: Vec<Child> = (0..8).map(|_| place.start()).collect();
    wait_until("all are ready", || place.noted("ready").len() == 8);
    place.tell("go");
    wait_until("one computes", || !place.noted("computed").is_empty());
    // Time for the others to miss it, and to compute it if they did not wait.
    thread::sleep(Duration::from_millis(200));
    assert_eq!(place.noted("done").len(), 0);
    place.tell("end");
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(place.noted("computed").len(), 1);
    assert_eq!(place.noted("done").len(), 8);
    assert_eq!(value_in(dir.path()), Some(vec![42; 10_000]));
}

#[test]
fn another_process_takes_over_when_the_one_that_computes_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place(dir.path().to_owned());
    place.tell("go");
    let mut first = place.start();
    wait_until("it computes", || place.noted("computed") == [first.id()]);
    let others: Vec<Child> = (0..3).map(|_| place.start()).collect();
    wait_until("all are ready", || place.noted("ready").len() == 4);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(place.noted("computed"), [first.id()], "the others wait");
    first.kill().unwrap();
    assert!(!first.wait().unwrap().success());
    wait_until("another one computes", || place.noted("computed").len() == 2);
    thread::sleep(Duration::from_millis(100));
    place.tell("end");
    let ids: Vec<u32> = others.iter().map(Child::id).collect();
    for mut other in others {
        assert!(other.wait().unwrap().success());
    }
    let computed = place.noted("computed");
    assert_eq!(computed.len(), 2);
    assert!(ids.contains(&computed[1]));
    assert_eq!(value_in(dir.path()), Some(vec![42; 10_000]));
}
