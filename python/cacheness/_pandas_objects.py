"""Columns of Python objects: of one builtin type, with missing values of one kind among them."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from cacheness import _core
from cacheness._labels import Unsupported
from cacheness._pandas_nans import usual_nan
from cacheness.errors import CacheSerializationError

__all__ = ["dump_objects", "load_objects"]

_OBJECTS: dict[type, tuple[str, Any]] = {
    str: ("str", pa.large_string()),
    bytes: ("bytes", pa.large_binary()),
    bool: ("bool", pa.bool_()),
    int: ("int", pa.int64()),
    float: ("float", pa.float64()),
    decimal.Decimal: ("Decimal", None),
    dt.date: ("date", pa.date32()),
    dt.time: ("time", pa.time64("us")),
}


def dump_objects(values: np.ndarray) -> tuple[dict[str, Any], Any, Any]:
    """Objects of one builtin type, with missing values of one kind; for floats also NaN."""
    texts = _core.TableColumn.from_texts(np.ascontiguousarray(values), pd.NA)
    if texts is not None:
        return {"type": "object", "of": "str", "missing": texts[1]}, pa.chunked_array(texts[0]), None
    items = values.tolist()
    types = set(map(type, items))
    missing = None
    for sentinel, name in ((type(None), "None"), (type(pd.NA), "NA")):
        if sentinel in types and missing is None:
            types.discard(sentinel)
            missing = name
    if float in types and len(types) == 2 and missing is None:
        if not all(math.isnan(item) for item in items if type(item) is float):
            raise Unsupported("objects of several types")
        types.discard(float)
        missing = "nan"
        items = [None if type(item) is float else item for item in items]
    elif missing == "NA":
        items = [None if item is pd.NA else item for item in items]
    if not types:
        return {"type": "object", "of": "nothing", "missing": missing}, pa.nulls(len(items)), None
    if len(types) > 1:
        raise Unsupported("objects of several types")
    (cls,) = types
    if cls not in _OBJECTS:
        raise Unsupported(f"objects of {cls.__module__}.{cls.__qualname__}")
    name, arrow_type = _OBJECTS[cls]
    if cls is decimal.Decimal:
        exponents = {item.as_tuple().exponent for item in items if item is not None}
        if len(exponents) != 1 or not isinstance(exponent := exponents.pop(), int) or exponent > 0:
            raise Unsupported("decimals of several scales")
        if any(item is not None and not item and item.is_signed() for item in items):
            raise Unsupported("a negative zero")
        arrow_type = pa.decimal128(38, -exponent) if exponent >= -38 else None
        if arrow_type is None:
            raise Unsupported("decimals of many digits")
    elif cls is dt.time and any(item is not None and (item.tzinfo or item.fold) for item in items):
        raise Unsupported("times with a zone")
    bits = None
    if cls is float:
        missing, bits = _dump_nans(items, missing)
    array = pa.array(items, type=arrow_type, from_pandas=cls is float)
    return {"type": "object", "of": name, "missing": missing}, array, bits


def _dump_nans(items: list[Any], missing: str | None) -> tuple[str | None, Any]:
    """The value that a null represents, and the bits of all other NaN."""
    floats = np.array([0.0 if item is None else item for item in items])
    nans = np.isnan(floats)
    if not nans.any():
        return missing, None
    bits = floats.view(np.uint64)
    beside = nans if missing is not None else nans & (bits != usual_nan(floats.dtype))
    return missing or "nan", pa.array(bits, mask=~beside) if beside.any() else None


_MISSING = {None: None, "None": None, "NA": pd.NA, "nan": np.nan}


def load_objects(spec: dict[str, Any], column: Any) -> np.ndarray:
    missing = _MISSING[spec["missing"]]
    if spec["of"] in ("str", "bytes"):
        texts: np.ndarray | None = column.objects(missing)
        if texts is None:
            raise CacheSerializationError("a column of strings has another type")
        return texts
    array = pa.chunked_array(column)
    values = np.empty(len(array), dtype=object)
    values[:] = array.to_pylist()
    if missing is not None:
        values[array.is_null().to_numpy()] = missing
    return values
