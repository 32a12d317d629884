"""pandas frames and series: labels, indexes and attributes; :mod:`._pandas_columns` has the columns."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pandas as pd

from cacheness._labels import Unsupported, dump, load
from cacheness._pandas_columns import dump_array, dump_index, embed_index, load_array, load_embedded, load_index
from cacheness._pandas_dtypes import Columns, Source
from cacheness._tables import Encoded
from cacheness.errors import CacheSerializationError

__all__ = ["describe", "rebuild"]


def describe(value: Any) -> tuple[dict[str, Any], Encoded] | None:
    """The description of a pandas object, and its columns."""
    cls = type(value)
    if cls is pd.DataFrame:
        handler, data_type = "pandas_dataframes", "dataframe"
        labels = _column_names(value.columns)
        series = [value.iloc[:, i] for i in range(value.shape[1])]
    elif cls is pd.Series:
        handler, data_type = "pandas_series", "series"
        labels = [str(value.name) if value.name is not None else "values"]
        series = [value]
    else:
        return None
    columns = Columns()
    description: dict[str, Any] = {"kind": cls.__name__, "rows": len(value)}
    description["columns"] = []
    for one, label in zip(series, labels, strict=True):
        with _part(f"column {one.name!r} of dtype {one.dtype}" if cls is pd.DataFrame else f"dtype {one.dtype}"):
            description["columns"].append(dump_array(one, columns, label))
    with _part(f"the index, a {type(value.index).__name__} of dtype {value.index.dtype}"):
        description["index"] = dump_index(value.index, columns)
    if cls is pd.DataFrame:
        with _part("the labels of the columns"):
            description["labels"] = embed_index(value.columns)
    else:
        with _part("the name"):
            description["name"] = dump(value.name)
    if value.attrs:
        with _part("attrs"):
            description["attrs"] = dump(value.attrs)
    if not value.flags.allows_duplicate_labels:
        description["unique"] = True
    table = columns.table(len(value))
    return description, Encoded(table, "", handler, data_type, "", by_value=True, arrow_only=columns.arrow_only)


@contextlib.contextmanager
def _part(what: str) -> Iterator[None]:
    """Adds the refused part of the value to the error."""
    try:
        yield
    except Unsupported as error:
        raise Unsupported(f"{what}: {error}") from error


def rebuild(description: dict[str, Any], table: Any) -> Any:
    """The pandas object that was stored."""
    rows = description["rows"]
    source = Source(table)
    arrays = [load_array(spec, source) for spec in description["columns"]]
    index = load_index(description["index"], source)
    if len(index) != rows or any(len(array) != rows for array in arrays):
        raise CacheSerializationError(f"the columns do not have {rows} rows")
    match description["kind"]:
        case "DataFrame":
            labels = load_embedded(description["labels"])
            result: Any = _frame(arrays, index, labels)
        case "Series":
            (array,) = arrays
            result = pd.Series(array, index=index, dtype=_dtype(array), name=load(description["name"]), copy=False)
        case kind:
            raise CacheSerializationError(f"unknown kind of pandas object {kind!r}")
    if "attrs" in description:
        result.attrs = load(description["attrs"])
    if description.get("unique"):
        result.flags.allows_duplicate_labels = False
    return result


def _frame(arrays: list[Any], index: pd.Index, labels: pd.Index) -> pd.DataFrame:
    if len(labels) != len(arrays):
        raise CacheSerializationError(f"there are {len(arrays)} columns and {len(labels)} labels")
    if not arrays:
        return pd.DataFrame(index=index, columns=labels)
    # With explicit dtypes: the constructor of a frame converts objects that look like strings.
    columns = {i: pd.Series(array, index=index, dtype=_dtype(array), copy=False) for i, array in enumerate(arrays)}
    frame = pd.DataFrame(columns, index=index, copy=False)
    frame.columns = labels
    return frame


def _dtype(array: Any) -> Any:
    return array.dtype


def _column_names(labels: pd.Index) -> list[str]:
    """Names for the columns of the file: the labels as text."""
    if isinstance(labels, pd.MultiIndex):
        return [".".join(map(str, label)) for label in labels]
    return [str(label) for label in labels]
