"""Backends: the choice of one, the one of an open store, the registries, and blobs without a store."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from cacheness import (
    BlobBackend,
    BlobStore,
    Cache,
    CacheConfig,
    CacheConfigurationError,
    CacheIntegrityError,
    CacheUnsupportedError,
    FilesystemBlobBackend,
    InMemoryBlobBackend,
    JsonBackend,
    MetadataBackend,
    SqliteBackend,
    cacheness,
    create_metadata_backend,
    get_blob_backend,
    get_metadata_backend,
    list_blob_backends,
    list_metadata_backends,
    register_blob_backend,
    register_metadata_backend,
    unregister_blob_backend,
    unregister_metadata_backend,
)


@pytest.mark.parametrize(
    ("backend", "name", "file"),
    [
        (JsonBackend(), "json", "cache_metadata.json"),
        (SqliteBackend(), "sqlite", "cache_metadata.db"),
        (SqliteBackend(":memory:"), "sqlite_memory", None),
        (create_metadata_backend("json"), "json", "cache_metadata.json"),
        (create_metadata_backend("auto"), "sqlite", "cache_metadata.db"),
        (get_metadata_backend("sqlite"), "sqlite", "cache_metadata.db"),
        (get_metadata_backend("memory"), "memory", None),
        (get_metadata_backend("sqlite_memory"), "sqlite_memory", None),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_store_is_opened_with_a_backend(backend: Any, name: str, file: str | None, tmp_path: Path) -> None:
    assert isinstance(backend, MetadataBackend)
    for number, opened in enumerate(
        (
            lambda place: cacheness(cache_dir=place, metadata_backend=backend),
            lambda place: cacheness(CacheConfig(cache_dir=place, metadata_backend=backend)),
            lambda place: BlobStore(place, backend),
            lambda place: BlobStore(place, metadata_backend=backend),
        )
    ):
        place = tmp_path / str(number)
        with opened(place) as store:
            key = store.put([1, 2]) if isinstance(store, BlobStore) else store.put([1, 2], x=1)
            seen = store.metadata_backend
            assert isinstance(seen, MetadataBackend)
            assert seen.get_stats()["backend_type"] == seen.name == name
            assert repr(seen) == f"<{name} metadata backend of {str(place)!r}>"
            assert hasattr(seen, "engine") == (name == "sqlite")
            assert seen.get_entry(key)["cache_key"] == key
            assert [entry["cache_key"] for entry in seen.list_entries()] == [key]
            assert (seen.remove_entry(key), seen.remove_entry(key)) == (True, False)
            assert seen.get_entry(key) is None
            with pytest.raises(CacheUnsupportedError, match="no put_entry"):
                seen.put_entry(key, {})
        assert place.exists() == (file is not None)
        assert file is None or (place / file).exists()
    with pytest.raises(CacheUnsupportedError, match="get_entry works in an open store only"):
        backend.get_entry("0" * 16)


def test_a_file_of_a_backend_is_the_one_in_the_directory(tmp_path: Path) -> None:
    for good in (JsonBackend(tmp_path / "a"), JsonBackend(str(tmp_path / "a" / "cache_metadata.json"))):
        with Cache(tmp_path / "a", metadata_backend=good) as cache:
            assert cache.get_stats()["backend_type"] == "json"
    with pytest.raises(CacheConfigurationError, match=r"metadata_file is .*other"):
        Cache(tmp_path / "a", metadata_backend=JsonBackend(tmp_path / "other.json"))
    with Cache(tmp_path / "b", metadata_backend=SqliteBackend(tmp_path / "x.db")) as cache:
        cache.put(1, x=1)
    assert (tmp_path / "x.db").exists()
    assert not (tmp_path / "b" / "cache_metadata.db").exists()
    with pytest.raises(CacheConfigurationError, match=r"db_file is .*, and database_url is"):
        Cache(tmp_path / "c", metadata_backend=SqliteBackend(tmp_path / "y.db"), database_url="z.db")
    with pytest.raises(CacheConfigurationError, match="db_file is 5"):
        SqliteBackend(5)  # type: ignore[arg-type]
    with pytest.raises(CacheConfigurationError, match="the metadata backend 'json'"):
        create_metadata_backend("json", colour="red")
    with pytest.raises(CacheUnsupportedError, match="'postgresql' is made by a cache alone"):
        create_metadata_backend("postgresql")


def test_handlers_are_seen_from_outside(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache, BlobStore(tmp_path / "store") as store:
        for opened in (cache, store):
            assert opened.handlers is opened.handler_registry
            assert "numpy_arrays" in repr(opened.handlers)
        assert store.backend.name == "sqlite"
        for opened, name in ((cache, "handlers"), (cache, "metadata_backend"), (store, "backend")):
            with pytest.raises(AttributeError):
                setattr(opened, name, None)


class Mine(MetadataBackend):
    """Entries of mine.

    And more.
    """

    def __init__(self, url: str = "x") -> None:
        self.url = url

    def get_entry(self, cache_key: str) -> dict[str, Any] | None:
        return None

    def put_entry(self, cache_key: str, entry_data: dict[str, Any]) -> None:
        pass

    def remove_entry(self, cache_key: str) -> bool:
        return False

    def list_entries(self) -> list[dict[str, Any]]:
        return []


class Blobs(BlobBackend):
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def write_blob(self, blob_id: str, data: bytes) -> str:
        self.kept[f"mine:{blob_id}"] = data
        return f"mine:{blob_id}"

    def read_blob(self, blob_path: str) -> bytes:
        return self.kept[blob_path]

    def delete_blob(self, blob_path: str) -> bool:
        return self.kept.pop(blob_path, None) is not None


def test_a_registry_remembers_a_class() -> None:
    register_metadata_backend("mine", Mine)
    register_blob_backend("mine", Blobs, "Blobs of mine.", ["json"])
    try:
        made = get_metadata_backend("mine", url="u")
        assert isinstance(made, Mine) and made.url == "u"
        assert isinstance(get_blob_backend("mine"), Blobs)
        assert [b for b in list_metadata_backends() if b["name"] == "mine"] == [
            {"name": "mine", "description": "Entries of mine.", "required_packages": [], "is_builtin": False}
        ]
        assert [b for b in list_blob_backends() if not b["is_builtin"]] == [
            {"name": "mine", "description": "Blobs of mine.", "required_packages": ["json"], "is_builtin": False}
        ]
        register_blob_backend("mine", Blobs, required_packages=["json", "no_such_package"])
        with pytest.raises(CacheUnsupportedError, match="'mine' needs no_such_package"):
            get_blob_backend("mine")
        with pytest.raises(CacheUnsupportedError, match="'mine' needs no_such_package"):
            Cache(":memory:", blob_backend="mine")
    finally:
        assert unregister_metadata_backend("mine") and unregister_blob_backend("mine")
    assert not unregister_metadata_backend("mine") and not unregister_blob_backend("mine")
    with pytest.raises(CacheConfigurationError, match="unknown blob backend 'mine'"):
        get_blob_backend("mine")


def test_a_name_of_this_release_is_taken_and_one_of_a_later_is_not() -> None:
    for register, kind, name in (
        (register_metadata_backend, Mine, "sqlite"),
        (register_metadata_backend, Mine, "memory"),
        (register_blob_backend, Blobs, "filesystem"),
    ):
        with pytest.raises(CacheConfigurationError, match=r"is a .* backend of this release"):
            register(name, kind)  # type: ignore[operator]
    for wrong in (object, Blobs, Mine(), None):
        with pytest.raises(ValueError, match="derived from MetadataBackend"):
            register_metadata_backend("wrong", wrong)  # type: ignore[arg-type]
    assert not unregister_metadata_backend("sqlite") and not unregister_blob_backend("memory")
    register_metadata_backend("postgresql", Mine)
    assert isinstance(get_metadata_backend("postgresql"), Mine)
    assert unregister_metadata_backend("postgresql")
    with pytest.raises(CacheUnsupportedError):
        get_metadata_backend("postgresql")
    assert "postgresql" in [backend["name"] for backend in list_metadata_backends()]


@pytest.mark.parametrize("made", [lambda path: FilesystemBlobBackend(path), lambda path: InMemoryBlobBackend(), lambda path: get_blob_backend("filesystem", base_dir=path, shard_chars=0), lambda path: get_blob_backend("memory")])  # fmt: skip
def test_blobs_without_a_store(made: Any, tmp_path: Path) -> None:
    blobs = made(tmp_path / "blobs")
    assert isinstance(blobs, BlobBackend)
    where = [
        blobs.write_blob(name, data) for name, data in (("abc", b"one"), ("abc", b""), ("Größe/../x", b"\0" * 100_000))
    ]
    assert len(set(where)) == 3, "no blob is overwritten"
    assert [blobs.read_blob(name) for name in where] == [b"one", b"", b"\0" * 100_000]
    assert blobs.list_blobs() == sorted(where)
    assert blobs.read_blob_stream(where[0]).read() == b"one"
    streamed = blobs.write_blob_stream("s", io.BytesIO(b"stream"))
    blobs.read_blob_to_file(streamed, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"stream"
    assert blobs.read_blob(blobs.write_blob_from_file("f", tmp_path / "file")) == b"stream"
    assert (blobs.exists(where[0]), blobs.delete_blob(where[0]), blobs.exists(where[0])) == (True, True, False)
    assert blobs.delete_blob(where[0]) is False
    with pytest.raises(FileNotFoundError):
        blobs.read_blob(where[0])
    with pytest.raises(CacheConfigurationError, match="blob_id is ''"):
        blobs.write_blob("", b"")


def test_blobs_lead_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    blobs = FilesystemBlobBackend(tmp_path / "blobs")
    for name in ("../secret", str(tmp_path / "secret"), "blobs/../../secret"):
        with pytest.raises(CacheIntegrityError):
            blobs.read_blob(name)
    for wrong in (5, -1):
        with pytest.raises(CacheConfigurationError, match="shard_chars is"):
            FilesystemBlobBackend(tmp_path, shard_chars=wrong)


def test_blobs_of_a_store_are_in_its_directory(tmp_path: Path) -> None:
    place = tmp_path / "store"
    with BlobStore(place, blob_backend=FilesystemBlobBackend(place, shard_chars=0)) as store:
        store.put(os.urandom(100_000), key="one")
        assert len(list((place / "blobs").iterdir())) == 1
        assert FilesystemBlobBackend(place).list_blobs()
    with pytest.raises(CacheUnsupportedError, match="the blobs are to be in"):
        BlobStore(tmp_path / "other", blob_backend=FilesystemBlobBackend(tmp_path / "blobs"))
    with BlobStore(":memory:", blob_backend=InMemoryBlobBackend()) as store:
        store.put(b"x" * 100_000, key="one")


def test_what_a_backend_lacks_is_named() -> None:
    with pytest.raises(CacheUnsupportedError, match="the metadata backend MetadataBackend has no get_entry"):
        MetadataBackend().get_entry("x")
    blobs = Blobs()
    assert blobs.read_blob_stream(blobs.write_blob_stream("a", io.BytesIO(b"b"))).read() == b"b"
    for call in (BlobBackend().read_blob, BlobBackend().delete_blob, lambda path: blobs.scan_blobs(path)):
        with pytest.raises(CacheUnsupportedError, match=r"the blob backend .* has no"):
            call("a")
