//! The memory of a NumPy array, without a copy.
#![allow(unsafe_code)]

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// The bytes of an array that is contiguous in C order and holds no Python objects; `None` for any other.
///
/// Another thread may write to the array meanwhile: the digest is then that of a mixture, as for any reader.
pub(crate) fn bytes<'a>(array: &'a Bound<'_, PyUntypedArray>) -> Option<&'a [u8]> {
    let dtype = array.dtype();
    if dtype.has_object() || !array.is_c_contiguous() {
        return None;
    }
    let len = array.shape().iter().product::<usize>() * dtype.itemsize();
    if len == 0 {
        return Some(&[]);
    }
    // SAFETY: a contiguous array owns, or keeps alive through its base, `size * itemsize` initialised bytes from its data
    // pointer on, for as long as the array is referenced, which the lifetime of the result says.
    Some(unsafe { std::slice::from_raw_parts((*array.as_array_ptr()).fields.data.cast::<u8>(), len) })
}
