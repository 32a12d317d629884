"""The backends that a configuration names, their options, and whether this release has them."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from . import _core
from ._options import Options, shown, unknown_name
from .errors import CacheConfigurationError, CacheUnsupportedError

__all__ = [
    "BUILTIN_BLOB",
    "BUILTIN_METADATA",
    "BackendSection",
    "check_pair",
    "choose",
    "engine_name",
    "given",
    "is_plugged",
    "takes_options",
]

#: The metadata backends and the blob backends of this release.
BUILTIN_METADATA, BUILTIN_BLOB = _core.backends()

#: Backends of later releases, which configurations may name.
_LATER = {"metadata": ("redis",), "blob": ("azure", "gcs")}
_BUILTIN = {"metadata": BUILTIN_METADATA, "blob": BUILTIN_BLOB}
#: Other names of backends.
_ALIASES = {"postgres": "postgresql"}
#: The scheme of URLs of directories, which the filesystem backend has.
_FILES = "file"
#: Backends on a server, which have options of their own that the engine checks.
_REMOTE = {"metadata": ("postgresql",), "blob": ("s3",)}


class BackendSection(Options):
    """A section that names a backend: options that are not its own are those of the backend."""

    #: The option that names the backend, and the one that holds the options of the backend.
    _backend: ClassVar[str]
    _backend_options: ClassVar[str]
    #: Options of backends that are given beside the section's own, whichever backend they are for.
    _of_backends: ClassVar[tuple[str, ...]]

    @classmethod
    def _has(cls, name: str) -> bool:
        return name in cls._of_backends or super()._has(name)

    @classmethod
    def _known(cls) -> list[str]:
        return [*super()._known(), *cls._of_backends]

    @classmethod
    def _sorted(cls, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        known = [name for name in options if cls._aliases.get(name, name) in cls.__dataclass_fields__]
        given, flat = super()._sorted({name: options[name] for name in known})
        others = {name: options[name] for name in options if name not in known}
        if not others:
            return given, flat
        backend = given.get(cls._backend)
        for name in others:
            # Only a backend of a later release knows its options.
            is_free = name in cls._of_backends or takes_options(_kind(cls._backend), backend)
            if not is_free and _is_builtin(cls._backend, backend):
                cls._own(name)
        inside = given.get(cls._backend_options, {})
        if isinstance(inside, dict):
            for name in others.keys() & inside.keys():
                if others[name] != inside[name]:
                    raise CacheConfigurationError(f"{name} is given twice, also in {cls._backend_options}")
            given[cls._backend_options] = {**inside, **others}
        return given, flat

    def _assign(self, name: str, value: Any) -> None:
        if name in self._of_backends:
            self.__dict__[self._backend_options] = {**self.__dict__[self._backend_options], name: value}
        else:
            super()._assign(name, value)

    def _find(self, name: str) -> Any:
        options = self.__dict__.get(self._backend_options)
        if isinstance(options, dict) and name in options:
            return options[name]
        return None if options is not None and name in self._of_backends else super()._find(name)


def takes_options(kind: str, backend: Any) -> bool:
    """Whether a backend of the engine has options of its own; it may be given as a URL."""
    return isinstance(backend, str) and backend.partition("://")[0] in _REMOTE[kind]


def is_plugged(kind: str, backend: Any) -> bool:
    """Whether a backend is one that a program brings along: an instance, or the name of a registered class."""
    if backend is None:
        return False
    if isinstance(backend, str):
        if backend in _BUILTIN[kind] and backend not in _REMOTE[kind]:
            # A name that no program can register: nothing needs to be imported.
            return False
        from .storage.backends import _registries

        return _registries.is_registered(kind, backend)
    from .storage.backends.base import BlobBackend, MetadataBackend

    if not isinstance(backend, MetadataBackend if kind == "metadata" else BlobBackend):
        return False
    # A class derived from one of this package has methods of its own.
    return not (hasattr(backend, "_configure") and type(backend).__module__.startswith("cacheness."))


def engine_name(kind: str, backend: Any) -> str:
    """The name that the engine has for a backend that a program brings along."""
    plug = _core.plug_metadata if kind == "metadata" else _core.plug_blobs
    if isinstance(backend, str):
        return plug(backend)
    from .storage.backends import _registries

    own = getattr(type(backend), "name", None)
    name = _registries.name_of(kind, type(backend)) or (own if isinstance(own, str) else type(backend).__name__)
    return plug("".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name))


def given(metadata: Any, blob: Any) -> tuple[Any, Any]:
    """The backends that a program brings along, as instances: makes those of registered classes.

    Args:
        metadata: the section of the metadata backend.
        blob: the section of the blob backend.

    Raises:
        CacheConfigurationError: a class does not take its options.
        CacheUnsupportedError: a package that a backend needs is not installed.
    """
    return _given("metadata", metadata), _given("blob", blob)


def _given(kind: str, section: Any) -> Any:
    backend = section.__dict__[section._backend]
    if not is_plugged(kind, backend):
        return None
    options = section.__dict__[section._backend_options]
    if not isinstance(backend, str):
        return backend
    from .storage.backends import _registries

    registry: Any = _registries.METADATA if kind == "metadata" else _registries.BLOB
    return registry.get(backend, options)


def _is_builtin(option: str, backend: Any) -> bool:
    kind = _kind(option)
    if kind == "blob" and isinstance(backend, str) and backend.partition("://")[0] == _FILES:
        return True
    return backend is None or backend in _BUILTIN[kind]


def _kind(option: str) -> str:
    return "blob" if option == "blob_backend" else "metadata"


def choose(metadata: Any, blob: Any, place: str) -> None:
    """Resolves both sections to backends of this release, under the engine's names.

    Args:
        metadata: the section of the metadata backend; its ``backend`` becomes ``None`` for the one of the directory.
        blob: the section of the blob backend.
        place: the directory of the store.

    Raises:
        CacheConfigurationError: the backend does not exist, or does not have these options.
        CacheUnsupportedError: this release cannot use it.
    """
    for kind, section in (("metadata", metadata), ("blob", blob)):
        backend = section.__dict__[section._backend]
        if isinstance(backend, str) and backend in _ALIASES:
            backend = section.__dict__[section._backend] = _ALIASES[backend]
        if is_plugged(kind, backend):
            _check_plugged(kind, backend, section)
        elif hasattr(backend, "_configure"):
            backend._configure(section, place)
        else:
            _refuse_unknown(kind, backend, section)
    in_memory = place == ":memory:" or metadata.backend in ("memory", "sqlite_memory")
    if blob.blob_backend == "memory" and not in_memory:
        raise CacheUnsupportedError(
            f"blob_backend is 'memory', and the metadata backend {metadata.backend or 'sqlite'!r} outlives the process",
            hint="give metadata_backend='memory' as well, or leave blob_backend out",
        )


def check_pair(metadata: Any, blob: Any, place: str) -> None:
    """Refuses payloads on a server beside entries on this machine alone. Both sections have been chosen.

    Raises:
        CacheConfigurationError: they are such a pair, and ``allow_local_index`` is not set.
    """
    backend = blob.blob_backend
    name = _remote_name("blob", backend)
    if name is None or blob.allow_local_index:
        return
    other = metadata.backend
    if other is None:
        url = metadata.database_url
        is_elsewhere = url is not None and "://" in str(url) and not str(url).startswith("sqlite:")
        # A store that is there knows its own backend.
        if is_elsewhere or os.path.exists(os.path.join(place, "cacheness.toml")):  # noqa: PTH110, PTH118 - takes long
            return
        other = "memory" if place == ":memory:" else "sqlite"
    if _remote_name("metadata", other) is not None:
        return
    other = other if isinstance(other, str) else type(other).__name__
    raise CacheConfigurationError(
        f"blob_backend {name!r} keeps payloads on a server, and metadata_backend {other!r} keeps the entries that name "
        "them on this machine alone: no other machine can find the payloads, and they are lost with this one",
        hint="use a metadata backend on a server, such as 'postgresql', or blobs in the file system; "
        "allow_local_index=True if one machine alone uses the store",
    )


def _remote_name(kind: str, backend: Any) -> str | None:
    """The name of a backend whose data several machines can use; ``None`` for others."""
    if is_plugged(kind, backend):
        from .storage.backends import _registries

        made_by = _registries.class_of(kind, backend) if isinstance(backend, str) else type(backend)
        return (backend if isinstance(backend, str) else type(backend).__name__) if made_by.is_remote else None
    name = backend.partition("://")[0] if isinstance(backend, str) else ""
    return name if name in _REMOTE[kind] else None


def _check_plugged(kind: str, backend: Any, section: Any) -> None:
    """Refuses a backend that lacks methods, and options that nothing takes."""
    option = section._backend
    if kind == "metadata" and section.database_url is not None:
        raise CacheConfigurationError(
            f"database_url is given beside the metadata backend {shown(backend)}",
            hint="it is an option of backends of this release; give those of another one in metadata_backend_options",
        )
    if isinstance(backend, str):
        return
    missing = type(backend)._missing()
    if missing:
        raise CacheConfigurationError(
            f"{option} is a {type(backend).__name__}, which lacks {', '.join(missing)}",
            hint="docs/plugins.md says what the methods do",
        )
    options = section.__dict__[section._backend_options]
    if options:
        raise CacheConfigurationError(
            f"{next(iter(options))} is given beside an instance of {type(backend).__name__}",
            hint="options are for backends that are chosen by name: give them to the class",
        )


def _refuse_unknown(kind: str, backend: Any, section: Any) -> None:
    option = f"{kind}_backend"
    if backend is None:
        backend = "sqlite"
    if not isinstance(backend, str):
        base = "MetadataBackend" if kind == "metadata" else "BlobBackend"
        raise CacheConfigurationError(
            f"{option} is {shown(backend)}", hint=f"give a name or an instance of a class derived from {base}"
        )
    if takes_options(kind, backend):
        return
    if not _is_builtin(option, backend):
        if backend in _LATER[kind]:
            raise CacheUnsupportedError(
                f"{option} is {shown(backend)}, a {kind} backend that this release does not have",
                hint=f"{_hint(kind)}; register_{kind}_backend adds one",
            )
        from ._sources import source_of

        source = source_of(section, section._backend, backend)
        where = "" if source is None else f", from {source}"
        raise unknown_name(f"{kind} backend", backend, [*_BUILTIN[kind], *_LATER[kind]], where)
    options = section.__dict__[section._backend_options]
    if options:
        name = next(iter(options))
        raise CacheConfigurationError(
            f"{name} is no option of the {kind} backend {backend!r}, which takes none",
            hint=f"leave it out; it belongs to a {kind} backend that is not available yet",
        )


def _hint(kind: str) -> str:
    return f"this release has {', '.join(map(repr, _BUILTIN[kind]))}"
