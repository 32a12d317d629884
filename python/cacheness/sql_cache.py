"""Tables that are filled from their source on demand: not available yet."""

from __future__ import annotations

from typing import Any

from .errors import CacheUnsupportedError

__all__ = ["SqlCache"]


class SqlCache:
    """A table of a database in front of a slow source: not available yet.

    Raises:
        CacheUnsupportedError: always, on creation.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        del arguments, options
        raise CacheUnsupportedError("SqlCache is not available yet", hint="cache the queries with cached(…)")
