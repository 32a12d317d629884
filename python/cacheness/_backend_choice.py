"""The backends that a configuration names, their options, and whether this release has them."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from . import _core
from ._options import Options, shown, unknown_name
from .errors import CacheConfigurationError, CacheUnsupportedError

__all__ = ["BUILTIN_BLOB", "BUILTIN_METADATA", "BackendSection", "check_pair", "choose", "takes_options"]

#: The metadata backends and the blob backends of this release.
BUILTIN_METADATA, BUILTIN_BLOB = _core.backends()

#: Backends of later releases, which configurations may name.
_LATER = {"metadata": ("redis",), "blob": ("azure", "gcs")}
_BUILTIN = {"metadata": BUILTIN_METADATA, "blob": BUILTIN_BLOB}
#: Other names of backends.
_ALIASES = {"postgres": "postgresql"}
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


def _is_builtin(option: str, backend: Any) -> bool:
    return backend is None or backend in _BUILTIN[_kind(option)]


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
        if hasattr(backend, "_configure"):
            backend._configure(section, place)
        else:
            _refuse_unknown(kind, backend, section.__dict__[section._backend_options])
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
    name = backend.partition("://")[0] if isinstance(backend, str) else ""
    if name not in _REMOTE["blob"] or blob.allow_local_index:
        return
    other = metadata.backend
    if other is None:
        url = metadata.database_url
        is_elsewhere = url is not None and "://" in str(url) and not str(url).startswith("sqlite:")
        # A store that is there knows its own backend.
        if is_elsewhere or os.path.exists(os.path.join(place, "cacheness.toml")):  # noqa: PTH110, PTH118 - takes long
            return
        other = "memory" if place == ":memory:" else "sqlite"
    if other in _REMOTE["metadata"]:
        return
    raise CacheConfigurationError(
        f"blob_backend {name!r} keeps payloads on a server, and metadata_backend {other!r} keeps the entries that name "
        "them on this machine alone: no other machine can find the payloads, and they are lost with this one",
        hint="use a metadata backend on a server, such as 'postgresql', or blobs in the file system; "
        "allow_local_index=True if one machine alone uses the store",
    )


def _refuse_unknown(kind: str, backend: Any, options: dict[str, Any]) -> None:
    option = f"{kind}_backend"
    if backend is None:
        backend = "sqlite"
    if not isinstance(backend, str):
        raise CacheUnsupportedError(
            f"{option} is a {type(backend).__name__}: backends that a program brings along are not available yet",
            hint=_hint(kind),
        )
    if takes_options(kind, backend):
        from .storage.backends import _registries

        if _registries.is_registered(kind, backend):
            raise CacheUnsupportedError(
                f"{option} is {shown(backend)}, which a program has registered: that is not available yet",
                hint=f"unregister_{kind}_backend({backend!r}) brings that of this release back",
            )
        return
    if not _is_builtin(option, backend):
        from .storage.backends import _registries

        if backend in _LATER[kind] or _registries.is_registered(kind, backend):
            raise CacheUnsupportedError(
                f"{option} is {shown(backend)}, a {kind} backend that is not available yet", hint=_hint(kind)
            )
        raise unknown_name(f"{kind} backend", backend, [*_BUILTIN[kind], *_LATER[kind]])
    if options:
        name = next(iter(options))
        raise CacheConfigurationError(
            f"{name} is no option of the {kind} backend {backend!r}, which takes none",
            hint=f"leave it out; it belongs to a {kind} backend that is not available yet",
        )


def _hint(kind: str) -> str:
    return f"this release has {', '.join(map(repr, _BUILTIN[kind]))}"
