"""The backends that a configuration names, their options, and whether this release has them."""

from __future__ import annotations

from typing import Any, ClassVar

from . import _core
from ._options import Options, shown, unknown_name
from .errors import CacheConfigurationError, CacheUnsupportedError

__all__ = ["BUILTIN_BLOB", "BUILTIN_METADATA", "BackendSection", "choose"]

#: The metadata backends and the blob backends of this release.
BUILTIN_METADATA, BUILTIN_BLOB = _core.backends()

#: Backends of later releases, which configurations may name.
_LATER = {"metadata": ("redis",), "blob": ("s3", "azure", "gcs")}
_BUILTIN = {"metadata": BUILTIN_METADATA, "blob": BUILTIN_BLOB}
#: Other names of backends.
_ALIASES = {"postgres": "postgresql"}
#: Backends with options of their own, which the engine checks.
_WITH_OPTIONS = ("postgresql",)


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
            if name not in cls._of_backends and _is_builtin(cls._backend, backend) and backend not in _WITH_OPTIONS:
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


def _is_builtin(option: str, backend: Any) -> bool:
    kind = "blob" if option == "blob_backend" else "metadata"
    return backend is None or backend in _BUILTIN[kind]


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


def _refuse_unknown(kind: str, backend: Any, options: dict[str, Any]) -> None:
    option = f"{kind}_backend"
    if backend is None:
        backend = "sqlite"
    if not isinstance(backend, str):
        raise CacheUnsupportedError(
            f"{option} is a {type(backend).__name__}: backends that a program brings along are not available yet",
            hint=_hint(kind),
        )
    if not _is_builtin(option, backend):
        from .storage.backends import _registries

        if backend in _LATER[kind] or _registries.is_registered(kind, backend):
            raise CacheUnsupportedError(
                f"{option} is {shown(backend)}, a {kind} backend that is not available yet", hint=_hint(kind)
            )
        raise unknown_name(f"{kind} backend", backend, [*_BUILTIN[kind], *_LATER[kind]])
    if options and backend not in _WITH_OPTIONS:
        name = next(iter(options))
        raise CacheConfigurationError(
            f"{name} is no option of the {kind} backend {backend!r}, which takes none",
            hint=f"leave it out; it belongs to a {kind} backend that is not available yet",
        )


def _hint(kind: str) -> str:
    return f"this release has {', '.join(map(repr, _BUILTIN[kind]))}"
