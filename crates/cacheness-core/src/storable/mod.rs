//! The storage formats of Rust values.
//!
//! [`Storable`] turns a value into an [`Encoded`] payload, [`Loadable`] turns a payload back into a value:
//!
//! | put | get | format |
//! |---|---|---|
//! | [`Plain`] types: numbers, strings, collections of them, and serde types that opt in | the same | MessagePack |
//! | `str`, `[T]` | `String`, `Vec<T>` | MessagePack |
//! | `Vec<u8>`, `[u8]`, `[u8; N]` | `Vec<u8>`, `[u8; N]` | MessagePack `bin`: Python's `bytes` |
//! | [`Serde<T>`]: any serde type, also of other crates or with borrowed parts | [`Serde<T>`] | MessagePack |
//! | `ndarray` arrays and views (feature `ndarray`) | `ndarray::Array<A, D>` | Blosc2 or `.npy` |
//! | `arrow::RecordBatch` (feature `arrow`) | `arrow::RecordBatch` | Parquet or Arrow IPC |
//! | `Arc`, `Rc`, `Cow` of any of these | the same | that of the inner value |
//!
//! A type of your own in a format of your own implements both, as the guide shows (`docs/guide.md`).
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

/// The name of `T` as entries record it: `rust:` and the type's path.
#[must_use]
pub fn rust_type<T: ?Sized>() -> Name {
    Name::Owned(format!("rust:{}", std::any::type_name::<T>()))
}

/// A type that can be stored: `put` accepts it and references to it.
///
/// Serde types are storable once they are [`Plain`]. Other types implement this trait, and [`Loadable`] to be read
/// back.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored in a cache",
    note = "a type of your own: `#[derive(cacheness::Plain)]` beside serde's `Serialize` and `Deserialize`",
    note = "a type of another crate that serde can write, or one with borrowed parts: wrap the value, `cacheness::Serde(value)`",
    note = "arrays are those of `cacheness::ndarray`, of numbers or `bool`, and tables those of `cacheness::arrow`; another version \
            of these crates has other types",
    note = "a format of your own: implement `cacheness::Storable`, and `cacheness::Loadable` to read it back"
)]
pub trait Storable {
    /// Encodes the value for storage.
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
    note = "a format of your own: implement `cacheness::Loadable`, and `cacheness::Storable` to write it"
)]
pub trait Loadable: Sized {
    /// Reads a value back.
    ///
    /// # Errors
    /// `Unsupported` if the payload is of another kind (an array where a table is asked for, a pickle); `Serialization`
    /// if it does not fit the type.
    fn decode(stored: Stored) -> Result<Self>;
}

/// Refuses a payload of another storage format; the error names the format.
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
        _ => error.with_hint("read it as the type that wrote it"),
    })
}
