"""Entries that are deleted and touched by their values: where names are looked up, batches, predicates, damage."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from filters_reference import equals

from cacheness import (
    BlobStore,
    Cache,
    CacheConfigurationError,
    CacheReadOnlyError,
    CacheSerializationError,
    cached,
)


class Color(enum.StrEnum):
    RED = "red"


@pytest.fixture
def cache() -> Iterator[Cache]:
    with Cache(":memory:") as cache:
        yield cache


def test_names_are_looked_up_in_the_metadata_and_then_among_the_parameters(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        cache.put(0, metadata={"kind": None}, kind="x", n=0)
        cache.put(1, metadata={"$tag": "x", "größe": 3}, kind="x", n=1, shape=(2, 3))
        cache.put(2, kind="y", n=2)
        cache.put(3, cache_key="named")
        assert cache.touch_batch(kind="x") == 1, "the metadata has the name: None is its value"
        assert cache.touch_batch(kind=None) == 1
        assert cache.touch_batch(**{"$tag": "x"}) == 1
        assert cache.touch_batch(größe=3.0, kind="x") == 1
        assert cache.touch_batch(shape=[2, 3]) == 1, "parameters are as listings show them"
        assert cache.touch_batch(shape=(2, 3)) == 1, "a tuple equals a list"
        assert cache.touch_batch(shape=3) == 1, "one of its elements"
        assert cache.touch_batch(shape={"$gt": 3}) == 0
        assert cache.touch_batch(größe={"$gte": 3}, kind="x") == 1
        assert cache.touch_batch(missing=None) == 0
        assert cache.delete_matching(kind="y") == 1
        assert len(cache) == 3


@pytest.mark.parametrize("backend", ["sqlite", "json"])
def test_names_are_looked_up_in_this_order(tmp_path: Path, backend: Any) -> None:
    with Cache(tmp_path / "cache", metadata_backend=backend) as cache:

        @cached(cache_instance=cache)
        def flights(origin: str, data_type: int = 7, fold: int = 1) -> str:
            return origin * data_type * fold

        flights("EWR")
        flights("JFK")
        cache.put(np.arange(3), n=0, data_type="parameter")
        cache.put(np.arange(3), n=1, metadata={"data_type": "metadata", "origin": "JFK"})
        cache.put(np.arange(3), n=2, description="three numbers")
        cache.put({"a": 1}, n=3)
        pickled = cache.put(Color.RED, n=4)
        matching = {
            ("origin", "JFK"): 2,
            ("origin", "EWR"): 1,
            ("data_type", 7): 2,
            ("data_type", "parameter"): 1,
            ("data_type", "metadata"): 1,
            ("data_type", "array"): 1,
            ("data_type", "object"): 1,
            ("data_type", "plain"): 1,
            ("storage_format", "pickle"): 1,
            ("handler_used", "numpy_arrays"): 3,
            ("description", "three numbers"): 1,
            ("description", ""): 6,
            ("cache_key", pickled): 1,
            ("expires_at", None): 7,
            ("size_mb", -1): 0,
            ("inline", True): 7,
            ("access_count", 0): 7,
            ("__function__", "no function"): 0,
        }
        for (name, value), count in matching.items():
            assert cache.touch_batch(**{name: value}) == count, (name, value)

            def wanted(entry: dict[str, Any], name: str = name, value: Any = value) -> bool:
                arguments = (entry["cache_key_params"] or {}).get("arguments", {})
                places = (entry["metadata"], entry["cache_key_params"], arguments, entry)
                return next((place[name] for place in places if name in place), ...) == value

            listed = [entry for entry in cache.list_entries(include_metadata=True) if wanted(entry)]
            assert len(listed) == count, (name, value)
        assert cache.delete_matching(data_type="array", storage_format="npy") == 1
        assert cache.delete_matching(origin="JFK", fold=1) == 1
        assert cache.delete_matching(lambda named: named["data_type"] == 7) == 1
        assert len(cache) == 4


def test_a_function_in_place_of_values(cache: Cache) -> None:
    for n, version in enumerate(["v1.0", "v1.1", "v2.0"]):
        cache.put(n, n=n, metadata={"version": version})
    cache.put(3, version="v1.5")
    assert cache.delete_matching(lambda meta: meta.get("version").startswith("v1")) == 3
    assert cache.delete_matching(lambda meta: meta["cache_key_params"] == {"n": 2}) == 1
    cache.put(4, n=4)
    cache.put(5, n=5, metadata={"version": "v1"})
    with pytest.raises(AttributeError):
        cache.delete_matching(lambda meta: meta.get("version").startswith("v1"))
    for wrong in ({}, {"n": 4}):
        with pytest.raises(TypeError):
            cache.delete_matching(*([bool] if wrong else []), **wrong)
    assert len(cache) == 2, "nothing is removed by a call that fails"


def test_prefixes(cache: Cache) -> None:
    for name in ("train/a", "train/b", "test/a"):
        cache[name] = 1
    for n, project in enumerate(["ml_models", "ml_models_old", "web", 5]):
        cache.put(n, n=n, project=project)
    assert cache.delete_by_prefix(cache_key="train/") == 2
    assert cache.delete_by_prefix(project="ml_models") == 2
    assert cache.delete_by_prefix(project="w", missing="") == 0
    for wrong in ({}, {"project": 5}):
        with pytest.raises(TypeError):
            cache.delete_by_prefix(**wrong)
    assert len(cache) == 3


ARRAYS = [
    np.array([3, 4]),
    np.array([3, 4], dtype=np.int8),
    np.array([3.0, 4.0]),
    np.array([[3, 4]]),
    np.array([3, 5]),
    np.array([3]),
    np.array(3),
    np.array([]),
    np.array(["3", "4"]),
    np.array([True, False]),
    np.array(["2026-01-01"], dtype="M8[D]"),
]
NO_ARRAYS = [3, 3.0, "3", None, True, [3, 4], (3, 4), {"a": 3}, dt.date(2026, 1, 1), np.int64(3), np.float64(3)]


@pytest.mark.parametrize("nested", [False, True])
def test_arrays_match_arrays_that_are_identical(nested: bool) -> None:
    def around(value: Any) -> Any:
        return {"in": [value, 1], "t": (value,)} if nested else value

    with Cache(":memory:") as cache, BlobStore(":memory:") as store:
        stored = [*ARRAYS, *NO_ARRAYS]
        for i, value in enumerate(stored):
            cache.put(i, i=i, metadata={"shape": around(value)})
            store.put(i, key=f"{i:02}", metadata={"shape": around(value)})
        for wanted in stored:
            expected = [i for i, value in enumerate(stored) if equals(around(value), around(wanted))]
            found = store.list(metadata_filter={"shape": around(wanted)})
            assert found == [f"{i:02}" for i in expected], repr(wanted)
            assert cache.touch_batch(shape=around(wanted)) == len(expected)
        gone = [i for i, value in enumerate(stored) if equals(around(value), around(ARRAYS[0]))]
        assert gone == [0]
        assert cache.delete_matching(shape=around(ARRAYS[0])) == len(gone)
        left = {entry["cache_key_params"]["i"] for entry in cache.list_entries()}
        assert left == set(range(len(stored))) - set(gone)


def test_columns_are_no_values_of_a_filter(cache: Cache) -> None:
    cache.put(0, i=0, metadata={"value": np.arange(2), "other": [1, 2]})
    for wanted in (pd.Series([0, 1]), pd.DataFrame({"a": [0, 1]}), pd.array([0, 1]), [pd.Series([1])]):
        for name in ("value", "other"):
            with pytest.raises(CacheConfigurationError, match="no value of a filter"):
                cache.delete_matching(**{name: wanted})
    assert len(cache) == 1


def test_dtypes_match_dtypes(cache: Cache) -> None:
    cache.put(0, i=0, metadata={"dtype": np.dtype("f8")})
    assert cache.touch_batch(dtype=np.dtype("float64")) == 1
    assert cache.touch_batch(dtype=np.dtype("f4")) == cache.touch_batch(dtype="float64") == 0


def test_many_are_removed_and_the_rest_stays(tmp_path: Path) -> None:
    count = 5000
    with Cache(tmp_path / "cache") as cache, Cache(tmp_path / "cache") as other:
        for i in range(count):
            cache.put(i, metadata={"group": i % 3}, i=i)
        for i in range(0, 15, 3):
            assert cache.pin(i=i)
        assert other.get(i=3) == 3
        removed = cache.delete_matching(group=0)
        assert removed == len(range(0, count, 3))
        assert cache.pinned() == [], "what is removed is pinned no longer"
        assert other.get(i=3) is None
        assert cache.get(i=0) is None
        assert [cache.get(i=i) for i in (1, 2, 4)] == [1, 2, 4]
        stats = cache.get_stats()
        assert stats["total_entries"] == count - removed
        assert stats["total_size_bytes"] == sum(entry["file_size"] for entry in cache.list_entries())
        # Numbers of rows are used again: the totals stay true.
        for i in range(count, count + 100):
            cache.put(i, metadata={"group": 0}, i=i)
        assert cache.delete_matching(group=0) == 100
        assert cache.get_stats()["total_entries"] == count - removed


def test_files_of_removed_entries_go(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        noise = np.random.default_rng(0).random((4, 20_000))
        for i in range(4):
            cache.put(noise[i], metadata={"group": i % 2}, i=i)
        assert cache.delete_matching(group=1) == 2
        assert len([path for path in (tmp_path / "cache" / "blobs").rglob("*") if path.is_file()]) == 2
        assert (cache.get(i=2) == noise[2]).all()


def test_a_cache_that_is_read_only_says_so(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        cache.put(0, metadata={"a": 1}, i=0)
    with Cache(tmp_path / "cache", read_only=True) as cache:
        for wanted in (1, 2):
            with pytest.raises(CacheReadOnlyError):
                cache.delete_matching(a=wanted)
            with pytest.raises(CacheReadOnlyError):
                cache.delete_matching({"a": wanted})
        assert cache.count({"a": 1}) == 1
        with pytest.raises(CacheReadOnlyError):
            cache.delete_batch([{"i": 0}])
        with pytest.raises(CacheReadOnlyError):
            cache.delete_where(lambda _entry: False)


def test_batches_of_keys(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        for i in range(5):
            cache.put(i, i=i)
        key = cache.put("named", cache_key="a name")
        batch = ({"i": i} for i in (0, 1, 1, 9))
        assert cache.delete_batch(batch) == 2, "an entry that is named twice is removed once"
        with pytest.raises(TypeError):
            cache.delete_batch([{"i": 2}, {}])
        assert cache.delete_batch([{"cache_key": key}, {"cache_key": cache.cache_key(i=2)}]) == 2
        assert cache.delete_batch([]) == 0
        assert sorted(entry["cache_key_params"]["i"] for entry in cache.list_entries(include_metadata=True)) == [3, 4]


def test_damaged_metadata_names_the_entry(tmp_path: Path) -> None:
    damaged = Cache(tmp_path / "cache", metadata_backend="json")
    with damaged as cache:
        key = cache.put(0, metadata={"a": 1}, i=0)
    path = tmp_path / "cache" / "cache_metadata.json"
    path.write_text(path.read_text().replace('"a":1', '"a":{"$nothing":1}').replace('"a": 1', '"a":{"$nothing":1}'))
    with Cache(tmp_path / "cache") as cache:
        for i in range(10):
            cache.put(i, metadata={"a": 1}, n=i)
        for values in ({"a": 1}, {"a": 1, "data_type": "plain"}):
            with pytest.raises(CacheSerializationError, match=key):
                cache.delete_matching(**values)
            with pytest.raises(CacheSerializationError, match=key):
                cache.touch_batch(**values)
        assert len(cache) == 11, "nothing is removed by a call that fails"
