//! Encoding of arrays.

use std::borrow::Cow;

use cacheness_core::Result;
use cacheness_core::config::CompressionConfig;
use cacheness_core::formats::array::{ArrayView, Order, encode};
use cacheness_core::payload::{Encoded, Payload};
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::dtype::{Described, describe};
use super::memory::Items;
use super::meta::{Masked, Meta};
use super::names::Numpy;

/// One array whose items can be read without the GIL.
struct Part {
    items: Items,
    dtype: Described,
    shape: Vec<usize>,
    order: Order,
}

impl Part {
    /// `None` for a dtype that is not stored as an array. Arrays with gaps between their items are copied into C order.
    fn of(numpy: &Numpy, array: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let array = array.cast::<PyUntypedArray>()?;
        let Some(dtype) = describe(numpy, &array.dtype())? else { return Ok(None) };
        let shape = array.shape().to_vec();
        if let Some(items) = Items::of(array) {
            let order = if array.is_c_contiguous() { Order::C } else { Order::F };
            return Ok(Some(Self { items, dtype, shape, order }));
        }
        let copy = numpy.ascontiguousarray.bind(array.py()).call1((array,))?.cast_into::<PyUntypedArray>()?;
        let items = Items::of(&copy).expect("ascontiguousarray leaves no gaps");
        Ok(Some(Self { items, dtype, shape, order: Order::C }))
    }

    fn encode(&self, config: &CompressionConfig) -> Result<Encoded<'_>> {
        let view = ArrayView {
            dtype: &self.dtype.text,
            itemsize: self.dtype.itemsize,
            shape: &self.shape,
            order: self.order,
            data: self.items.bytes(),
        };
        encode(view, config)
    }
}

/// An array, a masked array or an array scalar that is ready to be encoded without the GIL.
pub(crate) struct Prepared {
    data: Part,
    /// Mask and fill value of a masked array.
    masked: Option<(Option<Part>, Option<Part>, bool)>,
    meta: Meta,
    object_type: Cow<'static, str>,
}

/// Prepares `value`; `None` if it is not stored as an array: another type, a subclass, a dtype with Python objects or one
/// that would not come back unchanged.
///
/// The GIL is held; nothing is copied unless the items have gaps between them.
pub(crate) fn prepare(value: &Bound<'_, PyAny>) -> PyResult<Option<Prepared>> {
    let py = value.py();
    let Some(numpy) = Numpy::loaded(py)? else { return Ok(None) };
    let class = value.get_type();
    if class.is(numpy.ndarray.bind(py)) {
        let Some(data) = Part::of(numpy, value)? else { return Ok(None) };
        return Ok(Some(Prepared::new(data, "numpy.ndarray")));
    }
    if class.is(numpy.masked_array.bind(py)) {
        return prepare_masked(numpy, value);
    }
    if value.is_instance(numpy.generic.bind(py))? {
        return prepare_scalar(numpy, value);
    }
    Ok(None)
}

fn prepare_scalar(numpy: &Numpy, value: &Bound<'_, PyAny>) -> PyResult<Option<Prepared>> {
    let py = value.py();
    let array = numpy.asarray.bind(py).call1((value,))?;
    // The array owns its memory, except that a structured scalar may share that of its array.
    let array = array.call_method0("copy")?;
    // Subclasses and strings that end in NUL do not come back.
    let again = array.get_item(())?;
    let is_text = matches!(array.cast::<PyUntypedArray>()?.dtype().kind(), b'S' | b'U');
    if !again.get_type().is(value.get_type()) || (is_text && again.ne(value)?) {
        return Ok(None);
    }
    let Some(data) = Part::of(numpy, &array)? else { return Ok(None) };
    let name = format!("numpy.{}", value.get_type().name()?.to_str()?);
    let mut prepared = Prepared::new(data, name);
    prepared.meta.scalar = true;
    Ok(Some(prepared))
}

fn prepare_masked(numpy: &Numpy, value: &Bound<'_, PyAny>) -> PyResult<Option<Prepared>> {
    let py = value.py();
    let attributes = value.getattr("__dict__")?.cast_into::<PyDict>()?;
    for (name, attribute) in attributes.iter() {
        let known = match name.cast::<pyo3::types::PyString>()?.to_str()? {
            "_fill_value" | "_hardmask" | "_sharedmask" | "_isfield" | "_mask" => true,
            "_baseclass" => attribute.is(numpy.ndarray.bind(py)),
            "_optinfo" | "_basedict" => !attribute.is_truthy()?,
            _ => false,
        };
        if !known {
            return Ok(None);
        }
    }
    let Some(data) = Part::of(numpy, &value.getattr("data")?)? else { return Ok(None) };
    let part = |object: Bound<'_, PyAny>| -> PyResult<Option<Option<Part>>> {
        if object.is_none() || object.is(numpy.nomask.bind(py)) {
            return Ok(Some(None));
        }
        Ok(Part::of(numpy, &numpy.asarray.bind(py).call1((object,))?)?.map(Some))
    };
    let mut fill = value.getattr("_fill_value")?;
    // The default has its own type until another value is set, and is restored automatically.
    if !fill.is_none() && !fill.getattr("dtype")?.eq(value.getattr("dtype")?)? {
        fill = py.None().into_bound(py);
    }
    let (Some(mask), Some(fill)) = (part(value.getattr("_mask")?)?, part(fill)?) else {
        return Ok(None);
    };
    let mut prepared = Prepared::new(data, "numpy.ma.MaskedArray");
    prepared.masked = Some((mask, fill, value.getattr("hardmask")?.is_truthy()?));
    Ok(Some(prepared))
}

impl Prepared {
    fn new(data: Part, object_type: impl Into<Cow<'static, str>>) -> Self {
        let meta = Meta { char: data.dtype.char, aligned: data.dtype.aligned, ..Meta::default() };
        Self { data, masked: None, meta, object_type: object_type.into() }
    }

    /// Bytes of the items, uncompressed.
    #[cfg(feature = "testing")]
    pub(crate) fn nbytes(&self) -> usize {
        self.data.items.bytes().len()
    }

    /// Encodes the value; call it without the GIL. An uncompressed payload borrows from the value.
    pub(crate) fn encode(&self, config: &CompressionConfig) -> Result<Encoded<'_>> {
        let mut encoded = self.data.encode(config)?;
        let mut meta = self.meta.clone();
        if let Some((mask, fill, hard)) = &self.masked {
            let mut parts = [encoded.payload.size().unwrap_or(0), 0, 0];
            for (part, size) in [mask, fill].into_iter().zip(&mut parts[1..]) {
                let Some(part) = part else { continue };
                let more = part.encode(config)?;
                *size = more.payload.size().unwrap_or(0);
                if let (Payload::Segments(segments), Payload::Segments(more)) = (&mut encoded.payload, more.payload) {
                    segments.extend(more);
                }
            }
            meta.masked = Some(Masked { parts, hard: *hard });
            encoded.format.storage_format = "masked".into();
        }
        encoded.format.handler_meta = meta.to_bytes();
        encoded.format.object_type = self.object_type.clone();
        Ok(encoded)
    }
}
