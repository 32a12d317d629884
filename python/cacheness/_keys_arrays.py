"""NumPy arrays whose bytes differ from their content, and other NumPy objects, as parts for keys."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from cacheness._keys_parts import (
    ListParts,
    MapParts,
    Named,
    Ref,
    Scalar,
    TupleParts,
    TypedArray,
    Unencodable,
    around,
    class_name,
    unencodable,
)


def reduce_array(array: Any) -> Any:
    """The parts of an array whose bytes differ from its content, or of a subclass."""
    if isinstance(array, np.ma.MaskedArray):
        return _masked(array)
    cls = type(array)
    if cls is not np.ndarray:
        base = np.asarray(array)
        if cls is np.memmap:
            return base
        if cls in (np.matrix, np.recarray):
            # NumPy has moved these classes between modules before.
            return Named(f"numpy.{cls.__name__}", base)
        return around(array, cls, np.ndarray, base)
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


def _masked(array: Any) -> Any:
    if array is np.ma.masked:
        return Ref("numpy.ma:masked")
    data = np.array(np.ma.getdata(array), order="C", copy=True, subok=False)
    mask = np.array(np.ma.getmaskarray(array), order="C")
    if data.dtype.names is None:
        data[mask] = np.zeros((), dtype=data.dtype)[()]
    else:
        _zero_masked(data, mask)
    # The default has a wider type than the items until its first use.
    fill_value = np.asarray(array.fill_value, dtype=data.dtype)[()]
    parts: tuple[Any, ...] = (data, mask, fill_value, bool(array.hardmask))
    cls = type(array)
    if cls is np.ma.MaskedArray:
        return Named("numpy.ma.MaskedArray", TupleParts(parts))
    own = MapParts((name, part) for name, part in vars(array).items() if name not in vars(np.ma.array(0)))
    return Named(class_name(cls), TupleParts((*parts, own)))


def reduce_scalar(value: Any) -> Any:
    """The parts of an array scalar whose bytes differ from its content."""
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
        return str(dtype.str)
    try:
        return repr(dtype.descr)
    except ValueError as error:
        raise Unencodable(
            "a structured array whose fields overlap has no stable encoding", "pass its fields one by one"
        ) from error


def _without_padding(array: Any) -> Any:
    """A contiguous copy whose bytes that belong to no item are zero."""
    clean = np.zeros(array.shape, dtype=array.dtype)
    _copy_items(clean, array)
    return clean


def _copy_items(target: Any, source: Any) -> None:
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
        # As void items, so that every byte is copied unchanged.
        opaque = np.dtype(f"V{dtype.itemsize}")
        target.view(opaque)[...] = octets.reshape(-1).view(opaque).reshape(target.shape)


def reduce(value: Any) -> Any:
    """The parts of an object of NumPy, ``None`` for any other."""
    if isinstance(value, np.ndarray):
        return reduce_array(value)
    if isinstance(value, np.generic):
        return reduce_scalar(value)
    if isinstance(value, np.dtype):
        if value.kind == "T" or (value.hasobject and value.names is None):
            return Named("numpy.dtype", str(value))
        if value.subdtype is not None:
            base, shape = value.subdtype
            return Named("numpy.dtype", TupleParts((_descr(base), TupleParts(shape))))
        return Named("numpy.dtype", _descr(value))
    if isinstance(value, np.ufunc):
        name = str(value.__name__)
        for module in (getattr(value, "__module__", None), "numpy", "scipy.special"):
            if module is not None and module in sys.modules and getattr(sys.modules[module], name, None) is value:
                return Ref(f"{module}:{name}")
        raise unencodable(value)
    return None
