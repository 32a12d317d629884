"""Dill, without what it only pretends to keep: a handle that comes back is another one, or none at all."""

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

#: Types that dill makes something new of: a lock that nobody waits for, a file opened again, a reference to nothing.
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
        type(dt.datetime_CAPI),  # a pointer of C; the class has a name from Python 3.13 on
    }
)


class _Pickler(dill.Pickler):  # type: ignore[misc]
    # Dill knows its own by the module's name, which has "dill" in it.
    def reducer_override(self, obj: Any) -> Any:
        if type(obj) in _HANDLES:
            raise pickle.PicklingError(f"{noun(obj)} belongs to this process and cannot be kept")
        if isinstance(obj, type):
            check(obj)
            if obj.__module__ == "__main__" and named(obj) is obj:
                # By name, as pickle has it: of a copy of the class nothing would be an instance.
                return obj.__qualname__
        reduce = reducer(type(obj))
        if reduce is not None:
            function, arguments, *rest = reduce(obj)
            # The pickler of Python takes no buffer that is empty or one byte.
            inside = (bytearray(a.raw()) if isinstance(a, pickle.PickleBuffer) else a for a in arguments)
            return function, tuple(inside), *rest
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(obj, numpy.dtype):
            # Dill keeps the class of its items alone, and so loses their byte order.
            return obj.__reduce__()
        return NotImplemented


def dumps(value: Any) -> bytes:
    """``dill.dumps`` of protocol 5.

    Raises:
        Exception: whatever the value's classes raise; ``PicklingError`` for a lock, an open file and other handles.
    """
    out = io.BytesIO()
    _Pickler(out, protocol=5).dump(value)
    return out.getvalue()
