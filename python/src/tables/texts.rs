//! Texts: object arrays of NumPy to columns of strings, and columns of strings and bytes to object arrays.
//!
//! Everything here holds the GIL and runs no Python code between its first look at an array and its last.
#![allow(unsafe_code)]

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, ArrayRef, AsArray, GenericByteArray, LargeStringArray, OffsetSizeTrait, PrimitiveArray};
use arrow::datatypes::{ByteArrayType, DataType, GenericBinaryType, GenericStringType, Int32Type};
use cacheness_core::{Error, ErrorKind};
use numpy::{PyArray1, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyString};

use super::strings::Strings;
use crate::errors::to_py;

/// Rows to sample for repeated values, at each of two places.
const SAMPLE: usize = 8192;

/// The missing value among texts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    None,
    Na,
    Nan,
}

impl Missing {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Na => "NA",
            Self::Nan => "nan",
        }
    }

    fn of(object: &Bound<'_, PyAny>, na: &Bound<'_, PyAny>) -> Option<Self> {
        if object.is_none() {
            Some(Self::None)
        } else if object.is(na) {
            Some(Self::Na)
        } else {
            let number = object.cast_exact::<PyFloat>().ok()?;
            number.value().is_nan().then_some(Self::Nan)
        }
    }
}

/// The strings of an object array, and the missing value; `na` is `pandas.NA`. `None` if there is anything but
/// exact `str` and missing values of one kind, if there is no string at all, or if the items have gaps between them.
///
/// # Errors
/// `UnicodeEncodeError` for a lone surrogate.
pub(super) fn column(
    values: &Bound<'_, PyArray1<Py<PyAny>>>,
    na: &Bound<'_, PyAny>,
) -> PyResult<Option<(LargeStringArray, Option<Missing>)>> {
    let py = values.py();
    let start = values.data().cast::<Option<Py<PyAny>>>();
    if values.is_empty() || !values.is_c_contiguous() || !start.is_aligned() {
        return Ok(None);
    }
    // SAFETY: the items of a contiguous object array are aligned pointers to objects or null, as `Option<Py>` is. No code
    // writes to them: the GIL is held, and no Python code runs while the slice is in use.
    let items = unsafe { std::slice::from_raw_parts(start, values.len()) };
    let mut strings = Strings::with_capacity(items.len());
    let mut missing = None;
    for item in items {
        // An item that was never set is None.
        let found = match item.as_ref().map(|item| item.bind(py)) {
            Some(item) => match item.cast_exact::<PyString>() {
                Ok(text) => {
                    strings.push(text.to_str()?);
                    continue;
                }
                Err(_) => match Missing::of(item, na) {
                    None => return Ok(None),
                    found => found,
                },
            },
            None => Some(Missing::None),
        };
        if missing.is_some() && missing != found {
            return Ok(None);
        }
        missing = found;
        strings.push_null();
    }
    if strings.are_all_null() {
        return Ok(None);
    }
    Ok(Some((strings.finish(), missing)))
}

/// The chunks of a column of strings or bytes as one object array, `missing` where a value is null. Values of a dictionary,
/// and those of other columns where most repeat, are created once and shared, as they are immutable. `None` for a
/// column of any other type.
pub(super) fn objects<'py>(
    data_type: &DataType,
    chunks: &[ArrayRef],
    missing: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = missing.py();
    let (values, dictionary) = match data_type {
        DataType::Dictionary(key, values) if **key == DataType::Int32 => (&**values, true),
        other => (other, false),
    };
    let fill: Fill = match values {
        DataType::Utf8 => chunk::<GenericStringType<i32>>,
        DataType::LargeUtf8 => chunk::<GenericStringType<i64>>,
        DataType::Binary => chunk::<GenericBinaryType<i32>>,
        DataType::LargeBinary => chunk::<GenericBinaryType<i64>>,
        _ => return Ok(None),
    };
    let rows = chunks.iter().map(|chunk| chunk.len()).sum();
    // SAFETY: NumPy hands out the memory of an object array zeroed, and an item of zero is one that is not set.
    let array = unsafe { PyArray1::<Py<PyAny>>::new(py, [rows], false) };
    // SAFETY: the new array is contiguous and has this many items, each null; no other code has it before this returns.
    let items = unsafe { std::slice::from_raw_parts_mut(array.data().cast::<Option<Py<PyAny>>>(), rows) };
    let mut filler = Filler { rest: items.iter_mut(), missing };
    for chunk in chunks {
        fill(chunk, dictionary, &mut filler)?;
    }
    Ok(Some(array.into_any()))
}

/// Sets the items of a chunk; returns whether the chunk is a dictionary.
type Fill = fn(&ArrayRef, bool, &mut Filler<'_, '_>) -> PyResult<()>;

/// Sets the items of a new array, one after the other.
struct Filler<'a, 'py> {
    rest: std::slice::IterMut<'a, Option<Py<PyAny>>>,
    missing: &'a Bound<'py, PyAny>,
}

impl Filler<'_, '_> {
    fn set(&mut self, object: Py<PyAny>) {
        *self.rest.next().expect("there are as many items as rows") = Some(object);
    }

    fn set_missing(&mut self) {
        self.set(self.missing.clone().unbind());
    }
}

/// Values that become immutable Python objects.
trait Shared: ByteArrayType {
    fn object(py: Python<'_>, value: &Self::Native) -> PyResult<Py<PyAny>>;
}

impl<O: OffsetSizeTrait> Shared for GenericStringType<O> {
    fn object(py: Python<'_>, value: &str) -> PyResult<Py<PyAny>> {
        Ok(PyString::from_bytes(py, value.as_bytes())?.into_any().unbind())
    }
}

impl<O: OffsetSizeTrait> Shared for GenericBinaryType<O> {
    fn object(py: Python<'_>, value: &[u8]) -> PyResult<Py<PyAny>> {
        let fill = |bytes: &mut [u8]| {
            bytes.copy_from_slice(value);
            Ok(())
        };
        Ok(PyBytes::new_with(py, value.len(), fill)?.into_any().unbind())
    }
}

fn chunk<T: Shared>(chunk: &ArrayRef, dictionary: bool, filler: &mut Filler<'_, '_>) -> PyResult<()> {
    if dictionary {
        let dictionary = chunk.as_dictionary::<Int32Type>();
        return by_index(dictionary.keys(), dictionary.values().as_bytes::<T>(), filler);
    }
    let values = chunk.as_bytes::<T>();
    if repeats(values) { sharing(values, filler) } else { one_by_one(values, filler) }
}

fn by_index<T: Shared>(
    keys: &PrimitiveArray<Int32Type>,
    values: &GenericByteArray<T>,
    filler: &mut Filler<'_, '_>,
) -> PyResult<()> {
    let py = filler.missing.py();
    let mut known: Vec<Option<Py<PyAny>>> = std::iter::repeat_with(|| None).take(values.len()).collect();
    let mut object = |key: i32| -> PyResult<Py<PyAny>> {
        let key = usize::try_from(key).unwrap_or(usize::MAX);
        match known.get_mut(key) {
            Some(Some(object)) => Ok(object.clone_ref(py)),
            Some(unknown) => Ok(unknown.insert(T::object(py, values.value(key))?).clone_ref(py)),
            None => Err(to_py(Error::new(ErrorKind::Serialization, "a column has an index outside its dictionary"))),
        }
    };
    if keys.null_count() == 0 && values.null_count() == 0 {
        for &key in keys.values() {
            filler.set(object(key)?);
        }
        return Ok(());
    }
    for key in keys {
        // A value that is null is a missing one as well.
        match key.filter(|&key| !usize::try_from(key).is_ok_and(|key| key < values.len() && values.is_null(key))) {
            Some(key) => filler.set(object(key)?),
            None => filler.set_missing(),
        }
    }
    Ok(())
}

fn one_by_one<T: Shared>(values: &GenericByteArray<T>, filler: &mut Filler<'_, '_>) -> PyResult<()> {
    let py = filler.missing.py();
    for value in values {
        match value {
            Some(value) => filler.set(T::object(py, value)?),
            None => filler.set_missing(),
        }
    }
    Ok(())
}

fn sharing<T: Shared>(values: &GenericByteArray<T>, filler: &mut Filler<'_, '_>) -> PyResult<()> {
    let py = filler.missing.py();
    let mut known: HashMap<&[u8], Py<PyAny>> = HashMap::new();
    for value in values {
        let Some(value) = value else {
            filler.set_missing();
            continue;
        };
        let object = match known.entry(AsRef::<[u8]>::as_ref(value)) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => new.insert(T::object(py, value)?),
        };
        filler.set(object.clone_ref(py));
    }
    Ok(())
}

/// Whether most values in a sample from the beginning and the middle are repeated.
fn repeats<T: Shared>(values: &GenericByteArray<T>) -> bool {
    if values.len() < 4 * SAMPLE {
        return false;
    }
    [0, values.len() / 2].into_iter().all(|start| {
        let distinct: HashSet<&[u8]> =
            (start..start + SAMPLE).map(|row| AsRef::<[u8]>::as_ref(values.value(row))).collect();
        2 * distinct.len() < SAMPLE
    })
}
