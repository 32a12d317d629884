"""Objects of pandas, Polars and PyArrow as parts for keys. None is imported here: the program has imported them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from cacheness._keys_parts import (
    Column,
    ListParts,
    MapParts,
    Named,
    Table,
    Text,
    TupleParts,
    Unencodable,
    class_name,
    zone_parts,
)


def pandas(value: Any, cls: type) -> Any:
    pd = sys.modules["pandas"]
    if not hasattr(pd, "DataFrame"):
        return None
    if value is pd.NaT:
        return Named("pandas.NaT", None)
    if value is pd.NA:
        return Named("pandas.NA", None)
    if cls is pd.Timestamp:
        nanoseconds = _nanoseconds(value.to_datetime64())
        zone = None if value.tzinfo is None else zone_parts(value.tzinfo)
        return Named("pandas.Timestamp", TupleParts((nanoseconds, zone)))
    if cls is pd.Timedelta:
        return Named("pandas.Timedelta", _nanoseconds(value.to_timedelta64()))
    if cls is pd.Period:
        return Named("pandas.Period", TupleParts((value.ordinal, value.freqstr)))
    if cls is pd.Interval:
        return Named("pandas.Interval", TupleParts((value.left, value.right, value.closed)))
    if cls is pd.DateOffset:
        # Not as an object: the name of its class differs between major releases.
        return Named("pandas.DateOffset", TupleParts((value.n, value.normalize, MapParts(value.kwds))))
    if isinstance(value, pd.DataFrame):
        columns = ListParts(_pandas_values(column) for _, column in value.items())
        parts = TupleParts((_pandas_index(value.columns), _pandas_index(value.index), columns, _metadata(value)))
        return Named("pandas.DataFrame" if cls is pd.DataFrame else class_name(cls), parts)
    if isinstance(value, pd.Series):
        parts = TupleParts((value.name, _pandas_index(value.index), _pandas_values(value), _metadata(value)))
        return Named("pandas.Series" if cls is pd.Series else class_name(cls), parts)
    if isinstance(value, pd.Index):
        return _pandas_index(value)
    if isinstance(value, pd.api.extensions.ExtensionArray):
        return Named("pandas.array", _pandas_values(pd.Series(value)))
    return None


def _nanoseconds(value: Any) -> int:
    """A NumPy datetime or timedelta as an integer of nanoseconds, also beyond 64 bits."""
    import numpy as np

    unit, count = np.datetime_data(value.dtype)
    return int(value.view("i8")) * count * {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}[unit]


def _metadata(value: Any) -> MapParts:
    """``attrs``, and the attributes that subclasses such as GeoDataFrame store beside the data."""
    metadata = MapParts()
    if value.attrs:
        metadata["attrs"] = MapParts(value.attrs)
    if not value.flags.allows_duplicate_labels:
        metadata["allows_duplicate_labels"] = False
    for name in value._metadata:
        if name not in ("_name", "name"):
            metadata[name] = getattr(value, name, None)
    return metadata


def _pandas_index(index: Any) -> Any:
    pd = sys.modules["pandas"]
    if isinstance(index, pd.MultiIndex):
        levels = ListParts(_labels(index.get_level_values(i)) for i in range(index.nlevels))
        return Named("pandas.MultiIndex", TupleParts((ListParts(index.names), levels)))
    if isinstance(index, pd.RangeIndex):
        return Named("pandas.RangeIndex", TupleParts((index.name, index.start, index.stop, index.step)))
    parts: tuple[Any, ...] = (index.name, _labels(index))
    if isinstance(index, (pd.DatetimeIndex, pd.TimedeltaIndex)) and index.freq is not None:
        parts += (_frequency(index.freq),)
    return Named("pandas.Index", TupleParts(parts))


def _labels(index: Any) -> TupleParts:
    """The content of an index. Text has one encoding, whether it is stored as ``str`` or as objects.

    The release of pandas decides which of the two the same program creates, and all releases treat them as equal.
    """
    if index.dtype == object:
        labels = index.tolist()
        if all(type(label) is str for label in labels):
            return TupleParts(("str", Text(labels)))
    # Not `to_series`, which converts some objects to text.
    return _pandas_values(sys.modules["pandas"].Series(index))


def _frequency(freq: Any) -> Any:
    """The text of a frequency if it is complete, otherwise its parts."""
    pd = sys.modules["pandas"]
    try:
        says_all = pd.tseries.frequencies.to_offset(freq.freqstr) == freq
    except ValueError:
        says_all = False
    return str(freq.freqstr) if says_all else freq


def _pandas_values(series: Any) -> TupleParts:
    """Name of the dtype, and the content."""
    import numpy as np

    pd = sys.modules["pandas"]
    dtype = series.dtype
    array = series.array
    if isinstance(dtype, np.dtype):
        return TupleParts((str(dtype), series.to_numpy()))
    if isinstance(dtype, pd.CategoricalDtype):
        codes = np.asarray(array.codes)
        return TupleParts(("category", TupleParts((_pandas_index(dtype.categories), bool(dtype.ordered), codes))))
    if isinstance(dtype, pd.DatetimeTZDtype):
        zone = zone_parts(dtype.tz)
        content = array.tz_convert(None).to_numpy()
        return TupleParts((f"datetime64[{dtype.unit}, tz]", TupleParts((zone, content))))
    if isinstance(dtype, pd.PeriodDtype):
        return TupleParts((str(dtype), np.asarray(array.asi8)))
    if isinstance(dtype, pd.IntervalDtype):
        parts = TupleParts((_pandas_index(array.left), _pandas_index(array.right), array.closed))
        return TupleParts(("interval", parts))
    if isinstance(dtype, pd.SparseDtype):
        return TupleParts((str(dtype), array.to_dense()))
    if isinstance(dtype, pd.StringDtype):
        # One name for strings of Python and of Arrow; the missing value is part of the type.
        name = "str" if dtype.na_value is not pd.NA else "string"
        if dtype.storage == "pyarrow":
            return TupleParts((name, Column((array.__arrow_array__(),))))
        return TupleParts((name, Text(array.to_numpy(dtype=object, na_value=None).tolist())))
    if isinstance(dtype, pd.ArrowDtype):
        return TupleParts((str(dtype), Column((array.__arrow_array__(),))))
    numpy_dtype = getattr(dtype, "numpy_dtype", None)
    if isinstance(numpy_dtype, np.dtype) and type(array).__module__.startswith("pandas."):
        missing = np.asarray(array.isna())
        values = array.to_numpy(dtype=numpy_dtype, na_value=numpy_dtype.type(0))
        return TupleParts((str(dtype), TupleParts((values, missing))))
    # A third-party extension: its scalars, whatever they are.
    return TupleParts((f"{class_name(type(dtype))}: {dtype}", array.to_numpy(dtype=object)))


# ----- Polars, Arrow


def polars(value: Any, cls: type) -> Any:
    pl = sys.modules["polars"]
    if not hasattr(pl, "DataFrame"):
        return None
    if isinstance(value, pl.LazyFrame):
        raise Unencodable("a Polars LazyFrame has no content yet", "collect() it, or pass cache_key=…")
    if isinstance(value, pl.Expr):
        raise Unencodable("a Polars expression has no stable encoding", "pass its text instead")
    if isinstance(value, pl.DataFrame):
        name = "polars.DataFrame" if cls is pl.DataFrame else class_name(cls)
        for column in value.columns:
            _check_name(column)
        parts = {column: _polars_type(dtype, pl) for column, dtype in value.schema.items()}
        known = {column: _known_type(dtype, pl) for column, dtype in value.schema.items()}
        casts = {column: dtype for column, dtype in known.items() if dtype != value.schema[column]}
        if casts:
            value = value.with_columns(pl.col(column).cast(dtype) for column, dtype in casts.items())
        return Named(name, TupleParts((Table((value,)), MapParts((k, v) for k, v in parts.items() if v is not None))))
    if isinstance(value, pl.Series):
        name = "polars.Series" if cls is pl.Series else class_name(cls)
        said = _polars_type(value.dtype, pl)
        content = value.alias("")
        if (known_type := _known_type(value.dtype, pl)) != value.dtype:
            content = content.cast(known_type)
        return Named(name, TupleParts((value.name, Column((content,)), said)))
    return None


def _check_name(name: str) -> None:
    # Arrow passes names as C strings, and Polars aborts the process for a name with a NUL.
    if "\0" in name:
        raise Unencodable(f"a Polars column with a NUL in its name {name!r} has no stable encoding", "rename it")


def _polars_type(dtype: Any, pl: Any) -> Any:
    """What the Arrow type does not express, also for inner types."""
    if isinstance(dtype, pl.Enum):
        return TupleParts(("Enum", ListParts(dtype.categories.to_list())))
    if isinstance(dtype, pl.Categorical):
        # Earlier releases have only the global set of categories.
        categories = getattr(dtype, "categories", None)
        if categories is None or categories.is_global():
            return TupleParts(("Categorical",))
        physical = str(categories.physical())
        return TupleParts(("Categorical", categories.name(), categories.namespace(), physical))
    if isinstance(dtype, (pl.Null, *_wide(pl))):
        return TupleParts((str(dtype),))
    if isinstance(dtype, pl.Object):
        raise Unencodable("a Polars column of Python objects has no stable encoding", "cast it, or pass cache_key=…")
    if isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            _check_name(field.name)
        fields = ListParts(_polars_type(field.dtype, pl) for field in dtype.fields)
        return None if all(part is None for part in fields) else TupleParts(("Struct", fields))
    if isinstance(dtype, (pl.List, pl.Array)):
        part = _polars_type(dtype.inner, pl)
        return None if part is None else TupleParts((type(dtype).__name__, part))
    storage = getattr(dtype, "ext_storage", None)
    if storage is not None:
        part = _polars_type(storage(), pl)
        return None if part is None else TupleParts(("Extension", part))
    return None


def _known_type(dtype: Any, pl: Any) -> Any:
    """The type, with types replaced that other implementations of Arrow do not know."""
    if isinstance(dtype, pl.Null):
        # Its columns have a buffer, which Arrow forbids: they are exported as another type, all null.
        return pl.Boolean()
    if isinstance(dtype, _wide(pl)):
        return pl.String()
    if isinstance(dtype, pl.Struct):
        return pl.Struct([pl.Field(field.name, _known_type(field.dtype, pl)) for field in dtype.fields])
    if isinstance(dtype, pl.List):
        return pl.List(_known_type(dtype.inner, pl))
    if isinstance(dtype, pl.Array):
        return pl.Array(_known_type(dtype.inner, pl), dtype.size)
    return dtype


def _wide(pl: Any) -> tuple[type, ...]:
    return tuple(getattr(pl, name) for name in ("Int128", "UInt128") if hasattr(pl, name))


def pyarrow(value: Any, cls: type) -> Any:  # noqa: ARG001 - all reducers are called alike
    pa = sys.modules["pyarrow"]
    if not hasattr(pa, "Table"):
        return None
    if isinstance(value, (pa.Table, pa.RecordBatch)):
        return Named("arrow.Table", Table((value,)))
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        return Column((value,))
    if isinstance(value, pa.Scalar):
        return Named("arrow.Scalar", Column((array_of(value),)))
    if isinstance(value, pa.RecordBatchReader):
        raise Unencodable("an Arrow stream can be read only once", "read_all() it first, or pass cache_key=…")
    if isinstance(value, pa.DataType):
        return Named("arrow.DataType", _arrow_type(value, pa))
    return None


def array_of(scalar: Any) -> Any:
    """An Arrow array with the scalar as its only item. ``as_py`` loses nanoseconds and the types of unions."""
    pa = sys.modules["pyarrow"]
    if isinstance(scalar.type, pa.BaseExtensionType):
        # Older releases of PyArrow repeat none of these.
        storage = scalar.value
        items = pa.nulls(1, scalar.type.storage_type) if storage is None else array_of(storage)
        return pa.ExtensionArray.from_storage(scalar.type, items)
    return pa.repeat(scalar, 1)


def _arrow_type(data_type: Any, pa: Any) -> Any:
    """The text of a type and, if the text is not complete, the omitted details."""
    said = ListParts(_said(data_type, pa))
    if all(type(part) is str and not any(mark in part for mark in _DELIMITERS) for part in said):
        return str(data_type)
    return TupleParts((str(data_type), said))


#: The separators of names in the text of a type.
_DELIMITERS = ("<", ">", "[", "]", ": ", ", ")


def _said(data_type: Any, pa: Any) -> Iterator[Any]:
    """Names and zones in a type, in order, and the parameters of extension types."""
    if isinstance(data_type, pa.BaseExtensionType):
        if isinstance(data_type, pa.ExtensionType):
            parameters = data_type.__arrow_ext_serialize__()
            yield TupleParts((data_type.extension_name, parameters, str(data_type.storage_type)))
        for name in ("type_name", "vendor_name"):
            if hasattr(data_type, name):
                yield getattr(data_type, name)
        yield from _said(data_type.storage_type, pa)
    elif pa.types.is_dictionary(data_type) or pa.types.is_run_end_encoded(data_type):
        yield from _said(data_type.value_type, pa)
    elif pa.types.is_timestamp(data_type):
        yield data_type.tz or ""
    else:
        for field in (data_type.field(i) for i in range(data_type.num_fields)):
            yield field.name
            yield from _said(field.type, pa)
