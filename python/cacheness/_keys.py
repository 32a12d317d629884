"""Reduces what is not a builtin to parts that the encoder in Rust knows; called from there, never from user code.

:func:`reduce` returns the object's parts, built from the classes below; everything inside them that is not one of these
classes is a value of the user's and is encoded like any other. The rules are those of ``docs/formats/keys.md``.
"""

from __future__ import annotations

import collections
import copyreg
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import re
import sys
import types
import uuid
from typing import Any

__all__ = ["reduce"]


class Unencodable(Exception):
    """A value has no stable encoding: what it is, and what to do about it."""

    def __init__(self, sentence: str, hint: str | None = None) -> None:
        super().__init__(sentence, hint)


class TupleParts(tuple):
    """A tuple that holds parts together; limits on the user's collections do not count it."""

    __slots__ = ()


class ListParts(list):
    """A list that holds parts together."""

    __slots__ = ()


class MapParts(dict):
    """A mapping that holds parts together, such as fields and their values."""

    __slots__ = ()


class Named:
    """A value with a type of its own."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = value


class Ref(str):
    """``module:qualified.name`` of a class, function or module."""

    __slots__ = ()


class Member(tuple):
    """Qualified class name and member name of an enumeration."""

    __slots__ = ()


class Scalar(tuple):
    """Dtype string and bytes of an array item."""

    __slots__ = ()


class TypedArray(tuple):
    """Dtype string, shape, and a contiguous array whose bytes are the items."""

    __slots__ = ()


class Text(list):
    """A column of strings and ``None``."""

    __slots__ = ()


class Column(tuple):
    """One Arrow array or chunked array."""

    __slots__ = ()


class Table(tuple):
    """One Arrow table."""

    __slots__ = ()


HINT = "pass cache_key=…, leave it out of the parameters, or give its class a __cache_key__() method"

_NOUNS = {
    "_thread.lock": "a lock",
    "_thread.RLock": "a lock",
    "_io.TextIOWrapper": "an open file",
    "_io.BufferedReader": "an open file",
    "_io.BufferedWriter": "an open file",
    "_io.BufferedRandom": "an open file",
    "_io.FileIO": "an open file",
    "builtins.generator": "a generator",
    "builtins.async_generator": "a generator",
    "builtins.coroutine": "a coroutine",
    "builtins.frame": "a stack frame",
    "socket.socket": "a socket",
    "_thread._local": "a thread-local object",
    "sqlite3.Connection": "a database connection",
}


def _noun(value: Any) -> str:
    cls = type(value)
    name = f"{cls.__module__}.{cls.__qualname__}"
    return _NOUNS.get(name, f"an object of type {name}")


def _unencodable(value: Any) -> Unencodable:
    return Unencodable(f"{_noun(value)} has no stable encoding", HINT)


def _stable_name(module: object, qualname: object, what: str) -> tuple[str, str]:
    if not isinstance(module, str) or not isinstance(qualname, str):
        raise Unencodable(f"{what} has no name that another process could find it by", HINT)
    if "<lambda>" in qualname:
        raise Unencodable(
            "a lambda has no stable name", "define a function at the top level of a module, or pass cache_key=…"
        )
    if "<locals>" in qualname:
        raise Unencodable(
            f"{qualname} is defined inside a function, so it has no stable name",
            "define it at the top level of a module, or pass cache_key=…",
        )
    return module, qualname


def _class_name(cls: type) -> str:
    module, qualname = _stable_name(cls.__module__, cls.__qualname__, f"class {cls!r}")
    return f"{module}.{qualname}"


def _reference(value: Any) -> Ref:
    module, qualname = _stable_name(
        getattr(value, "__module__", None), getattr(value, "__qualname__", None), _noun(value)
    )
    return Ref(f"{module}:{qualname}")


def reduce(value: Any, introspect: bool) -> Any:
    """The parts of ``value``, which is not of an exact builtin type."""
    if isinstance(value, type):
        return _reference(value)
    cls = type(value)
    hook = getattr(cls, "__cache_key__", None)
    if hook is not None:
        return Named(_class_name(cls), hook(value))
    for package, reducer in _PACKAGES:
        if package in sys.modules:
            parts = reducer(value, cls)
            if parts is not None:
                return parts
    if isinstance(value, enum.Enum):
        return _enum_member(value, cls)
    parts = _callable(value, cls)
    if parts is not None:
        return parts
    parts = _standard(value, cls)
    if parts is not None:
        return parts
    parts = _subclass(value, cls)
    if parts is not None:
        return parts
    parts = _record(value, cls)
    if parts is not None:
        return parts
    return _introspected(value, cls, introspect)


def _enum_member(value: enum.Enum, cls: type) -> Any:
    name = value.name
    if isinstance(name, str) and name in cls.__members__:  # type: ignore[attr-defined]
        return Member((_class_name(cls), name))
    # A combination of flags has no name of its own.
    return Named(_class_name(cls), value.value)


def _callable(value: Any, cls: type) -> Any:
    if cls is types.FunctionType:
        return _reference(value)
    if cls is types.ModuleType:
        return Ref(f"{value.__name__}:")
    if cls is types.MethodType:
        return Named("builtins.method", TupleParts((value.__func__, value.__self__)))
    if cls is types.BuiltinFunctionType:
        owner = value.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            module = value.__module__ or getattr(owner, "__name__", None)
            _stable_name(module, value.__qualname__, _noun(value))
            return Ref(f"{module}:{value.__qualname__}")
        if isinstance(owner, type):
            return Ref(f"{owner.__module__}:{owner.__qualname__}.{value.__name__}")
        function = Ref(f"{type(owner).__module__}:{type(owner).__qualname__}.{value.__name__}")
        return Named("builtins.method", TupleParts((function, owner)))
    if cls in (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType):
        return Ref(f"{value.__objclass__.__module__}:{value.__qualname__}")
    if cls is functools.partial:
        return Named(
            "functools.partial", TupleParts((value.func, TupleParts(value.args), MapParts(value.keywords)))
        )
    return None


def _standard(value: Any, cls: type) -> Any:
    if cls is range:
        return Named("builtins.range", TupleParts((value.start, value.stop, value.step)))
    if cls is slice:
        return Named("builtins.slice", TupleParts((value.start, value.stop, value.step)))
    if cls is bytearray:
        return Named("builtins.bytearray", bytes(value))
    if cls is memoryview:
        if value.format == "B" and value.ndim == 1:
            return Named("builtins.memoryview", value.tobytes())
        return Named(
            "builtins.memoryview", TupleParts((value.format, TupleParts(value.shape or ()), value.tobytes()))
        )
    if cls is fractions.Fraction:
        return Named("fractions.Fraction", TupleParts((value.numerator, value.denominator)))
    if cls is re.Pattern:
        return Named("re.Pattern", TupleParts((value.pattern, value.flags)))
    if cls is types.MappingProxyType:
        return Named("builtins.mappingproxy", dict(value))
    if cls is collections.OrderedDict:
        return Named(
            "collections.OrderedDict", ListParts(TupleParts(pair) for pair in collections.OrderedDict.items(value))
        )
    if cls is collections.defaultdict:
        return Named(
            "collections.defaultdict",
            TupleParts((MapParts(value), MapParts(default_factory=value.default_factory))),
        )
    return None


def _attributes(value: Any, cls: type) -> MapParts:
    """What an instance of a subclass has besides its content."""
    attributes = MapParts(getattr(value, "__dict__", None) or {})
    for name in copyreg._slotnames(cls):  # type: ignore[attr-defined]
        if hasattr(value, name):
            attributes[name] = getattr(value, name)
    return attributes


def _around(value: Any, cls: type, content: Any) -> Named:
    attributes = _attributes(value, cls)
    return Named(_class_name(cls), TupleParts((content, attributes)) if attributes else content)


def _datetime_content(value: datetime.datetime) -> datetime.datetime:
    return datetime.datetime(
        value.year,
        value.month,
        value.day,
        value.hour,
        value.minute,
        value.second,
        value.microsecond,
        value.tzinfo,
        fold=value.fold,
    )


def _time_content(value: datetime.time) -> datetime.time:
    return datetime.time(
        value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold
    )


# A datetime is a date, so it stands before it.
_BASES: tuple[tuple[type, Any], ...] = (
    (str, lambda v: str.__str__(v)),
    (int, lambda v: int.__index__(v)),
    (float, lambda v: float.__float__(v)),
    (complex, lambda v: complex(v.real, v.imag)),
    (bytes, lambda v: bytes.__getitem__(v, slice(None))),
    (bytearray, lambda v: bytes(memoryview(v))),
    (list, lambda v: list(list.__iter__(v))),
    (tuple, lambda v: tuple(tuple.__iter__(v))),
    (dict, lambda v: dict(dict.items(v))),
    (set, lambda v: set(set.__iter__(v))),
    (frozenset, lambda v: frozenset(frozenset.__iter__(v))),
    (datetime.datetime, _datetime_content),
    (datetime.date, lambda v: datetime.date(v.year, v.month, v.day)),
    (datetime.time, _time_content),
    (datetime.timedelta, lambda v: datetime.timedelta(v.days, v.seconds, v.microseconds)),
    (decimal.Decimal, lambda v: decimal.Decimal(v.as_tuple())),
    (fractions.Fraction, lambda v: fractions.Fraction(v.numerator, v.denominator)),
    (uuid.UUID, lambda v: uuid.UUID(int=v.int)),
    (pathlib.Path, lambda v: pathlib.Path(str(v))),
    (pathlib.PurePath, lambda v: pathlib.PurePosixPath(v.as_posix())),
)


def _subclass(value: Any, cls: type) -> Any:
    if isinstance(value, tuple):
        fields = getattr(cls, "_fields", None)
        if isinstance(fields, tuple) and len(fields) == tuple.__len__(value):
            return Named(_class_name(cls), MapParts(zip(fields, tuple.__iter__(value), strict=True)))
    if isinstance(value, collections.OrderedDict):
        pairs = ListParts(TupleParts(pair) for pair in collections.OrderedDict.items(value))
        return _around(value, cls, pairs)
    if isinstance(value, collections.defaultdict):
        attributes = _attributes(value, cls)
        attributes["default_factory"] = value.default_factory
        return Named(_class_name(cls), TupleParts((dict(dict.items(value)), attributes)))
    for base, content in _BASES:
        if isinstance(value, base):
            return _around(value, cls, content(value))
    return None


def _record(value: Any, cls: type) -> Any:
    if dataclasses.is_dataclass(cls):
        return Named(
            _class_name(cls),
            MapParts((field.name, getattr(value, field.name)) for field in dataclasses.fields(value)),
        )
    attributes = getattr(cls, "__attrs_attrs__", None)
    if attributes is not None:
        return Named(_class_name(cls), MapParts((field.name, getattr(value, field.name)) for field in attributes))
    if "pydantic" in sys.modules and hasattr(cls, "__pydantic_fields__"):
        fields = MapParts((name, getattr(value, name)) for name in cls.__pydantic_fields__)
        fields.update(getattr(value, "__pydantic_extra__", None) or {})
        fields.update(getattr(value, "__pydantic_private__", None) or {})
        return Named(_class_name(cls), fields)
    return None


def _introspected(value: Any, cls: type, introspect: bool) -> Any:
    if not introspect:
        raise Unencodable(
            f"{_noun(value)} has no encoding of its own",
            "give its class a __cache_key__() method, or set enable_object_introspection",
        )
    if cls is object:
        raise Unencodable("a bare object() has nothing that tells it from another", HINT)
    name = _class_name(cls)
    try:
        reduced = value.__reduce_ex__(2)
    except Exception as error:
        raise _unencodable(value) from error
    if isinstance(reduced, str):
        module = getattr(value, "__module__", None) or cls.__module__
        return Ref("{}:{}".format(*_stable_name(module, reduced, _noun(value))))
    if not isinstance(reduced, tuple) or not 2 <= len(reduced) <= 6:
        raise _unencodable(value)
    function, arguments, state, items, pairs, setter = (*reduced, None, None, None, None)[:6]
    if setter is not None:
        raise _unencodable(value)
    return Named(
        name,
        TupleParts(
            (
                function,
                TupleParts(arguments),
                _state(state),
                None if items is None else ListParts(items),
                None if pairs is None else MapParts(pairs),
            )
        ),
    )


def _state(state: Any) -> Any:
    if type(state) is dict:
        return MapParts(state)
    if type(state) is tuple and len(state) == 2 and type(state[1]) is dict and isinstance(state[0], (dict, type(None))):
        return TupleParts((_state(state[0]), MapParts(state[1])))
    return state


# ----- time zones


def zone_name(zone: Any) -> Any:
    """The IANA name of a time zone, or ``None`` where it has none that everyone knows."""
    for attribute in ("key", "zone"):
        name = getattr(zone, attribute, None)
        if isinstance(name, str) and name:
            return name
    return None


# ----- NumPy


def reduce_array(array: Any) -> Any:
    """The parts of an array whose bytes are not its content as they stand, or of a subclass."""
    import numpy as np

    if isinstance(array, np.ma.MaskedArray):
        data = np.array(np.ma.getdata(array), order="C", copy=True, subok=False)
        mask = np.array(np.ma.getmaskarray(array), order="C")
        if data.dtype.names is None:
            data[mask] = np.zeros((), dtype=data.dtype)[()]
        else:
            _zero_masked(data, mask)
        return Named("numpy.ma.MaskedArray", TupleParts((data, mask)))
    cls = type(array)
    if cls is not np.ndarray:
        base = np.asarray(array)
        if cls is np.memmap:
            return base
        return _around(array, cls, base)
    dtype = array.dtype
    if dtype.kind == "T":
        items = ListParts(array.ravel().tolist())
        return Named("numpy.dtypes.StringDType", TupleParts((TupleParts(array.shape), items)))
    if dtype.hasobject:
        shape = TupleParts(array.shape)
        items = ListParts(array.ravel().tolist())
        if dtype.names is None:
            return Named("numpy.object_array", TupleParts((shape, items)))
        return Named("numpy.object_array", TupleParts((_descr(dtype), shape, items)))
    return TypedArray((_descr(dtype), array.shape, _without_padding(array)))


def reduce_scalar(value: Any) -> Any:
    """The parts of an array scalar whose bytes are not its content as they stand."""
    import numpy as np

    array = np.asarray(value)
    if array.dtype.hasobject:
        return reduce_array(array)
    return Scalar((_descr(array.dtype), _without_padding(array).tobytes()))


def _zero_masked(data: Any, mask: Any) -> None:
    for name in data.dtype.names:
        if data[name].dtype.names is None:
            data[name][mask[name]] = 0
        else:
            _zero_masked(data[name], mask[name])


def _descr(dtype: Any) -> str:
    if dtype.names is None:
        return dtype.str
    try:
        return repr(dtype.descr)
    except ValueError as error:
        raise Unencodable(
            "a structured array whose fields overlap has no stable encoding", "pass its fields one by one"
        ) from error


def _without_padding(array: Any) -> Any:
    """A contiguous copy whose bytes that belong to no item are zero."""
    import numpy as np

    clean = np.zeros(array.shape, dtype=array.dtype)
    _copy_items(clean, array)
    return clean


def _copy_items(target: Any, source: Any) -> None:
    import numpy as np

    dtype = target.dtype
    if dtype.names is not None:
        for name in dtype.names:
            _copy_items(target[name], source[name])
        return
    target[...] = source
    parts = {"f": 1, "c": 2}.get(dtype.kind, 0)
    if parts and dtype.itemsize == 16 * parts and np.finfo(np.longdouble).nmant == 63:
        # x87 extended precision: 10 of 16 bytes belong to the number.
        octets = np.frombuffer(bytearray(np.ascontiguousarray(source).tobytes()), dtype=np.uint8)
        octets = octets.reshape(-1, 16)
        octets[:, slice(10, 16) if dtype.isnative else slice(0, 6)] = 0
        # As void items, so that every byte is copied as it is.
        opaque = np.dtype(f"V{dtype.itemsize}")
        target.view(opaque)[...] = octets.reshape(-1).view(opaque).reshape(target.shape)


def _numpy(value: Any, cls: type) -> Any:
    import numpy as np

    if isinstance(value, np.ndarray):
        return reduce_array(value)
    if isinstance(value, np.generic):
        return reduce_scalar(value)
    if isinstance(value, np.dtype):
        if value.kind == "T" or value.hasobject and value.names is None:
            return Named("numpy.dtype", str(value))
        return Named("numpy.dtype", _descr(value))
    if isinstance(value, np.ufunc):
        for module in (getattr(value, "__module__", None), "numpy", "scipy.special"):
            if module in sys.modules and getattr(sys.modules[module], value.__name__, None) is value:
                return Ref(f"{module}:{value.__name__}")
        raise _unencodable(value)
    return None


# ----- pandas


def _pandas(value: Any, cls: type) -> Any:
    pd = sys.modules["pandas"]
    if not hasattr(pd, "DataFrame"):
        return None
    if value is pd.NaT:
        return Named("pandas.NaT", None)
    if value is pd.NA:
        return Named("pandas.NA", None)
    if cls is pd.Timestamp:
        nanoseconds = _nanoseconds(value.to_datetime64())
        zone = value.tzinfo
        if zone is not None:
            zone = zone_name(zone) or value.utcoffset()
        return Named("pandas.Timestamp", TupleParts((nanoseconds, zone)))
    if cls is pd.Timedelta:
        return Named("pandas.Timedelta", _nanoseconds(value.to_timedelta64()))
    if cls is pd.Period:
        return Named("pandas.Period", TupleParts((value.ordinal, value.freqstr)))
    if cls is pd.Interval:
        return Named("pandas.Interval", TupleParts((value.left, value.right, value.closed)))
    if isinstance(value, pd.DataFrame):
        columns = ListParts(_pandas_values(column) for _, column in value.items())
        parts = TupleParts((_pandas_index(value.columns), _pandas_index(value.index), columns, _metadata(value)))
        return Named("pandas.DataFrame" if cls is pd.DataFrame else _class_name(cls), parts)
    if isinstance(value, pd.Series):
        parts = TupleParts((value.name, _pandas_index(value.index), _pandas_values(value), _metadata(value)))
        return Named("pandas.Series" if cls is pd.Series else _class_name(cls), parts)
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
    """``attrs``, and what subclasses such as GeoDataFrame keep beside the data."""
    metadata = MapParts()
    if value.attrs:
        metadata["attrs"] = MapParts(value.attrs)
    for name in value._metadata:
        if name not in ("_name", "name"):
            metadata[name] = getattr(value, name, None)
    return metadata


def _pandas_index(index: Any) -> Any:
    pd = sys.modules["pandas"]
    if isinstance(index, pd.MultiIndex):
        levels = ListParts(_pandas_values(index.get_level_values(i).to_series()) for i in range(index.nlevels))
        return Named("pandas.MultiIndex", TupleParts((ListParts(index.names), levels)))
    if isinstance(index, pd.RangeIndex):
        return Named("pandas.RangeIndex", TupleParts((index.name, index.start, index.stop, index.step)))
    frequency = getattr(index, "freqstr", None) if isinstance(index, (pd.DatetimeIndex, pd.TimedeltaIndex)) else None
    return Named("pandas.Index", TupleParts((index.name, _pandas_values(index.to_series()), frequency)))


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
        zone = zone_name(dtype.tz) or str(dtype.tz)
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
        # One name whether the strings are kept by Python or by Arrow; the missing value is part of the type.
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
    # An extension of somebody else's: its scalars, whatever they are.
    return TupleParts((f"{_class_name(type(dtype))}: {dtype}", array.to_numpy(dtype=object)))


# ----- Polars, Arrow


def _polars(value: Any, cls: type) -> Any:
    pl = sys.modules["polars"]
    if not hasattr(pl, "DataFrame"):
        return None
    if isinstance(value, pl.LazyFrame):
        raise Unencodable("a Polars LazyFrame has no content yet", "collect() it, or pass cache_key=…")
    if isinstance(value, pl.Expr):
        raise Unencodable("a Polars expression has no stable encoding", "pass its text as a string, or pass cache_key=…")
    if isinstance(value, pl.DataFrame):
        name = "polars.DataFrame" if cls is pl.DataFrame else _class_name(cls)
        types = MapParts((column, _polars_type(dtype, pl)) for column, dtype in value.schema.items())
        return Named(name, TupleParts((Table((value,)), MapParts((k, v) for k, v in types.items() if v is not None))))
    if isinstance(value, pl.Series):
        name = "polars.Series" if cls is pl.Series else _class_name(cls)
        return Named(name, TupleParts((value.name, Column((value,)), _polars_type(value.dtype, pl))))
    return None


def _polars_type(dtype: Any, pl: Any) -> Any:
    """What the Arrow type does not say."""
    if isinstance(dtype, pl.Enum):
        return TupleParts(("Enum", ListParts(dtype.categories.to_list())))
    if isinstance(dtype, pl.Categorical):
        return TupleParts(("Categorical",))
    if isinstance(dtype, pl.Object):
        raise Unencodable("a Polars column of Python objects has no stable encoding", "cast it, or pass cache_key=…")
    return None


def _pyarrow(value: Any, cls: type) -> Any:
    pa = sys.modules["pyarrow"]
    if not hasattr(pa, "Table"):
        return None
    if isinstance(value, (pa.Table, pa.RecordBatch)):
        return Named("arrow.Table", Table((value,)))
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        return Column((value,))
    if isinstance(value, pa.Scalar):
        return Named("arrow.Scalar", Column((pa.array([value.as_py()], type=value.type),)))
    if isinstance(value, pa.RecordBatchReader):
        raise Unencodable("an Arrow stream can be read only once", "read_all() it first, or pass cache_key=…")
    if isinstance(value, pa.DataType):
        return Named("arrow.DataType", str(value))
    return None


_PACKAGES = (("numpy", _numpy), ("pandas", _pandas), ("polars", _polars), ("pyarrow", _pyarrow))
