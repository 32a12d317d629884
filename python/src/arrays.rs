//! NumPy arrays, masked arrays and array scalars: encoding, decoding and mapping.
//!
//! Encoding has two steps: [`prepare`] looks at the object while the GIL is held and keeps it alive,
//! [`Prepared::encode`] compresses its items without the GIL. NumPy is imported only when one of its values is stored or
//! read.

mod blocks;
mod dtype;
mod index;
mod memory;
mod meta;
mod names;
mod pool;
mod prepare;
mod restore;
#[cfg(feature = "testing")]
mod testing;

pub(crate) use prepare::{Prepared, prepare};
pub(crate) use restore::{decode, decode_mmap, decode_slice};

#[cfg(feature = "testing")]
pub(crate) use testing::register as register_testing;
