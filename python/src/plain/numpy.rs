//! NumPy scalars and arrays in plain values.

use cacheness_core::formats::plain::dtype::{self, Dtype};
use cacheness_core::formats::plain::ext::{self, NumpyArray, NumpyScalar};
use pyo3::buffer::PyBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString, PyTuple};

use super::dump::{Put, Stop};
use super::ffi::exact;
use super::types::{Module, Numpy, is_exact};

/// Numbers of the types that NumPy itself has, and no other package.
const BUILTIN: i32 = 24;

/// The number of Python objects.
const OBJECT: i32 = 17;

/// Arrays from this size on are copied once instead of twice.
const LARGE: usize = 64 << 10;

/// The text of a dtype that comes back equal in every respect; any other dtype is not plain.
fn dtype_text(dtype: &Bound<'_, PyAny>, types: &Numpy) -> Result<String, Stop> {
    let py = dtype.py();
    check_dtype(dtype, types)?;
    let text = dtype.getattr(intern!(py, "str"))?;
    let text = exact::<PyString>(&text).ok_or(Stop::NotPlain)?.to_str()?.to_owned();
    if dtype.getattr(intern!(py, "names"))?.is_none() {
        return match dtype::parse(&text) {
            Some(Dtype::Simple { order, kind: b'i' | b'u', .. }) => integer_text(dtype, text, order, types),
            Some(Dtype::Simple { .. }) => Ok(text),
            _ => Err(Stop::NotPlain),
        };
    }
    // Fields that overlap or are not in order have no such description.
    let Ok(descr) = dtype.getattr(intern!(py, "descr")) else { return Err(Stop::NotPlain) };
    let text = descr.repr()?.to_str()?.to_owned();
    let back = types.descr_to_dtype.bind(py).call1((descr,))?;
    if dtype::parse(&text) == Some(Dtype::Structured) && back.eq(dtype)? { Ok(text) } else { Err(Stop::NotPlain) }
}

/// The text of a dtype that is a value by itself.
pub(super) fn dtype_name(dtype: &Bound<'_, PyAny>, types: &Numpy) -> Result<String, Stop> {
    let py = dtype.py();
    let number: i32 = dtype.getattr(intern!(py, "num"))?.extract()?;
    let is_object = number == OBJECT && dtype.getattr(intern!(py, "metadata"))?.is_none();
    if is_object { Ok("numpy:|O".into()) } else { Ok(format!("numpy:{}", dtype_text(dtype, types)?)) }
}

/// A dtype from its text.
pub(super) fn read_dtype_name<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    match text.split_once(':') {
        Some(("numpy", name)) => read_dtype(py, Numpy::import(py)?, name),
        Some((_, name)) => py.import(intern!(py, "cacheness._dtypes"))?.call_method1(intern!(py, "from_text"), (name,)),
        None => Err(pyo3::exceptions::PyValueError::new_err("a dtype of no package")),
    }
}

/// The text of an integer dtype. C has more integer types than sizes: of those of one size, the text of the size is that
/// of one, and `long long` has a text of its own.
fn integer_text(dtype: &Bound<'_, PyAny>, text: String, order: u8, types: &Numpy) -> Result<String, Stop> {
    let py = dtype.py();
    let number: usize = dtype.getattr(intern!(py, "num"))?.extract()?;
    if types.by_size[number] {
        return Ok(text);
    }
    match dtype.getattr(intern!(py, "char"))?.extract::<char>()? {
        char @ ('q' | 'Q') => Ok(format!("{}{char}", char::from(order))),
        _ => Err(Stop::NotPlain),
    }
}

/// Refuses Python objects, types of other packages, platform-dependent floats, records, metadata and alignment.
fn check_dtype(dtype: &Bound<'_, PyAny>, types: &Numpy) -> Put {
    let py = dtype.py();
    let number: i32 = dtype.getattr(intern!(py, "num"))?.extract()?;
    let has_metadata = !dtype.getattr(intern!(py, "metadata"))?.is_none();
    if number >= BUILTIN || has_metadata || dtype.getattr(intern!(py, "hasobject"))?.is_truthy()? {
        return Err(Stop::NotPlain);
    }
    let kind = dtype.getattr(intern!(py, "char"))?;
    if matches!(exact::<PyString>(&kind).ok_or(Stop::NotPlain)?.to_str()?, "g" | "G") {
        return Err(Stop::NotPlain);
    }
    let subdtype = dtype.getattr(intern!(py, "subdtype"))?;
    if !subdtype.is_none() {
        return check_dtype(&subdtype.get_item(0)?, types);
    }
    let fields = dtype.getattr(intern!(py, "fields"))?;
    if fields.is_none() {
        return Ok(());
    }
    let is_void = dtype.getattr(intern!(py, "type"))?.is(&types.void);
    if !is_void || dtype.getattr(intern!(py, "isalignedstruct"))?.is_truthy()? {
        return Err(Stop::NotPlain);
    }
    for field in fields.call_method0(intern!(py, "values"))?.try_iter()? {
        check_dtype(&field?.get_item(0)?, types)?;
    }
    Ok(())
}

/// Writes a scalar.
pub(super) fn put_scalar(out: &mut Vec<u8>, value: &Bound<'_, PyAny>, types: &Numpy) -> Put {
    let py = value.py();
    let dtype = value.getattr(intern!(py, "dtype"))?;
    if !dtype.getattr(intern!(py, "type"))?.is(value.get_type()) {
        return Err(Stop::NotPlain);
    }
    let text = dtype_text(&dtype, types)?;
    let bytes = value.call_method0(intern!(py, "tobytes"))?;
    let mut bytes = exact::<PyBytes>(&bytes).ok_or(Stop::NotPlain)?.as_bytes();
    // An empty string has a terminator nevertheless.
    if let Some(Dtype::Simple { item_size: 0, .. }) = dtype::parse(&text) {
        bytes = &[];
    }
    Ok(ext::put_numpy_scalar(out, &text, bytes)?)
}

/// Writes an array.
pub(super) fn put_array(out: &mut Vec<u8>, value: &Bound<'_, PyAny>, types: &Numpy) -> Put {
    let py = value.py();
    let text = dtype_text(&value.getattr(intern!(py, "dtype"))?, types)?;
    let shape: Vec<u64> = value.getattr(intern!(py, "shape"))?.extract()?;
    let size: usize = value.getattr(intern!(py, "nbytes"))?.extract()?;
    let flags = value.getattr(intern!(py, "flags"))?;
    let is_c = flags.getattr(intern!(py, "c_contiguous"))?.is_truthy()?;
    let fortran = !is_c && flags.getattr(intern!(py, "f_contiguous"))?.is_truthy()?;
    ext::put_numpy_array_head(out, &text, &shape, fortran, size)?;
    if size >= LARGE && (is_c || fortran) {
        // Times have no buffer protocol: the items are viewed as bytes.
        let flat = if fortran { value.getattr(intern!(py, "T"))? } else { value.clone() };
        let flat = flat.call_method1(intern!(py, "reshape"), (-1,))?;
        let bytes = flat.call_method1(intern!(py, "view"), (&types.uint8,))?;
        let buffer = PyBuffer::<u8>::get(&bytes)?;
        let start = out.len();
        out.resize(start + size, 0);
        return Ok(buffer.copy_to_slice(py, &mut out[start..])?);
    }
    let bytes = value.call_method1(intern!(py, "tobytes"), (if fortran { "F" } else { "C" },))?;
    let bytes = exact::<PyBytes>(&bytes).ok_or(Stop::NotPlain)?.as_bytes();
    if bytes.len() != size {
        return Err(Stop::NotPlain);
    }
    out.extend_from_slice(bytes);
    Ok(())
}

fn read_dtype<'py>(py: Python<'py>, types: &Numpy, text: &str) -> PyResult<Bound<'py, PyAny>> {
    if dtype::parse(text) != Some(Dtype::Structured) {
        return types.dtype.bind(py).call1((text,));
    }
    let literal = py.import(intern!(py, "ast"))?.call_method1(intern!(py, "literal_eval"), (text,))?;
    let dtype = types.descr_to_dtype.bind(py).call1((literal,))?;
    match check_dtype(&dtype, types) {
        Ok(()) => Ok(dtype),
        Err(Stop::Raised(error)) => Err(error),
        Err(Stop::NotPlain) => {
            Err(pyo3::exceptions::PyValueError::new_err(format!("{text} is not a dtype of a plain value")))
        }
    }
}

/// An array that owns its memory.
pub(super) fn read_array<'py>(py: Python<'py>, array: &NumpyArray<&str, &[u8]>) -> PyResult<Bound<'py, PyAny>> {
    let types = Numpy::import(py)?;
    let dtype = read_dtype(py, types, array.dtype)?;
    let item_size: u64 = dtype.getattr(intern!(py, "itemsize"))?.extract()?;
    let items =
        if array.shape.contains(&0) { Some(0) } else { array.shape.iter().try_fold(1_u64, |n, &d| n.checked_mul(d)) };
    if items.and_then(|items| items.checked_mul(item_size)) != Some(array.data.len() as u64) {
        return Err(pyo3::exceptions::PyValueError::new_err("the items of an array do not fit its dtype and shape"));
    }
    let shape = PyTuple::new(py, &array.shape)?;
    let data = PyByteArray::new(py, array.data);
    let order = if array.fortran { intern!(py, "F") } else { intern!(py, "C") };
    types.ndarray.bind(py).call1((shape, dtype, data, 0, py.None(), order))
}

/// A scalar.
pub(super) fn read_scalar<'py>(py: Python<'py>, scalar: &NumpyScalar<&str, &[u8]>) -> PyResult<Bound<'py, PyAny>> {
    let types = Numpy::import(py)?;
    if let Some(Dtype::Simple { order, kind, item_size }) = dtype::parse(scalar.dtype)
        && item_size == scalar.data.len()
        && matches!(kind, b'S' | b'U')
        && scalar.data.last() == Some(&0)
    {
        // An item of an array has no trailing zeros, a scalar may.
        match kind {
            b'S' => return types.bytes.bind(py).call1((PyBytes::new(py, scalar.data),)),
            _ if order == b'<' && scalar.data.ends_with(&[0; 4]) => {
                let data = PyBytes::new(py, scalar.data);
                let text = data.call_method1(intern!(py, "decode"), ("utf-32-le", "surrogatepass"))?;
                return types.str.bind(py).call1((text,));
            }
            _ => {}
        }
    }
    let array = NumpyArray { dtype: scalar.dtype, shape: Vec::new(), fortran: false, data: scalar.data };
    let array = read_array(py, &array)?;
    let scalar = array.get_item(PyTuple::empty(py))?;
    if is_exact(&scalar, &types.ndarray) {
        return Err(pyo3::exceptions::PyValueError::new_err("a scalar is an array"));
    }
    Ok(scalar)
}
