"""The registry of handlers: which handlers exist, and the order in which they are tried."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple, cast, overload

from . import _core
from ._builtin_handlers import (
    ArrayHandler,
    ArrowTableHandler,
    ObjectHandler,
    PandasDataFrameHandler,
    PandasSeriesHandler,
    PolarsDataFrameHandler,
    PolarsSeriesHandler,
    handler_of,
    named,
)
from ._options import checked_section, unknown_name
from ._sources import ignored as _ignored
from .config import CompressionConfig, HandlerConfig
from .errors import CacheConfigurationError, CacheSerializationError
from .interfaces import CacheHandler, StorageHandler

if TYPE_CHECKING:
    from pathlib import Path

    #: Types that can be registered.
    _Given = CacheHandler | StorageHandler | type[CacheHandler] | type[StorageHandler]

__all__ = [
    "ArrayHandler",
    "ArrowTableHandler",
    "CacheHandler",
    "HandlerRegistry",
    "ObjectHandler",
    "PandasDataFrameHandler",
    "PandasSeriesHandler",
    "PolarsDataFrameHandler",
    "PolarsSeriesHandler",
    "StorageHandler",
    "default_registry",
    "list_handlers",
    "register_handler",
    "unregister_handler",
]

#: The built-in handlers, in the order in which they are tried.
BUILTIN = _core.HANDLERS


class _Legacy(CacheHandler):
    """Adapts a :class:`StorageHandler` to the current interface."""

    def __init__(self, inner: StorageHandler, name: str) -> None:
        self._inner = inner
        self._name = name

    @property
    def data_type(self) -> str:
        return self._name

    def can_handle(self, data: Any) -> bool:
        return self._inner.can_handle(data)

    def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
        path = file_path.with_suffix(self._inner.get_file_extension())
        self._inner.save(data, path, config)
        return {"storage_format": self._name, "file_path": str(path)}

    def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:  # noqa: ARG002 - the older interface has none
        # A cache loads with its own configuration, see `_read_custom`.
        return self.load(file_path, CompressionConfig())

    def load(self, file_path: Path, config: Any) -> Any:
        return self._inner.load(file_path, config)

    def get_file_extension(self, config: Any) -> str:  # noqa: ARG002 - nor this
        return self._inner.get_file_extension()


class _Custom(NamedTuple):
    name: str
    handler: CacheHandler
    priority: int | None


class HandlerRegistry:
    """The handlers of one cache, in addition to those of every cache.

    Custom handlers without a priority are tried after the built-in ones and before ``object_pickle``, which accepts
    everything; priority 0 is tried first. Handlers in ``handler_priority`` are tried before all others.
    """

    #: The configuration passed to handlers of the older interface when they load.
    _compression: CompressionConfig | None = None

    def __init__(self, config: HandlerConfig | None = None, parent: HandlerRegistry | None = None) -> None:
        self._config = cast("HandlerConfig", checked_section("handlers", config or HandlerConfig()))
        self._parent = parent
        self._custom: list[_Custom] = []
        self._lock = threading.Lock()
        for handler in self._config.custom_handlers:
            self.register_handler(handler)
        self._check_priority()

    def _check_priority(self) -> None:
        priority = self._config.handler_priority
        if len(set(priority)) != len(priority):
            raise CacheConfigurationError("handler_priority names a handler twice")
        known = [*BUILTIN, *(custom.name for custom in self._all_custom())]
        for name in priority:
            if name not in known:
                raise unknown_name("handler", name, known, " in handler_priority")

    @overload
    def register_handler(self, handler: _Given, priority: int | None = None, name: str | None = None) -> None: ...
    @overload
    def register_handler(self, handler: str, priority: _Given) -> None: ...
    def register_handler(self, handler: Any, priority: Any = None, name: str | None = None) -> None:
        """Adds a handler, replacing one of the same name.

        Also takes ``register_handler("name", handler)``.

        Args:
            handler: the handler, or its class.
            priority: its position among all handlers, 0 first; ``None`` for just before ``object_pickle``.
            name: its name. Default: ``handler.data_type``.

        Raises:
            CacheConfigurationError: the handler lacks a method, or has the name of a built-in one.
        """
        if isinstance(handler, str):
            handler, priority, name = priority, None, name or handler
        handler = _made(handler)
        if isinstance(handler, StorageHandler):
            handler = _Legacy(handler, name or type(handler).__name__)
        missing = [m for m in ("can_handle", "put", "get", "data_type") if not hasattr(handler, m)]
        if missing:
            raise CacheConfigurationError(
                f"the handler {handler!r} lacks {', '.join(missing)}", hint="derive from CacheHandler"
            )
        name = name or handler.data_type
        if not isinstance(name, str) or not name or name in BUILTIN:
            raise CacheConfigurationError(f"a handler cannot be named {name!r}")
        if priority is not None and (not isinstance(priority, int) or priority < 0):
            raise CacheConfigurationError(f"priority is {priority!r}", hint="give a position from 0 on, or None")
        with self._lock:
            self._custom = [c for c in self._custom if c.name != name]
            self._custom.append(_Custom(name, handler, priority))
        self._changed()

    def unregister_handler(self, handler_name: str) -> bool:
        """Removes a custom handler; ``False`` if this registry has none of that name."""
        with self._lock:
            before = len(self._custom)
            self._custom = [c for c in self._custom if c.name != handler_name]
            found = len(self._custom) < before
        self._changed()
        return found

    def list_handlers(self) -> list[dict[str, Any]]:
        """The handlers in the order in which they are tried.

        Returns:
            Dictionaries with ``name``, ``priority`` (the position), ``class`` and ``is_builtin``.
        """
        return [
            {
                "name": name,
                "priority": position,
                "class": "builtin" if handler is None else type(handler).__qualname__,
                "is_builtin": handler is None,
            }
            for position, (name, handler) in enumerate(self._order())
        ]

    def get_handler(self, data: Any) -> CacheHandler | None:
        """The handler that stores a value, or the one of that name.

        Args:
            data: the value, or the name of a handler.

        Returns:
            The handler; ``None`` if no handler stores such a value.
        """
        if isinstance(data, str) and (handler := self._custom_named(data) or named(data)) is not None:
            return handler
        asked: list[str] = []
        for candidate in self._candidates(data):
            if isinstance(candidate, str):
                asked.append(candidate)
                continue
            # Tried if no earlier handler accepts the value.
            return named(found) if (found := handler_of(data, asked)) is not None else candidate[1]
        return named(found) if (found := handler_of(data, asked)) is not None else None

    def _custom_named(self, name: str) -> CacheHandler | None:
        """The custom handler of that name."""
        return next((custom.handler for custom in reversed(self._all_custom()) if custom.name == name), None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(name for name, _ in self._order())}>"

    def _changed(self) -> None:
        if self is default_registry:
            _core.set_default_handlers_changed(bool(self._custom))

    def _is_plain(self) -> bool:
        """Whether the built-in order applies, so that the engine need not call the registry."""
        config = self._config
        enabled = all(getattr(config, f"enable_{name}") for name in BUILTIN)
        return enabled and not config.handler_priority and not self._custom

    def _all_custom(self) -> list[_Custom]:
        inherited = self._parent._all_custom() if self._parent else []
        return [*inherited, *self._custom]

    def _order(self) -> list[tuple[str, CacheHandler | None]]:
        names: list[tuple[str, CacheHandler | None]] = [
            (name, None) for name in BUILTIN if getattr(self._config, f"enable_{name}")
        ]
        for custom in self._all_custom():
            names = [entry for entry in names if entry[0] != custom.name]
            last = len(names) - (1 if names and names[-1][0] == "object_pickle" else 0)
            position = last if custom.priority is None else min(custom.priority, len(names))
            names.insert(position, (custom.name, custom.handler))
        # It accepts everything: later handlers would never be tried.
        wanted = [name for name in self._config.handler_priority if name != "object_pickle"]
        rank = {name: position for position, name in enumerate(wanted)}
        return sorted(names, key=lambda entry: rank.get(entry[0], len(wanted)))

    def _candidates(self, value: Any) -> list[str | tuple[str, CacheHandler]]:
        """The handlers to try for ``value``, in order: names of built-in handlers, and accepting custom handlers."""
        found: list[str | tuple[str, CacheHandler]] = []
        for name, handler in self._order():
            if handler is None:
                found.append(name)
            elif _ask(name, handler, "can_handle", value):
                found.append((name, handler))
                break
        return found


with _ignored("all"):  # importing reads no environment
    default_registry = HandlerRegistry()


@overload
def register_handler(handler: _Given, priority: int | None = None, name: str | None = None) -> None: ...
@overload
def register_handler(handler: str, priority: _Given) -> None: ...
def register_handler(handler: Any, priority: Any = None, name: str | None = None) -> None:
    """Adds a handler to those of every cache.

    Also takes ``register_handler("name", handler)``.

    Args:
        handler: the handler, or its class.
        priority: its position among all handlers, 0 first; ``None`` for just before ``object_pickle``.
        name: its name. Default: ``handler.data_type``.
    """
    default_registry.register_handler(handler, priority, name)


def unregister_handler(handler_name: str) -> bool:
    """Removes a custom handler from those of every cache; ``False`` if none has that name."""
    return default_registry.unregister_handler(handler_name)


def list_handlers() -> list[dict[str, Any]]:
    """The handlers of every cache, in the order in which they are tried."""
    return default_registry.list_handlers()


def _made(handler: Any) -> Any:
    """The handler, or an instance of the given class."""
    if not isinstance(handler, type):
        return handler
    try:
        return handler()
    except TypeError as error:
        raise CacheConfigurationError(
            f"the handler {handler.__name__} cannot be created without arguments: {error}", hint="give an instance"
        ) from None


def _ask(name: str, handler: CacheHandler, method: str, *arguments: Any, entry: str | None = None) -> Any:
    """Calls a method of a custom handler. Any exception becomes an error that names the handler."""
    try:
        return getattr(handler, method)(*arguments)
    except Exception as error:
        about = "" if entry is None else f" for entry {entry}"
        raise CacheSerializationError(
            f"handler {name!r}: {method} raised {type(error).__name__}{about}: {error}"
        ) from error


def _write_custom(
    name: str, handler: CacheHandler, value: Any, directory: str, config: Any
) -> tuple[str, str, str, bytes]:
    """Calls a custom handler to write ``value`` into the empty ``directory``.

    Returns:
        The file's path, its extension without the dot, the storage format, and the metadata for the handler's ``get``.
    """
    from pathlib import Path

    base = Path(directory) / "value"
    result = _ask(name, handler, "put", value, base, config)
    if not isinstance(result, dict):
        raise CacheSerializationError(f"handler {name!r}: put returned a {type(result).__name__}, not a dict")
    extra = {k: v for k, v in result.items() if k not in ("file_path", "actual_path")}
    given = result.get("file_path") or result.get("actual_path")
    suffix = _ask(name, handler, "get_file_extension", config) if hasattr(handler, "get_file_extension") else ""
    guesses = [Path(given)] if given else [base, Path(f"{base}{suffix}")]
    path = next((p for p in guesses if p.is_file()), None)
    if path is None or path.resolve().parent != Path(directory).resolve():
        raise CacheSerializationError(
            f"handler {name!r}: put wrote no file {guesses[-1].name!r} beside the path it was given",
            hint="write one file at file_path, or at file_path with a suffix, and return its path",
        )
    storage_format = str(extra.get("storage_format") or handler.data_type)
    extension = path.name.removeprefix("value").lstrip(".") or "bin"
    return str(path), extension, storage_format, _core.metadata_dumps(extra).encode()


def _read_custom(registry: HandlerRegistry, name: str, path: str, extra: bytes, key: str) -> Any:
    """Calls the custom handler of that name to read the file of an entry."""
    from pathlib import Path

    handler = registry._custom_named(name)
    if handler is None:
        from .errors import CacheUnsupportedError

        raise CacheUnsupportedError(
            f"entry {key} was stored by the handler {name!r}, which is not registered",
            hint="register it with cacheness.register_handler before reading",
        )
    if isinstance(handler, _Legacy):
        return _ask(name, handler, "load", Path(path), registry._compression, entry=key)
    metadata = _core.metadata_loads(extra.decode()) if extra else {}
    return _ask(name, handler, "get", Path(path), metadata, entry=key)
