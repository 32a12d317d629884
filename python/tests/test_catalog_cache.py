"""The cache of extracted metadata."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from cacheness import CacheConfigurationError
from cacheness.catalog import MetadataCache
from cacheness.catalog import metadata_cache as module

CREDENTIALS = {"host": "localhost", "database": "mydb", "user": "postgres"}
METADATA = {"table_metadata": [{"table_name": "customers", "table_schema": "public", "column_metadata": []}]}


def test_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block of the documentation, in a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    cache = MetadataCache(ttl_seconds=7200)
    assert list(tmp_path.iterdir()) == [], "nothing is made before it is needed"
    cache_key = cache.generate_cache_key(db_type="postgres", db_creds=CREDENTIALS)
    assert len(cache_key) == 64
    assert cache.get(cache_key) is None and not cache.is_valid(cache_key)
    cache.set(cache_key, METADATA)
    assert (tmp_path / ".defog/cache" / f"{cache_key}.json").stat().st_mode & 0o777 == 0o600
    assert cache.get(cache_key) == METADATA and cache.is_valid(cache_key)
    assert MetadataCache().get(cache_key) == METADATA, "another program finds it"
    cache.invalidate(cache_key)
    assert cache.get(cache_key) is None
    cache.set(cache_key, METADATA)
    assert cache.clear_all() == 1 and cache.get(cache_key) is None


def test_a_password_has_no_part_in_a_key(tmp_path: Path) -> None:
    class Hidden:
        def get_secret_value(self) -> str:
            return "hush"

    keys = {
        MetadataCache.generate_cache_key("postgres", CREDENTIALS | more)
        for more in (
            {},
            {"password": "hush"},
            {"password": Hidden()},
            {"port": 5432, "sslmode": "require", "sslkey": tmp_path / "key"},
            {"host": "LOCALHOST", "api_token": "hush"},
        )
    }
    assert len(keys) == 1
    file = {"database": tmp_path / "x.db"}
    assert MetadataCache.generate_cache_key("sqlite", file) == MetadataCache.generate_cache_key(
        "sqlite3", {"path": f"{tmp_path}/./x.db"}
    )


@pytest.mark.parametrize(
    ("db_type", "credentials", "named"),
    [
        (5, CREDENTIALS, "db_type is 5"),
        ("postgress", CREDENTIALS, "did you mean 'postgres'|did you mean \"postgres\""),
        ("postgres", None, "db_creds is a NoneType"),
        ("postgres", "hush", "db_creds is a str"),
        ("postgres", {"host": object(), "database": "d"}, "db_creds is a dict that"),
        ("postgres", {"hots": "hush", "database": "d"}, "hots"),
        ("postgres", {"host": "hush"}, "no database"),
        ("mysql", {"host": "h", "database": "d", "port": "hush"}, "port"),
    ],
)
def test_wrong_credentials_are_named(db_type: Any, credentials: Any, named: str) -> None:
    with pytest.raises(CacheConfigurationError, match=named) as caught:
        MetadataCache.generate_cache_key(db_type, credentials)
    assert "hush" not in str(caught.value)


def test_how_long_an_entry_is_valid(tmp_path: Path) -> None:
    key = MetadataCache.generate_cache_key("postgres", CREDENTIALS)
    MetadataCache(cache_dir=tmp_path).set(key, METADATA)
    for ttl, is_valid in ((None, True), (0, False), (60, True), (timedelta(hours=1), True), (1e-9, False)):
        assert MetadataCache(ttl, tmp_path).is_valid(key) is is_valid, ttl
    for wrong in ("60", -1, True, float("nan")):
        with pytest.raises(CacheConfigurationError, match="ttl_seconds is"):
            MetadataCache(wrong, tmp_path)  # type: ignore[arg-type]
    with pytest.raises(CacheConfigurationError, match="cache_dir is 5"):
        MetadataCache(cache_dir=5)  # type: ignore[arg-type]


def test_metadata_is_what_json_holds(tmp_path: Path) -> None:
    cache = MetadataCache(cache_dir=tmp_path)
    key = cache.generate_cache_key("postgres", CREDENTIALS)
    cache.set(key, {"at": date(2026, 1, 2), "names": ("a", "\U0001f600\ud800")})
    assert cache.get(key) == {"at": "2026-01-02", "names": ["a", "\U0001f600\ud800"]}
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for wrong in (object(), {1, 2}, float("nan"), {("a",): 1}, deep):
        with pytest.raises(CacheConfigurationError, match="cannot be stored as JSON"):
            cache.set(key, wrong)
    assert cache.get(key)["at"] == "2026-01-02", "the former metadata stays"
    for wrong in ("", "../../x", key[:-1], key.upper()):
        for call in (cache.get, cache.is_valid, cache.invalidate, lambda wrong: cache.set(wrong, 1)):
            with pytest.raises(CacheConfigurationError, match="no key of a cache"):
                call(wrong)


def test_files_of_others_are_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = MetadataCache(cache_dir=tmp_path)
    key = cache.generate_cache_key("postgres", CREDENTIALS)
    cache.set(key, METADATA)
    path = tmp_path / f"{key}.json"
    whole = path.read_text()
    deep = "[" * 100_000 + "]" * 100_000
    for text in ("", whole[:-3], json.dumps({"timestamp": 5, "metadata": {}}), whole.replace('"format":1', '"format":9'),
                 whole.replace("[]", deep)):  # fmt: skip
        path.write_text(text)
        assert cache.get(key) is None
        assert path.read_text() == text
    assert any("is no metadata of this release" in record.message for record in caplog.records)
    cache.set(key, METADATA)
    assert cache.get(key) == METADATA


def test_without_a_directory_it_works_in_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "below", Path("/proc/no/such")):
        caplog.clear()
        cache = MetadataCache(cache_dir=place)
        keys = [cache.generate_cache_key("postgres", CREDENTIALS | {"database": name}) for name in "ab"]
        with caplog.at_level(logging.WARNING):
            for key in keys:
                cache.set(key, METADATA)
        assert [cache.get(key) for key in keys] == [METADATA, METADATA]
        assert len([record for record in caplog.records if "in memory only" in record.message]) == 1
        assert cache.invalidate(keys[0]) and cache.get(keys[0]) is None


def _write(directory: str, key: str, number: int) -> None:
    cache = MetadataCache(cache_dir=directory)
    for n in range(200):
        cache.set(key, {"writer": number, "n": n, "text": str(number) * 5000})
        found = cache.get(key)
        assert found["text"] == str(found["writer"]) * 5000


def test_no_reader_sees_half_a_file(tmp_path: Path) -> None:
    key = MetadataCache.generate_cache_key("postgres", CREDENTIALS)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write, args=(str(tmp_path), key, n)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == [f"{key}.json"]


def test_nothing_of_another_package_is_touched() -> None:
    import sys

    assert module.MetadataCache is MetadataCache
    assert not any(name.partition(".")[0] == "defog" for name in sys.modules)
    assert os.environ.get("DEFOG_API_KEY") is None
