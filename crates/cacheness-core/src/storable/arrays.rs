//! Storing `ndarray` arrays.

use ndarray::{ArcArray, Array, ArrayBase, Data, Dimension};

use crate::config::CompressionConfig;
use crate::error::Result;
use crate::formats::array::{self, Element};
use crate::payload::{Encoded, Stored};
use crate::storable::{Loadable, Storable, expect_format, rust_type};

/// Stored as a Blosc2 frame or `.npy`, views and shared arrays as well; read back as an [`Array`].
impl<A: Element, S: Data<Elem = A>, D: Dimension + 'static> Storable for ArrayBase<S, D> {
    fn encode(&self, config: &CompressionConfig) -> Result<Encoded<'_>> {
        let mut encoded = array::encode_ndarray(self, config)?;
        encoded.format.object_type = rust_type::<Array<A, D>>();
        Ok(encoded)
    }
}

/// Items and dimensions must fit.
impl<A: Element, D: Dimension + 'static> Loadable for Array<A, D> {
    fn decode(stored: Stored) -> Result<Self> {
        expect_format(&stored, &["b2nd", "npy"])?;
        array::decode_ndarray(array::open(stored)?)
    }
}

/// Items and dimensions must fit.
impl<A: Element, D: Dimension + 'static> Loadable for ArcArray<A, D> {
    fn decode(stored: Stored) -> Result<Self> {
        Array::decode(stored).map(Array::into_shared)
    }
}
