//! Entries as Python dictionaries, under the names of the reference; where it has two names for a field, under both.

use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{Entry, EntrySummary};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::{keys, plain};

/// What a listing leaves out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// User metadata and parameters are left out: nothing is parsed.
    Brief,
    /// Everything.
    Full,
}

/// ISO 8601 in UTC, to the microsecond. Written out by hand because listings make four of them per entry.
fn iso<'py>(py: Python<'py>, time: Timestamp) -> Bound<'py, PyString> {
    const DAY: i64 = 86_400_000_000;
    let (days, rest) = (time.0.div_euclid(DAY), time.0.rem_euclid(DAY));
    // Days to a civil date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if !(0..=9999).contains(&year) {
        return PyString::new(py, &time.0.to_string());
    }
    let mut text = *b"0000-00-00T00:00:00.000000+00:00";
    let mut put = |at: usize, width: usize, mut number: i64| {
        for i in (at..at + width).rev() {
            text[i] = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
        }
    };
    put(0, 4, year);
    put(5, 2, month);
    put(8, 2, day);
    let seconds = rest / 1_000_000;
    put(11, 2, seconds / 3600);
    put(14, 2, seconds / 60 % 60);
    put(17, 2, seconds % 60);
    put(20, 6, rest % 1_000_000);
    PyString::new(py, std::str::from_utf8(&text).unwrap_or_default())
}

/// `size` in megabytes of 2^20 bytes.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn megabytes(size: u64) -> f64 {
    size as f64 / (1 << 20) as f64
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The dictionary of an entry.
pub(crate) fn to_dict<'py>(
    py: Python<'py>,
    entry: &Entry,
    inline: bool,
    detail: Detail,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    macro_rules! set {
        ($($name:literal)+, $value:expr) => {{
            let value = $value;
            $(dict.set_item(intern!(py, $name), &value)?;)+
        }};
    }
    let format = &entry.format;
    set!("cache_key", entry.key.as_str());
    set!("description", entry.description.as_deref());
    set!("data_type", PyString::intern(py, &format.data_type));
    set!("object_type", PyString::intern(py, &format.object_type));
    set!("handler_used", PyString::intern(py, &format.handler));
    set!("storage_format" "serializer", PyString::intern(py, &format.storage_format));
    set!("compression_codec", PyString::intern(py, &format.compression));
    set!("file_size", entry.size);
    set!("size_mb", megabytes(entry.size));
    set!("inline", inline);
    set!("actual_path", entry.location.locator());
    let created = iso(py, entry.created_at);
    let accessed = if entry.accessed_at == entry.created_at { created.clone() } else { iso(py, entry.accessed_at) };
    set!("created_at" "created", created);
    set!("accessed_at" "last_accessed", accessed);
    set!("expires_at", entry.expires_at.map(|time| iso(py, time)));
    set!("access_count", entry.access_count);
    set!("file_hash", format!("{:016x}", entry.file_hash));
    set!("entry_signature", entry.signature.as_ref().map(|s| hex(s)));
    if detail == Detail::Full {
        set!("compression_info", {
            let info = PyDict::new(py);
            info.set_item(intern!(py, "codec"), PyString::intern(py, &format.compression))?;
            info.set_item(intern!(py, "format"), PyString::intern(py, &format.storage_format))?;
            info
        });
        set!("metadata", metadata(py, entry)?);
        set!(
            "cache_key_params",
            match &entry.params {
                Some(encoding) => keys::render_params(py, encoding)?,
                None => py.None().into_bound(py),
            }
        );
    }
    Ok(dict)
}

/// The user's metadata; an empty dictionary where none was given.
pub(crate) fn metadata<'py>(py: Python<'py>, entry: &Entry) -> PyResult<Bound<'py, PyAny>> {
    match &entry.metadata {
        Some(json) => plain::json_to_metadata(py, json),
        None => Ok(PyDict::new(py).into_any()),
    }
}

/// The dictionary of a listed entry.
pub(crate) fn summary_to_dict<'py>(
    py: Python<'py>,
    EntrySummary { entry, inline }: &EntrySummary,
    detail: Detail,
) -> PyResult<Bound<'py, PyDict>> {
    to_dict(py, entry, *inline, detail)
}
