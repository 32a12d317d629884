//! The reinterpretations of memory for arrays.
#![allow(unsafe_code)]

#[cfg(feature = "blosc2")]
use std::mem::MaybeUninit;

/// The same memory for a decoder that takes possibly uninitialised memory.
///
/// Only handed to c-blosc2, which writes bytes into it and never takes their initialisation away.
#[cfg(feature = "blosc2")]
pub(super) fn as_uninit(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: `MaybeUninit<u8>` has the layout of `u8`, and the only callee stores initialised bytes into the slice.
    unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) }
}

/// Types without padding: every byte of theirs is initialised. Sealed.
#[cfg(feature = "ndarray")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an item of an array in a cache",
    note = "items are `bool`, integers of 8 to 64 bits, `f32` and `f64`; other sequences are plain data: `Vec<{Self}>`"
)]
pub trait Plain: Copy + Send + Sync + 'static {}

/// [`Plain`] types for which every pattern of bits is a value. Sealed.
#[cfg(feature = "ndarray")]
pub(super) trait AnyBits: Plain {}

#[cfg(feature = "ndarray")]
macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Plain for $number {}
        impl AnyBits for $number {}
    )*};
}

#[cfg(feature = "ndarray")]
numbers!(u8 u16 u32 u64 i8 i16 i32 i64 f32 f64);

#[cfg(feature = "ndarray")]
impl Plain for bool {}

/// The bytes of items without padding.
#[cfg(feature = "ndarray")]
pub(super) fn as_bytes<A: Plain>(items: &[A]) -> &[u8] {
    // SAFETY: `Plain` types are the primitive numbers and `bool`: every byte of theirs is initialised.
    unsafe { std::slice::from_raw_parts(items.as_ptr().cast(), size_of_val(items)) }
}

/// The bytes of items for which every bit pattern is valid.
#[cfg(feature = "ndarray")]
pub(super) fn as_bytes_mut<A: AnyBits>(items: &mut [A]) -> &mut [u8] {
    // SAFETY: as above, and `AnyBits` types, the primitive numbers, allow every pattern of bits to be stored.
    unsafe { std::slice::from_raw_parts_mut(items.as_mut_ptr().cast(), size_of_val(items)) }
}

#[cfg(all(test, feature = "ndarray"))]
mod tests {
    use std::fmt::Debug;

    use super::{AnyBits, Plain, as_bytes, as_bytes_mut};

    fn there_and_back<A: AnyBits + Default + PartialEq + Debug>(items: [A; 3], bytes: &[u8]) {
        // Exactly as large as it must be, so that a byte too many is one of somebody else.
        let items = items.to_vec().into_boxed_slice();
        assert_eq!(as_bytes(&items), bytes);
        let mut copy = vec![A::default(); 3].into_boxed_slice();
        as_bytes_mut(&mut copy).copy_from_slice(bytes);
        assert_eq!(copy, items);
        as_bytes_mut(&mut copy[1..2]).fill(0);
        assert_eq!(*copy, [items[0], A::default(), items[2]]);
        nothing::<A>();
        assert!(as_bytes_mut::<A>(&mut []).is_empty());
    }

    fn nothing<A: Plain>() {
        assert!(as_bytes::<A>(&[]).is_empty());
        assert!(as_bytes(Vec::<A>::new().as_slice()).is_empty());
    }

    macro_rules! numbers {
        ($($number:ident)*) => {$(
            let items = [$number::MIN, $number::MAX, 1 as $number];
            there_and_back(items, &items.map($number::to_ne_bytes).concat());
        )*};
    }

    #[test]
    fn numbers_are_their_bytes() {
        numbers! { u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 }
    }

    #[test]
    fn every_pattern_is_a_number() {
        let mut items = [0f64; 4];
        for byte in 0..=255 {
            as_bytes_mut(&mut items).fill(byte);
            assert!(as_bytes(&items).iter().all(|&b| b == byte));
            assert_eq!(items[3].to_bits(), u64::from_ne_bytes([byte; 8]));
        }
    }

    #[test]
    fn truth_values_are_bytes() {
        assert_eq!(as_bytes(&[true, false, true]), [1, 0, 1]);
        nothing::<bool>();
    }

    #[cfg(feature = "blosc2")]
    #[test]
    fn room_for_a_decoder_is_the_same_memory() {
        let mut bytes = vec![1u8; 5].into_boxed_slice();
        for (byte, place) in (10..).zip(super::as_uninit(&mut bytes[1..4])) {
            place.write(byte);
        }
        assert_eq!(*bytes, [1, 10, 11, 12, 1]);
        assert!(super::as_uninit(&mut []).is_empty());
    }
}
