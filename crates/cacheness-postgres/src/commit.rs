//! A commit: its operations in order, in one transaction.
//!
//! Puts take one round trip. So do other operations that do the same when they are made again. A transaction with any other
//! operation sends its `COMMIT` when all else was answered: should the answer be lost, the server knows its outcome (see
//! `lookup`).

use std::collections::{HashMap, HashSet};

use cacheness_core::backend::{
    AccessRecord, Commit, Committed, EntryUpdate, KeyId, Operation, Orphans, Outcome, Put, PutOutcome, Share,
};
use cacheness_core::entry::{BlobRef, Entry, Location};
use cacheness_core::{Error, ErrorKind, Result};
use tokio_postgres::Row;

use crate::custom::{self, Tables};
use crate::document;
use crate::error::database_error;
use crate::link::{Link, Param, Step};
use crate::lookup::{self, LatestWrite, Lost, Sent, Verdict};
use crate::names::Names;
use crate::rows::{Written, signed_size};
use crate::statements::Statements;
use crate::text::{checked_key, escape, unescape};

const WRITE: &str = "cannot write an entry";

/// Whether it can be found out by looking at the rows whether the operations were made, or making them again does the same.
fn can_be_found(operations: &[Operation<'_>]) -> bool {
    let puts = puts(operations);
    operations.iter().all(|operation| match operation {
        Operation::Put(put) => is_simple(put),
        Operation::SignWith(_) | Operation::Collected(_) => true,
        // A put does not tell whether the other entry existed.
        Operation::Pin { .. } => !puts,
        _ => false,
    })
}

/// The text under which the id of a key is recorded.
fn hexadecimal(key: &KeyId) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key that signs the entries.
pub(crate) fn signing_key(link: &mut Link, sql: &Statements) -> Result<Option<KeyId>> {
    let rows = link.query("cannot read the id of the signing key", &sql.signing_key, &[])?;
    let Some(text) = rows.first().and_then(|row| row.try_get::<_, String>(0).ok()) else { return Ok(None) };
    let mut id = KeyId::default();
    let digits = text.len() == 2 * id.len() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits {
        for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or(0);
        }
    }
    // Another program wrote any other value: the next writer records its own key.
    Ok(Some(id))
}

/// Where a commit writes.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) sql: &'a Statements,
    pub(crate) names: &'a Names,
    pub(crate) custom: &'a custom::Known,
    pub(crate) latest: &'a LatestWrite,
}

/// How often a commit is tried: the tables of custom metadata may be others than it knew.
const TRIES: u32 = 5;

/// What is known of a commit that may take several connections.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The last attempt, if its answer was lost.
    lost: Option<Lost>,
    /// What was made.
    made: Option<Vec<Outcome>>,
}

impl Progress {
    /// Whether an attempt may have been made.
    pub(crate) fn is_open(&self) -> bool {
        self.lost.is_some()
    }

    /// Makes all changes of the commit, or none. After an error that a lost connection has caused, the next call goes on
    /// with another one.
    pub(crate) fn advance(&mut self, link: &mut Link, target: Target<'_>, commit: &Commit<'_>) -> Result<Committed> {
        self.resolve(link, target, commit)?;
        if self.made.is_none() {
            let mut attempt = Lost::beginning(link.session()?, target.latest);
            let committed = run(link, target, commit, &mut attempt.sent);
            if committed.is_err() && link.is_broken() {
                self.lost = Some(attempt);
            }
            match committed? {
                Committed::Done(outcomes) => self.made = Some(outcomes),
                refused @ Committed::Refused(_) => return Ok(refused),
            }
        }
        let outcomes = self.made.get_or_insert_default();
        if commit.garbage_due.is_none() {
            keep_orphans(link, target.sql, outcomes)?;
        }
        Ok(Self::done(std::mem::take(outcomes), commit))
    }

    /// Finds out whether the last attempt was made.
    pub(crate) fn resolve(&mut self, link: &mut Link, target: Target<'_>, commit: &Commit<'_>) -> Result<()> {
        let Some(lost) = &mut self.lost else { return Ok(()) };
        match lookup::look_up(link, target.sql, commit, lost)? {
            Verdict::Made(outcomes) => self.made = Some(outcomes),
            Verdict::NotMade => {}
            Verdict::Unknown => return Err(lookup::unknown()),
        }
        self.lost = None;
        Ok(())
    }

    /// What was made, although a later call failed: the blobs that it released are left to a collection.
    pub(crate) fn into_made(self, commit: &Commit<'_>) -> Option<Committed> {
        let mut outcomes = self.made?;
        for outcome in &mut outcomes {
            match outcome {
                Outcome::Put(outcome) => outcome.orphaned.clear(),
                Outcome::Deleted { orphaned, .. } => *orphaned = None,
                _ => {}
            }
        }
        Some(Self::done(outcomes, commit))
    }

    fn done(mut outcomes: Vec<Outcome>, commit: &Commit<'_>) -> Committed {
        commit.settle(&mut outcomes);
        Committed::Done(outcomes)
    }
}

/// Makes all changes of a commit, or none.
fn run(link: &mut Link, target: Target<'_>, commit: &Commit<'_>, sent: &mut Sent) -> Result<Committed> {
    let mut tables = target.custom.tables();
    let mut tries = 1;
    let outcomes = loop {
        let refusal = match run_once(link, target, &tables, commit, sent) {
            Ok(Some(outcomes)) => break outcomes,
            Ok(None) => None,
            Err(error) if is_check(&error) => Some(error),
            Err(error) => return Err(error),
        };
        // Either the guard does not hold, or a table of custom metadata has come or gone.
        if let Some(guard) = commit.guard {
            let recorded = signing_key(link, target.sql)?;
            if recorded != guard.signing_key {
                return Ok(Committed::Refused(recorded));
            }
        }
        if tries == TRIES {
            let changes = || Error::new(ErrorKind::Conflict, "the tables of custom metadata change all the time");
            return Err(refusal.unwrap_or_else(changes));
        }
        tries += 1;
        tables = target.custom.refresh(link, target.names)?;
    };
    Ok(Committed::Done(outcomes))
}

/// The outcomes; `None`, or an error that [`is_check`] knows, if a check did not hold and nothing was changed.
fn run_once(
    link: &mut Link,
    target: Target<'_>,
    tables: &Tables,
    commit: &Commit<'_>,
    sent: &mut Sent,
) -> Result<Option<Vec<Outcome>>> {
    *sent = Sent::Nothing;
    let simple = |operation: &Operation<'_>| !matches!(operation, Operation::Put(put) if !is_simple(put));
    match commit.operations {
        [Operation::Put(put)] if is_simple(put) && tables.removals.is_empty() => {
            put_alone(link, target, tables, *put, commit, sent)
        }
        operations if operations.iter().all(simple) => pipelined(link, target, tables, commit, sent).map(Some),
        _ => step_by_step(link, target, tables, commit, sent).map(Some),
    }
}

/// Whether a check that a transaction begins with did not hold.
fn is_check(error: &Error) -> bool {
    database_error(error).is_some_and(|said| said.code() == "22012")
}

/// Whether the operations put entries: then the tables of custom metadata must be known.
fn puts(operations: &[Operation<'_>]) -> bool {
    operations.iter().any(|operation| matches!(operation, Operation::Put(_)))
}

/// Whether the statement that writes the entry does not need the result of another one.
fn is_simple(put: &Put<'_>) -> bool {
    put.rows.is_empty() && (put.share == Share::No || put.entry.location.is_inline())
}

/// Leaves in the outcomes the blobs that no entry names, each at the last operation that released it.
///
/// That is asked after the commit. Nobody can name a blob again that no entry names: an entry gets another entry's blob
/// only while it holds a lock on that entry, and this commit has waited for such a lock.
fn keep_orphans(link: &mut Link, sql: &Statements, outcomes: &mut [Outcome]) -> Result<()> {
    let mut released: Vec<&str> = Vec::new();
    for outcome in outcomes.iter() {
        match outcome {
            Outcome::Put(outcome) => released.extend(outcome.orphaned.iter().map(String::as_str)),
            Outcome::Deleted { orphaned, .. } => released.extend(orphaned.as_deref()),
            _ => {}
        }
    }
    if released.is_empty() {
        return Ok(());
    }
    released.sort_unstable();
    released.dedup();
    let rows = link.query("cannot find entries that name a blob", &sql.orphans, &[&released])?;
    let mut orphans: HashSet<String> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
    for outcome in outcomes.iter_mut().rev() {
        match outcome {
            Outcome::Put(outcome) => outcome.orphaned.retain(|locator| orphans.remove(locator)),
            Outcome::Deleted { orphaned, .. } => drop(orphaned.take_if(|locator| !orphans.remove(locator))),
            _ => {}
        }
    }
    Ok(())
}

/// What [`Statements::put`] needs beside the row.
struct PutValues<'a> {
    row: Written<'a>,
    due: Option<i64>,
    unguarded: bool,
    key: Option<String>,
    triggers: i64,
}

impl PutValues<'_> {
    fn params(&self) -> Vec<Param<'_>> {
        let mut params = self.row.params();
        params.extend([&self.due as Param<'_>, &self.unguarded, &self.key, &self.triggers]);
        params
    }
}

/// The outcome of a put whose entry names the blob `own`.
fn put_outcome(row: &Row, own: Option<&str>, latest: &LatestWrite) -> PutOutcome {
    if let Ok(written_at) = row.try_get(2) {
        latest.note(written_at);
    }
    let former: Option<i64> = row.try_get(0).unwrap_or_default();
    let locator: Option<String> = row.try_get(1).unwrap_or_default();
    let orphaned = locator.filter(|locator| Some(locator.as_str()) != own).into_iter().collect();
    PutOutcome { replaced: former.is_some(), orphaned, ..PutOutcome::default() }
}

/// A put in one statement, which compares the guard itself.
fn put_alone(
    link: &mut Link,
    target: Target<'_>,
    tables: &Tables,
    put: Put<'_>,
    commit: &Commit<'_>,
    sent: &mut Sent,
) -> Result<Option<Vec<Outcome>>> {
    let values = PutValues {
        row: Written::new(put.entry, &put.entry.location, put.pin)?,
        due: commit.garbage_due.map(|due| due.0),
        unguarded: commit.guard.is_none(),
        key: commit.guard.and_then(|guard| guard.signing_key).as_ref().map(hexadecimal),
        triggers: tables.triggers,
    };
    *sent = Sent::Whole;
    let rows = link.query(WRITE, &target.sql.put, &values.params())?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut outcome = put_outcome(row, put.entry.location.locator(), target.latest);
    if commit.garbage_due.is_some() {
        outcome.orphaned.clear();
    }
    Ok(Some(vec![Outcome::Put(outcome)]))
}

/// One statement of a transaction, with the values of its parameters, and how its rows become outcomes.
enum Part<'a> {
    Put(Box<PutValues<'a>>, Option<&'a str>),
    Update(Box<Update<'a>>),
    Delete(&'a str, Option<i64>),
    DeleteVersions {
        keys: Vec<&'a str>,
        created: Vec<i64>,
        hashes: Vec<i64>,
        due: Option<i64>,
        places: Vec<usize>,
        count: usize,
    },
    Clear(Option<i64>),
    Pin(&'a str, bool),
    Access {
        keys: Vec<&'a str>,
        times: Vec<i64>,
        counts: Vec<i64>,
        count: usize,
    },
    SignWith(String),
    Collected(&'a [String]),
    /// The rows of custom metadata of an entry that a put has replaced.
    Rows(&'a str, &'a str),
    /// A key that the database cannot have: nothing is found.
    Nothing(Vec<Outcome>),
}

/// The values of [`Statements::update`].
struct Update<'a> {
    key: &'a str,
    created_at: i64,
    file_hash: i64,
    new_created_at: Option<i64>,
    expires: (bool, Option<i64>),
    description: (bool, Option<std::borrow::Cow<'a, str>>),
    metadata: (bool, Option<std::borrow::Cow<'a, str>>),
    signature: (bool, Option<&'a [u8]>),
    was_metadata: Option<std::borrow::Cow<'a, str>>,
    was_description: Option<std::borrow::Cow<'a, str>>,
    was_expires: Option<i64>,
    was_signature: Option<&'a [u8]>,
    document: Option<String>,
}

impl<'a> Update<'a> {
    fn new(expected: &'a Entry, update: &'a EntryUpdate) -> Self {
        fn text(text: Option<&Option<String>>) -> (bool, Option<std::borrow::Cow<'_, str>>) {
            (text.is_some(), text.and_then(Option::as_deref).map(escape))
        }
        Self {
            key: &expected.key,
            created_at: expected.created_at.0,
            file_hash: expected.file_hash.cast_signed(),
            new_created_at: update.created_at.map(|time| time.0),
            expires: (update.expires_at.is_some(), update.expires_at.flatten().map(|time| time.0)),
            description: text(update.description.as_ref()),
            metadata: text(update.metadata.as_ref()),
            signature: (
                update.signature.is_some(),
                update.signature.as_ref().and_then(Option::as_ref).map(<[u8; 32]>::as_slice),
            ),
            was_metadata: expected.metadata.as_deref().map(escape),
            was_description: expected.description.as_deref().map(escape),
            was_expires: expected.expires_at.map(|time| time.0),
            was_signature: expected.signature.as_ref().map(<[u8; 32]>::as_slice),
            document: update.metadata.as_ref().and_then(|metadata| document::of(metadata.as_deref())),
        }
    }

    fn params(&self) -> Vec<Param<'_>> {
        vec![
            &self.key,
            &self.created_at,
            &self.file_hash,
            &self.new_created_at,
            &self.expires.0,
            &self.expires.1,
            &self.description.0,
            &self.description.1,
            &self.metadata.0,
            &self.metadata.1,
            &self.signature.0,
            &self.signature.1,
            &self.was_metadata,
            &self.was_description,
            &self.was_expires,
            &self.was_signature,
            &self.document,
        ]
    }
}

impl<'a> Part<'a> {
    /// The statement of the first of these operations, and the operations after it. Consecutive deletions and accesses are
    /// one statement.
    fn next(
        operations: &'a [Operation<'a>],
        due: Option<i64>,
        tables: &'a Tables,
    ) -> Result<(Self, &'a [Operation<'a>])> {
        let alike = |is: fn(&Operation<'_>) -> bool| {
            let count = operations.iter().take_while(|operation| is(operation)).count();
            operations.split_at(count)
        };
        let Some((first, rest)) = operations.split_first() else { return Ok((Self::Nothing(Vec::new()), &[])) };
        let part = match first {
            Operation::Put(put) => {
                let row = Written::new(put.entry, &put.entry.location, put.pin)?;
                let values = PutValues { row, due, unguarded: true, key: None, triggers: tables.triggers };
                Self::Put(Box::new(values), put.entry.location.locator())
            }
            Operation::Update { expected, .. } if checked_key(&expected.key).is_err() => {
                Self::Nothing(vec![Outcome::Found(false)])
            }
            Operation::Update { expected, update } => Self::Update(Box::new(Update::new(expected, update))),
            Operation::Delete(key) if checked_key(key).is_err() => {
                Self::Nothing(vec![Outcome::Deleted { found: false, orphaned: None }])
            }
            Operation::Delete(key) => Self::Delete(key, due),
            Operation::DeleteVersion(_) => {
                let (run, rest) = alike(|operation| matches!(operation, Operation::DeleteVersion(_)));
                let (mut keys, mut created, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
                let (mut places, mut seen) = (Vec::new(), HashSet::new());
                for (place, operation) in run.iter().enumerate() {
                    let Operation::DeleteVersion(version) = operation else { continue };
                    // A version is removed once.
                    if checked_key(&version.key).is_ok() && seen.insert(*version) {
                        keys.push(version.key.as_str());
                        created.push(version.created_at.0);
                        hashes.push(version.file_hash.cast_signed());
                        places.push(place);
                    }
                }
                return Ok((Self::DeleteVersions { keys, created, hashes, due, places, count: run.len() }, rest));
            }
            Operation::Access(_) => {
                let (run, rest) = alike(|operation| matches!(operation, Operation::Access(_)));
                let (mut keys, mut times, mut counts) = (Vec::new(), Vec::new(), Vec::new());
                for operation in run {
                    let Operation::Access(AccessRecord { key, at, count }) = operation else { continue };
                    if checked_key(key).is_ok() {
                        keys.push(key.as_str());
                        times.push(at.0);
                        counts.push(i64::try_from(*count).unwrap_or(i64::MAX));
                    }
                }
                return Ok((Self::Access { keys, times, counts, count: run.len() }, rest));
            }
            Operation::Clear => Self::Clear(due),
            Operation::Pin { key, .. } if checked_key(key).is_err() => Self::Nothing(vec![Outcome::Found(false)]),
            Operation::Pin { key, pinned } => Self::Pin(key, *pinned),
            Operation::SignWith(key) => Self::SignWith(hexadecimal(key)),
            Operation::Collected(locators) => Self::Collected(locators),
            _ => return Err(Error::new(ErrorKind::Unsupported, "PostgreSQL does not know this operation")),
        };
        Ok((part, rest))
    }

    fn step<'s>(&'s self, sql: &'s Statements) -> Option<Step<'s>> {
        let (sql, params): (&str, Vec<Param<'_>>) = match self {
            Self::Put(values, _) => (&sql.put, values.params()),
            Self::Update(update) => (&sql.update, update.params()),
            Self::Delete(key, due) => (&sql.delete, vec![key, due]),
            Self::DeleteVersions { keys, created, hashes, due, .. } => {
                (&sql.delete_versions, vec![keys, created, hashes, due])
            }
            Self::Clear(due) => (&sql.clear, vec![due]),
            Self::Pin(key, pinned) => (&sql.pin, vec![key, pinned]),
            Self::Access { keys, times, counts, .. } => (&sql.access, vec![keys, times, counts]),
            Self::SignWith(key) => (&sql.sign_with, vec![key]),
            Self::Collected(locators) => (&sql.collected, vec![locators]),
            Self::Rows(removal, key) => (removal, vec![key]),
            Self::Nothing(_) => return None,
        };
        Some(Step { sql, params })
    }

    /// The outcomes, from the rows of the statement. Locators are reported whether or not they are orphaned.
    fn outcomes(self, rows: &[Row], latest: &LatestWrite) -> Vec<Outcome> {
        let locator = |row: &Row, place: usize| row.try_get::<_, Option<String>>(place).unwrap_or_default();
        match self {
            Self::Put(values, own) => rows
                .first()
                .map(|row| {
                    let mut outcome = put_outcome(row, own, latest);
                    if values.due.is_some() {
                        outcome.orphaned.clear();
                    }
                    Outcome::Put(outcome)
                })
                .into_iter()
                .collect(),
            Self::Update(_) | Self::Pin(..) => vec![Outcome::Found(!rows.is_empty())],
            Self::Delete(_, due) => {
                let orphaned = rows.first().and_then(|row| locator(row, 0)).filter(|_| due.is_none());
                vec![Outcome::Deleted { found: !rows.is_empty(), orphaned }]
            }
            Self::DeleteVersions { due, places, count, .. } => {
                let removed: HashMap<i64, Option<String>> =
                    rows.iter().filter_map(|row| Some((row.try_get(0).ok()?, locator(row, 1)))).collect();
                let mut outcomes: Vec<Outcome> =
                    (0..count).map(|_| Outcome::Deleted { found: false, orphaned: None }).collect();
                for (number, place) in places.into_iter().enumerate() {
                    let number = i64::try_from(number).unwrap_or(i64::MAX).saturating_add(1);
                    if let Some(locator) = removed.get(&number) {
                        let orphaned = locator.clone().filter(|_| due.is_none());
                        outcomes[place] = Outcome::Deleted { found: true, orphaned };
                    }
                }
                outcomes
            }
            Self::Clear(_) => {
                let removed: i64 = rows.first().and_then(|row| row.try_get(0).ok()).unwrap_or(0);
                let locators: Vec<String> = rows.iter().skip(1).filter_map(|row| locator(row, 1)).collect();
                let orphaned = Orphans::new(locators.into_iter().map(Ok));
                vec![Outcome::Cleared { entries: u64::try_from(removed).unwrap_or(0), orphaned }]
            }
            Self::Access { count, .. } => (0..count).map(|_| Outcome::Done).collect(),
            Self::SignWith(_) | Self::Collected(_) => vec![Outcome::Done],
            Self::Rows(..) => Vec::new(),
            Self::Nothing(outcomes) => outcomes,
        }
    }
}

/// The statement that begins a transaction: what has to be locked, before anything is read.
fn begin(sql: &Statements, commit: &Commit<'_>) -> String {
    let signs = commit.operations.iter().any(|operation| matches!(operation, Operation::SignWith(_)));
    if signs {
        format!("BEGIN; {}", sql.lock_all)
    } else if commit.guard.is_some() {
        format!("BEGIN; {}", sql.lock)
    } else {
        "BEGIN".to_owned()
    }
}

/// What a transaction checks before it changes anything.
struct Checks {
    guard: Option<Option<String>>,
    triggers: Option<i64>,
}

impl Checks {
    fn of(commit: &Commit<'_>, tables: &Tables) -> Self {
        Self {
            guard: commit.guard.map(|guard| guard.signing_key.as_ref().map(hexadecimal)),
            triggers: puts(commit.operations).then_some(tables.triggers),
        }
    }

    fn steps<'s>(&'s self, sql: &'s Statements) -> Vec<Step<'s>> {
        let mut steps = Vec::new();
        if let Some(key) = &self.guard {
            steps.push(Step { sql: &sql.check_key, params: vec![key] });
        }
        if let Some(triggers) = &self.triggers {
            steps.push(Step { sql: &sql.check_tables, params: vec![triggers] });
        }
        steps
    }
}

/// All operations in one round trip. Puts of different keys are made in the order of the keys, so that two commits never
/// wait for each other; other commits that do are ended by PostgreSQL, and repeated.
fn pipelined(
    link: &mut Link,
    target: Target<'_>,
    tables: &Tables,
    commit: &Commit<'_>,
    sent: &mut Sent,
) -> Result<Vec<Outcome>> {
    let Some(places) = by_key(commit.operations) else { return in_order(link, target, tables, commit, sent) };
    let operations: Vec<Operation<'_>> = places.iter().map(|place| commit.operations[*place]).collect();
    let sorted = in_order(link, target, tables, &Commit { operations: &operations, ..*commit }, sent)?;
    let mut outcomes: Vec<(usize, Outcome)> = places.into_iter().zip(sorted).collect();
    outcomes.sort_by_key(|(place, _)| *place);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

/// The places of several puts of different keys in the order of these.
fn by_key(operations: &[Operation<'_>]) -> Option<Vec<usize>> {
    let key = |place: &usize| match &operations[*place] {
        Operation::Put(put) => Some(put.entry.key.as_str()),
        _ => None,
    };
    let mut places: Vec<usize> = (0..operations.len()).collect();
    if places.len() < 2 || places.iter().any(|place| key(place).is_none()) {
        return None;
    }
    places.sort_by_key(key);
    let is_rising = places.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]));
    is_rising.then_some(places)
}

fn in_order(
    link: &mut Link,
    target: Target<'_>,
    tables: &Tables,
    commit: &Commit<'_>,
    sent: &mut Sent,
) -> Result<Vec<Outcome>> {
    let sql = target.sql;
    let due = commit.garbage_due.map(|due| due.0);
    let (mut parts, mut rest) = (Vec::new(), commit.operations);
    while let Some(first) = rest.first() {
        let (part, others) = Part::next(rest, due, tables)?;
        parts.push(part);
        if let Operation::Put(put) = first {
            parts.extend(tables.removals.iter().map(|removal| Part::Rows(removal, &put.entry.key)));
        }
        rest = others;
    }
    let checks = Checks::of(commit, tables);
    let mut steps = checks.steps(sql);
    let found = can_be_found(commit.operations);
    if !found {
        steps.push(Step { sql: TRANSACTION, params: Vec::new() });
    }
    let first = steps.len();
    steps.extend(parts.iter().filter_map(|part| part.step(sql)));
    let rows = if found {
        *sent = Sent::Whole;
        link.transaction(WRITE, &begin(sql, commit), &steps)?
    } else {
        link.begin(WRITE, &begin(sql, commit), &steps)?
    };
    drop(steps);
    let number = if found { None } else { Some(number_of(rows.get(first - 1).map(Vec::as_slice))?) };
    let mut rows = rows.into_iter().skip(first);
    let mut outcomes = Vec::with_capacity(commit.operations.len());
    for part in parts {
        let rows = if matches!(part, Part::Nothing(_)) { Vec::new() } else { rows.next().unwrap_or_default() };
        outcomes.extend(part.outcomes(&rows, target.latest));
    }
    match number {
        Some(number) => commit_known(link, number, outcomes, sent),
        None => Ok(outcomes),
    }
}

/// The number of the running transaction.
const TRANSACTION: &str = "SELECT pg_current_xact_id()::text";

fn number_of(rows: Option<&[Row]>) -> Result<String> {
    let number = rows.and_then(|rows| rows.first()).and_then(|row| row.try_get(0).ok());
    number.ok_or_else(|| Error::new(ErrorKind::Metadata, "PostgreSQL did not tell the number of a transaction"))
}

/// Ends a transaction whose outcomes are known, should it be made.
fn commit_known(link: &mut Link, number: String, outcomes: Vec<Outcome>, sent: &mut Sent) -> Result<Vec<Outcome>> {
    *sent = Sent::Transaction(number, outcomes);
    link.batch(WRITE, "COMMIT")?;
    match std::mem::take(sent) {
        Sent::Transaction(_, outcomes) => Ok(outcomes),
        Sent::Nothing | Sent::Whole => Ok(Vec::new()),
    }
}

/// Operations that need the results of others, such as a put that shares a blob.
fn step_by_step(
    link: &mut Link,
    target: Target<'_>,
    tables: &Tables,
    commit: &Commit<'_>,
    sent: &mut Sent,
) -> Result<Vec<Outcome>> {
    link.batch(WRITE, &begin(target.sql, commit))?;
    let done = in_transaction(link, target, tables, commit)
        .and_then(|(number, outcomes)| commit_known(link, number, outcomes, sent));
    if done.is_err() && !link.is_broken() {
        link.batch(WRITE, "ROLLBACK")?;
    }
    done
}

/// The number of the transaction, and the outcomes.
fn in_transaction(
    link: &mut Link,
    target: Target<'_>,
    tables: &Tables,
    commit: &Commit<'_>,
) -> Result<(String, Vec<Outcome>)> {
    let sql = target.sql;
    let mut last = Vec::new();
    for step in Checks::of(commit, tables).steps(sql) {
        last = link.query(WRITE, step.sql, &step.params)?;
    }
    // The last check is that of the tables, because there is a put.
    let number = number_of(Some(&last))?;
    let due = commit.garbage_due.map(|due| due.0);
    let (mut outcomes, mut rest) = (Vec::with_capacity(commit.operations.len()), commit.operations);
    while let Some(operation) = rest.first() {
        if let Operation::Put(put) = operation {
            outcomes.push(Outcome::Put(put_with(link, target, tables, *put, due)?));
            rest = &rest[1..];
            continue;
        }
        let (part, others) = Part::next(rest, due, tables)?;
        let rows = match part.step(sql) {
            Some(step) => link.query(WRITE, step.sql, &step.params)?,
            None => Vec::new(),
        };
        outcomes.extend(part.outcomes(&rows, target.latest));
        rest = others;
    }
    Ok((number, outcomes))
}

/// A blob in a row of `locator, file_size, etag, version`.
pub(crate) fn blob_of_row(row: &Row) -> Option<BlobRef> {
    let text =
        |place: usize| row.try_get::<_, Option<&str>>(place).ok().flatten().map(|text| unescape(text).into_owned());
    Some(BlobRef {
        locator: row.try_get(0).ok()?,
        size: u64::try_from(row.try_get::<_, i64>(1).ok()?).ok()?,
        etag: text(2),
        version: text(3),
    })
}

/// A put that may share an equal blob, or replace a damaged one, and that may have rows of custom metadata.
fn put_with(
    link: &mut Link,
    target: Target<'_>,
    tables: &Tables,
    put: Put<'_>,
    due: Option<i64>,
) -> Result<PutOutcome> {
    let Put { entry, share, pin, rows } = put;
    let sql = target.sql;
    let mut outcome = PutOutcome::default();
    let shared;
    let mut location = &entry.location;
    if let (Location::Blob(own), Some(digest)) = (location, &entry.digest) {
        let (digest, size, key) = (digest.as_slice(), signed_size(entry)?, checked_key(&entry.key)?);
        match share {
            Share::With(other) => {
                let values: [Param<'_>; 5] = [&digest, &size, &key, &other, &own.locator];
                let found = link.query("cannot find an equal blob", &sql.may_share, &values)?;
                if let Some(blob) = found.first().and_then(blob_of_row) {
                    outcome.shared = true;
                    shared = Location::Blob(blob);
                    location = &shared;
                }
            }
            Share::InPlaceOf(damaged) if own.locator != damaged => {
                let (etag, version) = (own.etag.as_deref().map(escape), own.version.as_deref().map(escape));
                let values: [Param<'_>; 7] = [&digest, &size, &key, &damaged, &own.locator, &etag, &version];
                if !link.query(WRITE, &sql.displace, &values)?.is_empty() {
                    match due {
                        Some(due) => drop(link.query(WRITE, &sql.discard, &[&damaged, &due])?),
                        None => outcome.orphaned.push(damaged.to_owned()),
                    }
                }
            }
            _ => {}
        }
    }
    let row = Written::new(entry, location, pin)?;
    let values = PutValues { row, due, unguarded: true, key: None, triggers: tables.triggers };
    let written = link.query(WRITE, &sql.put, &values.params())?;
    if let Some(row) = written.first() {
        let put = put_outcome(row, location.locator(), target.latest);
        outcome.replaced = put.replaced;
        if due.is_none() {
            outcome.orphaned.extend(put.orphaned);
            outcome.orphaned.dedup();
        }
    }
    let key = entry.key.as_str();
    for removal in tables.removals.iter().filter(|_| outcome.replaced) {
        link.query(WRITE, removal, &[&key])?;
    }
    if !rows.is_empty() {
        outcome.row_ids = target.custom.insert(link, target.names, key, rows)?;
    }
    Ok(outcome)
}
