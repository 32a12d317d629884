//! Gets and puts of the real store on a miniature database, while another process writes to it.
//!
//! The database does what SQLite does with a write-ahead log: one writer at a time, readers see what was committed when
//! they began, and every commit changes the stamp that the real `Changes` of the SQLite crate compares. The stamp is
//! two words that are not written atomically; the real one is twelve.

#[path = "../../../cacheness-sqlite/src/changes.rs"]
mod changes;

use loom::sync::atomic::{AtomicU32, Ordering, fence};
use loom::thread;

use super::*;
use crate::backend::{BlobRef, Commit, Committed, Evicted, Eviction, Operation, Orphans, Outcome, Part, PutOutcome};
use crate::backends::MemoryBlobs;
use crate::entry::{Entry, Format, Location};
use crate::payload::Payload;
use crate::payload::{Encoded, Stored};
use crate::sync::Mutex;
use crate::sync::model::check;
use changes::{Changes, Stamp};

const KEY: &str = "key";

#[derive(Clone, Copy, Debug, PartialEq)]
struct Words {
    commits: u32,
    sum: u32,
}

impl Stamp for Words {
    fn is_just_before(&self, later: &Self, written: bool) -> bool {
        if written { self.commits + 1 == later.commits } else { self == later }
    }
}

/// The state that the processes share.
#[derive(Debug)]
struct Database {
    /// Its holder is the writer.
    right: Mutex<()>,
    /// The value of the only key after each commit, from the first on.
    commits: Mutex<Vec<Option<Entry>>>,
    stamp: [AtomicU32; 2],
    /// The number of commits that their writers know of or a reader has seen.
    told: Mutex<usize>,
}

impl Database {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            right: Mutex::default(),
            commits: Mutex::new(vec![Some(entry(0))]),
            stamp: [AtomicU32::new(1), AtomicU32::new(7)],
            told: Mutex::new(1),
        })
    }

    fn words(&self) -> Words {
        fence(Ordering::SeqCst);
        let [commits, sum] = [0, 1].map(|word: usize| self.stamp[word].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        Words { commits, sum }
    }

    /// The caller holds the write lock.
    fn commit(&self, entry: Option<Entry>) {
        let mut commits = self.commits.lock();
        commits.push(entry);
        let words = self.words();
        self.stamp[0].store(words.commits + 1, Ordering::SeqCst);
        self.stamp[1].store(words.sum * 31 + 1, Ordering::SeqCst);
    }

    /// A put by another process.
    fn put_elsewhere(&self, value: u8) {
        let right = self.right.lock();
        self.commit(Some(entry(value)));
        drop(right);
        self.tell(Some(value));
    }

    fn place(&self, value: Option<u8>) -> usize {
        let commits = self.commits.lock();
        let place = commits.iter().rposition(|entry| entry.as_ref().map(byte) == value);
        place.expect("a reader sees only committed values") + 1
    }

    fn tell(&self, value: Option<u8>) {
        let place = self.place(value);
        let mut told = self.told.lock();
        *told = place.max(*told);
    }
}

fn entry(value: u8) -> Entry {
    let payload = vec![value];
    Entry {
        key: KEY.to_owned(),
        file_hash: crate::payload::PayloadHasher::of(&payload, true, false).file_hash.expect("asked for"),
        ..Entry::clone(Stored::from_bytes(format(), payload).entry())
    }
}

fn byte(entry: &Entry) -> u8 {
    match &entry.location {
        Location::Inline(bytes) => bytes[0],
        Location::Blob(_) => unreachable!("it is small"),
    }
}

fn format() -> Format {
    Format {
        handler: "plain_objects".into(),
        data_type: "plain".into(),
        storage_format: "msgpack".into(),
        compression: "none".into(),
        object_type: "rust:u8".into(),
        handler_meta: Vec::new(),
        raw_size: None,
    }
}

/// One process's access to it: the calls of `SqliteMetadata` in their order.
#[derive(Debug)]
struct Backend {
    database: Arc<Database>,
    writer: Mutex<()>,
    changes: Mutex<Changes<Words>>,
}

impl Backend {
    fn transact(&self, change: impl FnOnce(Option<&Entry>) -> Option<Option<Entry>>) {
        let turn = self.writer.lock();
        let right = self.database.right.lock();
        let (before, _) = {
            let changes = self.changes.lock();
            let before = self.database.words();
            (before, changes.knows_schema(before))
        };
        let now = self.database.commits.lock().last().cloned().flatten();
        let changed = change(now.as_ref());
        let written = changed.is_some();
        if let Some(entry) = changed {
            self.database.commit(entry);
        }
        drop(right);
        let mut changes = self.changes.lock();
        changes.over(before, self.database.words(), Some(written));
        drop((changes, turn));
    }
}

impl MetadataBackend for Backend {
    fn name(&self) -> &str {
        "model"
    }

    fn capability(&self) -> Capability {
        let mut capability = Capability::LOCAL;
        capability.change_notice = true;
        capability
    }

    fn get(&self, _key: &str, _part: Part) -> Result<Option<Entry>> {
        Ok(self.database.commits.lock().last().cloned().flatten())
    }

    /// One operation; an empty commit writes nothing.
    fn commit(&self, commit: &Commit<'_>) -> Result<Committed> {
        let mut outcomes = Vec::new();
        self.transact(|now| {
            let (outcome, then) = match commit.operations {
                [] => return None,
                [Operation::Put(put)] => (Outcome::Put(PutOutcome::default()), Some(put.entry.clone())),
                [Operation::Delete(_)] => (Outcome::Deleted { found: now.is_some(), orphaned: None }, None),
                [Operation::Clear] => (Outcome::Cleared { entries: 1, orphaned: Orphans::none() }, None),
                other => unreachable!("{other:?}"),
            };
            let changes = !matches!(outcome, Outcome::Deleted { found: false, .. });
            outcomes.push(outcome);
            changes.then_some(then)
        });
        Ok(Committed::Done(outcomes))
    }

    fn outside_changes(&self) -> Option<u64> {
        let mut changes = self.changes.lock();
        Some(changes.look(self.database.words()))
    }

    fn close(&self) -> Result<()> {
        Ok(())
    }

    fn select(&self, _query: &Query<'_>, _page: &Page<'_>) -> Result<Vec<EntrySummary>> {
        unreachable!()
    }

    fn equal_blob(&self, _entry: &Entry) -> Result<Option<BlobRef>> {
        unreachable!()
    }

    fn knows_blobs(&self, _locators: &[&str]) -> Result<Vec<bool>> {
        unreachable!()
    }

    fn garbage(&self, _due: Timestamp, _limit: usize) -> Result<Vec<String>> {
        unreachable!()
    }

    fn evict(&self, _eviction: &Eviction<'_>) -> Result<Evicted> {
        unreachable!()
    }

    fn totals(&self) -> Result<Totals> {
        unreachable!()
    }

    fn created_range(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        unreachable!()
    }
}

/// One process of the model, and the database that it shares.
struct Process {
    store: Store,
    database: Arc<Database>,
}

impl Process {
    fn new() -> Arc<Self> {
        let database = Database::new();
        let backend = Backend { database: Arc::clone(&database), writer: Mutex::default(), changes: Mutex::default() };
        let (blobs, clock) = (Arc::new(MemoryBlobs::new()), Clock::manual(Timestamp(0)));
        let store = Store::new(Box::new(backend), blobs, None, StoreConfig::default(), clock);
        Arc::new(Self { store, database })
    }

    fn look(&self) -> Option<u8> {
        let key = EntryKey::from_name(KEY).expect("a name");
        match self.store.fetch(&key, self.store.read_options(), |_| true).expect("a get") {
            Fetched::Found(stored) => Some(stored.into_bytes().expect("bytes")[0]),
            Fetched::Missing => None,
            other => panic!("{other:?}"),
        }
    }

    /// Must not see an older commit than any that a writer or a reader knew of before.
    fn get(&self) {
        let told = *self.database.told.lock();
        let found = self.look();
        let place = self.database.place(found);
        assert!(place >= told, "commit {place} ({found:?}) is found after commit {told}");
        self.database.tell(found);
    }

    /// Must not see an older commit than it has seen before.
    fn go_on(&self) {
        let [first, second] = [(); 2].map(|()| self.look());
        let [first, second] = [first, second].map(|found| self.database.place(found));
        assert!(first <= second, "commit {second} is found after commit {first}");
    }

    fn file(&self, value: u8) {
        let key = EntryKey::from_name(KEY).expect("a name");
        let payload = Payload::Bytes(vec![value].into());
        let encoded = Encoded { format: format(), extension: "".into(), payload };
        self.store.put(&key, encoded, PutAttributes::default()).expect("a put");
    }

    fn put(&self, value: u8) {
        self.file(value);
        self.database.tell(Some(value));
    }

    fn delete(&self) {
        if self.store.delete(KEY).expect("a delete") {
            self.database.tell(None);
        }
    }

    fn clear(&self) {
        self.store.clear().expect("a clear");
        self.database.tell(None);
    }

    /// The effect of `flush_accesses` on the store.
    fn note_nothing(&self) {
        self.store.metadata().commit(&Commit::default()).expect("nothing to note");
    }

    /// When all threads are done, every process reads the last commit, also from memory.
    fn settle(&self) {
        let last = self.database.commits.lock().last().cloned().flatten();
        for _ in 0..2 {
            assert_eq!(self.look(), last.as_ref().map(byte), "stale in the end");
        }
    }
}

type Act = fn(&Process);

/// Runs the acts concurrently, each in a thread.
fn at_once(preemptions: usize, warm: bool, acts: &'static [Act]) {
    check(preemptions, move || {
        let process = Process::new();
        if warm {
            process.get();
        }
        let spawn = |act: Act| {
            let process = Arc::clone(&process);
            thread::spawn(move || act(&process))
        };
        let others: Vec<_> = acts[1..].iter().map(|act| spawn(*act)).collect();
        acts[0](&process);
        others.into_iter().for_each(|other| other.join().expect("joined"));
        process.settle();
    });
}

fn get_twice(process: &Process) {
    process.get();
    process.get();
}

fn put_elsewhere(process: &Process) {
    process.database.put_elsewhere(9);
}

#[test]
fn gets_meet_a_put() {
    for warm in [false, true] {
        at_once(4, warm, &[|process| process.put(1), get_twice]);
    }
}

#[test]
fn a_slow_get_does_not_bring_back_what_was() {
    at_once(4, false, &[|process| assert!(process.look().is_some()), |process| process.file(1), Process::go_on]);
}

#[test]
fn gets_meet_two_puts() {
    at_once(3, false, &[|process| process.put(1), |process| process.put(2), get_twice]);
    at_once(2, true, &[|process| process.put(1), |process| process.put(2), get_twice]);
}

#[test]
fn gets_meet_another_process() {
    for warm in [false, true] {
        at_once(4, warm, &[put_elsewhere, get_twice]);
    }
    at_once(3, true, &[put_elsewhere, |process| process.put(1), get_twice]);
}

#[test]
fn gets_meet_another_process_and_a_transaction_that_writes_nothing() {
    at_once(3, true, &[put_elsewhere, Process::note_nothing, get_twice]);
}

#[test]
fn gets_meet_removals() {
    at_once(3, true, &[Process::delete, |process| process.put(1), get_twice]);
    at_once(3, false, &[Process::clear, get_twice, Process::get]);
    at_once(3, true, &[Process::delete, put_elsewhere, get_twice]);
}
