//! The walk through a value: builtins here, everything else by its parts.

use std::path::PathBuf;

use cacheness_core::config::SerializationConfig;
use cacheness_core::key::{Collection, KeyEncoder, Segment};
use cacheness_core::{Error, ErrorKind};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyComplex, PyDict, PyEllipsis, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple,
};
use pyo3::{ffi, intern};

use super::types::{self, Reducer, is};
use crate::errors::to_py;

/// Why a value could not be encoded.
pub(super) enum Fail {
    /// It has no stable encoding.
    Engine(Error),
    /// It has none because code of the value's own raised the second.
    Caused(Error, PyErr),
    /// Code of the value's own raised.
    Python(PyErr),
}

pub(super) type Outcome = Result<(), Fail>;

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<PyErr> for Fail {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<pyo3::CastError<'_, '_>> for Fail {
    fn from(error: pyo3::CastError<'_, '_>) -> Self {
        Self::Python(error.into())
    }
}

impl From<pyo3::CastIntoError<'_>> for Fail {
    fn from(error: pyo3::CastIntoError<'_>) -> Self {
        Self::Python(error.into())
    }
}

pub(super) struct Walker<'py> {
    pub(super) py: Python<'py>,
    pub(super) encoder: KeyEncoder,
    /// Containers and objects on the way from the root to here, to notice cycles.
    active: Vec<*mut ffi::PyObject>,
}

impl<'py> Walker<'py> {
    pub(super) fn new(py: Python<'py>, config: &SerializationConfig) -> Self {
        Self { py, encoder: KeyEncoder::new(config), active: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.encoder.finish()
    }

    /// The exception for a failed walk, with the way to the part that failed.
    pub(super) fn describe(&self, fail: Fail, root: &str) -> PyErr {
        let place = self.encoder.place(root);
        match fail {
            Fail::Engine(error) => to_py(error.within(place)),
            Fail::Caused(error, cause) => {
                let error = to_py(error.within(place));
                error.set_cause(self.py, Some(cause));
                error
            }
            Fail::Python(error) => {
                if error.is_instance_of::<PyException>(self.py) {
                    let note = format!("while making a cache key of {place}");
                    // A note is a courtesy: the exception itself matters more than one that cannot take notes.
                    let _ = error.value(self.py).call_method1(intern!(self.py, "add_note"), (note,));
                }
                error
            }
        }
    }

    /// The outermost mapping, whose names are strings.
    pub(super) fn params(&mut self, params: &Bound<'py, PyDict>) -> Outcome {
        let pairs: Vec<_> = params.iter().collect();
        let frame = self.encoder.begin_parts(Collection::Mapping, pairs.len())?;
        for (name, value) in &pairs {
            let Ok(name) = name.cast::<PyString>() else {
                let class = name.get_type().name()?;
                let sentence = format!("a parameter has a name of type {class}");
                return Err(Error::new(ErrorKind::KeyEncoding, sentence)
                    .with_hint("names of parameters are strings; pass the mapping as the value of one parameter")
                    .into());
            };
            self.encoder.member();
            let name = utf8(name).inspect_err(|_| self.encoder.locate(Segment::InKey))?;
            self.encoder.str(name);
            self.encoder.mapped();
            self.named_value(name, value)?;
        }
        self.encoder.end(frame)?;
        Ok(())
    }

    /// The parameters of a call of a decorated function: mappings that only hold arguments together are none of the user's,
    /// nor is what Python has collected under the names in `collected`.
    pub(super) fn call(&mut self, params: &Bound<'py, PyDict>, collected: &[String]) -> Outcome {
        let frame = self.encoder.begin_parts(Collection::Mapping, params.len())?;
        for (name, value) in params.iter() {
            let name = name.cast_into::<PyString>()?;
            let name = utf8(&name)?;
            self.encoder.member();
            self.encoder.str(name);
            self.encoder.mapped();
            match value.cast_exact::<PyDict>() {
                Ok(arguments) => {
                    let outcome = self.arguments(arguments, collected);
                    outcome.inspect_err(|_| self.encoder.locate(Segment::Name(name.to_owned())))?;
                }
                Err(_) => self.named_value(name, &value)?,
            }
        }
        self.encoder.end(frame)?;
        Ok(())
    }

    fn arguments(&mut self, arguments: &Bound<'py, PyDict>, collected: &[String]) -> Outcome {
        // All at once: code that runs for an argument may change the dictionary that a caller has.
        let pairs: Vec<_> = arguments.iter().collect();
        let frame = self.encoder.begin_parts(Collection::Mapping, pairs.len())?;
        for (key, value) in &pairs {
            self.encoder.member();
            let start = self.encoder.position();
            self.value(key).inspect_err(|_| self.encoder.locate(Segment::InKey))?;
            let end = self.encoder.position();
            self.encoder.mapped();
            let is_collected = !collected.is_empty()
                && key.extract::<&str>().is_ok_and(|name| collected.iter().any(|known| known == name));
            let outcome = if !is_collected {
                self.value(value)
            } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
                self.collected(tuple)
            } else if let Ok(dict) = value.cast_exact::<PyDict>() {
                self.mapping(dict, false)
            } else {
                self.value(value)
            };
            outcome.inspect_err(|_| self.encoder.locate_key(start..end))?;
        }
        self.encoder.end(frame)?;
        Ok(())
    }

    fn collected(&mut self, tuple: &Bound<'py, PyTuple>) -> Outcome {
        let frame = self.encoder.begin_parts(Collection::Tuple, tuple.len())?;
        for (i, item) in tuple.iter_borrowed().enumerate() {
            self.value(&item).inspect_err(|_| self.encoder.locate(Segment::Index(i)))?;
        }
        self.encoder.end(frame)?;
        Ok(())
    }

    pub(super) fn named_value(&mut self, name: &str, value: &Bound<'py, PyAny>) -> Outcome {
        self.value(value).inspect_err(|_| self.encoder.locate(Segment::Name(name.to_owned())))
    }

    /// Any value.
    pub(super) fn value(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        if let Ok(text) = value.cast_exact::<PyString>() {
            self.encoder.str(utf8(text)?);
        } else if value.is_exact_instance_of::<PyInt>() {
            match value.extract::<i64>() {
                Ok(small) => self.encoder.int(small),
                Err(_) => return self.big_int(value),
            }
        } else if let Ok(float) = value.cast_exact::<PyFloat>() {
            self.encoder.float(float.value());
        } else if let Ok(bool) = value.cast_exact::<PyBool>() {
            self.encoder.bool(bool.is_true());
        } else if value.is_none() {
            self.encoder.none();
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            return self.within(value, |walker| walker.tuple(tuple, true));
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            return self.within(value, |walker| walker.list(list, true));
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            return self.within(value, |walker| walker.mapping(dict, true));
        } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            self.encoder.bytes(bytes.as_bytes());
        } else if let Ok(set) = value.cast_exact::<PySet>() {
            let members = set.iter().collect();
            return self.within(value, |walker| walker.set(Collection::Set, members));
        } else if let Ok(set) = value.cast_exact::<PyFrozenSet>() {
            let members = set.iter().collect();
            return self.within(value, |walker| walker.set(Collection::FrozenSet, members));
        } else if let Ok(complex) = value.cast_exact::<PyComplex>() {
            self.encoder.complex(complex.real(), complex.imag());
        } else if value.is_exact_instance_of::<PyEllipsis>() {
            self.encoder.ellipsis();
        } else {
            return self.other(value);
        }
        Ok(())
    }

    /// A value of no builtin type.
    fn other(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let class = value.get_type_ptr();
        if let Some(numpy) = types::numpy(self.py)? {
            if is(&numpy.ndarray, class) {
                return self.array(value);
            }
            if value.is_instance(numpy.generic.bind(self.py))? {
                return self.array_scalar(value);
            }
        }
        let known = Reducer::get(self.py)?;
        if is(&known.datetime, class) {
            return self.datetime(value);
        } else if is(&known.date, class) {
            return self.date(value);
        } else if is(&known.time, class) {
            return self.time(value);
        } else if is(&known.timedelta, class) {
            return self.timedelta(value);
        } else if is(&known.decimal, class) {
            return self.decimal(value);
        } else if is(&known.uuid, class) {
            return self.uuid(value);
        } else if known.paths.iter().any(|path| is(path, class)) {
            let path: PathBuf = value.extract()?;
            let encoder = &mut self.encoder;
            self.py.detach(|| encoder.path(&path))?;
            return Ok(());
        } else if known.pure_paths.iter().any(|path| is(path, class)) {
            let name = value.call_method0(intern!(self.py, "as_posix"))?.cast_into::<PyString>()?;
            self.encoder.path_name(utf8(&name)?);
            return Ok(());
        }
        if self.part(value, class, known)? {
            return Ok(());
        }
        let reduced = known.reduce.bind(self.py).call1((value, self.encoder.introspects_objects()));
        self.reduced(value, reduced)
    }

    /// Encodes the reduction of `value` by `cacheness._keys`.
    pub(super) fn reduced(&mut self, value: &Bound<'py, PyAny>, parts: PyResult<Bound<'py, PyAny>>) -> Outcome {
        match parts {
            Ok(parts) => self.within(value, |walker| walker.value(&parts)),
            Err(error) => Err(self.unencodable(error)),
        }
    }

    fn unencodable(&self, error: PyErr) -> Fail {
        let described = || -> PyResult<Option<Error>> {
            let class = Reducer::get(self.py)?.unencodable.bind(self.py);
            if !error.matches(self.py, class)? {
                return Ok(None);
            }
            let (sentence, hint): (String, Option<String>) =
                error.value(self.py).getattr(intern!(self.py, "args"))?.extract()?;
            let described = Error::new(ErrorKind::KeyEncoding, sentence);
            Ok(Some(match hint {
                Some(hint) => described.with_hint(hint),
                None => described,
            }))
        };
        match described() {
            Ok(Some(described)) => match error.cause(self.py) {
                Some(cause) => Fail::Caused(described, cause),
                None => Fail::Engine(described),
            },
            Ok(None) => Fail::Python(error),
            Err(other) => Fail::Python(other),
        }
    }

    /// Encodes an instance of the classes of `cacheness._keys`; `false` for anything else.
    fn part(
        &mut self,
        value: &Bound<'py, PyAny>,
        class: *mut ffi::PyTypeObject,
        known: &Reducer,
    ) -> Result<bool, Fail> {
        if is(&known.named, class) {
            let name = value.getattr(intern!(self.py, "name"))?.cast_into::<PyString>()?;
            let inner = value.getattr(intern!(self.py, "value"))?;
            self.encoder.begin_named(utf8(&name)?)?;
            self.value(&inner)?;
            self.encoder.end_named();
        } else if is(&known.tuple_parts, class) {
            self.tuple(value.cast::<PyTuple>()?, false)?;
        } else if is(&known.list_parts, class) {
            self.list(value.cast::<PyList>()?, false)?;
        } else if is(&known.map_parts, class) {
            self.mapping(value.cast::<PyDict>()?, false)?;
        } else if is(&known.reference, class) {
            self.encoder.reference(utf8(value.cast::<PyString>()?)?);
        } else if is(&known.member, class) {
            let (class, member): (Bound<'py, PyString>, Bound<'py, PyString>) = value.extract()?;
            self.encoder.enum_member(utf8(&class)?, utf8(&member)?);
        } else if is(&known.scalar, class) {
            self.typed_scalar(value.cast::<PyTuple>()?)?;
        } else if is(&known.typed_array, class) {
            self.typed_array(value.cast::<PyTuple>()?)?;
        } else if is(&known.text, class) {
            self.text_column(value.cast::<PyList>()?)?;
        } else if is(&known.column, class) {
            self.column(&value.cast::<PyTuple>()?.get_item(0)?)?;
        } else if is(&known.table, class) {
            self.table(&value.cast::<PyTuple>()?.get_item(0)?)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Runs `encode` while `value` is on the way from the root.
    fn within(&mut self, value: &Bound<'py, PyAny>, encode: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        let pointer = value.as_ptr();
        if self.active.contains(&pointer) {
            let class = value.get_type().name()?;
            return Err(Error::new(ErrorKind::KeyEncoding, format!("a {class} contains itself"))
                .with_hint("break the cycle, or pass cache_key=…")
                .into());
        }
        self.active.push(pointer);
        encode(self)?;
        self.active.pop();
        Ok(())
    }

    fn begin(&mut self, kind: Collection, count: usize, counted: bool) -> Result<cacheness_core::key::Frame, Fail> {
        let frame = if counted { self.encoder.begin(kind, count) } else { self.encoder.begin_parts(kind, count) };
        Ok(frame?)
    }

    fn tuple(&mut self, tuple: &Bound<'py, PyTuple>, counted: bool) -> Outcome {
        let frame = self.begin(Collection::Tuple, tuple.len(), counted)?;
        for (i, item) in tuple.iter_borrowed().enumerate() {
            let outcome = self.value(&item);
            if counted {
                outcome.inspect_err(|_| self.encoder.locate(Segment::Index(i)))?;
            } else {
                outcome?;
            }
        }
        self.encoder.end(frame)?;
        Ok(())
    }

    fn list(&mut self, list: &Bound<'py, PyList>, counted: bool) -> Outcome {
        let count = list.len();
        let frame = self.begin(Collection::List, count, counted)?;
        for i in 0..count {
            // Code that runs for an item, or another thread, may have shortened the list.
            let item = list.get_item(i)?;
            self.value(&item).inspect_err(|_| self.encoder.locate(Segment::Index(i)))?;
        }
        if list.len() != count {
            return Err(Error::new(ErrorKind::KeyEncoding, "a list changed while its key was made").into());
        }
        self.encoder.end(frame)?;
        Ok(())
    }

    fn mapping(&mut self, dict: &Bound<'py, PyDict>, counted: bool) -> Outcome {
        // All at once: code that runs for a value may change the mapping.
        let pairs: Vec<_> = dict.iter().collect();
        let frame = self.begin(Collection::Mapping, pairs.len(), counted)?;
        for (key, value) in &pairs {
            self.encoder.member();
            let start = self.encoder.position();
            self.value(key).inspect_err(|_| self.encoder.locate(Segment::InKey))?;
            let end = self.encoder.position();
            self.encoder.mapped();
            self.value(value).inspect_err(|_| self.encoder.locate_key(start..end))?;
        }
        self.encoder.end(frame)?;
        Ok(())
    }

    fn set(&mut self, kind: Collection, members: Vec<Bound<'py, PyAny>>) -> Outcome {
        let frame = self.begin(kind, members.len(), true)?;
        for member in &members {
            self.encoder.member();
            self.value(member).inspect_err(|_| self.encoder.locate(Segment::InKey))?;
        }
        self.encoder.end(frame)?;
        Ok(())
    }
}

/// The UTF-8 of a string.
pub(super) fn utf8<'a>(text: &'a Bound<'_, PyString>) -> Result<&'a str, Fail> {
    text.to_str().map_err(|_| {
        let sentence = "a string holds half of a surrogate pair, which is not valid Unicode";
        Error::new(ErrorKind::KeyEncoding, sentence)
            .with_hint("pass the bytes, or text.encode('utf-8', 'surrogatepass')")
            .into()
    })
}
