"""pandas indexes: as columns of the table, or in the description for labels of columns and categories."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from cacheness import _core
from cacheness._labels import Unsupported, dump, load
from cacheness._pandas_columns import (
    HAS_STR,
    Columns,
    Source,
    check_freq,
    dump_array,
    dump_codes,
    is_unknown_text,
    load_array,
    load_codes,
)
from cacheness.errors import CacheSerializationError

__all__ = ["dump_index", "embed_index", "load_embedded", "load_index"]

#: Embedded indexes of more objects than this are refused.
_MAX_LABELS = 100_000

_CLASSES = {
    cls.__name__: cls
    for cls in (pd.Index, pd.DatetimeIndex, pd.TimedeltaIndex, pd.PeriodIndex, pd.CategoricalIndex, pd.IntervalIndex)
}


def dump_index(index: pd.Index, columns: Columns) -> dict[str, Any]:
    """Append the parts of an index as columns, and return how to rebuild it.

    Raises:
        Unsupported: the index would not come back unchanged.
    """
    cls = type(index)
    if cls is pd.RangeIndex:
        return {"index": "range", "range": [index.start, index.stop, index.step], "name": dump(index.name)}
    if cls is pd.MultiIndex:
        # An index built without checks may have levels that the constructor refuses.
        if any(level.hasnans or not level.is_unique for level in index.levels):
            raise Unsupported("levels with missing or equal values")
        if any(len(codes) and codes.min() < -1 for codes in index.codes):
            raise Unsupported("codes below -1")
        levels = []
        for number, (level, codes) in enumerate(zip(index.levels, index.codes, strict=True)):
            spec, array = dump_codes(codes, level.rename(None), columns, ordered=False)
            spec["column"] = columns.add(array, _name(index.names[number], number))
            levels.append(spec)
        return {"index": "multi", "levels": levels, "names": [dump(name) for name in index.names]}
    if _CLASSES.get(cls.__name__) is not cls:
        raise Unsupported(f"an index of {cls.__module__}.{cls.__qualname__}")
    values = dump_array(index, columns, _name(index.name, 0))
    described = {"index": cls.__name__, "values": values, "name": dump(index.name)}
    if cls in (pd.DatetimeIndex, pd.TimedeltaIndex) and index.freq is not None:
        described["freq"] = check_freq(index.freq)
    return described


def load_index(described: dict[str, Any], source: Source) -> pd.Index:
    """The index that :func:`dump_index` described."""
    kind = described["index"]
    if kind == "range":
        return pd.RangeIndex(*described["range"], name=load(described["name"]))
    if kind == "multi":
        parts = [load_codes(spec, source.column(spec["column"])) for spec in described["levels"]]
        return pd.MultiIndex(
            levels=[levels for _, levels in parts],
            codes=[codes for codes, _ in parts],
            names=[load(name) for name in described["names"]],
            verify_integrity=True,
        )
    cls = _CLASSES.get(kind)
    if cls is None:
        raise CacheSerializationError(f"unknown kind of index {kind!r}")
    values = _load_labels(described["values"], source)
    name = load(described["name"])
    if "freq" in described:
        return cls(values, freq=described["freq"], name=name, copy=False)
    index = cls(values, dtype=values.dtype, name=name, copy=False)
    if type(index) is not cls:
        raise CacheSerializationError(f"an index comes back as {type(index).__name__} instead of {kind}")
    return index


def _load_labels(spec: dict[str, Any], source: Source) -> Any:
    if not is_unknown_text(spec):
        return load_array(spec, source)
    return _as_objects(pa.chunked_array(source.column(spec["column"])).to_numpy(zero_copy_only=False))


def _as_objects(texts: Iterable[str | None]) -> Any:
    # A pandas without the type ``str`` creates objects; all versions treat these labels as equal.
    return np.array([np.nan if text is None else text for text in texts], dtype=object)


def embed_index(index: pd.Index) -> dict[str, Any]:
    """An index as JSON data: readable labels if they are texts, Arrow data otherwise.

    Raises:
        Unsupported: the index would not come back unchanged.
    """
    if type(index) is pd.Index and index.dtype == object:
        if len(index) > _MAX_LABELS:
            raise Unsupported("many labels")
        return {"index": "objects", "labels": [dump(label) for label in index], "name": dump(index.name)}
    if type(index) is pd.Index and isinstance(index.dtype, pd.StringDtype) and not index.hasnans:
        described = {"index": "strings", "labels": index.tolist(), "name": dump(index.name)}
        described["storage"] = index.dtype.storage
        described["missing"] = "NA" if index.dtype.na_value is pd.NA else "nan"
        return described
    parts = Columns()
    described = dump_index(index, parts)
    if parts.arrays:
        batch = parts.table(len(index)).combine_chunks()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_table(batch)
        described["data"] = base64.b64encode(sink.getvalue().to_pybytes()).decode()
    return described


def load_embedded(described: dict[str, Any]) -> pd.Index:
    """The index that :func:`embed_index` described."""
    kind = described["index"]
    if kind == "objects":
        labels = np.empty(len(described["labels"]), dtype=object)
        for place, label in enumerate(described["labels"]):
            labels[place] = load(label)
        return pd.Index(labels, dtype=object, name=load(described["name"]), tupleize_cols=False)
    if kind == "strings" and described["missing"] != "NA" and not HAS_STR:
        return pd.Index(_as_objects(described["labels"]), name=load(described["name"]))
    if kind == "strings":
        missing = pd.NA if described["missing"] == "NA" else np.nan
        dtype = pd.StringDtype(described["storage"], na_value=missing)
        return pd.Index(described["labels"], dtype=dtype, name=load(described["name"]))
    return load_index(described, _Embedded(described.get("data")))


class _Embedded(Source):
    """The columns of an embedded index."""

    def __init__(self, data: str | None) -> None:
        self._columns = [] if data is None else pa.ipc.open_stream(base64.b64decode(data)).read_all().columns

    def column(self, index: int) -> Any:
        return _core.TableColumn.from_arrow(self._columns[index])


def _name(label: Any, number: int) -> str:
    return f"__index_level_{number}__" if label is None else str(label)
