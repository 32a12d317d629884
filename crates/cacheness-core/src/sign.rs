//! Signatures of entries, and the key file.
//!
//! A signature is HMAC-SHA256, under a key of 32 random bytes, of the BLAKE3 digest of the signed fields. Hashing the
//! fields first keeps the HMAC to two blocks; both hashes are collision-resistant, so it is as strong as signing the
//! fields themselves. The payload is bound by its own BLAKE3 digest, which is one of the fields.
//! Format: `docs/formats/store.md`.

mod key_file;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use sha2::Sha256;

use self::key_file::{Lock, Overwrite};
use crate::backend::KeyId;
use crate::config::nearest;
use crate::entry::{Entry, Signature};
use crate::error::{Error, ErrorKind, Result};

const KEY_SIZE: usize = 32;
const DOMAIN: &[u8] = b"cacheness entry signature 1\0";

/// How long a process may use its keys before it reads the file again. Measured by the system's clock, because the clock of
/// a store may be stopped.
const REFRESH: Duration = Duration::from_secs(1);

/// Fields that a signature always covers: without them it would not bind the payload to its key and to its decoder.
/// `prefix` is part of the input of the key; a payload at `actual_path` is refused unless it has the signed digest.
const ALWAYS: &[&str] = &[
    "cache_key",
    "file_hash",
    "file_size",
    "storage_format",
    "compression_codec",
    "handler",
    "serializer",
    "digest",
    "prefix",
    "actual_path",
];

/// Fields that `custom_signed_fields` may omit.
const OPTIONAL: &[(&str, u32)] = &[
    ("created_at", 1 << 0),
    ("expires_at", 1 << 1),
    ("data_type", 1 << 2),
    ("object_type", 1 << 3),
    ("description", 1 << 4),
    ("metadata", 1 << 5),
    ("cache_key_params", 1 << 6),
];

const ALL_OPTIONAL: u32 = (1 << OPTIONAL.len()) - 1;

/// The optional fields that are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedFields(u32);

impl SignedFields {
    /// All of them: the default.
    pub const ALL: Self = Self(ALL_OPTIONAL);

    /// The names of all fields that a signature can cover, first those that it always covers.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ALWAYS.iter().copied().chain(OPTIONAL.iter().map(|(name, _)| *name))
    }

    /// The fields of that name, besides those that are always signed.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Result<Self> {
        let mut mask = 0;
        for name in names {
            let name = name.as_ref();
            if let Some((_, bit)) = OPTIONAL.iter().find(|(known, _)| *known == name) {
                mask |= bit;
            } else if !ALWAYS.contains(&name) {
                let all = Self::names().collect::<Vec<_>>().join(", ");
                let hint = match nearest(name, Self::names()) {
                    Some(near) => format!("did you mean {near:?}? The fields are {all}"),
                    None => format!("the fields are {all}"),
                };
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("custom_signed_fields names {name:?}, which is not a field of an entry"),
                )
                .with_hint(hint));
            }
        }
        Ok(Self(mask))
    }

    fn has(self, name: &str) -> bool {
        OPTIONAL.iter().any(|(known, bit)| *known == name && self.0 & bit != 0)
    }
}

/// The result of checking a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureState {
    /// Signed, and unchanged since.
    Valid,
    /// Not signed.
    Unsigned,
    /// Signed with another key, or changed since.
    Invalid,
}

#[derive(Clone)]
struct Key {
    bytes: [u8; KEY_SIZE],
    mac: Hmac<Sha256>,
    id: KeyId,
}

impl Key {
    fn new(bytes: [u8; KEY_SIZE]) -> Self {
        let mac = Hmac::<Sha256>::new_from_slice(&bytes).expect("HMAC takes a key of any length");
        let hash = blake3::derive_key("cacheness signing key id v1", &bytes);
        let mut id = KeyId::default();
        id.copy_from_slice(&hash[..16]);
        Self { bytes, mac, id }
    }

    fn random() -> Result<Self> {
        let mut bytes = [0; KEY_SIZE];
        getrandom::fill(&mut bytes)
            .map_err(|e| Error::new(ErrorKind::Storage, format!("cannot get random bytes from the system: {e}")))?;
        Ok(Self::new(bytes))
    }

    fn mac(&self, digest: &[u8; 32]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(digest);
        mac
    }
}

struct Keys {
    /// The first signs; all of them verify. Never empty.
    list: Vec<Key>,
    /// How many keys have signed before the present one.
    generation: u64,
    checked_at: Instant,
}

impl Keys {
    /// Replaces the keys; returns whether they differ.
    fn replace(&mut self, list: Vec<Key>) -> bool {
        let bytes = |list: &[Key]| list.iter().map(|key| key.bytes).collect::<Vec<_>>();
        if bytes(&list) == bytes(&self.list) {
            return false;
        }
        if list[0].bytes != self.list[0].bytes {
            self.generation += 1;
        }
        self.list = list;
        true
    }
}

/// Identifies the key of a signature, among those of one [`Signer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningKey {
    generation: u64,
    /// What the metadata backend records of it; `None` for a key in memory.
    pub(crate) id: Option<KeyId>,
}

/// Signs entries and checks their signatures.
pub struct Signer {
    keys: RwLock<Keys>,
    /// Held while the keys are replaced.
    rotating: Mutex<()>,
    /// Read while an entry is signed with a key in memory and committed; a rotation waits for those commits.
    committing: RwLock<()>,
    /// Whether the warning that the file cannot be read has been logged.
    complained: AtomicBool,
    path: Option<PathBuf>,
    fields: SignedFields,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("path", &self.path).field("fields", &self.fields).finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer with a key in memory only.
    pub fn in_memory(fields: SignedFields) -> Result<Self> {
        Ok(Self::with_keys(vec![Key::random()?], None, fields))
    }

    /// A signer with the key in the file at `path`, which is created (mode 0600) if it does not exist.
    pub fn from_file(path: &Path, fields: SignedFields) -> Result<Self> {
        let keys = match key_file::read(path)? {
            Some(keys) => keys,
            None => {
                key_file::write(path, &[Key::random()?], Overwrite::No)?;
                // Another process may have been first: the content of the file counts.
                key_file::read(path)?.ok_or_else(|| {
                    Error::new(ErrorKind::Storage, format!("the signing key {} has been removed", path.display()))
                })?
            }
        };
        Ok(Self::with_keys(keys, Some(path.to_owned()), fields))
    }

    /// A signer with the key in the file at `path`; `None` if the file does not exist.
    pub fn from_existing_file(path: &Path, fields: SignedFields) -> Result<Option<Self>> {
        Ok(key_file::read(path)?.map(|keys| Self::with_keys(keys, Some(path.to_owned()), fields)))
    }

    fn with_keys(list: Vec<Key>, path: Option<PathBuf>, fields: SignedFields) -> Self {
        if let Some(path) = &path {
            key_file::warn_if_readable_by_others(path);
        }
        let keys = Keys { list, generation: 0, checked_at: Instant::now() };
        Self {
            keys: RwLock::new(keys),
            rotating: Mutex::new(()),
            committing: RwLock::new(()),
            complained: AtomicBool::new(false),
            path,
            fields,
        }
    }

    /// The signature of `entry`, whose `digest` must be set, and the key that made it.
    pub fn sign(&self, entry: &Entry) -> Result<(Signature, SigningKey)> {
        self.refresh()?;
        let digest = self.fields_digest(entry);
        let keys = self.keys.read();
        let key = SigningKey { generation: keys.generation, id: self.path.as_ref().map(|_| keys.list[0].id) };
        Ok((keys.list[0].mac(&digest).finalize().into_bytes().into(), key))
    }

    /// What the metadata backend records of the key that signs; `None` for a key in memory.
    #[must_use]
    pub fn key_id(&self) -> Option<KeyId> {
        self.path.as_ref().map(|_| self.keys.read().list[0].id)
    }

    /// Keeps a rotation of a key in memory from signing entries again before what is signed with the former key has been
    /// committed. `None` for a key in a file, which the metadata backend guards.
    pub(crate) fn commits(&self) -> Option<RwLockReadGuard<'_, ()>> {
        self.path.is_none().then(|| self.committing.read_recursive())
    }

    /// Reads the key file again: another process may have rotated the key.
    pub fn read_again(&self) -> Result<()> {
        self.reload().map(drop)
    }

    /// Checks the signature of `entry`.
    pub fn verify(&self, entry: &Entry) -> Result<SignatureState> {
        let Some(signature) = &entry.signature else { return Ok(SignatureState::Unsigned) };
        if entry.digest.is_none() {
            return Ok(SignatureState::Invalid);
        }
        // Readers must not accept a key that was rotated away. If the file cannot be read now, a process that has the keys
        // continues to read.
        match self.refresh() {
            Ok(()) => {}
            Err(error) if !self.complained.swap(true, Ordering::Relaxed) => log::warn!("{}", error.with_causes()),
            Err(_) => {}
        }
        let digest = self.fields_digest(entry);
        let valid = |keys: &[Key]| keys.iter().any(|key| key.mac(&digest).verify_slice(signature).is_ok());
        if valid(&self.keys.read().list) {
            return Ok(SignatureState::Valid);
        }
        // The key may have been rotated by another process since it was read.
        let again = self.reload()? && valid(&self.keys.read().list);
        Ok(if again { SignatureState::Valid } else { SignatureState::Invalid })
    }

    /// Begins to replace the keys.
    ///
    /// # Errors
    /// `Busy` during another rotation, in this process or in another one.
    pub fn rotate(&self) -> Result<Rotation<'_>> {
        let thread = self.rotating.try_lock().ok_or_else(key_file::being_rotated)?;
        let file = self.path.as_deref().map(Lock::take).transpose()?;
        self.reload()?;
        Ok(Rotation { signer: self, keys: Vec::new(), _file: file, _thread: thread })
    }

    /// Writes the keys to the file and uses them.
    fn write(&self, list: Vec<Key>) -> Result<()> {
        if let Some(path) = &self.path {
            key_file::write(path, &list, Overwrite::Yes)?;
        }
        let mut keys = self.keys.write();
        // A thread that read the file before this must not replace newer keys.
        keys.checked_at = Instant::now();
        keys.replace(list);
        Ok(())
    }

    fn refresh(&self) -> Result<()> {
        if self.path.is_none() {
            return Ok(());
        }
        let checked_at = self.keys.read().checked_at;
        if checked_at.elapsed() >= REFRESH {
            self.reload()?;
        }
        Ok(())
    }

    /// Reads the key file again; returns whether it has changed. If the file is gone, the keys stay.
    fn reload(&self) -> Result<bool> {
        let Some(path) = &self.path else { return Ok(false) };
        // Before reading: a change meanwhile is found the next time.
        let now = Instant::now();
        let list = key_file::read(path)?;
        let mut keys = self.keys.write();
        // Another thread may have read newer keys.
        if keys.checked_at > now {
            return Ok(true);
        }
        keys.checked_at = now;
        Ok(list.is_some_and(|list| keys.replace(list)))
    }

    fn fields_digest(&self, entry: &Entry) -> [u8; 32] {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(DOMAIN);
        out.extend_from_slice(&self.fields.0.to_le_bytes());
        let format = &entry.format;
        field(&mut out, Some(entry.key.as_bytes()));
        field(&mut out, entry.fingerprint.as_ref().map(<[u8; 16]>::as_slice));
        field(&mut out, Some(&entry.size.to_le_bytes()));
        field(&mut out, Some(&entry.file_hash.to_le_bytes()));
        field(&mut out, entry.digest.as_ref().map(<[u8; 32]>::as_slice));
        field(&mut out, Some(format.handler.as_bytes()));
        field(&mut out, Some(format.storage_format.as_bytes()));
        field(&mut out, Some(format.compression.as_bytes()));
        field(&mut out, Some(&format.handler_meta));
        field(&mut out, format.raw_size.map(u64::to_le_bytes).as_ref().map(<[u8; 8]>::as_slice));
        let times = [Some(entry.created_at), entry.expires_at];
        for (name, time) in ["created_at", "expires_at"].into_iter().zip(times) {
            if self.fields.has(name) {
                field(&mut out, time.map(|t| t.0.to_le_bytes()).as_ref().map(<[u8; 8]>::as_slice));
            }
        }
        for (name, value) in [
            ("data_type", Some(format.data_type.as_bytes())),
            ("object_type", Some(format.object_type.as_bytes())),
            ("description", entry.description.as_deref().map(str::as_bytes)),
            ("metadata", entry.metadata.as_deref().map(str::as_bytes)),
            ("cache_key_params", entry.params.as_deref()),
        ] {
            if self.fields.has(name) {
                field(&mut out, value);
            }
        }
        if let Some(computed) = entry.computed {
            field(&mut out, Some(&computed.to_bytes()));
        }
        *blake3::hash(&out).as_bytes()
    }
}

/// The keys of a [`Signer`] during a rotation. If dropped before [`Rotation::end`], it leaves a new key that signs and old
/// ones that are still accepted.
#[must_use]
pub struct Rotation<'a> {
    signer: &'a Signer,
    /// The key that signs from now on, and those to drop at the end.
    keys: Vec<[u8; KEY_SIZE]>,
    _file: Option<Lock>,
    _thread: MutexGuard<'a, ()>,
}

impl fmt::Debug for Rotation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotation").field("signer", &self.signer).finish_non_exhaustive()
    }
}

impl Rotation<'_> {
    /// Puts a new key in front of the current ones, which still verify until [`Rotation::end`]. Returns `false` if unfinished
    /// rotations have left the maximum number of keys; the first of them then stays.
    pub fn begin(&mut self) -> Result<bool> {
        let mut list = self.signer.keys.read().list.clone();
        let is_new = list.len() < key_file::MOST;
        if is_new {
            list.insert(0, Key::random()?);
        }
        self.keys = list.iter().map(|key| key.bytes).collect();
        self.signer.write(list)?;
        // Commits that begin from now on are signed with the new key.
        drop(self.signer.committing.write());
        Ok(is_new)
    }

    /// Drops the keys that were there before.
    ///
    /// # Errors
    /// `Signature` if the file has been replaced meanwhile, and the new key is not in it.
    pub fn end(&mut self) -> Result<()> {
        let Some((new, old)) = self.keys.split_first() else { return Ok(()) };
        self.signer.reload()?;
        let mut list = self.signer.keys.read().list.clone();
        list.retain(|key| !old.contains(&key.bytes));
        if list.first().is_none_or(|first| first.bytes != *new) {
            return Err(Error::new(ErrorKind::Signature, "another program has replaced the signing key meanwhile")
                .with_hint("restore the right file, and rotate the key again"));
        }
        self.signer.write(list)
    }
}

/// Appends a field so that no two lists of fields give the same bytes: absent is all ones, present its length and bytes.
fn field(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => out.extend_from_slice(&u64::MAX.to_le_bytes()),
        Some(bytes) => {
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
        }
    }
}
