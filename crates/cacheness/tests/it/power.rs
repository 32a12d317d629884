//! The power goes at every moment of some work. What is on the disk then is opened, and compared with what the work had
//! been told. See `cacheness_testkit::power` for what a disk may have lost.

use std::collections::BTreeMap;
use std::path::Path;

use cacheness::config::StoreConfig;

use cacheness::{BlobStore, Durability, ErrorKind, OpenMode, Place};
use cacheness_testkit::power::{Disk, Event, Luck, Recorder};

use super::soak;

const INLINE: &[&str] = &["a", "b", "c"];
const BLOBS: &[&str] = &["p", "q", "r"];

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(&'static str, u64),
    Delete(&'static str),
    Clear,
    /// Closes the store, which moves the log into the database, and opens it again.
    Reopen,
}

/// Of every kind of step one that comes first, one in the middle and one after the store was opened again.
const STEPS: &[Step] = &[
    Step::Put("a", 1),
    Step::Put("p", 2),
    Step::Put("a", 3),
    Step::Put("p", 4),
    Step::Put("b", 5),
    Step::Delete("a"),
    Step::Put("q", 6),
    Step::Delete("p"),
    Step::Put("p", 7),
    Step::Reopen,
    Step::Put("b", 8),
    Step::Put("q", 9),
    Step::Put("a", 10),
    Step::Clear,
    Step::Put("r", 11),
    Step::Put("c", 12),
    Step::Put("r", 13),
    Step::Reopen,
    Step::Put("c", 14),
    Step::Put("q", 15),
    Step::Delete("r"),
];

type Values = BTreeMap<&'static str, u64>;

impl Step {
    fn apply(self, values: &mut Values) {
        match self {
            Self::Put(key, number) => drop(values.insert(key, number)),
            Self::Delete(key) => drop(values.remove(key)),
            Self::Clear => values.clear(),
            Self::Reopen => {}
        }
    }
}

/// The values after each number of steps.
fn history() -> Vec<Values> {
    let mut values = Values::new();
    let mut history = vec![values.clone()];
    for step in STEPS {
        step.apply(&mut values);
        history.push(values.clone());
    }
    history
}

fn value(key: &str, number: u64) -> Vec<u8> {
    // No codec makes it smaller, so that blobs are blobs.
    super::numbered(number, if BLOBS.contains(&key) { 6000 } else { 300 })
}

fn open(base: &Path, durability: Durability, backend: &str) -> cacheness::Result<BlobStore> {
    let config = StoreConfig {
        durability,
        inline_threshold_bytes: 1024,
        // The image is opened on a local disk, as after a server has lost its power.
        metadata_backend: Some(backend.trim_end_matches(" on NFS").to_owned()),
        ..StoreConfig::default()
    };
    BlobStore::open_with(&Place::Directory(base.join("new/store")), config, OpenMode::default())
}

/// The calls of all steps; the mark `n` says that `n` steps have been acknowledged.
fn record(durability: Durability, backend: &str) -> Vec<Event> {
    let base = super::scratch();
    let recorder = Recorder::new(base.path());
    let (recorder, backend) = match backend {
        "sqlite on NFS" => (recorder.on_a_network(), "sqlite"),
        _ => (recorder, backend),
    };
    recorder.run(|| {
        let mut store = open(base.path(), durability, backend).unwrap();
        for (done, step) in STEPS.iter().enumerate() {
            match step {
                Step::Put(key, number) => store.put(key, &value(key, *number)).unwrap(),
                Step::Delete(key) => assert!(store.delete(key).unwrap()),
                Step::Clear => drop(store.clear().unwrap()),
                Step::Reopen => {
                    store.close().unwrap();
                    store = open(base.path(), durability, backend).unwrap();
                }
            }
            recorder.mark(done as u64 + 1);
        }
    });
    recorder.into_events()
}

const LUCK: &[Luck] = &[Luck::Nothing, Luck::Everything, Luck::Zeros, Luck::Content];

/// Calls `check` with what is left at every moment: the directory, and how many steps had been acknowledged.
fn at_every_moment(mut disk: Disk, events: &[Event], seeds: u64, mut check: impl FnMut(&Path, usize, &str)) {
    let mut done = 0;
    for (moment, event) in events.iter().enumerate() {
        disk.apply(event);
        if let Event::Mark(steps) = event {
            done = usize::try_from(*steps).unwrap();
        }
        let random = (0..seeds).map(|seed| Luck::Random(moment as u64 + seed * 1_000_003));
        // One kind of luck at each moment, all of them in long runs and where the work has just been told something.
        let all = super::is_soak() || matches!(event, Event::Mark(_));
        let luck: Vec<Luck> = LUCK.iter().copied().chain(random).collect();
        let kept = luck.iter().enumerate().filter(|(at, _)| all || moment % luck.len() == *at);
        for luck in kept.map(|(_, luck)| *luck) {
            let image = super::scratch();
            disk.write_image(image.path(), luck);
            let what = format!("{luck:?} after {done} steps, event {moment} ({})", short(event));
            let work = std::panic::AssertUnwindSafe(|| check(image.path(), done, &what));
            if let Err(panic) = std::panic::catch_unwind(work) {
                for (number, event) in events[..=moment].iter().enumerate().skip(moment.saturating_sub(60)) {
                    eprintln!("{number}: {}", short(event));
                }
                std::panic::resume_unwind(panic);
            }
        }
    }
}

fn short(event: &Event) -> String {
    format!("{event:?}").chars().take(120).collect()
}

fn keys() -> impl Iterator<Item = &'static str> {
    INLINE.iter().chain(BLOBS).copied()
}

/// What a store has under all keys; an error is for `spoilt` to judge.
fn read(store: &BlobStore, what: &str, mut spoilt: impl FnMut(&str, cacheness::Error)) -> Values {
    let mut found = Values::new();
    for key in keys() {
        match store.get::<Vec<u8>>(key) {
            Ok(None) => {}
            Ok(Some(bytes)) => {
                let number = super::number_of(&bytes);
                assert_eq!(bytes, value(key, number), "{what}: {key} has the bytes of another key");
                found.insert(key, number);
            }
            Err(error) => spoilt(key, error),
        }
    }
    let totals = store.engine().totals().unwrap();
    let mut listed = (0, 0);
    store
        .engine()
        .for_each("", |summary| {
            listed = (listed.0 + 1, listed.1 + summary.entry.size);
            Ok(())
        })
        .unwrap();
    assert_eq!((totals.entries, totals.bytes), listed, "{what}: totals");
    found
}

fn full(backend: &str) {
    let history = history();
    let events = record(Durability::Full, backend);
    at_every_moment(Disk::new(), &events, soak(2), |base, done, what| {
        let store = open(base, Durability::Full, backend).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let found = read(&store, what, |key, error| panic!("{what}: {key}: {error:?}"));
        let next = history.get(done + 1).unwrap_or(&history[done]);
        assert!(
            found == history[done] || found == *next,
            "{what}: {found:?} instead of {:?} or {next:?}",
            history[done]
        );
        store.put("after", &1_u64).unwrap();
        store.close().unwrap();
    });
}

#[test]
fn full_durability_loses_nothing() {
    full("sqlite");
}

/// With a rollback journal instead of a write-ahead log.
#[test]
fn full_durability_loses_nothing_on_a_network() {
    full("sqlite on NFS");
}

#[test]
fn full_durability_loses_nothing_in_json() {
    full("json");
}

#[test]
fn a_disk_that_lies_is_found_out() {
    let history = history();
    for backend in ["sqlite", "json"] {
        let events = record(Durability::Full, backend);
        let mut lost = 0;
        at_every_moment(Disk::lying(), &events, 0, |base, done, what| {
            if let Ok(store) = open(base, Durability::Full, backend) {
                let mut errors = 0;
                let found = read(&store, what, |_, _| errors += 1);
                lost += u64::from(errors > 0 || found != history[done]);
            }
        });
        assert!(lost > 20, "the other tests would not notice a sync that is not made: {lost}");
    }
}

/// What durability normal can lose, as `docs/durability.md` says it.
#[derive(Debug, Default)]
struct Losses {
    /// Steps that were acknowledged and undone.
    undone: u64,
    /// The whole store: it cannot be opened, or is empty.
    store: u64,
    /// Entries that are there and whose payload is not, or has other bytes.
    payloads: u64,
    /// Of those, entries that had been replaced: the former value is gone and the new one was undone.
    former: u64,
}

fn normal(backend: &str) -> Losses {
    let history = history();
    let events = record(Durability::Normal, backend);
    let mut losses = Losses::default();
    at_every_moment(Disk::new(), &events, soak(2), |base, done, what| {
        let store = match open(base, Durability::Normal, backend) {
            Ok(store) => store,
            Err(error) => {
                let known = [ErrorKind::Integrity, ErrorKind::NotAStore, ErrorKind::Metadata];
                assert!(known.contains(&error.kind()), "{what}: {error:?}");
                losses.store += 1;
                return;
            }
        };
        let mut spoilt = Vec::new();
        let found = read(&store, what, |key, error| {
            assert_eq!(error.kind(), ErrorKind::Integrity, "{what}: {key}: {error:?}");
            spoilt.push(key.to_owned());
        });
        // The entries are those after some number of steps, all of one moment.
        let is_at = |values: &Values| {
            keys().all(|key| {
                spoilt.iter().any(|other| other == key) && values.contains_key(key) || found.get(key) == values.get(key)
            })
        };
        let last = (done + 1).min(STEPS.len());
        let at = (0..=last).rev().find(|at| is_at(&history[*at]));
        let at = at.unwrap_or_else(|| panic!("{what}: {found:?}, spoilt {spoilt:?}: a mixture"));
        losses.undone += u64::from(at < done);
        losses.payloads += u64::from(!spoilt.is_empty());
        losses.former += u64::from(
            at < done && spoilt.iter().any(|key| history[done].get(key.as_str()) != history[at].get(key.as_str())),
        );
        // It goes on from there.
        store.put("a", &value("a", 1)).unwrap();
        assert_eq!(store.get::<Vec<u8>>("a").unwrap(), Some(value("a", 1)), "{what}");
        store.close().unwrap();
    });
    losses
}

#[test]
fn what_normal_durability_can_lose() {
    for backend in ["sqlite", "json", "sqlite on NFS"] {
        let losses = normal(backend);
        // A rollback journal is safe with all of its syncs only, so that entries are never undone.
        let journal = backend == "sqlite on NFS";
        assert_eq!(losses.undone > 0 && losses.former > 0, !journal, "{backend}: {losses:?}");
        assert!(losses.payloads > 0, "{backend}: {losses:?}");
        println!("{backend}: {losses:?}");
    }
}
