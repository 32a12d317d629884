"""The cache that decorators use if they are given none."""

from __future__ import annotations

import atexit
import os
import threading

from ..cache import Cache
from ..config import CacheConfig
from ..errors import CacheClosedError, CacheConfigurationError

_default: Cache | None = None
#: Whether somebody has chosen it, so that another one must not take its place.
_chosen = False
#: What one that nobody has chosen is opened with.
_config: CacheConfig | None = None
_default_lock = threading.Lock()


def get_cache() -> Cache:
    """The cache that decorators use if they are given none; opened in ``./cache`` when it is first needed.

    Raises:
        CacheClosedError: the one that :func:`set_default_cache` was given has been closed.
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
                    hint="call set_default_cache(…) with one that is open, or reset_cache()",
                )
            _default = Cache(_config)
        return _default


def set_default_cache(cache: Cache | None) -> None:
    """Sets the cache that decorators use if they are given none. The former one is not closed.

    Args:
        cache: the cache, to be closed by the caller; ``None`` for one in ``./cache``, opened when it is first needed.

    Raises:
        CacheConfigurationError: it is no :class:`Cache`.
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
        config: what to open it with; if none is given, the defaults, in ``./cache``.

    Raises:
        CacheConfigurationError: a cache cannot be opened with it; the former one is then still open.
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
    """Writes down what is pending, as the interpreter ends; a cache that somebody has chosen is closed by them."""
    if _default is not None and not _chosen:
        _default.close()


def _forked() -> None:
    """A thread that held the lock, because it was opening the cache, does not exist in the child."""
    global _default_lock
    _default_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
