"""The contract of blob backends."""

from __future__ import annotations

import io
import os
import tempfile
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CacheUnsupportedError
from ..storage import BlobStore
from ._suite import Suite, check, made, raises

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ..storage.backends.base import BlobBackend

__all__ = ["BlobBackendSuite"]


class BlobBackendSuite(Suite):
    """What a store relies on in a :class:`~cacheness.BlobBackend`."""

    def make(self) -> BlobBackend:
        """A backend without blobs, for one test."""
        raise NotImplementedError(f"{type(self).__name__} has to override make()")

    def _made(self) -> AbstractContextManager[BlobBackend]:
        return made(self.make())

    def test_blobs_come_back(self) -> None:
        with self._made() as backend:
            blobs = [b"", b"\0", b"text\r\n\x1a", bytes(range(256)) * 10, os.urandom(300_000)]
            paths = [backend.write_blob(f"ab{n}-0123456789ab.bin", data) for n, data in enumerate(blobs)]
            check(len(set(paths)) == len(paths), f"two blobs have one path: {paths}")
            for path, data in zip(paths, blobs, strict=True):
                check(backend.read_blob(path) == data, f"{path} has other bytes")
                check(backend.exists(path), f"{path} exists")

    def test_streams_and_files(self) -> None:
        data = os.urandom(2_500_000)
        with self._made() as backend, tempfile.TemporaryDirectory() as directory:
            source, target = Path(directory) / "source", Path(directory) / "target"
            source.write_bytes(data)
            for path in (
                backend.write_blob("a-1.bin", data),
                backend.write_blob_stream("a-2.bin", io.BytesIO(data)),
                backend.write_blob_from_file("a-3.bin", source),
            ):
                check(backend.read_blob(path) == data, "whole")
                with backend.read_blob_stream(path) as stream:
                    check(stream.read() == data, "as a stream")
                backend.read_blob_to_file(path, target)
                check(target.read_bytes() == data, "into a file")
            check(source.read_bytes() == data, "the given file was changed")

    def test_parts_of_a_blob(self) -> None:
        data = os.urandom(100_000)
        with self._made() as backend:
            path = backend.write_blob("a-1.bin", data)
            for offset, size in (
                (0, 0),
                (0, 1),
                (0, 100_000),
                (99_999, 1),
                (50_000, 1000),
                (99_000, 5000),
                (100_000, 5),
            ):
                check(
                    backend.read_blob_range(path, offset, size) == data[offset : offset + size], f"{size} from {offset}"
                )

    def test_a_missing_blob_raises(self) -> None:
        with self._made() as backend:
            path = backend.write_blob("a-1.bin", b"x")
            other = backend.write_blob("a-2.bin", b"y")
            check(backend.delete_blob(path) is True, "it was there")
            check(backend.delete_blob(path) is False, "it was deleted")
            check(not backend.exists(path), "it was deleted")
            raises(FileNotFoundError, "a deleted blob", backend.read_blob, path)
            raises(FileNotFoundError, "a part of a deleted blob", backend.read_blob_range, path, 0, 1)
            check(backend.read_blob(other) == b"y", "the other one is still there")

    def test_a_path_of_another_leads_nowhere(self) -> None:
        with self._made() as backend, tempfile.TemporaryDirectory() as directory:
            path = backend.write_blob("a-1.bin", b"x")
            secret = Path(directory) / "secret"
            secret.write_bytes(b"secret")
            up = "../" * 12
            for hostile in (
                str(secret),
                f"{up}{secret}",
                f"{path}/{up}{secret}",
                f"file://{secret}",
                "",
                "..",
                "/",
                "\0",
            ):
                try:
                    found = backend.read_blob(hostile)
                except Exception:  # noqa: BLE001, S112 - any refusal will do
                    continue
                check(False, f"{hostile!r} was read: {found!r}")
            for hostile in (str(secret), f"{up}{secret}", f"file://{secret}"):
                try:
                    backend.delete_blob(hostile)
                except Exception:  # noqa: BLE001, S112 - as above
                    continue
            check(secret.read_bytes() == b"secret", "a file elsewhere was deleted")

    def test_all_blobs_are_listed(self) -> None:
        from datetime import datetime, timedelta

        with self._made() as backend:
            sizes = {backend.write_blob(f"{n:02}-0123456789ab.bin", b"x" * n): n for n in range(25)}
            paths = sorted(sizes)
            try:
                list(backend.scan_blobs(None, 10))
            except CacheUnsupportedError:
                # It may be left out.
                return
            for limit in (1, 7, 25, 100):
                found: list[str] = []
                after = None
                while page := list(backend.scan_blobs(after, limit)):
                    check(len(page) <= limit, f"a page of {limit} has {len(page)} blobs")
                    for blob in page:
                        path, size, modified = blob
                        check(size == sizes.get(path), f"{path} has {size} bytes")
                        age = datetime.now(UTC) - modified
                        check(abs(age) < timedelta(days=1), f"{path} was written {age} ago")
                        found.append(path)
                    after = found[-1]
                    check(len(found) <= len(paths), "the pages do not end")
                check(found == paths, f"the pages of {limit} have {found}")

    def test_a_store_keeps_its_values(self) -> None:
        with self._made() as backend, BlobStore(":memory:", blob_backend=backend, inline_threshold_bytes=0) as store:
            values = {"small": [1, 2], "text": "x" * 100_000, "large": os.urandom(9 << 20)}
            for key, value in values.items():
                store.put(value, key=key)
            for key, value in values.items():
                check(store.get(key) == value, f"{key} has another value")
                check(store.verify_integrity(key)["valid"], f"{key} is valid")
            store.put([3], key="small")
            check(store.get("small") == [3], "a value is replaced")
            check(store.delete("large") and store.get("large") is None, "a value is deleted")
