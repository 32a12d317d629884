"""Caches and stores by URL, in Python and by the command; on a real PostgreSQL and moto where it says so."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
import pytest

import cacheness
from cacheness import (
    BlobStore,
    Cache,
    CacheConfig,
    CacheConfigurationError,
    CacheIntegrityError,
    CacheReadOnlyError,
    CacheSignatureError,
    NotAStoreError,
)

if TYPE_CHECKING:
    pass

ADDRESS = os.environ.get("CACHENESS_TEST_POSTGRES_URL", "")
COMMAND = Path(sys.executable).parent / "cacheness"
#: Does not fit into an entry.
LARGE = np.random.default_rng(1).random(100_000)


@pytest.mark.parametrize("form", ["{}", "file://{}", "sqlite:///{}", "json:///{}"])
def test_a_url_of_a_directory_is_the_directory(form: str, tmp_path: Path) -> None:
    place = tmp_path / "a b"
    url = form.format(str(place).replace(" ", "%20") if form.startswith("file:") else place)
    with cacheness.open(url) as cache:
        assert type(cache) is Cache
        cache.put(LARGE, x=1)
        assert cache.get_stats()["backend_type"] == ("json" if form.startswith("json") else "sqlite")
    assert Path(cache.cache_dir) == place
    with cacheness.open_store(url) as store, Cache(place) as again:
        assert type(store) is BlobStore
        assert len(store) == 1
        np.testing.assert_array_equal(again.get(x=1), LARGE)
    with cacheness.open(url, read_only=True) as cache, pytest.raises(CacheReadOnlyError):
        cache.put(1, x=2)
    with pytest.raises(NotAStoreError):
        cacheness.open(tmp_path / "none", read_only=True)


def test_options_are_those_of_a_cache(tmp_path: Path) -> None:
    config = CacheConfig(default_ttl_seconds=60, max_entries=7)
    with cacheness.open(tmp_path / "one", config=config, durability="full") as cache:
        assert cache.config == CacheConfig(
            cache_dir=tmp_path / "one", default_ttl_seconds=60, max_entries=7, durability="full"
        )
    assert config == CacheConfig(default_ttl_seconds=60, max_entries=7)
    with cacheness.open("memory://", default_ttl_seconds=60) as cache:
        cache.put(LARGE, x=1)
        assert cache.get_entry(cache.cache_key(x=1))["expires_at"] is not None  # type: ignore[index]
    with cacheness.open("sqlite:///:memory:", "memory://") as cache:
        assert cache.get_stats()["backend_type"] == "sqlite_memory"
    with cacheness.open_store(tmp_path / "store", content_addressable=True) as store:
        assert store.put(1) == store.put(1)
    assert "open" not in cacheness.__all__


def test_blobs_are_in_another_directory(tmp_path: Path) -> None:
    far = tmp_path / "far"
    with cacheness.open(tmp_path / "cache", far) as cache:
        cache.put(LARGE, x=1)
    assert len(list(far.glob("blobs/*/*"))) == 1
    assert not (tmp_path / "cache" / "blobs").exists()
    for form in (str(far), f"file://{far}"):
        with cacheness.open(tmp_path / "cache", form) as cache:
            np.testing.assert_array_equal(cache.get(x=1), LARGE)
    with Cache(tmp_path / "cache", blob_backend=f"file://{far}") as cache:
        np.testing.assert_array_equal(cache.get(x=1), LARGE)
        assert cache.get_stats()["blob_backend_type"] == "filesystem"
    with pytest.raises(NotAStoreError, match="belong to another store"):
        cacheness.open(tmp_path / "two", far)


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("mysql://ada:hush@h/db", {}, r"mysql://ada:\*\*\*@h/db is no URL of a store"),
        ("file://host/x", {}, "names a host"),
        ("", {}, "names no directory"),
        (5, {}, "url is 5"),
        ("memory://", {"blobs": "gcs://ada:hush@bucket"}, r"gcs://ada:\*\*\*@bucket is no URL of blobs"),
        ("./one", {"cache_dir": "./two"}, "the URL and the option cache_dir name two places"),
        ("json:///one", {"backend": "sqlite"}, "the URL and the option backend name two places"),
        ("./one", {"max_entry": 5}, "unknown option 'max_entry'"),
        ("./one", {"blobs": "s3://bucket?secret_key=hush"}, "on this machine alone"),
        ("memory://", {"config": 5}, "config is 5"),
    ],
)
def test_what_is_wrong_is_said_without_a_password(url: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(CacheConfigurationError, match=message) as caught:
        cacheness.open(url, **options)
    assert "hush" not in str(caught.value) + repr(caught.value)
    assert caught.value.hint


def test_the_environment_names_the_store_of_a_program_that_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHENESS_STORE", f"json:///{tmp_path / 'fleet'}")
    monkeypatch.setenv("CACHENESS_BLOBS", str(tmp_path / "blobs"))
    for made in (Cache, cacheness.open, cacheness.open_store):
        with made() as store:  # type: ignore[operator]
            assert Path(store.cache_dir) == tmp_path / "fleet"
            store.put(LARGE, **({"x": 1} if isinstance(store, Cache) else {"key": "x"}))
    assert len(list((tmp_path / "blobs").glob("blobs/*/*"))) == 2
    origins = CacheConfig().origins()
    assert origins["storage.cache_dir"] == (str(tmp_path / "fleet"), "CACHENESS_STORE")
    assert origins["metadata.backend"] == ("json", "CACHENESS_STORE")
    assert origins["blob.blob_backend"] == (f"file://{tmp_path / 'blobs'}", "CACHENESS_BLOBS")
    # A program that names a directory, a database or a URL means that.
    for made in (lambda: Cache("own"), lambda: Cache(cache_dir="own"), lambda: cacheness.open("own")):
        with made() as cache:
            assert cache.cache_dir == "own"
            assert cache.get_stats()["backend_type"] == "sqlite"
    monkeypatch.setenv("CACHENESS_DIR", "elsewhere")
    with pytest.raises(CacheConfigurationError, match="CACHENESS_STORE names the place of the store, and so does"):
        Cache()


@pytest.fixture
def fleet(
    endpoint: str, schema: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str]:
    """The URLs of a database and a bucket; the credentials are in the environment."""
    bucket = f"fleet-{abs(hash(request.node.name))}"
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "tester"),
        ("AWS_SECRET_ACCESS_KEY", "hush-hush"),
        ("AWS_ENDPOINT_URL_S3", endpoint),
        ("AWS_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=bucket)
    separator = "&" if "?" in ADDRESS else "?"
    return f"{ADDRESS}{separator}schema={schema}", f"s3://{bucket}/team"


def test_a_fleet_needs_two_urls_and_a_key(fleet: tuple[str, str], tmp_path: Path) -> None:
    url, blobs = fleet
    key = tmp_path / "team.key"
    with cacheness.open(url, blobs, signing_key_file=str(key), allow_unsigned_entries=False) as one:
        assert one.cache_dir == ":memory:"
        one.put(LARGE, x=1)
        one.put("small", x=2)
        assert one.get_entry(one.cache_key(x=1))["s3_bucket"] == blobs.split("/")[2]  # type: ignore[index]
        # Another process, which has the pickled cache, or the same URLs.
        again = pickle.loads(pickle.dumps(one))
        with again, cacheness.open(url, blobs, signing_key_file=str(key), allow_unsigned_entries=False) as two:
            for cache in (again, two):
                np.testing.assert_array_equal(cache.get(x=1), LARGE)
                assert cache.get(x=2) == "small"
                assert cache.get_stats()["backend_type"] == "postgresql"
                assert cache.get_stats()["blob_backend_type"] == "s3"
    assert [path.name for path in tmp_path.iterdir()] == ["team.key"]
    with cacheness.open_store(url, blobs, signing_key_file=str(key)) as store:
        store.put(LARGE, key="model")
        assert len(store) == 3
    # A reader without the key checks no signature, and serves nothing that must be signed.
    key = tmp_path / "none.key"
    with cacheness.open(url, blobs, signing_key_file=str(key), allow_unsigned_entries=False, read_only=True) as reader:
        assert reader.get(x=2) is None
    key = tmp_path / "team.key"
    with cacheness.open_store(url, blobs, signing_key_file=str(key)) as store:
        np.testing.assert_array_equal(store.get("model"), LARGE)


def test_without_a_key_for_all_the_directory_has_one(fleet: tuple[str, str], tmp_path: Path) -> None:
    url, blobs = fleet
    with cacheness.open(url, blobs) as cache:
        assert cache.cache_dir == "./cache"
        cache.put(LARGE, x=1)
    found = {path.name for path in (tmp_path / "cache").iterdir()}
    assert {"cacheness.toml", "cache_signing_key.bin"} <= found
    assert "blobs" not in found
    assert "hush" not in (tmp_path / "cache/cacheness.toml").read_text()
    with cacheness.open(url) as cache:
        np.testing.assert_array_equal(cache.get(x=1), LARGE)
    with pytest.raises(CacheConfigurationError, match="there is no directory with a key"):
        cacheness.open(url, blobs, cache_dir=":memory:")
    with pytest.raises(CacheConfigurationError, match="ends with this process"):
        cacheness.open(url, "memory://", cache_dir=":memory:", enable_signing=False)


def test_the_same_program_moves_by_configuration(
    fleet: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, blobs = fleet
    program = "from cacheness import cacheness\nwith cacheness() as c: c.put([1.5] * 9000, x=1); print(c.get_stats())"
    (tmp_path / "team.toml").write_text(
        f'signing_key_file = "{tmp_path}/team.key"\n[metadata]\nbackend = "postgresql"\ndatabase_url = "{url}"\n'
        f'[blob]\nbackend = "{blobs}"\n'
    )

    def run(**variables: str) -> str:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("CACHENESS_")}
        done = subprocess.run(
            [sys.executable, "-c", program], env={**ours, **variables}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "'backend_type': 'sqlite'" in run()
    moved = run(CACHENESS_STORE=url, CACHENESS_BLOBS=blobs, CACHENESS_SIGNING_KEY_FILE=f"{tmp_path}/team.key")
    assert "'backend_type': 'postgresql'" in moved
    assert "'blob_backend_type': 's3'" in moved
    configured = run(CACHENESS_CONFIG="team.toml", CACHENESS_DIR="beside")
    assert "'backend_type': 'postgresql'" in configured
    assert "'blob_backend_type': 's3'" in configured
    monkeypatch.setenv("CACHENESS_CONFIG", "team.toml")
    assert CacheConfig().origins()["metadata.database_url"].source == "team.toml:4"


def command(*args: str, cwd: Path, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("CACHENESS_", "CLICOLOR"))}
    done = subprocess.run(
        [COMMAND, *args], cwd=cwd, env={**ours, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done
    assert "hush" not in done.stdout + done.stderr
    return done


def test_the_command_opens_urls(fleet: tuple[str, str], tmp_path: Path) -> None:
    url, blobs = fleet
    key = str(tmp_path / "team.key")
    with cacheness.open(url, blobs, signing_key_file=key) as cache:
        large, small = cache.put(LARGE, x=1), cache.put("small", x=2)
    (tmp_path / "text").write_text("hello")
    here = tmp_path / "here"
    here.mkdir()
    store = ("--store", url, "--blobs", blobs)

    # A reader without the key, and without a directory.
    assert {
        json.loads(line)["cache_key"] for line in command("ls", "--json", *store, cwd=here).stdout.splitlines()
    } == {
        large,
        small,
    }
    assert command(*store, "get", small, cwd=here).stdout == '"small"\n'
    command("get", large, "-o", "large.npy", *store, cwd=here)
    np.testing.assert_array_equal(np.load(here / "large.npy"), LARGE)
    stats = json.loads(command("stats", "--json", *store, cwd=here).stdout)
    assert (stats["total_entries"], stats["backend_type"], stats["blob_backend_type"]) == (2, "postgresql", "s3")
    assert "ends with this process" in command("ls", "--store", url, cwd=here, code=1).stderr
    assert sorted(path.name for path in here.iterdir()) == ["large.npy"]

    # A writer needs the key.
    refused = command("tag", "add", small, "eu", *store, cwd=here, code=1)
    assert "signing_key_file" in refused.stderr
    variables = {"CACHENESS_STORE": url, "CACHENESS_BLOBS": blobs, "CACHENESS_SIGNING_KEY_FILE": key}
    command("tag", "add", small, "eu", cwd=here, **variables)
    added = command("put", "../text", "--text", "x=3", cwd=here, **variables).stdout.strip()
    verified = command("verify", cwd=here, **variables)
    assert "3 entries" in verified.stdout + verified.stderr
    assert "3 valid" in verified.stdout + verified.stderr
    with cacheness.open(url, blobs, signing_key_file=key, allow_unsigned_entries=False) as cache:
        assert cache.get(x=3) == "hello"
        assert cache.list_entries(tag="eu")[0]["cache_key"] == small
    command("rm", added, cwd=here, **variables)
    origins = json.loads(command("config", "--show-origin", "--json", cwd=here, **variables).stdout)
    assert origins["metadata.backend"] == {"value": "postgresql", "source": "CACHENESS_STORE"}
    assert origins["blob.blob_backend"] == {"value": blobs, "source": "CACHENESS_BLOBS"}
    assert origins["security.signing_key_file"] == {"value": key, "source": "CACHENESS_SIGNING_KEY_FILE"}
    assert sorted(path.name for path in here.iterdir()) == ["large.npy"]


def test_the_command_refuses_two_stores(tmp_path: Path) -> None:
    for args, code, message in (
        (("ls", "--store", "mysql://ada:hush@h/db"), 2, "mysql://ada:***@h/db is no URL of a store"),
        (("ls", "x", "--store", "memory://"), 2, "the store is given twice: with --store and as"),
        (("ls", "--dir", "x", "--store", "./y"), 2, "the URL names the place of the store"),
        (("get", "k", "--store", "./none"), 1, "there is no directory"),
    ):
        assert message in command(*args, cwd=tmp_path, code=code).stderr
    with Cache(tmp_path / "y") as cache:
        key = cache.put("small", x=1)
    assert command("get", key, "--store", "file:y", cwd=tmp_path).stdout == '"small"\n'
    assert command("--store", f"sqlite:///{tmp_path / 'y'}", "ls", "-q", cwd=tmp_path).stdout == f"{key}\n"


def test_a_lost_payload_is_an_error_of_a_store(tmp_path: Path) -> None:
    with cacheness.open_store(tmp_path / "store", tmp_path / "far") as store:
        store.put(LARGE, key="x")
        [path] = (tmp_path / "far").glob("blobs/*/*")
        path.unlink()
        with pytest.raises((CacheIntegrityError, CacheSignatureError)):
            store.get("x")
