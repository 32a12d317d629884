//! One row of metadata: what the store knows of a value without opening it.

use std::borrow::Cow;

use crate::clock::Timestamp;
use crate::key::{Caption, Fingerprint};

/// A short name that is nearly always one of a few known ones, so that reading it allocates nothing.
pub type Name = Cow<'static, str>;

/// How a payload is to be read: which handler wrote it, in which format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// The handler that wrote the payload (`numpy_arrays`, `plain_objects`, …).
    pub handler: Name,
    /// What kind of value it is, for people and queries (`array`, `dataframe`, `series`, `table`, `plain`, `object`, …).
    pub data_type: Name,
    /// The storage format (`msgpack`, `b2nd`, `npy`, `parquet`, `arrow`, `pickle`, `dill`, `bytes`, …).
    pub storage_format: Name,
    /// The codec around or inside the payload (`none`, `lz4`, `zstd`, `gzip`, …).
    pub compression: Name,
    /// The type of the value in the language that wrote it (`builtins.dict`, `numpy.ndarray`, `rust:my_crate::Model`).
    pub object_type: Name,
    /// What the handler must know besides the payload, in its own encoding; empty for most.
    pub handler_meta: Vec<u8>,
    /// Bytes before compression, where the handler knows: of plain data and pickles as encoded, of an array's items, of
    /// a table's columns in memory. `None` also where nothing was compressed and the payload's size says it.
    pub raw_size: Option<u64>,
}

/// The handler of pickles.
pub const PICKLE_HANDLER: &str = "object_pickle";

/// The handlers that this project has, in both languages, in the order in which Python asks them.
pub const OWN_HANDLERS: &[&str] = &[
    "plain_objects",
    "numpy_arrays",
    "pandas_dataframes",
    "pandas_series",
    "polars_dataframes",
    "polars_series",
    "arrow_tables",
    PICKLE_HANDLER,
];

impl Format {
    /// The format of an uncompressed payload that says all that its handler must know.
    ///
    /// `handler` is written into every entry, so it must not change; `data_type` is the kind of value, for people.
    #[must_use]
    pub fn new(
        handler: impl Into<Name>,
        data_type: impl Into<Name>,
        storage_format: impl Into<Name>,
        object_type: impl Into<Name>,
    ) -> Self {
        Self {
            handler: handler.into(),
            data_type: data_type.into(),
            storage_format: storage_format.into(),
            compression: Name::Borrowed("none"),
            object_type: object_type.into(),
            handler_meta: Vec::new(),
            raw_size: None,
        }
    }

    /// Bytes of the value before compression, as far as they are known; `size` is that of the payload.
    #[must_use]
    pub fn original_size(&self, size: u64) -> Option<u64> {
        self.raw_size.or((self.compression == "none").then_some(size))
    }

    /// Whether decoding the payload may run code that the payload chooses: pickles. Readers go by the handler or by the
    /// storage format, so that either is enough: an entry from outside may name any two that do not belong together.
    #[must_use]
    pub fn runs_code(&self) -> bool {
        self.handler == PICKLE_HANDLER || matches!(&*self.storage_format, "pickle" | "dill")
    }

    /// Whether a handler of the user's reads the payload: what that does with bytes of somebody else's is not known here.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        !OWN_HANDLERS.contains(&&*self.handler)
    }
}

/// Where the payload of an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In the entry itself.
    Inline(Vec<u8>),
    /// In the blob backend.
    Blob(BlobRef),
}

impl Location {
    /// The blob, where the payload is one.
    #[must_use]
    pub fn blob(&self) -> Option<&BlobRef> {
        match self {
            Self::Inline(_) => None,
            Self::Blob(blob) => Some(blob),
        }
    }

    /// The locator, where the payload is a blob.
    #[must_use]
    pub fn locator(&self) -> Option<&str> {
        self.blob().map(|blob| blob.locator.as_str())
    }

    /// Whether the payload travels inside the entry.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        matches!(self, Self::Inline(_))
    }
}

/// Where a blob is, and what was known of it when it was written: a blob is opened without asking for its size first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRef {
    /// The name that the backend gave it.
    pub locator: String,
    /// Bytes.
    pub size: u64,
    /// The entity tag, where the backend has one.
    pub etag: Option<String>,
    /// The version, where the backend has versions.
    pub version: Option<String>,
}

impl BlobRef {
    /// A blob of a backend without tags and versions.
    #[must_use]
    pub fn new(locator: impl Into<String>, size: u64) -> Self {
        Self { locator: locator.into(), size, etag: None, version: None }
    }
}

/// HMAC-SHA256 over the signed fields of an entry.
pub type Signature = [u8; 32];

/// A hash of the code that computed a value. What it covers decides the language of the code.
pub type Code = [u8; 16];

/// How the code of a function in Rust begins; no code of Python's does but by a chance of 1 to 2^32.
pub const RUST_CODE: &[u8] = b"rust";

/// How the value of an entry was computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Computed {
    /// The code, where it is known.
    pub code: Option<Code>,
    /// How many microseconds it took.
    pub micros: u64,
}

impl Computed {
    /// As it is kept: the code (zeros where it is not known), and the microseconds, little-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&self.code.unwrap_or_default());
        bytes[16..].copy_from_slice(&self.micros.to_le_bytes());
        bytes
    }

    /// How many seconds it took.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn seconds(self) -> f64 {
        self.micros as f64 / 1e6
    }

    /// The reverse of [`Computed::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 24]) -> Self {
        let (mut code, mut micros) = (Code::default(), [0; 8]);
        code.copy_from_slice(&bytes[..16]);
        micros.copy_from_slice(&bytes[16..]);
        Self { code: (code != Code::default()).then_some(code), micros: u64::from_le_bytes(micros) }
    }
}

/// One entry of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// 16 hexadecimal digits made from parameters, or a name that the user gave.
    pub key: String,
    /// Fingerprint of the parameters; `None` for an entry filed under a name.
    pub fingerprint: Option<Fingerprint>,
    /// When this value was put.
    pub created_at: Timestamp,
    /// When it was last read, as far as that has been written down.
    pub accessed_at: Timestamp,
    /// When it stops being served by the cache layer; the store never interprets it.
    pub expires_at: Option<Timestamp>,
    /// How often it was read, as far as that has been written down.
    pub access_count: u64,
    /// How the payload is to be read.
    pub format: Format,
    /// Bytes of the payload as stored.
    pub size: u64,
    /// XXH3-64 of the payload as stored.
    pub file_hash: u64,
    /// BLAKE3 of the payload as stored: for signed entries, and in content-addressable stores.
    pub digest: Option<[u8; 32]>,
    /// Signature of the entry, where signing is on.
    pub signature: Option<Signature>,
    /// A sentence of the user's about the value.
    pub description: Option<String>,
    /// The user's metadata: a JSON object (see `docs/formats/metadata.md`).
    pub metadata: Option<String>,
    /// The canonical encoding of the parameters, where the store keeps it.
    pub params: Option<Vec<u8>>,
    /// How the value was computed, where a function did that and says so.
    pub computed: Option<Computed>,
    /// The payload, or where it is.
    pub location: Location,
}

/// Which entry is meant, and in which state: a later put under the same key makes another one. Ordered by the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryVersion {
    /// [`Entry::key`].
    pub key: String,
    /// [`Entry::created_at`].
    pub created_at: Timestamp,
    /// [`Entry::file_hash`].
    pub file_hash: u64,
}

impl Entry {
    /// The code of the function that computed the value, where that is known.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.computed.and_then(|computed| computed.code)
    }

    /// Whether other code than this has computed the value, as far as that is known: the codes of two languages cannot be
    /// compared.
    #[must_use]
    pub fn is_of_other_code(&self, code: Code) -> bool {
        let language = |code: &Code| code.starts_with(RUST_CODE);
        self.code().is_some_and(|known| known != code && language(&known) == language(&code))
    }

    /// The entry as it is now.
    #[must_use]
    pub fn version(&self) -> EntryVersion {
        EntryVersion { key: self.key.clone(), created_at: self.created_at, file_hash: self.file_hash }
    }

    /// The function and call whose result it is, or its parameters, or its name; the key, where the store does not keep
    /// parameters, or has damaged ones.
    #[must_use]
    pub fn caption(&self) -> Caption {
        let params = self.params.as_deref().and_then(|params| Caption::of_params(params).ok());
        params.unwrap_or_else(|| Caption::of_name(&self.key))
    }
}

/// An entry without its payload, as listings return it.
///
/// The same struct with an empty inline payload; `inline` says whether there is one in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntrySummary {
    /// The entry; an inline payload is left out (`Location::Inline` of no bytes).
    pub entry: Entry,
    /// Whether the payload travels inside the entry.
    pub inline: bool,
}

impl From<Entry> for EntrySummary {
    /// Leaves an inline payload out.
    fn from(mut entry: Entry) -> Self {
        let inline = entry.location.is_inline();
        if inline {
            entry.location = Location::Inline(Vec::new());
        }
        Self { entry, inline }
    }
}

/// What is looked at of every entry when some of them are searched for: borrowed from the backend, nothing is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glimpse<'a> {
    /// [`Entry::key`].
    pub key: &'a str,
    /// [`Entry::created_at`].
    pub created_at: Timestamp,
    /// [`Entry::file_hash`].
    pub file_hash: u64,
    /// [`Entry::metadata`].
    pub metadata: Option<&'a str>,
    /// [`Entry::params`].
    pub params: Option<&'a [u8]>,
}

impl Glimpse<'_> {
    /// The entry as it is now.
    #[must_use]
    pub fn version(&self) -> EntryVersion {
        EntryVersion { key: self.key.to_owned(), created_at: self.created_at, file_hash: self.file_hash }
    }
}

impl<'a> From<&'a Entry> for Glimpse<'a> {
    fn from(entry: &'a Entry) -> Self {
        let Entry { key, created_at, file_hash, metadata, params, .. } = entry;
        Glimpse {
            key,
            created_at: *created_at,
            file_hash: *file_hash,
            metadata: metadata.as_deref(),
            params: params.as_deref(),
        }
    }
}

/// How many entries a store has and how many bytes their payloads take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Entries.
    pub entries: u64,
    /// Sum of [`Entry::size`].
    pub bytes: u64,
}
