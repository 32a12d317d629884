"""The metadata backends of this release: the choice of one, and the one of an open store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..._options import absolute, shown
from ...errors import CacheConfigurationError
from .base import MetadataBackend

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...config import CacheMetadataConfig

__all__ = ["JsonBackend", "OpenedBackend", "SqliteBackend", "create_metadata_backend"]


class _Choice(MetadataBackend):
    """A metadata backend to open a store with. Its entries are reached through the store."""

    #: The name in configurations.
    name: str
    #: Where its file is; ``None`` for the directory of the store.
    path: str | None = None

    def _configure(self, section: CacheMetadataConfig, place: str) -> None:  # noqa: ARG002 - others look at it
        """Makes the section of a store in ``place`` ask for it."""
        section.backend = self.name

    def _lacks(self, method: str) -> Any:
        from ...errors import CacheUnsupportedError

        raise CacheUnsupportedError(
            f"{type(self).__name__}.{method} works in an open store only",
            hint="open one, cacheness(metadata_backend=…), and use its metadata_backend",
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.path is None else repr(self.path)})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and (other.name, other.path) == (self.name, self.path)

    def __hash__(self) -> int:
        return hash((type(self), self.name, self.path))


class JsonBackend(_Choice):
    """Entries in one JSON file that people can read: for small stores.

    Args:
        metadata_file: ``cache_metadata.json`` in the store's directory, or that directory; may be left out.
    """

    name = "json"

    def __init__(self, metadata_file: str | os.PathLike[str] | None = None) -> None:
        if metadata_file is not None:
            self.path = absolute(_path("metadata_file", metadata_file))

    def _configure(self, section: CacheMetadataConfig, place: str) -> None:
        whole = absolute(place)
        if self.path not in (None, whole, os.path.join(whole, "cache_metadata.json")):  # noqa: PTH118
            raise CacheConfigurationError(
                f"metadata_file is {self.path!r}, and the store is in {place!r}",
                hint="leave it out: the file is cache_metadata.json in the directory of the store",
            )
        section.backend = self.name


class SqliteBackend(_Choice):
    """Entries in a SQLite database: the default.

    Args:
        db_file: path of the database; ``":memory:"`` for one that ends with the store, together with the payloads. If
            it is left out, the database lies in the directory of the store.
    """

    name = "sqlite"

    def __init__(self, db_file: str | os.PathLike[str] | None = None) -> None:
        if db_file is None:
            return
        path = _path("db_file", db_file)
        if path == ":memory:":
            self.name, self.path = "sqlite_memory", path
        else:
            self.path = absolute(path)

    def _configure(self, section: CacheMetadataConfig, place: str) -> None:  # noqa: ARG002 - the engine compares them
        section.backend = self.name
        if self.name != "sqlite" or self.path is None:
            return
        if section.database_url not in (None, self.path):
            raise CacheConfigurationError(
                f"db_file is {self.path!r}, and database_url is {shown(section.database_url)}", hint="give it once"
            )
        section.database_url = self.path


class MemoryBackend(_Choice):
    """Entries in memory; they end with the store, together with the payloads."""

    name = "memory"


def create_metadata_backend(backend_type: str = "auto", **options: Any) -> MetadataBackend:
    """A metadata backend to open a store with.

    Args:
        backend_type: ``"json"``, ``"sqlite"``, ``"sqlite_memory"`` or ``"memory"``; ``"auto"`` is SQLite. Also the name
            of a registered one.
        options: what its class takes.

    Raises:
        CacheConfigurationError: there is no such backend, or it takes no such options.
        CacheUnsupportedError: this release does not have it yet.
    """
    from . import _registries

    return _registries.METADATA.get("sqlite" if backend_type == "auto" else backend_type, options)


class OpenedBackend(MetadataBackend):
    """The metadata backend of an open cache or store, as it is seen from outside."""

    def __init__(
        self,
        place: str,
        stats: Callable[[], dict[str, Any]],
        entry: Callable[[str], dict[str, Any] | None],
        entries: Callable[[], list[dict[str, Any]]],
        remove: Callable[[str], bool],
        engine: Callable[[], Any] | None = None,
    ) -> None:
        self._place = place
        self._stats = stats
        self._entry = entry
        self._entries = entries
        self._remove = remove
        self._engine = engine

    @property
    def engine(self) -> Any:
        """The engine of SQLAlchemy on the database of a cache.

        Raises:
            AttributeError: there is no database that SQLAlchemy reaches, or SQLAlchemy is not installed.
        """
        from ...errors import CacheUnsupportedError

        try:
            if self._engine is not None:
                return self._engine()
        except CacheUnsupportedError as error:
            raise AttributeError(str(error)) from error
        raise AttributeError(f"the metadata backend {self.name} of a store has no engine: open a cache")

    @property
    def name(self) -> str:
        """The name in configurations."""
        return str(self._stats()["backend_type"])

    def get_entry(self, cache_key: str) -> dict[str, Any] | None:
        """What is known of an entry, whether it has expired or not; ``None`` if there is none."""
        return self._entry(cache_key)

    def list_entries(self) -> list[dict[str, Any]]:
        """What is known of all entries."""
        return self._entries()

    def remove_entry(self, cache_key: str) -> bool:
        """Removes an entry and its payload; ``False`` if there is none."""
        return self._remove(cache_key)

    def get_stats(self) -> dict[str, Any]:
        """Totals."""
        return self._stats()

    def _lacks(self, method: str) -> Any:
        from ...errors import CacheUnsupportedError

        raise CacheUnsupportedError(
            f"the metadata backend of an open store has no {method}", hint="use the methods of the cache or the store"
        )

    def __repr__(self) -> str:
        return f"<{self.name} metadata backend of {self._place!r}>"


def _path(name: str, value: Any) -> str:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or not path:
        raise CacheConfigurationError(f"{name} is {shown(value)}", hint="give the path of a file")
    return path
