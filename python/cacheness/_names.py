"""The cache as a mapping: keys and names to values, with all of ``collections.abc.MutableMapping``."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from types import FunctionType
from typing import Any, TypeVar

from . import _core

_Class = TypeVar("_Class", bound=type)

#: Stands for an omitted argument, and for a missing entry.
MISSING: Any = object()

#: Method names of other libraries, and what to write instead.
_HABITS = {
    "set": "cache[name] = value, or put(value, cache_key=name, ttl_seconds=…)",
    "add": "setdefault(name, value)",
    "read": "get(name)",
    "fetch": "get(name), or get_or_compute(function, cache_key=name)",
    "has": "name in cache",
    "has_key": "name in cache",
    "contains": "name in cache, or exists(…)",
    "remove": "del cache[name], or invalidate(…)",
    "expire": "cleanup_expired()",
    "evict": "delete_matching(tags=…)",
    "cull": "nothing: a put over a limit evicts by itself",
    "check": "verify_integrity()",
    "volume": 'get_stats()["total_size_bytes"]',
    "stats": "get_stats()",
    "size": 'len(cache), or get_stats()["total_size_bytes"]',
    "reduce_size": "max_cache_size_mb=… where the cache is opened",
    "iterkeys": "iter(cache)",
}


def named_as_cache(cls: _Class) -> _Class:
    """Makes messages about wrong arguments name the public class, not the base class that defines the method."""
    for name, member in vars(cls).items():
        if isinstance(member, FunctionType):
            member.__qualname__ = f"Cache.{name}"
    return cls


@named_as_cache
class Names(_core.CacheBase):
    """``cache[name]`` is the entry with that key: the name it was put under, or the key that ``put`` returned.

    Iteration yields the keys of all unexpired entries in sorted order, including those derived from parameters. It
    reads the keys in pages: entries that are put or removed meanwhile may or may not be included. ``values()`` and
    ``items()`` read one value at a time, and skip entries that are gone or cannot be served by then.
    """

    def __getitem__(self, name: str) -> Any:
        value = self.get(name, MISSING)
        if value is MISSING:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        self.put(value, cache_key=name)

    def __delitem__(self, name: str) -> None:
        if not self.invalidate(name):
            raise KeyError(name)

    def __contains__(self, name: str) -> bool:
        return self.exists(name)

    def __iter__(self) -> Iterator[str]:
        names, after = self._keys()
        while True:
            yield from names
            if after is None:
                return
            names, after = self._keys(after)

    __reversed__ = None

    def keys(self) -> KeysView[str]:
        """The keys of all unexpired entries."""
        return KeysView(self)  # type: ignore[arg-type]

    def values(self) -> ValuesView[Any]:
        """The values of all unexpired entries; read one at a time."""
        return _Values(self)  # type: ignore[arg-type]

    def items(self) -> ItemsView[str, Any]:
        """Keys and values of all unexpired entries; values are read one at a time."""
        return _Items(self)  # type: ignore[arg-type]

    def pop(self, name: str, default: Any = MISSING) -> Any:
        """Removes an entry and returns its value. Of several concurrent callers, one gets it.

        Args:
            name: the key.
            default: the return value if the entry does not exist.

        Raises:
            KeyError: the entry does not exist, and no ``default`` was given.
        """
        value = self.get(name, MISSING)
        if value is not MISSING and self.invalidate(name):
            return value
        if default is MISSING:
            raise KeyError(name)
        return default

    def popitem(self) -> tuple[str, Any]:
        """Removes the entry with the smallest key, and returns its key and value.

        Raises:
            KeyError: the cache is empty.
        """
        for name in self:
            value = self.pop(name, MISSING)
            if value is not MISSING:
                return name, value
        raise KeyError("the cache has no entry to pop")

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The value under a name; if there is none, stores and returns ``default``. Of several concurrent callers, the
        first one stores.
        """
        return self.get_or_compute(lambda: default, cache_key=name)  # type: ignore[attr-defined]

    def update(self, data: Any = MISSING, /, *, if_exists: bool | None = None, **parameters: Any) -> bool | None:
        """Stores several values under names, as ``dict.update`` does; with ``if_exists``, the value of one entry.

        Args:
            data: a mapping of names to values, or pairs of them. With ``if_exists`` the new value of the entry that the
                keywords identify.
            if_exists: ``True`` replaces the value of an existing entry, as :meth:`Cache.replace` does; ``False`` also
                creates an entry.
            parameters: names and values; with ``if_exists`` the keywords of ``put``.

        Returns:
            ``None``; with ``if_exists``, whether a value was stored.

        Raises:
            TypeError: a value and keywords without ``if_exists``, which is ambiguous.
        """
        if if_exists is not None:
            if data is MISSING and "data" not in parameters:
                raise TypeError("update(if_exists=…) has no value to store")
            value = parameters.pop("data") if data is MISSING else data
            if if_exists:
                return _core.update_data(self, value, **parameters)
            self.put(value, **parameters)
            return True
        if data is MISSING:
            data = ()
        elif parameters:
            raise TypeError(
                "update() has a value and keywords: use if_exists=True to replace the value of the entry that the "
                "keywords identify, or write update({name: value, …}) to store values under names"
            )
        pairs: Iterable[Any] = data.items() if isinstance(data, Mapping) else _pairs(data)
        for name, value in (*pairs, *parameters.items()):
            self[name] = value
        return None

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in _HABITS]


class _Habit:
    """A method of other caches that does not exist here; the error says what to write.

    Not ``__getattr__`` of the class: that would slow down the lookup of every attribute.
    """

    def __init__(self, name: str, instead: str) -> None:
        self._name, self._instead = name, instead

    def __get__(self, instance: Any, owner: type) -> Any:
        sentence = f"{owner.__name__!r} object has no attribute {self._name!r}; write {self._instead}"
        raise AttributeError(sentence, name=self._name, obj=owner if instance is None else instance)


for _name, _instead in _HABITS.items():
    setattr(Names, _name, _Habit(_name, _instead))

MutableMapping.register(Names)


def _pairs(data: Any) -> Iterable[Any]:
    if not hasattr(data, "keys"):
        return data  # type: ignore[no-any-return]
    names = data.keys()
    return ((name, data[name]) for name in names)


class _Values(ValuesView[Any]):
    """Values that still exist when they are read."""

    def __iter__(self) -> Iterator[Any]:
        for name in self._mapping:  # type: ignore[attr-defined]
            value = self._mapping.get(name, MISSING)  # type: ignore[attr-defined]
            if value is not MISSING:
                yield value


class _Items(ItemsView[str, Any]):
    """Items that still exist when they are read."""

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for name in self._mapping:  # type: ignore[attr-defined]
            value = self._mapping.get(name, MISSING)  # type: ignore[attr-defined]
            if value is not MISSING:
                yield name, value
