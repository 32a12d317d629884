"""Captured variables, on which a closure's result depends as on arguments."""

from __future__ import annotations

import datetime as dt
import decimal
import dis
import enum
import pathlib
import sys
import types
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PLAIN = (
    type(None), bool, int, float, complex, str, bytes, range, enum.Enum, dt.date, dt.time,
    dt.timedelta, decimal.Decimal, uuid.UUID, pathlib.PurePath,
)  # fmt: skip


def _cells(functions: Iterable[types.FunctionType], ignore: frozenset[str]) -> dict[str, types.CellType]:
    """The variables that functions capture and do not assign, by unique names."""
    captured: list[tuple[str, types.CellType]] = []
    seen: set[int] = set()
    for function in functions:
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        if cells:
            captured += cells.items()
            seen |= {id(cells[name]) for name in _assigned(function.__code__) if name in cells}
    found: dict[str, types.CellType] = {}
    for name, cell in captured:
        if id(cell) not in seen and name not in ignore:
            seen.add(id(cell))
            others = sum(known.partition("#")[0] == name for known in found)
            found[f"{name}#{others}" if others else name] = cell
    return found


def _assigned(code: types.CodeType) -> set[str]:
    """The captured variables that ``code``, or a function inside it, assigns."""
    found = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname in ("STORE_DEREF", "DELETE_DEREF")
    }
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _assigned(constant).intersection(constant.co_freevars)
    return found


def with_captured(
    bind: Callable[..., dict[str, Any]], functions: Iterable[types.FunctionType], ignore: frozenset[str]
) -> Callable[..., dict[str, Any]]:
    """Adds the captured variables whose values at the time of the call are plain and immutable to the parameters."""
    cells = _cells(functions, ignore)
    if not cells:
        return bind

    def bound(*args: Any, **kwargs: Any) -> dict[str, Any]:
        params = bind(*args, **kwargs)
        captured = {}
        for name, cell in cells.items():
            try:
                value = cell.cell_contents
            except ValueError:
                # It has no value yet, or was deleted.
                continue
            if is_plain(value):
                captured[name] = value
        if captured:
            params["__captured__"] = captured
        return params

    return bound


def is_plain(value: Any) -> bool:
    if value is ... or isinstance(value, _PLAIN):
        return True
    if isinstance(value, tuple | frozenset):
        return all(map(is_plain, value))
    if isinstance(value, slice):
        return is_plain((value.start, value.stop, value.step))
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType | types.ModuleType):
        return _is_named(value)
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.number, numpy.bool_, numpy.datetime64))


def _is_named(value: Any) -> bool:
    """Whether it is the module, class or function that its name refers to, so that the name identifies it."""
    if isinstance(value, types.ModuleType):
        return sys.modules.get(value.__name__) is value
    if hasattr(value, "__wrapped__") or getattr(value, "__closure__", None):
        # It depends on more than its name.
        return False
    found: Any = sys.modules.get(getattr(value, "__module__", None) or "")
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value
