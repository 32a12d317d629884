"""The documented import path of the cache; see :mod:`cacheness`."""

from __future__ import annotations

from .cache import Cache, UnifiedCache, cacheness
from .config import CacheConfig
from .decorators import get_cache, reset_cache

__all__ = ["Cache", "CacheConfig", "UnifiedCache", "cacheness", "get_cache", "reset_cache"]
