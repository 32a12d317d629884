"""Polars frames and series."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from cacheness import _core
from cacheness._labels import Unsupported
from cacheness._tables import Encoded
from cacheness.errors import CacheSerializationError

__all__ = ["describe", "has_empty_arrays", "has_objects", "rebuild"]


def describe(value: Any) -> tuple[dict[str, Any], Encoded] | None:
    """The description of a Polars object, and its columns."""
    cls = type(value)
    if cls is pl.LazyFrame:
        raise CacheSerializationError(
            "a polars.LazyFrame is a query, not a table: it cannot be stored",
            "store the result of collect()",
        )
    if cls is pl.DataFrame:
        kind, frame = "DataFrame", value
    elif cls is pl.Series:
        kind, frame = "Series", value.to_frame()
    else:
        return None
    description: dict[str, Any] = {"kind": kind, "rows": frame.height}
    if any("\0" in name for name in frame.columns):
        # Arrow passes names as C strings.
        description["names"] = frame.columns
        frame = frame.rename(dict(zip(frame.columns, (f"column_{i}" for i in range(frame.width)), strict=True)))
    texts = [name for name, dtype in frame.schema.items() if _is_wide(dtype)]
    if texts:
        # Arrow has no 128-bit integers: their digits are stored.
        description["int128"] = {name: str(frame.schema[name]) for name in texts}
        frame = frame.with_columns(pl.col(name).cast(pl.String) for name in texts)
    nothing = [name for name, dtype in frame.schema.items() if dtype == pl.Null]
    if nothing:
        # Polars exports columns of its type Null in a form that other implementations do not accept.
        description["null"] = nothing
        frame = frame.with_columns(pl.col(name).cast(pl.Boolean) for name in nothing)
    if not _survives(frame):
        lost = [name for name in frame.columns if not _survives(frame.select(pl.col(name)))]
        which = "".join(f"column {name!r} of type {frame.schema[name]}: " for name in lost[:1])
        raise Unsupported(f"{which}it does not come back from Arrow data")
    handler, data_type = ("polars_series", "series") if kind == "Series" else ("polars_dataframes", "dataframe")
    stream = frame if frame.height else _core.Table.empty_like(frame)
    return description, Encoded(stream, "", handler, data_type, "", by_value=True, arrow_only=False)


def rebuild(description: dict[str, Any], table: Any) -> Any:
    """The Polars object that was stored."""
    rows = description["rows"]
    frame = pl.DataFrame(height=rows) if table.num_columns == 0 and rows else pl.DataFrame(table)
    if wide := description.get("int128"):
        types = {"Int128": pl.Int128, "UInt128": pl.UInt128}
        frame = frame.with_columns(pl.col(name).cast(types[dtype]) for name, dtype in wide.items())
    if nothing := description.get("null"):
        frame = frame.with_columns(
            pl.Series(name, [None], dtype=pl.Null).new_from_index(0, frame.height) for name in nothing
        )
    if names := description.get("names"):
        frame = frame.rename(dict(zip(frame.columns, names, strict=True)))
    if frame.height != rows:
        raise CacheSerializationError(f"the table has {frame.height} rows instead of {rows}")
    match description["kind"]:
        case "DataFrame":
            return frame
        case "Series":
            return frame.to_series()
        case kind:
            raise CacheSerializationError(f"unknown kind of Polars object {kind!r}")


def _is_wide(dtype: Any) -> bool:
    return dtype in (getattr(pl, "Int128", None), getattr(pl, "UInt128", None))


def _survives(frame: pl.DataFrame) -> bool:
    """Whether the types come back unchanged through Arrow; tested with a frame of the same types without rows."""
    # Polars exports the addresses of objects, and aborts the process for the names of some fields.
    if any(has_objects(dtype) or _has_nul(dtype) or has_empty_arrays(dtype) for dtype in frame.dtypes):
        return False
    empty = frame.clear()
    try:
        back = pl.DataFrame(_core.Table.empty_like(empty))
    except (CacheSerializationError, pl.exceptions.PolarsError, ValueError, TypeError):
        return False
    return back.schema == empty.schema


def has_empty_arrays(dtype: Any) -> bool:
    """Whether a type contains arrays of width 0, at any depth: Polars writes those but cannot read them back."""
    return any(isinstance(part, pl.Array) and part.size == 0 for part in _parts(dtype))


def has_objects(dtype: Any) -> bool:
    """Whether a type contains Python objects, at any depth: writing those inside other types aborts the process."""
    return any(part == pl.Object for part in _parts(dtype))


def _has_nul(dtype: Any) -> bool:
    return any("\0" in field.name for part in _parts(dtype) if isinstance(part, pl.Struct) for field in part.fields)


def _parts(dtype: Any) -> Iterator[Any]:
    """A type and its inner types, at any depth."""
    yield dtype
    inside: list[Any]
    if isinstance(dtype, pl.Struct):
        inside = [field.dtype for field in dtype.fields]
    else:
        inside = [getattr(dtype, name, None) for name in ("inner", "key", "value")]
    for part in inside:
        if part is not None:
            yield from _parts(part)
