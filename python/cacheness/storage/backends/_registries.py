"""The registries of backends, by name: those of this release, and those that programs add."""

from __future__ import annotations

import inspect
import threading
from typing import Any, Generic, NamedTuple, TypeVar, cast

from ..._options import shown, unknown_name
from ...errors import CacheConfigurationError, CacheUnsupportedError
from ._blobs import FilesystemBlobBackend, InMemoryBlobBackend
from ._metadata import JsonBackend, MemoryBackend, SqliteBackend
from ._s3 import S3BlobBackend
from .base import BlobBackend, MetadataBackend

__all__ = ["BLOB", "METADATA", "class_of", "is_registered", "name_of"]

T = TypeVar("T", MetadataBackend, BlobBackend)


class _Registered(NamedTuple):
    #: ``None`` for one that only the engine makes.
    made_by: Any
    description: str
    required_packages: tuple[str, ...]
    is_builtin: bool


class Registry(Generic[T]):
    """Backends of one kind by their names."""

    def __init__(self, kind: str, base: type[T], builtin: dict[str, _Registered]) -> None:
        self._kind = kind
        self._base: type[Any] = base
        self._known = dict(builtin)
        self._lock = threading.Lock()

    def register(
        self, name: str, backend_class: type[T], description: str | None, required_packages: list[str] | None
    ) -> None:
        """Adds a class, replacing one that a program has added under the same name."""
        if not isinstance(name, str) or not name:
            raise CacheConfigurationError(f"the name of a backend is {shown(name)}", hint="give a text")
        if not isinstance(backend_class, type) or not issubclass(backend_class, self._base):
            given = backend_class.__name__ if isinstance(backend_class, type) else shown(backend_class)
            raise CacheConfigurationError(
                f"the {self._kind} backend {name!r} is {given}", hint=f"give a class derived from {self._base.__name__}"
            )
        missing = backend_class._missing()
        if missing:
            raise CacheConfigurationError(
                f"the {self._kind} backend {name!r} lacks methods: {backend_class.__name__} does not override "
                f"{', '.join(missing)}",
                hint="docs/plugins.md says what the methods do",
            )
        sentence = description
        if sentence is None:
            sentence = (backend_class.__doc__ or "").strip().partition("\n")[0]
        with self._lock:
            former = self._known.get(name)
            is_taken = former is not None and former.is_builtin and name not in _REPLACEABLE[self._kind]
            if is_taken:
                raise CacheConfigurationError(
                    f"{name!r} is a {self._kind} backend of this release", hint="give another name"
                )
            self._known[name] = _Registered(backend_class, sentence, tuple(required_packages or ()), False)

    def unregister(self, name: str) -> bool:
        """Removes a class that a program has added; ``False`` if there is none of that name."""
        with self._lock:
            found = self._known.get(name)
            if found is None or found.is_builtin:
                return False
            del self._known[name]
            later = _REPLACEABLE[self._kind].get(name)
            if later is not None:
                self._known[name] = later
            return True

    def get(self, name: str, options: dict[str, Any]) -> T:
        """A backend of this name, made with these options."""
        found = self._known.get(name) if isinstance(name, str) else None
        if found is None:
            raise unknown_name(f"{self._kind} backend", str(name), list(self._known))
        if found.made_by is None:
            raise CacheUnsupportedError(
                f"the {self._kind} backend {name!r} is made by a cache alone",
                hint=f'open a cache with {self._kind}_backend="{name}"',
            )
        missing = [package for package in found.required_packages if not _is_there(package)]
        if missing:
            raise CacheUnsupportedError(
                f"the {self._kind} backend {name!r} needs {', '.join(missing)}",
                hint=f"pip install {' '.join(missing)}",
            )
        try:
            # A TypeError inside the class is a mistake of the class.
            inspect.signature(found.made_by).bind(**options)
        except TypeError as error:
            raise CacheConfigurationError(
                f"the {self._kind} backend {name!r}: {error}", hint="options of a backend are arguments of its class"
            ) from None
        return cast("T", found.made_by(**options))

    def list(self) -> list[dict[str, Any]]:
        """What is known of all of them, those of this release first."""
        return [
            {
                "name": name,
                "description": found.description,
                "required_packages": list(found.required_packages),
                "is_builtin": found.is_builtin,
            }
            for name, found in sorted(self._known.items(), key=lambda item: not item[1].is_builtin)
        ]

    def class_of(self, name: str) -> type[Any]:
        """The class of this name, which a program has added."""
        return cast("type[Any]", self._known[name].made_by)

    def name_of(self, made_by: type[Any]) -> str | None:
        """The name under which a program has added a class; ``None`` if it has not."""
        return next((name for name, found in self._known.items() if found.made_by is made_by), None)

    def is_registered(self, name: str) -> bool:
        """Whether a program has added a class of this name."""
        found = self._known.get(name)
        return found is not None and not found.is_builtin


def _is_there(package: str) -> bool:
    import importlib.util

    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _sqlite_memory() -> SqliteBackend:
    return SqliteBackend(":memory:")


#: Those in whose place a program may put its own, and which come back when it removes that.
_REPLACEABLE: dict[str, dict[str, _Registered]] = {
    "metadata": {"postgresql": _Registered(None, "A PostgreSQL database, which machines share.", (), True)},
    "blob": {"s3": _Registered(S3BlobBackend, "A bucket of S3, or of a server that speaks like it.", (), True)},
}

METADATA: Registry[MetadataBackend] = Registry(
    "metadata",
    MetadataBackend,
    {
        "json": _Registered(JsonBackend, "One JSON file, for small stores.", (), True),
        "sqlite": _Registered(SqliteBackend, "A SQLite database: the default.", (), True),
        "sqlite_memory": _Registered(_sqlite_memory, "A SQLite database in memory. Nothing is kept.", (), True),
        "memory": _Registered(MemoryBackend, "In memory. Nothing is kept.", (), True),
        **_REPLACEABLE["metadata"],
    },
)

BLOB: Registry[BlobBackend] = Registry(
    "blob",
    BlobBackend,
    {
        "filesystem": _Registered(FilesystemBlobBackend, "Files below a directory: the default.", (), True),
        "memory": _Registered(InMemoryBlobBackend, "In memory. Nothing is kept.", (), True),
        **_REPLACEABLE["blob"],
    },
)


def is_registered(kind: str, name: str) -> bool:
    """Whether a program has added a backend of this name."""
    return METADATA.is_registered(name) if kind == "metadata" else BLOB.is_registered(name)


def class_of(kind: str, name: str) -> type[Any]:
    """The class of a backend that a program has added."""
    return METADATA.class_of(name) if kind == "metadata" else BLOB.class_of(name)


def name_of(kind: str, made_by: type[Any]) -> str | None:
    """The name under which a program has added a class; ``None`` if it has not."""
    return METADATA.name_of(made_by) if kind == "metadata" else BLOB.name_of(made_by)
