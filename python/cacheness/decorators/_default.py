"""The cache that decorators use if they are given none."""

from __future__ import annotations

import atexit
import threading

from ..cache import Cache

_default: Cache | None = None
_default_lock = threading.Lock()


def get_cache() -> Cache:
    """The cache that decorators use if they are given none; opened in ``./cache`` when it is first needed."""
    global _default
    cache = _default
    if cache is not None and not cache.closed:
        return cache
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
