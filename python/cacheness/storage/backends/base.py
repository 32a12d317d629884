"""What metadata backends and blob backends derive from: see ``docs/plugins.md``.

A store uses a backend of a program's own like any other: give its name after registering its class, or an instance.
"""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, NamedTuple, NoReturn

from ...errors import CacheUnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

__all__ = ["BlobBackend", "BlobInfo", "MetadataBackend"]


class _Backend:
    """What both kinds have in common. A class attribute ``name`` names a backend that is not registered."""

    _is_backend: ClassVar[bool] = True
    #: The methods of which every class has to override one each.
    _essential: ClassVar[tuple[tuple[str, ...], ...]]
    #: Its base class, for messages.
    _kind: ClassVar[str]

    @classmethod
    def _has_own(cls, method: str) -> bool:
        """Whether the class overrides a method of its base class."""
        return not any(getattr(cls, method) is base.__dict__.get(method) for base in (MetadataBackend, BlobBackend))

    @classmethod
    def _missing(cls) -> list[str]:
        """The essential methods that the class does not override; of alternatives, all are named."""
        return [" or ".join(forms) for forms in cls._essential if not any(cls._has_own(method) for method in forms)]

    def close(self) -> None:
        """Releases all resources. A store that is closed closes its backends."""

    def _lacks(self, method: str) -> NoReturn:
        raise CacheUnsupportedError(f"the {self._kind} backend {type(self).__name__} has no {method}")


class MetadataBackend(_Backend):
    """Keeps entries, and never touches their payloads.

    A class overrides :meth:`get_entry`, :meth:`put_entry`, :meth:`remove_entry` and :meth:`list_entries`. All other
    methods are made of these; a backend overrides those that it does better.

    An entry is a dictionary of text, numbers, booleans and nested ones, which JSON can hold. The backend returns it as
    it was given. It may add fields of its own. The field ``revision`` changes with every write.

    The engine keeps a few records of its own beside the entries: how many entries there are, which blobs they name.
    Their keys begin with ``~cacheness/``. A backend treats them as entries.

    Threads use a backend at once. After a fork the child uses it too: a backend with connections reopens them.
    """

    _kind = "metadata"
    _essential = (("get_entry",), ("put_entry",), ("remove_entry",), ("list_entries",))

    #: Whether several machines can use the data. Payloads on a server need such a metadata backend.
    is_remote: ClassVar[bool] = True

    def get_entry(self, cache_key: str) -> dict[str, Any] | None:  # noqa: ARG002 - for those who override it
        """The entry of this key; ``None`` if there is none. Includes every earlier change, also by other processes."""
        self._lacks("get_entry")

    def put_entry(self, cache_key: str, entry_data: dict[str, Any]) -> None:  # noqa: ARG002 - as above, and below
        """Stores an entry, replacing that of the same key."""
        self._lacks("put_entry")

    def remove_entry(self, cache_key: str) -> bool:  # noqa: ARG002
        """Removes an entry; ``False`` if there is none."""
        self._lacks("remove_entry")

    def list_entries(self) -> Iterable[dict[str, Any]]:
        """All entries, in any order."""
        self._lacks("list_entries")

    def get_entries(self, cache_keys: list[str]) -> list[dict[str, Any] | None]:
        """The entries of these keys, in their order. Override it where one request can read them all."""
        return [self.get_entry(key) for key in cache_keys]

    def scan_entries(self, prefix: str = "", after: str | None = None, limit: int = 1000) -> list[dict[str, Any]]:
        """A page of the entries whose keys begin with ``prefix``, in the order of their keys (by code point).

        Override it where the storage finds a page without reading all entries: the default reads all of them for each
        page.

        Args:
            prefix: the beginning of the keys.
            after: only keys greater than this one.
            limit: the maximum number of entries.
        """
        import heapq

        found = (
            entry
            for entry in self.list_entries()
            if entry["cache_key"].startswith(prefix) and (after is None or entry["cache_key"] > after)
        )
        return heapq.nsmallest(limit, found, key=lambda entry: entry["cache_key"])

    def commit(self, changes: dict[str, dict[str, Any] | None], expected: dict[str, str | None]) -> bool:
        """Makes all changes if no entry has changed since it was read; otherwise changes nothing.

        Override it where the storage has transactions: the default does it step by step under :meth:`lock`. A crash in
        between leaves some of the changes made; no entry is lost then, and a blob may be left that nothing removes.

        Args:
            changes: the new entries by key; ``None`` removes an entry.
            expected: the ``revision`` of each entry that was read; ``None`` where there was none.

        Returns:
            ``False`` if an entry has another revision: the engine reads again and repeats the commit.
        """
        with self.lock():
            keys = list(expected)
            for key, entry in zip(keys, self.get_entries(keys), strict=True):
                if (None if entry is None else entry["revision"]) != expected[key]:
                    return False
            for key, entry in changes.items():
                if entry is None:
                    self.remove_entry(key)
                else:
                    self.put_entry(key, entry)
            return True

    def lock(self) -> AbstractContextManager[Any]:
        """Excludes all other writers of the store.

        Override it, or :meth:`commit`, where several processes use the data: the default excludes only the threads of
        this process that use this object.
        """
        lock: threading.RLock = self.__dict__.setdefault("_lock", threading.RLock())
        return lock

    def get_stats(self) -> dict[str, Any]:
        """Totals: ``total_entries`` and ``total_size_bytes``."""
        sizes = [entry["file_size"] for entry in self.list_entries() if "file_size" in entry]
        return {"total_entries": len(sizes), "total_size_bytes": sum(sizes)}

    def load_metadata(self) -> dict[str, Any]:
        """Everything that is kept: ``{"entries": {key: entry}}``."""
        return {"entries": {entry["cache_key"]: entry for entry in self.list_entries()}}

    def save_metadata(self, metadata: dict[str, Any]) -> None:
        """Replaces everything that is kept by what :meth:`load_metadata` has returned."""
        wanted = metadata["entries"]
        with self.lock():
            for entry in list(self.list_entries()):
                if entry["cache_key"] not in wanted:
                    self.remove_entry(entry["cache_key"])
            for key, entry in wanted.items():
                self.put_entry(key, entry)


class BlobInfo(NamedTuple):
    """A blob in a listing."""

    #: Where it is, as :meth:`BlobBackend.write_blob` returned it.
    path: str
    #: Bytes.
    size: int
    #: When it was written, with a time zone.
    modified: datetime


class BlobBackend(_Backend):
    """Keeps payloads, and never sees an entry.

    A class overrides one of the methods that write a blob, one of those that read a blob, and :meth:`delete_blob`. All
    other methods are made of these; a backend overrides those that it does better.

    A path comes back from the metadata of the store, which others may be able to change: a backend refuses a path that
    it cannot have made.

    Threads use a backend at once. After a fork the child uses it too: a backend with connections reopens them.
    """

    _kind = "blob"
    _essential = (
        ("write_blob", "write_blob_stream", "write_blob_from_file"),
        ("read_blob", "read_blob_stream", "read_blob_to_file"),
        ("delete_blob",),
    )

    #: Whether several machines can use the data.
    is_remote: ClassVar[bool] = False
    #: How long a blob is kept after its entry was removed: another reader may just have looked the entry up.
    grace_seconds: ClassVar[float] = 600.0

    def write_blob(self, blob_id: str, data: bytes) -> str:
        """Writes a new blob and returns its path, for the other methods. When it returns, the blob is stored.

        Args:
            blob_id: a name that no other blob has: lower-case letters, digits, ``-``, ``_`` and ``.``.
            data: the bytes.
        """
        if self._has_own("write_blob_stream"):
            return self.write_blob_stream(blob_id, io.BytesIO(data))
        if not self._has_own("write_blob_from_file"):
            self._lacks("write_blob")
        return _as_file(data, lambda path: self.write_blob_from_file(blob_id, path))

    def write_blob_stream(self, blob_id: str, stream: BinaryIO) -> str:
        """Writes a new blob of all that a stream has, and returns its path."""
        if self._has_own("write_blob") or not self._has_own("write_blob_from_file"):
            return self.write_blob(blob_id, stream.read())
        return _as_file(stream, lambda path: self.write_blob_from_file(blob_id, path))

    def write_blob_from_file(self, blob_id: str, file_path: Path) -> str:
        """Writes a new blob of a file's bytes, and returns its path. The engine calls it for blobs over 8 MiB."""
        with open(file_path, "rb") as stream:  # noqa: PTH123 - a path may be text
            return self.write_blob_stream(blob_id, stream)

    def read_blob(self, blob_path: str) -> bytes:
        """The bytes of a blob.

        Raises:
            FileNotFoundError: there is none.
        """
        if self._has_own("read_blob_stream"):
            with self.read_blob_stream(blob_path) as stream:
                return stream.read()
        if not self._has_own("read_blob_to_file"):
            self._lacks("read_blob")
        with _from_file(lambda path: self.read_blob_to_file(blob_path, path)) as file:
            return file.read()

    def read_blob_stream(self, blob_path: str) -> BinaryIO:
        """The bytes of a blob as a stream."""
        if self._has_own("read_blob") or not self._has_own("read_blob_to_file"):
            return io.BytesIO(self.read_blob(blob_path))
        return _from_file(lambda path: self.read_blob_to_file(blob_path, path))

    def read_blob_to_file(self, blob_path: str, file_path: Path) -> None:
        """Writes the bytes of a blob into a file. The engine calls it for blobs over 8 MiB."""
        with self.read_blob_stream(blob_path) as stream, open(file_path, "wb") as file:  # noqa: PTH123
            while piece := stream.read(1 << 20):
                file.write(piece)

    def read_blob_range(self, blob_path: str, offset: int, size: int) -> bytes:
        """At most ``size`` bytes of a blob from ``offset`` on. A backend that can read parts overrides it: the engine
        reads whole blobs otherwise.

        Raises:
            FileNotFoundError: there is no such blob.
        """
        with self.read_blob_stream(blob_path) as stream:
            stream.seek(offset)
            return stream.read(size)

    def delete_blob(self, blob_path: str) -> bool:  # noqa: ARG002 - for those who override it
        """Removes a blob; ``False`` if there is none."""
        self._lacks("delete_blob")

    def exists(self, blob_path: str) -> bool:
        """Whether there is such a blob. Override it: the default reads the blob."""
        try:
            self.read_blob_stream(blob_path).close()
        except FileNotFoundError:
            return False
        return True

    def scan_blobs(self, after: str | None = None, limit: int = 1000) -> Iterable[BlobInfo]:  # noqa: ARG002
        """A page of all blobs, in the order of their paths (by code point): at most ``limit`` after ``after``.

        Without it, blobs that a crash has left cannot be found and removed.
        """
        self._lacks("scan_blobs")


def _as_file(data: bytes | BinaryIO, use: Callable[[Path], str]) -> str:
    """Calls ``use`` with a file of these bytes."""
    # Imported late: they take long.
    import shutil
    import tempfile
    from pathlib import Path

    with tempfile.NamedTemporaryFile() as file:
        shutil.copyfileobj(io.BytesIO(data) if isinstance(data, bytes) else data, file, 1 << 20)
        file.flush()
        return use(Path(file.name))


def _from_file(fill: Callable[[Path], None]) -> BinaryIO:
    """The open file that ``fill`` has written. It has no name any more."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "blob"
        fill(path)
        return path.open("rb")
