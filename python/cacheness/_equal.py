"""Equality of values in searches for entries, also if ``==`` gives no single answer."""

from __future__ import annotations

from typing import Any


def same(found: Any, wanted: Any) -> bool:
    """Whether a value of an entry equals the wanted value.

    Uses Python's equality, for each part of lists, tuples and dictionaries. If it gives no single answer (arrays,
    columns), the values are equal if they have the same shape and equal items. An exception of the comparison passes
    through.
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
        # The number cannot be represented by a scalar of the other's type.
        return False
    except ValueError:
        if hasattr(found, "shape") or hasattr(wanted, "shape"):
            # The items, or columns, cannot be compared one by one.
            return False
        raise
    if isinstance(equal, bool):
        return equal
    if getattr(equal, "shape", ()) != ():
        # Item by item: an array equals only another array, not other values that NumPy can compare with it.
        return kind is type(wanted) and found.shape == wanted.shape and bool(equal.all())
    try:
        return bool(equal)
    except (TypeError, ValueError):
        return False


def by_name(entry: dict[str, Any]) -> dict[str, Any]:
    """The value of each name that ``delete_matching`` looks up: from the metadata, else the parameters, else the
    arguments of a function, else the fields of the entry.
    """
    named = dict(entry)
    parameters = entry["cache_key_params"]
    if isinstance(parameters, dict):
        if "__function__" in parameters and isinstance(parameters.get("arguments"), dict):
            named.update(parameters["arguments"])
        named.update(parameters)
    named.update(entry["metadata"])
    return named
