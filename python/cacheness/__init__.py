"""Typed cache and artifact store for people who compute.

>>> from cacheness import cacheness
>>> cache = cacheness(":memory:")
>>> key = cache.put({"accuracy": 0.95}, model="xgboost", fold=3)
>>> cache.get(model="xgboost", fold=3)
{'accuracy': 0.95}
"""

from __future__ import annotations

from ._core import Clock, __version__, hash_path, hash_value
from .cache import Cache, UnifiedCache, cacheness
from .config import (
    CacheBlobConfig,
    CacheConfig,
    CacheMetadataConfig,
    CacheStorageConfig,
    CompressionConfig,
    HandlerConfig,
    SecurityConfig,
    SerializationConfig,
)
from .decorators import (
    CachedFunction,
    CacheInfo,
    cache_async,
    cache_if,
    cached,
    get_cache,
    reset_cache,
    set_default_cache,
)
from .errors import (
    CacheBusyError,
    CacheClosedError,
    CacheCompressionError,
    CacheConfigurationError,
    CacheError,
    CacheFullError,
    CacheIntegrityError,
    CacheMetadataError,
    CachePickleError,
    CacheReadOnlyError,
    CacheSerializationError,
    CacheSignatureError,
    CacheStorageError,
    CacheUnsupportedError,
    CacheVersionError,
    NotAStoreError,
)
from .handlers import HandlerRegistry, list_handlers, register_handler, unregister_handler
from .interfaces import CacheHandler
from .storage import BlobStore
from .utils import days, get_size_mb, hash_content, hash_file_path, hours, minutes, seconds

__all__ = [
    "BlobStore",
    "Cache",
    "CacheBlobConfig",
    "CacheBusyError",
    "CacheClosedError",
    "CacheCompressionError",
    "CacheConfig",
    "CacheConfigurationError",
    "CacheError",
    "CacheFullError",
    "CacheHandler",
    "CacheInfo",
    "CacheIntegrityError",
    "CacheMetadataConfig",
    "CacheMetadataError",
    "CachePickleError",
    "CacheReadOnlyError",
    "CacheSerializationError",
    "CacheSignatureError",
    "CacheStorageConfig",
    "CacheStorageError",
    "CacheUnsupportedError",
    "CacheVersionError",
    "CachedFunction",
    "Clock",
    "CompressionConfig",
    "HandlerConfig",
    "HandlerRegistry",
    "NotAStoreError",
    "SecurityConfig",
    "SerializationConfig",
    "UnifiedCache",
    "__version__",
    "cache_async",
    "cache_if",
    "cached",
    "cacheness",
    "days",
    "get_cache",
    "get_size_mb",
    "hash_content",
    "hash_file_path",
    "hash_path",
    "hash_value",
    "hours",
    "list_handlers",
    "minutes",
    "register_handler",
    "reset_cache",
    "seconds",
    "set_default_cache",
    "unregister_handler",
]
