//! Signatures of entries, and the key file.
//!
//! A signature is HMAC-SHA256, under a key of 32 random bytes, of the BLAKE3 digest of the signed fields. Hashing the
//! fields first keeps the HMAC to two blocks; both hashes are collision-resistant, so it is as strong as signing the
//! fields themselves. The payload is bound in by its own BLAKE3 digest, which is one of the fields.
//! Format: `docs/formats/store.md`.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use parking_lot::RwLock;
use sha2::Sha256;

use crate::clock::Timestamp;
use crate::config::nearest;
use crate::entry::{Entry, Signature};
use crate::error::{Error, ErrorKind, Result};

const KEY_SIZE: usize = 32;
const DOMAIN: &[u8] = b"cacheness entry signature 1\0";

/// How long another process may go on signing with a key that has been rotated away.
const REFRESH: i64 = 1_000_000;

/// Fields that a signature covers whatever the configuration says: without them it would not say which payload of which
/// key it is for, and how it is decoded.
const ALWAYS: &[&str] =
    &["cache_key", "file_hash", "file_size", "storage_format", "compression_codec", "handler", "serializer", "digest"];

/// Fields that `custom_signed_fields` may leave out.
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

/// Which of the optional fields are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedFields(u32);

impl SignedFields {
    /// All of them: the default.
    pub const ALL: Self = Self(ALL_OPTIONAL);

    /// The fields of that name, besides those that are always signed.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Result<Self> {
        let mut mask = 0;
        for name in names {
            let name = name.as_ref();
            if let Some((_, bit)) = OPTIONAL.iter().find(|(known, _)| *known == name) {
                mask |= bit;
            } else if !ALWAYS.contains(&name) {
                let known = || ALWAYS.iter().copied().chain(OPTIONAL.iter().map(|(name, _)| *name));
                let all = known().collect::<Vec<_>>().join(", ");
                let hint = match nearest(name, known()) {
                    Some(near) => format!("did you mean {near:?}? The fields are {all}"),
                    None => format!("the fields are {all}"),
                };
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("custom_signed_fields names {name:?}, which is no field of an entry"),
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

/// What a check of a signature found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureState {
    /// Signed, and nothing has changed since.
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
}

impl Key {
    fn new(bytes: [u8; KEY_SIZE]) -> Self {
        let mac = Hmac::<Sha256>::new_from_slice(&bytes).expect("HMAC takes a key of any length");
        Self { bytes, mac }
    }

    fn random() -> Result<Self> {
        let mut bytes = [0; KEY_SIZE];
        getrandom::fill(&mut bytes)
            .map_err(|e| Error::new(ErrorKind::Storage, format!("the system gives no random bytes: {e}")))?;
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
    checked_at: Timestamp,
}

/// Signs entries and checks their signatures.
pub struct Signer {
    keys: RwLock<Keys>,
    path: Option<PathBuf>,
    fields: SignedFields,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("path", &self.path).field("fields", &self.fields).finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer whose key lives and ends with it.
    pub fn in_memory(fields: SignedFields) -> Result<Self> {
        Ok(Self::with_keys(vec![Key::random()?], None, fields))
    }

    /// A signer with the key in the file at `path`, which is made (mode 0600) where there is none.
    pub fn from_file(path: &Path, fields: SignedFields) -> Result<Self> {
        let keys = match read_key_file(path)? {
            Some(keys) => keys,
            None => {
                write_key_file(path, &[Key::random()?], Overwrite::No)?;
                // Another process may have been first: what is in the file counts.
                read_key_file(path)?.ok_or_else(|| {
                    Error::new(ErrorKind::Storage, format!("the signing key {} has been removed", path.display()))
                })?
            }
        };
        Ok(Self::with_keys(keys, Some(path.to_owned()), fields))
    }

    /// A signer with the key in the file at `path`; `None` where there is no such file.
    pub fn from_existing_file(path: &Path, fields: SignedFields) -> Result<Option<Self>> {
        Ok(read_key_file(path)?.map(|keys| Self::with_keys(keys, Some(path.to_owned()), fields)))
    }

    fn with_keys(list: Vec<Key>, path: Option<PathBuf>, fields: SignedFields) -> Self {
        Self { keys: RwLock::new(Keys { list, checked_at: Timestamp(i64::MIN) }), path, fields }
    }

    /// The signature of `entry`, whose `digest` must be set.
    pub fn sign(&self, entry: &Entry, now: Timestamp) -> Result<Signature> {
        self.refresh(now)?;
        let digest = self.fields_digest(entry);
        Ok(self.keys.read().list[0].mac(&digest).finalize().into_bytes().into())
    }

    /// Checks the signature of `entry`.
    pub fn verify(&self, entry: &Entry) -> Result<SignatureState> {
        let Some(signature) = &entry.signature else { return Ok(SignatureState::Unsigned) };
        if entry.digest.is_none() {
            return Ok(SignatureState::Invalid);
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

    /// Puts a new key in front of the present ones, which go on verifying until [`Signer::forget_old_keys`].
    pub fn begin_rotation(&self) -> Result<()> {
        self.reload()?;
        let mut keys = self.keys.write();
        let mut list = vec![Key::random()?];
        list.append(&mut keys.list.clone());
        if let Some(path) = &self.path {
            write_key_file(path, &list, Overwrite::Yes)?;
        }
        keys.list = list;
        Ok(())
    }

    /// How long to wait after [`Signer::begin_rotation`] until every process signs with the new key.
    #[must_use]
    pub fn rotation_delay(&self) -> Duration {
        Duration::from_micros(if self.path.is_some() { REFRESH.unsigned_abs() + 100_000 } else { 0 })
    }

    /// Drops all keys but the one that signs.
    pub fn forget_old_keys(&self) -> Result<()> {
        let mut keys = self.keys.write();
        if let Some(path) = &self.path {
            write_key_file(path, &keys.list[..1], Overwrite::Yes)?;
        }
        keys.list.truncate(1);
        Ok(())
    }

    fn refresh(&self, now: Timestamp) -> Result<()> {
        let checked_at = self.keys.read().checked_at;
        // A clock that was set back counts as time that has passed.
        if self.path.is_some() && (now.0.saturating_sub(checked_at.0) >= REFRESH || now < checked_at) {
            self.reload()?;
            self.keys.write().checked_at = now;
        }
        Ok(())
    }

    /// Reads the key file again; whether it has changed. A file that is gone leaves the keys as they are.
    fn reload(&self) -> Result<bool> {
        let Some(path) = &self.path else { return Ok(false) };
        let Some(list) = read_key_file(path)? else { return Ok(false) };
        let mut keys = self.keys.write();
        let changed = !list.iter().map(|k| &k.bytes).eq(keys.list.iter().map(|k| &k.bytes));
        if changed {
            keys.list = list;
        }
        Ok(changed)
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
        *blake3::hash(&out).as_bytes()
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

fn read_key_file(path: &Path) -> Result<Option<Vec<Key>>> {
    let shown = path.display();
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Without NONBLOCK, opening a pipe that somebody put here would wait for ever.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(i32::try_from(flags.bits()).expect("flags of open(2)"));
    }
    let mut file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(format_args!("cannot read the signing key {shown}"), error)),
    };
    let found = file.metadata().map_err(|e| Error::io(format_args!("cannot look at the signing key {shown}"), e))?;
    if !found.is_file() {
        return Err(Error::new(ErrorKind::Storage, format!("the signing key {shown} is not a regular file"))
            .with_hint("remove what is there, and put the right file back"));
    }
    warn_if_readable_by_others(&file, path);
    let mut bytes = Vec::with_capacity(2 * KEY_SIZE);
    let limit = 64 * KEY_SIZE as u64;
    (&mut file)
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io(format_args!("cannot read the signing key {shown}"), e))?;
    if bytes.is_empty() || bytes.len() % KEY_SIZE != 0 || bytes.len() as u64 > limit {
        return Err(Error::new(
            ErrorKind::Signature,
            format!("the signing key {shown} has {} bytes, which is no multiple of {KEY_SIZE}", bytes.len()),
        )
        .with_hint(
            "put the right file back; if it is lost, remove it, and entries signed with it will count as invalid",
        ));
    }
    let keys = bytes.chunks_exact(KEY_SIZE).map(|key| Key::new(key.try_into().expect("chunks have the key's size")));
    Ok(Some(keys.collect()))
}

#[cfg(unix)]
fn warn_if_readable_by_others(file: &File, path: &Path) {
    use std::os::unix::fs::MetadataExt;
    if file.metadata().is_ok_and(|m| m.mode() & 0o077 != 0) {
        log::warn!("the signing key {} can be read by other users: chmod 600 it", path.display());
    }
}

#[cfg(not(unix))]
fn warn_if_readable_by_others(_file: &File, _path: &Path) {}

#[derive(PartialEq)]
enum Overwrite {
    Yes,
    No,
}

/// Writes the file in one step: it is there with all its bytes, or not at all. With [`Overwrite::No`] a file that is
/// there already stays.
fn write_key_file(path: &Path, keys: &[Key], overwrite: Overwrite) -> Result<()> {
    let failed = |e| Error::io(format_args!("cannot write the signing key {}", path.display()), e);
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".signing-key-").tempfile_in(directory).map_err(failed)?;
    for key in keys {
        file.write_all(&key.bytes).map_err(failed)?;
    }
    file.as_file().sync_all().map_err(failed)?;
    let done = if overwrite == Overwrite::Yes { file.persist(path) } else { file.persist_noclobber(path) };
    match done {
        // Whatever the store's durability is: without the key nothing that it signs is worth anything.
        Ok(_) => File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error.error)),
    }
}
