"""Entries kept in memory: which ones stay, and what statistics say of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cacheness import Cache, CacheConfigurationError, Clock

#: Entries kept at most, spread over 16 shards of ten.
KEPT = 160


def _open(directory: Path, policy: str) -> Cache:
    return Cache(
        cache_dir=directory, memory_cache_type=policy, memory_cache_maxsize=KEPT, memory_cache_stats=True, shard_chars=0
    )


def _warm(cache: Cache) -> None:
    """Enough reads for a cache to begin keeping entries."""
    for i in range(10):
        cache.get(nothing=i)


def _from_memory(cache: Cache, names: list[str]) -> int:
    """How many of these gets touched no file."""
    before = cache.get_stats()["memory_cache_hits"]
    for name in names:
        assert cache.get(cache_key=name) == name
    return int(cache.get_stats()["memory_cache_hits"] - before)


@pytest.mark.parametrize("policy", ["lru", "lfu", "fifo", "rr"])
def test_what_is_kept_is_served_and_bounded(tmp_path: Path, policy: str) -> None:
    names = [f"k{i:04}" for i in range(1000)]
    with _open(tmp_path, policy) as cache:
        _warm(cache)
        for name in names:
            cache.put(name, cache_key=name)
        # Newest first: what is kept is met before others take its place.
        assert 0 < _from_memory(cache, names[::-1]) <= KEPT


def test_each_policy_keeps_others(tmp_path: Path) -> None:
    often = [f"often{i:04}" for i in range(16)]
    old = [f"old{i:04}" for i in range(KEPT)]
    new = [f"new{i:04}" for i in range(2 * KEPT)]
    kept = {}
    for policy in ("lru", "lfu", "fifo", "rr"):
        with _open(tmp_path / policy, policy) as cache:
            _warm(cache)
            for name in [*often, *old, *new]:
                cache.put(name, cache_key=name)
                if name in often:
                    assert _from_memory(cache, [name] * 5) == 5
            # A get that is not answered from memory puts its entry there, so what is old is asked after what is often.
            kept[policy] = _from_memory(cache, often), _from_memory(cache, old)
    assert kept["lfu"][0] == len(often)
    assert kept["lru"] == kept["fifo"] == (0, 0)
    assert kept["rr"][1] > 0


def test_an_unknown_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CacheConfigurationError, match=r"(?s)best.*lru.*lfu.*fifo.*rr"):
        Cache(cache_dir=tmp_path, memory_cache_type="best")


def test_statistics_of_memory_are_there_when_asked_for(tmp_path: Path) -> None:
    with Cache(cache_dir=tmp_path) as cache:
        assert "memory_cache_hits" not in cache.get_stats()


@pytest.mark.parametrize("memory", [True, False])
def test_reads_write_nothing_before_they_are_written_down(tmp_path: Path, memory: bool) -> None:
    directory = tmp_path / "cache"
    clock = Clock()

    def written() -> dict[str, tuple[int, int]]:
        files = [path for path in directory.rglob("*") if path.is_file() and not path.name.endswith("-shm")]
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}

    with Cache(directory, clock=clock, enable_memory_cache=memory) as cache:
        cache.put("small", x=1)
        cache.put(bytes(100_000), x=2)
        cache.get(x=1)
        before = written()
        for _ in range(500):
            assert cache.get(x=1) == "small"
            assert cache.get(x=2) is not None
            assert cache.get(x=3) is None
            assert cache.exists(x=1)
            cache.get_stats()
        assert cache.get_stats()["cache_hits"] == 1001
        assert cache.get_metadata(x=1)["access_count"] == 501  # type: ignore[index]
        assert written() == before
    with Cache(directory) as cache:
        assert cache.get_metadata(x=1)["access_count"] == 501  # type: ignore[index]
