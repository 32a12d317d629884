//! Entries as Python dictionaries with the names of the reference; a field with two names has both.

use cacheness_core::backend::BlobBackend;
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{Entry, EntrySummary, Format, Name};
use cacheness_core::fields::FIELDS;
use cacheness_core::sign::SignatureState;
use cacheness_core::store::{IntegrityReport, Store};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::collector::Waiting;
use crate::{keys, plain};

/// The detail of a listing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Without user metadata.
    Brief,
    /// Everything.
    Full,
}

/// ISO 8601 to the microsecond: in UTC if `offset` is `None`, else the wall clock that is this many seconds ahead of
/// UTC, without a zone. Hand-written because listings format many times per entry.
pub(crate) fn iso<'py>(py: Python<'py>, time: Timestamp, offset: Option<i64>) -> Bound<'py, PyString> {
    const DAY: i64 = 86_400_000_000;
    let micros = time.0.saturating_add(offset.unwrap_or(0) * 1_000_000);
    let (days, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
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
    let text = if offset.is_some() { &text[..26] } else { &text[..] };
    PyString::new(py, std::str::from_utf8(text).unwrap_or_default())
}

/// The offset of local time from UTC according to Python's `time`, which `datetime.now()` uses.
#[derive(Default)]
struct LocalTime<'py> {
    localtime: Option<Bound<'py, PyAny>>,
    /// The offset in seconds for the last quarter of an hour asked about: no zone changes within one.
    last: Option<(i64, i64)>,
}

impl<'py> LocalTime<'py> {
    fn offset(&mut self, py: Python<'py>, time: Timestamp) -> PyResult<i64> {
        let quarter = time.0.div_euclid(900_000_000);
        if let Some((known, offset)) = self.last
            && known == quarter
        {
            return Ok(offset);
        }
        let localtime = match &self.localtime {
            Some(localtime) => localtime,
            None => self.localtime.insert(py.import(intern!(py, "time"))?.getattr(intern!(py, "localtime"))?),
        };
        // Systems have no local time for distant years.
        let offset = match localtime.call1((quarter * 900,)) {
            Ok(local) => local.getattr(intern!(py, "tm_gmtoff"))?.extract().unwrap_or(0),
            Err(_) => 0,
        };
        self.last = Some((quarter, offset));
        Ok(offset)
    }
}

/// `size` in megabytes of 2^20 bytes.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn megabytes(size: u64) -> f64 {
    size as f64 / (1 << 20) as f64
}

/// The compression ratio of a value; `None` for a payload of no bytes.
#[allow(clippy::cast_precision_loss)]
fn ratio(original: u64, stored: u64) -> Option<f64> {
    (stored > 0).then(|| original as f64 / stored as f64)
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

/// The items of a dictionary besides the fields; only [`Detail::Full`] has the last one.
const OWN: [&str; 3] = ["compression_info", "cache_key_params", "metadata"];

/// Builds the dictionaries of entries.
pub(crate) struct Writer<'py, 'store> {
    py: Python<'py>,
    detail: Detail,
    /// Knows where the blobs are.
    blobs: &'store dyn BlobBackend,
    templates: Vec<Template<'py>>,
    local: LocalTime<'py>,
}

/// The number of templates kept: more than a store usually has formats.
const TEMPLATES: usize = 16;

/// A dictionary with all names, so that a copy need not grow, and with the values that entries of one format share, so
/// that they are not set again.
struct Template<'py> {
    dict: Bound<'py, PyDict>,
    compression_info: Bound<'py, PyDict>,
    format: Format,
}

/// The texts that describe how a value is stored, with their names.
fn texts(format: &Format) -> [(&'static str, &Name); 6] {
    [
        ("data_type", &format.data_type),
        ("object_type", &format.object_type),
        ("handler_used", &format.handler),
        ("storage_format", &format.storage_format),
        ("serializer", &format.storage_format),
        ("compression_codec", &format.compression),
    ]
}

impl<'py> Template<'py> {
    /// The template of entries of this format that are inline, were never read, never expire and have no description.
    fn new(py: Python<'py>, detail: Detail, format: &Format) -> PyResult<Self> {
        let dict = PyDict::new(py);
        let none = py.None();
        let own = if detail == Detail::Full { &OWN[..] } else { &OWN[..OWN.len() - 1] };
        for name in FIELDS.iter().chain(own) {
            dict.set_item(PyString::intern(py, name), &none)?;
        }
        for (name, text) in texts(format) {
            dict.set_item(name, PyString::intern(py, text))?;
        }
        dict.set_item("description", "")?;
        dict.set_item("inline", true)?;
        dict.set_item("access_count", 0)?;
        let compression_info = PyDict::new(py);
        compression_info.set_item(intern!(py, "codec"), PyString::intern(py, &format.compression))?;
        compression_info.set_item(intern!(py, "format"), PyString::intern(py, &format.storage_format))?;
        for name in ["original_size", "compressed_size", "ratio"] {
            compression_info.set_item(PyString::intern(py, name), &none)?;
        }
        Ok(Self { dict, compression_info, format: format.clone() })
    }
}

impl<'py, 'store> Writer<'py, 'store> {
    pub(crate) fn new(py: Python<'py>, store: &'store Store, detail: Detail) -> Self {
        Self { py, detail, blobs: store.blobs(), templates: Vec::new(), local: LocalTime::default() }
    }

    /// The template for entries of this format.
    fn template(&mut self, format: &Format) -> PyResult<&Template<'py>> {
        let found = self.templates.iter().position(|template| texts(&template.format) == texts(format));
        let place = match found {
            Some(place) => place,
            None => {
                if self.templates.len() == TEMPLATES {
                    self.templates.clear();
                }
                self.templates.push(Template::new(self.py, self.detail, format)?);
                self.templates.len() - 1
            }
        };
        Ok(&self.templates[place])
    }

    /// The dictionary of an entry; `inline` means that it contains its payload.
    pub(crate) fn entry(&mut self, entry: &Entry, inline: bool) -> PyResult<Bound<'py, PyDict>> {
        let user = match self.detail {
            Detail::Full => Some(metadata(self.py, entry.metadata.as_deref())?),
            Detail::Brief => None,
        };
        self.fill(entry, inline, user)
    }

    /// Appends the dictionaries of a page.
    pub(crate) fn append_to(&mut self, list: &Bound<'py, PyList>, page: &[EntrySummary]) -> PyResult<()> {
        let py = self.py;
        let mut waiting = Waiting::begin(py);
        for EntrySummary { entry, inline } in page {
            let user = match (self.detail, &entry.metadata) {
                (Detail::Brief, _) => None,
                (Detail::Full, None) => Some(PyDict::new(py).into_any()),
                (Detail::Full, Some(json)) => Some(match plain::untagged(py, json) {
                    Some(user) => user,
                    None => {
                        // Python code creates types that JSON lacks.
                        drop(waiting);
                        let user = plain::json_to_metadata(py, json)?;
                        waiting = Waiting::begin(py);
                        user
                    }
                }),
            };
            list.append(self.fill(entry, *inline, user)?)?;
        }
        Ok(())
    }

    /// The dictionary of an entry; `user` is its metadata.
    fn fill(&mut self, entry: &Entry, inline: bool, user: Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyDict>> {
        let py = self.py;
        let created = (iso(py, entry.created_at, None), self.wall_clock(entry.created_at)?);
        let accessed = match entry.accessed_at {
            time if time == entry.created_at => created.clone(),
            time => (iso(py, time, None), self.wall_clock(time)?),
        };
        let expires = match entry.expires_at {
            Some(time) => Some((iso(py, time, None), self.wall_clock(time)?)),
            None => None,
        };
        let template = self.template(&entry.format)?;
        let dict = template.dict.copy()?;
        macro_rules! set {
            ($name:literal, $value:expr) => {
                dict.set_item(intern!(py, $name), $value)?;
            };
        }
        set!("cache_key", entry.key.as_str());
        let caption = entry.caption();
        if let Some(function) = &caption.function {
            set!("function", function.as_str());
        }
        set!("call", caption.call.as_str());
        if let Some(description) = &entry.description {
            set!("description", description.as_str());
        }
        set!("file_size", entry.size);
        set!("size_mb", megabytes(entry.size));
        if !inline {
            set!("inline", false);
            set!("actual_path", entry.location.locator());
        }
        set!("created", created.0);
        set!("created_at", created.1);
        set!("last_accessed", accessed.0);
        set!("accessed_at", accessed.1);
        if let Some((expires, expires_at)) = expires {
            set!("expires", expires);
            set!("expires_at", expires_at);
        }
        if entry.access_count != 0 {
            set!("access_count", entry.access_count);
        }
        if let Some(computed) = entry.computed {
            set!("compute_seconds", computed.seconds());
        }
        set!("file_hash", hex::<8, 16>(py, &entry.file_hash.to_be_bytes()));
        if let Some(signature) = &entry.signature {
            set!("entry_signature", hex::<32, 64>(py, signature));
        }
        let info = template.compression_info.copy()?;
        let original = entry.format.original_size(entry.size);
        info.set_item(intern!(py, "original_size"), original)?;
        info.set_item(intern!(py, "compressed_size"), entry.size)?;
        info.set_item(intern!(py, "ratio"), original.and_then(|original| ratio(original, entry.size)))?;
        set!("compression_info", info);
        if let Some(encoding) = &entry.params {
            set!("cache_key_params", keys::render_params(py, encoding)?);
        }
        let mut user = user;
        if let Some(blob) = entry.location.blob().filter(|_| !inline) {
            // What a server calls the blob is found beside the user's metadata too, also where a listing lacks that.
            for (name, value) in self.blobs.place(blob) {
                dict.set_item(PyString::intern(py, name), &value)?;
                let user = user.get_or_insert_with(|| PyDict::new(py).into_any());
                if let Ok(user) = user.cast::<PyDict>() {
                    user.set_item(PyString::intern(py, name), &value)?;
                }
            }
        }
        if let Some(user) = user {
            set!("metadata", user);
        }
        Ok(dict)
    }

    /// The local time without a zone.
    fn wall_clock(&mut self, time: Timestamp) -> PyResult<Bound<'py, PyString>> {
        let offset = self.local.offset(self.py, time)?;
        Ok(iso(self.py, time, Some(offset)))
    }
}

/// The user's metadata; an empty dictionary if none was given.
pub(crate) fn metadata<'py>(py: Python<'py>, json: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
    match json {
        Some(json) => plain::json_to_metadata(py, json),
        None => Ok(PyDict::new(py).into_any()),
    }
}

/// The dictionary of one entry, whose metadata also has the technical fields.
pub(crate) fn to_dict<'py>(
    py: Python<'py>,
    store: &Store,
    EntrySummary { entry, inline }: &EntrySummary,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = Writer::new(py, store, Detail::Full).entry(entry, *inline)?;
    py.import(intern!(py, "cacheness._entries"))?.call_method1(intern!(py, "add_technical_fields"), (&dict,))?;
    Ok(dict)
}

/// The result of checking an entry.
pub(crate) fn integrity<'py>(py: Python<'py>, report: &IntegrityReport) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("valid", report.valid)?;
    dict.set_item("expected_hash", format!("{:016x}", report.expected_hash))?;
    dict.set_item("actual_hash", report.actual_hash.map(|hash| format!("{hash:016x}")))?;
    let signature = match report.signature {
        SignatureState::Valid => "valid",
        SignatureState::Unsigned => "unsigned",
        SignatureState::Invalid => "invalid",
    };
    dict.set_item("signature", signature)?;
    dict.set_item("error", &report.problem)?;
    Ok(dict)
}
