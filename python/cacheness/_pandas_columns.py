"""Conversion of a pandas column to Arrow and back: a rule for each supported dtype; all others are refused."""

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
from cacheness._pandas_nans import dump_nans, put_nans, put_nans_beside
from cacheness._pandas_objects import dump_objects, load_objects
from cacheness.errors import CacheSerializationError, CacheUnsupportedError

__all__ = ["Columns", "Source", "dump_array", "load_array"]

_NUMBERS = {"bool", "float16", "float32", "float64"} | {f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)}
_UNITS = ("s", "ms", "us", "ns")
_NAT = np.iinfo(np.int64).min
#: Whether this pandas has the type ``str`` beside ``string``.
HAS_STR = "na_value" in inspect.signature(pd.StringDtype).parameters
#: More categories than this are stored as an Arrow dictionary, not in the description.
MAX_CATEGORIES = 10_000


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


def dump_array(values: Any, columns: Columns, name: str) -> dict[str, Any]:
    """Append the values of a series, an index or an extension array as columns, and return how to rebuild them.

    Raises:
        Unsupported: the values would not come back unchanged.
    """
    dtype = values.dtype
    bits = None
    try:
        if isinstance(dtype, np.dtype):
            values = np.asarray(values.to_numpy(copy=False)) if hasattr(values, "to_numpy") else values
            if dtype.kind == "O":
                spec, array, bits = dump_objects(values)
            else:
                spec, array, bits = _dump_numpy(values)
        else:
            spec, array = _dump_extension(getattr(values, "array", values), dtype, columns)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError) as error:
        raise Unsupported(str(error)) from error
    if bits is not None and columns.parts:
        # A side of an interval has no column beside it: its NaN are stored unchanged.
        array, bits = pa.array(values, from_pandas=False), None
    spec["column"] = columns.add(array, name)
    if bits is not None:
        spec["nans"] = columns.add(bits, f"__nan_{name}__", beside=True)
    return spec


def load_array(spec: dict[str, Any], source: Source) -> Any:
    """The NumPy or extension array that :func:`dump_array` described; the caller owns its memory."""
    values = _load(spec, source.column(spec["column"]))
    if "nans" in spec:
        put_nans_beside(values, source.column(spec["nans"]))
    return values


def _dump_numpy(values: np.ndarray) -> tuple[dict[str, Any], Any, Any]:
    """How to rebuild the values, the values, and the bits of the NaN that a null does not represent, if any."""
    dtype = values.dtype
    if not dtype.isnative:
        raise Unsupported(f"byte order of {dtype.str}")
    if dtype.name in _NUMBERS:
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


def _dump_extension(values: Any, dtype: Any, columns: Columns) -> tuple[dict[str, Any], Any]:
    kind = type(dtype)
    if kind is pd.DatetimeTZDtype:
        zone = dump_zone(dtype.tz)
        return (
            {"type": "datetimetz", "unit": dtype.unit, "zone": zone},
            pa.array(values.asi8.view(f"M8[{dtype.unit}]")).cast(pa.timestamp(dtype.unit, tz=arrow_zone(zone))),
        )
    if kind is pd.PeriodDtype:
        if pd.PeriodDtype(freq := dtype.name.removeprefix("period[").removesuffix("]")) != dtype:
            raise Unsupported(f"dtype {dtype}")
        ordinals = values.asi8
        return {"type": "period", "freq": freq}, pa.array(ordinals, mask=ordinals == _NAT)
    if kind is pd.StringDtype:
        if dtype.storage == "python":
            array = _dump_strings(values)
        else:
            array = pa.chunked_array(values.__arrow_array__())
            if array.type != pa.large_string():
                # Strings with 32-bit offsets of older pandas read the same.
                array = array.cast(pa.large_string())
        missing = "NA" if dtype.na_value is pd.NA else "nan"
        return {"type": "string", "storage": dtype.storage, "missing": missing}, array
    if kind is pd.ArrowDtype:
        return {"type": "arrow"}, _dump_arrow(values, dtype, columns)
    if kind is pd.CategoricalDtype:
        return dump_codes(values.codes, dtype.categories, columns, ordered=bool(dtype.ordered))
    if kind is pd.IntervalDtype:
        parts = Columns(parts=True)
        spec = {"type": "interval", "closed": dtype.closed}
        for side in ("left", "right"):
            ends = getattr(values, side)
            spec[side] = dump_array(ends, parts, side)
            if (freq := check_freq(getattr(ends, "freq", None))) is not None:
                spec[side]["freq"] = freq
        columns.arrow_only |= parts.arrow_only
        sides, missing = [_one(array) for array in parts.arrays], values.isna()
        # If the null bitmap is not sufficient, each side marks its missing values.
        whole = missing.any() and all(side.null_count == missing.sum() for side in sides)
        mask = pa.array(missing) if whole else None
        return spec, pa.StructArray.from_arrays(sides, names=parts.names, mask=mask)
    if kind in _MASKED:
        return {"type": dtype.name}, pa.array(values._data, mask=values._mask, from_pandas=False)
    raise Unsupported(f"dtype {dtype}")


_MASKED = tuple(
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
_MASKED_BY_NAME = {cls().name: cls for cls in _MASKED}


def _dump_arrow(values: Any, dtype: pd.ArrowDtype, columns: Columns) -> Any:
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


def dump_codes(codes: Any, categories: pd.Index, columns: Columns, *, ordered: bool) -> tuple[dict[str, Any], Any]:
    """Codes into categories. Categories of strings are stored as the strings, others as the codes."""
    from cacheness._pandas_index import dump_index, embed_index

    codes = np.asarray(codes)
    missing = codes < 0
    mask = None
    if missing.any():
        # A code under a null must still be valid: some readers check it.
        mask, codes = missing, np.where(missing, 0, codes).astype(codes.dtype)
    text = isinstance(categories.dtype, pd.StringDtype) and type(categories) is pd.Index
    # A range of any length is described by three numbers.
    if len(categories) <= MAX_CATEGORIES or type(categories) is pd.RangeIndex:
        spec = {"type": "category", "ordered": ordered, "categories": embed_index(categories)}
        if not text:
            return spec | {"as": "codes"}, pa.array(codes, mask=mask)
        names = pa.array(categories.to_numpy(dtype=object), type=pa.large_string())
        return spec | {"as": "values"}, pa.DictionaryArray.from_arrays(pa.array(codes, mask=mask), names)
    parts = Columns()
    described = dump_index(categories, parts)
    if len(parts.arrays) != 1:
        raise Unsupported("many categories of this kind")
    # An Arrow file keeps a dictionary unchanged, Parquet does not.
    columns.arrow_only = True
    array = pa.DictionaryArray.from_arrays(pa.array(codes, mask=mask), _one(parts.arrays[0]), safe=False)
    return {"type": "category", "ordered": ordered, "categories": described, "as": "dictionary"}, array


def load_codes(spec: dict[str, Any], column: Any) -> tuple[np.ndarray, pd.Index]:
    """The codes and categories of :func:`dump_codes`."""
    from cacheness._pandas_index import load_embedded, load_index

    if spec["as"] == "codes":
        codes, missing = column.numpy()
        if missing is not None:
            codes[missing] = -1
        return codes, load_embedded(spec["categories"])
    array = pa.chunked_array(column)
    if spec["as"] == "dictionary":
        names = array.chunk(0).dictionary if array.num_chunks else pa.array([], array.type.value_type)
        categories = load_index(spec["categories"], _Given(names))
        return _concat(_indices(chunk) for chunk in array.chunks), categories
    categories = load_embedded(spec["categories"])
    codes = []
    for chunk in array.chunks:
        encoded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
        # The file contains only the values that occur, in its own order.
        places = categories.get_indexer(pd.Index(encoded.dictionary.to_numpy(zero_copy_only=False), dtype=object))
        if len(places) and places.min() < 0:
            raise CacheSerializationError("a column has a value that is not one of its categories")
        places = np.append(places, -1)  # the target of index -1, for missing values
        codes.append(places[_indices(encoded)])
    return _concat(codes), categories


def _numpy(chunks: Iterable[Any]) -> tuple[np.ndarray, np.ndarray | None]:
    """The values of Arrow arrays of numbers, and where they are null."""
    found = _core.TableColumn.from_arrow(pa.chunked_array(chunks)).numpy()
    if found is None:
        raise CacheSerializationError("a column of numbers has another type")
    return found


def _indices(chunk: Any) -> np.ndarray:
    indices, missing = _numpy([chunk.indices])
    if missing is None:
        return indices
    indices = indices.astype(np.int64)
    indices[missing] = -1
    return indices


class _Given(Source):
    """A source of one given column."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def column(self, index: int) -> Any:  # noqa: ARG002 - there is one column
        return _core.TableColumn.from_arrow(pa.chunked_array([self._array]))


def _concat(parts: Iterable[np.ndarray]) -> np.ndarray:
    arrays = list(parts)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays) if arrays else np.array([], np.int64)


def _one(array: Any) -> Any:
    if not isinstance(array, pa.ChunkedArray):
        return array
    return array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()


def _load(spec: dict[str, Any], column: Any) -> Any:
    kind = spec["type"]
    if kind in _NUMBERS or kind.startswith(("datetime64", "timedelta64")):
        values, missing = column.numpy()
        values = values.view(kind)
        if missing is not None and kind.startswith("float"):
            put_nans(values, missing, spec)
        elif missing is not None:
            values[missing] = np.timedelta64("NaT") if kind[0] == "t" else np.datetime64("NaT")
        return values
    if kind in _MASKED_BY_NAME:
        values, missing = column.numpy()
        make = _MASKED_BY_NAME[kind]().construct_array_type()
        return make(values, np.zeros(len(values), bool) if missing is None else missing)
    match kind:
        case "complex64" | "complex128":
            parts, _ = _numpy(c.flatten() for c in _chunks(column))
            return parts.view(kind)
        case "string":
            return _string_dtype(spec).__from_arrow__(pa.chunked_array(column))
        case "arrow":
            array = pa.chunked_array(column)
            return pd.ArrowDtype(array.type).__from_arrow__(array)
        case "datetimetz":
            dtype = pd.DatetimeTZDtype(spec["unit"], load_zone(spec["zone"]))
            values, missing = column.numpy()
            if missing is not None:
                values[missing] = _NAT
            return pd.DatetimeIndex(values.view(f"M8[{spec['unit']}]")).tz_localize("UTC").tz_convert(dtype.tz).array
        case "period":
            values, missing = column.numpy()
            if missing is not None:
                values[missing] = _NAT
            return pd.arrays.PeriodArray(values, dtype=pd.PeriodDtype(spec["freq"]))
        case "category":
            codes, categories = load_codes(spec, column)
            return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(categories, spec["ordered"]))
        case "interval":
            array = pa.chunked_array(column).combine_chunks()
            chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
            sides = []
            for i, side in enumerate(("left", "right")):
                ends = pd.Index(_load(spec[side], _Given(pa.concat_arrays([c.field(i) for c in chunks])).column(0)))
                if "freq" in spec[side]:
                    ends = type(ends)(ends, freq=spec[side]["freq"])
                sides.append(ends)
            return pd.arrays.IntervalArray.from_arrays(*sides, closed=spec["closed"])
        case "object":
            return load_objects(spec, column)
    raise CacheSerializationError(f"unknown type of column {kind!r}")


def _chunks(column: Any) -> list[Any]:
    array = pa.chunked_array(column)
    return array.chunks or [pa.array([], array.type)]


def is_unknown_text(spec: dict[str, Any]) -> bool:
    """Whether a column has the type ``str`` (text whose missing value is NaN) and this pandas lacks it."""
    return spec.get("type") == "string" and spec["missing"] != "NA" and not HAS_STR


def _string_dtype(spec: dict[str, Any]) -> pd.StringDtype:
    if is_unknown_text(spec):
        raise CacheUnsupportedError(
            f"its text has the type str, which pandas {pd.__version__} does not have",
            "read it with pandas 2.3 or newer, or store text as dtype 'string', which all versions have",
        )
    if spec["missing"] == "NA":
        return pd.StringDtype(spec["storage"])
    return pd.StringDtype(spec["storage"], na_value=np.nan)


def _dump_strings(values: Any) -> Any:
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
