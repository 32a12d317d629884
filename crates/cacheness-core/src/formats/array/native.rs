//! Arrays of the `ndarray` crate.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::{Array, ArrayBase, ArrayD, Data, Dimension, IxDyn, ShapeBuilder};

use super::cast::{self, Plain};
use super::{ArrayHeader, ArrayReader, ArraySlicer, ArrayView, Order, bad, encode_data};
use crate::config::CompressionConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::payload::{Encoded, Stored};

/// An item of an array: the primitive numbers of 8 to 64 bits and `bool`. Sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an item of an array in a cache",
    note = "items are `bool`, integers of 8 to 64 bits, `f32` and `f64`; other sequences are plain data: `Vec<{Self}>`"
)]
pub trait Element: Plain + Sized {
    /// NumPy's kind and size (`f8`).
    #[doc(hidden)]
    const CODE: &'static str;

    /// Reads `count` items from the bytes that `fill` gives, in the byte order of the machine if `native`.
    #[doc(hidden)]
    fn read(fill: impl FnOnce(&mut [u8]) -> Result<()>, count: usize, native: bool) -> Result<Vec<Self>>;
}

macro_rules! numbers {
    ($($number:ty, $code:literal;)*) => {$(
        impl Element for $number {
            const CODE: &'static str = $code;

            fn read(fill: impl FnOnce(&mut [u8]) -> Result<()>, count: usize, native: bool) -> Result<Vec<Self>> {
                let mut items = vec![<$number>::default(); count];
                fill(cast::as_bytes_mut(&mut items))?;
                if !native {
                    for item in &mut items {
                        let mut bytes = item.to_ne_bytes();
                        bytes.reverse();
                        *item = <$number>::from_ne_bytes(bytes);
                    }
                }
                Ok(items)
            }
        }
    )*};
}

numbers! {
    u8, "u1"; u16, "u2"; u32, "u4"; u64, "u8";
    i8, "i1"; i16, "i2"; i32, "i4"; i64, "i8";
    f32, "f4"; f64, "f8";
}

impl Element for bool {
    const CODE: &'static str = "b1";

    fn read(fill: impl FnOnce(&mut [u8]) -> Result<()>, count: usize, _native: bool) -> Result<Vec<Self>> {
        let mut bytes = vec![0u8; count];
        fill(&mut bytes)?;
        Ok(bytes.into_iter().map(|byte| byte != 0).collect())
    }
}

const NATIVE: char = if cfg!(target_endian = "little") { '<' } else { '>' };

fn dtype_of<A: Element>() -> String {
    let order = if size_of::<A>() == 1 { '|' } else { NATIVE };
    format!("{order}{}", A::CODE)
}

/// Encodes an array. Items in C or Fortran order are borrowed, all others are copied into C order.
///
/// The caller fills in `object_type`.
pub fn encode_ndarray<'a, A, S, D>(array: &'a ArrayBase<S, D>, config: &CompressionConfig) -> Result<Encoded<'a>>
where
    A: Element,
    S: Data<Elem = A>,
    D: Dimension,
{
    let dtype = dtype_of::<A>();
    let fortran = || array.view().reversed_axes().to_slice();
    let (order, data) = if let Some(items) = array.as_slice() {
        (Order::C, Cow::Borrowed(cast::as_bytes(items)))
    } else if let Some(items) = fortran() {
        (Order::F, Cow::Borrowed(cast::as_bytes(items)))
    } else {
        let copy = array.as_standard_layout();
        let items = copy.as_slice().expect("the standard layout is one slice");
        (Order::C, Cow::Owned(cast::as_bytes(items).to_vec()))
    };
    let view = ArrayView { dtype: &dtype, itemsize: size_of::<A>(), shape: array.shape(), order, data: &[] };
    encode_data(view, data, config)
}

/// Decodes a stored array whose items are `A` (in either byte order) and whose dimensions fit `D`.
///
/// Fails with `Unsupported` where they are something else.
pub fn decode_ndarray<A, D>(reader: ArrayReader) -> Result<Array<A, D>>
where
    A: Element,
    D: Dimension,
{
    let header = reader.header().clone();
    expect::<A, D>(reader.stored.key(), &header).map_err(|error| reader.stored.damage_or(error))?;
    decode_items(&header, |bytes| reader.read_into(bytes))
}

/// Decodes the part of a stored array that lies in `ranges`, one for each dimension. See [`ArraySlicer::open`] for
/// `verify`, and [`decode_ndarray`].
pub fn slice_ndarray<A, D>(stored: Stored, ranges: &[Range<u64>], verify: bool) -> Result<Array<A, D>>
where
    A: Element,
    D: Dimension,
{
    let key = stored.key().to_owned();
    let slicer = ArraySlicer::open(stored, verify)?;
    let part = slicer.part(ranges)?;
    expect::<A, D>(&key, &part).map_err(|error| slicer.verify().err().unwrap_or(error))?;
    decode_items(&part, |bytes| slicer.read_into(ranges, bytes))
}

/// Fails where the array of `key` is not one of `A` and `D`.
fn expect<A: Element, D: Dimension>(key: &str, header: &ArrayHeader) -> Result<()> {
    let ArrayHeader { dtype, shape, .. } = header;
    let mismatch = |what: String| Error::new(ErrorKind::Unsupported, what).within(format_args!("entry {key}"));
    let code = dtype.trim_start_matches(['<', '>', '|', '=']);
    if code != A::CODE {
        return Err(mismatch(format!("its items are {dtype} and cannot be read as {}", std::any::type_name::<A>()))
            .with_hint(format!("read it as an array of the type that NumPy calls {code}")));
    }
    if let Some(ndim) = D::NDIM
        && ndim != shape.len()
    {
        return Err(mismatch(format!("it has {} dimensions and cannot be read as {ndim}", shape.len()))
            .with_hint("ArrayD takes any number of dimensions"));
    }
    Ok(())
}

fn decode_items<A, D>(header: &ArrayHeader, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Array<A, D>>
where
    A: Element,
    D: Dimension,
{
    let ArrayHeader { dtype, shape, order, .. } = header;
    let native = dtype.starts_with(NATIVE) || dtype.starts_with(['|', '=']) || size_of::<A>() == 1;
    let items = A::read(fill, shape.iter().product(), native)?;
    let shape = IxDyn(shape).set_f(*order == Order::F);
    let array: ArrayD<A> = Array::from_shape_vec(shape, items).map_err(|e| bad(format_args!("its shape: {e}")))?;
    array.into_dimensionality().map_err(|e| bad(format_args!("its shape: {e}")))
}
