"""The default cache of the decorators."""

from __future__ import annotations

import atexit
import os
import threading

from ..cache import Cache
from ..config import CacheConfig
from ..errors import CacheClosedError, CacheConfigurationError

_default: Cache | None = None
#: Whether the program has set it, so that no other cache may replace it.
_chosen = False
#: The configuration of a default cache that the program has not set.
_config: CacheConfig | None = None
_default_lock = threading.Lock()


def get_cache() -> Cache:
    """Returns the default cache of the decorators; opens it in ``./cache`` at its first use.

    Raises:
        CacheClosedError: the cache that :func:`set_default_cache` set has been closed.
    """
    global _default
    cache = _default
    if cache is not None and not cache.closed:
        return cache
    with _default_lock:
        if _default is None or _default.closed:
            if _default is not None and _chosen:
                raise CacheClosedError(
                    f"the default cache at {_default.cache_dir!r} has been closed",
                    hint="call set_default_cache(…) with an open cache, or reset_cache()",
                )
            _default = Cache(_config)
        return _default


def set_default_cache(cache: Cache | None) -> None:
    """Sets the default cache of the decorators. Does not close the previous one.

    Args:
        cache: the cache, which the caller closes; ``None`` for one in ``./cache``, opened at its first use.

    Raises:
        CacheConfigurationError: ``cache`` is not a :class:`Cache`.
    """
    global _default, _chosen, _config
    if cache is not None and not isinstance(cache, Cache):
        raise CacheConfigurationError(
            f"the default cache is a {type(cache).__name__}, not a Cache", hint="set_default_cache(Cache(…))"
        )
    with _default_lock:
        _default, _chosen, _config = cache, cache is not None, None


def reset_cache(config: CacheConfig | None = None) -> None:
    """Closes the default cache; the next use opens another one.

    Args:
        config: the configuration of the next one. Default: the defaults, in ``./cache``.

    Raises:
        CacheConfigurationError: a cache cannot be opened with it; the previous cache is then still open.
    """
    global _default, _chosen, _config
    if config is not None:
        if not isinstance(config, CacheConfig):
            raise CacheConfigurationError(
                f"config is a {type(config).__name__}", hint="give a CacheConfig, or a cache to set_default_cache"
            )
        config._to_open()
        config = config._checked()
    with _default_lock:
        former, _default, _chosen, _config = _default, None, False, config
    if former is not None:
        former.close()


@atexit.register
def _close() -> None:
    """Flushes pending accesses when the interpreter ends; the program closes a cache that it has set."""
    if _default is not None and not _chosen:
        _default.close()


def _forked() -> None:
    """Resets the lock: a thread that held it, to open the cache, does not exist in the child."""
    global _default_lock
    _default_lock = threading.Lock()


os.register_at_fork(after_in_child=_forked)
