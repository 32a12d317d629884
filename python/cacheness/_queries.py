"""Queries in SQL and of custom metadata: the methods exist, but are not implemented yet."""

from __future__ import annotations

from typing import Any, NoReturn

from ._names import Names, named_as_cache
from .errors import CacheUnsupportedError


@named_as_cache
class Queries(Names):
    """Queries of the metadata backend. None is available yet; each raises an error."""

    def query_custom(self, table_name: str, filters: dict[str, Any] | None = None) -> NoReturn:
        """Not available yet: rows of custom metadata with these values.

        Raises:
            CacheUnsupportedError: always.
        """
        del table_name, filters
        _refuse("query_custom")

    def query_custom_session(self, table_name: str) -> NoReturn:
        """Not available yet: a query over custom metadata.

        Raises:
            CacheUnsupportedError: always.
        """
        del table_name
        _refuse("query_custom_session")

    def get_custom_metadata_for_entry(self, cache_key: str | None = None, **parameters: Any) -> NoReturn:
        """Not available yet: the custom metadata of an entry.

        Raises:
            CacheUnsupportedError: always.
        """
        del cache_key, parameters
        _refuse("get_custom_metadata_for_entry")

    def query_meta(self, sql: str, parameters: Any = ()) -> NoReturn:
        """Not available yet: the result of a query in SQL.

        Raises:
            CacheUnsupportedError: always.
        """
        del sql, parameters
        raise CacheUnsupportedError(
            "query_meta: queries in SQL are not available yet",
            hint="use list_entries(include_metadata=True) to get the metadata of all entries",
        )


def _refuse(method: str) -> NoReturn:
    raise CacheUnsupportedError(
        f"{method}: custom metadata (custom_metadata=…) is not available yet",
        hint="pass metadata={…} to put(), and read it with get_metadata or list_entries(include_metadata=True)",
    )
