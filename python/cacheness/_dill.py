"""Dill, without the types that it cannot restore: a restored handle is another handle, or none."""

from __future__ import annotations

import _thread
import datetime as dt
import io
import pickle
import sys
import threading
import types
import weakref
from typing import Any

import dill

from cacheness._keys_parts import noun
from cacheness._reducers import reducer
from cacheness._replaced import check, named

__all__ = ["dumps"]

#: Types of which dill restores a new object: an unused lock, a reopened file, a reference to nothing.
_HANDLES = frozenset(
    {
        _thread.LockType,
        type(threading.RLock()),
        threading.Thread,
        io.TextIOWrapper,
        io.BufferedReader,
        io.BufferedWriter,
        io.BufferedRandom,
        io.FileIO,
        weakref.ReferenceType,
        weakref.ProxyType,
        weakref.CallableProxyType,
        types.GeneratorType,
        types.FrameType,
        type(dt.datetime_CAPI),  # a C pointer; its class has a name from Python 3.13 on
    }
)


class _Pickler(dill.Pickler):  # type: ignore[misc]
    # Dill recognises its own picklers by "dill" in the name of the module.
    def reducer_override(self, obj: Any) -> Any:
        if type(obj) in _HANDLES:
            raise pickle.PicklingError(f"{noun(obj)} belongs to this process and cannot be stored")
        if isinstance(obj, type):
            check(obj)
            if obj.__module__ == "__main__" and named(obj) is obj:
                # By name, like pickle: no other object would be an instance of a copy of the class.
                return obj.__qualname__
        reduce = reducer(type(obj))
        if reduce is not None:
            function, arguments, *rest = reduce(obj)
            # Python's pickler accepts no buffers of zero or one byte.
            inside = (bytearray(a.raw()) if isinstance(a, pickle.PickleBuffer) else a for a in arguments)
            return function, tuple(inside), *rest
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(obj, numpy.dtype):
            # Dill stores only the class of the items, and so loses their byte order.
            return obj.__reduce__()
        return NotImplemented


def dumps(value: Any) -> bytes:
    """``dill.dumps`` of protocol 5.

    Raises:
        PicklingError: for a lock, an open file and other handles.
        Exception: any exception of the value's classes.
    """
    out = io.BytesIO()
    _Pickler(out, protocol=5).dump(value)
    return out.getvalue()
