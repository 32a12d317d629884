"""Working on entries that are there: what :class:`cacheness.Cache` offers besides ``put`` and ``get``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


#: Keywords that say how ``get`` reads; other methods refuse them.
_OF_GET = ("default", "mmap_mode", "strict_verification")


class Management(_core.CacheBase):
    """Methods of :class:`cacheness.Cache` that inspect, change and remove entries, one or many."""

    def get_entry(self, cache_key: str) -> dict[str, Any] | None:
        """What is known of the entry with this key, whether it has expired or not.

        Args:
            cache_key: the key that ``put`` returned, or the name it was given.

        Returns:
            The dictionary that ``list_entries(include_metadata=True)`` has for it; ``None`` if there is none.
        """
        return self.get_metadata(check_expiration=False, cache_key=cache_key)

    def update_data(self, data: Any, /, cache_key: str | None = None, **params: Any) -> bool:
        """Replaces the value of an entry; its key, description and metadata stay.

        The entry is as fresh as after a ``put``. Use ``put`` to make one that is not there yet.

        Args:
            data: the new value; given by position, as for ``put``.
            cache_key: its key, or the name it was stored under, in place of parameters.
            params: the parameters of the entry; also ``ttl_seconds=``.

        Returns:
            Whether there was an entry that had not expired.

        Raises:
            CacheError: as ``put`` raises it; the former value is still there.
        """
        return _core.update_data(self, data, cache_key=cache_key, **params)

    def touch(self, /, cache_key: str | None = None, **params: Any) -> bool:
        """Makes an entry as fresh as if it had just been put. Its value is not read.

        Args:
            cache_key: its key, or the name it was stored under, in place of parameters.
            params: the parameters of the entry; ``ttl_seconds=`` is its time to live from now on, the cache's default
                if it is not given.

        Returns:
            Whether there was an entry that had not expired.
        """
        return _core.touch(self, cache_key=cache_key, **params)

    def pin(self, /, cache_key: str | None = None, **params: Any) -> bool:
        """Keeps an entry from being evicted. It expires all the same, and a ``put`` leaves it pinned.

        Args:
            cache_key: its key, or the name it was stored under, in place of parameters.
            params: the parameters of the entry.

        Returns:
            Whether there is such an entry.
        """
        return _core.set_pinned(self, True, cache_key=cache_key, **params)

    def unpin(self, /, cache_key: str | None = None, **params: Any) -> bool:
        """Lets an entry be evicted again.

        Args:
            cache_key: its key, or the name it was stored under, in place of parameters.
            params: the parameters of the entry.

        Returns:
            Whether there is such an entry.
        """
        return _core.set_pinned(self, False, cache_key=cache_key, **params)

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

    def delete_matching(self, /, **values: Any) -> int:
        """Removes all entries with these values in their metadata, or among the parameters of their key.

        Args:
            values: names and values, all of which have to match; a name that the metadata has is looked up there only.
                Values match if Python takes them for equal: ``1`` matches ``1.0`` and ``True``.

        Returns:
            How many were removed.

        Raises:
            TypeError: no values.
            CacheSerializationError: the metadata of an entry is damaged. As with anything that comparing raises, some
                of the entries may be removed by then.
        """
        _refuse_empty(values)
        return _core.delete_matching(self, values)

    def touch_batch(self, /, **values: Any) -> int:
        """Makes all entries fresh that have these values in their metadata, or among the parameters of their key.

        Args:
            values: as for :meth:`delete_matching`.

        Returns:
            How many entries, expired ones not among them.
        """
        _refuse_empty(values)
        return _core.touch_matching(self, values)

    def get_batch(self, kwargs_list: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """The values of several entries.

        Args:
            kwargs_list: for each entry the keywords that ``get`` takes.

        Returns:
            The values by key, for what is not there its ``default``, or ``None``.
        """
        found: dict[str, Any] = {}
        for params in kwargs_list:
            identifying = {name: value for name, value in params.items() if name not in _OF_GET}
            found[self.cache_key(**identifying)] = self.get(**params)
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
