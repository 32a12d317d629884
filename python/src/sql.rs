//! Connections for SQL, below the module `cacheness._dbapi`, which has the interface of PEP 249.

use cacheness::sql::{self, Executed, Session, SqlError, SqlValue};
use pyo3::exceptions::PyOverflowError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple};

use crate::errors::{IntoPyResult, to_py};
use crate::searching::Held;

/// A connection to the metadata database of a cache.
#[pyclass(frozen, module = "cacheness._core", name = "SqlConnection")]
pub(crate) struct SqlConnection {
    session: Session,
}

/// Rows, the statement that has more of them, the names of the columns, the number of changed rows or -1, the last rowid.
type Result5<'py> = (Bound<'py, PyList>, Option<u64>, Vec<String>, i64, i64);

/// The exception of `cacheness._dbapi` for an error.
fn raise(py: Python<'_>, error: SqlError, signal: Option<PyErr>) -> PyErr {
    let (kind, code, message, cause) = match error {
        SqlError::GivenUp => match signal {
            Some(signal) => return signal,
            None => ("sqlite", 0, "the database is locked".to_owned(), None),
        },
        SqlError::Sqlite { code, message } => ("sqlite", code, message, None),
        SqlError::Misuse(message) => ("misuse", 0, message, None),
        SqlError::Gone(message) => ("gone", 0, message.to_owned(), None),
        SqlError::Engine(error) => ("engine", 0, error.to_string(), Some(to_py(error))),
        other => ("sqlite", 0, other.to_string(), None),
    };
    let made = py
        .import(intern!(py, "cacheness._dbapi"))
        .and_then(|module| module.getattr(intern!(py, "make_error")))
        .and_then(|make| make.call1((kind, code, message)));
    match made {
        Ok(error) => {
            let error = PyErr::from_value(error);
            error.set_cause(py, cause);
            error
        }
        Err(failed) => failed,
    }
}

/// Runs `call` without the GIL. While it waits for a lock, signals are handled.
fn detached<T: Send>(
    py: Python<'_>,
    call: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<T, SqlError> + Send,
) -> PyResult<T> {
    let mut signal = None;
    let result = py.detach(|| {
        let mut wait = || {
            signal = Python::attach(|py| py.check_signals().err());
            signal.is_none()
        };
        call(&mut wait)
    });
    result.map_err(|error| raise(py, error, signal))
}

fn value(given: &Bound<'_, PyAny>) -> PyResult<SqlValue> {
    if given.is_none() {
        return Ok(SqlValue::Null);
    }
    if let Ok(text) = given.cast::<PyString>() {
        return Ok(SqlValue::Text(text.to_str()?.to_owned()));
    }
    if given.is_instance_of::<PyInt>() {
        return integer(given);
    }
    if let Ok(number) = given.cast::<PyFloat>() {
        return Ok(SqlValue::Real(number.value()));
    }
    if let Ok(bytes) = given.cast::<PyBytes>() {
        return Ok(SqlValue::Blob(bytes.as_bytes().to_vec()));
    }
    let py = given.py();
    if given.is_instance_of::<PyByteArray>() || given.is_instance_of::<PyMemoryView>() {
        let bytes = py.get_type::<PyBytes>().call1((given,))?.cast_into::<PyBytes>()?;
        return Ok(SqlValue::Blob(bytes.as_bytes().to_vec()));
    }
    // Integers and floating-point numbers of NumPy.
    for (method, is_whole) in [(intern!(py, "__index__"), true), (intern!(py, "__float__"), false)] {
        // Decimal has __float__, and would lose digits.
        let keeps = is_whole || given.hasattr(intern!(py, "dtype"))?;
        if keeps && given.hasattr(method)? {
            let number = given.call_method0(method)?;
            return if is_whole { integer(&number) } else { Ok(SqlValue::Real(number.extract()?)) };
        }
    }
    let message = format!("a parameter is of type {}, which SQLite does not have", given.get_type().name()?);
    Err(raise(py, SqlError::Misuse(message), None))
}

fn integer(given: &Bound<'_, PyAny>) -> PyResult<SqlValue> {
    if given.is_instance_of::<PyBool>() {
        return Ok(SqlValue::Integer(i64::from(given.is_truthy()?)));
    }
    let number = given.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyOverflowError>(given.py()) {
            return PyOverflowError::new_err("the integer is too large: SQLite has 64 bits");
        }
        error
    });
    number.map(SqlValue::Integer)
}

fn values(given: &Bound<'_, PyAny>) -> PyResult<Vec<SqlValue>> {
    if let Ok(tuple) = given.cast::<PyTuple>() {
        return tuple.iter().map(|one| value(&one)).collect();
    }
    given.try_iter()?.map(|one| value(&one?)).collect()
}

fn rows<'py>(py: Python<'py>, columns: usize, values: Vec<SqlValue>) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    let mut values = values.into_iter();
    while values.len() > 0 && columns > 0 {
        let mut row = Vec::with_capacity(columns);
        for value in values.by_ref().take(columns) {
            row.push(match value {
                SqlValue::Null => py.None().into_bound(py),
                SqlValue::Integer(number) => number.into_pyobject(py)?.into_any(),
                SqlValue::Real(number) => number.into_pyobject(py)?.into_any(),
                SqlValue::Text(text) => PyString::new(py, &text).into_any(),
                SqlValue::Blob(bytes) => PyBytes::new(py, &bytes).into_any(),
            });
        }
        list.append(PyTuple::new(py, row)?)?;
    }
    Ok(list)
}

fn result(py: Python<'_>, done: Executed) -> PyResult<Result5<'_>> {
    let changed = done.changed.map_or(-1, |changed| i64::try_from(changed).unwrap_or(i64::MAX));
    let rows = rows(py, done.columns.len(), done.values)?;
    Ok((rows, done.rest, done.columns, changed, done.last_rowid))
}

#[pymethods]
impl SqlConnection {
    /// Runs a statement; returns at most `most` of its rows.
    fn execute<'py>(
        &self,
        py: Python<'py>,
        sql: &str,
        parameters: &Bound<'py, PyAny>,
        most: usize,
    ) -> PyResult<Result5<'py>> {
        let parameters = values(parameters)?;
        let done = detached(py, |wait| self.session.execute(sql, &parameters, most, wait))?;
        result(py, done)
    }

    /// Runs a statement for each set of parameters.
    fn execute_many<'py>(&self, py: Python<'py>, sql: &str, sets: &Bound<'py, PyAny>) -> PyResult<Result5<'py>> {
        let sets = sets.try_iter()?.map(|set| values(&set?)).collect::<PyResult<Vec<_>>>()?;
        let done = detached(py, |wait| self.session.execute_many(sql, &sets, wait))?;
        result(py, done)
    }

    /// The next rows of a statement with this many columns, and whether there are more.
    fn fetch<'py>(
        &self,
        py: Python<'py>,
        statement: u64,
        columns: usize,
        most: usize,
    ) -> PyResult<(Bound<'py, PyList>, bool)> {
        let (values, more) = detached(py, |_| self.session.fetch(statement, most))?;
        Ok((rows(py, columns, values)?, more))
    }

    /// Gives up the other rows of a statement.
    fn finish(&self, py: Python<'_>, statement: u64) {
        py.detach(|| self.session.finish(statement));
    }

    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, |wait| self.session.commit(wait))
    }

    fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, |_| self.session.rollback())
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.session.close());
    }

    /// Whether a transaction is open.
    #[getter]
    fn in_transaction(&self, py: Python<'_>) -> PyResult<bool> {
        detached(py, |_| self.session.in_transaction())
    }

    /// Whether it can be used: not closed, and not opened before a fork.
    #[getter]
    fn usable(&self, py: Python<'_>) -> bool {
        py.detach(|| self.session.is_open())
    }

    /// Sets whether each statement is a transaction of its own.
    fn set_autocommit(&self, py: Python<'_>, autocommit: bool) -> PyResult<()> {
        detached(py, |_| self.session.set_autocommit(autocommit))
    }
}

/// Opens a connection to the metadata database of a cache or a store.
#[pyfunction]
fn sql_connection(py: Python<'_>, held: Held<'_>) -> PyResult<SqlConnection> {
    let store = held.store()?;
    let session = py.detach(|| sql::session(store)).into_py_result()?;
    Ok(SqlConnection { session })
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("SQLITE_VERSION", sql::sqlite_version())?;
    m.add_class::<SqlConnection>()?;
    m.add_function(wrap_pyfunction!(sql_connection, m)?)
}
