"""A database outside of its store's directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cacheness import BlobStore, Cache, CacheConfigurationError, CacheIntegrityError, CacheReadOnlyError, NotAStoreError


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}"])
def test_the_database_is_where_it_was_asked_for(form: str, tmp_path: Path) -> None:
    path = tmp_path / "fast" / "x.db"
    with Cache(tmp_path / "cache", database_url=form.format(path)) as cache:
        cache.put(1, x=1)
        cache.put(b"\1" * 10, x=2)
        assert cache.get_stats()["backend_type"] == "sqlite"
    assert "x.db" in files(tmp_path / "fast")
    assert "cache_metadata.db" not in files(tmp_path / "cache")
    # The directory remembers it; saying it again is no mistake.
    with Cache(tmp_path / "cache") as cache, Cache(tmp_path / "cache", database_url=str(path)) as other:
        assert cache.get(x=1) == other.get(x=1) == 1
        other.put(3, x=1)
        assert cache.get(x=1) == 3
    with BlobStore(tmp_path / "cache") as store:
        assert len(store) == 2
    with Cache(tmp_path / "cache", read_only=True) as cache:
        assert cache.get(x=1) == 3


def test_a_relative_path_stays_the_same_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Cache("cache", database_url="./x.db") as cache:
        cache.put(1, x=1)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    with Cache(tmp_path / "cache") as cache:
        assert cache.get(x=1) == 1
    assert files(tmp_path / "other") == set()


def test_the_path_that_it_has_anyway(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache", database_url=str(tmp_path / "cache" / "cache_metadata.db")) as cache:
        cache.put(1, x=1)
    assert "[database]" not in (tmp_path / "cache" / "cacheness.toml").read_text()
    with Cache(tmp_path / "cache") as cache:
        assert cache.get(x=1) == 1


def test_a_database_beside_the_payloads(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache", database_url=str(tmp_path / "cache" / "entries.db")) as cache:
        cache.put(1, x=1)
    with Cache(tmp_path / "cache") as cache:
        assert cache.get(x=1) == 1


def test_another_place_than_the_recorded_one_is_refused(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache", database_url=str(tmp_path / "x.db")) as cache:
        cache.put(1, x=1)
    with pytest.raises(
        CacheConfigurationError, match=r"the store has its database at .*x\.db, and database_url is .*y\.db"
    ):
        Cache(tmp_path / "cache", database_url=str(tmp_path / "y.db"))
    with Cache(tmp_path / "plain") as cache:
        cache.put(1, x=1)
    with pytest.raises(CacheConfigurationError, match=r"has its database at .*cache_metadata\.db, and database_url is"):
        Cache(tmp_path / "plain", database_url=str(tmp_path / "y.db"))
    assert not (tmp_path / "y.db").exists()


def test_a_database_belongs_to_one_store(tmp_path: Path) -> None:
    with Cache(tmp_path / "one", database_url=str(tmp_path / "x.db")) as cache:
        cache.put(1, x=1)
    with pytest.raises(NotAStoreError, match=r"x\.db is there already"):
        Cache(tmp_path / "two", database_url=str(tmp_path / "x.db"))
    # Nor does one that is written by hand into a manifest: not that of another store, …
    manifest = (tmp_path / "one" / "cacheness.toml").read_text()
    start = manifest.index('id = "') + 6
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "cacheness.toml").write_text(manifest[:start] + "0" * 32 + manifest[start + 32 :])
    with pytest.raises(NotAStoreError, match=r"x\.db belongs to another store"):
        Cache(tmp_path / "three")
    # … nor the one in its store's directory, …
    with Cache(tmp_path / "plain") as cache:
        cache.put(1, x=1)
    (tmp_path / "three" / "cacheness.toml").write_text(manifest.replace("x.db", "plain/cache_metadata.db"))
    with pytest.raises(NotAStoreError, match=r"cache_metadata\.db belongs to another store"):
        Cache(tmp_path / "three")
    # … nor does it make one.
    (tmp_path / "three" / "cacheness.toml").write_text(manifest.replace("x.db", "new.db"))
    with pytest.raises(CacheIntegrityError, match=r"the database .*new\.db is gone"):
        Cache(tmp_path / "three")
    assert not (tmp_path / "new.db").exists()
    with Cache(tmp_path / "one") as cache:
        assert cache.get(x=1) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"database_url": ""}, 'database_url is ""\nhint: give the path of a file'),
        ({"database_url": ":memory:"}, 'use metadata_backend = "sqlite_memory" for one in memory'),
        (
            {"database_url": "x.db", "metadata_backend": "json"},
            'database_url is given, and the metadata backend is "json"',
        ),
        ({"database_url": 5}, "database_url is 5\nhint: give a str"),
    ],
)
def test_what_is_no_place_for_a_database(options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(CacheConfigurationError) as caught:
        Cache(tmp_path / "cache", **options)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_a_read_only_cache_makes_no_database(tmp_path: Path) -> None:
    with pytest.raises((NotAStoreError, CacheReadOnlyError)):
        Cache(tmp_path / "cache", database_url=str(tmp_path / "x.db"), read_only=True)
    assert files(tmp_path) == set()


def test_processes_that_make_the_store_at_once_have_one_database(tmp_path: Path) -> None:
    script = (
        "import sys, cacheness\n"
        "with cacheness.Cache(sys.argv[1] + '/cache', database_url=sys.argv[1] + '/x.db') as cache:\n"
        "    cache.put(int(sys.argv[2]), x=int(sys.argv[2]))\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(n)]) for n in range(8)]
    assert [process.wait() for process in started] == [0] * 8
    with Cache(tmp_path / "cache") as cache:
        assert [cache.get(x=n) for n in range(8)] == list(range(8))
