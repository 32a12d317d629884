//! Keywords that are not parameters of a key.
//!
//! They are the same for every method, so that the keywords of `put` can be passed to `get`.

use std::convert::Infallible;
use std::ffi::CString;

use cacheness_core::cache::Ttl;
use cacheness_core::config::SerializationConfig;
use cacheness_core::store::EntryKey;
use cacheness_core::{Error, ErrorKind};
use pyo3::exceptions::{PyTypeError, PyUserWarning};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyEllipsis, PyFloat, PyInt, PyString};

use crate::errors::{IntoPyResult, to_py};
use crate::searching::tagged;
use crate::{keys, plain};

/// Reserved keywords of a call, and the remaining parameters.
#[derive(Default)]
pub(crate) struct Call<'py> {
    metadata: Option<Bound<'py, PyAny>>,
    tags: Option<Bound<'py, PyAny>>,
    /// Objects of models of typed metadata.
    pub(crate) custom: Option<Bound<'py, PyAny>>,
    pub(crate) description: Option<String>,
    pub(crate) ttl_seconds: Option<Bound<'py, PyAny>>,
    pub(crate) default: Option<Bound<'py, PyAny>>,
    pub(crate) mmap_mode: Option<String>,
    pub(crate) strict_verification: Option<bool>,
    cache_key: Option<String>,
    /// Whether parameters beside `cache_key` are ignored.
    key_goes_first: bool,
    params: Option<Bound<'py, PyDict>>,
}

/// The called method; some keywords apply to one method only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Put,
    Get,
    /// A method whose first parameter is a key: parameters beside the key are ignored.
    Keyed,
    Other,
}

/// The role of a keyword.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keyword {
    /// A parameter of the key.
    Parameter,
    /// A parameter with the name of an option in other libraries: `put` warns.
    Suspect,
    /// Not a parameter: removed.
    Reserved,
    /// Reserved, and rare: removed only if it is there.
    Tags,
}

/// Called for every keyword of every call, so it compares lengths first.
fn keyword(name: &str) -> Keyword {
    match name {
        "metadata"
        | "description"
        | "ttl_seconds"
        | "cache_key"
        | "custom_metadata"
        | "default"
        | "mmap_mode"
        | "strict_verification"
        | "params"
        | "verify"
        | "check_expiration"
        | "stale_ttl_seconds"
        | "early_recompute" => Keyword::Reserved,
        "tags" => Keyword::Tags,
        "ttl" | "expire" | "expires" | "expiry" | "tag" => Keyword::Suspect,
        _ => Keyword::Parameter,
    }
}

/// Keywords of a single method, which removes them itself: in other methods they would be parameters of another entry.
const OF_OTHERS: [(&str, &str); 4] = [
    ("verify", "get_slice"),
    ("check_expiration", "get_metadata"),
    ("stale_ttl_seconds", "get_or_compute"),
    ("early_recompute", "get_or_compute"),
];

fn refuse_keyword(name: &str, method: &str) -> PyErr {
    PyTypeError::new_err(format!(
        "{name} is a reserved keyword of {method}(); pass a parameter of that name in params={{'{name}': …}}"
    ))
}

/// Which keywords there are besides parameters.
#[derive(Clone, Copy, Default)]
struct Seen {
    reserved: bool,
    tags: bool,
    suspect: bool,
}

fn look_for(kwargs: &Bound<'_, PyDict>) -> Seen {
    let mut seen = Seen::default();
    for (name, _) in kwargs.iter() {
        match name.cast::<PyString>().ok().and_then(|name| name.to_str().ok()).map(keyword) {
            Some(Keyword::Reserved) => seen.reserved = true,
            Some(Keyword::Tags) => (seen.reserved, seen.tags) = (true, true),
            Some(Keyword::Suspect) => seen.suspect = true,
            _ => {}
        }
    }
    seen
}

/// Warns about parameters that are probably meant as options.
#[cold]
fn warn_of_suspects(kwargs: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = kwargs.py();
    for name in kwargs.keys().iter() {
        let Ok(name) = name.extract::<String>() else { continue };
        if keyword(&name) != Keyword::Suspect {
            continue;
        }
        let meant = if name == "tag" {
            "use tags=[…] for tags, which list_entries(tag=…) finds"
        } else {
            "use ttl_seconds=… for a time to live"
        };
        let sentence = format!(
            "put({name}=…): {name} is a parameter of the key; {meant}. params={{'{name}': …}} means the parameter, \
             without this warning"
        );
        let sentence = CString::new(sentence).map_err(|_| PyTypeError::new_err("a keyword has a NUL character"))?;
        PyErr::warn(py, &py.get_type::<PyUserWarning>(), &sentence, 1)?;
    }
    Ok(())
}

fn take<'py>(kwargs: &Bound<'py, PyDict>, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let value = kwargs.get_item(name)?;
    if value.is_some() {
        kwargs.del_item(name)?;
    }
    Ok(value)
}

/// An optional argument for which `None` is a value.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a, 'py>(Option<Borrowed<'a, 'py, PyAny>>);

impl<'a, 'py> Given<'a, 'py> {
    pub(crate) const LEFT_OUT: Self = Given(None);

    pub(crate) fn is_there(self) -> bool {
        self.0.is_some()
    }

    /// The given value, or else the keyword `name`, which is removed.
    pub(crate) fn or_keyword(
        self,
        name: &Bound<'py, PyString>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match (self.0, kwargs) {
            (Some(given), _) => Ok(Some(given.to_owned())),
            (None, Some(kwargs)) => take(kwargs, name),
            (None, None) => Ok(None),
        }
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Given<'a, 'py> {
    type Error = Infallible;

    fn extract(argument: Borrowed<'a, 'py, PyAny>) -> Result<Self, Infallible> {
        Ok(Given(Some(argument)))
    }
}

impl<'py> Call<'py> {
    /// Removes the reserved keywords from `kwargs`, which belongs to this call.
    pub(crate) fn new(py: Python<'py>, kwargs: Option<&Bound<'py, PyDict>>, method: Method) -> PyResult<Self> {
        let mut call = Self { key_goes_first: method == Method::Keyed, ..Self::default() };
        let Some(kwargs) = kwargs else { return Ok(call) };
        let seen = look_for(kwargs);
        if seen.suspect && method == Method::Put {
            warn_of_suspects(kwargs)?;
        }
        if !seen.reserved {
            call.params = Some(kwargs.clone());
            return Ok(call);
        }
        call.metadata = take(kwargs, intern!(py, "metadata"))?.filter(|m| !m.is_none());
        if seen.tags {
            // As `metadata` and `description`: a call with the keywords of a put means its entry.
            call.tags = take(kwargs, intern!(py, "tags"))?.filter(|_| method == Method::Put);
        }
        call.description = optional_text(take(kwargs, intern!(py, "description"))?, "description")?;
        call.ttl_seconds = take(kwargs, intern!(py, "ttl_seconds"))?;
        call.cache_key = optional_text(take(kwargs, intern!(py, "cache_key"))?, "cache_key")?;
        let custom = take(kwargs, intern!(py, "custom_metadata"))?;
        call.custom = custom.filter(|custom| !custom.is_none() && method == Method::Put);
        for name in [intern!(py, "default"), intern!(py, "mmap_mode"), intern!(py, "strict_verification")] {
            let Some(value) = take(kwargs, name)? else { continue };
            if method != Method::Get {
                return Err(refuse_keyword(name.to_str()?, "get"));
            }
            match name.to_str()? {
                "default" => call.default = Some(value),
                "mmap_mode" => call.mmap_mode = optional_text(Some(value), "mmap_mode")?,
                _ => {
                    let switch = value.extract();
                    call.strict_verification =
                        switch.map_err(|_| wrong_type("strict_verification", &value, "a bool"))?;
                }
            }
        }
        for (name, method) in OF_OTHERS {
            if kwargs.contains(name)? {
                return Err(refuse_keyword(name, method));
            }
        }
        if let Some(params) = take(kwargs, intern!(py, "params"))?
            && !params.is_none()
        {
            let given = params.cast_into::<PyDict>().map_err(|_| {
                PyTypeError::new_err("params must be a dict of parameters; put a parameter named 'params' into it")
            })?;
            let all = given.copy()?;
            for (name, value) in kwargs.iter() {
                if all.contains(&name)? {
                    return Err(PyTypeError::new_err(format!("the parameter {name} is given twice, also in params")));
                }
                all.set_item(name, value)?;
            }
            call.params = Some(all);
        } else {
            call.params = Some(kwargs.clone());
        }
        Ok(call)
    }

    /// The call with a positional key.
    pub(crate) fn with_key(mut self, cache_key: Option<&Bound<'py, PyAny>>) -> PyResult<Self> {
        if let Some(key) = cache_key {
            if self.cache_key.is_some() {
                return Err(PyTypeError::new_err("the key is given twice, also as cache_key"));
            }
            if !key.is_instance_of::<PyString>() {
                let class = key.get_type().name()?;
                return Err(PyTypeError::new_err(format!(
                    "the key of an entry is a str, not a {class}; parameters are keywords: model=…, fold=…, or params={{…}}"
                )));
            }
            self.cache_key = Some(text(key, "cache_key")?.to_owned());
        }
        Ok(self)
    }

    /// Whether the call identifies no entry.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.cache_key.is_none() && self.params.as_ref().is_none_or(|params| params.is_empty())
    }

    /// The key that the call is about.
    pub(crate) fn key(&self, config: &SerializationConfig) -> PyResult<EntryKey> {
        if let Some(name) = &self.cache_key {
            if !self.key_goes_first && self.params.as_ref().is_some_and(|params| !params.is_empty()) {
                return Err(PyTypeError::new_err("give cache_key or parameters, not both"));
            }
            return EntryKey::from_name(name.as_str()).into_py_result();
        }
        let Some(params) = self.params.as_ref().filter(|params| !params.is_empty()) else {
            return Err(PyTypeError::new_err("no parameters to derive a key from; pass some, or cache_key=…"));
        };
        let key = keys::encode_params(params, config)?;
        Ok(EntryKey::from_params(key.key, key.fingerprint, key.encoding))
    }

    /// The metadata in the form of the store, with the tags.
    pub(crate) fn metadata_json(&self) -> PyResult<Option<String>> {
        tagged(self.metadata.as_ref().map(metadata_json).transpose()?, self.tags.as_ref())
    }

    /// The time to live: omitted is the default, `None` is no limit.
    pub(crate) fn ttl(&self) -> PyResult<Ttl> {
        Ok(match &self.ttl_seconds {
            None => Ttl::Default,
            // The default shown in signatures.
            Some(value) if value.is_instance_of::<PyEllipsis>() => Ttl::Default,
            Some(value) if value.is_none() => Ttl::Forever,
            Some(value) => Ttl::Seconds(seconds(value, "ttl_seconds")?),
        })
    }

    /// The maximum age of an entry for this read.
    pub(crate) fn max_age(&self) -> PyResult<Option<f64>> {
        self.ttl_seconds
            .as_ref()
            .filter(|value| !value.is_none())
            .map(|value| seconds(value, "ttl_seconds"))
            .transpose()
    }
}

/// Seconds from a number or a `timedelta`.
pub(crate) fn seconds(value: &Bound<'_, PyAny>, name: &str) -> PyResult<f64> {
    let wrong = || wrong_type(name, value, "a number of seconds or a timedelta");
    // A bool is a number in Python and in NumPy.
    let exact = value.is_exact_instance_of::<PyFloat>() || value.is_exact_instance_of::<PyInt>();
    if !exact && matches!(value.get_type().name()?.to_str()?, "bool" | "bool_") {
        return Err(wrong());
    }
    if let Ok(seconds) = value.extract::<f64>() {
        return Ok(seconds);
    }
    value.call_method0("total_seconds").map_err(|_| wrong())?.extract()
}

/// The text of an argument.
pub(crate) fn text<'a>(value: &'a Bound<'_, PyAny>, name: &str) -> PyResult<&'a str> {
    let text = value.cast::<PyString>().map_err(|_| wrong_type(name, value, "a str"))?;
    text.to_str().map_err(|_| {
        let sentence = format!("{name} holds half of a surrogate pair, which is not valid Unicode");
        to_py(
            Error::new(ErrorKind::InvalidInput, sentence)
                .with_hint("use text.encode('utf-8', 'replace') to replace it"),
        )
    })
}

fn optional_text(value: Option<Bound<'_, PyAny>>, name: &str) -> PyResult<Option<String>> {
    value.filter(|value| !value.is_none()).map(|value| text(&value, name).map(str::to_owned)).transpose()
}

/// The error for an argument of another type than `expected`.
#[cold]
fn wrong_type(name: &str, value: &Bound<'_, PyAny>, expected: &str) -> PyErr {
    match value.get_type().name() {
        Ok(class) => to_py(Error::new(ErrorKind::InvalidInput, format!("{name} must be {expected}, not {class}"))),
        Err(error) => error,
    }
}

/// The metadata in the form of the store: a JSON object.
pub(crate) fn metadata_json(metadata: &Bound<'_, PyAny>) -> PyResult<String> {
    let metadata = metadata.cast::<PyDict>().map_err(|_| PyTypeError::new_err("metadata must be a dict"))?;
    if metadata.is_exact_instance_of::<PyDict>() {
        return plain::metadata_to_json(metadata);
    }
    // A subclass of dict, such as the metadata of another entry or a defaultdict: only its items count.
    plain::metadata_to_json(&metadata.copy()?)
}
