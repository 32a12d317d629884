"""Classes that were defined anew, by a reload or by a cell that was run again: objects of the former class are left.

Pickle refuses such an object. Dill would keep a copy of its class, and the object would come back as one of a third
class, which is equal to nothing and no instance of anything that the program knows.
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
    """A part of a value has a class that was defined anew."""

    def __init__(self, cls: type) -> None:
        name = f"{cls.__module__}.{cls.__qualname__}"
        super().__init__(f"{name} was defined anew after this object was made, so it would come back as another class")
        what = "take the member from the present class" if issubclass(cls, enum.Enum) else "make the object again"
        self.hint = f"{what}, with the {name} that is there now"


def named(cls: type) -> Any:
    """What the name of a class leads to; ``None`` where it leads nowhere."""
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
    """Refuse a class whose name leads to another class.

    Raises:
        Replaced: it does.
    """
    if isinstance(part, type) and part.__flags__ & _HEAP_TYPE:
        found = named(part)
        if found is not part and isinstance(found, type):
            raise Replaced(part)


#: ``Py_TPFLAGS_HEAPTYPE``: a class of Python code. Of the others there is one, whatever its name leads to.
_HEAP_TYPE = 1 << 9


def find(value: Any, dispatch_table: Any) -> Replaced | None:
    """Look for such a class in a value that pickle has refused."""
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
        # A function without a name is not what is looked for, and would end the search.
        return (int, ()) if isinstance(obj, types.FunctionType) else NotImplemented
