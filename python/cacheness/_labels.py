"""Names, labels and attributes of a table as JSON with exact types."""

from __future__ import annotations

import base64
import datetime as dt
import sys
from typing import Any

__all__ = ["Unsupported", "dump", "load"]

_MAX_DEPTH = 32
_EXACT_INT = 1 << 53


class Unsupported(Exception):  # noqa: N818 - says what the value is
    """A part of a value that a table would not restore unchanged."""


def dump(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON data that :func:`load` turns back into an equal value of the same types.

    Raises:
        Unsupported: a part has another type.
    """
    if depth > _MAX_DEPTH:
        raise Unsupported("nested too deeply")
    cls = type(value)
    if value is None or cls is bool or cls is str:
        return value
    if cls is int:
        return value if abs(value) < _EXACT_INT else {"int": hex(value)}
    if cls is float:
        return {"float": value.hex()}
    if cls is tuple or cls is list:
        return {cls.__name__: [dump(item, depth + 1) for item in value]}
    if cls is dict:
        return {"dict": [[dump(key, depth + 1), dump(item, depth + 1)] for key, item in value.items()]}
    if cls is bytes:
        return {"bytes": base64.b64encode(value).decode()}
    if cls is dt.date:
        return {"date": value.isoformat()}
    if cls is dt.datetime and value.tzinfo is None and value.fold == 0:
        return {"datetime": value.isoformat()}
    if cls.__module__ == "numpy":
        return _dump_numpy(value, cls)
    if cls.__module__.startswith("pandas."):
        return _dump_pandas(value, cls)
    raise Unsupported(f"a label of type {cls.__module__}.{cls.__qualname__}")


def _dump_numpy(value: Any, cls: type) -> Any:
    np = sys.modules["numpy"]
    # Items of an array have no trailing NULs, and an array of items without bytes does not exist.
    if cls is np.str_:
        return {"str_": str.__str__(value)}
    if cls is np.bytes_:
        return {"bytes_": base64.b64encode(bytes.__getitem__(value, slice(None))).decode()}
    if isinstance(value, np.generic) and value.dtype.kind in "biufcmM" and cls is value.dtype.type:
        text = value.dtype.str
        if np.dtype(text).type is cls:
            return {"numpy": [text, base64.b64encode(value.tobytes()).decode()]}
    raise Unsupported(f"a label of type {cls.__module__}.{cls.__qualname__}")


def _dump_pandas(value: Any, cls: type) -> Any:
    pd = sys.modules["pandas"]
    if value is pd.NaT:
        return {"NaT": None}
    if value is pd.NA:
        return {"NA": None}
    if cls is pd.Timestamp and value.tzinfo is None and value.fold == 0:
        return {"Timestamp": [value.to_datetime64().astype("int64").item(), value.unit]}
    if cls is pd.Timedelta:
        return {"Timedelta": [value.to_timedelta64().astype("int64").item(), value.unit]}
    raise Unsupported(f"a label of type {cls.__module__}.{cls.__qualname__}")


def load(data: Any) -> Any:
    """The value that :func:`dump` made ``data`` from."""
    if not isinstance(data, dict):
        return data
    ((tag, body),) = data.items()
    match tag:
        case "int":
            return int(body, 16)
        case "float":
            return float.fromhex(body)
        case "tuple":
            return tuple(load(item) for item in body)
        case "list":
            return [load(item) for item in body]
        case "dict":
            return {load(key): load(item) for key, item in body}
        case "bytes":
            return base64.b64decode(body)
        case "date":
            return dt.date.fromisoformat(body)
        case "datetime":
            return dt.datetime.fromisoformat(body)
        case "numpy":
            import numpy as np

            return np.frombuffer(base64.b64decode(body[1]), dtype=body[0])[0]
        case "str_":
            import numpy as np

            return np.str_(body)
        case "bytes_":
            import numpy as np

            return np.bytes_(base64.b64decode(body))
        case "NaT" | "NA":
            import pandas as pd

            return getattr(pd, tag)
        case "Timestamp":
            import pandas as pd

            return pd.Timestamp(_datetime64("datetime64", *body))
        case "Timedelta":
            import pandas as pd

            return pd.Timedelta(_datetime64("timedelta64", *body))
    raise ValueError(f"unknown label {tag!r}")


def _datetime64(kind: str, ticks: int, unit: str) -> Any:
    import numpy as np

    return getattr(np, kind)(ticks, unit)
