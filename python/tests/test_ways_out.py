"""What is wrong with a store is said with the way out: what is lost, what to put back or to remove."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cacheness import BlobStore, Cache
from cacheness.errors import (
    CacheError,
    CacheIntegrityError,
    CacheMetadataError,
    CacheSignatureError,
    NotAStoreError,
)


def _filled(place: Path, backend: str = "sqlite") -> None:
    with Cache(place, backend=backend) as cache:
        cache.put("text", cache_key="a")
        cache.put(np.random.default_rng(0).random(50_000), cache_key="b")


def _says(error: BaseException, *words: str) -> None:
    for word in words:
        assert word in str(error), str(error)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4096])


@pytest.mark.parametrize(
    ("backend", "damage", "kind"),
    [
        ("sqlite", lambda path: path.write_bytes(b"x" * 8192), NotAStoreError),
        ("sqlite", _truncate, CacheMetadataError),
        ("sqlite", lambda path: path.write_bytes(b""), CacheIntegrityError),
        ("sqlite", lambda path: path.unlink(), CacheIntegrityError),
        ("json", lambda path: path.write_text("{"), CacheMetadataError),
        ("json", lambda path: path.write_bytes(b"\xff" * 100), CacheMetadataError),
    ],
)
@pytest.mark.parametrize("kind_of_handle", [Cache, BlobStore])
def test_metadata_that_is_damaged_or_gone(
    tmp_path: Path,
    backend: str,
    damage: Callable[[Path], object],
    kind: type[CacheError],
    kind_of_handle: type[Cache] | type[BlobStore],
) -> None:
    _filled(tmp_path / "c", backend)
    path = tmp_path / "c" / ("cache_metadata.db" if backend == "sqlite" else "cache_metadata.json")
    damage(path)
    with pytest.raises(kind) as raised, kind_of_handle(tmp_path / "c") as handle:
        (handle.list_entries if isinstance(handle, Cache) else handle.list)()
    _says(raised.value, path.name, "copy", "blobs", "all entries are lost")


def test_a_manifest_that_is_damaged(tmp_path: Path) -> None:
    _filled(tmp_path / "c")
    manifest = tmp_path / "c" / "cacheness.toml"
    manifest.write_text("format = [")
    with pytest.raises(NotAStoreError) as raised:
        Cache(tmp_path / "c")
    _says(raised.value, "cacheness.toml is damaged", "remove it", "nothing is lost")
    manifest.unlink()
    assert Cache(tmp_path / "c").get(cache_key="a") == "text"


def test_a_signing_key_that_is_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _filled(tmp_path / "c")
    key = tmp_path / "c" / "cache_signing_key.bin"
    copy = key.read_bytes()
    key.unlink()
    with caplog.at_level(logging.WARNING, "cacheness"):
        cache = Cache(tmp_path / "c")
        sum(range(1000))
    said = caplog.text
    for word in ("cache_signing_key.bin", "is gone", "2 entries", "copy", "clear"):
        assert word in said, said
    assert cache.get(cache_key="a") is None
    with BlobStore(tmp_path / "c") as store, pytest.raises(CacheSignatureError) as raised:
        store.get("a")
    _says(raised.value, "signature is wrong", "cache_signing_key.bin", "lost", "copy", "put the value again")
    cache.close()
    caplog.clear()
    key.write_bytes(copy)
    with Cache(tmp_path / "c") as cache:
        assert cache.get(cache_key="a") == "text"
    assert "is gone" not in caplog.text
    key.write_bytes(b"short")
    with pytest.raises(CacheSignatureError) as raised:
        Cache(tmp_path / "c")
    _says(raised.value, "cache_signing_key.bin", "has 5 bytes", "copy", "lost", "remove")


def test_a_signing_key_that_is_lost_to_a_reader(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _filled(tmp_path / "c")
    (tmp_path / "c" / "cache_signing_key.bin").unlink()
    with caplog.at_level(logging.WARNING, "cacheness"), Cache(tmp_path / "c", read_only=True) as cache:
        assert cache.get(cache_key="a") == "text"
    assert "is gone" in caplog.text
    assert "pickles are not read" in caplog.text
    assert not (tmp_path / "c" / "cache_signing_key.bin").exists()


def test_a_store_without_entries_lacks_no_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "cacheness"):
        Cache(tmp_path / "c").close()
        (tmp_path / "c" / "cache_signing_key.bin").unlink()
        Cache(tmp_path / "c").close()
        with Cache(tmp_path / "d", enable_entry_signing=False) as cache:
            cache.put(1, x=1)
        Cache(tmp_path / "d").close()
        sum(range(1000))
    assert caplog.text == ""


def test_a_directory_of_somebody_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "letter.txt").write_text("x")
    with pytest.raises(NotAStoreError) as raised:
        Cache(tmp_path, read_only=True)
    _says(raised.value, "no cacheness store", "letter.txt", "cacheness.toml")
    with caplog.at_level(logging.WARNING, "cacheness"):
        Cache(tmp_path).close()
        sum(range(1000))
    for word in (str(tmp_path), "not empty", "letter.txt", "remove"):
        assert word in caplog.text, caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "cacheness"):
        Cache(tmp_path).close()
        sum(range(1000))
    assert caplog.text == ""
    assert (tmp_path / "letter.txt").read_text() == "x"


def test_a_database_of_another_program(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "cache_metadata.db")
    connection.execute("CREATE TABLE letters (text TEXT)")
    connection.close()
    before = (tmp_path / "cache_metadata.db").read_bytes()
    with pytest.raises(NotAStoreError) as raised:
        Cache(tmp_path)
    _says(raised.value, "another program", "another directory")
    assert (tmp_path / "cache_metadata.db").read_bytes() == before
