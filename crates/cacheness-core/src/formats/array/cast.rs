//! The reinterpretations of memory that arrays need, and nothing else.
#![allow(unsafe_code)]

#[cfg(feature = "blosc2")]
use std::mem::MaybeUninit;

/// The same memory for a decoder that wants it possibly uninitialised.
///
/// Only handed to c-blosc2, which writes bytes into it and never takes their initialisation away.
#[cfg(feature = "blosc2")]
pub(super) fn as_uninit(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: `MaybeUninit<u8>` has the layout of `u8`, and the only callee stores initialised bytes into the slice.
    unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) }
}

/// The bytes of items without padding.
#[cfg(feature = "ndarray")]
pub(super) fn as_bytes<A: super::native::Plain>(items: &[A]) -> &[u8] {
    // SAFETY: `Plain` types are the primitive numbers and `bool`: every byte of theirs is initialised.
    unsafe { std::slice::from_raw_parts(items.as_ptr().cast(), size_of_val(items)) }
}

/// The bytes of items for which every pattern of bits is a value.
#[cfg(feature = "ndarray")]
pub(super) fn as_bytes_mut<A: super::native::AnyBits>(items: &mut [A]) -> &mut [u8] {
    // SAFETY: as above, and `AnyBits` types, the primitive numbers, allow every pattern of bits to be stored.
    unsafe { std::slice::from_raw_parts_mut(items.as_mut_ptr().cast(), size_of_val(items)) }
}
