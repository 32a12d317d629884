"""Queries in SQL: parameters, and results as dictionaries or tables."""

from __future__ import annotations

import datetime as dt
import importlib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _core
from ._libraries import check
from .errors import CacheConfigurationError, CacheUnsupportedError

__all__ = ["library", "query"]

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

#: What a parameter may be, for messages.
_TYPES = "None, a bool, an int, a float, a str, bytes, or a datetime with a time zone"


def query(
    owner: _core.CacheBase | _core.StoreBase, sql: str, params: Any, as_: str | None, timeout: float | timedelta | None
) -> Any:
    """The rows of a query, as ``Cache.query_meta`` returns them."""
    if not isinstance(sql, str):
        raise CacheConfigurationError(f"the query is a {type(sql).__name__}", "give a str with one SELECT")
    package = None if as_ is None else library(as_, "query_meta", _FORMS)
    names, values = _params(params)
    result = _core.query_meta(owner, sql, names, values, _seconds(timeout))
    if as_ is None:
        _refuse_duplicates(result, "a dictionary")
        return result.dicts()
    return _FORMS[as_](package, result)


def _seconds(timeout: float | timedelta | None) -> float | None:
    seconds = timeout.total_seconds() if isinstance(timeout, dt.timedelta) else timeout
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or math.isnan(seconds) or seconds < 0:
        raise CacheConfigurationError(f"timeout is {timeout!r}", "give seconds from 0 on, a timedelta, or None")
    return float(seconds)


def _params(params: Any) -> tuple[list[str] | None, list[Any]]:
    """The names of the parameters, if they have any, and their values."""
    if isinstance(params, Mapping):
        for name in params:
            if not isinstance(name, str):
                raise CacheConfigurationError(
                    f"the name {name!r} of a parameter is a {type(name).__name__}", "give a str"
                )
        return list(params), [_value(value, f":{name}") for name, value in params.items()]
    if isinstance(params, (str, bytes, bytearray)) or not isinstance(params, Sequence):
        raise CacheConfigurationError(
            f"params is a {type(params).__name__}",
            "give a sequence of values for each ? of the query, as in (value,), or a mapping for its :names",
        )
    return None, [_value(value, str(number)) for number, value in enumerate(params, 1)]


def _value(value: Any, place: str) -> Any:
    """A value that SQL knows."""
    if value is None or isinstance(value, (bool, float, str, bytes)):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise CacheConfigurationError(f"parameter {place} is {value}, which has more than 64 bits", "give a str")
        return int(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise CacheConfigurationError(
                f"parameter {place} is a datetime without a time zone",
                "give value.astimezone(), if it is local time: the times of entries are in UTC",
            )
        return value.astimezone(dt.UTC).isoformat(timespec="microseconds")
    # A scalar of NumPy, without importing NumPy.
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item"):
        item = value.item()
        if type(item).__module__ == "builtins":
            return _value(item, place)
    raise CacheConfigurationError(f"parameter {place} is a {type(value).__name__}", f"give {_TYPES}")


def library(form: str, method: str, forms: Iterable[str]) -> Any:
    """The package that a method makes a table of this form with.

    Raises:
        CacheConfigurationError: there is no such form.
        CacheUnsupportedError: the package is missing or too old.
    """
    if form not in forms:
        raise CacheConfigurationError(f"as_ is {form!r}", f"give None, {', '.join(map(repr, forms))}")
    package = "pyarrow" if form == "arrow" else form
    try:
        found = importlib.import_module(package)
    except ImportError as error:
        raise CacheUnsupportedError(
            f"{method}(as_={form!r}) needs {package}, which cannot be imported: {error}",
            "pip install 'cacheness[dataframes]'",
        ) from error
    check(package)
    return found


def _refuse_duplicates(result: _core.QueryResult, of: str) -> None:
    names = [name for name, _ in result.columns]
    for name in names:
        if names.count(name) > 1:
            raise CacheConfigurationError(
                f"several columns of the result are named {name!r}, but {of} has one value for each name",
                "give each a name of its own with AS",
            )


def _pandas(pd: Any, result: _core.QueryResult) -> Any:
    columns = result.columns
    rows = result.tuples()
    values = zip(*rows, strict=True) if rows else ((),) * len(columns)
    series = {
        place: pd.Series(list(column), dtype=_pandas_dtype(types))
        for place, ((_, types), column) in enumerate(zip(columns, values, strict=True))
    }
    frame = pd.DataFrame(series)
    frame.columns = [name for name, _ in columns]
    return frame


def _pandas_dtype(types: list[str | None]) -> Any:
    """The dtype that keeps each value: integers stay integers beside nulls. ``None`` lets pandas choose."""
    kinds = [kind for kind in types if kind is not None]
    nulls = None in types
    match kinds:
        case ["int"]:
            return "Int64" if nulls else "int64"
        case ["bool"]:
            return "boolean" if nulls else "bool"
        case ["float"]:
            return "float64"
        case ["str"]:
            return None
        case _:
            return object


def _polars(pl: Any, result: _core.QueryResult) -> Any:
    _refuse_duplicates(result, "a Polars frame")
    return pl.DataFrame(result.table())


def _arrow(pa: Any, result: _core.QueryResult) -> Any:
    return pa.RecordBatchReader.from_stream(result.table()).read_all()


_FORMS = {"pandas": _pandas, "polars": _polars, "arrow": _arrow}
