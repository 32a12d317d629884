//! One column of a table, as an Arrow stream or as NumPy arrays of its values and its nulls.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, Field, FieldRef};
use numpy::{Element, PyArray1};
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use pyo3_arrow::PyArrayReader;
use pyo3_arrow::ffi::{ArrayIterator, to_stream_pycapsule};

use super::texts;
use crate::numpy_api;

/// A column taken out of a table.
#[pyclass(module = "cacheness._core", name = "TableColumn", frozen)]
pub(crate) struct Column {
    field: FieldRef,
    chunks: Mutex<Option<Vec<ArrayRef>>>,
}

impl Column {
    pub(super) fn new(field: FieldRef, chunks: Vec<ArrayRef>) -> Self {
        Self { field, chunks: Mutex::new(Some(chunks)) }
    }

    fn take(&self) -> PyResult<Vec<ArrayRef>> {
        self.chunks.lock().take().ok_or_else(|| PyValueError::new_err("this column has been taken"))
    }
}

/// The values of a column, and which of them are null.
type NumpyColumn<'py> = (Bound<'py, PyAny>, Option<Bound<'py, PyAny>>);

/// Values of a column without its nulls, in separate memory.
enum Values {
    Bool(Vec<bool>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

#[pymethods]
impl Column {
    /// A column that shares the memory of a PyArrow array.
    #[staticmethod]
    fn from_arrow(stream: PyArrayReader) -> PyResult<Self> {
        let reader = stream.into_reader()?;
        let field = reader.field();
        let chunks = reader.collect::<Result<Vec<_>, _>>().map_err(|e| PyValueError::new_err(e.to_string()))?;
        Ok(Self::new(field, chunks))
    }

    /// The strings of an object array as a column, and the name of the missing value (`None`, `NA`, `nan`);
    /// `na` is `pandas.NA`. `None` if there is anything but exact `str` and missing values of one kind, if there is no
    /// string at all, or if the items have gaps between them.
    #[staticmethod]
    fn from_texts(values: &Bound<'_, PyAny>, na: &Bound<'_, PyAny>) -> PyResult<Option<(Self, Option<&'static str>)>> {
        numpy_api::ready(values.py())?;
        let values = values.cast::<PyArray1<Py<PyAny>>>()?;
        let Some((array, missing)) = texts::column(values, na)? else { return Ok(None) };
        let field = Field::new("", array.data_type().clone(), true);
        Ok(Some((Self::new(Arc::new(field), vec![Arc::new(array)]), missing.map(texts::Missing::name))))
    }

    /// The values of a column of strings or bytes as an array of objects, `missing` where one is null; equal values may
    /// be one object. `None` for any other type: the column is then still whole.
    fn objects<'py>(&self, missing: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        numpy_api::ready(missing.py())?;
        let chunks = self.take()?;
        let objects = texts::objects(self.field.data_type(), &chunks, missing)?;
        if objects.is_none() {
            *self.chunks.lock() = Some(chunks);
        }
        Ok(objects)
    }

    /// The values of a column of fixed width as a writable array, and a boolean array that is true for nulls (`None` without
    /// nulls). Values under nulls are undefined. Dates, times and 16-bit floats are returned as their integers. `None` for
    /// any other type: the column is then unchanged.
    fn numpy<'py>(&self, py: Python<'py>) -> PyResult<Option<NumpyColumn<'py>>> {
        if !is_fixed_width(self.field.data_type()) {
            return Ok(None);
        }
        numpy_api::ready(py)?;
        let chunks = self.take()?;
        let data_type = self.field.data_type().clone();
        let (values, nulls) = py.detach(move || {
            let nulls = nulls(&chunks);
            (values(&data_type, chunks), nulls)
        });
        let values = match values {
            Values::Bool(v) => array(py, v),
            Values::I8(v) => array(py, v),
            Values::I16(v) => array(py, v),
            Values::I32(v) => array(py, v),
            Values::I64(v) => array(py, v),
            Values::U8(v) => array(py, v),
            Values::U16(v) => array(py, v),
            Values::U32(v) => array(py, v),
            Values::U64(v) => array(py, v),
            Values::F32(v) => array(py, v),
            Values::F64(v) => array(py, v),
        };
        Ok(Some((values, nulls.map(|nulls| array(py, nulls)))))
    }

    /// The Arrow C stream of the chunks of this column.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let chunks = self.take()?;
        let reader = ArrayIterator::new(chunks.into_iter().map(Ok), self.field.clone());
        Ok(to_stream_pycapsule(py, Box::new(reader), requested_schema)?)
    }
}

fn array<T: Element>(py: Python<'_>, values: Vec<T>) -> Bound<'_, PyAny> {
    PyArray1::from_vec(py, values).into_any()
}

fn is_fixed_width(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_floating()
        || matches!(
            data_type,
            DataType::Boolean
                | DataType::Timestamp(_, _)
                | DataType::Duration(_)
                | DataType::Date32
                | DataType::Date64
                | DataType::Time32(_)
                | DataType::Time64(_)
        )
}

fn values(data_type: &DataType, chunks: Vec<ArrayRef>) -> Values {
    match data_type {
        DataType::Boolean => {
            let mut values = Vec::with_capacity(chunks.iter().map(|chunk| chunk.len()).sum());
            chunks.iter().for_each(|chunk| values.extend(chunk.as_boolean().values()));
            Values::Bool(values)
        }
        DataType::Int8 => Values::I8(native(chunks)),
        DataType::Int16 => Values::I16(native(chunks)),
        DataType::Int32 | DataType::Date32 | DataType::Time32(_) => Values::I32(native(chunks)),
        DataType::UInt8 => Values::U8(native(chunks)),
        DataType::UInt16 | DataType::Float16 => Values::U16(native(chunks)),
        DataType::UInt32 => Values::U32(native(chunks)),
        DataType::UInt64 => Values::U64(native(chunks)),
        DataType::Float32 => Values::F32(native(chunks)),
        DataType::Float64 => Values::F64(native(chunks)),
        _ => Values::I64(native(chunks)),
    }
}

/// The values of a column of `T`s: its own memory if it is not shared, a copy if it is in pieces or shared.
fn native<T: ArrowNativeType>(mut chunks: Vec<ArrayRef>) -> Vec<T> {
    if let [_] = chunks.as_slice() {
        let chunk = chunks.remove(0);
        let (offset, length) = (chunk.offset(), chunk.len());
        let data = chunk.to_data();
        drop(chunk);
        if offset == 0
            && data.offset() == 0
            && let Some(buffer) = data.buffers().first().cloned()
        {
            drop(data);
            return owned(buffer, length);
        }
        return slice::<T>(&data).to_vec();
    }
    let mut values = Vec::with_capacity(chunks.iter().map(|chunk| chunk.len()).sum());
    for chunk in chunks {
        values.extend_from_slice(slice::<T>(&chunk.to_data()));
    }
    values
}

fn owned<T: ArrowNativeType>(buffer: Buffer, length: usize) -> Vec<T> {
    match buffer.into_vec::<T>() {
        Ok(mut values) => {
            values.truncate(length);
            values
        }
        Err(shared) => shared.typed_data::<T>()[..length].to_vec(),
    }
}

fn slice<T: ArrowNativeType>(data: &arrow::array::ArrayData) -> &[T] {
    &data.buffers()[0].typed_data::<T>()[data.offset()..data.offset() + data.len()]
}

/// Which values are null; `None` without nulls.
fn nulls(chunks: &[ArrayRef]) -> Option<Vec<bool>> {
    if chunks.iter().all(|chunk| chunk.null_count() == 0) {
        return None;
    }
    let mut nulls = Vec::with_capacity(chunks.iter().map(|chunk| chunk.len()).sum());
    for chunk in chunks {
        match chunk.nulls().map(NullBuffer::inner) {
            Some(valid) => nulls.extend(valid.iter().map(|valid| !valid)),
            None => nulls.extend(std::iter::repeat_n(false, chunk.len())),
        }
    }
    Some(nulls)
}
