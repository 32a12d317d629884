"""Computing missing values: waiting for other callers, storing the result, and handling failures."""

from __future__ import annotations

import contextvars
import inspect
import threading
import weakref
from contextvars import ContextVar
from time import perf_counter
from typing import TYPE_CHECKING, Any

from . import _core
from ._callables import is_coroutine_function
from ._core import CallKey
from .errors import CacheConfigurationError, CacheError, CacheSerializationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .cache import Cache

#: The flight of the running code; tasks and ``asyncio.to_thread`` inherit it.
inside: ContextVar[_core.Flight | None] = ContextVar("cacheness_flight", default=None)


#: Read-only caches for which the warning has been logged.
_read_only: weakref.WeakSet[Cache] = weakref.WeakSet()


def warn(message: str, *args: object) -> None:
    """Logs a warning to the package's logger, which is loaded when a function is decorated, or a cache opened."""
    from ._log import logger

    logger.warning(message, *args)


class Computing:
    """A call site whose results are cached."""

    def __init__(
        self,
        name: str,
        calls: _core.CallSite,
        *,
        ignore_errors: bool = False,
        condition: Callable[[Any], Any] | None = None,
        description: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.name = name
        self.calls = calls
        self._ignore_errors = ignore_errors
        self._condition = condition
        self._description = description
        self._warned = False
        self._verbose = verbose

    def log_call(self, key: CallKey, what: str, *numbers: float) -> None:
        """Logs the outcome of a call, if requested."""
        if self._verbose:
            from ._log import logger

            logger.info(f"%s: {what}", key.call, *numbers)

    def failed(self, error: Exception, what: str) -> None:
        """Raises an error, or logs the first one and ignores it."""
        if not self._ignore_errors:
            raise error
        self.calls.note_failure()
        if not self._warned:
            self._warned = True
            warn("%s: cannot %s: %s (logged once)", self.name, what, error)

    def missed(self, cache: Cache, found: CallKey, call: Callable[[], Any]) -> Any:
        """The result of a call that is not a simple hit."""
        if found.due:
            self._refresh(cache, found, call)
            self.log_call(found, "hit, computed anew")
            return found.value
        flight = None
        try:
            if found.error is not None:
                raise found.error
            begun = self.calls.begin(cache, found, inside.get())
            if not isinstance(begun, _core.Flight):
                self.log_call(found, "hit")
                return begun
            flight = begun
        except CacheError as error:
            self.failed(error, "read from the cache")
        result, spent = _run(flight, call)
        self.keep(cache, found, result, spent, flight)
        return result

    def keep(self, cache: Cache, key: CallKey, result: Any, spent: float, flight: _core.Flight | None) -> None:
        """Stores a result, if the condition accepts it, and ends the flight. After Ctrl-C another caller takes over."""
        kept = False
        self.log_call(key, "computed in %.3g s", spent)
        # Pickling, and a signal handler that runs now, belong to the flight too: their lookups never wait for it.
        with part_of(flight):
            if self._admits(result):
                try:
                    self.calls.put(cache, key, result, spent, self._description)
                    kept = True
                except CacheError as error:
                    self.failed(error, f"store the result under {key.key} in the cache")
        if flight is not None:
            if kept:
                flight.stored()
            else:
                flight.failed()

    def _admits(self, result: Any) -> bool:
        if self._condition is None:
            return True
        try:
            return _verdict(self._condition(result))
        except Exception as error:  # noqa: BLE001 - the result may have taken days: it is returned in any case
            self.failed(error, "ask the condition whether to keep a result")
            return False

    def take_due(self, cache: Cache, found: CallKey) -> _core.Flight | None:
        """The flight of a due value, unless another caller computes it."""
        try:
            return self.calls.take_due(cache, found)
        except CacheError as error:
            self.failed(error, "read from the cache")
            return None

    def not_refreshed(self, error: Exception) -> None:
        """Logs that a background computation failed; the existing value has been served."""
        warn("%s: cannot be recomputed: %r", self.name, error)

    def _refresh(self, cache: Cache, found: CallKey, call: Callable[[], Any]) -> None:
        """Computes in a thread, which the interpreter joins at exit."""
        flight = self.take_due(cache, found)
        if flight is None:
            return

        def run() -> None:
            try:
                result, spent = _run(flight, call)
                self.keep(cache, found, result, spent, flight)
            except Exception as error:  # noqa: BLE001 - otherwise the error would be lost
                self.not_refreshed(error)

        context = contextvars.copy_context()
        try:
            threading.Thread(target=context.run, args=(run,), name=f"cacheness refreshes {self.name}").start()
        except RuntimeError as error:
            # No more threads, or the interpreter is shutting down.
            flight.interrupted()
            self.not_refreshed(error)


def _verdict(returned: Any) -> bool:
    """The result of a condition."""
    if inspect.isawaitable(returned):
        if inspect.iscoroutine(returned):
            returned.close()
        raise CacheConfigurationError("it returned an awaitable", hint="it must return true or false at once")
    return bool(returned)


def part_of(flight: _core.Flight | None) -> _core.PartOf:
    """Runs code as part of a flight; ``None`` runs it as part of the current one."""
    return _core.PartOf(inside, flight)


def _run(flight: _core.Flight | None, call: Callable[[], Any]) -> tuple[Any, float]:
    """The result of a call and its duration in seconds."""
    with part_of(flight):
        start = perf_counter()
        return call(), perf_counter() - start


def get_or_compute(
    cache: Cache, function: Callable[[], Any], calls: _core.CallSite, description: str | None, keywords: dict[str, Any]
) -> Any:
    """What :meth:`Cache.get_or_compute` does."""
    name = getattr(function, "__qualname__", type(function).__name__)
    if not callable(function):
        raise CacheConfigurationError(f"a {type(function).__name__} cannot be called to compute a value")
    if is_coroutine_function(function):
        raise CacheConfigurationError(f"{name} is a coroutine function", hint="decorate it with @cache_async")
    found = calls.lookup_call(cache, keywords)
    if type(found) is not CallKey:
        return found
    computing = Computing(name, calls, description=description)
    if isinstance(found.error, CacheSerializationError):
        # The entry cannot be decoded; without replacing it, the error would be permanent.
        warn("%s: entry %s cannot be read and is recomputed: %s", name, found.key, found.error)
        result, spent = _run(None, function)
        if not cache.read_only:
            computing.keep(cache, found, result, spent, None)
        return result
    if not cache.read_only:
        return computing.missed(cache, found, function)
    if found.error is not None:
        raise found.error
    if found.due:
        return found.value
    # No caller waits for a value that will not be stored.
    if cache not in _read_only:
        _read_only.add(cache)
        warn("%s is read-only: computed values are not stored (logged once)", cache.cache_dir)
    return function()
