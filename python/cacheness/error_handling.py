"""The errors under the name of their module in the documentation; see :mod:`cacheness.errors`."""

from __future__ import annotations

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

__all__ = [
    "CacheBusyError",
    "CacheClosedError",
    "CacheCompressionError",
    "CacheConfigurationError",
    "CacheError",
    "CacheFullError",
    "CacheIntegrityError",
    "CacheMetadataError",
    "CachePickleError",
    "CacheReadOnlyError",
    "CacheSerializationError",
    "CacheSignatureError",
    "CacheStorageError",
    "CacheUnsupportedError",
    "CacheVersionError",
    "NotAStoreError",
]
