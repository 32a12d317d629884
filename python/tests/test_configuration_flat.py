"""Options without their sections, under all their names, and what contradicts what."""

from __future__ import annotations

import copy
import datetime as dt
import inspect
import pickle
from pathlib import Path
from typing import Any

import pytest

from cacheness import (
    BlobStore,
    Cache,
    CacheBlobConfig,
    CacheConfig,
    CacheConfigurationError,
    CacheMetadataConfig,
    CachenessConfig,
    CacheStorageConfig,
    CacheUnsupportedError,
    CompressionConfig,
    HandlerConfig,
    SecurityConfig,
    cacheness,
    create_cache_config,
    get_cache,
    reset_cache,
    set_default_cache,
)
from cacheness._options import SECTIONS

#: For each option a value that is not its default.
OTHERS: dict[str, dict[str, Any]] = {
    "storage": {
        "cache_dir": "elsewhere",
        "max_cache_size_mb": 5.0,
        "cleanup_on_init": True,
        "max_entries": 7,
        "max_age_seconds": 60.0,
        "eviction_policy": "fifo",
        "durability": "full",
        "inline_threshold_bytes": 0,
        "read_only": True,
    },
    "metadata": {
        "backend": "json",
        "database_url": "x.db",
        "store_cache_key_params": False,
        "verify_cache_integrity": False,
        "enable_memory_cache": False,
        "memory_cache_type": "rr",
        "memory_cache_maxsize": 5,
        "memory_cache_ttl_seconds": 5.0,
        "memory_cache_stats": True,
        "memory_cache_max_mb": 5.0,
        "store_full_metadata": True,
        "metadata_backend_options": {"pool_size": 5},
    },
    "compression": {
        "pickle_compression_codec": "lz4",
        "pickle_compression_level": 9,
        "use_blosc2_arrays": False,
        "blosc2_array_codec": "zstd",
        "blosc2_array_compression_level": 9,
        "parquet_compression": "none",
        "compression_threshold_bytes": 1,
        "array_format": "npy",
        "dataframe_format": "arrow",
        "parallel": False,
        "sample": False,
    },
    "serialization": {
        "enable_collections": False,
        "enable_object_introspection": False,
        "max_tuple_recursive_length": 3,
        "max_collection_depth": 3,
        "hash_path_content": False,
    },
    "handlers": {
        "handler_priority": ["numpy_arrays"],
        "enable_pandas_dataframes": False,
        "enable_polars_dataframes": False,
        "enable_numpy_arrays": False,
        "enable_pandas_series": False,
        "enable_plain_objects": False,
        "enable_polars_series": False,
        "enable_arrow_tables": False,
        "enable_object_pickle": False,
        "enable_dill_fallback": False,
        "custom_handlers": [],
    },
    "blob": {
        "blob_backend": "memory",
        "shard_chars": 0,
        "blob_backend_options": {"bucket": "b"},
        "allow_local_index": True,
    },
    "security": {
        "enable_entry_signing": False,
        "signing_key_file": "other.bin",
        "use_in_memory_key": True,
        "custom_signed_fields": ["description"],
        "allow_unsigned_entries": False,
        "delete_invalid_signatures": True,
        "allow_pickle": False,
        "trust_unsigned_pickles": True,
    },
}
FLAT = [(section, name, value) for section, options in OTHERS.items() for name, value in options.items()]


def test_every_option_is_tried() -> None:
    for section, kind in SECTIONS.items():
        # The one that belongs to the whole configuration is said twice.
        assert OTHERS[section].keys() | {"default_ttl_seconds"} >= kind.__dataclass_fields__.keys()
        assert OTHERS[section].keys() <= kind.__dataclass_fields__.keys()


@pytest.mark.parametrize(("section", "name", "value"), FLAT, ids=lambda value: str(value)[:30])
def test_an_option_is_given_read_and_assigned_without_its_section(section: str, name: str, value: Any) -> None:
    nested = CacheConfig(**{section: SECTIONS[section](**{name: value})})
    flat = CacheConfig(**{name: value})
    assert flat == nested
    assert getattr(getattr(flat, section), name) == getattr(flat, name) == value
    assigned = CacheConfig()
    setattr(assigned, name, value)
    assert assigned == flat
    assert create_cache_config(**{name: value}) == CachenessConfig(**{name: value}) == flat
    # Said twice in the same words it is said once; otherwise it contradicts, also where the section says its default.
    given = getattr(flat, section)
    assert CacheConfig(**{section: given, name: value}) == flat
    default = SECTIONS[section](**{name: getattr(SECTIONS[section](), name)})
    if name != "custom_handlers":
        with pytest.raises(CacheConfigurationError, match=f"{name} is .* in {section}, and .* beside it"):
            CacheConfig(**{section: default, name: value})
    assert CacheConfig(**{section: SECTIONS[section](), name: value}) == flat
    # The caller's section stays as it is.
    untouched = SECTIONS[section]()
    CacheConfig(**{section: untouched, name: value})
    assert untouched == SECTIONS[section]()


def test_a_value_and_its_other_form_do_not_contradict(tmp_path: Path) -> None:
    storage = CacheStorageConfig(tmp_path, max_age_seconds=dt.timedelta(minutes=1))
    config = CacheConfig(storage=storage, cache_dir=str(tmp_path), max_age_seconds=60)
    assert config == CacheConfig(cache_dir=tmp_path, max_age_seconds=60.0)
    assert config != CacheConfig(cache_dir=tmp_path, max_age_seconds=61)


@pytest.mark.parametrize(
    ("kind", "alias", "own", "value"),
    [
        (CacheMetadataConfig, "metadata_backend", "backend", "json"),
        (CacheMetadataConfig, "backend_options", "metadata_backend_options", {"pool_size": 1}),
        (CacheBlobConfig, "backend", "blob_backend", "s3"),
        (CacheBlobConfig, "backend_options", "blob_backend_options", {"bucket": "b"}),
        (SecurityConfig, "enable_signing", "enable_entry_signing", False),
    ],
)
def test_another_name_of_an_option(kind: type, alias: str, own: str, value: Any) -> None:
    section = kind(**{alias: value})
    assert section == kind(**{own: value})
    assert getattr(section, alias) == getattr(section, own) == value
    assigned = kind()
    setattr(assigned, alias, value)
    assert assigned == section
    with pytest.raises(CacheConfigurationError, match=f"{own} is given twice, also as {alias}"):
        kind(**{alias: value, own: value})
    for again in (copy.copy(section), copy.deepcopy(section), pickle.loads(pickle.dumps(section))):
        assert again == section
        assert getattr(again, alias) == value


def test_options_of_backends_are_kept_for_them() -> None:
    direct = CacheMetadataConfig(
        backend="postgresql", connection_url="postgresql://h/db", pool_size=10, max_overflow=20
    )
    together = CacheMetadataConfig(
        metadata_backend="postgresql",
        metadata_backend_options={"connection_url": "postgresql://h/db", "pool_size": 10, "max_overflow": 20},
    )
    flat = CacheConfig(metadata_backend="postgresql", connection_url="postgresql://h/db", pool_size=10, max_overflow=20)
    assert direct == together == flat.metadata
    assert (direct.pool_size, flat.connection_url, flat.backend_options["max_overflow"]) == (
        10,
        "postgresql://h/db",
        20,
    )
    assert CacheMetadataConfig().connection_url is None
    # A backend that is not of this release may take anything; one that is, nothing.
    assert CacheMetadataConfig(backend="redis", cluster=True).metadata_backend_options == {"cluster": True}
    with pytest.raises(CacheConfigurationError, match="unknown option 'cluster' of CacheMetadataConfig"):
        CacheMetadataConfig(backend="sqlite", cluster=True)
    with pytest.raises(CacheConfigurationError, match="pool_size is given twice, also in metadata_backend_options"):
        CacheMetadataConfig(pool_size=1, metadata_backend_options={"pool_size": 2})
    with pytest.raises(CacheConfigurationError, match="pool_size is no option of the metadata backend 'sqlite'"):
        Cache(":memory:", pool_size=5)
    with pytest.raises(CacheConfigurationError, match="metadata_backend_options is a list"):
        Cache(":memory:", metadata_backend_options=[5])
    assigned = CacheBlobConfig("s3")
    assigned.bucket = "b"
    assert assigned == CacheBlobConfig(backend="s3", bucket="b")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"metadata_backend": "redis"}, "metadata_backend is 'redis'"),
        ({"blob_backend": "azure"}, "blob_backend is 'azure'"),
        ({"blob_backend": "memory"}, "blob_backend is 'memory', and the metadata backend 'sqlite' outlives"),
        ({"database_url": "mysql://u:pass@h/db"}, "database_url is a URL of mysql"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_not_there_yet_is_named_when_it_is_opened(options: dict[str, Any], named: str, tmp_path: Path) -> None:
    if "database_url" not in options:
        # The configuration is taken; what is refused is to open a cache with it.
        assert "pass" not in repr(CacheConfig(cache_dir=tmp_path / "x", **options))
    with pytest.raises(CacheUnsupportedError) as caught:
        cacheness(CacheConfig(cache_dir=tmp_path / "x", **options))
    assert named in str(caught.value)
    assert "pass" not in str(caught.value)
    with pytest.raises(CacheUnsupportedError, match=named.partition(",")[0]):
        BlobStore(tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()


def test_a_backend_that_nobody_knows_is_a_mistake(tmp_path: Path) -> None:
    for options, message in [
        ({"metadata_backend": "sqlit"}, "unknown metadata backend 'sqlit'\nhint: did you mean 'sqlite'"),
        ({"blob_backend": "filesystm"}, "unknown blob backend 'filesystm'\nhint: did you mean 'filesystem'"),
    ]:
        with pytest.raises(CacheConfigurationError) as caught:
            Cache(tmp_path / "x", **options)
        assert message in str(caught.value)


def test_payloads_in_memory_beside_entries_in_memory() -> None:
    with Cache("nowhere", metadata_backend="memory", blob_backend="memory") as cache:
        cache.put(b"x" * 100_000, x=1)
        assert cache.get_stats()["blob_backend_type"] == "memory"
    assert not Path("nowhere").exists()


NUMBERS = [
    (CacheConfig, "default_ttl_seconds"),
    (CacheMetadataConfig, "default_ttl_seconds"),
    (CacheStorageConfig, "max_cache_size_mb"),
    (CacheStorageConfig, "max_entries"),
    (CacheStorageConfig, "max_age_seconds"),
    (CacheMetadataConfig, "memory_cache_maxsize"),
    (CacheMetadataConfig, "memory_cache_max_mb"),
    (CacheMetadataConfig, "memory_cache_ttl_seconds"),
    (CompressionConfig, "pickle_compression_level"),
    (CompressionConfig, "blosc2_array_compression_level"),
]


@pytest.mark.parametrize(("kind", "name"), NUMBERS, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("number", [0, -1])
def test_a_time_size_or_level_is_greater_than_zero(kind: Any, name: str, number: int, tmp_path: Path) -> None:
    for call in (
        lambda: kind(**{name: number}),
        lambda: CacheConfig(**{name: number}),
        lambda: Cache(tmp_path / "cache", **{name: number}),
    ):
        with pytest.raises(ValueError, match=rf"^{name}\b.* is {number}"):
            call()
    # Assigned, it is seen when a cache is opened.
    config = CacheConfig(cache_dir=tmp_path / "cache")
    setattr(config, name, number)
    with pytest.raises(CacheConfigurationError, match=rf"^{name}\b.* is {number}"):
        Cache(config)
    assert not (tmp_path / "cache").exists()


def test_signed_fields_are_looked_at_when_they_are_given() -> None:
    for call in (
        lambda: SecurityConfig(custom_signed_fields=["cache_key", "created_att"]),
        lambda: CacheConfig(custom_signed_fields=["cache_key", "created_att"]),
    ):
        with pytest.raises(ValueError, match=r'custom_signed_fields names "created_att"[^$]*did you mean "created_at"'):
            call()


def test_signing_is_switched_off_by_its_other_name(tmp_path: Path) -> None:
    config = CacheConfig(cache_dir=tmp_path / "cache")
    config.security.enable_signing = False
    with cacheness(config) as cache:
        key = cache.put([1], x=1)
        entry = cache.get_entry(key)
        assert entry is not None
        assert not entry["entry_signature"]
    with BlobStore(tmp_path / "store", enable_signing=False) as store:
        store.put([1], key="one")
        assert store.verify_integrity("one")["signature"] == "unsigned"
    with BlobStore(tmp_path / "other") as store:
        store.put([1], key="one")
        assert store.verify_integrity("one")["signature"] == "valid"


def test_the_default_time_to_live_in_the_section_of_metadata(tmp_path: Path) -> None:
    for config in (
        CacheConfig(metadata=CacheMetadataConfig(default_ttl_seconds=60)),
        CacheConfig(metadata=CacheMetadataConfig(default_ttl_seconds=60), default_ttl_seconds=dt.timedelta(minutes=1)),
        CacheConfig(default_ttl_seconds=60),
    ):
        with Cache(config, cache_dir=tmp_path) as cache:
            cache.put(1, x=1)
            assert cache.get_metadata(x=1)["expires_at"] is not None  # type: ignore[index]
    with pytest.raises(CacheConfigurationError, match=r"default_ttl_seconds is 60\.0 in metadata, and 61\.0 beside it"):
        CacheConfig(metadata=CacheMetadataConfig(default_ttl_seconds=60), default_ttl_seconds=61)


def test_the_environment_contradicts_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CACHENESS_DIR", "from_env")
    monkeypatch.setenv("CACHENESS_DEFAULT_TTL_SECONDS", "5")
    assert CacheConfig(storage=CacheStorageConfig(), cache_dir=tmp_path).cache_dir == tmp_path
    config = CacheConfig(metadata=CacheMetadataConfig(default_ttl_seconds=60))
    with Cache(config, cache_dir=tmp_path) as cache:
        cache.put(1, x=1)
        entry = cache.get_metadata(x=1)
        assert entry is not None
        lifetime = dt.datetime.fromisoformat(str(entry["expires_at"])) - dt.datetime.fromisoformat(
            str(entry["created_at"])
        )
        assert dt.timedelta(seconds=59) < lifetime <= dt.timedelta(seconds=60)


def test_a_cache_says_what_it_was_opened_with(tmp_path: Path) -> None:
    for config in (
        CacheConfig(CacheStorageConfig(tmp_path / "a")),
        CacheConfig(
            CacheStorageConfig(tmp_path / "b", max_age_seconds=dt.timedelta(1)),
            handlers=HandlerConfig(("numpy_arrays",)),
        ),  # type: ignore[arg-type]
        CacheConfig(cache_dir=tmp_path / "c", metadata_backend="json", max_entries=5),
        CacheConfig(cache_dir=tmp_path / "d", metadata=CacheMetadataConfig(default_ttl_seconds=60)),
    ):
        with cacheness(config) as cache:
            assert cache.config == config
            assert config == cache.config
        with BlobStore(config=config) as store:
            assert store._config.storage == config.storage


def test_the_default_cache_is_opened_anew_as_a_configuration_says(tmp_path: Path) -> None:
    reset_cache(CacheConfig(cache_dir=tmp_path / "one", max_entries=5))
    try:
        first = get_cache()
        assert (first.cache_dir, first.config.max_entries) == (str(tmp_path / "one"), 5)
        with pytest.raises(CacheUnsupportedError):
            reset_cache(CacheConfig(metadata_backend="redis"))
        with pytest.raises(CacheConfigurationError, match="config is a str"):
            reset_cache("directory")  # type: ignore[arg-type]
        assert get_cache() is first, "what was refused has changed nothing"
        first.close()
        assert get_cache().cache_dir == str(tmp_path / "one"), "it is ours to open again"
        config = CacheConfig(cache_dir=tmp_path / "two")
        reset_cache(config)
        config.cache_dir = tmp_path / "three"
        assert get_cache().cache_dir == str(tmp_path / "two")
    finally:
        set_default_cache(None)
        reset_cache()


def test_keywords_are_shown_to_those_who_complete_them() -> None:
    parameters = inspect.signature(CacheConfig).parameters
    assert {"storage", "metadata", "security", "default_ttl_seconds"} <= parameters.keys()
