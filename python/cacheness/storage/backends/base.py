"""What metadata backends and blob backends derive from.

Stores cannot be given backends of a program's own yet: one may be written, registered and used by itself, and opening a
store with it raises :class:`~cacheness.CacheUnsupportedError`.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, NoReturn

from ...errors import CacheUnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BlobBackend", "MetadataBackend"]


class MetadataBackend:
    """Keeps what is known of entries, and never touches their payloads.

    A backend overrides the methods that it has. The others raise :class:`~cacheness.CacheUnsupportedError`.
    """

    _is_backend: ClassVar[bool] = True

    def load_metadata(self) -> dict[str, Any]:
        """All that is kept."""
        self._lacks("load_metadata")

    def save_metadata(self, metadata: dict[str, Any]) -> None:  # noqa: ARG002 - for those who override it
        """Replaces all that is kept."""
        self._lacks("save_metadata")

    def get_entry(self, cache_key: str) -> dict[str, Any] | None:  # noqa: ARG002 - as above, and below
        """What is known of an entry; ``None`` if there is none."""
        self._lacks("get_entry")

    def put_entry(self, cache_key: str, entry_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Files an entry, replacing one of the same key."""
        self._lacks("put_entry")

    def remove_entry(self, cache_key: str) -> bool:  # noqa: ARG002
        """Removes an entry; ``False`` if there is none."""
        self._lacks("remove_entry")

    def list_entries(self) -> list[dict[str, Any]]:
        """What is known of all entries."""
        self._lacks("list_entries")

    def get_stats(self) -> dict[str, Any]:
        """Totals."""
        self._lacks("get_stats")

    def close(self) -> None:
        """Releases all resources."""

    def _lacks(self, method: str) -> NoReturn:
        raise CacheUnsupportedError(f"the metadata backend {type(self).__name__} has no {method}")


class BlobBackend:
    """Keeps payloads under names that it makes, and never sees an entry.

    A backend overrides :meth:`write_blob`, :meth:`read_blob`, :meth:`delete_blob` and :meth:`exists`; the methods of
    streams and files are made of these unless it has better ones.
    """

    _is_backend: ClassVar[bool] = True

    def write_blob(self, blob_id: str, data: bytes) -> str:  # noqa: ARG002 - for those who override it
        """Writes a new blob and returns where it is, for the other methods."""
        self._lacks("write_blob")

    def read_blob(self, blob_path: str) -> bytes:  # noqa: ARG002
        """The bytes of a blob.

        Raises:
            FileNotFoundError: there is none.
        """
        self._lacks("read_blob")

    def delete_blob(self, blob_path: str) -> bool:  # noqa: ARG002
        """Removes a blob; ``False`` if there is none."""
        self._lacks("delete_blob")

    def exists(self, blob_path: str) -> bool:  # noqa: ARG002
        """Whether there is such a blob."""
        self._lacks("exists")

    def write_blob_stream(self, blob_id: str, stream: BinaryIO) -> str:
        """Writes a new blob of all that a stream has, and returns where it is."""
        return self.write_blob(blob_id, stream.read())

    def read_blob_stream(self, blob_path: str) -> BinaryIO:
        """The bytes of a blob as a stream."""
        return io.BytesIO(self.read_blob(blob_path))

    def write_blob_from_file(self, blob_id: str, file_path: Path) -> str:
        """Writes a new blob of a file's bytes, and returns where it is."""
        with open(file_path, "rb") as stream:  # noqa: PTH123 - a path may be text
            return self.write_blob_stream(blob_id, stream)

    def read_blob_to_file(self, blob_path: str, file_path: Path) -> None:
        """Writes the bytes of a blob into a file."""
        with self.read_blob_stream(blob_path) as stream, open(file_path, "wb") as file:  # noqa: PTH123
            while piece := stream.read(1 << 20):
                file.write(piece)

    def close(self) -> None:
        """Releases all resources."""

    def _lacks(self, method: str) -> NoReturn:
        raise CacheUnsupportedError(f"the blob backend {type(self).__name__} has no {method}")
