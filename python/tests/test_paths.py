"""Modules that only have names: the functions behind them are those of the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from cacheness import (
    Cache,
    CacheConfigurationError,
    CacheSerializationError,
    CacheUnsupportedError,
    SerializationConfig,
    hash_content,
    hash_file_path,
)
from cacheness.file_hashing import hash_directory_parallel
from cacheness.serialization import create_unified_cache_key, serialize_for_cache_key
from cacheness.sql_cache import SqlCache
from cacheness.utils import migrate_cache


def test_a_key_is_the_one_of_the_cache() -> None:
    params = {"model": "ridge", "fold": 3, "grid": [1.5, (2, "x")]}
    with Cache(":memory:") as cache, Cache(":memory:", hash_path_content=False) as names:
        assert create_unified_cache_key(params) == cache.cache_key(**params)
        assert cache.put(1, **params) == create_unified_cache_key(params)
        by_name = {"path": Path("nowhere")}
        assert create_unified_cache_key(by_name, names.config.serialization) == names.cache_key(**by_name)
    with pytest.raises(CacheSerializationError):
        create_unified_cache_key({"x": [[1]]}, SerializationConfig(max_collection_depth=1))
    with pytest.raises(CacheConfigurationError, match="params is a list"):
        create_unified_cache_key([1])  # type: ignore[arg-type]
    with pytest.raises(CacheConfigurationError, match="config is a dict"):
        create_unified_cache_key({}, {})  # type: ignore[arg-type]


def test_a_text_stands_for_a_value() -> None:
    assert (
        serialize_for_cache_key({"b": 1, "a": 2})
        == serialize_for_cache_key({"a": 2, "b": 1})
        == hash_content({"a": 2, "b": 1})
    )
    assert len({serialize_for_cache_key(value) for value in (1, 1.0, True, "1")}) == 4
    with pytest.raises(CacheSerializationError):
        serialize_for_cache_key(n for n in ())


def test_a_directory_is_hashed_by_what_is_in_it(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "file").write_text("text")
    assert hash_directory_parallel(tmp_path / "one") == hash_directory_parallel(str(tmp_path / "two"), max_workers=4)
    assert hash_directory_parallel(tmp_path / "one") == hash_file_path(tmp_path / "one")
    (tmp_path / "two" / "inner" / "file").write_text("other")
    assert hash_directory_parallel(tmp_path / "one") != hash_directory_parallel(tmp_path / "two")
    with pytest.raises(NotADirectoryError, match="file"):
        hash_directory_parallel(tmp_path / "one" / "inner" / "file")


def test_what_is_not_there_yet_says_so() -> None:
    with pytest.raises(CacheUnsupportedError, match="migrate_cache of 'old' is not available yet"):
        migrate_cache("old", "new")
    with pytest.raises(CacheUnsupportedError, match="SqlCache is not available yet"):
        SqlCache("sqlite:///x.db", table_name="t")
