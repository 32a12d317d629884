"""Errors of cacheness. Every error is a :class:`CacheError`, and also the matching builtin exception, if any."""

from __future__ import annotations

__all__ = [
    "CacheBusyError",
    "CacheClosedError",
    "CacheCompressionError",
    "CacheConfigurationError",
    "CacheConstraintError",
    "CacheDeniedError",
    "CacheError",
    "CacheFullError",
    "CacheIntegrityError",
    "CacheMetadataError",
    "CachePickleError",
    "CacheReadOnlyError",
    "CacheSerializationError",
    "CacheSignatureError",
    "CacheStorageError",
    "CacheTimeoutError",
    "CacheUnavailableError",
    "CacheUnsupportedError",
    "CacheVersionError",
    "NotAStoreError",
]


class CacheError(Exception):
    """Base class of all errors of cacheness.

    Attributes:
        hint: what to do about it, or ``None``.
        retryable: whether the same call may succeed when it is repeated.
    """

    hint: str | None = None
    retryable: bool = False

    def __init__(self, message: str = "", hint: str | None = None, retryable: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        self.retryable = retryable

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\nhint: {self.hint}" if self.hint else message


class CacheConfigurationError(CacheError, TypeError, ValueError):
    """An argument or option is invalid."""


class CacheStorageError(CacheError, OSError):
    """Reading or writing the files of a store failed."""


class CacheReadOnlyError(CacheStorageError, PermissionError):
    """The store, its directory or its file system is read-only."""


class CacheFullError(CacheStorageError):
    """The value exceeds the limits of the cache. Nothing was changed."""


class NotAStoreError(CacheStorageError, NotADirectoryError):
    """The path is not a store, or not a directory."""


class CacheIntegrityError(CacheStorageError):
    """A payload is missing, truncated or changed since it was written."""


class CacheSignatureError(CacheIntegrityError):
    """The signature of an entry is missing or invalid."""


class CacheVersionError(CacheStorageError):
    """The store was written by a newer release."""


class CacheSerializationError(CacheError, TypeError, ValueError):
    """A parameter has no stable key, or a value cannot be encoded or decoded."""


class CachePickleError(CacheSerializationError):
    """A pickle was refused by the security configuration."""


class CacheUnsupportedError(CacheSerializationError):
    """The value's format needs a missing package, or another language."""


class CacheCompressionError(CacheError):
    """A codec failed to compress or decompress."""


class CacheMetadataError(CacheError):
    """The metadata backend failed."""


class CacheBusyError(CacheMetadataError, TimeoutError):
    """Another process or thread held a lock for too long; try again."""


class CacheConstraintError(CacheMetadataError, ValueError):
    """A constraint of a table of custom metadata refuses a row; its cause is SQLAlchemy's ``IntegrityError``."""


class CacheUnavailableError(CacheError, ConnectionError):
    """A server cannot be reached, refuses requests for now, or took too long; try again."""


class CacheTimeoutError(CacheUnavailableError, TimeoutError):
    """An operation took longer than it may."""


class CacheDeniedError(CacheError, PermissionError):
    """A server denies access: wrong credentials, or missing privileges."""


class CacheClosedError(CacheError, ValueError):
    """The cache or store has been closed."""
