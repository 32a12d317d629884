"""Signatures and pickles: nothing runs that nobody vouches for."""

from __future__ import annotations

import logging
import os
import pickle
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from cacheness import (
    BlobStore,
    Cache,
    CacheConfig,
    CacheError,
    CacheIntegrityError,
    CachePickleError,
    CacheSerializationError,
    CacheSignatureError,
    SecurityConfig,
    errors,
)


class Point:
    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x

    __hash__ = None  # type: ignore[assignment]


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return (exec, ("import os; os.environ['CACHENESS_TEST_BOMB'] = 'exploded'",))


def tamper(directory: Path, sql: str) -> None:
    with sqlite3.connect(directory / "cache_metadata.db") as db:
        assert db.execute(sql).rowcount > 0
    db.close()


@pytest.fixture(autouse=True)
def _defused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CACHENESS_TEST_BOMB", raising=False)


def test_objects_are_pickled_and_signed(cache: Cache) -> None:
    cache.put(Point(3), x=1)
    assert cache.get(x=1) == Point(3)
    entry = cache.get_metadata(x=1)
    assert entry is not None
    assert (entry["storage_format"], entry["handler_used"]) == ("pickle", "object_pickle")
    assert entry["object_type"].endswith("Point")


class Unnamed(type):
    def __getattribute__(cls, name: str) -> Any:
        if name == "__module__":
            raise RuntimeError("no module")
        return super().__getattribute__(name)


NAMELESS = {
    "no text": type("NoText", (), {"__module__": None, "__reduce__": lambda self: (list, ())}),
    "no valid text": type("NoValidText", (), {"__module__": "a\udc80", "__reduce__": lambda self: (list, ())}),
    "raises": Unnamed("Raises", (), {"__reduce__": lambda self: (list, ())}),
}


@pytest.mark.parametrize("name", NAMELESS)
def test_a_class_without_a_name_has_values_all_the_same(cache: Cache, name: str) -> None:
    cache.put(NAMELESS[name](), x=1)
    assert cache.get(x=1) == []
    entry = cache.get_metadata(x=1)
    assert entry is not None
    module, _, own = entry["object_type"].rpartition(".")
    assert own == NAMELESS[name].__name__ and module != NAMELESS["no valid text"].__module__


def test_pickles_can_be_refused_both_ways(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache.put(Bomb(), x=1)
        cache.put([1, 2], x=2)
    with Cache(tmp_path, allow_pickle=False) as strict:
        with pytest.raises(CachePickleError, match="can only be pickled"):
            strict.put(Point(1), x=3)
        with pytest.raises(CachePickleError, match="allow_pickle is off"):
            strict.get(x=1)
        assert strict.get(x=2) == [1, 2]
        assert not strict.exists(x=3)
    assert "CACHENESS_TEST_BOMB" not in os.environ


@pytest.mark.parametrize(
    "change",
    [
        "signature = NULL",
        "signature = zeroblob(32)",
        "object_type = 'builtins.int'",
        "storage_format = 'dill'",
        "cache_key = 'moved'",
    ],
)
def test_a_pickle_whose_entry_was_changed_is_not_decoded(
    tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Cache(tmp_path) as cache:
        cache.put(Bomb(), cache_key="bomb")
    tamper(tmp_path, f"UPDATE cache_entries SET {change}")
    key = "moved" if "moved" in change else "bomb"
    with Cache(tmp_path) as cache, caplog.at_level(logging.WARNING, "cacheness"):
        assert cache.get(cache_key=key) is None
        assert "counts as a miss" in caplog.text
        assert cache.get(cache_key=key, strict_verification=False) is None
        assert cache.get_stats()["cache_failures"] == 2
    with BlobStore(tmp_path) as store, pytest.raises(CacheSignatureError):
        store.get(key)
    assert "CACHENESS_TEST_BOMB" not in os.environ


def test_a_forged_pickle_payload_is_not_decoded(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache.put(Point(1), x=1)
    payload = pickle.dumps(Bomb(), 5)
    meta = len(payload).to_bytes(8, "little")
    sql = f"UPDATE cache_entries SET payload = x'{payload.hex()}', handler_meta = x'{meta.hex()}', file_size = {len(payload)}"
    tamper(tmp_path, sql)
    with Cache(tmp_path) as cache:
        assert cache.get(x=1) is None
    assert "CACHENESS_TEST_BOMB" not in os.environ


def test_unsigned_pickles_can_be_trusted_by_name(tmp_path: Path) -> None:
    with Cache(tmp_path, enable_entry_signing=False, trust_unsigned_pickles=True) as cache:
        cache.put(Point(1), x=1)
    with Cache(tmp_path, enable_entry_signing=False) as cache:
        assert cache.get(x=1) is None, "nobody vouches for it"
    with Cache(tmp_path, enable_entry_signing=False, trust_unsigned_pickles=True) as cache:
        assert cache.get(x=1) == Point(1)


def test_damaged_data_with_strict_verification_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Cache(tmp_path) as cache:
        cache.put([1, 2], x=1)
    tamper(tmp_path, "UPDATE cache_entries SET description = 'changed'")
    with Cache(tmp_path) as cache:
        assert cache.get(x=1) is None
        with caplog.at_level(logging.WARNING, "cacheness"):
            assert cache.get(x=1, strict_verification=False) == [1, 2]
        assert "signature is wrong" in caplog.text


def test_stores_raise_what_caches_recompute(tmp_path: Path) -> None:
    with BlobStore(tmp_path) as store:
        store.put(os.urandom(100_000), key="x")
        report = store.verify_integrity("x")
        assert report["valid"]
        assert report["expected_hash"] == report["actual_hash"]
        [blob] = (tmp_path / "blobs").rglob("*.msgpack")
        data = bytearray(blob.read_bytes())
        data[50_000] ^= 1
        blob.write_bytes(data)
        with pytest.raises(CacheIntegrityError, match="hash"):
            store.get("x")
        report = store.verify_integrity("x")
        assert not report["valid"]
        assert report["expected_hash"] != report["actual_hash"]
        blob.unlink()
        with pytest.raises(CacheIntegrityError, match="missing"):
            store.get("x")
        assert not store.verify_integrity("nobody")["valid"]


def test_rotating_the_key(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache.put(Point(1), x=1)
        key = (tmp_path / "cache_signing_key.bin").read_bytes()
        assert cache.rotate_signing_key() == 1
        assert (tmp_path / "cache_signing_key.bin").read_bytes() != key
        assert cache.get(x=1) == Point(1)


def test_what_cannot_be_stored_raises_and_leaves_the_former_value(cache: Cache) -> None:
    cache.put("former", x=1)
    with pytest.raises(CacheSerializationError, match="cannot be pickled"):
        cache.put((i for i in range(3)), x=1)
    assert cache.get(x=1) == "former"


def test_local_functions_fall_back_to_dill(tmp_path: Path) -> None:
    with Cache(tmp_path / "a") as cache:
        cache.put(lambda x: x + 1, x=1)
        assert cache.get(x=1)(2) == 3
        entry = cache.get_metadata(x=1)
        assert entry is not None
        assert entry["storage_format"] == "dill"
    with Cache(tmp_path / "b", enable_dill_fallback=False) as cache, pytest.raises(CacheSerializationError):
        cache.put(lambda x: x + 1, x=1)


def test_every_error_is_a_cache_error_and_what_people_expect() -> None:
    classes = [getattr(errors, name) for name in errors.__all__]
    assert all(issubclass(c, CacheError) for c in classes)
    assert issubclass(errors.CacheConfigurationError, ValueError)
    assert issubclass(errors.CacheStorageError, OSError)
    assert issubclass(errors.CacheReadOnlyError, PermissionError)
    assert issubclass(errors.CacheBusyError, TimeoutError)
    error = errors.CacheStorageError("what", hint="do this")
    assert str(error) == "what\nhint: do this"


def test_security_is_configurable_as_a_section(tmp_path: Path) -> None:
    config = CacheConfig(security=SecurityConfig(use_in_memory_key=True))
    config.storage.cache_dir = tmp_path
    with Cache(config) as cache:
        cache.put(Point(2), x=1)
        assert cache.get(x=1) == Point(2)
    assert not (tmp_path / "cache_signing_key.bin").exists()
