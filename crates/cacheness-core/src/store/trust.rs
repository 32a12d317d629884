//! What is checked before a payload is decoded: signatures, hashes, permission to run code.

use std::fmt;

use super::{ReadOptions, Store};
use crate::backend::Part;
use crate::entry::{Entry, Format, Location};
use crate::error::{Error, ErrorKind, Result};
use crate::payload::{Buffer, Check, PayloadHasher, Stored};
use crate::sign::SignatureState;

/// The result of [`Store::verify_integrity`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrityReport {
    /// The payload exists with the recorded size and hash, and the signature is not wrong.
    pub valid: bool,
    /// The hash that the entry records.
    pub expected_hash: u64,
    /// The hash of the payload; `None` if it is missing.
    pub actual_hash: Option<u64>,
    /// The state of the signature.
    pub signature: SignatureState,
    /// Why it is not valid.
    pub problem: Option<String>,
}

impl Store {
    /// The state of the signature of `entry`; `Unsigned` if the store does not sign.
    pub fn check_signature(&self, entry: &Entry) -> Result<SignatureState> {
        match &self.signer {
            Some(signer) => signer.verify(entry),
            None => Ok(SignatureState::Unsigned),
        }
    }

    /// Whether an entry may be served again without checking its signature: it is valid, or none is required.
    pub(super) fn is_trusted(&self, stored: &Stored, signed: bool) -> bool {
        signed || self.signer.is_none() || stored.entry().signature.is_none()
    }

    /// Whether `entry` has been signed again, replaced or deleted since it was read. A rotation drops the former keys when it
    /// has signed all entries again, so a signature that has just been read may be invalid by now.
    pub(super) fn has_changed(&self, entry: &Entry) -> Result<bool> {
        let found = self.metadata.get(&entry.key, Part::Summary)?;
        // Not by its key: a damaged index may lead to a row of another key, again and again.
        let state = |entry: &Entry| (entry.created_at, entry.file_hash, entry.signature);
        Ok(found.is_none_or(|found| state(&found) != state(entry)))
    }

    /// Whether the entry has a valid signature; an error if it has not and the configuration requires one. `None` if the
    /// entry has changed since it was read and must be read again.
    pub(super) fn accept_signature(&self, entry: &Entry, options: ReadOptions) -> Result<Option<bool>> {
        let key = &entry.key;
        let security = &self.config.security;
        let Some(signer) = &self.signer else {
            // A read-only store creates no key, and without one no signature can be verified.
            if security.enable_entry_signing && !security.allow_unsigned_entries {
                let what = format!("entry {key}: there is no key to check its signature with");
                return Err(Error::new(ErrorKind::Signature, what)
                    .with_hint(format!("put the key file {} back", security.signing_key_file)));
            }
            return Ok(Some(false));
        };
        match signer.verify(entry)? {
            SignatureState::Valid => Ok(Some(true)),
            SignatureState::Unsigned if security.allow_unsigned_entries => Ok(Some(false)),
            SignatureState::Unsigned => Err(Error::new(ErrorKind::Signature, format!("entry {key} is not signed"))
                .with_hint("put the value again, or set allow_unsigned_entries")),
            SignatureState::Invalid if self.has_changed(entry)? => Ok(None),
            SignatureState::Invalid if !options.strict => {
                log::warn!("entry {key}: its signature is wrong, it may have been tampered with");
                Ok(Some(false))
            }
            SignatureState::Invalid => {
                if security.delete_invalid_signatures && !self.is_read_only() {
                    log::warn!("entry {key} is deleted: its signature is wrong");
                    self.delete_entry(entry)?;
                }
                Err(Error::new(ErrorKind::Signature, format!("entry {key}: its signature is wrong")).with_hint(format!(
                    "it was changed since it was put, or signed with another key: if {} was lost or replaced, put it back \
                     from a copy; else put the value again, or read it with strict_verification=False if you know why",
                    security.signing_key_file
                )))
            }
        }
    }

    /// Whether the payload must be checked against the signed hash, whatever the caller wants: pickles, and in a store
    /// that signs also payloads read by a custom handler.
    pub(super) fn must_verify(&self, format: &Format) -> bool {
        format.runs_code() || self.signer.is_some() && format.is_custom()
    }

    /// Refuses a payload whose decoding may run code, unless the configuration and the signature vouch for it.
    pub(super) fn guard_code(&self, entry: &Entry, signed: bool) -> Result<()> {
        let security = &self.config.security;
        let Entry { key, format, .. } = entry;
        if !format.runs_code() {
            // Every entry of a store that signs has a signature; an unsigned one is not passed to a custom handler.
            if signed || security.trust_unsigned_pickles || !self.must_verify(format) {
                return Ok(());
            }
            let what = format!("entry {key} is read by the handler {:?} and has no valid signature", format.handler);
            return Err(Error::new(ErrorKind::Signature, what).with_hint(
                "put the value again, or set trust_unsigned_pickles if no other user can write to this store",
            ));
        }
        if !security.allow_pickle {
            return Err(pickle_refused(format_args!("entry {key} is a pickle of {}", format.object_type)));
        }
        if !signed && !security.trust_unsigned_pickles {
            return Err(Error::new(
                ErrorKind::Signature,
                format!("entry {key} is a pickle without a valid signature, so it is not decoded"),
            )
            .with_hint(
                "a pickle can run code when it is decoded; put the value again with signing enabled, or set \
                 trust_unsigned_pickles if no other user can write to this store",
            ));
        }
        Ok(())
    }

    /// Refuses to write a payload whose decoding may run code if the configuration forbids it.
    pub fn refuse_code(&self, format: &Format) -> Result<()> {
        if format.runs_code() && !self.config.security.allow_pickle {
            return Err(pickle_refused(format_args!("a value of type {} can only be pickled", format.object_type)));
        }
        if format.runs_code() && !self.signs() && !self.config.security.trust_unsigned_pickles {
            let what =
                format!("a value of type {} can only be pickled, and this store signs nothing", format.object_type);
            return Err(Error::new(ErrorKind::PickleRefused, what).with_hint(
                "without a signature a pickle is never decoded: set enable_entry_signing, or trust_unsigned_pickles if \
                 no other user can write to this store",
            ));
        }
        Ok(())
    }

    /// The payload of `entry`, unverified.
    fn read_payload(&self, entry: &Entry) -> Result<Buffer> {
        let reader = entry.location.blob().map(|blob| self.blobs.open(blob)).transpose()?;
        Stored::new(entry.clone(), reader, Check::Skip, false)?.into_bytes()
    }

    /// Reads the payload of `key` and compares it with its entry; `None` if there is no entry.
    pub fn verify_integrity(&self, key: &str) -> Result<Option<IntegrityReport>> {
        let mut former: Option<Location> = None;
        let (entry, payload, signature) = loop {
            let Some(entry) = self.metadata.get(key, Part::Whole)? else { return Ok(None) };
            let payload = self.read_payload(&entry);
            let signature = self.check_signature(&entry)?;
            // A rotation may have signed the entry again while its payload was read.
            if signature == SignatureState::Invalid && self.has_changed(&entry)? {
                continue;
            }
            // A writer may have replaced the entry meanwhile; the new one then names another blob.
            match payload {
                Err(error) if error.kind() == ErrorKind::NotFound && former.as_ref() != Some(&entry.location) => {
                    former = Some(entry.location);
                }
                payload => break (entry, payload, signature),
            }
        };
        let (expected_hash, expected_digest) = (entry.file_hash, entry.digest);
        let mut report = IntegrityReport { valid: false, expected_hash, actual_hash: None, signature, problem: None };
        let payload = match payload {
            Ok(payload) => payload,
            Err(error) if matches!(error.kind(), ErrorKind::Integrity | ErrorKind::NotFound) => {
                report.problem = Some(error.to_string());
                return Ok(Some(report));
            }
            Err(error) => return Err(error),
        };
        let hash = PayloadHasher::of(&payload, true, expected_digest.is_some());
        report.actual_hash = hash.file_hash;
        report.problem = if hash.file_hash != Some(expected_hash) || hash.digest != expected_digest {
            Some("the payload does not have the hash that the entry records".into())
        } else if signature == SignatureState::Invalid {
            Some("the signature is wrong".into())
        } else {
            None
        };
        report.valid = report.problem.is_none();
        Ok(Some(report))
    }
}

fn pickle_refused(what: impl fmt::Display) -> Error {
    Error::new(ErrorKind::PickleRefused, format!("{what}, and allow_pickle is off"))
        .with_hint("store plain data, arrays or tables, register a handler for the type, or set allow_pickle")
}
