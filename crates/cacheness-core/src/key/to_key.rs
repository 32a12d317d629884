//! Encodings of Rust types.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::key::{Collection, KeyEncoder, Segment};

/// A value that can be a parameter.
///
/// `#[derive(cacheness::ToKey)]` implements it for a struct or enum. By hand, an implementation writes exactly one value,
/// the same bytes for equal values in every process; a type of its own goes through [`KeyEncoder::fields`],
/// [`KeyEncoder::parts`] or [`KeyEncoder::named`]:
///
/// ```
/// use cacheness_core::Result;
/// use cacheness_core::key::{KeyEncoder, ToKey};
///
/// struct Model { layers: Vec<u32>, dropout: f32 }
///
/// impl ToKey for Model {
///     fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
///         encoder.fields("my_crate::Model", &[("layers", &self.layers), ("dropout", &self.dropout)])
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a cache key",
    label = "has no stable encoding as a key",
    note = "a type of your own: `#[derive(cacheness::ToKey)]`",
    note = "a type of another crate: pass the parts that identify it as parameters of their own, or its text",
    note = "bytes as one value: `cacheness::Bytes(&bytes)`",
    note = "an argument of a `#[cached]` function that does not decide the result: `#[cached(ignore(argument))]`"
)]
pub trait ToKey {
    /// Writes the canonical encoding of this value.
    ///
    /// # Errors
    /// The value has no stable encoding, is nested too deeply, or refers to a file that cannot be read.
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()>;
}

/// Bytes as one value; a slice of `u8` without this is a list of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes<'a>(pub &'a [u8]);

impl ToKey for Bytes<'_> {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        encoder.bytes(self.0);
        Ok(())
    }
}

macro_rules! scalars {
    ($($type:ty: |$value:ident, $encoder:ident| $write:expr;)+) => {$(
        impl ToKey for $type {
            fn encode(&self, $encoder: &mut KeyEncoder) -> Result<()> {
                let $value = self;
                $write;
                Ok(())
            }
        }
    )+};
}

scalars! {
    (): |_value, encoder| encoder.none();
    bool: |value, encoder| encoder.bool(*value);
    i8: |value, encoder| encoder.int(i64::from(*value));
    i16: |value, encoder| encoder.int(i64::from(*value));
    i32: |value, encoder| encoder.int(i64::from(*value));
    i64: |value, encoder| encoder.int(*value);
    i128: |value, encoder| encoder.int128(*value);
    isize: |value, encoder| encoder.int128(*value as i128);
    u8: |value, encoder| encoder.int(i64::from(*value));
    u16: |value, encoder| encoder.int(i64::from(*value));
    u32: |value, encoder| encoder.int(i64::from(*value));
    u64: |value, encoder| encoder.int128(i128::from(*value));
    u128: |value, encoder| encoder.uint128(*value);
    usize: |value, encoder| encoder.uint128(*value as u128);
    f32: |value, encoder| encoder.float(f64::from(*value));
    f64: |value, encoder| encoder.float(*value);
    char: |value, encoder| encoder.str(value.encode_utf8(&mut [0; 4]));
    str: |value, encoder| encoder.str(value);
    String: |value, encoder| encoder.str(value);
}

#[cfg(feature = "uuid")]
impl ToKey for uuid::Uuid {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        encoder.uuid(self.as_bytes());
        Ok(())
    }
}

impl ToKey for Duration {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        // Seconds have 64 bits, so microseconds fit 84.
        let micros = self.as_micros().cast_signed();
        encoder.with_nanoseconds(self.subsec_nanos() % 1000, |encoder| encoder.duration(micros))
    }
}

impl ToKey for Path {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        encoder.path(self)
    }
}

impl ToKey for PathBuf {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        encoder.path(self)
    }
}

impl<T: ToKey> ToKey for Option<T> {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        match self {
            Some(value) => value.encode(encoder),
            None => {
                encoder.none();
                Ok(())
            }
        }
    }
}

impl<T: ToKey + ToOwned + ?Sized> ToKey for Cow<'_, T> {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        self.as_ref().encode(encoder)
    }
}

macro_rules! pointers {
    ($($pointer:ty),+) => {$(
        impl<T: ToKey + ?Sized> ToKey for $pointer {
            fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
                (**self).encode(encoder)
            }
        }
    )+};
}

pointers!(&T, &mut T, Box<T>, Rc<T>, Arc<T>);

impl<T: ToKey> ToKey for [T] {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        encoder.list(self.iter())
    }
}

impl<T: ToKey, const N: usize> ToKey for [T; N] {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        encoder.list(self.iter())
    }
}

impl<T: ToKey> ToKey for Vec<T> {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        encoder.list(self.iter())
    }
}

impl<T: ToKey> ToKey for VecDeque<T> {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        encoder.list(self.iter())
    }
}

impl<K: ToKey, V: ToKey, S> ToKey for HashMap<K, V, S> {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        encoder.mapping(self.iter())
    }
}

impl<K: ToKey, V: ToKey> ToKey for BTreeMap<K, V> {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        encoder.mapping(self.iter())
    }
}

impl<T: ToKey, S> ToKey for HashSet<T, S> {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        encoder.set(self.iter())
    }
}

impl<T: ToKey> ToKey for BTreeSet<T> {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        encoder.set(self.iter())
    }
}

macro_rules! tuples {
    ($(($($name:ident $index:tt),+);)+) => {$(
        impl<$($name: ToKey),+> ToKey for ($($name,)+) {
            fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
                let frame = encoder.begin(Collection::Tuple, [$($index),+].len())?;
                $(self.$index.encode(encoder).inspect_err(|_| encoder.locate(Segment::Index($index)))?;)+
                encoder.end(frame)
            }
        }
    )+};
}

tuples! {
    (A 0);
    (A 0, B 1);
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
    (A 0, B 1, C 2, D 3, E 4);
    (A 0, B 1, C 2, D 3, E 4, F 5);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);
}
