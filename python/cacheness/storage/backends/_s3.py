"""Blobs in a bucket of S3, for use by themselves, or to open a store with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ... import _core
from ..._options import shown
from ..._remote import bare_etag
from ..._secrets import masked
from ...errors import CacheConfigurationError
from ._blobs import _Blobs

if TYPE_CHECKING:
    from ...config import CacheBlobConfig

__all__ = ["S3BlobBackend"]


class S3BlobBackend(_Blobs):
    """Objects in a bucket of S3, or of a server that speaks like it (MinIO).

    An object is never overwritten: each write has a key of its own, which the methods return and take. Where a method
    takes a ``key``, the ``blob_id`` that a blob was written with finds the last blob of that id.

    Args:
        bucket: the bucket, which must exist.
        prefix: what all keys begin with.
        region: the region; ``None`` for that of the environment or the profile.
        endpoint_url: the server, if it is not that of AWS.
        use_ssl: whether to use TLS; ``None`` for what ``endpoint_url`` says.
        access_key: the access key; ``None`` for the standard chain of credentials.
        secret_key: its secret.
        shard_chars: how many characters of a key come before a ``/`` of their own, 0 to 4.
        options: all others of ``docs/s3.md``: ``storage_class``, ``server_side_encryption``, …

    Raises:
        CacheConfigurationError: an option does not exist or is invalid.
    """

    name = "s3"

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        region: str | None = None,
        endpoint_url: str | None = None,
        use_ssl: bool | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        shard_chars: int = 2,
        **options: Any,
    ) -> None:
        if not isinstance(shard_chars, int) or not 0 <= shard_chars <= 4:
            raise CacheConfigurationError(f"shard_chars is {shown(shard_chars)}", hint="give a number from 0 to 4")
        given = {
            "bucket": bucket,
            "prefix": prefix,
            "region": region,
            "endpoint_url": endpoint_url,
            "use_ssl": use_ssl,
            "access_key": access_key,
            "secret_key": secret_key,
            **options,
        }
        self._options = {name: value for name, value in given.items() if value is not None}
        self.bucket = bucket
        self.prefix = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
        self.shard_chars = shard_chars
        self._blobs = _core.Blobs.s3(json.dumps(self._options, default=str), shard_chars)

    def put(self, key: str, data: bytes) -> dict[str, Any]:
        """Writes a new blob, and removes the former one of this key.

        Args:
            key: what the name of the object begins with.
            data: the bytes.

        Returns:
            ``s3_bucket``, ``s3_key``, ``s3_etag``, and ``s3_version_id`` in a bucket with versions.

        Raises:
            CacheStorageError: it cannot be written.
        """
        former = self._of(key)
        name = self.write_blob(key, data)
        for other in former:
            self._blobs.delete(other)
        found = self._blobs.properties(name) or {}
        place = {"s3_bucket": self.bucket, "s3_key": self._key(name), "s3_etag": found.get("etag")}
        version = found.get("version_id")
        return place if version is None else {**place, "s3_version_id": version}

    def get(self, key: str) -> bytes | None:
        """The bytes of a blob; ``None`` if there is none."""
        name = self._name(key)
        return None if name is None else self._blobs.read(name)

    def delete(self, key: str) -> bool:
        """Removes a blob; ``False`` if there is none."""
        name = self._name(key)
        return name is not None and self._blobs.delete(name)

    def exists(self, blob_path: str) -> bool:
        """Whether there is a blob of that name, key or id."""
        name = self._name(blob_path)
        return name is not None and self._blobs.exists(name)

    def read_blob(self, blob_path: str) -> bytes:
        """The bytes of a blob.

        Raises:
            FileNotFoundError: there is none.
        """
        data = self.get(blob_path)
        if data is None:
            raise FileNotFoundError(f"there is no blob {blob_path!r}")
        return data

    def delete_blob(self, blob_path: str) -> bool:
        """Removes a blob; ``False`` if there is none."""
        return self.delete(blob_path)

    def list_keys(self, prefix: str | None = None) -> list[str]:
        """The keys of all objects, in order, however many pages they take.

        Args:
            prefix: only keys that begin with it; it stands behind the prefix of the backend.
        """
        start = self.prefix + (prefix or "")
        keys = (self._key(name) for name, _ in self._blobs.list())
        return [key for key in keys if key.startswith(start)]

    def get_etag(self, key: str) -> str | None:
        """The entity tag of an object, by one request; ``None`` if there is no such object."""
        found = self.get_blob_metadata(key)
        return None if found is None else found["etag"]

    def verify_etag(self, key: str, expected_etag: str) -> bool:
        """Whether an object has this entity tag, with or without its quotes."""
        etag = self.get_etag(key)
        return etag is not None and bare_etag(etag) == bare_etag(expected_etag)

    def get_blob_metadata(self, blob_path: str) -> dict[str, Any] | None:
        """What the server tells about an object, as :meth:`Cache.get_blob_metadata` does; ``None`` if there is none."""
        name = self._name(blob_path)
        return None if name is None else self._blobs.properties(name)

    def get_blob_hash(self, blob_path: str, algorithm: str = "sha256") -> str | None:
        """The hash that was recorded with an object, or its tag if that is its MD5; ``None`` if it is not known.

        Args:
            blob_path: the object.
            algorithm: ``"sha256"``, ``"xxh3"``, ``"blake3"`` or ``"md5"``.
        """
        found = self.get_blob_metadata(blob_path)
        if found is None:
            return None
        if algorithm == "md5":
            etag = bare_etag(found["etag"]) or ""
            # Of several parts, the tag is not a hash of the content.
            return etag if len(etag) == 32 and "-" not in etag else None
        hashes: dict[str, str] = found["hashes"]
        return hashes.get(algorithm)

    def get_presigned_url(self, blob_path: str, expires_in: int = 3600) -> str:
        """A URL with which anyone can read an object for ``expires_in`` seconds.

        Raises:
            FileNotFoundError: there is no such object.
        """
        name = self._name(blob_path)
        if name is None:
            raise FileNotFoundError(f"there is no blob {blob_path!r}")
        return self._blobs.presign(name, expires_in)

    def _configure(self, section: CacheBlobConfig, place: str) -> None:  # noqa: ARG002 - as the others
        section.blob_backend = self.name
        section.blob_backend_options = dict(self._options)
        section.shard_chars = self.shard_chars

    def _key(self, name: str) -> str:
        """The key of the object with this name."""
        return self.prefix + name.removeprefix("blobs/")

    def _name(self, given: str) -> str | None:
        """The name of an object by its name, its URL, its key or the id it was written with."""
        given = given.removeprefix(f"s3://{self.bucket}/")
        if given.startswith("blobs/"):
            return given
        if "/" in given:
            return f"blobs/{given.removeprefix(self.prefix)}"
        found = self._of(given)
        return found[-1] if found else None

    def _of(self, blob_id: str) -> list[str]:
        """The names of all blobs that were written with this id."""
        stem = self._stem(blob_id)
        shard = f"{stem[: self.shard_chars]}/" if self.shard_chars else ""
        return self._blobs.of_stem(f"blobs/{shard}{stem}-")

    def __repr__(self) -> str:
        return f"S3BlobBackend({', '.join(f'{name}={masked(name, value)!r}' for name, value in self._options.items())})"
