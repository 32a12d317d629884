//! Handlers: which Rust value is stored in which format.
//!
//! A [`Handler`] turns one kind of value into an [`Encoded`] payload and back, and knows one storage format. [`Storable`]
//! is a type's choice of a handler, so that `cache.put(&value, …)` and `cache.get::<T>(…)` need none:
//!
//! | type | format |
//! |---|---|
//! | [`Plain`] types: numbers, strings, collections of them, and serde types that opt in | MessagePack |
//! | `Vec<u8>` | MessagePack `bin`: Python's `bytes` |
//! | [`Serde<T>`]: any serde type, also of other crates | MessagePack |
//! | `ndarray::Array<A, D>` (feature `ndarray`) | Blosc2 or `.npy` |
//! | `arrow::RecordBatch` (feature `arrow`) | Parquet or Arrow IPC |

#[cfg(feature = "ndarray")]
mod arrays;
#[cfg(feature = "arrow")]
mod tables;

use std::any::TypeId;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hash};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::{Codec, CompressionConfig};
use crate::entry::{Format, Name};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::{compress, plain};
use crate::payload::{Buffer, Encoded, Stored};

/// Stores one kind of value in one format.
///
/// Implement it for formats of your own and pass it to `put_with_handler` and `get_with_handler`.
pub trait Handler {
    /// What it stores.
    type Value;

    /// The handler's name; it is written into every entry and never changes.
    fn name(&self) -> &'static str;

    /// Makes `value` ready to be stored. [`Handler::format`] gives the format of most handlers.
    fn encode<'a>(&self, value: &'a Self::Value, config: &CompressionConfig) -> Result<Encoded<'a>>;

    /// Reads a value back. Whatever `stored` hands out has been verified.
    fn decode(&self, stored: Stored) -> Result<Self::Value>;

    /// A format of this handler's: `storage_format` names the file format, `data_type` the kind of value.
    fn format(&self, storage_format: &'static str, data_type: &'static str) -> Format {
        Format {
            handler: Name::Borrowed(self.name()),
            data_type: Name::Borrowed(data_type),
            storage_format: Name::Borrowed(storage_format),
            compression: Name::Borrowed("none"),
            object_type: rust_type::<Self::Value>(),
            handler_meta: Vec::new(),
            raw_size: None,
        }
    }
}

/// The name of `T` as entries record it: `rust:` and the type's path.
#[must_use]
pub fn rust_type<T: ?Sized>() -> Name {
    Name::Owned(format!("rust:{}", std::any::type_name::<T>()))
}

/// A type that knows how it is stored.
///
/// Serde types opt in with `impl cacheness::Plain for MyType {}`; anything else implements this trait, or uses a
/// [`Handler`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored in a cache",
    note = "for a serde type of your own write `impl cacheness::Plain for {Self} {{}}`, for one of another crate wrap it \
            in `cacheness::Serde`"
)]
pub trait Storable: Sized {
    /// Makes the value ready to be stored.
    fn encode(&self, config: &CompressionConfig) -> Result<Encoded<'_>>;

    /// Reads a value back.
    ///
    /// # Errors
    /// `Unsupported` if the payload is of another kind (an array where a table is asked for, a pickle); `Serialization`
    /// if it does not fit the type.
    fn decode(stored: Stored) -> Result<Self>;
}

/// A serde type that is stored as MessagePack: `impl Plain for MyType {}` is all it takes.
///
/// Struct fields are stored by name, so that fields with `#[serde(default)]` can be added later, and Python reads the
/// value as a `dict`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored in a cache",
    note = "for a serde type of your own write `impl cacheness::Plain for {Self} {{}}`, for one of another crate wrap it \
            in `cacheness::Serde`"
)]
pub trait Plain: Serialize + DeserializeOwned + 'static {}

/// Any serde type, stored as MessagePack: for types of other crates, which cannot be made [`Plain`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serde<T>(pub T);

impl<T: Plain> Storable for T {
    fn encode(&self, config: &CompressionConfig) -> Result<Encoded<'_>> {
        if let Some(bytes) = (self as &dyn std::any::Any).downcast_ref::<Vec<u8>>() {
            let mut payload = Vec::with_capacity(bytes.len() + 5);
            plain::wire::put_bin(&mut payload, bytes)?;
            return encode_plain(payload, Name::Borrowed("builtins.bytes"), config);
        }
        encode_plain(plain::to_vec(self)?, rust_type::<T>(), config)
    }

    fn decode(stored: Stored) -> Result<Self> {
        if TypeId::of::<T>() == TypeId::of::<Vec<u8>>() {
            let plain::Value::Bytes(bytes) = decode_plain(stored, plain::Value::decode)? else {
                return Err(Error::new(ErrorKind::Serialization, "the stored value is not bytes"));
            };
            let boxed: Box<dyn std::any::Any> = Box::new(bytes);
            return Ok(*boxed.downcast::<T>().expect("T is Vec<u8>"));
        }
        decode_plain(stored, |bytes| plain::from_slice(bytes))
    }
}

impl<T: Serialize + DeserializeOwned> Storable for Serde<T> {
    fn encode(&self, config: &CompressionConfig) -> Result<Encoded<'_>> {
        encode_plain(plain::to_vec(&self.0)?, rust_type::<T>(), config)
    }

    fn decode(stored: Stored) -> Result<Self> {
        decode_plain(stored, |bytes| plain::from_slice(bytes)).map(Serde)
    }
}

/// The name of the handler of plain data, in both languages.
pub const PLAIN_HANDLER: &str = "plain_objects";

/// A MessagePack payload as it is stored: compressed where that pays.
pub fn encode_plain(payload: Vec<u8>, object_type: Name, config: &CompressionConfig) -> Result<Encoded<'static>> {
    let size = payload.len() as u64;
    let (codec, payload) = compress::compress(Cow::Owned(payload), config)?;
    Ok(Encoded {
        format: Format {
            handler: Name::Borrowed(PLAIN_HANDLER),
            data_type: Name::Borrowed("plain"),
            storage_format: Name::Borrowed("msgpack"),
            compression: Name::Borrowed(codec.name()),
            object_type,
            handler_meta: Vec::new(),
            raw_size: (codec != Codec::None).then_some(size),
        },
        extension: match codec {
            Codec::None => Cow::Borrowed("msgpack"),
            codec => Cow::Owned(format!("msgpack{}", codec.extension())),
        },
        payload,
    })
}

/// More than this is not decompressed, whatever a payload claims: 1 TiB.
pub const MAX_DECOMPRESSED: u64 = 1 << 40;

/// The verified MessagePack of a plain payload, passed to `decode`.
pub fn decode_plain<T>(stored: Stored, decode: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
    expect_format(&stored, &["msgpack"])?;
    if stored.format().compression == "none"
        && let Some(bytes) = stored.inline_bytes()?
    {
        return decode(bytes).map_err(|error| error.within(format_args!("entry {}", stored.key())));
    }
    let key = stored.key().to_owned();
    decode(&plain_bytes(stored)?).map_err(|error| error.within(format_args!("entry {key}")))
}

/// The verified MessagePack of a plain payload in memory of its own.
pub fn plain_bytes(stored: Stored) -> Result<Buffer> {
    expect_format(&stored, &["msgpack"])?;
    let codec = Codec::from_name(&stored.format().compression)?;
    let key = stored.key().to_owned();
    let bytes = stored.into_bytes()?;
    if codec == Codec::None {
        return Ok(bytes);
    }
    compress::decompress(codec, &bytes, MAX_DECOMPRESSED).map_err(|error| error.within(format_args!("entry {key}")))
}

/// Refuses a payload of another storage format, saying what it is.
pub fn expect_format(stored: &Stored, wanted: &[&str]) -> Result<()> {
    let Format { storage_format, object_type, .. } = stored.format();
    if wanted.contains(&&**storage_format) {
        return Ok(());
    }
    let error = Error::new(
        ErrorKind::Unsupported,
        format!("entry {} is a {object_type} stored as {storage_format}, not as {}", stored.key(), wanted.join(" or ")),
    );
    Err(match &**storage_format {
        "pickle" | "dill" => {
            error.with_hint("a pickle can only be read from Python; store plain data, an array or a table")
        }
        "b2nd" | "npy" => error.with_hint("read it as an ndarray::Array"),
        "parquet" | "arrow" => error.with_hint("read it as an arrow RecordBatch"),
        "msgpack" => error.with_hint("read it as a serde type"),
        _ => error.with_hint("read it with the handler that wrote it"),
    })
}

macro_rules! plain {
    ($($type:ty),* $(,)?) => { $(impl Plain for $type {})* };
}

plain!((), bool, char, i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize, f32, f64, String);
plain!(std::time::Duration, std::path::PathBuf, plain::Value);

impl<T: Plain> Plain for Vec<T> {}
impl<T: Plain> Plain for Option<T> {}
impl<T: Plain> Plain for Box<T> {}
impl<T: Plain, E: Plain> Plain for Result<T, E> {}
impl<K: Plain + Eq + Hash, V: Plain, S: BuildHasher + Default + 'static> Plain for HashMap<K, V, S> {}
impl<K: Plain + Ord, V: Plain> Plain for BTreeMap<K, V> {}
impl<T: Plain + Eq + Hash, S: BuildHasher + Default + 'static> Plain for HashSet<T, S> {}
impl<T: Plain + Ord> Plain for BTreeSet<T> {}

macro_rules! plain_tuples {
    ($($name:ident)+) => { impl<$($name: Plain),+> Plain for ($($name,)+) {} };
}

plain_tuples!(A);
plain_tuples!(A B);
plain_tuples!(A B C);
plain_tuples!(A B C D);
plain_tuples!(A B C D E);
plain_tuples!(A B C D E F);
plain_tuples!(A B C D E F G);
plain_tuples!(A B C D E F G H);
