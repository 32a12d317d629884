"""Conversion of pandas columns and indexes to Arrow and back: a rule for each supported dtype; all others are refused.

A column of categories has an index, and an index has columns, so both are one subject.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from cacheness import _core
from cacheness._labels import Unsupported, dump, load
from cacheness._pandas_dtypes import (
    HAS_STR,
    MASKED,
    MASKED_BY_NAME,
    NAT,
    NUMBERS,
    Columns,
    Given,
    Source,
    arrow_zone,
    check_freq,
    chunks_of,
    concat,
    dump_arrow,
    dump_numpy,
    dump_strings,
    dump_zone,
    in_one,
    indices_of,
    is_unknown_text,
    load_zone,
    string_dtype,
    to_numpy,
)
from cacheness._pandas_nans import put_nans, put_nans_beside
from cacheness._pandas_objects import dump_objects, load_objects
from cacheness.errors import CacheSerializationError

__all__ = ["dump_array", "dump_index", "embed_index", "load_array", "load_embedded", "load_index"]

#: More categories than this are stored as an Arrow dictionary, not in the description.
_MAX_CATEGORIES = 10_000
#: Embedded indexes of more objects than this are refused.
_MAX_LABELS = 100_000
_CLASSES = {
    cls.__name__: cls
    for cls in (pd.Index, pd.DatetimeIndex, pd.TimedeltaIndex, pd.PeriodIndex, pd.CategoricalIndex, pd.IntervalIndex)
}


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
                spec, array, bits = dump_numpy(values)
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
        return {"type": "period", "freq": freq}, pa.array(ordinals, mask=ordinals == NAT)
    if kind is pd.StringDtype:
        if dtype.storage == "python":
            array = dump_strings(values)
        else:
            array = pa.chunked_array(values.__arrow_array__())
            if array.type != pa.large_string():
                # Strings with 32-bit offsets of older pandas read the same.
                array = array.cast(pa.large_string())
        missing = "NA" if dtype.na_value is pd.NA else "nan"
        return {"type": "string", "storage": dtype.storage, "missing": missing}, array
    if kind is pd.ArrowDtype:
        return {"type": "arrow"}, dump_arrow(values, dtype, columns)
    if kind is pd.CategoricalDtype:
        return _dump_codes(values.codes, dtype.categories, columns, ordered=bool(dtype.ordered))
    if kind is pd.IntervalDtype:
        parts = Columns(parts=True)
        spec = {"type": "interval", "closed": dtype.closed}
        for side in ("left", "right"):
            ends = getattr(values, side)
            spec[side] = dump_array(ends, parts, side)
            if (freq := check_freq(getattr(ends, "freq", None))) is not None:
                spec[side]["freq"] = freq
        columns.arrow_only |= parts.arrow_only
        sides, missing = [in_one(array) for array in parts.arrays], values.isna()
        # If the null bitmap is not sufficient, each side marks its missing values.
        whole = missing.any() and all(side.null_count == missing.sum() for side in sides)
        mask = pa.array(missing) if whole else None
        return spec, pa.StructArray.from_arrays(sides, names=parts.names, mask=mask)
    if kind in MASKED:
        return {"type": dtype.name}, pa.array(values._data, mask=values._mask, from_pandas=False)
    raise Unsupported(f"dtype {dtype}")


def _dump_codes(codes: Any, categories: pd.Index, columns: Columns, *, ordered: bool) -> tuple[dict[str, Any], Any]:
    """Codes into categories. Categories of strings are stored as the strings, others as the codes."""
    codes = np.asarray(codes)
    missing = codes < 0
    mask = None
    if missing.any():
        # A code under a null must still be valid: some readers check it.
        mask, codes = missing, np.where(missing, 0, codes).astype(codes.dtype)
    text = isinstance(categories.dtype, pd.StringDtype) and type(categories) is pd.Index
    # A range of any length is described by three numbers.
    if len(categories) <= _MAX_CATEGORIES or type(categories) is pd.RangeIndex:
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
    array = pa.DictionaryArray.from_arrays(pa.array(codes, mask=mask), in_one(parts.arrays[0]), safe=False)
    return {"type": "category", "ordered": ordered, "categories": described, "as": "dictionary"}, array


def _load_codes(spec: dict[str, Any], column: Any) -> tuple[np.ndarray, pd.Index]:
    """The codes and categories of :func:`_dump_codes`."""
    if spec["as"] == "codes":
        codes, missing = column.numpy()
        if missing is not None:
            codes[missing] = -1
        return codes, load_embedded(spec["categories"])
    array = pa.chunked_array(column)
    if spec["as"] == "dictionary":
        names = array.chunk(0).dictionary if array.num_chunks else pa.array([], array.type.value_type)
        categories = load_index(spec["categories"], Given(names))
        return concat(indices_of(chunk) for chunk in array.chunks), categories
    categories = load_embedded(spec["categories"])
    codes = []
    for chunk in array.chunks:
        encoded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
        # The file contains only the values that occur, in its own order.
        places = categories.get_indexer(pd.Index(encoded.dictionary.to_numpy(zero_copy_only=False), dtype=object))
        if len(places) and places.min() < 0:
            raise CacheSerializationError("a column has a value that is not one of its categories")
        places = np.append(places, -1)  # the target of index -1, for missing values
        codes.append(places[indices_of(encoded)])
    return concat(codes), categories


def _load(spec: dict[str, Any], column: Any) -> Any:
    kind = spec["type"]
    if kind in NUMBERS or kind.startswith(("datetime64", "timedelta64")):
        values, missing = column.numpy()
        values = values.view(kind)
        if missing is not None and kind.startswith("float"):
            put_nans(values, missing, spec)
        elif missing is not None:
            values[missing] = np.timedelta64("NaT") if kind[0] == "t" else np.datetime64("NaT")
        return values
    if kind in MASKED_BY_NAME:
        values, missing = column.numpy()
        make = MASKED_BY_NAME[kind]().construct_array_type()
        return make(values, np.zeros(len(values), bool) if missing is None else missing)
    match kind:
        case "complex64" | "complex128":
            parts, _ = to_numpy(c.flatten() for c in chunks_of(column))
            return parts.view(kind)
        case "string":
            return string_dtype(spec).__from_arrow__(pa.chunked_array(column))
        case "arrow":
            array = pa.chunked_array(column)
            return pd.ArrowDtype(array.type).__from_arrow__(array)
        case "datetimetz":
            dtype = pd.DatetimeTZDtype(spec["unit"], load_zone(spec["zone"]))
            values, missing = column.numpy()
            if missing is not None:
                values[missing] = NAT
            return pd.DatetimeIndex(values.view(f"M8[{spec['unit']}]")).tz_localize("UTC").tz_convert(dtype.tz).array
        case "period":
            values, missing = column.numpy()
            if missing is not None:
                values[missing] = NAT
            return pd.arrays.PeriodArray(values, dtype=pd.PeriodDtype(spec["freq"]))
        case "category":
            codes, categories = _load_codes(spec, column)
            return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(categories, spec["ordered"]))
        case "interval":
            array = pa.chunked_array(column).combine_chunks()
            chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
            sides = []
            for i, side in enumerate(("left", "right")):
                ends = pd.Index(_load(spec[side], Given(pa.concat_arrays([c.field(i) for c in chunks])).column(0)))
                if "freq" in spec[side]:
                    ends = type(ends)(ends, freq=spec[side]["freq"])
                sides.append(ends)
            return pd.arrays.IntervalArray.from_arrays(*sides, closed=spec["closed"])
        case "object":
            return load_objects(spec, column)
    raise CacheSerializationError(f"unknown type of column {kind!r}")


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
            spec, array = _dump_codes(codes, level.rename(None), columns, ordered=False)
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
        parts = [_load_codes(spec, source.column(spec["column"])) for spec in described["levels"]]
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
