"""The blob backends of this release, for use by themselves."""

from __future__ import annotations

import os
from datetime import UTC
from typing import TYPE_CHECKING

from ... import _core
from ..._options import absolute, directory, shown
from ...errors import CacheConfigurationError, CacheUnsupportedError
from .base import BlobBackend, BlobInfo

if TYPE_CHECKING:
    from ...config import CacheBlobConfig

__all__ = ["FilesystemBlobBackend", "InMemoryBlobBackend"]

#: Characters that the name of a file may begin with.
_PLAIN = frozenset("0123456789abcdefghijklmnopqrstuvwxyz-_")


class _Blobs(BlobBackend):
    """Blobs that the engine keeps."""

    _blobs: _core.Blobs
    #: The name in configurations.
    name: str

    def write_blob(self, blob_id: str, data: bytes) -> str:
        """Writes a new blob and returns its name.

        Args:
            blob_id: what the name begins with; what no file name can begin with is replaced by its hash.
            data: the bytes.

        Raises:
            CacheStorageError: it cannot be written.
        """
        return self._blobs.write(self._stem(blob_id), "bin", bytes(data))

    @staticmethod
    def _stem(blob_id: str) -> str:
        """What the name of a blob with this id begins with."""
        if not isinstance(blob_id, str) or not blob_id:
            raise CacheConfigurationError(f"blob_id is {shown(blob_id)}", hint="give a text")
        fits = len(blob_id) <= 128 and _PLAIN.issuperset(blob_id)
        return blob_id if fits else _core.hash_value(blob_id)

    def read_blob(self, blob_path: str) -> bytes:
        """The bytes of the blob of that name.

        Raises:
            FileNotFoundError: there is none.
            CacheIntegrityError: the backend makes no such names.
        """
        data = self._blobs.read(blob_path)
        if data is None:
            raise FileNotFoundError(f"there is no blob {blob_path!r}")
        return data

    def delete_blob(self, blob_path: str) -> bool:
        """Removes a blob; ``False`` if there is none of that name."""
        return self._blobs.delete(blob_path)

    def exists(self, blob_path: str) -> bool:
        """Whether there is a blob of that name."""
        return self._blobs.exists(blob_path)

    def list_blobs(self) -> list[str]:
        """The names of all blobs, in order."""
        return sorted(name for name, _ in self._blobs.list())

    def scan_blobs(self, after: str | None = None, limit: int = 1000) -> list[BlobInfo]:
        """A page of all blobs, in the order of their names: at most ``limit`` after ``after``."""
        from datetime import datetime, timedelta

        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        return [
            BlobInfo(name, size, epoch + timedelta(microseconds=modified))
            for name, size, modified in self._blobs.page(after, limit)
        ]


class FilesystemBlobBackend(_Blobs):
    """Files below a directory, as stores have them.

    Args:
        base_dir: the directory; made if it is not there. Blobs are files below its ``blobs``.
        shard_chars: how many hexadecimal digits name the directories that they are spread over, 0 to 4.
    """

    name = "filesystem"

    def __init__(self, base_dir: str | os.PathLike[str], shard_chars: int = 2) -> None:
        self.base_dir = absolute(directory("base_dir", base_dir))
        if not isinstance(shard_chars, int) or not 0 <= shard_chars <= 4:
            raise CacheConfigurationError(f"shard_chars is {shown(shard_chars)}", hint="give a number from 0 to 4")
        self.shard_chars = shard_chars
        os.makedirs(self.base_dir, mode=0o700, exist_ok=True)  # noqa: PTH103 - pathlib takes long to import
        self._blobs = _core.Blobs.filesystem(self.base_dir, shard_chars)

    def _configure(self, section: CacheBlobConfig, place: str) -> None:
        if absolute(place) != self.base_dir:
            raise CacheUnsupportedError(
                f"the blobs are to be in {self.base_dir!r}, and the store is in {place!r}: that is not available yet",
                hint="give the store's directory as base_dir, or leave blob_backend out",
            )
        section.blob_backend = self.name
        section.shard_chars = self.shard_chars

    def __repr__(self) -> str:
        return f"FilesystemBlobBackend({self.base_dir!r})"


class InMemoryBlobBackend(_Blobs):
    """Blobs in memory. They end with the object, or, where a store is opened with it, with the store."""

    name = "memory"

    def __init__(self) -> None:
        self._blobs = _core.Blobs.memory()

    def _configure(self, section: CacheBlobConfig, place: str) -> None:  # noqa: ARG002 - as the other
        section.blob_backend = self.name

    def __repr__(self) -> str:
        return "InMemoryBlobBackend()"
