"""Every metadata backend with every blob backend that it may have: one program, a model, two openings, and tampering."""

from __future__ import annotations

import itertools
import json
import os
import random
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
import psycopg
import pytest

from cacheness import (
    BlobBackend,
    Cache,
    CacheConfig,
    CacheConfigurationError,
    CacheIntegrityError,
    CacheUnsupportedError,
    MetadataBackend,
)
from cacheness.storage import BlobStore

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS = os.environ.get("CACHENESS_TEST_POSTGRES_URL", "")
ACCESS = {"access_key": "tester", "secret_key": "hush-hush", "region": "us-east-1"}
METADATA = ("sqlite", "json", "sqlite_memory", "memory", "postgresql", "own")
BLOBS = ("filesystem", "memory", "s3", "own")


class Rows(MetadataBackend):
    """Entries in a table of PostgreSQL, one row each: commits are transactions."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        with self._connect() as connection:
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            connection.execute('CREATE TABLE IF NOT EXISTS own (key text COLLATE "C" PRIMARY KEY, entry text)')

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(ADDRESS, options=f"-c search_path={self.schema}")

    def get_entries(self, cache_keys: list[str]) -> list[dict[str, Any] | None]:
        with self._connect() as connection:
            rows = dict(connection.execute("SELECT key, entry FROM own WHERE key = ANY(%s)", [cache_keys]).fetchall())
        return [json.loads(rows[key]) if key in rows else None for key in cache_keys]

    def get_entry(self, cache_key: str) -> dict[str, Any] | None:
        return self.get_entries([cache_key])[0]

    def put_entry(self, cache_key: str, entry_data: dict[str, Any]) -> None:
        self.commit({cache_key: entry_data}, {})

    def remove_entry(self, cache_key: str) -> bool:
        there = self.get_entry(cache_key) is not None
        self.commit({cache_key: None}, {})
        return there

    def list_entries(self) -> list[dict[str, Any]]:
        with self._connect() as connection:
            return [json.loads(entry) for (entry,) in connection.execute("SELECT entry FROM own")]

    def commit(self, changes: dict[str, dict[str, Any] | None], expected: dict[str, str | None]) -> bool:
        with self._connect() as connection:
            connection.execute("LOCK TABLE own IN EXCLUSIVE MODE")
            now = dict(
                connection.execute("SELECT key, entry FROM own WHERE key = ANY(%s)", [list(expected)]).fetchall()
            )
            for key, revision in expected.items():
                if (json.loads(now[key])["revision"] if key in now else None) != revision:
                    return False
            for key, entry in changes.items():
                connection.execute("DELETE FROM own WHERE key = %s", [key])
                if entry is not None:
                    connection.execute("INSERT INTO own VALUES (%s, %s)", [key, json.dumps(entry)])
        return True


class Kept(BlobBackend):
    """Blobs in a dictionary that outlives the object."""

    is_remote = True

    def __init__(self, kept: dict[str, bytes]) -> None:
        self.kept = kept

    def write_blob(self, blob_id: str, data: bytes) -> str:
        self.kept[blob_id] = data
        return blob_id

    def read_blob(self, blob_path: str) -> bytes:
        if blob_path not in self.kept:
            raise FileNotFoundError(blob_path)
        return self.kept[blob_path]

    def delete_blob(self, blob_path: str) -> bool:
        return self.kept.pop(blob_path, None) is not None


class Pair:
    """Two backends whose data outlives a store, as far as it can."""

    def __init__(self, metadata: str, blobs: str, schema: str, endpoint: str, directory: Path) -> None:
        self.metadata, self.blobs, self.schema, self.endpoint = metadata, blobs, schema, endpoint
        self.directory = directory
        self.kept: dict[str, bytes] = {}
        self.bucket = f"bucket-{schema.replace('_', '-')}"
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="tester",
            aws_secret_access_key="hush-hush",
        )
        if blobs == "s3":
            self.client.create_bucket(Bucket=self.bucket)

    @property
    def is_allowed(self) -> bool:
        """Whether payloads are not more durable, nor more widely known, than entries."""
        in_memory = self.metadata in ("memory", "sqlite_memory")
        if self.blobs == "memory":
            return in_memory
        if self.blobs == "filesystem":
            # Beside entries in memory, the default is in memory too.
            return True
        return self.metadata in ("postgresql", "own")

    @property
    def is_lasting(self) -> bool:
        return self.metadata not in ("memory", "sqlite_memory")

    def options(self, **more: Any) -> dict[str, Any]:
        options: dict[str, Any] = {"metadata_backend": self.metadata, "blob_backend": self.blobs, "array_format": "npy"}
        if self.metadata == "postgresql":
            options["metadata_backend_options"] = {"connection_url": ADDRESS, "schema": self.schema}
        if self.metadata == "own":
            options["metadata_backend"] = Rows(self.schema)
        if self.blobs == "s3":
            options["blob_backend_options"] = {"bucket": self.bucket, "endpoint_url": self.endpoint, **ACCESS}
        if self.blobs == "own":
            options["blob_backend"] = Kept(self.kept)
        return options | more

    def cache(self, **more: Any) -> Cache:
        return Cache(CacheConfig(cache_dir=str(self.directory), **self.options(**more)))

    def payloads(self) -> int:
        """How many payloads there are outside the entries."""
        if self.blobs == "s3":
            found = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
            return sum("blobs/" in key["Key"] or "-" in key["Key"] for key in found)
        if self.blobs == "own":
            return len(self.kept)
        return sum(path.is_file() for path in (self.directory / "blobs").rglob("*"))

    def damage(self) -> None:
        """Changes a byte of every payload."""

        def changed(data: bytes) -> bytes:
            return data[:-1] + bytes([data[-1] ^ 1])

        if self.blobs == "s3":
            for found in self.client.list_objects_v2(Bucket=self.bucket).get("Contents", []):
                data = self.client.get_object(Bucket=self.bucket, Key=found["Key"])["Body"].read()
                if data:
                    self.client.put_object(Bucket=self.bucket, Key=found["Key"], Body=changed(data))
        elif self.blobs == "own":
            self.kept.update({path: changed(data) for path, data in self.kept.items()})
        else:
            for path in (self.directory / "blobs").rglob("*"):
                if path.is_file():
                    path.write_bytes(changed(path.read_bytes()))


PAIRS = list(itertools.product(METADATA, BLOBS))


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, schema: str, endpoint: str, tmp_path: Path) -> Pair:
    return Pair(*request.param, schema, endpoint, tmp_path / "cache")


def test_a_pair_works_or_says_why_not(pair: Pair) -> None:
    if not pair.is_allowed:
        with pytest.raises((CacheConfigurationError, CacheUnsupportedError)) as caught:
            pair.cache()
        if pair.blobs in ("s3", "own") and pair.is_lasting:
            assert "allow_local_index" in str(caught.value)
        return
    chance = random.Random(repr(PAIRS.index((pair.metadata, pair.blobs))))
    model: dict[int, Any] = {}

    def agree(cache: Cache) -> None:
        for number in range(8):
            found = cache.get(number=number)
            assert np.array_equal(found, model[number]) if number in model else found is None, number
        assert cache.get_stats()["total_entries"] == len(model)
        large = {f"{n}" for n, value in model.items() if isinstance(value, np.ndarray)}
        listed = cache.list_entries(include_metadata=True, where={"large": True})
        assert {entry["metadata"]["name"] for entry in listed} == large

    with pair.cache() as cache:
        for step in range(60):
            number = chance.randrange(8)
            action = chance.choice(("put", "put", "put", "delete", "touch", "agree"))
            if action == "put":
                value = chance.choice((step, "small", np.random.default_rng(step).random(9000)))
                is_large = isinstance(value, np.ndarray)
                cache.put(value, number=number, metadata={"name": f"{number}", "large": is_large})
                model[number] = value
            elif action == "delete":
                assert cache.invalidate(number=number) == (number in model)
                model.pop(number, None)
            elif action == "touch":
                assert cache.touch(number=number) == (number in model)
            else:
                agree(cache)
        agree(cache)
        assert cache.get_or_compute(lambda: 5, computed=1) == cache.get_or_compute(lambda: 6, computed=1) == 5
        assert cache.invalidate(computed=1)
        assert cache.verify_integrity()["valid"]
        cache.rotate_signing_key()
        agree(cache)
    if pair.is_lasting:
        with pair.cache() as cache:
            agree(cache)
            assert cache.clear() == len(model)
            assert cache.get_stats()["total_entries"] == 0 and cache.list_entries() == []


def test_a_changed_payload_is_never_served(pair: Pair) -> None:
    if not (pair.is_allowed and pair.is_lasting):
        return
    array = np.random.default_rng(1).random(9000)
    with pair.cache(allow_unsigned_entries=False) as cache:
        key = cache.put(array, x=1)
        assert pair.payloads() == 1
        pair.damage()
        assert cache.get(x=1) is None
        report = cache.verify_integrity(x=1)
        assert not report["valid"]
        cache.put(array, x=1)
        assert np.array_equal(cache.get(cache_key=key), array)
    with BlobStore(pair.directory, config=CacheConfig(**pair.options())) as store:
        pair.damage()
        with pytest.raises(CacheIntegrityError):
            store.get(key)
