"""Entries found by their metadata: what counts as equal, in memory and in SQLite."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cacheness import (
    BlobStore,
    Cache,
    CacheReadOnlyError,
    CacheSerializationError,
    CacheUnsupportedError,
    _core,
    cached,
)


class Color(enum.StrEnum):
    RED = "red"


class Anything:
    """Equal to everything, as only Python can know."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class NeverEqual(Exception):
    """What a comparison raises."""


class Raises:
    def __eq__(self, other: object) -> bool:
        raise NeverEqual

    __hash__ = None  # type: ignore[assignment]


NUMBERS = [True, False, 0, 1, -1, 2**53, 2**53 + 1, 2**63, 2**64, 2**64 + 1, 10**30]
NUMBERS += [0.0, -0.0, 1.0, 0.5, float(2**53), float(2**64), 1e30, float("inf"), float("nan")]
NUMBERS += [complex(1, 0), complex(1, 1), Decimal(1), Decimal("1.0"), Decimal("0.5"), Decimal("nan")]
NUMBERS += [np.float64(0.5), np.float32(0.5), np.int64(1), np.bool_(True)]
TIMES = [
    dt.date(2026, 11, 20),
    dt.datetime(2026, 11, 20),
    dt.datetime(2026, 11, 20, tzinfo=dt.UTC),
    dt.datetime(2026, 11, 20, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
    dt.datetime(2026, 11, 20, 1, tzinfo=ZoneInfo("Europe/Berlin")),
    dt.datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")),
    dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    dt.time(1),
    dt.time(1, tzinfo=dt.UTC),
    dt.timedelta(hours=24),
    dt.timedelta(days=1),
]
OTHERS = [None, "", "1", "red", b"", b"1", bytearray(b"1"), Path("a"), range(0, 3, 2), range(0, 4, 2)]
OTHERS += [Path("b"), np.str_("red")]
scalars = st.sampled_from(NUMBERS + TIMES + OTHERS)
hashable = st.sampled_from([*NUMBERS[:12], None, "a", "$b", "1"])
plain = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(hashable, max_size=3)
        | st.sets(hashable, max_size=3).map(frozenset)
        | st.dictionaries(hashable, inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Cache]:
    with Cache(":memory:") as cache:
        yield cache


@pytest.fixture
def cache() -> Iterator[Cache]:
    with Cache(":memory:") as cache:
        yield cache


def _equal(found: Any, wanted: Any) -> bool:
    """What Python says, part by part: of what NumPy answers for each item nothing is equal."""
    if type(found) is type(wanted) and isinstance(found, list | tuple):
        return len(found) == len(wanted) and all(_equal(a, b) for a, b in zip(found, wanted, strict=True))
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_equal(value, wanted[name]) for name, value in found.items())
    try:
        equal = found == wanted
    except (OverflowError, ValueError):
        return False
    return isinstance(equal, bool | np.bool_) and bool(equal)


@given(plain, plain)
@example(1, True)
@example([1, (2,)], [1.0, (2,)])
@example({"a": 1, "b": None}, {"b": None, "a": True})
@example({1, 2}, frozenset({2.0, True}))
@example([Decimal(1), 2], [1, 3])
@example(1, Anything())
@example("red", Color.RED)
@example(0.5, Fraction(1, 2))
@example(np.float64(0.5), [True])
@example(np.float64(0.5), [])
@example(2**63, np.True_)
def test_values_match_where_python_takes_them_for_equal(shared: Cache, stored: Any, wanted: Any) -> None:
    cache = shared
    cache.clear()
    cache.put(0, metadata={"value": stored, "other": 1}, i=1)
    found = _core.metadata_loads(_core.metadata_dumps({"value": stored}))["value"]
    equal = _equal(found, wanted)
    if isinstance(wanted, dict) and any(isinstance(name, str) and name.startswith("$") for name in wanted):
        with pytest.raises(CacheUnsupportedError):
            cache.delete_matching(value=wanted, other=1)
        equal = False
    else:
        assert cache.delete_matching(value=wanted, other=1) == int(equal)
    assert len(cache) == int(not equal)


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
        assert cache.touch_batch(shape=(2, 3)) == 0
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


COMPARISONS = [{"$gte": 0.9}, {"$in": ["a"]}, {"$gt": object()}, {"$regex": "v1.*"}, {"a": 1, "$lt": 2}]


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_comparisons_are_an_error_and_never_a_silent_nothing(cache: Cache, comparison: dict[str, Any]) -> None:
    cache.put(1, n=1, metadata={"accuracy": 0.95})
    with BlobStore(":memory:") as store:
        store.put(1, key="a", metadata={"accuracy": 0.95})
        for call in (
            lambda: cache.delete_matching(accuracy=comparison),
            lambda: cache.touch_batch(n=1, accuracy=comparison),
            lambda: store.list(metadata_filter={"accuracy": comparison}),
        ):
            with pytest.raises(CacheUnsupportedError, match=r"accuracy.*not available"):
                call()
    assert len(cache) == 1


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


def _same(a: Any, b: Any) -> bool:
    """Independent of the package: equal as a whole."""
    a_is, b_is = isinstance(a, np.ndarray), isinstance(b, np.ndarray)
    if a_is and b_is:
        return a.shape == b.shape and a.tolist() == b.tolist()
    if a_is or b_is:
        array, other = (a, b) if a_is else (b, a)
        return array.shape == () and bool(array.item() == other)
    equal = a == b
    return isinstance(equal, bool | np.bool_) and bool(equal)


@pytest.mark.parametrize("nested", [False, True])
def test_arrays_match_as_a_whole_or_not_at_all(nested: bool) -> None:
    def around(value: Any) -> Any:
        return {"in": [value, 1], "t": (value,)} if nested else value

    with Cache(":memory:") as cache, BlobStore(":memory:") as store:
        stored = [*ARRAYS, *NO_ARRAYS]
        for i, value in enumerate(stored):
            cache.put(i, i=i, metadata={"shape": around(value)})
            store.put(i, key=f"{i:02}", metadata={"shape": around(value)})
        for wanted in stored:
            expected = [i for i, value in enumerate(stored) if _same(value, wanted)]
            found = store.list(metadata_filter={"shape": around(wanted)})
            assert found == [f"{i:02}" for i in expected], repr(wanted)
            assert cache.touch_batch(shape=around(wanted)) == len(expected)
        gone = [i for i, value in enumerate(stored) if _same(value, ARRAYS[0])]
        assert cache.delete_matching(shape=around(ARRAYS[0])) == len(gone)
        left = {entry["cache_key_params"]["i"] for entry in cache.list_entries()}
        assert left == set(range(len(stored))) - set(gone)


def test_columns_match_nothing_that_has_no_single_answer(cache: Cache) -> None:
    cache.put(0, i=0, metadata={"value": np.arange(2), "other": [1, 2]})
    for wanted in (pd.Series([0, 1]), pd.DataFrame({"a": [0, 1]}), pd.array([0, 1]), [pd.Series([1])]):
        assert cache.delete_matching(value=wanted) == 0
        assert cache.delete_matching(other=wanted) == 0
    assert len(cache) == 1


def test_dtypes_match_dtypes_and_their_names(cache: Cache) -> None:
    cache.put(0, i=0, metadata={"dtype": np.dtype("f8"), "column": pd.CategoricalDtype(["a", "b"])})
    assert cache.touch_batch(dtype=np.dtype("float64")) == cache.touch_batch(dtype="float64") == 1
    assert cache.touch_batch(dtype=np.dtype("f4")) == cache.touch_batch(dtype=8) == 0
    assert cache.touch_batch(column=pd.CategoricalDtype(["a", "b"])) == 1
    assert cache.touch_batch(column=pd.CategoricalDtype(["a", "c"])) == 0


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


def test_what_comparing_raises_is_raised(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        cache.put(0, metadata={"value": 1, "array": np.arange(2)}, i=0)
        for value in (Raises(), [Raises()]):
            cache.put(1, metadata={"value": [1]}, i=1)
            with pytest.raises(NeverEqual):
                cache.delete_matching(value=value)
            assert len(cache) == 2
            assert cache.invalidate(i=1)
        assert cache.delete_matching(value=Raises(), i=1) == 0, "another value differs: nobody needs to compare"
        assert len(cache) == 1


def test_a_cache_that_is_read_only_says_so(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        cache.put(0, metadata={"a": 1}, i=0)
    with Cache(tmp_path / "cache", read_only=True) as cache:
        for wanted in (1, 2):
            with pytest.raises(CacheReadOnlyError):
                cache.delete_matching(a=wanted)
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
