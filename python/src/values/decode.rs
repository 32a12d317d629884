//! Payloads to Python values: the choice of the handler and of the access mode.

use cacheness_core::payload::Stored;
use cacheness_core::storable::{decode_plain, plain_bytes};
use cacheness_core::{Error, ErrorKind};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::{Builtin, Values};
use crate::errors::{IntoPyResult, to_py};
use crate::{arrays, plain, tables};

/// Up to this many bytes are decoded without releasing the GIL, which would cost more than the work.
const SMALL: u64 = 32 << 10;

/// How to return a value.
#[derive(Clone, Copy)]
pub(crate) enum Reading<'a, 'py> {
    /// In memory that the caller owns.
    Own,
    /// Memory-mapped, read-only or copy-on-write.
    Mapped(MapMode),
    /// Part of an array.
    Slice(&'a Bound<'py, PyAny>, Check),
}

/// How much of a payload is compared with its hash before a part is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Nothing: that would mean reading everything.
    Part,
    /// Everything.
    Whole,
}

/// How a file is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapMode {
    Read,
    CopyOnWrite,
}

impl MapMode {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::CopyOnWrite => "c",
        }
    }
}

impl Reading<'_, '_> {
    pub(crate) fn from_mode(mode: Option<&str>) -> PyResult<Self> {
        match mode {
            None => Ok(Self::Own),
            Some("r") => Ok(Self::Mapped(MapMode::Read)),
            Some("c") => Ok(Self::Mapped(MapMode::CopyOnWrite)),
            Some(other) => Err(PyValueError::new_err(format!(
                "mmap_mode is {other:?}; give 'r' (read-only), 'c' (copy-on-write) or None"
            ))),
        }
    }
}

impl Values {
    /// Decodes a payload with the handler that wrote it.
    pub(crate) fn decode<'py>(
        &self,
        py: Python<'py>,
        stored: Stored,
        reading: Reading<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let format = stored.format();
        let Some(handler) = Builtin::from_name(&format.handler) else {
            return self.decode_custom(py, &stored, reading);
        };
        match (handler, reading) {
            (Builtin::Arrays, Reading::Own) => arrays::decode(py, stored),
            (Builtin::Arrays, Reading::Mapped(mode)) => arrays::decode_mmap(py, stored, mode.name()),
            (Builtin::Arrays, Reading::Slice(index, check)) => {
                arrays::decode_slice(py, stored, index, check == Check::Whole)
            }
            (_, Reading::Slice(..)) => Err(to_py(Error::new(
                ErrorKind::Unsupported,
                format!("entry {} is a {}; only arrays have slices", stored.key(), format.object_type),
            ))),
            (Builtin::Tables, Reading::Own) => Ok(tables::decode(py, stored)?.into_bound(py)),
            // Columns of a table are never written to, so that both modes are the same.
            (Builtin::Tables, Reading::Mapped(_)) => match tables::decode_mmap(py, &stored)? {
                Some(table) => Ok(table.into_bound(py)),
                None => Err(not_mapped(&stored)),
            },
            (_, Reading::Mapped(_)) => Err(not_mapped(&stored)),
            (Builtin::Plain, Reading::Own) if stored.size() > SMALL || !stored.entry().location.is_inline() => {
                plain::load(py, &py.detach(|| plain_bytes(stored)).into_py_result()?)
            }
            (Builtin::Plain, Reading::Own) => {
                let mut value: PyResult<Bound<'py, PyAny>> = Ok(py.None().into_bound(py));
                decode_plain(stored, |bytes| {
                    value = plain::load(py, bytes);
                    Ok(())
                })
                .into_py_result()?;
                value
            }
            (Builtin::Pickle, Reading::Own) => self.unpickle(py, stored),
        }
    }
}

fn not_mapped(stored: &Stored) -> PyErr {
    to_py(
        Error::new(
            ErrorKind::Unsupported,
            format!("entry {} is stored as {} and cannot be mapped", stored.key(), stored.format().storage_format),
        )
        .with_hint(
            "uncompressed arrays (array_format='npy') can be mapped with 'r' and 'c', uncompressed Arrow files \
             (dataframe_format='arrow', parquet_compression='none') with 'r'",
        ),
    )
}
