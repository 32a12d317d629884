//! One row of metadata: what the store knows about a value without reading its payload.

use std::borrow::Cow;

use crate::clock::Timestamp;
use crate::key::{Caption, Fingerprint};

/// A short name that is nearly always one of a few known ones, so that reading it allocates nothing.
pub type Name = Cow<'static, str>;

/// How to read a payload: its handler and format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// The handler that wrote the payload (`numpy_arrays`, `plain_objects`, …).
    pub handler: Name,
    /// The kind of value, for people and queries (`array`, `dataframe`, `series`, `table`, `plain`, `object`, …).
    pub data_type: Name,
    /// The storage format (`msgpack`, `b2nd`, `npy`, `parquet`, `arrow`, `pickle`, `dill`, `bytes`, …).
    pub storage_format: Name,
    /// The codec around or inside the payload (`none`, `lz4`, `zstd`, `gzip`, …).
    pub compression: Name,
    /// The type of the value in the language that wrote it (`builtins.dict`, `numpy.ndarray`, `rust:my_crate::Model`).
    pub object_type: Name,
    /// What the handler needs besides the payload, in its own encoding; mostly empty.
    pub handler_meta: Vec<u8>,
    /// The size before compression, if the handler knows it: of plain data and pickles as encoded, of an array's items,
    /// of a table's columns in memory. Also `None` if the payload is uncompressed and its own size says it.
    pub raw_size: Option<u64>,
}

/// The handler of pickles.
pub const PICKLE_HANDLER: &str = "object_pickle";

/// The built-in handlers of both languages, in the order in which Python tries them.
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
    /// The format of an uncompressed payload that contains all that its handler needs.
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

    /// The size of the value before compression, if known; `size` is that of the payload.
    #[must_use]
    pub fn original_size(&self, size: u64) -> Option<u64> {
        self.raw_size.or((self.compression == "none").then_some(size))
    }

    /// Whether decoding the payload may run code that the payload chooses: pickles. Either the handler or the storage
    /// format is enough, because readers use either one: a forged entry may combine any two.
    #[must_use]
    pub fn runs_code(&self) -> bool {
        self.handler == PICKLE_HANDLER || matches!(&*self.storage_format, "pickle" | "dill")
    }

    /// Whether a custom handler reads the payload: it may do anything with untrusted bytes.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        !OWN_HANDLERS.contains(&&*self.handler)
    }
}

/// The location of an entry's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In the entry itself.
    Inline(Vec<u8>),
    /// In the blob backend.
    Blob(BlobRef),
}

impl Location {
    /// The blob, if the payload is one.
    #[must_use]
    pub fn blob(&self) -> Option<&BlobRef> {
        match self {
            Self::Inline(_) => None,
            Self::Blob(blob) => Some(blob),
        }
    }

    /// The locator, if the payload is a blob.
    #[must_use]
    pub fn locator(&self) -> Option<&str> {
        self.blob().map(|blob| blob.locator.as_str())
    }

    /// Whether the payload is inline.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        matches!(self, Self::Inline(_))
    }
}

/// The location of a blob and its properties when it was written: opening it needs no request for its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRef {
    /// The name that the backend gave the blob.
    pub locator: String,
    /// Bytes.
    pub size: u64,
    /// The entity tag, if the backend has one.
    pub etag: Option<String>,
    /// The version, if the backend has versions.
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

/// A hash of the code that computed a value. The language of the code decides what it covers.
pub type Code = [u8; 16];

/// The prefix of the code of a Rust function; a Python code has it with a probability of 2^-32.
pub const RUST_CODE: &[u8] = b"rust";

/// How the value of an entry was computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Computed {
    /// The code, if known.
    pub code: Option<Code>,
    /// The duration of the computation in microseconds.
    pub micros: u64,
}

impl Computed {
    /// The stored form: the code (zeros if unknown), and the microseconds, little-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&self.code.unwrap_or_default());
        bytes[16..].copy_from_slice(&self.micros.to_le_bytes());
        bytes
    }

    /// The duration of the computation in seconds.
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
    /// 16 hexadecimal digits derived from parameters, or a name given by the user.
    pub key: String,
    /// Fingerprint of the parameters; `None` for a named entry.
    pub fingerprint: Option<Fingerprint>,
    /// When this value was put.
    pub created_at: Timestamp,
    /// When it was last read, according to the flushed accesses.
    pub accessed_at: Timestamp,
    /// When the cache layer stops serving it; the store never interprets it.
    pub expires_at: Option<Timestamp>,
    /// How often it was read, according to the flushed accesses.
    pub access_count: u64,
    /// The format of the payload.
    pub format: Format,
    /// Bytes of the payload as stored.
    pub size: u64,
    /// XXH3-64 of the payload as stored.
    pub file_hash: u64,
    /// BLAKE3 of the payload as stored: for signed entries, and in content-addressable stores.
    pub digest: Option<[u8; 32]>,
    /// Signature of the entry, if signing is on.
    pub signature: Option<Signature>,
    /// The user's description of the value.
    pub description: Option<String>,
    /// The user's metadata: a JSON object (see `docs/formats/metadata.md`).
    pub metadata: Option<String>,
    /// The canonical encoding of the parameters, if the store keeps it.
    pub params: Option<Vec<u8>>,
    /// How the value was computed, if a function computed and recorded it.
    pub computed: Option<Computed>,
    /// The payload or its location.
    pub location: Location,
}

/// Identifies an entry in one state: a later put under the same key has another version. Ordered by the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryVersion {
    /// [`Entry::key`].
    pub key: String,
    /// [`Entry::created_at`].
    pub created_at: Timestamp,
    /// [`Entry::file_hash`].
    pub file_hash: u64,
}

impl Entry {
    /// The code of the function that computed the value, if known.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.computed.and_then(|computed| computed.code)
    }

    /// Whether code other than this is known to have computed the value; the codes of two languages cannot be compared.
    #[must_use]
    pub fn is_of_other_code(&self, code: Code) -> bool {
        let language = |code: &Code| code.starts_with(RUST_CODE);
        self.code().is_some_and(|known| known != code && language(&known) == language(&code))
    }

    /// The current version of the entry.
    #[must_use]
    pub fn version(&self) -> EntryVersion {
        EntryVersion { key: self.key.clone(), created_at: self.created_at, file_hash: self.file_hash }
    }

    /// A caption: the function call whose result it is, its parameters, or its name; the key, if the parameters are not
    /// kept or are damaged.
    #[must_use]
    pub fn caption(&self) -> Caption {
        let params = self.params.as_deref().and_then(|params| Caption::of_params(params).ok());
        params.unwrap_or_else(|| Caption::of_name(&self.key))
    }
}

/// An entry without its payload, as listings return it.
///
/// The same struct with an empty inline payload; `inline` says whether the stored entry has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntrySummary {
    /// The entry; an inline payload is left out (`Location::Inline` of no bytes).
    pub entry: Entry,
    /// Whether the payload is inline.
    pub inline: bool,
}

impl From<Entry> for EntrySummary {
    /// Drops an inline payload.
    fn from(mut entry: Entry) -> Self {
        let inline = entry.location.is_inline();
        if inline {
            entry.location = Location::Inline(Vec::new());
        }
        Self { entry, inline }
    }
}

/// The part of an entry that a search examines: borrowed from the backend, unparsed.
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
    /// The current version of the entry.
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

/// The number of entries of a store and the bytes of their payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Entries.
    pub entries: u64,
    /// Sum of [`Entry::size`].
    pub bytes: u64,
}
