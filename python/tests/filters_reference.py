"""What ``docs/formats/filters.md`` says about values, in Python and independent of the package."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from typing import Any

import numpy as np

#: Classes whose values have an order, beside ``null`` and ``nan``, which are equal only.
ORDERED = {"null", "nan", "boolean", "number", "string", "bytes", "instant", "wall", "date", "time", "duration"}
ORDERED |= {"uuid", "path"}


def _number(value: Any) -> tuple[str, Any]:
    if math.isnan(value):
        return "nan", None
    return "number", float(value) if math.isinf(value) else Fraction(value)


def classed(value: Any) -> tuple[str, Any]:
    """The class of a value, and a form of it that Python compares exactly."""
    match value:
        case None:
            return "null", None
        case bool() | np.bool_():
            return "boolean", bool(value)
        case str():
            return "string", str(value)
        case bytes() | bytearray():
            return "bytes", bytes(value)
        case int() | np.integer():
            return "number", Fraction(int(value))
        case np.floating():
            return _number(float(value))
        case float() | Decimal():
            return _number(value)
        case dt.datetime():
            if value.tzinfo is None:
                return "wall", value.replace(fold=0)
            return "instant", value.astimezone(dt.UTC).replace(fold=0)
        case dt.date():
            return "date", value
        case dt.time() if value.tzinfo is None:
            return "time", value
        case dt.timedelta():
            return "duration", value
        case uuid.UUID():
            return "uuid", value.bytes
        case PurePath():
            return "path", str(value).encode()
        case list() | tuple():
            return "list", tuple(classed(item) for item in value)
        case set() | frozenset():
            return "set", frozenset(classed(item) for item in value)
        case dict():
            return "map", frozenset((classed(key), classed(item)) for key, item in value.items())
        case np.ndarray():
            return "other", (value.dtype.str, value.shape, value.tobytes())
        case _:
            return "other", (type(value).__name__, repr(value))


def _candidates(value: Any) -> list[Any]:
    return [value, *value] if isinstance(value, list | tuple | set | frozenset) else [value]


def equals(stored: Any, wanted: Any) -> bool:
    """Whether ``$eq`` holds: for the value, or for one of its elements."""
    return any(classed(value) == classed(wanted) for value in _candidates(stored))


def compares(stored: Any, operator: str, wanted: Any) -> bool:
    """Whether ``$gt``, ``$gte``, ``$lt`` or ``$lte`` holds."""
    name, form = classed(wanted)
    for value in _candidates(stored):
        other, own = classed(value)
        if other != name:
            continue
        if own == form:
            holds = operator in ("$gte", "$lte")
        elif operator in ("$gt", "$gte"):
            holds = own > form
        else:
            holds = own < form
        if holds:
            return True
    return False


#: The order of classes in listings.
_PLACES = ("null", "nan", "number", "string", "boolean", "instant", "wall", "date", "time", "duration", "uuid", "path")


def rank(value: Any, descending: bool = False) -> tuple[int, Any]:
    """By what a value of an ordered class, or a list of them, is sorted."""
    if isinstance(value, list | tuple):
        ranks = [rank(item) for item in value]
        return (max(ranks) if descending else min(ranks)) if ranks else (0, 0)
    name, form = classed(value)
    return _PLACES.index(name), 0 if form is None else form
