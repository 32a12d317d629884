"""Management of existing entries: the methods of :class:`cacheness.Cache` besides ``put`` and ``get``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core, _entries
from ._names import MISSING, named_as_cache
from ._queries import Queries
from ._remote import Remote
from ._searching import Searching
from .errors import CacheSerializationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import timedelta
    from types import EllipsisType


@named_as_cache
class Management(Searching, Queries, Remote):
    """Methods of :class:`cacheness.Cache` that inspect, change and remove entries, one or many."""

    def get_entry(self, cache_key: str) -> dict[str, Any] | None:
        """Describes the entry with this key, expired or not.

        Args:
            cache_key: the key that ``put`` returned, or the name it was given.

        Returns:
            The dictionary that :meth:`get_metadata` returns; ``None`` if the entry does not exist.
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

        The time to live starts again, as after a ``put``. Use ``put`` to create an entry.

        Args:
            data: the new value, by position or, if nothing is given by position, as ``data=…``.
            cache_key: its key, or the name it was stored under, in place of parameters; parameters beside it are
                ignored.
            ttl_seconds: how long the value is served; ``None`` for no limit; the cache's default if omitted.
            params: parameters in a dictionary, including those with the name of a keyword.
            parameters: all other keywords are the parameters of the entry.

        Returns:
            Whether an unexpired entry existed.

        Raises:
            CacheError: as for ``put``; the previous value stays.
        """
        if data is MISSING:
            if "data" not in parameters:
                raise TypeError("there is no value to store: update_data(value, …) or update_data(data=value, …)")
            data = parameters.pop("data")
        return _core.update_data(self, data, cache_key=cache_key, ttl_seconds=ttl_seconds, params=params, **parameters)

    #: An alias, as in other libraries.
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
        """Restarts the time to live of an entry, as if it had just been put. Does not read the value.

        Args:
            cache_key: its key, or the name it was stored under, in place of parameters; parameters beside it are
                ignored.
            ttl_seconds: how long it is served from now on; ``None`` for no limit; the cache's default if omitted.
            params: parameters in a dictionary, including those with the name of a keyword.
            parameters: all other keywords are the parameters of the entry.

        Returns:
            Whether an unexpired entry existed.
        """
        return _core.touch(self, cache_key=cache_key, ttl_seconds=ttl_seconds, params=params, **parameters)

    def pin(self, /, cache_key: str | None = None, *, params: dict[str, Any] | None = None, **parameters: Any) -> bool:
        """Protects an entry from eviction. It still expires. It stays pinned after a ``put``.

        Args:
            cache_key: its key, or the name it was stored under, in place of parameters; parameters beside it are
                ignored.
            params: parameters in a dictionary, including those with the name of a keyword.
            parameters: all other keywords are the parameters of the entry.

        Returns:
            Whether the entry exists.
        """
        return _core.set_pinned(self, True, cache_key=cache_key, params=params, **parameters)

    def unpin(
        self, /, cache_key: str | None = None, *, params: dict[str, Any] | None = None, **parameters: Any
    ) -> bool:
        """Allows the eviction of an entry again.

        Args:
            cache_key: its key, or the name it was stored under, in place of parameters; parameters beside it are
                ignored.
            params: parameters in a dictionary, including those with the name of a keyword.
            parameters: all other keywords are the parameters of the entry.

        Returns:
            Whether the entry exists.
        """
        return _core.set_pinned(self, False, cache_key=cache_key, params=params, **parameters)

    def add_tags(
        self, /, *tags: str, cache_key: str | None = None, params: dict[str, Any] | None = None, **parameters: Any
    ) -> bool:
        """Adds tags to an entry, behind those that it has; the value and its age stay.

        Tags are the strings in the field ``tags`` of the metadata: ``list_entries(tag="fraud")`` finds them, and so
        does the filter ``{"tags": "fraud"}``. If several callers change an entry at once, all changes count.

        Args:
            tags: the tags.
            cache_key: its key, or the name it was stored under, in place of parameters; parameters beside it are
                ignored.
            params: parameters in a dictionary, including those with the name of a keyword.
            parameters: all other keywords are the parameters of the entry.

        Returns:
            Whether the entry exists.

        Raises:
            CacheConfigurationError: an empty tag, or the field ``tags`` of the metadata holds no strings.
            CacheSignatureError: the entry's signature is invalid.
            CacheReadOnlyError: the cache is read-only.
        """
        return _core.change_tags(self, tags, (), cache_key=cache_key, params=params, **parameters)

    def remove_tags(
        self, /, *tags: str, cache_key: str | None = None, params: dict[str, Any] | None = None, **parameters: Any
    ) -> bool:
        """Removes tags from an entry, if it has them; the value and its age stay.

        Args:
            tags: the tags.
            cache_key: as for :meth:`add_tags`.
            params: as for :meth:`add_tags`.
            parameters: as for :meth:`add_tags`.

        Returns:
            Whether the entry exists.

        Raises:
            CacheError: as for :meth:`add_tags`.
        """
        return _core.change_tags(self, (), tags, cache_key=cache_key, params=params, **parameters)

    def delete(
        self,
        name: str | None = None,
        /,
        *,
        cache_key: str | None = None,
        params: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> bool:
        """Removes an entry; an alias of :meth:`invalidate`, named as in :class:`BlobStore`."""
        return self.invalidate(name, cache_key=cache_key, params=params, **parameters)

    def verify_integrity(
        self, /, cache_key: str | None = None, *, params: dict[str, Any] | None = None, **parameters: Any
    ) -> dict[str, Any]:
        """Reads payloads and compares them with their entries: of one entry, or of the whole store.

        Args:
            cache_key: the key of an entry, or the name it was stored under, in place of parameters, which are ignored
                beside it.
            params: parameters in a dictionary, including those with the name of a keyword.
            parameters: all other keywords are the parameters of the entry.

        Returns:
            For one entry: ``valid``; ``expected_hash`` and ``actual_hash`` (hexadecimal digits or ``None``);
            ``signature`` (``"valid"``, ``"unsigned"``, ``"invalid"`` or ``None``); ``error``, a message or ``None``. An
            entry that does not exist is not valid.

            Without arguments, for all entries, including expired ones: ``valid``, whether no entry is damaged or
            forged; ``entries``, their number; ``signatures``, the numbers of ``valid``, ``unsigned`` and ``invalid``
            ones; ``problems``, for each invalid entry its ``cache_key`` and the result for that entry. It prints as a
            summary.

        Raises:
            CacheStorageError: reading fails for another reason than damage to the payload.
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

    def get_pool_stats(self) -> dict[str, int]:
        """Counts of this process's connections to the server of the metadata backend.

        Returns:
            ``pool_size`` and ``max_overflow`` as configured; ``open``, ``in_use`` and ``idle`` connections now, and
            ``overflow``, how many are open beyond ``pool_size``; ``opened``, how many were opened so far; ``waits``,
            how many calls have waited because all were in use. Empty for a backend without a server.
        """
        return _core.pool_stats(self)

    def delete_where(self, filter_fn: Callable[[dict[str, Any]], bool] | dict[str, Any]) -> int:
        """Removes all entries that a predicate or a filter selects.

        Args:
            filter_fn: called with the dictionaries of ``list_entries(include_metadata=True)``. If it raises, nothing is
                removed. Also a filter, as for :meth:`delete_matching`.

        Returns:
            The number of removed entries.
        """
        if isinstance(filter_fn, dict):
            return self.delete_matching(filter_fn)
        return _core.delete_where(self, filter_fn)

    def delete_matching(
        self,
        where: dict[str, Any] | Callable[[dict[str, Any]], bool] | None = None,
        /,
        *,
        all: bool = False,  # noqa: A002 - what callers expect it to be called
        **values: Any,
    ) -> int:
        """Removes all entries that match a filter, or that have these values.

        Args:
            where: a filter, such as ``{"accuracy": {"$lt": 0.5}}`` (see docs/formats/filters.md). Also a predicate: it
                gets a dictionary of all names and their values, looked up as described below.
            all: lets an empty filter remove all entries.
            values: names and values, or operators, all of which must match. A name is looked up in the metadata of an
                entry, then in the parameters of its key, then in the arguments of the decorated function, then in the
                entry's fields (``data_type``, ``description``, ``cache_key``, …); the first place that has the name
                counts.

        Returns:
            The number of removed entries. Nothing is removed if the filter is not valid or the search fails.

        Raises:
            TypeError: neither a filter nor values, or both.
            CacheError: the filter is not valid; the error names the mistake.
            CacheSerializationError: the metadata of an entry is damaged.
            Exception: any exception of the predicate.
        """
        if where is not None and values:
            raise TypeError("give a filter, a function or values, not several of them")
        if where is None:
            if all and not values:
                return self.clear()
            _refuse_empty(values)
            return _core.delete_matching(self, values, True)
        if callable(where):
            return _core.delete_where(self, where, True)
        if all and isinstance(where, dict) and not where:
            return self.clear()
        return _core.delete_matching(self, where, False)

    def delete_by_prefix(self, /, **prefixes: str) -> int:
        """Removes all entries whose strings under these names have these prefixes.

        Args:
            prefixes: names, looked up as in :meth:`delete_matching`, and prefixes, all of which must match.
                ``cache_key="train/"`` refers to the names of entries.

        Returns:
            The number of removed entries.

        Raises:
            TypeError: no prefixes, or one that is not a string.
        """
        _refuse_empty(prefixes)
        for name, prefix in prefixes.items():
            if not isinstance(prefix, str):
                raise TypeError(f"the prefix of {name} is a {type(prefix).__name__}; give a str")

        return _core.delete_matching(self, {name: {"$startswith": prefix} for name, prefix in prefixes.items()}, True)

    def touch_batch(self, where: dict[str, Any] | None = None, /, **values: Any) -> int:
        """Restarts the time to live of all entries that match a filter, or that have these values.

        Args:
            where: a filter, as for :meth:`delete_matching`.
            values: as for :meth:`delete_matching`.

        Returns:
            The number of touched entries; expired entries are not touched.

        Raises:
            TypeError: neither a filter nor values, or both.
            CacheError: as for :meth:`delete_matching`; nothing is touched then.
        """
        if where is not None and values:
            raise TypeError("give a filter or values, not both")
        if where is not None:
            return _core.touch_matching(self, where, False)
        _refuse_empty(values)
        return _core.touch_matching(self, values, True)

    def get_batch(self, kwargs_list: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """The values of several entries.

        Args:
            kwargs_list: for each entry the keywords that ``get`` takes.

        Returns:
            The values by key; for a missing entry its ``default``, or ``None``. An entry whose value cannot be decoded
            is logged as a warning and counts as missing.
        """
        found: dict[str, Any] = {}
        all_params = list(kwargs_list)
        for params, (key, is_there, value) in zip(all_params, _core.get_batch(self, all_params), strict=True):
            if is_there is None:
                if not isinstance(value, CacheSerializationError):
                    raise value
                # Imported late: it takes long, and this is rare.
                from . import _log

                _log.miss(f"entry {key}: {value}")
            found[key] = value if is_there else params.get("default")
        return found

    def delete_batch(self, kwargs_list: Iterable[dict[str, Any]]) -> int:
        """Removes several entries.

        Args:
            kwargs_list: for each entry the keywords that ``invalidate`` takes.

        Returns:
            The number of removed entries.
        """
        return _core.delete_batch(self, kwargs_list)


def _refuse_empty(values: dict[str, Any]) -> None:
    if not values:
        raise TypeError("no values to match; clear() removes all entries")
