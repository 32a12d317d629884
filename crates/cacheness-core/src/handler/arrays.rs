//! `ndarray` arrays as values.

use ndarray::{Array, Dimension};

use crate::config::CompressionConfig;
use crate::error::Result;
use crate::formats::array::{self, Element};
use crate::handler::{Storable, expect_format, rust_type};
use crate::payload::{Encoded, Stored};

/// Stored as a Blosc2 frame or `.npy`; items and dimensions must fit when it is read.
impl<A: Element, D: Dimension + 'static> Storable for Array<A, D> {
    fn encode(&self, config: &CompressionConfig) -> Result<Encoded<'_>> {
        let mut encoded = array::encode_ndarray(self, config)?;
        encoded.format.object_type = rust_type::<Self>();
        Ok(encoded)
    }

    fn decode(stored: Stored) -> Result<Self> {
        expect_format(&stored, &["b2nd", "npy"])?;
        array::decode_ndarray(array::open(stored)?)
    }
}
