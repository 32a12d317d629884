//! Queries in SQL. A thread runs the query, so that this one can look for Ctrl-C meanwhile.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use cacheness::{Cancel, QueryOptions, QueryRows, SqlParams, SqlType, SqlValue};
use cacheness_core::formats::table;
use cacheness_core::{Error, ErrorKind, thread};
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::cache::PyCache;
use crate::errors::{IntoPyResult, to_py};
use crate::store::PyStore;
use crate::tables::Table;

/// How often a waiting thread looks for signals.
const TICK: Duration = Duration::from_millis(50);

/// How many rows become Python objects between two looks for signals.
const PAGE: usize = 1000;

/// How many rows a record batch has.
const BATCH: usize = 1 << 16;

/// The name of a column, and the types of its values; `None` stands for nulls.
type Column = (String, Vec<Option<&'static str>>);

type Work = Arc<dyn Fn() -> cacheness_core::Result<QueryRows> + Send + Sync>;

/// Runs a query in SQL on a cache or a store. `names` has the names of the values if they are named.
#[pyfunction]
#[pyo3(signature = (owner, sql, names, values, timeout, /))]
fn query_meta(
    py: Python<'_>,
    owner: &Bound<'_, PyAny>,
    sql: String,
    names: Option<Vec<String>>,
    values: Vec<Bound<'_, PyAny>>,
    timeout: Option<f64>,
) -> PyResult<QueryResult> {
    let values = values.iter().map(value).collect::<PyResult<Vec<_>>>()?;
    let params = match names {
        Some(names) => SqlParams::Named(names.into_iter().zip(values).collect()),
        None => SqlParams::Positional(values),
    };
    let cancel = Cancel::default();
    let mut options = QueryOptions::new().cancel(&cancel);
    if let Some(seconds) = timeout {
        // A longer time is for ever.
        options = Duration::try_from_secs_f64(seconds).map_or(options.clone(), |timeout| options.timeout(timeout));
    }
    let work: Work = if let Ok(cache) = owner.cast::<PyCache>() {
        cache.get().engine()?;
        let cache = cache.clone().unbind();
        Arc::new(move || match cache.get().engine() {
            Ok(engine) => options.clone().query_cache(engine, &sql, &params),
            Err(_) => Err(Error::new(ErrorKind::Closed, "the cache has not been opened")),
        })
    } else {
        let store = owner.cast::<PyStore>()?;
        store.get().engine()?;
        let store = store.clone().unbind();
        Arc::new(move || match store.get().engine() {
            Ok(engine) => options.clone().query_store(engine, &sql, &params),
            Err(_) => Err(Error::new(ErrorKind::Closed, "the store has not been opened")),
        })
    };
    run(py, &cancel, work).map(|rows| QueryResult(Mutex::new(Some(rows))))
}

/// Runs `work` in another thread, and stops it when a signal raises.
fn run(py: Python<'_>, cancel: &Cancel, work: Work) -> PyResult<QueryRows> {
    let (sender, mut receiver) = sync_channel(1);
    let theirs = Arc::clone(&work);
    // `theirs` comes back with the result, so that this thread drops its reference to a Python object.
    let started = thread::start(move || drop(sender.send((theirs(), theirs))));
    if !started {
        // The system has no more threads.
        return py.detach(|| work()).into_py_result();
    }
    let mut raised = None;
    loop {
        let (result, again) = py.detach(move || (receiver.recv_timeout(TICK), receiver));
        receiver = again;
        match result {
            Ok((result, _)) => return raised.map_or_else(|| result.into_py_result(), Err),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("the thread of the query ended without a result"));
            }
            Err(RecvTimeoutError::Timeout) => {
                if raised.is_none()
                    && let Err(error) = py.check_signals()
                {
                    cancel.cancel();
                    raised = Some(error);
                }
            }
        }
    }
}

/// The value of a parameter: `None`, a `bool`, an `int` of 64 bits, a `float`, a `str` or `bytes`.
fn value(value: &Bound<'_, PyAny>) -> PyResult<SqlValue> {
    Ok(if value.is_none() {
        SqlValue::Null
    } else if let Ok(value) = value.cast::<PyBool>() {
        SqlValue::Bool(value.is_true())
    } else if let Ok(value) = value.cast::<PyInt>() {
        SqlValue::Int(value.extract()?)
    } else if let Ok(value) = value.cast::<PyFloat>() {
        SqlValue::Float(value.extract()?)
    } else if let Ok(value) = value.cast::<PyString>() {
        SqlValue::Text(value.extract()?)
    } else {
        SqlValue::Bytes(value.cast::<PyBytes>()?.as_bytes().to_vec())
    })
}

fn to_python<'py>(py: Python<'py>, value: SqlValue) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        SqlValue::Null => py.None().into_bound(py),
        SqlValue::Bool(value) => PyBool::new(py, value).to_owned().into_any(),
        SqlValue::Int(value) => value.into_pyobject(py)?.into_any(),
        SqlValue::Float(value) => PyFloat::new(py, value).into_any(),
        SqlValue::Text(value) => PyString::new(py, &value).into_any(),
        SqlValue::Bytes(value) => PyBytes::new(py, &value).into_any(),
    })
}

/// The rows of a query; one of the methods takes them.
#[pyclass(module = "cacheness._core", frozen)]
pub(crate) struct QueryResult(Mutex<Option<QueryRows>>);

impl QueryResult {
    fn take(&self) -> PyResult<QueryRows> {
        self.0.lock().take().ok_or_else(|| PyRuntimeError::new_err("the rows have been taken"))
    }

    /// Appends what `make` makes of each row to a list.
    fn collect<'py>(
        &self,
        py: Python<'py>,
        make: impl Fn(Vec<SqlValue>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for (number, row) in self.take()?.into_values().enumerate() {
            if number % PAGE == PAGE - 1 {
                py.check_signals()?;
            }
            list.append(make(row.into_py_result()?)?)?;
        }
        Ok(list)
    }
}

#[pymethods]
impl QueryResult {
    /// The names of the columns, and the types of their values: a set of `bool`, `int`, `float`, `str`, `bytes` and, if
    /// there are nulls, `None`.
    #[getter]
    fn columns(&self) -> PyResult<Vec<Column>> {
        let rows = self.0.lock();
        let rows = rows.as_ref().ok_or_else(|| PyRuntimeError::new_err("the rows have been taken"))?;
        let columns = rows.columns().iter().map(|column| {
            let name = |kind| match kind {
                SqlType::Bool => "bool",
                SqlType::Int => "int",
                SqlType::Float => "float",
                SqlType::Text => "str",
                SqlType::Bytes => "bytes",
            };
            let nulls = column.has_nulls().then_some(None);
            (column.name.clone(), column.types().map(|kind| Some(name(kind))).chain(nulls).collect())
        });
        Ok(columns.collect())
    }

    /// The rows as dictionaries.
    fn dicts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let names: Vec<_> = self.columns()?.iter().map(|(name, _)| PyString::intern(py, name)).collect();
        self.collect(py, |row| {
            let dict = PyDict::new(py);
            for (name, value) in names.iter().zip(row) {
                dict.set_item(name, to_python(py, value)?)?;
            }
            Ok(dict.into_any())
        })
    }

    /// The rows as tuples.
    fn tuples<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.collect(py, |row| {
            let values = row.into_iter().map(|value| to_python(py, value)).collect::<PyResult<Vec<_>>>()?;
            Ok(PyTuple::new(py, values)?.into_any())
        })
    }

    /// The rows as an Arrow table.
    fn table(&self, py: Python<'_>) -> PyResult<Table> {
        use arrow::array::RecordBatchReader as _;

        let rows = self.take()?;
        let read = move || {
            let mut read = rows.into_batches(BATCH)?;
            let schema = read.schema();
            let mut batches = Vec::new();
            for batch in &mut read {
                batches.push(batch.map_err(|error| match error {
                    arrow::error::ArrowError::ExternalError(error) => match error.downcast::<Error>() {
                        Ok(error) => *error,
                        Err(error) => Error::new(ErrorKind::Serialization, error.to_string()),
                    },
                    error => Error::new(ErrorKind::Serialization, error.to_string()),
                })?);
            }
            Ok(table::Table { schema, batches, description: None })
        };
        py.detach(read).map(Table::new).map_err(to_py)
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<QueryResult>()?;
    m.add_function(wrap_pyfunction!(query_meta, m)?)
}
