//! The index of a partial read.

use std::ops::Range;

use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyInt, PySlice, PySliceMethods, PyTuple};

/// An index, split into the box to read and the index to apply to the box.
pub(super) struct Index<'py> {
    /// The items to read along each dimension.
    pub(super) ranges: Vec<Range<u64>>,
    /// The index into the box.
    pub(super) inside: Bound<'py, PyTuple>,
    /// Whether all of the box is the result, apart from dimensions that integers take away.
    pub(super) whole: bool,
    /// Whether the box itself is the result.
    pub(super) identity: bool,
}

impl<'py> Index<'py> {
    /// Parses integers, slices and at most one `...`, with NumPy's meaning and errors.
    pub(super) fn parse(index: &Bound<'py, PyAny>, shape: &[usize]) -> PyResult<Self> {
        let py = index.py();
        let parts: Vec<Bound<'py, PyAny>> = match index.cast::<PyTuple>() {
            Ok(tuple) => tuple.iter().collect(),
            Err(_) => vec![index.clone()],
        };
        let dots = parts.iter().filter(|part| part.is_instance_of::<PyEllipsis>()).count();
        let given = parts.len() - dots;
        if dots > 1 {
            return Err(PyIndexError::new_err("an index can only have a single ellipsis ('...')"));
        }
        if given > shape.len() {
            let why = format!("too many indices: the array has {} dimensions and {given} were given", shape.len());
            return Err(PyIndexError::new_err(why));
        }
        let full = PySlice::full(py).into_any();
        let missing = || std::iter::repeat_n(full.clone(), shape.len() - given);
        let mut expanded = Vec::with_capacity(shape.len());
        for part in parts {
            if part.is_instance_of::<PyEllipsis>() {
                expanded.extend(missing());
            } else {
                expanded.push(part);
            }
        }
        if dots == 0 {
            expanded.extend(missing());
        }

        let mut ranges = Vec::with_capacity(shape.len());
        let mut inside: Vec<Bound<'py, PyAny>> = Vec::with_capacity(shape.len());
        let (mut whole, mut identity) = (true, true);
        for (axis, (part, &extent)) in expanded.iter().zip(shape).enumerate() {
            let length = isize::try_from(extent).map_err(|_| PyIndexError::new_err("an extent is too large"))?;
            if let Ok(slice) = part.cast::<PySlice>() {
                let found = slice.indices(length)?;
                if found.slicelength == 0 {
                    ranges.push(0..0);
                    inside.push(full.clone());
                    continue;
                }
                let last = found.start + (found.slicelength.cast_signed() - 1) * found.step;
                let (low, high) = (found.start.min(last), found.start.max(last));
                ranges.push(low.cast_unsigned() as u64..high.cast_unsigned() as u64 + 1);
                if found.step == 1 {
                    inside.push(full.clone());
                } else {
                    whole = false;
                    let step = found.step.into_pyobject(py)?;
                    inside.push(py.get_type::<PySlice>().call1((py.None(), py.None(), step))?);
                }
                continue;
            }
            let refused = || {
                PyTypeError::new_err("give integers, slices and ... only; read the array with get() for other indices")
            };
            if part.is_instance_of::<PyBool>() {
                return Err(refused());
            }
            let number = part.call_method0("__index__").map_err(|_| refused())?;
            let outside = || {
                let why = format!("index {part} is out of bounds for axis {axis} with size {extent}");
                PyIndexError::new_err(why)
            };
            let at = number.cast::<PyInt>()?.extract::<isize>().map_err(|_| outside())?;
            let at = if at < 0 { at + length } else { at };
            if at < 0 || at >= length {
                return Err(outside());
            }
            let at = at.cast_unsigned() as u64;
            ranges.push(at..at + 1);
            identity = false;
            inside.push(0u8.into_pyobject(py)?.into_any());
        }
        // With an ellipsis NumPy returns an array of no dimensions instead of a scalar.
        if dots == 1 {
            inside.push(py.Ellipsis().into_bound(py));
        }
        Ok(Self { ranges, inside: PyTuple::new(py, inside)?, whole, identity: identity && whole && !shape.is_empty() })
    }
}
