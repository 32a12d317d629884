"""Working on entries that are there: what :class:`cacheness.Cache` offers besides ``put`` and ``get``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core, _entries
from ._names import MISSING, named_as_cache
from ._queries import Queries
from .errors import CacheSerializationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import timedelta
    from types import EllipsisType


#: Keywords that say how ``get`` reads; other methods refuse them.
_OF_GET = ("default", "mmap_mode", "strict_verification")


@named_as_cache
class Management(Queries):
    """Methods of :class:`cacheness.Cache` that inspect, change and remove entries, one or many."""

    def get_entry(self, cache_key: str) -> dict[str, Any] | None:
        """What is known of the entry with this key, whether it has expired or not.

        Args:
            cache_key: the key that ``put`` returned, or the name it was given.

        Returns:
            The dictionary that :meth:`get_metadata` returns; ``None`` if there is none.
        """
        return self.get_metadata(check_expiration=False, cache_key=cache_key)

    def update_data(
        self,
        data: Any = MISSING,
        /,
        cache_key: str | None = None,
        *,
        ttl_seconds: float | timedelta | EllipsisType | None = ...,
        params: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> bool:
        """Replaces the value of an entry; its key, description and metadata stay.

        The entry is as fresh as after a ``put``. Use ``put`` to make one that is not there yet.

        Args:
            data: the new value, by position or, where nothing is given by position, as ``data=…``.
            cache_key: its key, or the name it was stored under, in place of parameters, which are ignored beside it.
            ttl_seconds: how long the value is served; ``None`` for ever, the cache's default if it is not given.
            params: parameters in a dictionary, also those that have the name of a keyword.
            parameters: all other keywords are the parameters of the entry.

        Returns:
            Whether there was an entry that had not expired.

        Raises:
            CacheError: as ``put`` raises it; the former value is still there.
        """
        if data is MISSING:
            if "data" not in parameters:
                raise TypeError("there is no value to store: update_data(value, …) or update_data(data=value, …)")
            data = parameters.pop("data")
        return _core.update_data(self, data, cache_key=cache_key, ttl_seconds=ttl_seconds, params=params, **parameters)

    #: The same under the name that it has elsewhere.
    replace = update_data

    def touch(
        self,
        /,
        cache_key: str | None = None,
        *,
        ttl_seconds: float | timedelta | EllipsisType | None = ...,
        params: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> bool:
        """Makes an entry as fresh as if it had just been put. Its value is not read.

        Args:
            cache_key: its key, or the name it was stored under, in place of parameters, which are ignored beside it.
            ttl_seconds: how long it is served from now on; ``None`` for ever, the cache's default if it is not given.
            params: parameters in a dictionary, also those that have the name of a keyword.
            parameters: all other keywords are the parameters of the entry.

        Returns:
            Whether there was an entry that had not expired.
        """
        return _core.touch(self, cache_key=cache_key, ttl_seconds=ttl_seconds, params=params, **parameters)

    def pin(self, /, cache_key: str | None = None, *, params: dict[str, Any] | None = None, **parameters: Any) -> bool:
        """Keeps an entry from being evicted. It expires all the same, and a ``put`` leaves it pinned.

        Args:
            cache_key: its key, or the name it was stored under, in place of parameters, which are ignored beside it.
            params: parameters in a dictionary, also those that have the name of a keyword.
            parameters: all other keywords are the parameters of the entry.

        Returns:
            Whether there is such an entry.
        """
        return _core.set_pinned(self, True, cache_key=cache_key, params=params, **parameters)

    def unpin(
        self, /, cache_key: str | None = None, *, params: dict[str, Any] | None = None, **parameters: Any
    ) -> bool:
        """Lets an entry be evicted again.

        Args:
            cache_key: its key, or the name it was stored under, in place of parameters, which are ignored beside it.
            params: parameters in a dictionary, also those that have the name of a keyword.
            parameters: all other keywords are the parameters of the entry.

        Returns:
            Whether there is such an entry.
        """
        return _core.set_pinned(self, False, cache_key=cache_key, params=params, **parameters)

    def delete(
        self,
        name: str | None = None,
        /,
        *,
        cache_key: str | None = None,
        params: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> bool:
        """Removes an entry; the same as :meth:`invalidate`, under the name that :class:`BlobStore` has for it."""
        return self.invalidate(name, cache_key=cache_key, params=params, **parameters)

    def verify_integrity(
        self, /, cache_key: str | None = None, *, params: dict[str, Any] | None = None, **parameters: Any
    ) -> dict[str, Any]:
        """Reads payloads and compares them with what their entries record: of one entry, or of the whole store.

        Args:
            cache_key: the key of an entry, or the name it was stored under, in place of parameters, which are ignored
                beside it.
            params: parameters in a dictionary, also those that have the name of a keyword.
            parameters: all other keywords are the parameters of the entry.

        Returns:
            Of one entry: ``valid``; ``expected_hash`` and ``actual_hash`` (hexadecimal digits or ``None``);
            ``signature`` (``"valid"``, ``"unsigned"``, ``"invalid"`` or ``None``); ``error``, what is wrong, or
            ``None``. An entry that does not exist is not valid.

            Without arguments, of all entries, expired ones too: ``valid``, whether no entry is damaged or forged;
            ``entries``, how many there are; ``signatures``, how many of them are ``valid``, ``unsigned`` and
            ``invalid``; ``problems``, for each entry that is not valid its ``cache_key`` and what is said of one entry.
            It prints well.

        Raises:
            CacheStorageError: reading fails for another reason than the payload's state.
            CacheClosedError: the cache has been closed.
        """
        if cache_key is None and params is None and not parameters:
            return _entries.check(self._all_keys(), lambda key: self._verify(cache_key=key))
        return self._verify(cache_key=cache_key, params=params, **parameters) or _entries.missing()

    def _all_keys(self) -> Iterator[str]:
        keys, after = self._keys(None, True)
        while True:
            yield from keys
            if after is None:
                return
            keys, after = self._keys(after, True)

    def pinned(self) -> list[str]:
        """The keys of all pinned entries, in ascending order."""
        return _core.pinned(self)

    def delete_where(self, filter_fn: Callable[[dict[str, Any]], bool]) -> int:
        """Removes all entries for which a function says so.

        Args:
            filter_fn: gets the dictionaries of ``list_entries(include_metadata=True)``. If it raises, nothing is
                removed.

        Returns:
            How many were removed.
        """
        return _core.delete_where(self, filter_fn)

    def delete_matching(self, filter_fn: Callable[[dict[str, Any]], bool] | None = None, /, **values: Any) -> int:
        """Removes all entries that have these values.

        A name is looked up in the metadata of an entry; where that lacks it, among the parameters of its key; then
        among the arguments of the function whose result it is; then among its own fields (``data_type``,
        ``storage_format``, ``description``, ``cache_key``, … as listings have them, times as ``created``,
        ``last_accessed`` and ``expires``). The first of these places that has the name decides.

        Args:
            filter_fn: in place of values, a function that says whether an entry goes. It gets a dictionary of what
                stands under each name, by the same order.
            values: names and values, all of which have to match. Values match if Python takes them for equal: ``1``
                matches ``1.0`` and ``True``. Arrays match as a whole, in shape and items.

        Returns:
            How many were removed. Nothing is removed if the search fails.

        Raises:
            TypeError: neither values nor a function, or both.
            CacheUnsupportedError: a comparison, such as ``{"$gte": 0.9}``, in place of a value.
            CacheSerializationError: the metadata of an entry is damaged. What comparing or the function raises is
                passed on.
        """
        if filter_fn is None:
            _refuse_empty(values)
            return _core.delete_matching(self, values)
        if values:
            raise TypeError("give a function or values, not both")
        return _core.delete_where(self, filter_fn, True)

    def delete_by_prefix(self, /, **prefixes: str) -> int:
        """Removes all entries that have texts under these names which begin like this.

        Args:
            prefixes: names, looked up as :meth:`delete_matching` does, and how their texts begin; all have to.
                ``cache_key="train/"`` means the names of entries.

        Returns:
            How many were removed.

        Raises:
            TypeError: no prefixes, or one that is no text.
        """
        _refuse_empty(prefixes)
        for name, prefix in prefixes.items():
            if not isinstance(prefix, str):
                raise TypeError(f"the prefix of {name} is a {type(prefix).__name__}; it is a str")

        def begins(named: dict[str, Any]) -> bool:
            found = ((named.get(name), prefix) for name, prefix in prefixes.items())
            return all(isinstance(value, str) and value.startswith(prefix) for value, prefix in found)

        return _core.delete_where(self, begins, True)

    def touch_batch(self, /, **values: Any) -> int:
        """Makes all entries fresh that have these values.

        Args:
            values: as for :meth:`delete_matching`.

        Returns:
            How many entries, expired ones not among them.

        Raises:
            CacheError: as :meth:`delete_matching` raises it; nothing is touched then.
        """
        _refuse_empty(values)
        return _core.touch_matching(self, values)

    def get_batch(self, kwargs_list: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """The values of several entries.

        Args:
            kwargs_list: for each entry the keywords that ``get`` takes.

        Returns:
            The values by key, for what is not there its ``default``, or ``None``. An entry whose value cannot be
            decoded is logged as a warning and counts as not there.
        """
        found: dict[str, Any] = {}
        for params in kwargs_list:
            identifying = {name: value for name, value in params.items() if name not in _OF_GET}
            key = self.cache_key(**identifying)
            try:
                found[key] = self.get(**params)
            except CacheSerializationError as error:
                # Importing it takes long, for something that hardly ever happens.
                from . import _log

                _log.miss(f"entry {key}: {error}")
                found[key] = params.get("default")
        return found

    def delete_batch(self, kwargs_list: Iterable[dict[str, Any]]) -> int:
        """Removes several entries.

        Args:
            kwargs_list: for each entry the keywords that ``invalidate`` takes.

        Returns:
            How many of them were there.
        """
        return _core.delete_batch(self, kwargs_list)


def _refuse_empty(values: dict[str, Any]) -> None:
    if not values:
        raise TypeError("no values to match; clear() removes all entries")
