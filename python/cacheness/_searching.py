"""Counting, full-text search, indexes and tags: the methods that :class:`Cache` and :class:`BlobStore` share."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

from . import _core

if TYPE_CHECKING:
    from ._entries import Entries

_T = TypeVar("_T")


def named_plainly(cls: type[_T]) -> type[_T]:
    """Makes messages about wrong arguments name the method alone: it belongs to two public classes."""
    for name, member in vars(cls).items():
        if isinstance(member, FunctionType):
            member.__qualname__ = name
    return cls


@named_plainly
class Searching:
    """Questions about the metadata of all entries, expired ones too, and what makes them fast."""

    def count(self, where: dict[str, Any] | None = None) -> int:
        """The number of entries that match a filter.

        Args:
            where: a filter, such as ``{"accuracy": {"$gte": 0.9}}``; ``None`` counts all entries.

        Raises:
            CacheError: the filter is not valid; the error names the mistake.
            CacheMetadataError: the database cannot be read.
            CacheClosedError: it has been closed.
        """
        return _core.count(self, where)

    def search(
        self,
        text: str,
        where: dict[str, Any] | None = None,
        limit: int | None = 20,
        *,
        include_metadata: bool = False,
    ) -> Entries:
        """The entries whose description or metadata contain words, the most relevant first.

        Looks into descriptions and all strings in the metadata, tags too; a word in the description counts twice. Case
        and accents do not matter. Needs the full-text index of :meth:`create_text_index`.

        Args:
            text: words, all of which must occur; ``"a phrase"`` in quotes, ``detect*`` for a beginning, ``OR`` and
                ``NOT`` between words: the query language of SQLite's FTS5.
            where: a filter that the entries must match too.
            limit: at most this many entries; ``None`` for all.
            include_metadata: whether the dictionaries include the user's ``metadata``.

        Returns:
            A list of dictionaries, as :meth:`Cache.list_entries` returns it.

        Raises:
            CacheError: there is no full-text index, or the text or the filter is not valid.
            CacheUnsupportedError: the metadata backend has no full-text search; SQLite has it.
            CacheMetadataError: the database cannot be read.
            CacheClosedError: it has been closed.
        """
        return _core.search(self, text, where, limit, include_metadata)

    def create_index(self, field: str) -> bool:
        """Creates an index of a field of the metadata, once for the store, which makes filters on it fast.

        Every later put keeps it up to date, in all processes.

        Args:
            field: the field as filters name it: ``"accuracy"``, ``"config.model.depth"``.

        Returns:
            ``False`` if there was one already.

        Raises:
            CacheConfigurationError: not a field of the metadata: parameters and fields of the entry have no index.
            CacheUnsupportedError: the metadata backend has no indexes; SQLite has them.
            CacheReadOnlyError: it is read-only.
            CacheClosedError: it has been closed.
        """
        return _core.create_index(self, field)

    def drop_index(self, field: str) -> bool:
        """Removes the index of a field.

        Returns:
            ``False`` if there was none.

        Raises:
            CacheError: as for :meth:`create_index`.
        """
        return _core.drop_index(self, field)

    def indexes(self) -> list[str]:
        """The fields that have an index, in sorted order."""
        return _core.indexes(self)

    def create_text_index(self) -> bool:
        """Creates the index for :meth:`search`, once for the store.

        Every later change of an entry keeps it up to date, in the same transaction and in all processes, and takes a
        little longer.

        Returns:
            ``False`` if there was one already.

        Raises:
            CacheUnsupportedError: the metadata backend has no full-text search; SQLite has it.
            CacheReadOnlyError: it is read-only.
            CacheClosedError: it has been closed.
        """
        return _core.set_text_index(self, True)

    def drop_text_index(self) -> bool:
        """Removes the index for :meth:`search`.

        Returns:
            ``False`` if there was none.

        Raises:
            CacheError: as for :meth:`create_text_index`.
        """
        return _core.set_text_index(self, False)

    def tags(self) -> dict[str, int]:
        """All tags in sorted order, and the number of entries with each. Scans all entries.

        Raises:
            CacheSerializationError: the metadata of an entry is damaged.
            CacheClosedError: it has been closed.
        """
        return _core.tags(self)
