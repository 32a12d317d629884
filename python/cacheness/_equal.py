"""When two values are equal to those that look for entries: also where ``==`` gives no single answer."""

from __future__ import annotations

from typing import Any


def same(found: Any, wanted: Any) -> bool:
    """Whether a value of an entry is the one that is wanted.

    Python decides, part by part of lists, tuples and dictionaries. Where it gives no single answer (arrays, columns),
    the values are equal as a whole, with the same shape and equal items, or not at all. What comparing raises is
    passed on.
    """
    kind = type(found)
    if kind is type(wanted):
        if kind is list or kind is tuple:
            return len(found) == len(wanted) and all(map(same, found, wanted))
        if kind is dict:
            return found.keys() == wanted.keys() and all(same(value, wanted[name]) for name, value in found.items())
    try:
        equal = found == wanted
    except OverflowError:
        # A number that no scalar of the other's type can be.
        return False
    except ValueError:
        if hasattr(found, "shape") or hasattr(wanted, "shape"):
            # Items, or columns, that cannot be compared one by one.
            return False
        raise
    if isinstance(equal, bool):
        return equal
    if getattr(equal, "shape", ()) != ():
        # Item by item: an array is equal to an array, and to nothing else that NumPy can compare with it.
        return kind is type(wanted) and found.shape == wanted.shape and bool(equal.all())
    try:
        return bool(equal)
    except (TypeError, ValueError):
        return False


def by_name(entry: dict[str, Any]) -> dict[str, Any]:
    """What stands under each name that ``delete_matching`` looks up: metadata goes before parameters, these before the
    arguments of a function, these before what the entry has itself.
    """
    named = dict(entry)
    parameters = entry["cache_key_params"]
    if isinstance(parameters, dict):
        if "__function__" in parameters and isinstance(parameters.get("arguments"), dict):
            named.update(parameters["arguments"])
        named.update(parameters)
    named.update(entry["metadata"])
    return named
