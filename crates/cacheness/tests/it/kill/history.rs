//! What several writers did to a key, and what it may hold after that.
//!
//! Every operation has an interval: from before it was begun until after it was acknowledged, by the one clock of the
//! machine. One that was never acknowledged, because its process was killed, may have happened or not.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

fn now() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos()
}

/// What a writer has begun and what it has been told; one write for each line, so that none is torn.
pub(super) struct Log(File);

impl Log {
    pub(super) fn new(dir: &Path, writer: &str) -> Self {
        Self(OpenOptions::new().create(true).append(true).open(dir.join(format!("log {writer}"))).unwrap())
    }

    fn line(&mut self, text: &str) {
        self.0.write_all(format!("{} {text}\n", now()).as_bytes()).unwrap();
    }

    /// `number` is what `key` will hold, 0 for nothing.
    pub(super) fn begun(&mut self, number: u64, key: &str) {
        self.line(&format!("begun {number} {key}"));
    }

    pub(super) fn done(&mut self) {
        self.line("done");
    }
}

struct Operation {
    begun: u128,
    /// `None`: never acknowledged.
    done: Option<u128>,
    number: Option<u64>,
}

/// All operations, by key. Those of the key `all` concern every key.
#[derive(Default)]
pub(super) struct History {
    by_key: BTreeMap<String, Vec<Operation>>,
    for_all: Vec<Operation>,
}

impl History {
    pub(super) fn read(dir: &Path, writers: &[&str]) -> Self {
        let mut history = Self::default();
        for writer in writers {
            let text = std::fs::read_to_string(dir.join(format!("log {writer}"))).unwrap_or_default();
            let mut open: Option<(Operation, String)> = None;
            for line in text.lines() {
                let mut words = line.splitn(4, ' ');
                let (time, what) = (words.next().unwrap().parse().unwrap(), words.next().unwrap());
                if what == "done" {
                    let (mut operation, key) = open.take().expect("begun");
                    operation.done = Some(time);
                    history.note(operation, key);
                } else {
                    let number = words.next().unwrap().parse().unwrap();
                    let key = words.next().unwrap().to_owned();
                    let number = (number > 0).then_some(number);
                    open = Some((Operation { begun: time, done: None, number }, key));
                }
            }
            if let Some((operation, key)) = open {
                history.note(operation, key);
            }
        }
        history
    }

    fn note(&mut self, operation: Operation, key: String) {
        if key == "all" {
            self.for_all.push(operation);
        } else {
            self.by_key.entry(key).or_default().push(operation);
        }
    }

    /// What `key` may hold when all has come to rest: what an operation has left that was not followed by another one.
    pub(super) fn allowed(&self, key: &str) -> Vec<Option<u64>> {
        let start = [Operation { begun: 0, done: Some(0), number: None }];
        let own = self.by_key.get(key).into_iter().flatten();
        let all: Vec<&Operation> = own.chain(&self.for_all).chain(&start).collect();
        let followed = |one: &Operation| {
            one.done.is_some_and(|done| all.iter().any(|other| other.done.is_some() && other.begun > done))
        };
        all.iter().filter(|one| !followed(one)).map(|one| one.number).collect()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.by_key.keys().map(String::as_str)
    }
}

#[test]
fn what_a_key_may_hold() {
    let operation = |begun, done, number| Operation { begun, done, number };
    let history = |list: Vec<Operation>, for_all| History { by_key: [("k".to_owned(), list)].into(), for_all };
    let one_after_another = history(vec![operation(1, Some(2), Some(1)), operation(3, Some(4), Some(2))], vec![]);
    assert_eq!(one_after_another.allowed("k"), [Some(2)]);
    assert_eq!(one_after_another.allowed("other"), [None]);
    let at_once = history(vec![operation(1, Some(5), Some(1)), operation(3, Some(4), Some(2))], vec![]);
    assert_eq!(at_once.allowed("k"), [Some(1), Some(2)]);
    let killed = history(vec![operation(1, Some(2), Some(1)), operation(3, None, Some(2))], vec![]);
    assert_eq!(killed.allowed("k"), [Some(1), Some(2)]);
    let cleared = history(vec![operation(1, Some(2), Some(1))], vec![operation(3, Some(4), None)]);
    assert_eq!(cleared.allowed("k"), [None]);
    let clearing = history(vec![operation(1, Some(2), Some(1))], vec![operation(3, None, None)]);
    assert_eq!(clearing.allowed("k"), [Some(1), None]);
}
