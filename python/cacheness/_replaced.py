"""Redefined classes, after a reload or a rerun cell: objects of the previous class still exist.

Pickle refuses such an object. Dill would store a copy of its class, and the object would come back as an instance of a
third class that the program does not know.
"""

from __future__ import annotations

import enum
import io
import pickle
import sys
import types
from typing import Any

__all__ = ["Replaced", "check", "find", "named"]


class Replaced(pickle.PicklingError):
    """A part of a value has a class that was redefined."""

    def __init__(self, cls: type) -> None:
        name = f"{cls.__module__}.{cls.__qualname__}"
        super().__init__(f"{name} was redefined after this object was created, so it would come back as another class")
        what = "take the member from the current class" if issubclass(cls, enum.Enum) else "create the object again"
        self.hint = f"{what}, with the current {name}"


def named(cls: type) -> Any:
    """The object that the name of a class refers to; ``None`` if there is none."""
    module, qualname = getattr(cls, "__module__", None), getattr(cls, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str):
        return None
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        try:
            found = getattr(found, name, None)
        except Exception:  # noqa: BLE001 - a module may have a __getattr__ that raises anything
            return None
    return found


def check(part: Any) -> None:
    """Refuses a class whose name refers to another class.

    Raises:
        Replaced: the name refers to another class.
    """
    if isinstance(part, type) and part.__flags__ & _HEAP_TYPE:
        found = named(part)
        if found is not part and isinstance(found, type):
            raise Replaced(part)


#: ``Py_TPFLAGS_HEAPTYPE``: a class of Python code. All others exist only once, whatever their names refer to.
_HEAP_TYPE = 1 << 9


def find(value: Any, dispatch_table: Any) -> Replaced | None:
    """Looks for such a class in a value that pickle has refused."""
    pickler = _Finder(io.BytesIO(), protocol=5, buffer_callback=lambda _buffer: None)
    pickler.dispatch_table = dispatch_table
    try:
        pickler.dump(value)
    except Replaced as replaced:
        return replaced
    except Exception:  # noqa: BLE001 - what else is wrong, pickle has said before
        return None
    return None


class _Finder(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        check(obj)
        # A function without a name is no such class, and would end the search.
        return (int, ()) if isinstance(obj, types.FunctionType) else NotImplemented
