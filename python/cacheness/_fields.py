"""Fields of entries in listings, named as in docs/formats/filters.md, and listings that are read in pages."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import TYPE_CHECKING, Any

from . import _core
from .errors import CacheConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EPOCH", "Field", "identity", "microseconds", "pages", "plain_scalar", "text"]

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)

#: How many entries are in memory at a time.
_PAGE = 1000

_ROOTS = ("metadata", "params", "entry")

#: The times of an entry, and where a listing has them in UTC.
_TIMES = {
    "created_at": "created",
    "created": "created",
    "accessed_at": "last_accessed",
    "last_accessed": "last_accessed",
    "expires_at": "expires",
    "expires": "expires",
}


def pages(
    cache: _core.CacheBase, where: dict[str, Any] | None, *, include_metadata: bool
) -> Iterator[list[dict[str, Any]]]:
    """The entries that match a filter, in the order of their keys, a page at a time."""
    after = None
    while True:
        page = _core.CacheBase.list_entries(cache, include_metadata, where=where, limit=_PAGE, after=after)
        if page:
            yield page
        if len(page) < _PAGE:
            return
        after = page[-1]["cache_key"]


class Field:
    """A path to values of an entry: ``config.depth``, ``params.project``, ``entry.file_size``.

    Raises:
        TypeError: ``text`` is not a string.
        CacheConfigurationError: it is not a field, or entries do not have it.
    """

    def __init__(self, cache: _core.CacheBase, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a field is a string such as 'accuracy' or 'params.model', not a {type(text).__name__}")
        # The engine knows which fields there are, and what to say of others.
        _core.CacheBase.list_entries(cache, where={text: {"$exists": True}}, limit=0)
        if text.startswith("$"):
            raise CacheConfigurationError(
                f"{text!r} is an operator, not a field", hint=r"write \$ for a name that begins with $"
            )
        self.text = text
        self.root, self.steps = _parse(text)

    @property
    def needs_metadata(self) -> bool:
        """Whether listings must have the metadata."""
        return self.root == "metadata"

    def values(self, entry: dict[str, Any], pinned: bool = False) -> list[Any]:
        """The different values of an entry: each element of a list, and ``None`` where there is nothing."""
        if self.root == "entry":
            name = self.steps[0]
            if name == "pinned":
                return [pinned]
            return [_time(entry[_TIMES[name]]) if name in _TIMES else entry[name]]
        found: list[Any] = []
        _descend(entry["metadata" if self.root == "metadata" else "cache_key_params"], self.steps, found)
        elements: dict[Any, Any] = {}
        for value in found:
            for element in value if isinstance(value, (list, tuple, set, frozenset)) else (value,):
                elements.setdefault(identity(element), element)
        return list(elements.values()) or [None]


def _parse(text: str) -> tuple[str, list[str]]:
    """The root and the names of a path that the engine accepts."""
    steps = [""]
    literal = False
    letters = iter(text)
    for letter in letters:
        if letter == "\\":
            literal |= len(steps) == 1
            steps[-1] += next(letters)
        elif letter == ".":
            steps.append("")
        else:
            steps[-1] += letter
    if not literal and steps[0] in _ROOTS and len(steps) > 1:
        return steps[0], steps[1:]
    return "metadata", steps


def _descend(value: Any, steps: list[str], found: list[Any]) -> None:
    if not steps:
        found.append(value)
        return
    step = steps[0]
    if isinstance(value, dict):
        # Not `in`, which also finds technical fields in the metadata of an entry.
        if step in value.keys():  # noqa: SIM118
            _descend(dict.__getitem__(value, step), steps[1:], found)
    elif isinstance(value, (list, tuple)) and step.isascii() and step.isdigit():
        if int(step) < len(value):
            _descend(value[int(step)], steps[1:], found)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            if isinstance(item, dict):
                _descend(item, steps, found)


def _time(text: str | None) -> dt.datetime | None:
    return None if text is None else dt.datetime.fromisoformat(text)


def microseconds(time: dt.datetime) -> int:
    """Microseconds since 1970, in UTC if the time has no zone."""
    return (time - (EPOCH if time.tzinfo is not None else EPOCH.replace(tzinfo=None))) // _MICROSECOND


def plain_scalar(value: Any) -> Any:
    """A scalar of NumPy as Python's, if Python has its type; other values unchanged."""
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item"):
        item = value.item()
        # Nanoseconds become an integer.
        if not (isinstance(item, int) and value.dtype.kind in "mM"):
            return item
    return value


def identity(value: Any) -> Any:
    """Equal for values that the filter language takes as equal, and only for those; it can be hashed."""
    if type(value) is str:
        # Most values are.
        return ("str", value)
    value = plain_scalar(value)
    match value:
        case None | bool():
            return (type(value), value)
        case int() | float() | decimal.Decimal():
            return ("nan",) if value != value else ("number", value)  # noqa: PLR0124
        case str():
            return ("str", str(value))
        case bytes() | bytearray():
            return ("bytes", bytes(value))
        case dt.datetime():
            return ("datetime", value.tzinfo is None, microseconds(value))
        case dt.date() | dt.timedelta():
            return (type(value).__name__, value)
        case list() | tuple():
            return ("list", tuple(map(identity, value)))
        case set() | frozenset():
            return ("set", frozenset(map(identity, value)))
        case dict():
            return ("map", frozenset((identity(name), identity(item)) for name, item in value.items()))
    return (type(value), repr(value))


def text(value: Any) -> str:
    """A value as a text for people: a string without quotes, unless it could be taken for something else."""
    value = plain_scalar(value)
    if isinstance(value, str):
        return value if value and value == value.strip() and value not in ("None", "True", "False") else repr(value)
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return str(value)
