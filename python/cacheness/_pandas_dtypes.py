"""What columns and indexes of pandas have in common: the dtypes that survive without an index, and time zones."""

from __future__ import annotations

import datetime as dt
import inspect
import zoneinfo
from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from cacheness import _core
from cacheness._labels import Unsupported
from cacheness._pandas_nans import dump_nans
from cacheness.errors import CacheSerializationError, CacheUnsupportedError

NUMBERS = {"bool", "float16", "float32", "float64"} | {f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)}
_UNITS = ("s", "ms", "us", "ns")
NAT = np.iinfo(np.int64).min
#: Whether this pandas has the type ``str`` beside ``string``.
HAS_STR = "na_value" in inspect.signature(pd.StringDtype).parameters


class Columns:
    """The Arrow columns of a table that is being described or, if they are ``parts``, of one column of it."""

    def __init__(self, *, parts: bool = False) -> None:
        self.parts = parts
        self.arrays: list[Any] = []
        self.names: list[str] = []
        self.beside: set[int] = set()
        self.arrow_only = False

    def add(self, array: Any, name: str, *, beside: bool = False) -> int:
        """Append a column under a unique name; the name of a column ``beside`` others yields to theirs."""
        if beside:
            self.beside.add(len(self.arrays))
        self.arrays.append(array)
        self.names.append(name)
        return len(self.arrays) - 1

    def table(self, rows: int) -> pa.Table:
        """All columns, under unique names."""
        taken = set(self.names)
        seen: set[str] = set()
        names = [""] * len(self.names)
        for place in sorted(range(len(names)), key=lambda place: place in self.beside):
            name = self.names[place].replace("\0", "\N{REPLACEMENT CHARACTER}")  # Arrow passes names as C strings
            unique, count = name, 1
            while unique in seen or (count > 1 and unique in taken):
                count += 1
                unique = f"{name}_{count}"
            seen.add(unique)
            names[place] = unique
        try:
            table = pa.Table.from_arrays(self.arrays, names=names)
        except (UnicodeEncodeError, pa.ArrowException) as error:
            raise Unsupported(str(error)) from error
        if self.arrays and table.num_rows != rows:
            raise Unsupported("columns of different lengths")
        return table


class Source:
    """The columns of a table that is being rebuilt."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def column(self, index: int) -> Any:
        """The column, once."""
        return self._table.take(index)


class Given(Source):
    """A source of one given column."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def column(self, index: int) -> Any:  # noqa: ARG002 - there is one column
        return _core.TableColumn.from_arrow(pa.chunked_array([self._array]))


def dump_numpy(values: np.ndarray) -> tuple[dict[str, Any], Any, Any]:
    """How to rebuild the values, the values, and the bits of the NaN that a null does not represent, if any."""
    dtype = values.dtype
    if not dtype.isnative:
        raise Unsupported(f"byte order of {dtype.str}")
    if dtype.name in NUMBERS:
        spec: dict[str, Any] = {"type": dtype.name}
        if dtype.kind != "f" or not (missing := np.isnan(values)).any():
            return spec, pa.array(values, from_pandas=False), None
        # As pandas exports it: NaN is missing.
        nan, bits = dump_nans(values, missing)
        return spec | nan, pa.array(values, mask=missing, from_pandas=False), bits
    if dtype.kind in "mM" and np.datetime_data(dtype)[0] in _UNITS and np.datetime_data(dtype)[1] == 1:
        return {"type": dtype.name}, pa.array(values), None
    if dtype.name in ("complex64", "complex128"):
        parts = np.ascontiguousarray(values).view(f"float{dtype.itemsize * 4}")
        return {"type": dtype.name}, pa.FixedSizeListArray.from_arrays(pa.array(parts, from_pandas=False), 2), None
    raise Unsupported(f"dtype {dtype}")


MASKED = tuple(
    getattr(pd, name)
    for name in [
        "BooleanDtype",
        "Int8Dtype",
        "Int16Dtype",
        "Int32Dtype",
        "Int64Dtype",
        "UInt8Dtype",
        "UInt16Dtype",
        "UInt32Dtype",
        "UInt64Dtype",
        "Float32Dtype",
        "Float64Dtype",
    ]
)
MASKED_BY_NAME = {cls().name: cls for cls in MASKED}


def dump_arrow(values: Any, dtype: pd.ArrowDtype, columns: Columns) -> Any:
    """Arrow's own array, if its type survives a file."""
    from cacheness._tables_arrow import has_dictionary, survives

    array = values.__arrow_array__()
    array = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    if array.type != dtype.pyarrow_dtype or not survives(pa.schema([("column", array.type)])):
        raise Unsupported(f"dtype {dtype}")
    if has_dictionary(array.type):
        if array.num_chunks > 1:
            raise Unsupported("dictionaries in chunks")
        columns.arrow_only = True
    return array


def to_numpy(chunks: Iterable[Any]) -> tuple[np.ndarray, np.ndarray | None]:
    """The values of Arrow arrays of numbers, and where they are null."""
    found = _core.TableColumn.from_arrow(pa.chunked_array(chunks)).numpy()
    if found is None:
        raise CacheSerializationError("a column of numbers has another type")
    return found


def indices_of(chunk: Any) -> np.ndarray:
    """The indices of a dictionary array; -1 where it is null."""
    indices, missing = to_numpy([chunk.indices])
    if missing is None:
        return indices
    indices = indices.astype(np.int64)
    indices[missing] = -1
    return indices


def concat(parts: Iterable[np.ndarray]) -> np.ndarray:
    """All parts in one array."""
    arrays = list(parts)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays) if arrays else np.array([], np.int64)


def in_one(array: Any) -> Any:
    """The array in one chunk."""
    if not isinstance(array, pa.ChunkedArray):
        return array
    return array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()


def chunks_of(column: Any) -> list[Any]:
    """The chunks of a column; one that is empty if there are none."""
    array = pa.chunked_array(column)
    return array.chunks or [pa.array([], array.type)]


def is_unknown_text(spec: dict[str, Any]) -> bool:
    """Whether a column has the type ``str`` (text whose missing value is NaN) and this pandas lacks it."""
    return spec.get("type") == "string" and spec["missing"] != "NA" and not HAS_STR


def string_dtype(spec: dict[str, Any]) -> pd.StringDtype:
    """The dtype of text that a description says."""
    if is_unknown_text(spec):
        raise CacheUnsupportedError(
            f"its text has the type str, which pandas {pd.__version__} does not have",
            "read it with pandas 2.3 or newer, or store text as dtype 'string', which all versions have",
        )
    if spec["missing"] == "NA":
        return pd.StringDtype(spec["storage"])
    return pd.StringDtype(spec["storage"], na_value=np.nan)


def dump_strings(values: Any) -> Any:
    """Texts that pandas holds as Python objects."""
    texts = np.asarray(values, dtype=object)
    missing = values.isna()
    if missing.all():
        return pa.nulls(len(texts), pa.large_string())
    if missing.any():
        texts = texts.copy()
        texts[missing] = None
    found = _core.TableColumn.from_texts(np.ascontiguousarray(texts), pd.NA)
    if found is None:
        raise Unsupported("subclasses of strings")
    return pa.chunked_array(found[0])


def check_freq(freq: Any) -> str | None:
    """The text of a frequency, if it is complete."""
    if freq is None:
        return None
    try:
        says_all = pd.tseries.frequencies.to_offset(freq.freqstr) == freq
    except ValueError:
        says_all = False
    if not says_all:
        raise Unsupported(f"frequency {freq!r}")
    return str(freq.freqstr)


def dump_zone(zone: Any) -> list[Any]:
    """A time zone as its kind and name, if these are complete."""
    cls = type(zone)
    if cls is dt.timezone and zone == dt.UTC:
        described: list[Any] = ["utc"]
    elif cls is dt.timezone:
        offset = zone.utcoffset(None)
        described = ["offset", offset // dt.timedelta(microseconds=1)]
        if zone.tzname(None) != dt.timezone(offset).tzname(None):
            raise Unsupported("a fixed offset with a name")
    elif cls is zoneinfo.ZoneInfo and zone.key:
        described = ["zoneinfo", zone.key]
    elif cls.__module__.partition(".")[0] == "pytz" and getattr(zone, "zone", None):
        described = ["pytz", zone.zone]
    else:
        raise Unsupported(f"time zone {zone!r}")
    back = load_zone(described)
    if back is not zone and back != zone:
        raise Unsupported(f"time zone {zone!r}")
    return described


def load_zone(described: list[Any]) -> dt.tzinfo:
    """The time zone of :func:`dump_zone`."""
    match described:
        case ["utc"]:
            return dt.UTC
        case ["offset", microseconds]:
            return dt.timezone(dt.timedelta(microseconds=microseconds))
        case ["zoneinfo", key]:
            return zoneinfo.ZoneInfo(key)
        case ["pytz", key]:
            import pytz

            return cast("dt.tzinfo", pytz.timezone(key))
    raise CacheSerializationError(f"unknown time zone {described!r}")


def arrow_zone(described: list[Any]) -> str:
    """The name of a time zone in Arrow."""
    match described:
        case ["utc"]:
            return "UTC"
        case ["offset", microseconds]:
            minutes, rest = divmod(abs(microseconds), 60_000_000)
            if rest:
                raise Unsupported("an offset of fractions of a minute")
            return f"{'-' if microseconds < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
        case [_, key]:
            return str(key)
    raise CacheSerializationError(f"unknown time zone {described!r}")
