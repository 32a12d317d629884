"""Listings as data frames and Arrow tables, with a typed column for each field."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from . import _core
from ._fields import EPOCH, microseconds, pages, plain_scalar
from ._sql import library

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["frame"]

#: The columns of every table, as in the view ``entries`` of docs/formats/views.md, where a listing has them, and their
#: types. Second names of the same values are left out.
_FIXED = {
    "cache_key": ("cache_key", "str"),
    "function": ("function", "str"),
    "call": ("call", "str"),
    "description": ("description", "str"),
    "data_type": ("data_type", "str"),
    "object_type": ("object_type", "str"),
    "handler_used": ("handler_used", "str"),
    "storage_format": ("storage_format", "str"),
    "compression_codec": ("compression_codec", "str"),
    "file_size": ("file_size", "int"),
    "inline": ("inline", "bool"),
    "actual_path": ("actual_path", "str"),
    "created_at": ("created", "instant"),
    "accessed_at": ("last_accessed", "instant"),
    "expires_at": ("expires", "instant"),
    "access_count": ("access_count", "int"),
    "compute_seconds": ("compute_seconds", "float"),
    "file_hash": ("file_hash", "str"),
    "entry_signature": ("entry_signature", "str"),
}

#: As the view writes parameters.
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

_INTEGERS = range(-(2**63), 2**63)


def frame(
    owner: _core.CacheBase,
    form: str,
    options: dict[str, Any],
    *,
    include_metadata: bool,
) -> Any:
    """The entries of a listing as a table.

    Args:
        owner: the cache.
        form: ``"pandas"``, ``"polars"`` or ``"arrow"``.
        options: the options of ``list_entries`` that select entries.
        include_metadata: whether there are columns of metadata.
    """
    package = library(form, "list_entries", _FORMS)
    names, kinds = list(_FIXED), {name: kind for name, (_, kind) in _FIXED.items()}
    columns: dict[str, list[Any]] = {name: [] for name in [*names, "params"]}
    kinds["params"] = "str"
    metadata: list[dict[str, Any]] = []
    for entry in _entries(owner, options, include_metadata=include_metadata):
        for name, (listed, kind) in _FIXED.items():
            value = entry[listed]
            columns[name].append(_micros(value) if kind == "instant" else value)
        params = entry["cache_key_params"]
        columns["params"].append(None if params is None else _json.encode(params))
        if include_metadata:
            metadata.append(entry["metadata"])
    if include_metadata:
        columns["metadata"] = [_core.metadata_dumps(dict(fields)) if fields else None for fields in metadata]
        kinds["metadata"] = "str"
        for name in dict.fromkeys(name for fields in metadata for name in fields):
            typed = _typed([dict.get(fields, name) for fields in metadata])
            if typed is not None:
                kinds[f"metadata.{name}"], columns[f"metadata.{name}"] = typed
    return _FORMS[form](package, {name: (kinds[name], values) for name, values in columns.items()})


def _entries(owner: _core.CacheBase, options: dict[str, Any], *, include_metadata: bool) -> Iterator[dict[str, Any]]:
    if any(value for name, value in options.items() if name != "where") or options["limit"] is not None:
        yield from _core.CacheBase.list_entries(owner, include_metadata, **options)
        return
    # A page at a time, because dictionaries take several times the memory of columns.
    for page in pages(owner, options["where"], include_metadata=include_metadata):
        yield from page


def _micros(text: str | None) -> int | None:
    return None if text is None else microseconds(dt.datetime.fromisoformat(text))


def _typed(values: Iterable[Any]) -> tuple[str, list[Any]] | None:
    """The type that all values of a field have, and the values; ``None`` if there is no such type, or no value."""
    values = [plain_scalar(value) for value in values]
    kinds = {_kind(value) for value in values if value is not None}
    integers = (value for value in values if isinstance(value, int))
    if kinds == {"int", "float"} and all(float(value) == value for value in integers):
        return "float", [None if value is None else float(value) for value in values]
    if len(kinds) != 1 or None in kinds:
        return None
    (kind,) = kinds
    convert = _CONVERSIONS.get(kind or "")
    return kind or "", [None if value is None else convert(value) for value in values] if convert else values


def _kind(value: Any) -> str | None:
    match value:
        case bool():
            return "bool"
        case int():
            return "int" if value in _INTEGERS else None
        case float():
            return "float"
        case str():
            # A lone surrogate has no place in a column of Arrow.
            return "str" if value.isascii() or value.encode("utf-8", "ignore").decode() == value else None
        case dt.datetime():
            return "wall clock" if value.tzinfo is None else "instant"
        case dt.date():
            return "date"
        case dt.timedelta():
            return "duration"
    return None


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "str": str,
    "instant": microseconds,
    "wall clock": microseconds,
    "date": lambda date: (date - EPOCH.date()).days,
    "duration": lambda duration: duration // dt.timedelta(microseconds=1),
}


def _pandas(pd: Any, columns: dict[str, tuple[str, list[Any]]]) -> Any:
    import numpy as np

    strings = pd.Series(["a"]).dtype

    def series(kind: str, values: list[Any]) -> Any:
        nulls = None in values
        match kind:
            case "str":
                return pd.Series(values, dtype=strings)
            case "int":
                return pd.Series(values, dtype="Int64" if nulls else "int64")
            case "bool":
                return pd.Series(values, dtype="boolean" if nulls else "bool")
            case "float":
                return pd.Series(values, dtype="float64")
            case "date":
                dates = [None if days is None else dt.date.fromordinal(EPOCH.toordinal() + days) for days in values]
                return pd.Series(dates, dtype=object)
        lowest = np.iinfo(np.int64).min  # not a time
        numbers = np.array([lowest if value is None else value for value in values], dtype=np.int64)
        times = pd.Series(numbers.view("timedelta64[us]" if kind == "duration" else "datetime64[us]"))
        return times.dt.tz_localize("UTC") if kind == "instant" else times

    return pd.DataFrame({name: series(kind, values) for name, (kind, values) in columns.items()})


def _polars(pl: Any, columns: dict[str, tuple[str, list[Any]]]) -> Any:
    plain = {"str": pl.String, "int": pl.Int64, "bool": pl.Boolean, "float": pl.Float64}
    times = {
        "instant": (pl.Int64, pl.Datetime("us", "UTC")),
        "wall clock": (pl.Int64, pl.Datetime("us")),
        "duration": (pl.Int64, pl.Duration("us")),
        "date": (pl.Int32, pl.Date),
    }

    def series(name: str, kind: str, values: list[Any]) -> Any:
        if kind in plain:
            return pl.Series(name, values, dtype=plain[kind])
        number, time = times[kind]
        return pl.Series(name, values, dtype=number).cast(time)

    return pl.DataFrame([series(name, kind, values) for name, (kind, values) in columns.items()])


def _arrow(pa: Any, columns: dict[str, tuple[str, list[Any]]]) -> Any:
    plain = {"str": pa.string(), "int": pa.int64(), "bool": pa.bool_(), "float": pa.float64()}
    times = {
        "instant": (pa.int64(), pa.timestamp("us", "UTC")),
        "wall clock": (pa.int64(), pa.timestamp("us")),
        "duration": (pa.int64(), pa.duration("us")),
        "date": (pa.int32(), pa.date32()),
    }

    def array(kind: str, values: list[Any]) -> Any:
        if kind in plain:
            return pa.array(values, plain[kind])
        number, time = times[kind]
        return pa.array(values, number).cast(time)

    return pa.table({name: array(kind, values) for name, (kind, values) in columns.items()})


_FORMS = {"pandas": _pandas, "polars": _polars, "arrow": _arrow}
