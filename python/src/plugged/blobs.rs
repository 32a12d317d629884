//! A blob backend that is written in Python.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cacheness_core::backend::{BlobBackend, BlobCapability, BlobHint, BlobInfo, BlobReader, BlobWriter, Parts};
use cacheness_core::backends::locator;
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::BlobRef;
use cacheness_core::{Error, ErrorKind, Result};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use tempfile::NamedTempFile;

use crate::errors::from_py;

/// Larger blobs go through a file.
const IN_MEMORY: usize = 8 << 20;

/// An object derived from `BlobBackend`.
#[derive(Debug)]
struct Object {
    name: String,
    object: Py<PyAny>,
    /// Whether it reads parts of a blob itself.
    is_ranged: bool,
}

impl Object {
    /// Calls a function of `cacheness._plugged`.
    fn call<T>(&self, action: &str, call: impl FnOnce(Python<'_>, &Bound<'_, PyAny>) -> PyResult<T>) -> Result<T> {
        Python::attach(|py| {
            let module = py.import(intern!(py, "cacheness._plugged"));
            module.and_then(|module| call(py, &module)).map_err(|error| {
                let what = format!("the blob backend {} cannot {action}", self.name);
                from_py(py, error, ErrorKind::Storage, what)
            })
        })
    }
}

#[derive(Debug)]
pub(super) struct PyBlobs {
    object: Arc<Object>,
    capability: BlobCapability,
}

impl PyBlobs {
    pub(super) fn new(name: String, object: Py<PyAny>) -> Result<Self> {
        let mut object = Object { name, object, is_ranged: false };
        let (is_ranged, grace): (bool, f64) = object.call("be opened", |py, glue| {
            let is_ranged = glue.call_method1(intern!(py, "ranged"), (&object.object,))?.extract()?;
            Ok((is_ranged, object.object.getattr(py, intern!(py, "grace_seconds"))?.extract(py)?))
        })?;
        object.is_ranged = is_ranged;
        let grace = Duration::try_from_secs_f64(grace).map_err(|_| {
            let what = format!("grace_seconds of the blob backend {} is {grace}", object.name);
            Error::new(ErrorKind::InvalidInput, what).with_hint("give seconds, 0 or more")
        })?;
        let mut capability = BlobCapability::default();
        capability.grace = grace;
        // The interpreter runs one request at a time, unless the backend waits for a server.
        capability.parts = is_ranged.then_some(Parts { size: 8 << 20, concurrency: 4 });
        Ok(Self { object: Arc::new(object), capability })
    }
}

enum Buffer {
    Memory(Vec<u8>),
    File(NamedTempFile),
}

struct PyWriter {
    object: Arc<Object>,
    blob_id: String,
    buffer: Buffer,
    size: u64,
}

impl Write for PyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Buffer::Memory(memory) = &mut self.buffer
            && memory.len() + bytes.len() > IN_MEMORY
        {
            let mut file = NamedTempFile::new()?;
            file.write_all(memory)?;
            self.buffer = Buffer::File(file);
        }
        match &mut self.buffer {
            Buffer::Memory(memory) => memory.extend_from_slice(bytes),
            Buffer::File(file) => file.write_all(bytes)?,
        }
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for PyWriter {
    fn commit(self: Box<Self>) -> Result<BlobRef> {
        let Self { object, blob_id, buffer, size } = *self;
        let path: String = object.call("write a blob", |py, glue| match &buffer {
            Buffer::Memory(memory) => {
                let bytes = PyBytes::new(py, memory);
                glue.call_method1(intern!(py, "write"), (&object.object, &blob_id, bytes))?.extract()
            }
            Buffer::File(file) => {
                let path = file.path();
                glue.call_method1(intern!(py, "write_file"), (&object.object, &blob_id, path))?.extract()
            }
        })?;
        Ok(BlobRef::new(path, size))
    }

    fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// The bytes of a blob that has been read as a whole.
enum Whole {
    Memory(PyBackedBytes),
    File(File),
}

struct PyReader {
    object: Arc<Object>,
    blob: BlobRef,
    whole: OnceLock<Whole>,
}

impl PyReader {
    fn ends_early(&self, found: u64) -> Error {
        let BlobRef { locator, size, .. } = &self.blob;
        Error::new(ErrorKind::Integrity, format!("the blob {locator:?} has {found} bytes, and {size} were written"))
    }

    /// Reads the whole blob; several threads may do so at once.
    fn whole(&self) -> Result<&Whole> {
        if let Some(whole) = self.whole.get() {
            return Ok(whole);
        }
        let Self { object, blob, .. } = self;
        let (whole, size) = if blob.size <= IN_MEMORY as u64 {
            let bytes: PyBackedBytes = object.call("read a blob", |py, glue| {
                glue.call_method1(intern!(py, "read"), (&object.object, &blob.locator))?.extract().map_err(PyErr::from)
            })?;
            let size = bytes.len() as u64;
            (Whole::Memory(bytes), size)
        } else {
            let failed = |error| Error::io("cannot make a temporary file for a blob", error);
            let file = NamedTempFile::new().map_err(failed)?;
            object.call("read a blob", |py, glue| {
                glue.call_method1(intern!(py, "read_file"), (&object.object, &blob.locator, file.path())).map(drop)
            })?;
            let file = File::open(file.path()).map_err(failed)?;
            let size = file.metadata().map_err(failed)?.len();
            (Whole::File(file), size)
        };
        if size != blob.size {
            return Err(self.ends_early(size));
        }
        Ok(self.whole.get_or_init(|| whole))
    }
}

impl BlobReader for PyReader {
    fn size(&self) -> u64 {
        self.blob.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let Self { object, blob, .. } = self;
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= blob.size);
        if end.is_none() {
            return Err(self.ends_early(blob.size));
        }
        let is_part = (buffer.len() as u64) < blob.size;
        if object.is_ranged && is_part && self.whole.get().is_none() {
            let bytes: PyBackedBytes = object.call("read a part of a blob", |py, glue| {
                let range = (&object.object, &blob.locator, offset, buffer.len());
                glue.call_method1(intern!(py, "read_range"), range)?.extract().map_err(PyErr::from)
            })?;
            if bytes.len() != buffer.len() {
                return Err(self.ends_early(offset + bytes.len() as u64));
            }
            buffer.copy_from_slice(&bytes);
            return Ok(());
        }
        match self.whole()? {
            Whole::Memory(bytes) => {
                let start = usize::try_from(offset).expect("it is within the blob");
                buffer.copy_from_slice(&bytes[start..start + buffer.len()]);
            }
            Whole::File(file) => {
                file.read_exact_at(buffer, offset).map_err(|e| Error::io("cannot read a temporary file", e))?;
            }
        }
        Ok(())
    }

    fn parts(&self) -> Option<Parts> {
        self.object.is_ranged.then_some(Parts { size: 8 << 20, concurrency: 4 })
    }

    fn file(&self) -> Option<&File> {
        match self.whole.get() {
            Some(Whole::File(file)) => Some(file),
            _ => None,
        }
    }

    fn local_path(&self) -> Option<&Path> {
        None
    }
}

impl BlobBackend for PyBlobs {
    fn name(&self) -> &str {
        &self.object.name
    }

    fn capability(&self) -> BlobCapability {
        self.capability
    }

    fn create(&self, hint: BlobHint<'_>) -> Result<Box<dyn BlobWriter>> {
        let blob_id = locator::new_name(hint.stem, hint.extension)?;
        Ok(Box::new(PyWriter {
            object: Arc::clone(&self.object),
            blob_id,
            buffer: Buffer::Memory(Vec::new()),
            size: 0,
        }))
    }

    fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>> {
        Ok(Box::new(PyReader { object: Arc::clone(&self.object), blob: blob.clone(), whole: OnceLock::new() }))
    }

    fn delete(&self, locators: &[&str]) -> Result<()> {
        let mut first = Ok(());
        for locator in locators {
            let deleted = self.object.call("delete a blob", |py, _| {
                self.object.object.call_method1(py, intern!(py, "delete_blob"), (locator,)).map(drop)
            });
            match deleted {
                Err(error) if error.kind() != ErrorKind::NotFound => first = first.and(Err(error)),
                _ => {}
            }
        }
        first
    }

    fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<BlobInfo>> {
        let found: Vec<(String, u64, i64)> = self.object.call("list blobs", |py, glue| {
            glue.call_method1(intern!(py, "blobs"), (&self.object.object, after, limit))?.extract()
        })?;
        let info = |(locator, size, modified)| BlobInfo { locator, size, modified: Timestamp(modified) };
        Ok(found.into_iter().map(info).collect())
    }

    fn close(&self) -> Result<()> {
        self.object.call("be closed", |py, _| self.object.object.call_method0(py, intern!(py, "close")).map(drop))
    }
}
