//! NumPy arrays and array scalars.

use cacheness_core::key::digest;
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple, PyType};

use super::array_bytes;
use super::walk::{Outcome, Walker};
use crate::numpy_api;

/// From this many bytes on, hashing lets other threads run.
const DETACH: usize = 32 * 1024;

/// The classes of NumPy, once it has been imported.
pub(crate) struct NumPy {
    pub(crate) ndarray: Py<PyType>,
    pub(crate) generic: Py<PyType>,
}

impl NumPy {
    pub(crate) fn load(py: Python<'_>) -> PyResult<Self> {
        let numpy = numpy_api::ready(py)?;
        let class = |name: &str| -> PyResult<Py<PyType>> { Ok(numpy.getattr(name)?.cast_into::<PyType>()?.unbind()) };
        Ok(Self { ndarray: class("ndarray")?, generic: class("generic")? })
    }
}

/// Whether an item's bytes are the item: not so for padded, nested and variable items.
fn is_plain(kind: u8, itemsize: usize, has_fields: bool) -> bool {
    match kind {
        b'b' | b'i' | b'u' | b'm' | b'M' | b'S' | b'U' => true,
        b'f' => itemsize <= 8,
        b'c' => itemsize <= 16,
        b'V' => !has_fields,
        _ => false,
    }
}

impl<'py> Walker<'py> {
    /// An instance of exactly `numpy.ndarray`.
    pub(super) fn array(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let array = value.cast::<PyUntypedArray>()?;
        let dtype = array.dtype();
        if !is_plain(dtype.kind(), dtype.itemsize(), dtype.has_fields()) {
            let reduced = self.reduce_padded("reduce_array", value);
            return self.reduced(value, reduced);
        }
        let text = dtype.getattr(intern!(self.py, "str"))?.cast_into::<PyString>()?;
        let digest = self.digest(array)?;
        self.encoder.array(text.to_str()?, array.shape(), &digest)?;
        Ok(())
    }

    /// What `cacheness._keys.TypedArray` holds: dtype string, shape, an array whose bytes are the items.
    pub(super) fn typed_array(&mut self, parts: &Bound<'py, PyTuple>) -> Outcome {
        let text = parts.get_item(0)?.cast_into::<PyString>()?;
        let shape: Vec<usize> = parts.get_item(1)?.extract()?;
        let items = parts.get_item(2)?;
        let digest = self.digest(items.cast::<PyUntypedArray>()?)?;
        self.encoder.array(text.to_str()?, &shape, &digest)?;
        Ok(())
    }

    /// What `cacheness._keys.Scalar` holds: dtype string and bytes.
    pub(super) fn typed_scalar(&mut self, parts: &Bound<'py, PyTuple>) -> Outcome {
        let text = parts.get_item(0)?.cast_into::<PyString>()?;
        let item = parts.get_item(1)?.cast_into::<PyBytes>()?;
        self.encoder.array_scalar(text.to_str()?, item.as_bytes());
        Ok(())
    }

    /// An instance of `numpy.generic`.
    pub(super) fn array_scalar(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let dtype = value.getattr(intern!(self.py, "dtype"))?.cast_into::<numpy::PyArrayDescr>()?;
        if !is_plain(dtype.kind(), dtype.itemsize(), dtype.has_fields()) {
            let reduced = self.reduce_padded("reduce_scalar", value);
            return self.reduced(value, reduced);
        }
        let text = dtype.getattr(intern!(self.py, "str"))?.cast_into::<PyString>()?;
        let item = value.call_method0(intern!(self.py, "tobytes"))?.cast_into::<PyBytes>()?;
        self.encoder.array_scalar(text.to_str()?, item.as_bytes());
        Ok(())
    }

    fn reduce_padded(&self, function: &str, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.py.import(intern!(self.py, "cacheness._keys_arrays"))?.call_method1(function, (value,))
    }

    /// The BLAKE3 of the items in C order; copies only where the array is laid out otherwise.
    fn digest(&self, array: &Bound<'py, PyUntypedArray>) -> PyResult<[u8; 32]> {
        let contiguous;
        let bytes = match array_bytes::bytes(array) {
            Some(bytes) => bytes,
            None => {
                let numpy = self.py.import(intern!(self.py, "numpy"))?;
                let copy = numpy.call_method1(intern!(self.py, "ascontiguousarray"), (array,))?;
                contiguous = copy.cast_into::<PyUntypedArray>()?;
                array_bytes::bytes(&contiguous).ok_or_else(|| {
                    pyo3::exceptions::PySystemError::new_err("numpy.ascontiguousarray returned a strided array")
                })?
            }
        };
        if bytes.len() < DETACH {
            return Ok(digest::blake3(bytes));
        }
        Ok(self.py.detach(|| digest::blake3(bytes)))
    }
}
