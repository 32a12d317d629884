"""Payloads on a server: URLs for other programs, and what the server tells without a download."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core
from ._options import shown
from .errors import CacheConfigurationError

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["Remote", "bare_etag"]


class Remote:
    """Methods of caches and stores whose payloads are on a server: S3. Other blob backends have none of this, and raise
    :class:`~cacheness.CacheUnsupportedError`.
    """

    def presign(
        self,
        /,
        cache_key: str | None = None,
        *,
        expires: float | timedelta = 3600,
        params: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> str | None:
        """A URL with which anyone can read the payload of an entry, until it expires. Makes no request.

        The URL leads to the payload in its storage format: a Parquet file, an ``.npy`` file. Another program reads it
        without credentials. The URL stops working when the entry is replaced or removed.

        Args:
            cache_key: the key of the entry, in a store also called ``key``; in a cache, parameters may stand for it.
            expires: how long the URL works: seconds or a ``timedelta``, up to seven days.
            params: parameters in a dictionary, including those with the name of a keyword.
            parameters: all other keywords are the parameters of the entry.

        Returns:
            The URL; ``None`` if the entry does not exist.

        Raises:
            CacheUnsupportedError: the blob backend has no such URLs, or the value is stored inside its entry.
            CacheConfigurationError: ``expires`` is invalid.
        """
        seconds = expires.total_seconds() if hasattr(expires, "total_seconds") else expires
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise CacheConfigurationError(f"expires is {shown(expires)}", hint="give seconds or a timedelta")
        return _core.presign(self, float(seconds), **_keywords(self, cache_key, params, parameters))

    def get_blob_metadata(
        self,
        /,
        cache_key: str | None = None,
        *,
        params: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> dict[str, Any] | None:
        """What the server tells about the payload of an entry: one request, and no download.

        Args:
            cache_key: the key of the entry, in a store also called ``key``; in a cache, parameters may stand for it.
            params: parameters in a dictionary, including those with the name of a keyword.
            parameters: all other keywords are the parameters of the entry.

        Returns:
            A dictionary: ``size`` in bytes, ``content_type``, ``cache_control``, ``etag``, ``version_id``,
            ``last_modified`` (ISO 8601, UTC), ``metadata``, ``hashes`` and where it is: ``s3_bucket``, ``s3_key``.
            ``None`` if the entry does not exist or contains its payload.

        Raises:
            CacheUnsupportedError: the blob backend keeps nothing beside a payload.
            CacheStorageError: the payload is missing.
        """
        return _core.blob_properties(self, **_keywords(self, cache_key, params, parameters))

    def get_etag(self, /, cache_key: str | None = None, **parameters: Any) -> str | None:
        """The entity tag that the server has for the payload of an entry; ``None`` as :meth:`get_blob_metadata`.

        Args:
            cache_key: the key of the entry, in a store also called ``key``; in a cache, parameters may stand for it.
            parameters: as for :meth:`get_blob_metadata`.
        """
        found = self.get_blob_metadata(cache_key, **parameters)
        return None if found is None else found["etag"]

    def verify_etag(self, /, cache_key: str | None = None, expected_etag: str | None = None, **parameters: Any) -> bool:
        """Whether the server still has the payload that was written: the entity tags are the same. Downloads nothing.

        Args:
            cache_key: the key of the entry, in a store also called ``key``; in a cache, parameters may stand for it.
            expected_etag: the tag to compare with; that of the entry if omitted.
            parameters: as for :meth:`get_blob_metadata`.

        Returns:
            Whether they are the same; ``False`` if the entry does not exist or contains its payload.
        """
        found = self.get_blob_metadata(cache_key, **parameters)
        if found is None:
            return False
        expected = found.get("s3_etag") if expected_etag is None else expected_etag
        return expected is not None and bare_etag(found["etag"]) == bare_etag(expected)

    def get_blob_hash(self, /, cache_key: str | None = None, algorithm: str = "xxh3", **parameters: Any) -> str | None:
        """The hash that was recorded with the payload of an entry, without a download.

        Args:
            cache_key: the key of the entry, in a store also called ``key``; in a cache, parameters may stand for it.
            algorithm: ``"xxh3"``, the entry's ``file_hash``; ``"blake3"``; ``"sha256"``, for payloads of one part.
            parameters: as for :meth:`get_blob_metadata`.

        Returns:
            Hexadecimal digits; ``None`` if that hash was not recorded.
        """
        found = self.get_blob_metadata(cache_key, **parameters)
        return None if found is None else found["hashes"].get(algorithm)


def bare_etag(etag: str | None) -> str | None:
    """An entity tag without its quotes, which some gateways drop."""
    return None if etag is None else etag.removeprefix("W/").strip('"')


def _keywords(
    held: Any, cache_key: str | None, params: dict[str, Any] | None, parameters: dict[str, Any]
) -> dict[str, Any]:
    """What names an entry, as the engine takes it."""
    if not isinstance(held, _core.StoreBase):
        return {"cache_key": cache_key, "params": params, **parameters}
    key = parameters.pop("key", None) if cache_key is None else cache_key
    if params is not None or parameters:
        raise CacheConfigurationError("a store has keys, and no parameters", hint="give the key of the entry")
    return {"key": key}
