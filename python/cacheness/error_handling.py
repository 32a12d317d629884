"""The documented import path of the errors; see :mod:`cacheness.errors`."""

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
