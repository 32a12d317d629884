//! Decoding of arrays: into memory that the caller owns, mapped, or in part.

use std::ops::Range;

use cacheness_core::formats::array::{
    ArrayHeader, ArraySlicer, MapMode, Order, header_of_part, map_npy, open, read_part,
};
use cacheness_core::payload::Stored;
use cacheness_core::{Error, ErrorKind, Result};
use numpy::{PyArrayDescr, PyUntypedArray};
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::dtype;
use super::index::Index;
use super::memory::{MappedBuffer, fresh_bytes};
use super::meta::{Masked, Meta};
use super::names::Numpy;
use super::pool;
use crate::errors::{IntoPyResult, to_py};
use crate::numpy_api;

/// A new array for `header`, with uninitialised items.
fn fresh<'py>(
    numpy: &Numpy,
    py: Python<'py>,
    header: &ArrayHeader,
    meta: &Meta,
) -> PyResult<Bound<'py, PyUntypedArray>> {
    let dtype = dtype::restore(numpy, py, header, meta)?;
    let shape = PyTuple::new(py, &header.shape)?;
    let empty = || numpy.empty.bind(py).call1((shape, dtype, order_name(header.order)));
    if header.nbytes() >= pool::FROM {
        return Ok(pool::with(py, empty)?.cast_into()?);
    }
    Ok(empty()?.cast_into()?)
}

fn order_name(order: Order) -> &'static str {
    match order {
        Order::C => "C",
        Order::F => "F",
    }
}

/// Replaces NumPy's error about an unverified header by that of the payload, if the payload is damaged.
fn damage_or(verify: impl FnOnce() -> Result<()>) -> impl FnOnce(PyErr) -> PyErr {
    |error| verify().into_py_result().err().unwrap_or(error)
}

/// Fills a new array without the GIL.
fn filled<'py>(
    mut array: Bound<'py, PyUntypedArray>,
    fill: impl FnOnce(&mut [u8]) -> Result<()> + Send,
) -> PyResult<Bound<'py, PyAny>> {
    let py = array.py();
    let bytes = fresh_bytes(&mut array);
    py.detach(|| fill(bytes)).into_py_result()?;
    Ok(array.into_any())
}

/// NumPy, or the error that says what to install.
fn needed(py: Python<'_>, stored: &Stored) -> PyResult<&'static Numpy> {
    Numpy::import(py).map_err(|cause| {
        if !cause.is_instance_of::<PyImportError>(py) {
            return cause;
        }
        let what =
            format!("entry {}: NumPy arrays need numpy, which cannot be imported: {}", stored.key(), cause.value(py));
        let error = to_py(Error::new(ErrorKind::Unsupported, what).with_hint(numpy_api::HINT));
        error.set_cause(py, Some(cause));
        error
    })
}

/// Decodes a stored array, masked array or array scalar into its own writable memory.
pub(crate) fn decode<'py>(py: Python<'py>, stored: Stored) -> PyResult<Bound<'py, PyAny>> {
    let numpy = needed(py, &stored)?;
    let meta = Meta::parse(&stored.format().handler_meta).into_py_result()?;
    if let Some(masked) = &meta.masked {
        return decode_masked(numpy, py, stored, masked, &meta);
    }
    // An array in its entry waits for nothing: detaching would cost as much as reading it.
    let is_inline = stored.entry().location.is_inline();
    let reader = if is_inline { open(stored) } else { py.detach(|| open(stored)) }.into_py_result()?;
    let array = fresh(numpy, py, reader.header(), &meta).map_err(damage_or(|| py.detach(|| reader.verify())))?;
    let array = filled(array, |bytes| reader.read_into(bytes))?;
    if meta.scalar { array.get_item(()) } else { Ok(array) }
}

fn decode_masked<'py>(
    numpy: &Numpy,
    py: Python<'py>,
    stored: Stored,
    masked: &Masked,
    meta: &Meta,
) -> PyResult<Bound<'py, PyAny>> {
    let place = format!("entry {}: cannot decode its masked array", stored.key());
    let payload = py.detach(|| stored.into_bytes()).into_py_result()?;
    let mut rest: &[u8] = &payload;
    let mut parts: [&[u8]; 3] = [&[]; 3];
    for (part, &size) in parts.iter_mut().zip(&masked.parts) {
        let split = usize::try_from(size).ok().and_then(|size| rest.split_at_checked(size));
        let why = || Error::new(ErrorKind::Serialization, "its parts are longer than its payload").within(&place);
        (*part, rest) = split.ok_or_else(why).into_py_result()?;
    }
    let plain = Meta::default();
    let read = |part: &[u8], meta: &Meta| -> PyResult<Option<Bound<'py, PyAny>>> {
        if part.is_empty() {
            return Ok(None);
        }
        let header = header_of_part(part).map_err(|error| error.within(&place)).into_py_result()?;
        let array = fresh(numpy, py, &header, meta)?;
        filled(array, |bytes| read_part(part, bytes).map_err(|error| error.within(&place))).map(Some)
    };
    let [data, mask, fill] = parts;
    let options = PyDict::new(py);
    options.set_item("mask", read(mask, &plain)?.unwrap_or_else(|| numpy.nomask.bind(py).clone()))?;
    options.set_item("hard_mask", masked.hard)?;
    options.set_item("copy", false)?;
    let array = numpy.masked_array.bind(py).call((read(data, meta)?,), Some(&options))?;
    if let Some(fill) = read(fill, meta)? {
        array.setattr("fill_value", fill.get_item(())?)?;
    }
    Ok(array)
}

/// Maps a stored array into memory: `mode` is `"r"` (the array cannot be written to) or `"c"` (writes stay private).
///
/// A payload that cannot be mapped, because it is compressed, inside the entry or not a local file, is decoded as by
/// [`decode`], and is also read-only with `"r"`.
pub(crate) fn decode_mmap<'py>(py: Python<'py>, stored: Stored, mode: &str) -> PyResult<Bound<'py, PyAny>> {
    let mode = match mode {
        "r" => MapMode::Read,
        "c" => MapMode::CopyOnWrite,
        other => {
            let error = Error::new(ErrorKind::InvalidInput, format!("mmap_mode is {other:?}"));
            return Err(error.with_hint("give \"r\" for read-only, or \"c\" for private writes")).into_py_result();
        }
    };
    let numpy = needed(py, &stored)?;
    let meta = Meta::parse(&stored.format().handler_meta).into_py_result()?;
    if !meta.scalar && meta.masked.is_none() {
        let map = py.detach(|| map_npy(&stored, mode)).into_py_result()?;
        if let Some(map) = map.filter(|map| !map.data().is_empty()) {
            let header = map.header().clone();
            let dtype: Bound<'py, PyArrayDescr> = dtype::restore(numpy, py, &header, &meta)?;
            let buffer = Bound::new(py, MappedBuffer::new(map))?;
            let options = PyDict::new(py);
            options.set_item("dtype", dtype)?;
            options.set_item("buffer", buffer)?;
            options.set_item("order", order_name(header.order))?;
            let shape = PyTuple::new(py, &header.shape)?;
            return numpy.ndarray.bind(py).call((shape,), Some(&options));
        }
    }
    let value = decode(py, stored)?;
    if mode == MapMode::Read && value.is_instance(numpy.ndarray.bind(py))? {
        value.call_method1("setflags", (false,))?;
    }
    Ok(value)
}

/// Reads a part of a stored array: `index` consists of integers, slices and `...`.
///
/// Reads only the part and, without `verify`, checks only its own structure: see
/// [`ArraySlicer::open`]. Masked arrays are decoded whole first.
pub(crate) fn decode_slice<'py>(
    py: Python<'py>,
    stored: Stored,
    index: &Bound<'py, PyAny>,
    verify: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let numpy = needed(py, &stored)?;
    let meta = Meta::parse(&stored.format().handler_meta).into_py_result()?;
    if meta.masked.is_some() || meta.scalar {
        return decode(py, stored)?.get_item(index)?.call_method0("copy");
    }
    let slicer = py.detach(|| ArraySlicer::open(stored, verify)).into_py_result()?;
    let index = Index::parse(index, &slicer.header().shape)?;
    let ranges: Vec<Range<u64>> = index.ranges;
    let part = slicer.part(&ranges).into_py_result()?;
    let array = fresh(numpy, py, &part, &meta).map_err(damage_or(|| py.detach(|| slicer.verify())))?;
    let array = filled(array, |bytes| slicer.read_into(&ranges, bytes))?;
    if index.identity {
        return Ok(array);
    }
    let view = array.get_item(index.inside)?;
    if !index.whole && view.is_instance(numpy.ndarray.bind(py))? {
        // Items between the steps are dropped.
        let options = PyDict::new(py);
        options.set_item("order", "K")?;
        return numpy.array.bind(py).call((view,), Some(&options));
    }
    Ok(view)
}
