"""``@cached``: a function's results, kept under its name and arguments."""

from __future__ import annotations

import atexit
import functools
import inspect
import threading
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from ._log import logger
from .cache import Cache
from .errors import CacheConfigurationError, CacheError, CacheSerializationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["cached", "get_cache", "reset_cache", "set_default_cache"]

P = ParamSpec("P")
R = TypeVar("R")

_MISSING = object()
_default: Cache | None = None
_default_lock = threading.Lock()


def get_cache() -> Cache:
    """The cache that decorators use if they are given none; opened in ``./cache`` when it is first needed."""
    global _default
    with _default_lock:
        if _default is None or _default.closed:
            _default = Cache()
            atexit.register(_default.close)
        return _default


def set_default_cache(cache: Cache | None) -> None:
    """Sets the cache that decorators use if they are given none. The former one is not closed."""
    global _default
    with _default_lock:
        _default = cache


def reset_cache() -> None:
    """Closes the default cache; the next use opens another one."""
    global _default
    with _default_lock:
        former, _default = _default, None
    if former is not None:
        former.close()


class _Arguments:
    """Turns the arguments of a call into named parameters."""

    def __init__(self, function: Callable[..., Any], include_defaults: bool) -> None:
        self._signature = inspect.signature(function)
        self._include_defaults = include_defaults

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        bound = self._signature.bind(*args, **kwargs)
        if self._include_defaults:
            bound.apply_defaults()
        return bound.arguments


@overload
def cached(cache_instance: Callable[P, R]) -> Callable[P, R]: ...
@overload
def cached(
    cache_instance: Cache | None = None,
    ttl_seconds: float | None = None,
    cache_key_prefix: str | None = None,
    include_defaults: bool = True,
    metadata: dict[str, Any] | None = None,
    *,
    key_prefix: str | None = None,
    ignore_errors: bool = True,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def cached(
    cache_instance: Any = None,
    ttl_seconds: float | None = None,
    cache_key_prefix: str | None = None,
    include_defaults: bool = True,
    metadata: dict[str, Any] | None = None,
    *,
    key_prefix: str | None = None,
    ignore_errors: bool = True,
) -> Any:
    """Keeps a function's results under its qualified name and its arguments.

    ``@cached`` and ``@cached(…)`` both work. ``None`` is a result like any other. An exception of the function is
    passed on and nothing is kept.

    Args:
        cache_instance: the cache; the default one (:func:`get_cache`) if none is given.
        ttl_seconds: how long results are served; ``None`` for the cache's default.
        cache_key_prefix: stands in the key in place of the function's qualified name (also ``key_prefix``).
        include_defaults: whether arguments that are left out are part of the key, with their default values.
        metadata: goes with every result.
        ignore_errors: whether a failure to store or read a result is logged once, and the function's result returned.
            An argument that cannot be part of a key always raises.

    The wrapper has ``cache_key(*args, **kwargs)``, ``cache_clear(*args, **kwargs)``, ``call_uncached`` and
    ``__wrapped__``.
    """
    if callable(cache_instance) and not isinstance(cache_instance, Cache):
        return cached()(cache_instance)
    if cache_instance is not None and not isinstance(cache_instance, Cache):
        raise CacheConfigurationError(f"cache_instance is a {type(cache_instance).__name__}, not a Cache")
    prefix = cache_key_prefix if key_prefix is None else key_prefix

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        _refuse_unsupported(function)
        name = prefix if prefix is not None else f"{function.__module__}.{function.__qualname__}"
        arguments = _Arguments(function, include_defaults)
        options: dict[str, Any] = {} if ttl_seconds is None else {"ttl_seconds": ttl_seconds}
        warned = False

        def parameters(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
            return {"__function__": name, "arguments": dict(arguments(args, kwargs))}

        def failed(error: CacheError, what: str) -> None:
            nonlocal warned
            if not ignore_errors:
                raise error
            if not warned:
                warned = True
                logger.warning("%s: cannot %s the cache: %s", name, what, error)

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            cache = cache_instance or get_cache()
            params = parameters(args, kwargs)
            # An argument without a key is an error of the caller, not of the cache.
            key = _key(cache, name, params)
            try:
                found = cache.get(params=params, default=_MISSING)
            except CacheError as error:
                failed(error, "read from")
                found = _MISSING
            if found is not _MISSING:
                return cast("R", found)
            result = function(*args, **kwargs)
            try:
                cache.put(result, params=params, metadata=metadata, **options)
            except CacheError as error:
                failed(error, f"store the result under {key} in")
            return result

        def cache_key(*args: P.args, **kwargs: P.kwargs) -> str:
            return _key(cache_instance or get_cache(), name, parameters(args, kwargs))

        def cache_clear(*args: P.args, **kwargs: P.kwargs) -> bool:
            return (cache_instance or get_cache()).invalidate(params=parameters(args, kwargs))

        wrapper.cache_key = cache_key  # type: ignore[attr-defined]
        wrapper.cache_clear = cache_clear  # type: ignore[attr-defined]
        wrapper.call_uncached = function  # type: ignore[attr-defined]
        return wrapper

    return decorate


def _key(cache: Cache, name: str, params: dict[str, Any]) -> str:
    try:
        return cache.cache_key(params=params)
    except CacheSerializationError as error:
        raise CacheSerializationError(f"{name}: {error.args[0]}", hint=error.hint) from None


def _refuse_unsupported(function: Any) -> None:
    if not callable(function):
        raise CacheConfigurationError(f"@cached on a {type(function).__name__}, which cannot be called")
    unsupported: list[tuple[Callable[[Any], bool], str]] = [
        (inspect.isgeneratorfunction, "a generator"),
        (inspect.isasyncgenfunction, "an asynchronous generator"),
        (inspect.iscoroutinefunction, "a coroutine"),
    ]
    for test, kind in unsupported:
        if test(function):
            raise CacheConfigurationError(
                f"@cached on {kind}: {function.__qualname__}", hint="its result cannot be kept; return a value instead"
            )
