//! Encodings of `ndarray` arrays: as NumPy arrays of the same type and content.

use ndarray::{ArrayBase, Data, Dimension};
use zerocopy::{Immutable, IntoBytes};

use crate::error::Result;
use crate::key::digest::Hasher;
use crate::key::{KeyEncoder, ToKey};

/// A type of array items that NumPy has too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an item of an array in a cache",
    note = "items are `bool`, integers of 8 to 64 bits, `f32` and `f64`; other sequences are plain data: `Vec<{Self}>`"
)]
pub trait Element: IntoBytes + Immutable + Copy {
    /// NumPy's array-protocol string.
    const DTYPE: &'static str;
}

macro_rules! elements {
    ($($element:ty: $little:literal $big:literal;)+) => {$(
        impl Element for $element {
            const DTYPE: &'static str = if cfg!(target_endian = "little") { $little } else { $big };
        }
    )+};
}

elements! {
    bool: "|b1" "|b1";
    i8: "|i1" "|i1";
    i16: "<i2" ">i2";
    i32: "<i4" ">i4";
    i64: "<i8" ">i8";
    u8: "|u1" "|u1";
    u16: "<u2" ">u2";
    u32: "<u4" ">u4";
    u64: "<u8" ">u8";
    f32: "<f4" ">f4";
    f64: "<f8" ">f8";
}

impl<A: Element, S: Data<Elem = A>, D: Dimension> ToKey for ArrayBase<S, D> {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        let mut hasher = Hasher::new();
        match self.as_slice() {
            Some(items) => hasher.update(items.as_bytes()),
            None => {
                // Logical (C) order, in pieces that the hasher can spread over the cores.
                const PIECE: usize = 64 * 1024;
                let mut piece = Vec::with_capacity(PIECE.min(self.len()));
                for item in self {
                    piece.push(*item);
                    if piece.len() == PIECE {
                        hasher.update(piece.as_slice().as_bytes());
                        piece.clear();
                    }
                }
                hasher.update(piece.as_slice().as_bytes());
            }
        }
        encoder.array(A::DTYPE, self.shape(), &hasher.finalize())
    }
}
