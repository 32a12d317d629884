"""Configurations: what a cache makes of them, and what is said where one makes no sense."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import inspect
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cacheness import (
    BlobStore,
    Cache,
    CacheBlobConfig,
    CacheConfig,
    CacheConfigurationError,
    CacheError,
    CacheHandler,
    CacheMetadataConfig,
    CacheReadOnlyError,
    CacheSerializationError,
    CacheStorageConfig,
    Clock,
    CompressionConfig,
    HandlerConfig,
    SecurityConfig,
    SerializationConfig,
    cached,
    register_handler,
    unregister_handler,
)

SECTIONS = {
    "storage": CacheStorageConfig,
    "metadata": CacheMetadataConfig,
    "compression": CompressionConfig,
    "serialization": SerializationConfig,
    "handlers": HandlerConfig,
    "blob": CacheBlobConfig,
    "security": SecurityConfig,
}


def refused(call: Any) -> CacheConfigurationError:
    """The error that the call raises."""
    with pytest.raises(CacheConfigurationError) as caught:
        call()
    return caught.value


def test_a_cache_has_a_configuration_of_its_own(tmp_path: Path) -> None:
    config = CacheConfig(handlers=HandlerConfig(["arrow_tables"]))
    given = copy.deepcopy(config)
    with Cache(config, cache_dir=tmp_path / "a") as a, Cache(config, cache_dir=tmp_path / "b") as b:
        assert config == given
        config.storage.cache_dir = tmp_path / "c"
        config.metadata.memory_cache_stats = True
        config.handlers.handler_priority.append("polars_series")
        a.put("a", x=1)
        b.put("b", x=1)
        assert [Path(c.cache_dir).name for c in (a, b)] == ["a", "b"]
        assert str(tmp_path / "a") in repr(a)
        assert a.get_stats()["cache_dir"] == str(tmp_path / "a")
        assert "memory_cache_hits" not in a.get_stats()
        assert a.handler_registry.list_handlers()[0]["name"] == "arrow_tables"
        assert a.handler_registry.list_handlers()[1]["name"] == "plain_objects"
        with pickle.loads(pickle.dumps(a)) as again:
            assert again.get(x=1) == "a"
        a.config.storage.cache_dir = tmp_path / "d"
        assert Path(a.config.storage.cache_dir) == tmp_path / "a"


def test_a_store_has_a_configuration_of_its_own(tmp_path: Path) -> None:
    config = CacheConfig()
    given = copy.deepcopy(config)
    with BlobStore(tmp_path / "a", config=config) as a, BlobStore(tmp_path / "b", "json", config=config) as b:
        assert config == given
        config.storage.cache_dir = tmp_path / "c"
        a.put("a", key="x")
        assert (Path(a.cache_dir), Path(b.cache_dir)) == (tmp_path / "a", tmp_path / "b")
        with pickle.loads(pickle.dumps(a)) as again:
            assert again.get("x") == "a"
    config = CacheConfig(CacheStorageConfig(tmp_path / "e"))
    with BlobStore(config=config) as store:
        assert Path(store.cache_dir) == tmp_path / "e"
    with BlobStore() as store:
        assert store.cache_dir == ".blobstore"


@pytest.mark.parametrize("section", [*SECTIONS, None])
def test_what_is_no_option_is_refused_where_it_is_assigned(section: str | None) -> None:
    config = CacheConfig()
    part = config if section is None else getattr(config, section)
    error = refused(lambda: setattr(part, "zzzzz", 1))
    assert str(error).startswith(f"unknown option 'zzzzz' of {type(part).__name__}\nhint: the options are ")
    error = refused(lambda: type(part)(zzzzz=1))
    assert f"unknown option 'zzzzz' of {type(part).__name__}" in str(error)
    assert isinstance(error, TypeError)
    # And what has come in by the back door.
    vars(part)["zzzzz"] = 1
    assert "unknown option 'zzzzz'" in str(refused(lambda: Cache(config, cache_dir=":memory:")))


def test_an_option_that_does_not_exist_is_refused_with_the_one_that_was_meant() -> None:
    config = CacheConfig()
    for call, hint in [
        (lambda: setattr(config.storage, "max_cache_size", 5), "did you mean 'max_cache_size_mb'?"),
        (lambda: CacheStorageConfig(max_cache_size=1), "did you mean 'max_cache_size_mb'?"),
        (lambda: CacheConfig(storge=1), "did you mean 'storage'?"),
        (lambda: CacheConfig(cache_dri="x"), "did you mean 'cache_dir'?"),
        (lambda: setattr(config, "max_entrys", 5), "did you mean 'max_entries'?"),
        (lambda: setattr(config.metadata, "max_entries", 5), "it is an option of the section 'storage'"),
        (lambda: setattr(config.handlers, "enable_numpy_array", False), "did you mean 'enable_numpy_arrays'?"),
        (lambda: CacheBlobConfig(bukcet="b"), "did you mean 'bucket'?"),
        (lambda: Cache(":memory:", handler_priorities=[]), "did you mean 'handler_priority'?"),
    ]:
        assert refused(call).hint == hint
    assert "unknown option 'self'" in str(refused(lambda: CacheConfig(self=1)))
    with pytest.raises(CacheConfigurationError, match="takes from 1 to 5 positional arguments"):
        SerializationConfig(True, True, 10, 10, False)
    with pytest.raises(CacheConfigurationError, match="multiple values for argument 'cache_dir'"):
        CacheStorageConfig("x", cache_dir="y")
    assert config == CacheConfig()


def test_signatures_are_there_for_those_who_ask() -> None:
    assert list(inspect.signature(CacheStorageConfig).parameters)[:3] == [
        "cache_dir",
        "max_cache_size_mb",
        "cleanup_on_init",
    ]
    assert [f.name for f in dataclasses.fields(SerializationConfig)][-1] == "hash_path_content"
    replaced = dataclasses.replace(CacheMetadataConfig("json"), backend="sqlite", memory_cache_stats=True)
    assert (replaced.backend, replaced.memory_cache_stats) == ("sqlite", True)


def test_the_other_name_of_the_backend() -> None:
    metadata = CacheMetadataConfig(metadata_backend="json")
    assert metadata.backend == metadata.metadata_backend == "json"
    metadata.metadata_backend = "sqlite"
    assert metadata == CacheMetadataConfig("sqlite")
    with pytest.raises(CacheConfigurationError, match="backend is given twice, also as metadata_backend"):
        CacheMetadataConfig(metadata_backend="json", backend="json")


def test_positions_are_those_of_the_interface() -> None:
    assert SerializationConfig(False, True, 5, 6) == SerializationConfig(
        enable_collections=False, max_tuple_recursive_length=5, max_collection_depth=6
    )
    assert CacheStorageConfig("d", 5, True) == CacheStorageConfig(
        cache_dir="d", max_cache_size_mb=5, cleanup_on_init=True
    )
    assert CompressionConfig("lz4", 3, False, "zstd", 4, "gzip") == CompressionConfig(
        pickle_compression_codec="lz4",
        pickle_compression_level=3,
        use_blosc2_arrays=False,
        blosc2_array_codec="zstd",
        blosc2_array_compression_level=4,
        parquet_compression="gzip",
    )
    assert HandlerConfig([], False, True, False, True) == HandlerConfig(
        enable_pandas_dataframes=False, enable_numpy_arrays=False
    )
    parts = (
        CacheStorageConfig("d"),
        CacheMetadataConfig("json"),
        CompressionConfig("lz4"),
        SerializationConfig(False),
        HandlerConfig([], False),
    )
    config = CacheConfig(*parts, 5)
    assert (config.storage, config.metadata, config.compression, config.serialization, config.handlers) == parts
    assert config.default_ttl_seconds == 5
    assert CacheMetadataConfig("sqlite", None, False, False, True, "fifo", 5, 6.0, True) == CacheMetadataConfig(
        backend="sqlite",
        database_url=None,
        store_cache_key_params=False,
        verify_cache_integrity=False,
        enable_memory_cache=True,
        memory_cache_type="fifo",
        memory_cache_maxsize=5,
        memory_cache_ttl_seconds=6.0,
        memory_cache_stats=True,
    )
    with pytest.raises(CacheConfigurationError, match="give options by their names"):
        CacheMetadataConfig("sqlite", None, False, False, True, "fifo", 5, 6.0, True, 7)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("ttl", "default_ttl_seconds"),
        ("max_size", "max_cache_size_mb"),
        ("dir", "cache_dir"),
        ("policy", "eviction_policy"),
    ],
)
def test_a_part_of_a_name_is_enough_for_a_suggestion(given: str, meant: str) -> None:
    with pytest.raises(CacheConfigurationError) as raised:
        Cache(":memory:", **{given: 1})
    assert raised.value.hint == f"did you mean {meant!r}?"
    with pytest.raises(CacheConfigurationError, match="did you mean 'ttl_seconds'"):
        cached(ttl=5)


def test_a_single_option_counts_beside_its_section(tmp_path: Path) -> None:
    section = CompressionConfig(parallel=False)
    for options in (
        {"array_format": "npy", "compression": section},
        {"compression": section, "array_format": "npy"},
    ):
        with Cache(tmp_path, **options) as cache:
            assert cache.config.compression == CompressionConfig(parallel=False, array_format="npy")
    assert section == CompressionConfig(parallel=False)
    with pytest.raises(CacheConfigurationError, match="ttl_seconds is given twice, also as default_ttl_seconds"):
        Cache.for_api(tmp_path, ttl_seconds=5, default_ttl_seconds=9)
    with Cache.for_api(tmp_path, default_ttl_seconds=9) as cache:
        assert (cache.config.default_ttl_seconds, cache.config.compression.pickle_compression_codec) == (9, "lz4")
    with Cache.for_api(tmp_path) as cache:
        assert cache.config.default_ttl_seconds == 21_600
    with Cache.for_api(tmp_path, compression=CompressionConfig("gzip")) as cache:
        assert cache.config.compression.pickle_compression_codec == "gzip"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_cache_size_mb": "10"}, "max_cache_size_mb is '10'\nhint: give a number"),
    ({"max_cache_size_mb": float("nan")}, "max_cache_size_mb is nan\nhint: give a number"),
    ({"max_cache_size_mb": True}, "max_cache_size_mb is True\nhint: give a number"),
    ({"max_cache_size_mb": 10**400}, "max_cache_size_mb is 1000"),
    ({"max_entries": 1.5}, "max_entries is 1.5\nhint: give a whole number"),
    ({"max_entries": "many"}, "max_entries is 'many'\nhint: give a whole number"),
    ({"max_entries": True}, "max_entries is True"),
    ({"max_entries": float("inf")}, "max_entries is inf"),
    ({"max_entries": -1}, "max_entries in limits is -1\nhint: give a whole number that is zero or more"),
    ({"eviction_policy": "lur"}, 'eviction_policy in limits is "lur"\nhint: did you mean "lru"? give one of lru,'),
    ({"eviction_policy": 5}, "eviction_policy is 5\nhint: give a str"),
    ({"memory_cache_type": "LFU"}, 'hint: did you mean "lfu"? give one of'),
    ({"backend": 5}, "backend is 5"),
    ({"cleanup_on_init": "no"}, "cleanup_on_init is 'no'\nhint: give True or False"),
    ({"memory_cache_stats": "no"}, "memory_cache_stats is 'no'"),
    ({"enable_numpy_arrays": "no"}, "enable_numpy_arrays is 'no'"),
    ({"enable_dill_fallback": "no"}, "enable_dill_fallback is 'no'"),
    ({"allow_pickle": None}, "allow_pickle is None"),
    ({"read_only": 1}, "read_only is 1\nhint: give True or False"),
    ({"handler_priority": None}, "handler_priority is None\nhint: give a list of names"),
    ({"handler_priority": 5}, "handler_priority is 5"),
    ({"handler_priority": "plain_objects"}, "handler_priority is 'plain_objects'"),
    ({"handler_priority": [5]}, "a name in handler_priority is 5"),
    ({"custom_handlers": None}, "custom_handlers is None\nhint: give a list of handlers"),
    ({"custom_handlers": 5}, "custom_handlers is 5"),
    ({"custom_signed_fields": "all"}, "custom_signed_fields is 'all'"),
    ({"storage": {"max_entries": 5}}, "storage is a dict\nhint: give a CacheStorageConfig(…)"),
    ({"compression": "lz4"}, "compression is 'lz4'\nhint: give a CompressionConfig(…)"),
    ({"signing_key_file": ""}, 'signing_key_file is ""\nhint: give the name of a file'),
    ({"signing_key_file": "a\0b"}, "signing_key_file is"),
    ({"signing_key_file": "\ud800"}, "signing_key_file holds half of a surrogate pair"),
    ({"custom_signed_fields": ["\ud800"]}, "a name in custom_signed_fields holds half of a surrogate pair"),
    ({"max_entries": np.True_}, "max_entries is a "),
    ({"signing_key_file": 5}, "signing_key_file is 5"),
    (
        {"default_ttl_seconds": True},
        "default_ttl_seconds is True\nhint: give a finite number of seconds or a timedelta",
    ),
    ({"default_ttl_seconds": "1h"}, "default_ttl_seconds is '1h'"),
    ({"default_ttl_seconds": float("inf")}, "default_ttl_seconds is inf"),
    ({"flight_patience_seconds": None}, "flight_patience_seconds is None"),
    ({"pickle_compression_level": object()}, "pickle_compression_level is a object"),
    ({"pickle_compression_level": 12, "pickle_compression_codec": "lz4"}, "pickle_compression_level is 12, with lz4"),
    ({"pickle_compression_level": 23}, "pickle_compression_level is 23, with zstd"),
    ({"shard_chars": 300}, "shard_chars in store is 300\nhint: give a digit"),
    ({"clock": 5}, "clock is a int\nhint: give a cacheness.Clock"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=lambda v: str(v)[:40])
def test_a_value_that_makes_no_sense_names_its_option(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    error = refused(lambda: Cache(cache_dir=tmp_path / "cache", **options))
    assert message in str(error)
    assert "expected" not in str(error)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("wrong", [5, b"cache", "", [], "a\0b", "\ud800"], ids=repr)
def test_a_directory_that_is_none_is_refused_by_name(wrong: Any, tmp_path: Path) -> None:
    assert str(refused(lambda: Cache(cache_dir=wrong))).startswith("cache_dir is ")
    assert str(refused(lambda: Cache(CacheConfig(CacheStorageConfig(wrong))))).startswith("cache_dir is ")
    assert str(refused(lambda: BlobStore(wrong))).startswith("cache_dir is ")
    assert "is " in str(refused(lambda: Cache(wrong)))
    assert list(tmp_path.iterdir()) == []


def test_arguments_of_a_store_are_refused_by_name(tmp_path: Path) -> None:
    for options, message in [
        ({"compression": "rar"}, "unknown compression 'rar'"),
        ({"compression": 5}, "unknown compression 5"),
        ({"compression_level": "3"}, "pickle_compression_level is '3'"),
        ({"backend": 5}, "backend is 5"),
        ({"content_addressable": "no"}, "content_addressable is 'no'"),
        ({"config": {}}, "config is a dict"),
    ]:
        assert message in str(refused(lambda options=options: BlobStore(tmp_path / "store", **options)))
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_any_library_are_numbers(tmp_path: Path) -> None:
    options = {
        "default_ttl_seconds": dt.timedelta(hours=1),
        "max_age_seconds": pd.Timedelta(days=1),
        "max_entries": 1e3,
        "max_cache_size_mb": np.float32(5),
        "memory_cache_maxsize": np.int64(5),
        "memory_cache_max_mb": np.float64(1.5),
        "pickle_compression_level": np.uint8(3),
        "flight_patience_seconds": np.int16(2),
        "signing_key_file": tmp_path / "key",
        "cleanup_on_init": np.True_,
    }
    with Cache(tmp_path / "cache", **options) as cache:
        config = cache.config
        assert config.default_ttl_seconds == 3600
        assert config.storage.max_age_seconds == 86_400
        assert (config.storage.max_entries, config.storage.max_cache_size_mb) == (1000, 5)
        assert config.metadata.memory_cache_maxsize == 5
        cache.put(1, x=1)
        assert cache.get(x=1) == 1
    assert (tmp_path / "key").exists()


def test_a_bool_is_no_length_of_time(cache: Cache) -> None:
    cache.put(1, x=1)
    for call in (
        lambda: cache.put(1, x=1, ttl_seconds=True),
        lambda: cache.get(x=1, ttl_seconds=True),
        lambda: cache.get(x=1, ttl_seconds=np.True_),
        lambda: cache.touch(x=1, ttl_seconds=False),
        lambda: cache.get_or_compute(lambda: 1, x=1, ttl_seconds=True),
    ):
        assert "ttl_seconds must be a number of seconds or a timedelta, not bool" in str(refused(call))


PRIORITY = ["numpy_arrays", "pandas_dataframes", "polars_dataframes", "pandas_series", "object_pickle"]


def test_the_priority_of_the_interface_changes_no_format(tmp_path: Path) -> None:
    values = [None, 1, 1.5, "text", [1, (2, {"a": b"x"})], np.float64(1.5), np.arange(3), {"array": np.arange(3)}]
    values += [pd.DataFrame({"a": [1]}), pd.Series([1]), dt.date(2026, 1, 1), {1, 2}]
    formats = []
    for name, options in (("usual", {}), ("given", {"handler_priority": PRIORITY})):
        with Cache(tmp_path / name, **options) as cache:
            for i, value in enumerate(values):
                cache.put(value, x=i)
            entries = [cache.get_metadata(x=i) for i in range(len(values))]
            formats.append([(e["storage_format"], e["data_type"]) for e in entries if e is not None])
            order = [handler["name"] for handler in cache.handler_registry.list_handlers()]
    assert formats[0] == formats[1]
    assert order == [*PRIORITY[:-1], "plain_objects", "polars_series", "arrow_tables", "object_pickle"]


class Mine(CacheHandler):
    data_type = "mine"  # type: ignore[assignment]

    def can_handle(self, data: Any) -> bool:
        return isinstance(data, complex)

    def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
        file_path.write_text(repr(data))
        return {}

    def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:
        return complex(file_path.read_text())


def test_names_of_handlers_are_known_or_refused(tmp_path: Path) -> None:
    error = refused(lambda: Cache(tmp_path / "a", handler_priority=["numpy_array"]))
    assert str(error) == "unknown handler 'numpy_array' in handler_priority\nhint: did you mean 'numpy_arrays'?"
    assert not (tmp_path / "a").exists()
    assert "unknown handler 'mine'" in str(refused(lambda: Cache(tmp_path / "a", handler_priority=["mine"])))
    for options in ({"custom_handlers": [Mine]}, {"custom_handlers": (Mine(),)}):
        with Cache(tmp_path / "b", handler_priority=["object_pickle", "mine"], **options) as cache:
            cache.put(1j, x=1)
            entry = cache.get_metadata(x=1)
            assert entry is not None
            assert (entry["handler_used"], cache.get(x=1)) == ("mine", 1j)
    register_handler(Mine())
    try:
        with Cache(tmp_path / "c", handler_priority=["mine"]) as cache:
            assert cache.handler_registry.list_handlers()[0]["name"] == "mine"
    finally:
        unregister_handler("mine")


def test_a_key_may_stand_in_the_first_place(cache: Cache) -> None:
    key = cache.put(1, x=1, metadata={"a": 1})
    entry = cache.get_metadata(key)
    assert entry is not None
    assert entry == cache.get_metadata(x=1) == cache.get_metadata(key, False) == cache.get_metadata(cache_key=key)
    assert cache.touch(key)
    assert cache.update_data(2, key)
    assert cache.get(x=1) == cache.get(cache_key=key) == 2
    entry = cache.get_metadata(key)
    assert entry is not None
    assert (entry["cache_key_params"], entry["metadata"]) == ({"x": 1}, {"a": 1})
    assert cache.pin(key)
    assert cache.unpin(key)
    assert not cache.touch("nothing")
    assert cache.get_metadata(key, x=5) == entry, "parameters beside a key are ignored here"
    with pytest.raises(TypeError, match="no parameters"):
        cache.touch()
    # Parameters may have any name that is no reserved keyword.
    cache.put(1, data="x", self="y")
    assert cache.update_data(2, data="x", self="y")
    assert cache.touch(data="x", self="y")
    assert cache.get(data="x", self="y") == 2


def test_text_with_half_a_surrogate_pair_is_refused_by_name(cache: Cache, tmp_path: Path) -> None:
    half = "a\ud800"
    for call, name in [
        (lambda: cache.put(1, cache_key=half), "cache_key"),
        (lambda: cache.get(cache_key=half), "cache_key"),
        (lambda: cache.get_metadata(half), "cache_key"),
        (lambda: cache.get_entry(half), "cache_key"),
        (lambda: cache.invalidate_by_cache_key(half), "cache_key"),
        (lambda: cache.put(1, x=1, description=half), "description"),
        (lambda: cache.get_or_compute(lambda: 1, x=1, description=half), "description"),
    ]:
        assert str(refused(call)).startswith(f"{name} holds half of a surrogate pair")
    with BlobStore(tmp_path / "store") as store:
        for call in (
            lambda: store.put(1, key=half),
            lambda: store.get(half),
            lambda: store.exists(half),
            lambda: store.delete(half),
            lambda: store.get_metadata(half),
            lambda: store.update_metadata(half, {}),
            lambda: store.verify_integrity(half),
        ):
            assert str(refused(call)).startswith("key holds half of a surrogate pair")
        assert str(refused(lambda: store.list(half))).startswith("prefix holds half of a surrogate pair")
        assert "key must be a str, not int" in str(refused(lambda: store.get(5)))
    for metadata, place in [({"a": [half]}, "metadata['a'][0]"), ({half: 1}, "metadata.keys()")]:
        with pytest.raises(CacheSerializationError) as caught:
            cache.put(1, x=1, metadata=metadata)
        assert str(caught.value).startswith(f"{place} holds half of a surrogate pair")
    assert len(cache) == 0


def test_a_read_only_cache_cleans_nothing_up(tmp_path: Path) -> None:
    clock = Clock()
    with Cache(tmp_path, clock=clock) as cache:
        cache.put(1, x=1, ttl_seconds=5)
    with Cache(tmp_path, read_only=True, clock=clock) as cache:
        for _ in range(2):
            with pytest.raises(CacheReadOnlyError):
                cache.cleanup_expired()
            clock.advance(10)


def test_a_clock_of_several_caches(tmp_path: Path) -> None:
    clock = Clock(1_700_000_000)
    assert clock.now() == 1_700_000_000
    with Cache(":memory:", clock=clock) as one, Cache(tmp_path, clock=clock, default_ttl_seconds=100) as two:
        one.put(1, x=1, ttl_seconds=60)
        two.put(1, x=1)
        clock.advance(59.5)
        assert one.exists(x=1)
        clock.advance(dt.timedelta(seconds=0.5))
        assert clock.now() == 1_700_000_060
        assert (one.exists(x=1), two.exists(x=1)) == (False, True)
        with pickle.loads(pickle.dumps(two)) as again:
            clock.advance(50)
            assert (again.exists(x=1), two.exists(x=1)) == (True, False), "a clock of its own"
        clock.advance(-50)
        assert two.exists(x=1)
    assert repr(clock) == "Clock(1700000060)"
    assert Clock(dt.datetime(1970, 1, 1, 0, 1, tzinfo=dt.UTC)).now() == 60
    before = dt.datetime.now(dt.UTC).timestamp()
    assert before - 1 <= Clock().now() <= before + 60
    for wrong in ("soon", True, float("nan"), 1e300, None):
        with pytest.raises(CacheError):
            clock.advance(wrong)
        if wrong is not None:
            with pytest.raises(CacheError):
                Clock(wrong)


@pytest.mark.parametrize("opened", [Cache, BlobStore])
def test_what_was_never_opened_says_so(opened: type) -> None:
    made = opened.__new__(opened)
    assert repr(made) == f"<{opened.__name__}, not opened>"
    with pytest.raises(RuntimeError, match="not been opened"):
        made.exists("x") if opened is BlobStore else made.exists(x=1)


@pytest.mark.parametrize("place", ["s3://bucket/cache", "sqlite:///cache.db", "~/cache"])
@pytest.mark.parametrize("opened", [Cache, BlobStore])
def test_what_means_another_place_makes_no_directory(opened: type, place: str) -> None:
    with pytest.raises(CacheConfigurationError, match=r"is a URL|begins with ~"):
        opened(place)
    assert list(Path.cwd().iterdir()) == []
