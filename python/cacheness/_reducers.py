"""Reducers for objects that pickle alone would restore changed, or would write but not read back."""

from __future__ import annotations

import copyreg
import functools
import io
import operator
import pickle
import sys
import types
from collections.abc import Callable
from typing import Any

from cacheness._keys_parts import attributes

__all__ = ["dispatch_table", "dumps", "reducer"]

_Reducer = Callable[[Any], Any]


class _Table(dict[type, _Reducer]):
    """The reducers for objects of exactly that type, and for subclasses of types of which packages have many."""

    def __missing__(self, cls: type) -> _Reducer:
        for find in _FINDERS:
            reduce = find(cls)
            if reduce is not None:
                self[cls] = reduce
                return reduce
        raise KeyError(cls)


#: Results of :func:`reducers`, by the packages that were imported.
_known: dict[tuple[str, ...], dict[type, _Reducer]] = {}


def dumps(value: Any, buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None) -> bytes:
    """``pickle.dumps`` of protocol 5 with :func:`reducers`."""
    out = io.BytesIO()
    pickler = pickle.Pickler(out, protocol=5, buffer_callback=buffer_callback)
    pickler.dispatch_table = dispatch_table()
    pickler.dump(value)
    return out.getvalue()


def dispatch_table() -> dict[type, _Reducer]:
    """The dispatch table of a pickler."""
    return _Table({**copyreg.dispatch_table, **reducers()})


def reducer(cls: type) -> _Reducer | None:
    """The reducer for objects of a class, ``None`` if they reduce themselves."""
    try:
        return _Table(reducers())[cls]
    except KeyError:
        return None


def reducers() -> dict[type, _Reducer]:
    """The reducers for objects of exactly that type, for the imported packages."""
    packages = tuple(name for name in _PACKAGES if sys.modules.get(name) is not None)
    found = _known.get(packages)
    if found is None:
        found = {}
        for package in packages:
            found.update(_PACKAGES[package]())
        _known[packages] = found
    return found


def _numpy() -> dict[type, _Reducer]:
    import numpy as np

    def array(value: Any) -> Any:
        if not (value.dtype.isnative or value.flags.forc):
            # Only contiguous arrays keep their byte order.
            value = value.copy()
        return value.__reduce_ex__(5)

    def masked(value: Any) -> Any:
        if value.dtype.hasobject or value._optinfo or value.baseclass is not np.ndarray:
            return _with_attributes(value, value.__reduce_ex__(5))
        # NumPy loses the hardness of a mask, and the byte order.
        more: dict[str, Any] = {"hard_mask": value.hardmask}
        if (mask := np.ma.getmask(value)) is not np.ma.nomask:
            more["mask"] = mask
        fill = value._fill_value
        # The default has its own type until another value is set, and is restored automatically.
        if fill is not None and fill.dtype == value.dtype:
            more["fill_value"] = fill
        reduced = functools.partial(np.ma.MaskedArray, **more), (np.ma.getdata(value, subok=False),)
        return _with_attributes(value, reduced)

    def matrix(value: Any) -> Any:
        reduced = value.__reduce_ex__(5) if value.dtype.isnative else (np.matrix, (np.asarray(value),))
        return _with_attributes(value, reduced)

    # NumPy pickles the item of an array, which has no trailing NUL, and knows one integer type of each size.
    return {
        np.ndarray: array,
        np.ma.MaskedArray: masked,
        np.matrix: matrix,
        np.str_: lambda value: (np.str_, (str.__str__(value),)),
        np.bytes_: lambda value: (np.bytes_, (value.tobytes()[: bytes.__len__(value)],)),
        np.longlong: lambda value: (np.longlong, (int(value),)),
        np.ulonglong: lambda value: (np.ulonglong, (int(value),)),
    }


def _array_subclass(cls: type) -> _Reducer | None:
    """NumPy pickles an instance of a subclass without its attributes."""
    np = sys.modules.get("numpy")
    if np is None or not hasattr(np, "ma") or not issubclass(cls, np.ndarray) or issubclass(cls, np.memmap):
        return None
    base = np.ma.MaskedArray if issubclass(cls, np.ma.MaskedArray) else np.ndarray
    if cls is base:
        return None
    for name in ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__"):
        if getattr(cls, name, None) is not getattr(base, name, None):
            return None

    def array(value: Any) -> Any:
        if value.dtype.isnative or base is np.ma.MaskedArray:
            return _with_attributes(value, value.__reduce_ex__(5))
        # NumPy loses the byte order of a subclass.
        return _with_attributes(value, (_view, (np.asarray(value), cls)))

    return array


def _view(array: Any, cls: type) -> Any:
    return array.view(cls)


def _with_attributes(value: Any, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """NumPy's own reduction of an array, and its further attributes."""
    import numpy as np

    masked = isinstance(value, np.ma.MaskedArray)
    besides = vars(np.ma.array(0)) if masked else ()
    found = dict(attributes(value, type(value), np.ma.MaskedArray if masked else np.ndarray, besides))
    if not found:
        return reduced
    function, arguments, state = (*reduced, None)[:3]
    return function, arguments, (state, found), None, None, _set_state


def _set_state(array: Any, state: tuple[Any, dict[str, Any]]) -> None:
    own, found = state
    if own is not None:
        array.__setstate__(own)
    own_names = getattr(array, "__dict__", {})
    for name, part in found.items():
        # Bypasses the class's own ``__setattr__``.
        if isinstance(getattr(type(array), name, None), types.MemberDescriptorType):
            object.__setattr__(array, name, part)
        else:
            own_names[name] = part


def _scalar(cls: type) -> _Reducer | None:
    """PyArrow pickles a scalar as its ``as_py`` value, which lacks nanoseconds and does not restore every type."""
    pa = sys.modules.get("pyarrow")
    if pa is None or not hasattr(pa, "Scalar") or not issubclass(cls, pa.Scalar):
        return None
    from cacheness._keys_tables import array_of

    return lambda value: (operator.getitem, (array_of(value), 0))


_FINDERS = (_array_subclass, _scalar)


def _pyarrow() -> dict[type, _Reducer]:
    import pyarrow as pa

    def map_type(value: Any) -> Any:
        return pa.map_, (value.key_field, value.item_field, value.keys_sorted)

    # Their own pickles store metadata as a dictionary, which loses duplicate keys.
    def schema(value: Any) -> Any:
        if value.equals(value.with_metadata(value.metadata), check_metadata=True):
            return value.__reduce__()
        return pa.ipc.read_schema, (pa.py_buffer(value.serialize().to_pybytes()),)

    def field(value: Any) -> Any:
        if value.equals(value.with_metadata(value.metadata), check_metadata=True):
            return value.__reduce__()
        return _read_field, (pa.schema([value]).serialize().to_pybytes(),)

    return {pa.MapType: map_type, pa.Schema: schema, pa.Field: field}


def _read_field(data: bytes) -> Any:
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(data)).field(0)


def _polars() -> dict[type, _Reducer]:
    import polars as pl

    from cacheness._tables_polars import has_empty_arrays, has_objects

    def check(dtype: Any) -> None:
        if has_empty_arrays(dtype):
            raise pickle.PicklingError("Polars cannot read back arrays of width 0")
        if has_objects(dtype):
            # It would abort the process.
            raise pickle.PicklingError("Polars cannot write Python objects inside other types")

    def series(value: Any) -> Any:
        if value.dtype == pl.Object:
            return _objects, (value.name, value.to_list())
        check(value.dtype)
        return value.__reduce_ex__(5)

    def frame(value: Any) -> Any:
        if pl.Object in value.dtypes:
            return pl.DataFrame, (value.get_columns(),)
        for dtype in value.dtypes:
            check(dtype)
        return value.__reduce_ex__(5)

    return {pl.Series: series, pl.DataFrame: frame}


def _objects(name: str, values: list[Any]) -> Any:
    import polars as pl

    return pl.Series(name, values, dtype=pl.Object)


_PACKAGES: dict[str, Callable[[], dict[type, _Reducer]]] = {
    "numpy": _numpy,
    "pyarrow": _pyarrow,
    "polars": _polars,
}
