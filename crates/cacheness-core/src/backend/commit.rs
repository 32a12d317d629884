//! A transaction as data: the changes, their condition and their outcome.

use std::fmt;

use super::rows::CustomRow;
use crate::clock::Timestamp;
use crate::entry::{Entry, EntryVersion, Signature};
use crate::error::Result;

/// Identifies the key that signs the entries of a store: a hash that reveals nothing about the key.
pub type KeyId = [u8; 16];

/// The condition of a [`Commit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The key that signs the store's entries must be this one, as the last [`Operation::SignWith`] recorded it.
    pub signing_key: Option<KeyId>,
}

/// Operations that are applied together or not at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Commit<'a> {
    /// The changes, in this order.
    pub operations: &'a [Operation<'a>],
    /// Checked in the same transaction, before any change.
    pub guard: Option<Guard>,
    /// When to delete blobs that no entry names any more: the backend records them in the same transaction
    /// ([`garbage`](super::MetadataBackend::garbage)), and does not report them as orphaned. With `None` it reports
    /// them, and the caller deletes them at once.
    pub garbage_due: Option<Timestamp>,
}

impl<'a> Commit<'a> {
    /// These operations, without a condition.
    #[must_use]
    pub fn of(operations: &'a [Operation<'a>]) -> Self {
        Self { operations, guard: None, garbage_due: None }
    }

    /// The first row of a user-defined table, which backends without such tables refuse.
    #[must_use]
    pub fn first_row(&self) -> Option<&'a CustomRow> {
        self.operations.iter().find_map(|operation| match operation {
            Operation::Put(put) => put.rows.first(),
            _ => None,
        })
    }

    /// For backends whose operations decide one by one which blobs they orphan: removes from `outcomes` the blobs that
    /// a later operation of this commit names again.
    pub fn settle(&self, outcomes: &mut [Outcome]) {
        let puts: Vec<(usize, &'a str)> = match self.operations {
            [] | [_] => return,
            operations => operations.iter().enumerate().filter_map(own_blob).collect(),
        };
        if puts.is_empty() {
            return;
        }
        for (number, outcome) in outcomes.iter_mut().enumerate() {
            let is_named = |locator: &str| puts.iter().any(|(put, own)| *put > number && *own == locator);
            match outcome {
                Outcome::Put(outcome) => outcome.orphaned.retain(|locator| !is_named(locator)),
                Outcome::Deleted { orphaned, .. } => drop(orphaned.take_if(|locator| is_named(locator))),
                Outcome::Cleared { orphaned, .. } => {
                    let named: Vec<String> =
                        puts.iter().filter(|(put, _)| *put > number).map(|(_, own)| (*own).to_owned()).collect();
                    let all = std::mem::replace(orphaned, Orphans::none());
                    let is_orphan = move |locator: &Result<String>| !locator.as_ref().is_ok_and(|l| named.contains(l));
                    *orphaned = Orphans::new(all.filter(is_orphan));
                }
                Outcome::Found(_) | Outcome::Done => {}
            }
        }
    }
}

/// The number of an operation and the blob that it puts.
fn own_blob<'a>((number, operation): (usize, &Operation<'a>)) -> Option<(usize, &'a str)> {
    match operation {
        Operation::Put(put) => put.entry.location.locator().map(|own| (number, own)),
        _ => None,
    }
}

/// One change.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Operation<'a> {
    /// Stores an entry under its key, replacing the previous one.
    Put(Put<'a>),
    /// Changes fields of an entry if it still matches `expected`: the same `created_at`, `file_hash`, `expires_at`,
    /// `metadata`, `description` and `signature`.
    Update {
        /// The entry as it was read.
        expected: &'a Entry,
        /// What changes.
        update: &'a EntryUpdate,
    },
    /// Removes the entry of this key, whatever its version.
    Delete(&'a str),
    /// Removes an entry if it still has this version. Many removals are fastest in the order of the keys.
    DeleteVersion(&'a EntryVersion),
    /// Removes all entries.
    Clear,
    /// Pins or unpins an entry. A pinned entry is never evicted. A put under the same key keeps the pin; deleting the
    /// entry removes it.
    Pin {
        /// The entry's key.
        key: &'a str,
        /// Whether it is pinned from now on.
        pinned: bool,
    },
    /// Records reads of an entry; a key without an entry is skipped.
    Access(&'a AccessRecord),
    /// Records which key signs the store's entries from now on.
    SignWith(KeyId),
    /// Forgets these locators of the [`garbage`](super::MetadataBackend::garbage): their blobs are deleted.
    Collected(&'a [String]),
}

/// An entry to store.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// The entry. The `access_count` of the previous entry of this key is kept.
    pub entry: &'a Entry,
    /// What to do with an equal blob.
    pub share: Share<'a>,
    /// Pin the entry. `false` keeps its pin as it was.
    pub pin: bool,
    /// Rows of user-defined tables that belong to the entry. Those that belonged to the previous entry of this key are
    /// removed, also if there are no new ones.
    pub rows: &'a [CustomRow],
}

impl<'a> Put<'a> {
    /// `entry` alone.
    #[must_use]
    pub fn of(entry: &'a Entry) -> Self {
        Self { entry, share: Share::No, pin: false, rows: &[] }
    }
}

/// What to do with the blob of another entry with the same digest and size. It was found by an earlier
/// [`equal_blob`](super::MetadataBackend::equal_blob), and may no longer exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share<'a> {
    /// Nothing.
    #[default]
    No,
    /// Name the blob at this locator too, if another entry with the same digest and size still names it.
    With(&'a str),
    /// The blob at this locator is damaged: make the entries of the same digest and size that name it name the new
    /// entry's blob.
    InPlaceOf(&'a str),
}

/// Changes to an entry that do not rewrite its payload. `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct EntryUpdate {
    /// New creation time; also becomes the time of the last read.
    pub created_at: Option<Timestamp>,
    /// New expiry; `Some(None)` removes it.
    pub expires_at: Option<Option<Timestamp>>,
    /// New description.
    pub description: Option<Option<String>>,
    /// New user metadata (JSON object).
    pub metadata: Option<Option<String>>,
    /// New signature.
    pub signature: Option<Option<Signature>>,
}

impl EntryUpdate {
    /// Applies the changes to `entry`.
    pub fn apply(&self, entry: &mut Entry) {
        if let Some(created_at) = self.created_at {
            entry.created_at = created_at;
            entry.accessed_at = created_at;
        }
        if let Some(expires_at) = self.expires_at {
            entry.expires_at = expires_at;
        }
        if let Some(description) = &self.description {
            entry.description.clone_from(description);
        }
        if let Some(metadata) = &self.metadata {
            entry.metadata.clone_from(metadata);
        }
        if let Some(signature) = self.signature {
            entry.signature = signature;
        }
    }
}

/// Accesses to record: how many since the last record, and when the last one was.
#[derive(Clone, Debug)]
pub struct AccessRecord {
    /// The entry's key.
    pub key: String,
    /// When it was last read.
    pub at: Timestamp,
    /// How many reads to add.
    pub count: u64,
}

/// The result of a [`Commit`].
#[derive(Debug)]
pub enum Committed {
    /// All changes were made; the outcomes are in the order of the operations.
    Done(Vec<Outcome>),
    /// The guard did not hold and nothing changed: this key signs the store's entries.
    Refused(Option<KeyId>),
}

/// The result of an [`Operation`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Of [`Operation::Put`].
    Put(PutOutcome),
    /// Of [`Operation::Update`] and [`Operation::Pin`]: whether the entry existed.
    Found(bool),
    /// Of [`Operation::Delete`] and [`Operation::DeleteVersion`].
    Deleted {
        /// Whether the entry existed.
        found: bool,
        /// The locator that no entry names any more.
        orphaned: Option<String>,
    },
    /// Of [`Operation::Clear`].
    Cleared {
        /// The number of entries removed.
        entries: u64,
        /// The locators that the entries named.
        orphaned: Orphans,
    },
    /// Of any other operation.
    Done,
}

/// The result of [`Operation::Put`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOutcome {
    /// Whether an entry of this key existed.
    pub replaced: bool,
    /// The entry names the blob of [`Share::With`] instead of its own: the caller deletes the blob it wrote.
    pub shared: bool,
    /// Locators that no entry names any more: that of the previous payload, and that of [`Share::InPlaceOf`].
    pub orphaned: Vec<String>,
    /// The key that each of [`Put::rows`] was given in its table.
    pub row_ids: Vec<i64>,
}

/// Locators that no entry names any more. There may be millions: they are read lazily.
pub struct Orphans(Box<dyn Iterator<Item = Result<String>> + Send>);

impl Orphans {
    /// These ones.
    pub fn new<I>(locators: I) -> Self
    where
        I: IntoIterator<Item = Result<String>>,
        I::IntoIter: Send + 'static,
    {
        Self(Box::new(locators.into_iter()))
    }

    /// None.
    #[must_use]
    pub fn none() -> Self {
        Self::new(std::iter::empty())
    }
}

impl Iterator for Orphans {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

impl fmt::Debug for Orphans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Orphans")
    }
}
