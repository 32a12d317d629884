"""Limits, eviction, pins."""

from __future__ import annotations

import logging
import multiprocessing
import threading
from pathlib import Path

import numpy as np
import pytest

from cacheness import BlobStore, Cache, CacheConfigurationError, CacheFullError, CacheReadOnlyError, Clock, cached

SIZE = 1000

#: Of all caches of a test.
CLOCK = Clock(1_700_000_000)


@pytest.fixture(autouse=True)
def _new_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "CLOCK", Clock(1_700_000_000))


def _cache(path: Path, **options: object) -> Cache:
    return Cache(path / "cache", clock=CLOCK, **options)


def _fill(cache: Cache, numbers: range) -> None:
    for i in numbers:
        cache.put(i, i=i)
        CLOCK.advance(1)


def _left(cache: Cache) -> list[int]:
    params = (entry["cache_key_params"] or {} for entry in cache.list_entries(include_metadata=True))
    return sorted(named["i"] for named in params if "i" in named)


def test_least_recently_used_goes_first(tmp_path: Path) -> None:
    with _cache(tmp_path, max_entries=20) as cache:
        _fill(cache, range(20))
        for i in (0, 5):
            assert cache.get(i=i) == i
        _fill(cache, range(20, 21))
        # Down to 90 %.
        assert _left(cache) == [0, *range(4, 21)]
        assert cache.get_stats()["cache_evictions"] == 3
        assert len(cache) == 18


@pytest.mark.parametrize("policy", ["lru", "lfu", "fifo"])
def test_policies(tmp_path: Path, policy: str) -> None:
    with _cache(tmp_path, max_entries=10, eviction_policy=policy) as cache:
        _fill(cache, range(10))
        for _ in range(3):
            assert cache.get(i=0) == 0
        CLOCK.advance(1)
        for i in range(1, 10):
            assert cache.get(i=i) == i
        CLOCK.advance(1)
        _fill(cache, range(10, 11))
        # fifo: 0 and 1 came first; lru: 0 was read before all others; lfu: 1 was read less often than 0, 10 is new.
        expected = {"fifo": {0, 1}, "lru": {0, 1}, "lfu": {1, 2}}[policy]
        assert set(range(11)) - set(_left(cache)) == expected


def test_bytes_are_limited(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limit = 0.5
    with _cache(tmp_path, max_cache_size_mb=limit) as cache, caplog.at_level(logging.WARNING, "cacheness"):
        for i in range(100):
            cache.put(np.random.default_rng(i).bytes(20_000), i=i)
            CLOCK.advance(1)
            assert cache.get_stats()["total_size_mb"] <= limit
            assert cache.exists(i=i), "the entry just written stays"
        sizes = [entry["file_size"] for entry in cache.list_entries()]
        assert cache.get_stats()["total_size_bytes"] == sum(sizes)
        assert _left(cache) == list(range(100 - len(sizes), 100))
        assert len(sizes) >= 20
    assert sum("limit" in record.message for record in caplog.records) == 1


def test_a_value_larger_than_the_limit_is_refused_and_nothing_goes(tmp_path: Path) -> None:
    with _cache(tmp_path, max_cache_size_mb=0.5) as cache:
        _fill(cache, range(5))
        for value in (np.random.default_rng(1).bytes(600_000), np.random.default_rng(1).random(100_000)):
            with pytest.raises(CacheFullError, match="max_cache_size_mb"):
                cache.put(value, i=3)
        assert _left(cache) == list(range(5))
        assert cache.get(i=3) == 3
        assert not [path for path in (tmp_path / "cache" / "blobs").rglob("*") if path.is_file()]


def test_without_a_policy_a_full_cache_refuses(tmp_path: Path) -> None:
    with _cache(tmp_path, max_entries=3, eviction_policy="none") as cache:
        _fill(cache, range(3))
        with pytest.raises(CacheFullError, match="full"):
            cache.put(3, i=3)
        cache.put("again", i=1)
        assert cache.get(i=1) == "again"
        assert cache.invalidate(i=0)
        cache.put(3, i=3)
        assert _left(cache) == [1, 2, 3]


def test_a_full_cache_without_a_policy_takes_the_room_of_what_has_expired(tmp_path: Path) -> None:
    with _cache(tmp_path, max_entries=3, eviction_policy="none") as cache:
        _fill(cache, range(2))
        cache.put("short", ttl_seconds=10, i=2)
        with pytest.raises(CacheFullError):
            cache.put(3, i=3)
        CLOCK.advance(11)
        cache.put(3, i=3)
        assert cache.get(i=3) == 3
        assert len(cache.list_entries()) == 3
        with pytest.raises(CacheFullError):
            cache.put(4, i=4)


def test_pinned_entries_stay(tmp_path: Path) -> None:
    with _cache(tmp_path, max_entries=10) as cache:
        _fill(cache, range(2))
        assert cache.pin(i=0)
        assert not cache.pin(i=99)
        _fill(cache, range(2, 40))
        assert cache.get(i=0) == 0
        assert not cache.exists(i=1)
        cache.put("replaced", i=0)
        _fill(cache, range(40, 80))
        assert cache.get(i=0) == "replaced"
        assert cache.unpin(i=0)
        CLOCK.advance(1)
        _fill(cache, range(80, 120))
        assert not cache.exists(i=0)


def test_expired_entries_go_before_others(tmp_path: Path) -> None:
    with _cache(tmp_path, max_entries=10) as cache:
        _fill(cache, range(8))
        for i in (8, 9):
            cache.put(i, ttl_seconds=5, i=i)
        CLOCK.advance(10)
        _fill(cache, range(10, 11))
        assert _left(cache) == [0, 1, 2, 3, 4, 5, 6, 7, 10]


def test_no_entry_is_served_longer_than_the_limit_of_age(tmp_path: Path) -> None:
    with _cache(tmp_path, max_age_seconds=100) as cache:
        cache.put(1, i=1)
        cache.put(2, ttl_seconds=None, i=2)
        cache.put(3, ttl_seconds=1000, i=3)
        cache.put(4, ttl_seconds=50, i=4)
        CLOCK.advance(60)
        assert [cache.get(i=i) for i in (1, 2, 3, 4)] == [1, 2, 3, None]
        CLOCK.advance(50)
        assert [cache.get(i=i) for i in (1, 2, 3, 4)] == [None] * 4
        assert cache.cleanup_expired() == 4


def test_touch_makes_an_entry_fresh(tmp_path: Path) -> None:
    with _cache(tmp_path, default_ttl_seconds=100) as cache:
        key = cache.put({"a": 1}, metadata={"m": 1}, description="d", i=1)
        CLOCK.advance(90)
        assert cache.touch(i=1)
        CLOCK.advance(90)
        assert cache.get(i=1) == {"a": 1}
        assert cache.touch(cache_key=key, ttl_seconds=None)
        CLOCK.advance(1_000_000)
        assert cache.get(i=1) == {"a": 1}
        assert cache.touch(i=1)
        CLOCK.advance(101)
        assert not cache.touch(i=1), "it has expired"
        assert not cache.touch(i=2)
        entry = cache.get_entry(key)
        assert entry is not None
        assert (entry["metadata"], entry["description"]) == ({"m": 1}, "d")


def test_update_data_keeps_what_is_known_of_the_value(tmp_path: Path) -> None:
    with _cache(tmp_path) as cache:
        key = cache.put([1], metadata={"m": 1}, description="d", i=1)
        assert cache.update_data(np.arange(3), i=1)
        assert cache.get(i=1).tolist() == [0, 1, 2]
        entry = cache.get_entry(key)
        assert entry is not None
        assert (entry["metadata"], entry["description"], entry["data_type"]) == ({"m": 1}, "d", "array")
        assert not cache.update_data([2], i=2)
        assert not cache.exists(i=2)


def test_many_entries_at_once(tmp_path: Path) -> None:
    with _cache(tmp_path) as cache:
        for i in range(6):
            cache.put(i, metadata={"project": "ab"[i % 2], "n": {"i": i}}, i=i, kind="x")
        assert cache.get_batch([{"i": 1, "kind": "x"}, {"i": 9}]) == {
            cache.cache_key(i=1, kind="x"): 1,
            cache.cache_key(i=9): None,
        }
        for default in (5, None):
            reads = {"default": default, "mmap_mode": None, "strict_verification": True, "ttl_seconds": 60}
            found = cache.get_batch([{"i": 1, "kind": "x", **reads}, {"params": {"i": 9}, **reads}])
            assert list(found.values()) == [1, default]
        assert cache.delete_batch([{"i": 1, "kind": "x"}, {"i": 9}]) == 1
        assert cache.touch_batch(project="a") == 3
        assert cache.delete_matching(project="b", kind="x") == 2
        assert cache.delete_matching(project="c") == 0
        assert cache.delete_where(lambda entry: entry["metadata"]["n"]["i"] >= 4) == 1
        assert _left(cache) == [0, 2]
        for method in (cache.delete_matching, cache.touch_batch):
            with pytest.raises(TypeError, match="no values"):
                method()

        def fails(entry: dict[str, object]) -> bool:
            raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            cache.delete_where(fails)
        assert len(cache) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"max_cache_size_mb": 0},
        {"max_cache_size_mb": -1},
        {"max_cache_size_mb": float("nan")},
        {"max_entries": 0},
        {"max_entries": -5},
        {"max_age_seconds": -1},
        {"eviction_policy": "random"},
        {"max_cache_size": 5},
    ],
)
def test_limits_that_make_no_sense(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(CacheConfigurationError) as caught:
        Cache(tmp_path / "cache", **options)
    name = next(iter(options))
    assert name in str(caught.value) or str(options[name]) in str(caught.value)
    assert not (tmp_path / "cache").exists()


def _write(directory: Path, worker: int, count: int) -> None:
    with Cache(directory, max_entries=200, max_cache_size_mb=0.4) as cache:
        for i in range(count):
            cache.put(bytes([worker]) * SIZE, worker=worker, i=i)


def test_limits_hold_under_eight_writers(tmp_path: Path) -> None:
    directory = tmp_path / "cache"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write, args=(directory, n, 250)) for n in range(4)]
    for worker in workers:
        worker.start()
    threads = [threading.Thread(target=_write, args=(directory, n, 250)) for n in range(4, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    with Cache(directory, max_entries=200, max_cache_size_mb=0.4) as cache:
        entries = cache.list_entries()
        stats = cache.get_stats()
        assert stats["total_entries"] == len(entries) <= 200
        assert stats["total_size_bytes"] == sum(entry["file_size"] for entry in entries)
        assert stats["total_size_mb"] <= 0.4
        assert len(entries) > 100


@pytest.mark.parametrize("policy", ["lru", "lfu"])
def test_what_another_cache_reads_is_not_unused(tmp_path: Path, policy: str) -> None:
    with _cache(tmp_path, max_entries=10, eviction_policy=policy) as writes, _cache(tmp_path, read_only=False) as reads:
        _fill(writes, range(10))
        for _ in range(5):
            CLOCK.advance(61)
            assert reads.get(i=0) == 0
        _fill(writes, range(10, 11))
        assert 0 in _left(writes)


def test_a_touched_entry_is_as_fresh_as_a_new_one(tmp_path: Path) -> None:
    with _cache(tmp_path, max_entries=10) as cache:
        _fill(cache, range(10))
        assert cache.touch(i=0)
        _fill(cache, range(10, 11))
        assert _left(cache) == [0, *range(3, 11)]


def test_reads_are_in_the_entry_at_once(tmp_path: Path) -> None:
    with _cache(tmp_path) as cache:
        key = cache.put(1, i=1)
        CLOCK.advance(1)
        assert [cache.get(i=1) for _ in range(3)] == [1, 1, 1]
        entry, metadata = cache.get_entry(key), cache.get_metadata(i=1)
        (listed,) = cache.list_entries(include_metadata=True)
        assert entry == metadata == listed
        assert (listed["access_count"], listed["last_accessed"]) == (3, "2023-11-14T22:13:21.000000+00:00")


def test_pins_can_be_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with _cache(tmp_path, max_entries=5) as cache, caplog.at_level(logging.WARNING, "cacheness"):
        assert cache.pinned() == []
        keys = []
        for i in range(8):
            keys.append(cache.put(i, i=i))
            assert cache.pin(i=i)
        assert cache.pinned() == sorted(keys)
        assert sum("pinned" in record.message for record in caplog.records) == 1
        assert len(cache) == 8
        assert cache.unpin(i=0)
        assert cache.pinned() == sorted(keys[1:])


def test_the_greatest_age_holds_for_entries_of_before(tmp_path: Path) -> None:
    with _cache(tmp_path) as cache:
        _fill(cache, range(3))
        cache.put("late", i=3)
    CLOCK.advance(99)
    with _cache(tmp_path, max_age_seconds=100) as cache:
        assert [cache.get(i=i) for i in range(4)] == [None, None, None, "late"]
        assert [cache.exists(i=i) for i in range(4)] == [False, False, False, True]
        assert cache.get_metadata(i=2) is None
        assert cache.get_metadata(i=3) is not None
        assert cache.get(i=3, ttl_seconds=1000) == "late", "what a caller asks for does not outlive the limit"
        assert not cache.touch(i=2)
        assert cache.cleanup_expired() == 3
        assert len(cache) == 1
        CLOCK.advance(1)
        assert cache.get(i=3, ttl_seconds=1000) is None
        cache.put("new", i=3, ttl_seconds=1000)
        CLOCK.advance(99)
        assert cache.get(i=3) == "new"
        CLOCK.advance(1)
        assert cache.get(i=3) is None


def test_what_is_stale_is_not_served_beyond_the_greatest_age(tmp_path: Path) -> None:
    with _cache(tmp_path, max_age_seconds=100) as cache:
        calls = []

        @cached(cache, ttl_seconds=10, stale_ttl_seconds=1000)
        def compute() -> int:
            calls.append(1)
            return len(calls)

        assert compute() == 1
        CLOCK.advance(101)
        assert compute() == 2


def test_in_storage_mode_nothing_goes(tmp_path: Path) -> None:
    limits = {"max_entries": 5, "max_cache_size_mb": 0.01, "max_age_seconds": 10, "default_ttl_seconds": 1}
    with _cache(tmp_path, storage_mode=True, **limits) as cache:
        _fill(cache, range(20))
        cache.put(np.random.default_rng(0).bytes(100_000), i=20)
        cache.put(21, i=21, ttl_seconds=5)
        CLOCK.advance(1000)
        assert _left(cache) == list(range(22))
        assert all(cache.get(i=i) is not None for i in range(21))
        assert cache.get(i=21) is None, "it was put for five seconds"
        assert cache.cleanup_expired() == 1


def test_a_cache_on_the_directory_of_a_store_evicts_no_artifact(tmp_path: Path) -> None:
    directory = tmp_path / "cache"
    with BlobStore(directory) as store:
        names = [store.put(bytes(2000), key=f"model_{i}") for i in range(30)]
        names.append(store.put("random"))
    with _cache(tmp_path, storage_mode=True) as kept:
        kept.put("kept", kept=1)
        kept.put("fleeting", fleeting=1, ttl_seconds=5)
    with _cache(tmp_path, max_entries=10, max_age_seconds=60, cleanup_on_init=True) as careless:
        _fill(careless, range(20))
        assert _left(careless) == [19], "the limit is one of entries, whoever put them"
        assert set(names) <= set(careless.pinned())
        assert careless.get(kept=1) == "kept"
        CLOCK.advance(100)
        # Too old to be served by this cache, and not its own to be removed.
        assert not careless.exists(kept=1)
        assert careless.cleanup_expired() == 2
        assert careless.unpin(cache_key="model_0")
        _fill(careless, range(20, 22))
        assert not careless.exists(cache_key="model_0")
    with BlobStore(directory) as store:
        assert store.list("model_") == sorted(names[1:30])
        assert store.get(names[30]) == "random"
        # A pin ends with its entry.
        assert store.delete("model_1")
    with _cache(tmp_path) as cache:
        assert "model_1" not in cache.pinned()


def test_what_a_store_has_replaced_is_an_artifact(tmp_path: Path) -> None:
    with _cache(tmp_path, metadata_backend="json") as cache:
        cache.put(1, cache_key="a")
        assert cache.pinned() == []
    with BlobStore(tmp_path / "cache") as store:
        store.put(2, key="a")
        store.update_metadata("a", {"stage": "test"})
    with _cache(tmp_path) as cache:
        assert cache.pinned() == ["a"]
        cache.put(3, cache_key="a")
        assert cache.pinned() == ["a"]


@pytest.mark.parametrize("method", ["touch", "pin", "unpin", "invalidate"])
def test_nothing_is_changed_in_a_cache_that_is_read_only(tmp_path: Path, method: str) -> None:
    with _cache(tmp_path) as cache:
        cache.put(1, i=1)
    with _cache(tmp_path, read_only=True) as cache:
        for i in (1, 2):
            with pytest.raises(CacheReadOnlyError, match="read-only"):
                getattr(cache, method)(i=i)
        for change in (cache.cleanup_expired, cache.clear):
            with pytest.raises(CacheReadOnlyError, match="read-only"):
                change()


def test_a_time_to_live_that_makes_no_sense_is_refused_also_where_there_is_nothing(tmp_path: Path) -> None:
    with _cache(tmp_path) as cache:
        for wrong in (-1, float("nan"), float("inf"), 1e300):
            with pytest.raises(CacheConfigurationError, match="ttl_seconds is"):
                cache.touch(i=99, ttl_seconds=wrong)
            with pytest.raises(CacheConfigurationError, match="stale_ttl_seconds: "):
                cached(cache_instance=cache, stale_ttl_seconds=wrong)
