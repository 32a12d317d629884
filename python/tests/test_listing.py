"""Listings of many entries: complete, in order, whatever else goes on."""

from __future__ import annotations

import gc
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from cacheness import Cache, Clock

COUNT = 1500


def _fill(cache: Cache) -> dict[str, int]:
    keys = {}
    for i in range(COUNT):
        options = {"metadata": {"i": i, "half": i / 2}} if i % 3 else {}
        keys[cache.put(i, kind=("x", i), i=i, **options)] = i
    return keys


def test_every_entry_is_listed_once_in_the_order_of_the_keys(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        keys = _fill(cache)
        for detail in (True, False):
            listed = cache.list_entries(include_metadata=detail)
            assert [entry["cache_key"] for entry in listed] == sorted(keys)
        for entry in cache.list_entries(include_metadata=True):
            i = keys[entry["cache_key"]]
            assert entry["cache_key_params"] == {"kind": ["x", i], "i": i}
            assert entry["metadata"] == ({"i": i, "half": i / 2} if i % 3 else {})
            assert entry == cache.get_entry(entry["cache_key"])


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 512])
def test_pages_end_where_they_end(tmp_path: Path, count: int) -> None:
    with Cache(tmp_path / "cache") as cache:
        for i in range(count):
            cache.put(i, i=i)
        assert len({entry["cache_key"] for entry in cache.list_entries()}) == count


def test_entries_share_nothing_that_can_be_changed(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        for i in range(3):
            cache.put(i, i=i, metadata={"list": [1]})
        first, second, third = cache.list_entries(include_metadata=True)
        first["compression_info"]["codec"] = first["new"] = first["serializer"] = "changed"
        first["metadata"]["list"].append(2)
        first["cache_key_params"].clear()
        sizes = {"original_size": 1, "compressed_size": 1, "ratio": 1.0}
        plain = {"codec": "none", "format": "msgpack", **sizes}
        assert second["compression_info"] == third["compression_info"] == plain
        assert "new" not in second
        assert second["metadata"] == third["metadata"] == {"list": [1]}
        assert list(second) == list(third)


def test_entries_of_all_formats_say_what_they_are(tmp_path: Path) -> None:
    clock = Clock(1_700_000_000)
    with Cache(tmp_path / "cache", clock=clock, default_ttl_seconds=None) as cache:
        noise = np.random.default_rng(0).random(20_000)
        keys = [
            cache.put({"a": 1}, cache_key="0 plain"),
            cache.put(
                noise, cache_key="1 array", description="noise", metadata={"when": datetime(2026, 1, 1, tzinfo=UTC)}
            ),
            cache.put([2], cache_key="2 plain", ttl_seconds=10),
            cache.put(noise, cache_key="3 array"),
            cache.put({3}, cache_key="4 set"),
        ]
        clock.advance(1)
        cache.get(cache_key="2 plain")
        plain, array, fleeting, other, members = cache.list_entries(include_metadata=True)
        assert [entry["cache_key"] for entry in (plain, array, fleeting, other, members)] == keys
        assert [plain[name] for name in ("description", "actual_path", "expires_at", "access_count")] == [
            None,
            None,
            None,
            0,
        ]
        assert (plain["inline"], array["inline"], members["object_type"]) == (True, False, "builtins.set")
        assert array["actual_path"].startswith("blobs/")
        assert array["actual_path"] != other["actual_path"]
        assert (array["description"], other["description"]) == ("noise", None)
        assert array["metadata"] == {"when": datetime(2026, 1, 1, tzinfo=UTC)}
        size = array["file_size"]
        assert array["compression_info"] == {
            "codec": array["compression_codec"],
            "format": array["storage_format"],
            "original_size": size,
            "compressed_size": size,
            "ratio": 1.0,
        }
        assert fleeting["expires_at"] == "2023-11-14T22:13:30.000000+00:00"
        assert (fleeting["access_count"], fleeting["accessed_at"]) == (1, "2023-11-14T22:13:21.000000+00:00")
        assert (
            fleeting["created_at"]
            == fleeting["created"]
            == plain["last_accessed"]
            == "2023-11-14T22:13:20.000000+00:00"
        )
        assert plain["cache_key_params"] is None


def test_the_collector_is_as_it_was(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        cache.put(0, i=0, metadata={"when": datetime(2026, 1, 1, tzinfo=UTC)})
        assert gc.isenabled()
        cache.list_entries(include_metadata=True)
        assert gc.isenabled()
        gc.disable()
        try:
            cache.list_entries(include_metadata=True)
            assert not gc.isenabled()
        finally:
            gc.enable()


def test_listing_while_others_write_and_list(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        keys = _fill(cache)
        stop = threading.Event()

        def write() -> None:
            i = 0
            while not stop.is_set():
                cache.put(i, new=i)
                cache.invalidate(new=i - 1)
                i += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            counts = []
            threads = [
                threading.Thread(
                    target=lambda: counts.append(
                        len(keys.keys() & {entry["cache_key"] for entry in cache.list_entries()})
                    )
                )
                for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            stop.set()
            writer.join()
        assert counts == [COUNT] * 4


def test_a_closed_cache_lists_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    _fill(cache)
    cache.close()
    with pytest.raises(Exception, match="closed"):
        cache.list_entries()
