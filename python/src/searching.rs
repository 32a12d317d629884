//! Counting, full-text search, indexes and tags, of caches and stores.

use cacheness_core::backend::{MetadataBackend, Query};
use cacheness_core::query::{Field, Filter};
use cacheness_core::store::Store;
use cacheness_core::tags;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::cache::PyCache;
use crate::entries::{Detail, Writer};
use crate::errors::IntoPyResult;
use crate::filters;
use crate::kwargs::{Call, Method, text};
use crate::store::PyStore;

/// A cache or a store.
#[derive(FromPyObject)]
pub(crate) enum Held<'py> {
    Cache(PyRef<'py, PyCache>),
    Store(PyRef<'py, PyStore>),
}

impl Held<'_> {
    pub(crate) fn store(&self) -> PyResult<&Store> {
        match self {
            Self::Cache(cache) => Ok(cache.engine()?.store()),
            Self::Store(store) => store.engine(),
        }
    }

    fn metadata(&self) -> PyResult<&dyn MetadataBackend> {
        self.store().map(Store::metadata)
    }
}

/// The filter of a dictionary; of `None` that of all entries.
pub(crate) fn optional_filter(where_: Option<&Bound<'_, PyAny>>) -> PyResult<Filter> {
    where_.filter(|given| !given.is_none()).map_or_else(|| Ok(Filter::all()), filters::filter)
}

/// A list of dictionaries as notebooks show it.
pub(crate) fn listing<'py>(list: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyAny>> {
    let py = list.py();
    py.import(intern!(py, "cacheness._entries"))?.getattr(intern!(py, "Entries"))?.call1((list,))
}

/// Tags given as a list, a tuple or a set.
pub(crate) fn strings(given: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let wrong = |what: String| PyTypeError::new_err(format!("tags is a list of strings, not {what}"));
    if given.is_instance_of::<PyString>() {
        return Err(wrong(format!("a string: write tags=[{}]", given.repr()?)));
    }
    let class = |value: &Bound<'_, PyAny>| value.get_type().name().map(|name| format!("a {name}"));
    let Ok(items) = given.try_iter() else { return Err(wrong(class(given)?)) };
    let string = |item: PyResult<Bound<'_, PyAny>>| {
        let item = item?;
        if !item.is_instance_of::<PyString>() {
            return Err(wrong(format!("one with {}", class(&item)?)));
        }
        text(&item, "a tag").map(str::to_owned)
    };
    items.map(string).collect()
}

/// The number of entries that match a filter.
#[pyfunction]
#[pyo3(signature = (held, r#where, /))]
fn count(py: Python<'_>, held: Held<'_>, r#where: Option<&Bound<'_, PyAny>>) -> PyResult<u64> {
    let filter = optional_filter(r#where)?;
    match &held {
        Held::Cache(cache) => {
            let engine = cache.engine()?;
            py.detach(|| engine.count(&filter)).into_py_result()
        }
        Held::Store(store) => {
            let store = store.engine()?;
            py.detach(|| store.metadata().count(&Query { filter: Some(&filter), ..Query::default() })).into_py_result()
        }
    }
}

/// The entries that match a full-text query and a filter, the most relevant first.
#[pyfunction]
#[pyo3(signature = (held, text, r#where, limit, include_metadata, /))]
fn search<'py>(
    py: Python<'py>,
    held: Held<'_>,
    text: &Bound<'py, PyAny>,
    r#where: Option<&Bound<'py, PyAny>>,
    limit: Option<usize>,
    include_metadata: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let text = crate::kwargs::text(text, "text")?;
    let filter = optional_filter(r#where)?;
    let list = PyList::empty(py);
    // For the engine 0 is no limit.
    let most = limit.unwrap_or(0);
    let (store, found) = match &held {
        Held::Cache(cache) => {
            let engine = cache.engine()?;
            (engine.store(), py.detach(|| engine.text_search(text, &filter, most)).into_py_result()?)
        }
        Held::Store(store) => {
            let store = store.engine()?;
            let query = Query { filter: Some(&filter), ..Query::default() };
            (store, py.detach(|| store.metadata().text_search(text, &query, most)).into_py_result()?)
        }
    };
    if limit != Some(0) {
        let detail = if include_metadata { Detail::Full } else { Detail::Brief };
        Writer::new(py, store, detail).append_to(&list, &found)?;
    }
    listing(&list)
}

/// Creates the index of a field of the metadata; `False` if there is one.
#[pyfunction]
#[pyo3(signature = (held, field, /))]
fn create_index(py: Python<'_>, held: Held<'_>, field: &Bound<'_, PyAny>) -> PyResult<bool> {
    let field = Field::parse(text(field, "field")?).into_py_result()?;
    let metadata = held.metadata()?;
    py.detach(|| metadata.create_index(&field)).into_py_result()
}

/// Removes the index of a field of the metadata; `False` if there is none.
#[pyfunction]
#[pyo3(signature = (held, field, /))]
fn drop_index(py: Python<'_>, held: Held<'_>, field: &Bound<'_, PyAny>) -> PyResult<bool> {
    let field = Field::parse(text(field, "field")?).into_py_result()?;
    let metadata = held.metadata()?;
    py.detach(|| metadata.drop_index(&field)).into_py_result()
}

/// The fields that have an index.
#[pyfunction]
#[pyo3(signature = (held, /))]
fn indexes(py: Python<'_>, held: Held<'_>) -> PyResult<Vec<String>> {
    let metadata = held.metadata()?;
    let fields = py.detach(|| metadata.indexes()).into_py_result()?;
    Ok(fields.iter().map(ToString::to_string).collect())
}

/// Creates the full-text index, or removes it; `False` if there is one, or none.
#[pyfunction]
#[pyo3(signature = (held, wanted, /))]
fn set_text_index(py: Python<'_>, held: Held<'_>, wanted: bool) -> PyResult<bool> {
    let metadata = held.metadata()?;
    py.detach(|| if wanted { metadata.create_text_index() } else { metadata.drop_text_index() }).into_py_result()
}

/// All tags, and how many entries have each.
#[pyfunction]
#[pyo3(name = "tags", signature = (held, /))]
fn all_tags<'py>(py: Python<'py>, held: Held<'_>) -> PyResult<Bound<'py, PyDict>> {
    let store = held.store()?;
    let counts = py.detach(|| store.tags()).into_py_result()?;
    let dict = PyDict::new(py);
    counts.into_iter().try_for_each(|(tag, count)| dict.set_item(tag, count))?;
    Ok(dict)
}

/// Adds tags to the entry of a cache and removes others; `False` if there is no entry.
#[pyfunction]
#[pyo3(signature = (cache, add, remove, /, **params))]
fn change_tags(
    py: Python<'_>,
    cache: &PyCache,
    add: &Bound<'_, PyAny>,
    remove: &Bound<'_, PyAny>,
    params: Option<&Bound<'_, PyDict>>,
) -> PyResult<bool> {
    let engine = cache.engine()?;
    let (add, remove) = (strings(add)?, strings(remove)?);
    let key = Call::new(py, params, Method::Keyed)?.key(&engine.store().config().serialization)?;
    py.detach(|| engine.change_tags(&key, &add, &remove)).into_py_result()
}

/// [`change_tags`] for the entry of a store.
#[pyfunction]
#[pyo3(signature = (store, add, remove, key, /))]
fn change_tags_of(
    py: Python<'_>,
    store: &PyStore,
    add: &Bound<'_, PyAny>,
    remove: &Bound<'_, PyAny>,
    key: &Bound<'_, PyAny>,
) -> PyResult<bool> {
    let store = store.engine()?;
    let (add, remove, key) = (strings(add)?, strings(remove)?, text(key, "key")?);
    py.detach(|| store.change_tags(key, &add, &remove)).into_py_result()
}

/// The metadata in the form of the store, with tags.
pub(crate) fn tagged(metadata: Option<String>, tags: Option<&Bound<'_, PyAny>>) -> PyResult<Option<String>> {
    match tags.filter(|tags| !tags.is_none()) {
        None => Ok(metadata),
        Some(given) => tags::join(metadata, &strings(given)?).into_py_result(),
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(count, m)?)?;
    m.add_function(wrap_pyfunction!(search, m)?)?;
    m.add_function(wrap_pyfunction!(create_index, m)?)?;
    m.add_function(wrap_pyfunction!(drop_index, m)?)?;
    m.add_function(wrap_pyfunction!(indexes, m)?)?;
    m.add_function(wrap_pyfunction!(set_text_index, m)?)?;
    m.add_function(wrap_pyfunction!(all_tags, m)?)?;
    m.add_function(wrap_pyfunction!(change_tags, m)?)?;
    m.add_function(wrap_pyfunction!(change_tags_of, m)?)
}
