//! Handlers: which Rust value is stored in which format.
//!
//! A [`Handler`] turns one kind of value into an [`Encoded`] payload and back, and knows one storage format. [`Storable`]
//! and [`Loadable`] are a type's choice of a handler, so that `cache.put(&value, …)` and `cache.get::<T>(…)` need none:
//!
//! | put | get | format |
//! |---|---|---|
//! | [`Plain`] types: numbers, strings, collections of them, and serde types that opt in | the same | MessagePack |
//! | `str`, `[T]` | `String`, `Vec<T>` | MessagePack |
//! | `Vec<u8>`, `[u8]`, `[u8; N]` | `Vec<u8>`, `[u8; N]` | MessagePack `bin`: Python's `bytes` |
//! | [`Serde<T>`]: any serde type, also of other crates or with borrowed parts | [`Serde<T>`] | MessagePack |
//! | `ndarray` arrays and views (feature `ndarray`) | `ndarray::Array<A, D>` | Blosc2 or `.npy` |
//! | `arrow::RecordBatch` (feature `arrow`) | `arrow::RecordBatch` | Parquet or Arrow IPC |
//! | `Arc`, `Rc`, `Cow` of any of these | the same | that of what is inside |
//!
//! [`AsStorable`] is what `put` asks for: one of these, or a reference to it.

#[cfg(feature = "ndarray")]
mod arrays;
mod plain;
mod pointers;
#[cfg(feature = "arrow")]
mod tables;

use crate::config::CompressionConfig;
use crate::entry::{Format, Name};
use crate::error::{Error, ErrorKind, Result};
use crate::payload::{Encoded, Stored};

pub use plain::{MAX_DECOMPRESSED, PLAIN_HANDLER, Plain, Serde, SerdeType, decode_plain, encode_plain, plain_bytes};
pub use pointers::{AsStorable, Behind, Itself};

/// Stores one kind of value in one format.
///
/// Implement it for formats of your own and pass it to `put_with_handler` and `get_with_handler`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "implement `cacheness::Handler` for it, or `put` the value without one"
)]
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

/// A type that knows how it is stored: what `put` takes, and takes references to.
///
/// Serde types are storable once they are [`Plain`]. Anything else implements this trait, and [`Loadable`] for the way back,
/// or uses a [`Handler`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored in a cache",
    note = "a type of your own: `#[derive(cacheness::Plain)]` beside serde's `Serialize` and `Deserialize`",
    note = "a type of another crate that serde can write, or one with borrowed parts: wrap the value, `cacheness::Serde(value)`",
    note = "arrays are those of `cacheness::ndarray`, of numbers or `bool`, and tables those of `cacheness::arrow`; another version \
            of these crates has other types",
    note = "anything else: a handler of your own, `Cache::put_with_handler`"
)]
pub trait Storable {
    /// Makes the value ready to be stored.
    ///
    /// # Errors
    /// `Serialization` if the value has no form in its format; `Compression`.
    fn encode(&self, config: &CompressionConfig) -> Result<Encoded<'_>>;
}

/// A type that can be read back: what `get` returns.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a cache",
    note = "text is read as `String`, a slice as `Vec<_>`, an array as `cacheness::ndarray::Array<_, _>`, a table as \
            `cacheness::arrow::array::RecordBatch`",
    note = "a type of your own: `#[derive(cacheness::Plain)]` beside serde's `Serialize` and `Deserialize`",
    note = "a type of another crate that serde can read: `cacheness::Serde<{Self}>`",
    note = "arrays are those of `cacheness::ndarray`, of numbers or `bool`, and tables those of `cacheness::arrow`; another version \
            of these crates has other types",
    note = "anything else: a handler of your own, `Cache::get_with_handler`"
)]
pub trait Loadable: Sized {
    /// Reads a value back.
    ///
    /// # Errors
    /// `Unsupported` if the payload is of another kind (an array where a table is asked for, a pickle); `Serialization`
    /// if it does not fit the type.
    fn decode(stored: Stored) -> Result<Self>;
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
