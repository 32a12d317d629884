//! Signing commits, and rotating the key.
//!
//! The signature of an entry must come from the key that is current at its commit: a rotation drops older keys after it
//! has signed every entry again. The metadata backend records which key that is ([`Operation::SignWith`]), and every
//! signed commit is guarded by it: a commit with an older key is refused, and the writer signs again with the new one.
//! A rotation therefore waits for no writer.
//!
//! A key that lives in memory belongs to this process alone and is not recorded. Its rotation waits for the running
//! commits of this process before it signs all entries again.

use parking_lot::RwLockReadGuard;

use super::{PAGE, Store, put::unexpected};
use crate::backend::{Commit, Committed, EntryUpdate, Guard, KeyId, Operation, Outcome, Page, Query};
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::sign::{SignatureState, Signer, SigningKey};

/// How often a writer signs again before it gives up. A second time means that a key was rotated twice while one value
/// was put.
const ATTEMPTS: u32 = 100;

/// What a signed commit needs besides its entry.
#[derive(Debug)]
pub(super) struct Seal<'a> {
    signer: Option<&'a Signer>,
    key: Option<SigningKey>,
    /// The backend has recorded another key or none, and the key file has no newer one: record this process's key.
    adopts: Option<Option<KeyId>>,
    attempts: u32,
    /// Held until the commit is over.
    _commits: Option<RwLockReadGuard<'a, ()>>,
}

impl Seal<'_> {
    /// Signs `entry` if the store signs entries.
    pub(super) fn sign(&mut self, entry: &mut Entry) -> Result<()> {
        if let Some(signer) = self.signer {
            let (signature, key) = signer.sign(entry)?;
            entry.signature = Some(signature);
            if self.key.is_none_or(|former| former != key) {
                self.adopts = None;
            }
            self.key = Some(key);
        }
        Ok(())
    }

    /// Signs all of these entries with one key.
    pub(super) fn sign_all(&mut self, entries: &mut [&mut Entry]) -> Result<()> {
        loop {
            let mut is_one = true;
            for (i, entry) in entries.iter_mut().enumerate() {
                let before = self.key;
                self.sign(entry)?;
                is_one &= i == 0 || before == self.key;
            }
            // Otherwise the key was rotated meanwhile.
            if is_one {
                return Ok(());
            }
        }
    }

    fn key_id(&self) -> Option<KeyId> {
        self.key.and_then(|key| key.id)
    }

    fn guard(&self) -> Option<Guard> {
        self.key_id().map(|id| Guard { signing_key: self.adopts.unwrap_or(Some(id)) })
    }

    /// Handles a refused commit: the backend has recorded this key instead.
    fn refused(&mut self, recorded: Option<KeyId>) -> Result<()> {
        self.attempts += 1;
        let (Some(signer), true) = (self.signer, self.attempts < ATTEMPTS) else {
            return Err(Error::new(ErrorKind::Conflict, "the signing key keeps changing").with_hint(
                "find the programs that replace the key file of this store; each should keep the same one",
            ));
        };
        // Uses a new key from the file. If the key is unchanged, the file was recreated or restored.
        signer.read_again()?;
        self.adopts = Some(recorded);
        Ok(())
    }
}

impl Store {
    pub(super) fn seal(&self) -> Seal<'_> {
        Seal {
            signer: self.signer.as_ref(),
            key: None,
            adopts: None,
            attempts: 0,
            _commits: self.signer.as_ref().and_then(Signer::commits),
        }
    }

    /// Commits an operation on an entry that `seal` has signed; `None` if the entry must be signed again.
    pub(super) fn commit_sealed(&self, seal: &mut Seal<'_>, operation: Operation<'_>) -> Result<Option<Outcome>> {
        let outcomes = self.commit_all_sealed(seal, &[operation])?;
        outcomes.map(|mut outcomes| outcomes.pop().ok_or_else(|| unexpected(&Outcome::Done))).transpose()
    }

    /// Commits operations on entries that `seal` has signed, all with the same key; `None` if they must be signed
    /// again.
    pub(super) fn commit_all_sealed(
        &self,
        seal: &mut Seal<'_>,
        operations: &[Operation<'_>],
    ) -> Result<Option<Vec<Outcome>>> {
        let adopted = seal.adopts.and(seal.key_id()).map(|id| [&[Operation::SignWith(id)], operations].concat());
        let all = adopted.as_deref().unwrap_or(operations);
        let commit = Commit { operations: all, guard: seal.guard(), garbage_due: self.garbage_due() };
        match self.metadata.commit(&commit)? {
            Committed::Done(mut outcomes) => {
                outcomes.drain(..all.len() - operations.len());
                Ok(Some(outcomes))
            }
            Committed::Refused(recorded) => seal.refused(recorded).map(|()| None),
        }
    }

    /// Replaces the signing key and signs every entry with a valid signature again; returns their number.
    ///
    /// Other processes may keep running: the backend refuses a writer with the old key, which then signs with the new
    /// one. A process that only reads accepts the old key for at most a second after this call. Entries whose signature
    /// is wrong or missing stay as they are. After an error the old key is still accepted besides the new one; fix the
    /// cause and rotate again.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] while another rotation is running.
    pub fn rotate_signing_key(&self) -> Result<u64> {
        self.refuse_if_read_only()?;
        let Some(signer) = &self.signer else {
            return Err(Error::new(ErrorKind::InvalidInput, "this store does not sign its entries")
                .with_hint("set enable_entry_signing"));
        };
        let mut rotation = signer.rotate()?;
        loop {
            let is_new = rotation.begin()?;
            if let Some(id) = signer.key_id() {
                self.commit_one(Operation::SignWith(id))?;
            }
            let count = self.sign_again(signer)?;
            rotation.end()?;
            if is_new {
                return Ok(count);
            }
        }
    }

    fn sign_again(&self, signer: &Signer) -> Result<u64> {
        let mut count = 0;
        let mut after: Option<String> = None;
        loop {
            let page =
                self.metadata.keys(&Query::default(), &Page { after: after.as_deref(), limit: PAGE, offset: 0 })?;
            let keys: Vec<&str> = page.iter().map(String::as_str).collect();
            count += self.update_entries(&keys, |entry| {
                let is_valid = signer.verify(entry)? == SignatureState::Valid;
                Ok(is_valid.then(EntryUpdate::default))
            })?;
            if page.len() < PAGE {
                return Ok(count);
            }
            after = page.into_iter().next_back();
        }
    }
}
