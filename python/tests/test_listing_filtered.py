"""Listings by filters: sorted, in pages, and counted."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filters_reference import rank
from hypothesis import given, settings
from hypothesis import strategies as st
from soak import times

from cacheness import Cache, CacheConfigurationError, CacheUnsupportedError

COUNT = 1200


@pytest.fixture(params=["sqlite", "json", "memory"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cache]:
    with Cache(tmp_path / "cache", metadata_backend=request.param) as cache:
        yield cache


def _ids(entries: list[dict[str, Any]]) -> list[int]:
    return [entry["cache_key_params"]["i"] for entry in entries]


def _fill(cache: Cache) -> dict[str, dict[str, Any]]:
    """The metadata by key."""
    values = random.Random(1)
    found = {}
    for i in range(COUNT):
        metadata = {"i": i, "accuracy": values.randrange(100) / 100, "stage": values.choice(["dev", "prod", None])}
        if i % 7 == 0:
            del metadata["accuracy"]
        found[cache.put(i, i=i, metadata=metadata)] = metadata
    return found


@pytest.mark.parametrize("size", [1, 100, 1000, COUNT - 1, COUNT, COUNT + 1])
def test_every_entry_is_on_one_page(tmp_path: Path, size: int) -> None:
    with Cache(tmp_path / "cache") as cache:
        keys = sorted(_fill(cache))
        wanted = keys if size > 1 else keys[:30]
        for options in ({}, {"where": {"i": {"$gte": 0}}}):
            seen: list[str] = []
            after = None
            while len(seen) < len(wanted):
                page = cache.list_entries(**options, limit=size, after=after)
                assert 1 <= len(page) <= size
                seen += [entry["cache_key"] for entry in page]
                after = seen[-1]
            assert seen == wanted[: len(seen)]
            if size > 1:
                assert cache.list_entries(**options, limit=size, after=after) == []
        by_offset: list[str] = []
        for offset in range(0, COUNT, 500):
            page = cache.list_entries(where={"i": {"$gte": 0}}, sort=["-accuracy", "stage"], limit=500, offset=offset)
            by_offset += [entry["cache_key"] for entry in page]
        assert sorted(by_offset) == keys
        assert cache.list_entries(limit=0) == cache.list_entries(offset=COUNT) == []
        assert [entry["cache_key"] for entry in cache.list_entries(offset=COUNT - 2)] == keys[-2:]


def test_a_filtered_listing_is_what_filtering_all_finds(cache: Cache) -> None:
    metadata = _fill(cache)
    where = {"accuracy": {"$gte": 0.5}, "stage": {"$ne": "dev"}}
    expected = sorted(key for key, m in metadata.items() if m.get("accuracy", 0) >= 0.5 and m["stage"] != "dev")
    listed = cache.list_entries(True, where=where)
    assert [entry["cache_key"] for entry in listed] == expected
    assert [entry["metadata"] for entry in listed] == [metadata[key] for key in expected]
    assert cache.count(where) == len(expected)
    brief = cache.list_entries(where=where)
    assert brief == [{name: entry[name] for name in entry if name != "metadata"} for entry in listed]
    best = sorted(expected, key=lambda key: (-metadata[key]["accuracy"], key))
    listed = cache.list_entries(where=where, sort="-accuracy", limit=10, offset=5)
    assert [entry["cache_key"] for entry in listed] == best[5:15]
    middle = expected[len(expected) // 2]
    assert [entry["cache_key"] for entry in cache.list_entries(where=where, after=middle)] == [
        key for key in expected if key > middle
    ]


VALUES = [None, float("nan"), 1, 2.5, Decimal("1.5"), 2**53 + 1, float(2**53), -1, "a", "B", "ü", "", True, False]
VALUES += [dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 1), dt.date(2026, 1, 1), dt.time(1)]
VALUES += [dt.timedelta(1), np.float32(0.5), [3, "a"], [], [None, 7], (0, 9)]


@settings(max_examples=times(100), deadline=None)
@given(st.permutations(VALUES), st.booleans())
def test_the_order_of_classes(values: list[Any], descending: bool) -> None:
    for backend in ("sqlite_memory", "memory"):
        with Cache(":memory:", metadata_backend=backend) as cache:
            for i, value in enumerate(values):
                cache.put(i, i=i, metadata={"value": value})
            cache.put(None, i=len(values))
            listed = _ids(cache.list_entries(sort="-value" if descending else "value"))
            assert sorted(listed) == list(range(len(values) + 1))
            ranks = [rank([*values, None][i], descending) for i in listed]
            assert ranks == sorted(ranks, reverse=descending)


def test_several_fields_and_fields_of_the_entry(cache: Cache) -> None:
    for i in range(12):
        cache.put(np.zeros(i * 10), i=i, metadata={"group": i % 3, "n": {"x": -i}})
    assert _ids(cache.list_entries(sort=["group", "-params.i"])) == [9, 6, 3, 0, 10, 7, 4, 1, 11, 8, 5, 2]
    assert _ids(cache.list_entries(sort=("-group", "n.x"), limit=3)) == [11, 8, 5]
    assert _ids(cache.list_entries(sort="-entry.file_size", limit=1)) == [11]
    assert _ids(cache.list_entries(sort="entry.created_at")) == list(range(12))
    with pytest.raises(CacheConfigurationError, match="sort"):
        cache.list_entries(sort="group", after="key")


def test_indexes_change_no_answer(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        _fill(cache)
        wheres: list[Any] = [{"accuracy": {"$gt": 0.9}}, {"accuracy": 0.5}, {"accuracy": None}, {"stage": "dev"}]
        before = [_ids(cache.list_entries(where=where)) for where in wheres]
        assert cache.create_index("accuracy") and cache.create_index("stage") and cache.create_index("config.depth")
        assert not cache.create_index("accuracy")
        assert cache.indexes() == ["accuracy", "config.depth", "stage"]
        assert [_ids(cache.list_entries(where=where)) for where in wheres] == before
        cache.put(0, i=COUNT, metadata={"accuracy": 0.95, "config": {"depth": 3}})
        assert cache.count({"accuracy": {"$gt": 0.9}}) == len(before[0]) + 1
        assert cache.count({"config.depth": {"$gte": 3}}) == 1
        assert cache.drop_index("accuracy") and not cache.drop_index("accuracy")
    with Cache(tmp_path / "cache", read_only=True) as cache:
        assert cache.indexes() == ["config.depth", "stage"]
        assert cache.count({"stage": "dev"}) == len(before[3])
        for call in (cache.create_index, cache.drop_index):
            with pytest.raises(PermissionError):
                call("stage")


def test_what_has_no_index_says_so(cache: Cache) -> None:
    if cache.get_stats()["backend_type"] == "sqlite":
        for field in ("params.i", "entry.file_size", ""):
            with pytest.raises(CacheConfigurationError):
                cache.create_index(field)
        assert cache.indexes() == []
        return
    for call in (lambda: cache.create_index("a"), cache.create_text_index, lambda: cache.search("a")):
        with pytest.raises(CacheUnsupportedError, match=r"(json|memory).*has no"):
            call()
