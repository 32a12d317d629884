"""Sparse arrays and matrices of SciPy as parts for keys: their arrays, without cached properties."""

from __future__ import annotations

import sys
from typing import Any

from cacheness._keys_parts import MapParts, Named, TupleParts

_ARRAYS = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "bsr": ("data", "indices", "indptr"),
    "coo": ("data", "coords"),
    "dia": ("data", "offsets"),
    "lil": ("data", "rows"),
}


def reduce(value: Any, cls: type) -> Any:
    """The parts of an instance of exactly one of SciPy's sparse classes, ``None`` for any other."""
    sparse = sys.modules.get("scipy.sparse")
    if sparse is None or getattr(sparse, cls.__name__, None) is not cls or not sparse.issparse(value):
        return None
    if value.format == "dok":
        content: Any = MapParts((_place(place), item) for place, item in value.items())
    else:
        content = TupleParts(getattr(value, name) for name in _ARRAYS[value.format])
    # The module that defines the class is private and has changed before.
    return Named(f"scipy.sparse.{cls.__name__}", TupleParts((value.shape, value.dtype, content)))


def _place(place: Any) -> tuple[int, ...]:
    # Integers of NumPy or of Python, depending on how the item was set; a single integer for one dimension.
    return tuple(map(int, place)) if isinstance(place, tuple) else (int(place),)
