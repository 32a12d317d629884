"""Extracted metadata in files: one JSON file for each database."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from .. import _core
from .._log import logger
from .._options import shown
from ..errors import CacheConfigurationError, CacheStorageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

__all__ = ["MetadataCache"]


class MetadataCache:
    """Keeps the metadata of databases between runs of a program, and for other programs.

    An entry is a file ``<cache key>.json`` with a timestamp, which is written whole. A file that is torn or belongs to
    another program is a miss and stays where it is. The directory has the mode 0700, files 0600; both are made when
    they are needed. Where they cannot be made, entries are kept in memory, which is logged once.

    Args:
        ttl_seconds: how long an entry is valid, in seconds or as a ``timedelta``. ``None``: for ever; 0: never.
        cache_dir: the directory. ``None``: ``~/.defog/cache``.

    Raises:
        CacheConfigurationError: an argument is invalid.

    Examples:
        >>> cache = MetadataCache(ttl_seconds=7200, cache_dir="metadata")
        >>> key = cache.generate_cache_key("postgres", {"host": "localhost", "database": "mydb", "user": "ada"})
        >>> cache.set(key, {"table_metadata": []})
        >>> cache.get(key)
        {'table_metadata': []}
    """

    def __init__(
        self, ttl_seconds: float | timedelta | None = 3600, cache_dir: str | os.PathLike[str] | None = None
    ) -> None:
        seconds: Any = ttl_seconds
        if hasattr(seconds, "total_seconds"):
            seconds = seconds.total_seconds()
        if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float)):
            raise CacheConfigurationError(
                f"ttl_seconds is {shown(ttl_seconds)}", hint="give seconds, a timedelta, or None for no limit"
            )
        if cache_dir is None:
            self.cache_dir = os.path.join(os.path.expanduser("~"), ".defog", "cache")  # noqa: PTH111, PTH118 - as text
        elif isinstance(cache_dir, str | os.PathLike):
            self.cache_dir = os.fspath(cache_dir)
        else:
            raise CacheConfigurationError(f"cache_dir is {shown(cache_dir)}", hint="give the path of a directory")
        self.ttl_seconds = seconds
        self._files = _core.CatalogCache(self.cache_dir, None if seconds is None else float(seconds))
        #: A cache beside the directory where that cannot be written: text and time by key.
        self._memory: dict[str, tuple[str, float]] = {}

    @staticmethod
    def generate_cache_key(db_type: str, db_creds: Mapping[str, Any]) -> str:
        """The cache key of a database: the SHA-256 of the details of the connection, 64 hexadecimal digits.

        The details are the type, the host in lower case, the port, the database (the real path of a file), the user,
        the schema and the search path. Passwords, tokens, key files and everything with the name of a secret have no
        part in it, nor has how the connection is encrypted.

        Args:
            db_type: ``"postgres"``, ``"mysql"``, ``"sqlite"``, ``"duckdb"``, ``"redshift"``, ``"snowflake"``,
                ``"bigquery"``, ``"databricks"`` or ``"sqlserver"``.
            db_creds: ``host``, ``port``, ``database``, ``user``, ``password``, ``schema``, ``search_path``, or ``url``;
                for files ``database`` or ``path``.

        Raises:
            CacheConfigurationError: the type or a name is unknown, or a value is missing or of another type. The
                message has the name, and no value.
        """
        if not isinstance(db_type, str):
            raise CacheConfigurationError(f"db_type is {shown(db_type)}", hint="give a text such as 'postgres'")
        try:
            text = json.dumps(dict(db_creds), default=_plain)
        except (TypeError, ValueError):
            raise CacheConfigurationError(
                f"db_creds is a {type(db_creds).__name__} that is no dictionary of plain values",
                hint="give the details of the connection by name",
            ) from None
        return _core.catalog_details(db_type, text)[0]

    def get(self, cache_key: str) -> Any:
        """The metadata under a key; ``None`` if there is none that is valid.

        Raises:
            CacheConfigurationError: it is no key.
        """
        text = self._text(cache_key)
        try:
            return None if text is None else json.loads(text)
        except (ValueError, RecursionError):
            # A file that someone has changed: nested beyond what Python reads.
            return None

    def set(self, cache_key: str, metadata: Any) -> None:
        """Stores metadata under a key, replacing what is there.

        Args:
            cache_key: the key, of :meth:`generate_cache_key`.
            metadata: what JSON can hold; dates become text.

        Raises:
            CacheConfigurationError: it is no key, or JSON cannot hold the metadata.
        """
        try:
            text = json.dumps(metadata, default=_dated, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise CacheConfigurationError(f"the metadata cannot be stored as JSON: {error}") from None
        try:
            self._files.set(cache_key, text)
            self._memory.pop(cache_key, None)
        except CacheStorageError as error:
            import time

            if not self._memory:
                logger.warning("metadata is kept in memory only, because %s", error)
            self._memory[cache_key] = (text, time.monotonic())

    def is_valid(self, cache_key: str) -> bool:
        """Whether :meth:`get` finds something under a key."""
        return self.get(cache_key) is not None

    def invalidate(self, cache_key: str) -> bool:
        """Removes the metadata under a key; ``False`` if there is none."""
        in_memory = self._memory.pop(cache_key, None) is not None
        return self._files.invalidate(cache_key) or in_memory

    def clear_all(self) -> int:
        """Removes all metadata, and returns the number of entries. Files of other programs stay."""
        count = len(self._memory)
        self._memory.clear()
        return self._files.clear_all() + count

    def _text(self, cache_key: str) -> str | None:
        kept = self._memory.get(cache_key)
        if kept is None:
            return self._files.get(cache_key)
        import time

        text, at = kept
        is_valid = self.ttl_seconds is None or time.monotonic() - at < self.ttl_seconds
        return text if is_valid else None

    def __repr__(self) -> str:
        return f"MetadataCache(ttl_seconds={self.ttl_seconds!r}, cache_dir={self.cache_dir!r})"


def _plain(value: Any) -> Any:
    """A credential that is no plain value: a path, or an object that hides its text."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    hidden = getattr(value, "get_secret_value", None)
    if hidden is not None:
        return hidden()
    raise TypeError(type(value).__name__)


def _dated(value: Any) -> str:
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    raise TypeError(f"a {type(value).__name__} in it is no plain value")
