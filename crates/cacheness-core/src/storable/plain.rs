//! Plain data: values of serde types, as MessagePack.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Loadable, Storable, expect_format, rust_type};
use crate::config::{Codec, CompressionConfig};
use crate::entry::{Format, Name};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::{compress, plain};
use crate::payload::{Buffer, Encoded, Stored};

/// A serde type that is stored as MessagePack: `#[derive(cacheness::Plain)]` beside serde's derives, or `impl Plain for
/// MyType {}`, is sufficient.
///
/// Struct fields are stored by name, so that fields with `#[serde(default)]` can be added later, and Python reads the
/// value as a `dict`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored in a cache as plain data",
    note = "a type of your own: `#[derive(cacheness::Plain)]` beside serde's `Serialize` and `Deserialize`",
    note = "a type of another crate that serde knows, or one with borrowed parts: wrap the value, `cacheness::Serde(value)`"
)]
pub trait Plain: SerdeType + 'static {
    /// The value as bytes, if it is a sequence of bytes.
    #[doc(hidden)]
    fn as_bytes(&self) -> Option<&[u8]> {
        None
    }

    /// The value made of these bytes, if it is a sequence of bytes.
    #[doc(hidden)]
    fn from_bytes(_bytes: Vec<u8>) -> Option<Self> {
        None
    }

    /// Whether this type is a sequence of bytes.
    #[doc(hidden)]
    fn is_bytes() -> bool {
        false
    }
}

/// A type with both serde traits and no borrowed data, as every [`Plain`] type must be.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is `Plain` only if serde can write and read it",
    label = "serde's `Serialize` or `Deserialize` is missing, here or in a part",
    note = "`#[derive(serde::Serialize, serde::Deserialize, cacheness::Plain)]`",
    note = "if serde is not among your dependencies: `#[derive(cacheness::serde::Serialize, cacheness::serde::Deserialize, \
            cacheness::Plain)]` and `#[serde(crate = \"cacheness::serde\")]`"
)]
pub trait SerdeType: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> SerdeType for T {}

/// Any serde type, stored as MessagePack: for types of other crates, which cannot be made [`Plain`], and for data that
/// borrows, such as `Serde(&["a", "b"])`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serde<T>(pub T);

impl<T: Plain> Storable for T {
    fn encode(&self, config: &CompressionConfig) -> Result<Encoded<'_>> {
        match self.as_bytes() {
            Some(bytes) => encode_bytes(bytes, config),
            None => encode_plain(plain::to_vec(self)?, rust_type::<T>(), config),
        }
    }
}

impl<T: Plain> Loadable for T {
    fn decode(stored: Stored) -> Result<Self> {
        if !T::is_bytes() {
            return decode_plain(stored, |bytes| plain::from_slice(bytes));
        }
        decode_plain(stored, |encoded| {
            let plain::Value::Bytes(bytes) = plain::Value::decode(encoded)? else {
                return Err(Error::new(ErrorKind::Serialization, "the stored value is not bytes"));
            };
            let len = bytes.len();
            T::from_bytes(bytes).ok_or_else(|| {
                let type_name = std::any::type_name::<T>();
                Error::new(ErrorKind::Serialization, format!("{len} bytes cannot be read as {type_name}"))
            })
        })
    }
}

/// Read back as a `String`.
impl Storable for str {
    fn encode(&self, config: &CompressionConfig) -> Result<Encoded<'_>> {
        encode_plain(plain::to_vec(self)?, rust_type::<String>(), config)
    }
}

/// Read back as a `Vec<T>`.
impl<T: Plain> Storable for [T] {
    fn encode(&self, config: &CompressionConfig) -> Result<Encoded<'_>> {
        if TypeId::of::<T>() == TypeId::of::<u8>() {
            let byte = |item: &T| *(item as &dyn Any).downcast_ref::<u8>().expect("T is u8");
            return encode_bytes(&self.iter().map(byte).collect::<Vec<u8>>(), config);
        }
        encode_plain(plain::to_vec(self)?, rust_type::<Vec<T>>(), config)
    }
}

impl<T: Serialize> Storable for Serde<T> {
    fn encode(&self, config: &CompressionConfig) -> Result<Encoded<'_>> {
        encode_plain(plain::to_vec(&self.0)?, rust_type::<T>(), config)
    }
}

impl<T: DeserializeOwned> Loadable for Serde<T> {
    fn decode(stored: Stored) -> Result<Self> {
        decode_plain(stored, |bytes| plain::from_slice(bytes)).map(Serde)
    }
}

/// The name of the handler of plain data, in both languages.
pub const PLAIN_HANDLER: &str = "plain_objects";

fn encode_bytes(bytes: &[u8], config: &CompressionConfig) -> Result<Encoded<'static>> {
    let mut payload = Vec::with_capacity(bytes.len() + 5);
    plain::wire::put_bin(&mut payload, bytes)?;
    encode_plain(payload, Name::Borrowed("builtins.bytes"), config)
}

/// A MessagePack payload in its stored form: compressed if that saves space.
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

/// The limit of decompression, whatever size a payload claims: 1 TiB.
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

/// The verified MessagePack of a plain payload, in a buffer of its own.
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

macro_rules! plain {
    ($($type:ty),* $(,)?) => { $(impl Plain for $type {})* };
}

plain!((), bool, char, i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize, f32, f64, String, Box<str>);
plain!(std::time::Duration, std::time::SystemTime, std::path::PathBuf, Box<std::path::Path>);
plain!(std::net::IpAddr, std::net::Ipv4Addr, std::net::Ipv6Addr, std::net::SocketAddr);
plain!(std::num::NonZeroU8, std::num::NonZeroU16, std::num::NonZeroU32, std::num::NonZeroU64, std::num::NonZeroUsize);
plain!(std::num::NonZeroI8, std::num::NonZeroI16, std::num::NonZeroI32, std::num::NonZeroI64, std::num::NonZeroIsize);
plain!(plain::Value, serde_json::Value, serde_json::Map<String, serde_json::Value>);

impl<T: Plain> Plain for Option<T> {}
impl<T: Plain> Plain for Box<T> {}
impl<T: Plain, E: Plain> Plain for Result<T, E> {}
impl<T: Plain> Plain for std::ops::Range<T> {}
impl<T: Plain> Plain for std::ops::RangeInclusive<T> {}
impl<T: Plain> Plain for VecDeque<T> {}
impl<K: Plain + Eq + Hash, V: Plain, S: BuildHasher + Default + 'static> Plain for HashMap<K, V, S> {}
impl<K: Plain + Ord, V: Plain> Plain for BTreeMap<K, V> {}
impl<T: Plain + Eq + Hash, S: BuildHasher + Default + 'static> Plain for HashSet<T, S> {}
impl<T: Plain + Ord> Plain for BTreeSet<T> {}

/// Whether `T` is `Bytes`, and the value as that.
fn same_type<Bytes: 'static, T: 'static>(value: Bytes) -> Option<T> {
    let value: Box<dyn Any> = Box::new(value);
    value.downcast().ok().map(|value| *value)
}

/// A sequence is bytes if its items are.
macro_rules! plain_sequences {
    ($($sequence:ty, of bytes: $bytes:ty $(, [$($generics:tt)*])? $(, where $bound:ty)?;)*) => {$(
        impl<T: Plain $(, $($generics)*)?> Plain for $sequence $(where $bound: SerdeType)? {
            fn as_bytes(&self) -> Option<&[u8]> {
                (self as &dyn Any).downcast_ref::<$bytes>().map(|bytes| &bytes[..])
            }

            fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
                same_type(<$bytes>::try_from(bytes).ok()?)
            }

            fn is_bytes() -> bool {
                TypeId::of::<T>() == TypeId::of::<u8>()
            }
        }
    )*};
}

plain_sequences! {
    Vec<T>, of bytes: Vec<u8>;
    Box<[T]>, of bytes: Box<[u8]>;
    [T; N], of bytes: [u8; N], [const N: usize], where [T; N];
}

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
plain_tuples!(A B C D E F G H I);
plain_tuples!(A B C D E F G H I J);
plain_tuples!(A B C D E F G H I J K);
plain_tuples!(A B C D E F G H I J K L);
