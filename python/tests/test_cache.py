"""Put, get, expiry, listings, statistics."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import pickle
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import cacheness as package
from cacheness import (
    BlobStore,
    Cache,
    CacheClosedError,
    CacheConfig,
    CacheConfigurationError,
    CacheStorageConfig,
    Clock,
    UnifiedCache,
    cacheness,
)

VALUES: list[Any] = [
    None,
    True,
    0,
    -(2**70),
    1.5,
    float("inf"),
    "héllo",
    "",
    b"\x00\xff",
    bytearray(b"x"),
    [1, [2, (3, {"a": None})]],
    (1, 2),
    {1, 2},
    frozenset({1, "a"}),
    {"a": 1, 2: "b", (1, 2): [3]},
    range(3, 9, 2),
    1 + 2j,
    decimal.Decimal("1.10"),
    uuid.UUID(int=5),
    Path("a/b"),
    dt.date(2026, 11, 20),
    dt.datetime(2026, 11, 20, 12, 30, 15, 123456),
    dt.datetime(2026, 11, 20, tzinfo=dt.UTC),
    dt.timedelta(days=-1, microseconds=5),
    "x" * 1_000_000,
    list(range(100_000)),
    {"weights": [0.1] * 1000, "name": "model"},
]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: f"{type(v).__name__}-{str(v)[:20]}")
def test_plain_values_come_back_equal_and_of_the_same_type(cache: Cache, value: Any) -> None:
    cache.put(value, kind="plain")
    found = cache.get(kind="plain", default="missing")
    assert found == value
    assert type(found) is type(value)
    entry = cache.get_metadata(kind="plain")
    assert entry is not None
    assert (entry["storage_format"], entry["data_type"]) == ("msgpack", "plain")


def test_arrays_and_tables_come_back(cache: Cache) -> None:
    array = np.arange(12.0).reshape(3, 4)
    cache.put(array, kind="array")
    found = cache.get(kind="array")
    np.testing.assert_array_equal(found, array)
    found[0, 0] = 99
    np.testing.assert_array_equal(cache.get(kind="array"), array)

    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=pd.Index([10, 20], name="id"))
    cache.put(frame, kind="pandas")
    pd.testing.assert_frame_equal(cache.get(kind="pandas"), frame)
    cache.put(frame["a"], kind="series")
    pd.testing.assert_series_equal(cache.get(kind="series"), frame["a"])

    polars = pl.DataFrame({"a": [1, None], "b": ["x", "y"]})
    cache.put(polars, kind="polars")
    assert cache.get(kind="polars").equals(polars)

    table = pa.table({"a": [1, 2]})
    cache.put(table, kind="arrow")
    assert cache.get(kind="arrow").equals(table)
    types = {e["cache_key_params"]["kind"]: e["data_type"] for e in cache.list_entries(include_metadata=True)}
    assert types == {
        "array": "array",
        "pandas": "dataframe",
        "series": "series",
        "polars": "dataframe",
        "arrow": "table",
    }


def test_a_stored_none_is_a_hit(cache: Cache) -> None:
    cache.put(None, x=1)
    missing = object()
    assert cache.get(x=1, default=missing) is None
    assert cache.get(x=2, default=missing) is missing
    assert cache.get(x=2) is None
    stats = cache.get_stats()
    assert (stats["cache_hits"], stats["cache_misses"], stats["hit_rate"]) == (1, 2, pytest.approx(1 / 3))


@pytest.mark.parametrize("backend", ["sqlite", "json", "memory"])
def test_statistics_say_when_the_oldest_and_the_newest_entry_were_put(tmp_path: Path, backend: str) -> None:
    clock = Clock(0)
    with Cache(cache_dir=tmp_path, backend=backend, clock=clock) as cache:
        assert not {"oldest_entry_date", "newest_entry_date"} & set(cache.get_stats())
        assert not {"oldest_entry_date", "newest_entry_date"} & set(cache.get_stats(dates=True))
        cache.put(1, x=1)
        clock.advance(60)
        cache.put(2, x=2)
        stats = cache.get_stats()
        assert stats["oldest_entry_date"] == "1970-01-01T00:00:00.000000+00:00"
        assert stats["newest_entry_date"] == "1970-01-01T00:01:00.000000+00:00"
        assert "oldest_entry_date" not in cache.get_stats(dates=False)


def test_parameters_are_told_apart_by_type_and_not_by_order(cache: Cache) -> None:
    key = cache.put(1, a=1, b="x")
    assert cache.put(2, b="x", a=1) == key
    assert cache.get(b="x", a=1) == 2
    assert [cache.get(a=a, b="x") for a in (1.0, True, "1")] == [None, None, None]


def test_reserved_keywords_go_into_params(cache: Cache) -> None:
    cache.put("value", params={"ttl_seconds": 5, "params": 1}, model="x")
    assert cache.get(params={"ttl_seconds": 5, "params": 1}, model="x") == "value"
    assert cache.get(params={"ttl_seconds": 6, "params": 1}, model="x") is None
    with pytest.raises(TypeError, match="default is a reserved keyword"):
        cache.put(1, default=3)
    for keyword in ("verify", "check_expiration", "stale_ttl_seconds", "early_recompute"):
        for method in (lambda **params: cache.put(1, **params), cache.get, cache.exists):
            with pytest.raises(TypeError, match=f"{keyword} is a reserved keyword of get_.*params={{'{keyword}'"):
                method(x=1, **{keyword: 1})
        cache.put(keyword, params={keyword: 1})
        assert cache.get(params={keyword: 1}) == keyword
    with pytest.raises(TypeError, match="given twice"):
        cache.get(params={"a": 1}, a=1)
    with pytest.raises(TypeError, match="no parameters"):
        cache.get()
    with pytest.raises(TypeError, match="not both"):
        cache.get(cache_key="x", a=1)
    # What belongs to the entry and not to its key may be given to every method.
    cache.put(1, x=1, metadata={"a": 1}, description="d", ttl_seconds=60)
    assert cache.get(x=1, metadata={"b": 2}, description="other") == 1


def test_metadata_and_descriptions(cache: Cache) -> None:
    metadata = {"accuracy": 0.95, "when": dt.date(2026, 1, 1), "shape": (3, 4), "tags": ["a"], "nested": {1: None}}
    key = cache.put([1], model="m", fold=3, metadata=metadata, description="baseline")
    assert cache.get_with_metadata(model="m", fold=3) == ([1], metadata)
    assert cache.get_with_metadata(model="n") is None
    [entry] = cache.list_entries(include_metadata=True)
    assert entry["metadata"] == metadata
    assert entry["cache_key"] == key
    assert entry["cache_key_params"] == {"fold": 3, "model": "m"}
    assert entry["description"] == "baseline"
    assert dt.datetime.fromisoformat(entry["created"]).tzinfo is dt.UTC
    assert dt.datetime.fromisoformat(entry["created_at"]).tzinfo is None
    assert entry["size_mb"] == entry["file_size"] / 2**20
    assert len(entry["file_hash"]) == 16
    assert len(entry["entry_signature"]) == 64
    [brief] = cache.list_entries()
    assert "metadata" not in brief
    assert cache.get_metadata(cache_key=key) == cache.get_metadata(model="m", fold=3)
    assert cache.get(cache_key=key) == [1]
    with pytest.raises(TypeError, match="metadata must be a dict"):
        cache.put(1, x=1, metadata=[1])  # type: ignore[arg-type]
    with pytest.raises(package.CacheSerializationError):
        cache.put(1, x=1, metadata={"a": object()})
    assert not cache.exists(x=1)


def test_entries_expire(tmp_path: Path) -> None:
    clock = Clock(1_700_000_000)
    cache = Cache(tmp_path, default_ttl_seconds=60, clock=clock)
    cache.put("default", x=1)
    cache.put("short", x=2, ttl_seconds=10)
    cache.put("ever", x=3, ttl_seconds=None)
    cache.put("delta", x=4, ttl_seconds=dt.timedelta(seconds=30))
    clock.advance(10)
    assert [cache.get(x=x) for x in (1, 2, 3, 4)] == ["default", None, "ever", "delta"]
    assert cache.get_metadata(x=2) is None
    assert cache.get_metadata(x=2, check_expiration=False) is not None
    assert cache.get(x=3, ttl_seconds=5) is None, "older than the caller wants"
    clock.advance(50)
    assert [cache.get(x=x) for x in (1, 2, 3, 4)] == [None, None, "ever", None]
    assert len(cache) == 4
    assert cache.cleanup_expired() == 3
    assert len(cache) == 1
    with pytest.raises(CacheConfigurationError, match="ttl_seconds is -1"):
        cache.put(1, x=5, ttl_seconds=-1)
    with pytest.raises(TypeError, match="ttl_seconds must be"):
        cache.put(1, x=5, ttl_seconds="soon")  # type: ignore[arg-type]
    assert not cache.exists(x=5)
    cache.close()
    cache = Cache(tmp_path, cleanup_on_init=True, clock=Clock(1_800_000_000))
    assert cache.get(x=3) == "ever"


def test_invalidate_and_clear(cache: Cache) -> None:
    keys = [cache.put(x, x=x) for x in range(4)]
    assert cache.exists(x=0)
    assert cache.invalidate(x=0)
    assert not cache.invalidate(x=0)
    assert cache.invalidate_by_cache_key(keys[1])
    assert not cache.invalidate_by_cache_key("0" * 16)
    assert len(cache) == 2
    assert cache.clear() == 2
    assert len(cache) == 0
    assert bool(cache)


def test_configurations(tmp_path: Path) -> None:
    for opened in (
        cacheness(tmp_path / "a"),
        cacheness(str(tmp_path / "b")),
        cacheness(cache_dir=tmp_path / "c"),
        cacheness(CacheConfig(storage=CacheStorageConfig(cache_dir=tmp_path / "d"))),
        UnifiedCache(cache_dir=tmp_path / "e", default_ttl_seconds=5, shard_chars=3, durability="full"),
        Cache.for_api(tmp_path / "f", ttl_seconds=60),
    ):
        opened.put(b"x" * 50_000, x=1)
        assert opened.get(x=1) == b"x" * 50_000
        opened.close()
    assert cacheness is Cache
    for options, match in [
        ({"chard_chars": 2}, "unknown option 'chard_chars'"),
        ({"shard_chars": 9}, "shard_chars is 9"),
        ({"pickle_compression_codec": "lz5"}, "lz5"),
        ({"default_ttl_seconds": -1}, "default_ttl_seconds"),
        ({"backend": "oracle"}, "oracle"),
        ({"custom_signed_fields": ["file_hsah"]}, "file_hsah"),
        ({"default_ttl_seconds": object()}, "default_ttl_seconds is a object"),
        ({"handler_priority": ["a", "a"]}, "twice"),
    ]:
        with pytest.raises(CacheConfigurationError, match=match):
            cacheness(cache_dir=tmp_path / "g", **options)
    with pytest.raises(CacheConfigurationError) as error:
        cacheness(cache_dir=tmp_path / "g", chard_chars=2)
    assert error.value.hint == "did you mean 'shard_chars'?"
    assert not (tmp_path / "g").exists()


def test_repr_and_closing(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        cache.put(1, x=1)
        cache.get(x=1)
        assert "1 entries" in repr(cache)
        assert "hit rate 100%" in repr(cache)
        assert "sqlite" in repr(cache)
    assert "closed" in repr(cache)
    for call in (lambda: cache.put(1, x=1), lambda: cache.get(x=1), cache.list_entries, cache.get_stats, cache.clear):
        with pytest.raises(CacheClosedError):
            call()
    cache.close()


def test_a_cache_pickles_as_its_configuration(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache", default_ttl_seconds=60) as cache:
        cache.put(1, x=1)
        again = pickle.loads(pickle.dumps(cache))
        assert again.get(x=1) == 1
        assert again.config == cache.config
        again.close()


def test_memory_maps(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", array_format="npy")
    array = np.random.default_rng(0).random((1000, 100))
    cache.put(array, x=1)
    mapped = cache.get(x=1, mmap_mode="r")
    np.testing.assert_array_equal(mapped, array)
    with pytest.raises(ValueError, match="read-only"):
        mapped[0, 0] = 1
    own = cache.get(x=1, mmap_mode="c")
    own[0, 0] = 1
    np.testing.assert_array_equal(cache.get(x=1), array)
    with pytest.raises(ValueError, match="mmap_mode"):
        cache.get(x=1, mmap_mode="w")
    cache.put([1], x=2)
    with pytest.raises(package.CacheUnsupportedError, match="cannot be mapped"):
        cache.get(x=2, mmap_mode="r")


def test_slices(tmp_path: Path) -> None:
    array = np.arange(1_000_000.0).reshape(1000, 1000)
    for options in ({"array_format": "blosc2"}, {"array_format": "npy"}):
        cache = Cache(tmp_path / options["array_format"], **options)
        cache.put(array, x=1)
        np.testing.assert_array_equal(cache.get_slice(np.s_[10:20, 5], x=1), array[10:20, 5])
        np.testing.assert_array_equal(cache.get_slice(np.s_[..., -3:], x=1), array[..., -3:])
        assert cache.get_slice(np.s_[0], x=2, default="nothing") == "nothing"
        cache.put([1], x=3)
        with pytest.raises(package.CacheUnsupportedError, match="only arrays have slices"):
            cache.get_slice(np.s_[0], x=3)


def test_importing_is_light() -> None:
    import subprocess
    import sys

    script = (
        "import sys, cacheness\n"
        "heavy = {'numpy', 'pandas', 'polars', 'pyarrow', 'sqlalchemy', 'dill'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "cache = cacheness.cacheness(':memory:')\n"
        "cache.put({'a': (1, 2)}, x=1)\n"
        "assert cache.get(x=1) == {'a': (1, 2)}\n"
        "heavy = {'numpy', 'pandas', 'polars', 'pyarrow', 'sqlalchemy', 'dill'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_entry_says_what_compression_has_saved(tmp_path: Path) -> None:
    smooth = np.arange(200_000.0)
    frame = pd.DataFrame({"a": np.arange(50_000), "b": 1.5})
    values: dict[str, tuple[Any, int | None]] = {
        "small": (1, None),
        "text": ("x" * 100_000, 100_005),
        "array": (smooth, smooth.nbytes),
        "table": (frame, 16 * 50_000),
        "pickle": ([Whole("y" * 100_000)], None),
        "noise": (np.random.default_rng(1).bytes(100_000), None),
    }
    for backend in ("sqlite", "json"):
        with Cache(tmp_path / backend, metadata_backend=backend) as cache:
            for name, (value, _) in values.items():
                cache.put(value, name=name)
        with Cache(tmp_path / backend) as cache:
            for name, (_, original) in values.items():
                entry = cache.get_metadata(name=name)
                assert entry is not None
                info = entry["compression_info"]
                assert info["codec"] == entry["compression_codec"]
                assert info["format"] == entry["storage_format"]
                assert info["compressed_size"] == entry["file_size"]
                assert original is None or original <= info["original_size"] <= original + 1000
                assert info["ratio"] == info["original_size"] / entry["file_size"]
                if name in ("small", "noise"):
                    assert (info["codec"], info["ratio"]) == ("none", 1.0)
                else:
                    assert info["ratio"] > 2
            array = cache.get_metadata(name="array")
            assert array is not None
            assert array["compression_info"]["original_size"] == smooth.nbytes


class Whole:
    """What can only be pickled."""

    def __init__(self, text: str) -> None:
        self.text = text


def test_what_a_read_only_cache_misses_is_computed_and_returned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Cache(tmp_path / "cache") as cache:
        cache.put(1, x=1)
    with Cache(tmp_path / "cache", read_only=True) as cache, caplog.at_level("WARNING", "cacheness"):
        assert cache.get_or_compute(lambda: 2, x=1) == 1
        assert [cache.get_or_compute(lambda: 3, x=2) for _ in range(2)] == [3, 3]
        with pytest.raises(ZeroDivisionError):
            cache.get_or_compute(lambda: 1 / 0, x=3)
        assert len(cache) == 1
    assert caplog.text.count("is read-only") == 1


@pytest.mark.parametrize("kind", [Cache, BlobStore])
def test_what_is_in_memory_cannot_be_pickled_or_copied(kind: type) -> None:
    with kind(":memory:") as store:
        for copied in (lambda store: pickle.loads(pickle.dumps(store)), copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="in memory belongs to its process"):
                copied(store)
    with Cache(":memory:") as cache:
        assert cache.cache_key(x=cache) == cache.cache_key(x=cache), "an object that holds one has a key"


def test_what_would_expire_after_the_last_year_never_does(cache: Cache) -> None:
    for x, ttl in enumerate([dt.timedelta.max, 2.6e11, dt.timedelta(days=366 * 8000)]):
        cache.put(x, x=x, ttl_seconds=ttl)
        assert cache.get(x=x) == x
        entry = cache.get_metadata(x=x)
        assert entry is not None and entry["expires_at"] is None
    cache.put(9, x=9, ttl_seconds=dt.timedelta(days=365 * 7900))
    entry = cache.get_metadata(x=9)
    assert entry is not None and dt.datetime.fromisoformat(entry["expires_at"]).year > 9900
