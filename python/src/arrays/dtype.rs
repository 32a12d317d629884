//! Dtypes as text, and back: only dtypes that come back the same.

use cacheness_core::formats::array::{ArrayHeader, itemsize_of};
use cacheness_core::{Error, ErrorKind};
use numpy::{PyArrayDescr, PyArrayDescrMethods};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::meta::Meta;
use super::names::Numpy;
use crate::errors::{IntoPyResult, to_py};

/// A dtype in the engine's notation, and its further properties.
pub(super) struct Described {
    pub(super) text: String,
    pub(super) itemsize: usize,
    pub(super) char: Option<char>,
    pub(super) aligned: bool,
}

/// `None` for a dtype that holds Python objects, carries metadata, or would not come back as it is.
pub(super) fn describe(numpy: &Numpy, dtype: &Bound<'_, PyArrayDescr>) -> PyResult<Option<Described>> {
    let py = dtype.py();
    let itemsize = dtype.itemsize();
    if dtype.has_object() || itemsize == 0 || dtype.has_subarray() || !dtype.getattr("metadata")?.is_none() {
        return Ok(None);
    }
    let structured = dtype.has_fields();
    let text = if structured {
        // NumPy refuses to describe fields that overlap or are out of order.
        let Ok(descr) = dtype.getattr("descr") else { return Ok(None) };
        descr.repr()?
    } else {
        dtype.getattr("str")?.str()?
    };
    // Names with lone surrogates are not valid Unicode.
    let Ok(text) = text.to_str().map(str::to_owned) else { return Ok(None) };
    if itemsize_of(&text).ok() != Some(itemsize) {
        return Ok(None);
    }
    // The text of the common number types is complete.
    if !structured && matches!(dtype.num(), 0..=4 | 11 | 12 | 14 | 15 | 21..=23) {
        return Ok(Some(Described { text, itemsize, char: None, aligned: false }));
    }
    let found = |char, aligned| Some(Described { text: text.clone(), itemsize, char, aligned });
    let plain = build(numpy, py, &text, None, false)?;
    if same(numpy, dtype, &plain)? {
        return Ok(found(None, false));
    }
    if structured {
        let aligned = build(numpy, py, &text, None, true);
        return Ok(match aligned {
            Ok(aligned) if same(numpy, dtype, &aligned)? => found(None, true),
            _ => None,
        });
    }
    let char = char::from(dtype.char());
    if !matches!(dtype.kind(), b'i' | b'u' | b'f' | b'c') {
        return Ok(None);
    }
    let other = build(numpy, py, &text, Some(char), false)?;
    Ok(if same(numpy, dtype, &other)? { found(Some(char), false) } else { None })
}

/// The dtype that an array is stored with.
pub(super) fn restore<'py>(
    numpy: &Numpy,
    py: Python<'py>,
    header: &ArrayHeader,
    meta: &Meta,
) -> PyResult<Bound<'py, PyArrayDescr>> {
    // The engine has parsed the text, so that it is a type string or a list of fields without Python objects.
    itemsize_of(&header.dtype).into_py_result()?;
    let dtype = build(numpy, py, &header.dtype, meta.char, meta.aligned)?;
    if dtype.has_object() || dtype.itemsize() != header.itemsize {
        let why = format!("NumPy does not accept {} for items of {} bytes", header.dtype, header.itemsize);
        return Err(to_py(Error::new(ErrorKind::Unsupported, why)));
    }
    Ok(dtype)
}

fn build<'py>(
    numpy: &Numpy,
    py: Python<'py>,
    text: &str,
    char: Option<char>,
    aligned: bool,
) -> PyResult<Bound<'py, PyArrayDescr>> {
    if !text.starts_with('[') {
        let dtype = match char {
            None => numpy.dtype.bind(py).call1((text,))?,
            Some(char) => {
                let order = text.chars().next().filter(|order| matches!(order, '<' | '>')).unwrap_or('=');
                numpy.dtype.bind(py).call1((format!("{order}{char}"),))?
            }
        };
        return Ok(dtype.cast_into()?);
    }
    let descr = numpy.literal_eval.bind(py).call1((text,))?;
    let dtype = numpy.descr_to_dtype.bind(py).call1((descr,))?;
    if !aligned {
        return Ok(dtype.cast_into()?);
    }
    let names = dtype.getattr("names")?;
    let fields = dtype.getattr("fields")?;
    let (mut formats, mut offsets, mut titles) = (Vec::new(), Vec::new(), Vec::new());
    for name in names.try_iter()? {
        let field = fields.get_item(name?)?;
        formats.push(field.get_item(0)?);
        offsets.push(field.get_item(1)?);
        titles.push(if field.len()? > 2 { field.get_item(2)? } else { py.None().into_bound(py) });
    }
    let spec = PyDict::new(py);
    spec.set_item("names", names)?;
    spec.set_item("formats", formats)?;
    spec.set_item("offsets", offsets)?;
    spec.set_item("titles", titles)?;
    spec.set_item("itemsize", dtype.getattr("itemsize")?)?;
    let options = PyDict::new(py);
    options.set_item("align", true)?;
    Ok(numpy.dtype.bind(py).call((spec,), Some(&options))?.cast_into()?)
}

/// Whether two dtypes are equal in every visible respect; NumPy's `==` ignores some.
fn same(numpy: &Numpy, left: &Bound<'_, PyArrayDescr>, right: &Bound<'_, PyArrayDescr>) -> PyResult<bool> {
    let py = left.py();
    let alike = left.num() == right.num()
        && left.itemsize() == right.itemsize()
        && left.byteorder() == right.byteorder()
        && left.is_aligned_struct() == right.is_aligned_struct()
        && left.getattr("metadata")?.is_none()
        && left.typeobj().is(right.typeobj())
        && left.eq(right)?;
    if !alike {
        return Ok(false);
    }
    if left.has_subarray() {
        return Ok(left.shape() == right.shape() && same(numpy, &left.base(), &right.base())?);
    }
    if !left.has_fields() {
        return Ok(true);
    }
    if !left.typeobj().is(numpy.void.bind(py)) {
        return Ok(false);
    }
    let names = left.getattr("names")?.cast_into::<PyTuple>()?;
    let (lefts, rights) = (left.getattr("fields")?, right.getattr("fields")?);
    for name in names.iter() {
        let (left, right) = (lefts.get_item(&name)?, rights.get_item(&name)?);
        if left.len()? != right.len()? || !left.get_item(1)?.eq(right.get_item(1)?)? {
            return Ok(false);
        }
        if left.len()? > 2 && !left.get_item(2)?.eq(right.get_item(2)?)? {
            return Ok(false);
        }
        let (left, right) = (left.get_item(0)?.cast_into()?, right.get_item(0)?.cast_into()?);
        if !same(numpy, &left, &right)? {
            return Ok(false);
        }
    }
    Ok(true)
}
