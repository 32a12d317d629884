"""Between the engine and backends that are written in Python: what the engine calls, and what it is given.

A record is a dictionary in Python and a JSON object in the engine. Results are checked here, so that a mistake in a
backend is reported with its name and its method.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from . import _core
from ._options import shown
from .errors import CacheMetadataError, CacheStorageError

if TYPE_CHECKING:
    from .storage.backends.base import BlobBackend, MetadataBackend

#: The fields of records; a backend may add its own, which the engine does not see.
_FIELDS = frozenset(_core.RECORD_FIELDS)


def records(backend: MetadataBackend, keys: list[str]) -> list[str | None]:
    """The records of these keys, as JSON."""
    found = backend.get_entries(keys)
    if not isinstance(found, list | tuple) or len(found) != len(keys):
        raise _wrong(backend, "get_entries", found, f"give a list of {len(keys)} dictionaries, None for missing ones")
    return [None if entry is None else _text(backend, "get_entries", entry) for entry in found]


def scan(backend: MetadataBackend, prefix: str, after: str | None, limit: int) -> list[str]:
    """A page of records, as JSON."""
    found = backend.scan_entries(prefix, after, limit)
    if not isinstance(found, list | tuple) or len(found) > limit:
        raise _wrong(backend, "scan_entries", found, f"give a list of at most {limit} dictionaries")
    return [_text(backend, "scan_entries", entry) for entry in found]


def commit(
    backend: MetadataBackend, changes: list[tuple[str, str | None]], expected: list[tuple[str, str | None]]
) -> bool:
    """Makes all changes, or none if a revision is another than expected."""
    records = {key: None if text is None else json.loads(text) for key, text in changes}
    done = backend.commit(records, dict(expected))
    if not isinstance(done, bool):
        raise _wrong(backend, "commit", done, "give True or False")
    return done


def _text(backend: MetadataBackend, method: str, entry: Any) -> str:
    if not isinstance(entry, dict):
        raise _wrong(backend, method, entry, "give a dictionary")
    try:
        return json.dumps({name: value for name, value in entry.items() if name in _FIELDS}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise _wrong(backend, method, entry, f"give dictionaries as they were given to the backend ({error})") from None


def _wrong(backend: Any, method: str, found: Any, hint: str) -> CacheMetadataError:
    return CacheMetadataError(f"{type(backend).__name__}.{method} returned {shown(found)}", hint)


def written(backend: BlobBackend, method: str, path: Any) -> str:
    """The path of a new blob, as a backend has returned it."""
    if not isinstance(path, str) or not path or "\0" in path:
        raise CacheStorageError(
            f"{type(backend).__name__}.{method} returned {shown(path)}", "give the path of the blob"
        )
    return path


def write(backend: BlobBackend, blob_id: str, data: bytes) -> str:
    """Writes a blob from memory."""
    return written(backend, "write_blob", backend.write_blob(blob_id, data))


def write_file(backend: BlobBackend, blob_id: str, path: str) -> str:
    """Writes a blob from a file."""
    from pathlib import Path

    return written(backend, "write_blob_from_file", backend.write_blob_from_file(blob_id, Path(path)))


def read(backend: BlobBackend, path: str) -> bytes:
    """The bytes of a blob."""
    return _bytes(backend, "read_blob", backend.read_blob(path))


def read_range(backend: BlobBackend, path: str, offset: int, size: int) -> bytes:
    """Some bytes of a blob; fewer if it ends before."""
    return _bytes(backend, "read_blob_range", backend.read_blob_range(path, offset, size))


def read_file(backend: BlobBackend, path: str, file_path: str) -> None:
    """Writes a blob into a file."""
    from pathlib import Path

    backend.read_blob_to_file(path, Path(file_path))


def _bytes(backend: BlobBackend, method: str, found: Any) -> bytes:
    if isinstance(found, bytes):
        return found
    if isinstance(found, bytearray | memoryview):
        return bytes(found)
    raise CacheStorageError(f"{type(backend).__name__}.{method} returned {shown(found)}", "give bytes")


def blobs(backend: BlobBackend, after: str | None, limit: int) -> list[tuple[str, int, int]]:
    """A page of all blobs: path, size in bytes, and time of writing in microseconds since 1970."""
    found = backend.scan_blobs(after, limit)
    page = []
    for blob in found:
        path, size, modified = blob
        if not isinstance(modified, datetime) or modified.tzinfo is None:
            raise CacheStorageError(
                f"{type(backend).__name__}.scan_blobs returned the time {shown(modified)}",
                "give a datetime with a time zone",
            )
        page.append((path, size, (modified - _EPOCH) // _MICROSECOND))
    return page


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def ranged(backend: BlobBackend) -> bool:
    """Whether a backend reads parts of a blob itself."""
    return type(backend)._has_own("read_blob_range")
