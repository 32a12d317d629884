//! Entries as Python dictionaries, under the names of the reference; where it has two names for a field, under both.

use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{Entry, EntrySummary, Name};
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

fn hex<'py, const N: usize, const DIGITS: usize>(py: Python<'py>, bytes: &[u8; N]) -> Bound<'py, PyString> {
    const ALPHABET: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; DIGITS];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = ALPHABET[usize::from(byte >> 4)];
        pair[1] = ALPHABET[usize::from(byte & 15)];
    }
    PyString::new(py, std::str::from_utf8(&text).unwrap_or_default())
}

/// Makes the dictionaries of entries. Many of them share what is the same: the set of names, and the short texts that
/// say how a value is stored.
pub(crate) struct Writer<'py> {
    detail: Detail,
    /// Whether there will be more than one.
    many: bool,
    /// A dictionary with all names: a copy of it has room for all values and need not grow.
    template: Option<Bound<'py, PyDict>>,
    texts: Vec<(Name, Bound<'py, PyString>)>,
}

impl<'py> Writer<'py> {
    pub(crate) fn new(detail: Detail) -> Self {
        Self { detail, many: true, template: None, texts: Vec::with_capacity(8) }
    }

    fn text(&mut self, py: Python<'py>, name: &Name) -> Bound<'py, PyString> {
        if let Some((_, text)) = self.texts.iter().find(|(known, _)| known == name) {
            return text.clone();
        }
        let text = PyString::intern(py, name);
        if self.texts.len() < 16 {
            self.texts.push((name.clone(), text.clone()));
        }
        text
    }

    /// The dictionary of an entry; `inline` says that its payload travels inside it.
    pub(crate) fn entry(&mut self, py: Python<'py>, entry: &Entry, inline: bool) -> PyResult<Bound<'py, PyDict>> {
        let dict = match &self.template {
            Some(template) => template.copy()?,
            None => PyDict::new(py),
        };
        macro_rules! set {
            ($($name:literal)+, $value:expr) => {{
                let value = $value;
                $(dict.set_item(intern!(py, $name), &value)?;)+
            }};
        }
        let format = &entry.format;
        let storage_format = self.text(py, &format.storage_format);
        let codec = self.text(py, &format.compression);
        set!("cache_key", entry.key.as_str());
        set!("description", entry.description.as_deref());
        set!("data_type", self.text(py, &format.data_type));
        set!("object_type", self.text(py, &format.object_type));
        set!("handler_used", self.text(py, &format.handler));
        set!("storage_format" "serializer", &storage_format);
        set!("compression_codec", &codec);
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
        set!("file_hash", hex::<8, 16>(py, &entry.file_hash.to_be_bytes()));
        set!("entry_signature", entry.signature.as_ref().map(|signature| hex::<32, 64>(py, signature)));
        if self.detail == Detail::Full {
            set!("compression_info", {
                let info = PyDict::new(py);
                info.set_item(intern!(py, "codec"), codec)?;
                info.set_item(intern!(py, "format"), storage_format)?;
                info
            });
            set!("metadata", metadata(py, entry.metadata.as_deref())?);
            set!(
                "cache_key_params",
                match &entry.params {
                    Some(encoding) => keys::render_params(py, encoding)?,
                    None => py.None().into_bound(py),
                }
            );
        }
        if self.template.is_none() && self.many {
            self.template = Some(dict.copy()?);
        }
        Ok(dict)
    }
}

/// The user's metadata; an empty dictionary where none was given.
pub(crate) fn metadata<'py>(py: Python<'py>, json: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
    match json {
        Some(json) => plain::json_to_metadata(py, json),
        None => Ok(PyDict::new(py).into_any()),
    }
}

/// The dictionary of one entry.
pub(crate) fn to_dict<'py>(
    py: Python<'py>,
    EntrySummary { entry, inline }: &EntrySummary,
    detail: Detail,
) -> PyResult<Bound<'py, PyDict>> {
    Writer { many: false, ..Writer::new(detail) }.entry(py, entry, *inline)
}
