"""Listings of many entries: complete, in order, whatever else goes on."""

from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime
from html.parser import HTMLParser
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
            assert all(("metadata" in entry) == detail for entry in listed)
        full = cache.list_entries(include_metadata=True)
        for brief, entry in zip(cache.list_entries(), full, strict=True):
            assert brief == {name: value for name, value in entry.items() if name != "metadata"}
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
            "",
            None,
            None,
            0,
        ]
        assert (plain["inline"], array["inline"], members["object_type"]) == (True, False, "builtins.set")
        assert array["actual_path"].startswith("blobs/")
        assert array["actual_path"] != other["actual_path"]
        assert (array["description"], other["description"]) == ("noise", "")
        assert array["metadata"] == {"when": datetime(2026, 1, 1, tzinfo=UTC)}
        size = array["file_size"]
        assert array["compression_info"] == {
            "codec": array["compression_codec"],
            "format": array["storage_format"],
            "original_size": size,
            "compressed_size": size,
            "ratio": 1.0,
        }
        assert fleeting["expires"] == "2023-11-14T22:13:30.000000+00:00"
        assert (fleeting["access_count"], fleeting["last_accessed"]) == (1, "2023-11-14T22:13:21.000000+00:00")
        assert fleeting["created"] == plain["last_accessed"] == "2023-11-14T22:13:20.000000+00:00"
        assert plain["expires"] is None
        assert plain["cache_key_params"] is None


LOCAL = """
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo
from cacheness import Cache, Clock

zone = ZoneInfo(sys.argv[1])
# Hours around the ends of summer time in both hemispheres, and years before and after.
starts = [datetime(2026, month, day, tzinfo=UTC) for month, day in ((3, 28), (4, 4), (10, 3), (10, 24), (7, 1))]
moments = [start + timedelta(hours=hours) for start in starts for hours in range(48)]
moments += [datetime(1971, 6, 1, 12, 34, 56, 789000, tzinfo=UTC), datetime(2199, 1, 1, tzinfo=UTC)]
for moment in moments:
    clock = Clock(moment)
    with Cache(":memory:", clock=clock) as cache:
        cache.put(1, cache_key="a", ttl_seconds=3600)
        entry = cache.get_entry("a")
        assert datetime.fromisoformat(entry["created"]) == moment, entry
        local = datetime.fromisoformat(entry["created_at"])
        assert local == moment.astimezone(zone).replace(tzinfo=None), (entry, moment)
        assert local == datetime.fromtimestamp(moment.timestamp()), "what datetime.now() said then"
        ends = (moment + timedelta(hours=1)).astimezone(zone).replace(tzinfo=None)
        assert datetime.fromisoformat(entry["expires_at"]) == ends
        assert entry["accessed_at"] == entry["created_at"]
with Cache(":memory:") as cache:
    before = datetime.now()
    cache.put(1, x=1)
    entry = cache.list_entries()[0]
    made = datetime.fromisoformat(entry["created_at"])
    assert before <= made <= datetime.now(), (before, made)
    week_ago = datetime.now() - timedelta(days=7)
    assert not datetime.fromisoformat(entry["created_at"]) < week_ago
    assert cache.delete_where(lambda e: datetime.fromisoformat(e["created_at"]) < week_ago) == 0
    cutoff = (datetime.now(UTC) - timedelta(days=7)).isoformat()
    assert cache.delete_where(lambda e: (e.get("created") or "") < cutoff) == 0
    assert cache.delete_where(lambda e: e["created"] <= datetime.now(UTC).isoformat()) == 1
"""


@pytest.mark.parametrize(
    "zone", ["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Kiritimati", "Europe/Berlin"]
)
def test_times_are_right_in_utc_and_in_local_time(zone: str) -> None:
    environment = {**os.environ, "TZ": zone}
    subprocess.run([sys.executable, "-c", LOCAL, zone], env=environment, check=True)


def test_metadata_also_answers_for_technical_fields(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        noise = np.random.default_rng(0).random(20_000)
        key = cache.put(noise, x=1, metadata={"storage_format": "mine", "accuracy": 0.9})
        entry = cache.get_entry(key)
        metadata = entry["metadata"]
        for name in ("file_hash", "entry_signature", "actual_path", "object_type", "serializer"):
            assert metadata[name] == metadata.get(name, "N/A") == entry[name]
            assert name in metadata
        assert metadata["storage_format"] == metadata.get("storage_format") == "mine", "the user's goes before"
        assert metadata.get("s3_etag", "N/A") == "N/A" and "s3_etag" not in metadata
        with pytest.raises(KeyError):
            metadata["s3_etag"]
        # What can be put again is the user's alone.
        user = {"storage_format": "mine", "accuracy": 0.9}
        assert metadata == dict(metadata) == {**metadata} == user == json.loads(json.dumps(metadata))
        assert type(pickle.loads(pickle.dumps(metadata))) is type(copy.copy(metadata)) is dict
        cache.put(1, x=2, metadata=metadata)
        assert cache.get_with_metadata(x=2)[1] == user
        assert cache.get_metadata(x=2)["metadata"].get("actual_path", "none") == "none"


def test_listings_and_totals_show_themselves(tmp_path: Path) -> None:
    nasty = "<script>alert('x')</script>&"
    with Cache(tmp_path / "cache") as cache:
        assert repr(cache.list_entries()) == "[]"
        cache.put(np.arange(5000), model=nasty, window=3)
        cache.put({"a": 1}, cache_key=nasty + "long" * 100, description=nasty, metadata={nasty: nasty})
        listed = cache.list_entries(include_metadata=True)
        assert isinstance(listed, list) and listed == list(listed)
        text = repr(listed)
        assert "window" in text and "array" in text and str(listed[0]["created_at"])[:10] in text
        assert max(map(len, text.splitlines())) < 220 and len(text.splitlines()) == 3
        cache.put(1, cache_key=nasty)
        for shown in (cache, cache.list_entries(), cache.get_stats(), cache.verify_integrity()):
            html = shown._repr_html_()
            assert "<script" not in html and html.count("<table") == html.count("</table>") <= 1
            assert set(re.findall("<([a-z]+)", html)) <= {"table", "thead", "tbody", "tr", "th", "td", "p"}
        assert html_text(cache.list_entries()._repr_html_()).count(nasty) >= 2
        for i in range(40):
            cache.put(i, i=i)
        for text in (repr(cache.list_entries()), cache.list_entries()._repr_html_()):
            assert "23 more" in text
        totals = cache.get_stats()
        assert isinstance(totals, dict) and "total_entries" in totals._repr_html_()
    assert "closed" in cache._repr_html_()


def html_text(html: str) -> str:
    parser = HTMLParser()
    found: list[str] = []
    parser.handle_data = found.append  # type: ignore[method-assign]
    parser.feed(html)
    return "\n".join(found)


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
