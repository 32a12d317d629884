"""Entries found by their metadata: what counts as equal, in memory and in SQLite."""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cacheness import Cache, CacheReadOnlyError, CacheSerializationError, _core


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
def cache() -> Iterator[Cache]:
    with Cache(":memory:") as cache:
        yield cache


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
def test_values_match_where_python_takes_them_for_equal(cache: Cache, stored: Any, wanted: Any) -> None:
    cache.clear()
    cache.put(0, metadata={"value": stored, "other": 1}, i=1)
    found = _core.metadata_loads(_core.metadata_dumps({"value": stored}))["value"]
    try:
        equal = bool(found == wanted)
    except (OverflowError, ValueError):
        # NumPy compares each item, or none. A part that differs may decide before it is asked.
        with contextlib.suppress(OverflowError, ValueError):
            assert cache.delete_matching(value=wanted, other=1) == 0
        assert len(cache) == 1
        return
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
        with pytest.raises(NeverEqual):
            cache.delete_matching(value=Raises())
        with pytest.raises(ValueError, match="ambiguous"):
            cache.delete_matching(array=np.arange(2))
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
    with Cache(tmp_path / "cache") as cache, pytest.raises(CacheSerializationError, match=key):
        cache.delete_matching(a=1)
