"""Checks of entries and of whole stores, and what is done about entries that cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cacheness import BlobStore, Cache, CacheHandler, CachePickleError, CacheSerializationError, Clock


def _fill(put: Callable[[Any, str], object]) -> None:
    for i in range(4):
        put(np.random.default_rng(i).random(20_000), f"array {i}")
    put({"a": 1}, "plain")


@pytest.mark.parametrize("signing", [True, False])
def test_a_whole_cache_is_checked(tmp_path: Path, signing: bool) -> None:
    clock = Clock(1_700_000_000)
    with Cache(tmp_path, clock=clock, enable_entry_signing=signing) as cache:
        empty = cache.verify_integrity()
        assert empty == {
            "valid": True,
            "entries": 0,
            "signatures": {"valid": 0, "unsigned": 0, "invalid": 0},
            "problems": [],
        }
        _fill(lambda value, name: cache.put(value, cache_key=name, ttl_seconds=60))
        clock.advance(61)
        report = cache.verify_integrity()
        state = "valid" if signing else "unsigned"
        assert report["valid"] and report["entries"] == 5 and report["signatures"][state] == 5
        assert "5 entries" in repr(report) and "all valid" in repr(report)
        damaged = tmp_path / cache.get_entry("array 1")["actual_path"]
        gone = tmp_path / cache.get_entry("array 2")["actual_path"]
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
        gone.unlink()
        report = cache.verify_integrity()
        assert not report["valid"] and report["entries"] == 5
        assert [problem["cache_key"] for problem in report["problems"]] == ["array 1", "array 2"]
        for problem in report["problems"]:
            one = cache.verify_integrity(problem["cache_key"])
            assert problem == {"cache_key": problem["cache_key"], **one} and problem["error"]
            assert problem["cache_key"] in repr(report) and problem["cache_key"] in report._repr_html_()
        assert report["problems"][1]["actual_hash"] is None
        assert cache.verify_integrity("no such name") == {
            "valid": False,
            "expected_hash": None,
            "actual_hash": None,
            "signature": None,
            "error": "the entry does not exist",
        }


def test_a_whole_store_is_checked(tmp_path: Path) -> None:
    with BlobStore(tmp_path) as store:
        _fill(lambda value, name: store.put(value, name))
        assert store.verify_integrity()["entries"] == 5 and store.verify_integrity()["valid"]
        path = tmp_path / store.get_metadata("array 3")["actual_path"]
        path.write_bytes(b"")
        report = store.verify_integrity()
        assert [problem["cache_key"] for problem in report["problems"]] == ["array 3"]
        assert store.verify_integrity("plain")["valid"] and not store.verify_integrity("array 3")["valid"]


def test_a_forged_signature_can_be_asked_about(tmp_path: Path) -> None:
    with Cache(tmp_path, metadata_backend="json") as cache:
        cache.put([1, 2], cache_key="a", description="honest")
        assert cache.verify_integrity("a")["signature"] == "valid"
    path = tmp_path / "cache_metadata.json"
    path.write_text(path.read_text().replace("honest", "forged"))
    with Cache(tmp_path) as cache:
        assert cache.get("a", strict_verification=False) == [1, 2]
        found = cache.verify_integrity("a")
        assert (found["valid"], found["signature"]) == (False, "invalid")
        assert cache.verify_integrity()["signatures"] == {"valid": 0, "unsigned": 0, "invalid": 1}


def test_a_store_replaces_a_value_and_keeps_the_metadata(tmp_path: Path) -> None:
    with BlobStore(tmp_path) as store:
        store.put([1], "model", {"accuracy": 0.9})
        assert store.update_data([2], "model") is True
        assert store.update_data(np.arange(50_000), key="model") is True
        assert store.update_data([3], "other") is False
        assert store.get("model").shape == (50_000,)
        assert store.get_metadata("model")["metadata"] == {"accuracy": 0.9}
        with pytest.raises(CacheSerializationError):
            store.update_data((i for i in ()), "model")
        assert store.get("model").shape == (50_000,) and store.list() == ["model"]
    with Cache(tmp_path / "cache") as cache:
        key = cache.put([1], x=1, metadata={"m": 1})
    with BlobStore(tmp_path / "cache") as store:
        assert store.update_data([5], key)
    with Cache(tmp_path / "cache") as cache:
        assert cache.get_with_metadata(x=1) == ([5], {"m": 1}), "filed under its parameters as before"


class Celsius(float):
    pass


class CelsiusHandler(CacheHandler):
    @property
    def data_type(self) -> str:
        return "celsius"

    def can_handle(self, data: Any) -> bool:
        return isinstance(data, Celsius)

    def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
        path = file_path.with_suffix(".txt")
        path.write_text(repr(float(data)))
        return {"storage_format": "text", "file_path": str(path)}

    def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:
        raise RuntimeError("it cannot be read")


class Unreadable:
    def __reduce__(self) -> Any:
        return int, ("no number",)


def _unreadable(cache: Cache) -> list[str]:
    """Names of entries that are there and cannot be decoded, for different reasons."""
    cache.handler_registry.register_handler(CelsiusHandler(), priority=0)
    cache["handler"] = Celsius(21.5)
    cache["pickle"] = Unreadable()
    return ["handler", "pickle"]


def test_what_cannot_be_read_is_computed_again_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Cache(tmp_path) as cache:
        for name in _unreadable(cache):
            with pytest.raises(CacheSerializationError):
                cache.get(name)
            calls = []
            for _ in range(3):
                with caplog.at_level(logging.WARNING, "cacheness"):
                    assert cache.get_or_compute(lambda calls=calls: calls.append(1) or [1], cache_key=name) == [1]
            assert len(calls) == 1, name
            assert len(caplog.records) == 1 and name in caplog.text, caplog.text
            assert cache.get(name) == [1]
            caplog.clear()


def test_what_cannot_be_read_is_computed_for_a_reader_too(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        _unreadable(cache)
    with Cache(tmp_path, read_only=True) as cache:
        assert cache.get_or_compute(lambda: 5, cache_key="pickle") == 5
        with pytest.raises(CacheSerializationError):
            cache.get("pickle")


def test_what_may_not_be_unpickled_is_computed_again(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache["a"] = {Celsius(1)}
    with Cache(tmp_path, allow_pickle=False) as cache:
        with pytest.raises(CachePickleError):
            cache.get("a")
        assert cache.get_or_compute(lambda: [1], cache_key="a") == [1]
        assert cache.get("a") == [1]


def test_a_batch_does_not_lose_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Cache(tmp_path) as cache:
        names = _unreadable(cache)
        cache.put("there", x=1)
        wanted = [*({"cache_key": name} for name in names), {"x": 1}, {"x": 2}, {"cache_key": "pickle", "default": 7}]
        with caplog.at_level(logging.WARNING, "cacheness"):
            found = cache.get_batch(wanted)
        assert found == {"handler": None, "pickle": 7, cache.cache_key(x=1): "there", cache.cache_key(x=2): None}
        assert len(caplog.records) == 3 and "handler" in caplog.text
    with pytest.raises(ValueError, match="closed"):
        cache.get_batch(wanted)
