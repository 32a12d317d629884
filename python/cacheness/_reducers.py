"""How objects are pickled that pickle alone would bring back changed, or would write and never read again."""

from __future__ import annotations

import copyreg
import functools
import io
import pickle
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["dumps", "reducers"]

_Reducer = Callable[[Any], Any]

#: What :func:`reducers` has made, by the packages that had been imported.
_known: dict[tuple[str, ...], dict[type, _Reducer]] = {}


def dumps(value: Any, buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None) -> bytes:
    """``pickle.dumps`` of protocol 5 with :func:`reducers`."""
    out = io.BytesIO()
    pickler = pickle.Pickler(out, protocol=5, buffer_callback=buffer_callback)
    pickler.dispatch_table = {**copyreg.dispatch_table, **reducers()}
    pickler.dump(value)
    return out.getvalue()


def reducers() -> dict[type, _Reducer]:
    """What reduces an object of exactly that type, for the packages that have been imported."""
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
            # Only what is contiguous keeps its byte order.
            value = value.copy()
        return value.__reduce_ex__(5)

    def masked(value: Any) -> Any:
        if value.dtype.hasobject or value._optinfo or value.baseclass is not np.ndarray:
            return value.__reduce_ex__(5)
        # NumPy forgets that a mask is hard, and the byte order.
        more: dict[str, Any] = {"hard_mask": value.hardmask}
        if (mask := np.ma.getmask(value)) is not np.ma.nomask:
            more["mask"] = mask
        fill = value._fill_value
        # The default has a type of its own until another value is set, and comes back by itself.
        if fill is not None and fill.dtype == value.dtype:
            more["fill_value"] = fill
        return functools.partial(np.ma.MaskedArray, **more), (np.ma.getdata(value, subok=False),)

    def matrix(value: Any) -> Any:
        return value.__reduce_ex__(5) if value.dtype.isnative else (np.matrix, (np.asarray(value),))

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


def _pyarrow() -> dict[type, _Reducer]:
    import pyarrow as pa

    def map_type(value: Any) -> Any:
        return pa.map_, (value.key_field, value.item_field, value.keys_sorted)

    # Their own pickles have metadata as a dictionary, which has each key once.
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
            raise pickle.PicklingError("Polars does not read back what it writes for arrays of width 0")
        if has_objects(dtype):
            # It ends the process.
            raise pickle.PicklingError("Polars does not write Python objects inside of other types")

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
