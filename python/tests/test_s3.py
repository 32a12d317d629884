"""Payloads in S3, on moto: configurations, entries, URLs, the class of the blob backend."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import urllib.request
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
import pyarrow as pa
import pytest

from cacheness import CacheConfig, CacheHandler, cacheness
from cacheness.config import CacheBlobConfig, CacheMetadataConfig, validate_config
from cacheness.errors import (
    CacheConfigurationError,
    CacheDeniedError,
    CacheError,
    CacheStorageError,
    CacheUnavailableError,
    CacheUnsupportedError,
    NotAStoreError,
)
from cacheness.storage import BlobStore
from cacheness.storage.backends import S3BlobBackend, get_blob_backend, list_blob_backends

if TYPE_CHECKING:
    from pathlib import Path

ACCESS = {"access_key": "tester", "secret_key": "hush-hush"}


@pytest.fixture
def client(endpoint: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="tester",
        aws_secret_access_key="hush-hush",
    )


@pytest.fixture
def bucket(client: Any, request: pytest.FixtureRequest) -> str:
    name = "bucket-" + str(abs(hash(request.node.name)))
    client.create_bucket(Bucket=name)
    return name


def keys(client: Any, bucket: str) -> list[str]:
    return [found["Key"] for found in client.list_objects_v2(Bucket=bucket).get("Contents", [])]


def config(tmp_path: Path, bucket: str, endpoint: str, **options: Any) -> CacheConfig:
    return CacheConfig(
        cache_dir=tmp_path / "cache",
        metadata=CacheMetadataConfig(backend="sqlite"),
        blob=CacheBlobConfig(
            backend="s3",
            bucket=bucket,
            prefix="cache/v1/",
            region="us-east-1",
            endpoint_url=endpoint,
            use_ssl=False,
            allow_local_index=True,
            **ACCESS,
            **options,
        ),
    )


#: Does not fit into an entry.
VALUE = np.random.default_rng(1).random(100_000)


def test_an_entry_tells_where_its_payload_is(tmp_path: Path, bucket: str, endpoint: str, client: Any) -> None:
    cache = cacheness(config=config(tmp_path, bucket, endpoint))
    key = cache.put(VALUE, experiment="exp_001")
    small = cache.put(1, experiment="exp_002")
    np.testing.assert_array_equal(cache.get(experiment="exp_001"), VALUE)
    entry = cache.get_entry(key)
    assert entry is not None
    head = client.head_object(Bucket=bucket, Key=entry["s3_key"])
    assert entry["s3_etag"] == head["ETag"]
    assert entry["s3_bucket"] == bucket
    assert entry["s3_key"].startswith(f"cache/v1/{key[:2]}/{key}-")
    assert head["Metadata"]["xxh3"] == entry["file_hash"]
    metadata = entry.get("metadata", {})
    assert "s3_etag" in metadata
    assert metadata["s3_etag"] == head["ETag"]
    s3_entries = [e for e in cache.list_entries() if e.get("metadata", {}).get("s3_etag")]
    assert [e["cache_key"] for e in cache.list_entries() if e.get("s3_etag")] == [key]
    assert [e["cache_key"] for e in s3_entries] == [key]
    assert "s3_etag" not in (cache.get_entry(small) or {})
    assert "hush" not in repr(cache) + (tmp_path / "cache" / "cacheness.toml").read_text()


def test_a_payload_of_several_parts_has_a_hash(tmp_path: Path, bucket: str, endpoint: str, client: Any) -> None:
    cache = cacheness(config=config(tmp_path, bucket, endpoint, part_size_mb=5))
    table = pa.table({"n": np.random.default_rng(1).random(2_000_000)})

    class Raw(CacheHandler):
        data_type = "raw"

        def can_handle(self, data: Any) -> bool:
            return isinstance(data, bytearray)

        def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
            file_path.write_bytes(data)
            return {"storage_format": "raw"}

        def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:
            return bytearray(file_path.read_bytes())

    cache.handler_registry.register_handler(Raw(), priority=0)
    for value, is_streamed in ((table, True), (bytearray(os.urandom(11 << 20)), False)):
        key = cache.put(value, kind=type(value).__name__)
        entry = cache.get_entry(key) or {}
        assert entry["file_size"] > 10 << 20
        head = client.head_object(Bucket=bucket, Key=entry["s3_key"])
        assert "-" in head["ETag"], "of several parts"
        assert ("xxh3" in head["Metadata"]) is not is_streamed
        assert cache.get_blob_hash(key) == entry["file_hash"]
        data = client.get_object(Bucket=bucket, Key=entry["s3_key"])["Body"].read()
        assert cache.get_blob_hash(key, "blake3") is not None
        client.put_object(Bucket=bucket, Key=entry["s3_key"], Body=data[:-1] + b"?")
        assert cache.get_blob_hash(key) is None, "another object is there now"
        assert not cache.verify_etag(key)


def test_what_the_server_tells_needs_no_download(tmp_path: Path, bucket: str, endpoint: str, client: Any) -> None:
    cache = cacheness(config=config(tmp_path, bucket, endpoint, cache_control="max-age=60"))
    key = cache.put(VALUE, run=1)
    entry = cache.get_entry(key) or {}
    found = cache.get_blob_metadata(run=1)
    assert found == cache.get_blob_metadata(key)
    assert found is not None
    assert found["size"] == entry["file_size"]
    assert found["cache_control"] == "max-age=60"
    assert found["hashes"]["xxh3"] == entry["file_hash"] == cache.get_blob_hash(key)
    assert cache.get_blob_hash(key, "md4") is None
    assert cache.get_etag(key) == entry["s3_etag"]
    assert cache.verify_etag(key)
    assert cache.verify_etag(key, entry["s3_etag"].strip('"'))
    assert not cache.verify_etag(key, "0123")
    client.put_object(Bucket=bucket, Key=entry["s3_key"], Body=b"by somebody else")
    assert not cache.verify_etag(key)
    client.delete_object(Bucket=bucket, Key=entry["s3_key"])
    with pytest.raises(CacheStorageError):
        cache.get_etag(key)
    assert cache.get_etag(run=2) is None
    assert not cache.verify_etag(run=2)


def test_a_url_works_for_other_programs(tmp_path: Path, bucket: str, endpoint: str, client: Any) -> None:
    cache = cacheness(config=config(tmp_path, bucket, endpoint))
    key = cache.put(VALUE, run=1)
    cache.put(1, run=2)
    entry = cache.get_entry(key) or {}
    stored = client.get_object(Bucket=bucket, Key=entry["s3_key"])["Body"].read()
    for url in (cache.presign(run=1, expires=60), cache.presign(key, expires=timedelta(minutes=1))):
        assert url is not None
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == stored
        assert "hush" not in url
    assert cache.presign(run=3) is None
    with pytest.raises(CacheUnsupportedError, match="inside its entry"):
        cache.presign(run=2)
    for expires in (0, -1, 8 * 24 * 3600, float("nan"), "1", None):
        with pytest.raises(CacheConfigurationError, match="expires"):
            cache.presign(key, expires=expires)
    local = cacheness(cache_dir=tmp_path / "local")
    name = local.put(VALUE, run=1)
    for call in (local.presign, local.get_blob_metadata, local.get_etag):
        with pytest.raises(CacheUnsupportedError, match="filesystem"):
            call(name)


def test_a_store_has_it_too(tmp_path: Path, bucket: str, endpoint: str, client: Any) -> None:
    backend = S3BlobBackend(
        bucket=bucket, prefix="models/", endpoint_url=endpoint, storage_class="STANDARD_IA", **ACCESS
    )
    with BlobStore(tmp_path / "store", blob_backend=backend, allow_local_index=True) as store:
        store.put(VALUE, key="fraud_detector_v2", metadata={"accuracy": 0.95})
        np.testing.assert_array_equal(store.get("fraud_detector_v2"), VALUE)
        entry = store.get_metadata("fraud_detector_v2")
        assert entry["s3_key"].startswith("models/")
        assert client.head_object(Bucket=bucket, Key=entry["s3_key"])["StorageClass"] == "STANDARD_IA"
        assert store.get_etag("fraud_detector_v2") == store.get_etag(key="fraud_detector_v2") == entry["s3_etag"]
        assert store.verify_etag("fraud_detector_v2", entry["s3_etag"])
        assert store.presign("fraud_detector_v2", expires=10)
        assert store.presign("nobody") is None
        with pytest.raises(CacheConfigurationError, match="keys"):
            store.presign("fraud_detector_v2", run=1)
        assert store.verify_integrity("fraud_detector_v2")["valid"]


@pytest.mark.parametrize("metadata", [None, "sqlite", "json", "memory", "sqlite_memory"])
def test_entries_on_one_machine_are_refused(metadata: str | None, tmp_path: Path, bucket: str, endpoint: str) -> None:
    refused = config(tmp_path, bucket, endpoint)
    refused.metadata.backend = metadata
    refused.blob.allow_local_index = False
    with pytest.raises(CacheConfigurationError, match="on this machine alone") as caught:
        cacheness(config=refused)
    assert "allow_local_index" in str(caught.value)
    assert "hush" not in str(caught.value)
    if metadata is not None:
        assert any("on this machine alone" in str(error) for error in validate_config(refused))
    assert not (tmp_path / "cache" / "cacheness.toml").exists()


def test_combinations_of_the_reference_are_configurations(tmp_path: Path) -> None:
    flat = CacheConfig(
        cache_dir=str(tmp_path / "metadata"),
        metadata_backend="sqlite",
        blob_backend="s3",
        blob_backend_options={"bucket": "lambda-cache"},
    )
    assert flat.blob.bucket == "lambda-cache"
    with pytest.raises(CacheConfigurationError, match="on this machine alone"):
        cacheness(config=flat)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"part_size_mb": 1}, "part_size_mb"),
        ({"server_side_encryption": "rot13"}, "server_side_encryption"),
        ({"addressing_style": "odd"}, "addressing_style"),
        ({"object_metadata": {"name": "Zürich"}}, "object_metadata"),
        ({"blob_backend_options": {"bukket": "x"}}, "bukket"),
    ],
)
def test_wrong_options_are_named(
    options: dict[str, Any], named: str, tmp_path: Path, bucket: str, endpoint: str
) -> None:
    wrong = config(tmp_path, bucket, endpoint, **options)
    with pytest.raises(CacheConfigurationError, match=named) as caught:
        cacheness(config=wrong)
    assert "hush" not in str(caught.value)
    assert [named in str(error) for error in validate_config(wrong)] == [True]


def test_a_directory_remembers_its_bucket(tmp_path: Path, bucket: str, endpoint: str) -> None:
    with cacheness(config=config(tmp_path, bucket, endpoint)) as cache:
        cache.put(VALUE, run=1)
    again = cacheness(cache_dir=tmp_path / "cache", blob_backend="s3", allow_local_index=True, **ACCESS)
    np.testing.assert_array_equal(again.get(run=1), VALUE)
    other = config(tmp_path, bucket, endpoint)
    other.storage.cache_dir = tmp_path / "other"
    with pytest.raises(NotAStoreError, match="belongs to another store"):
        cacheness(config=other)


def test_the_class_of_the_reference(bucket: str, endpoint: str, client: Any) -> None:
    backend = S3BlobBackend(bucket=bucket, prefix="p", endpoint_url=endpoint, shard_chars=2, **ACCESS)
    assert "hush" not in repr(backend)
    placed = backend.put("abc123", b"first")
    placed = backend.put("abc123", b"second")
    assert placed["s3_bucket"] == bucket
    assert placed["s3_key"].startswith("p/ab/abc123-")
    assert backend.list_keys() == keys(client, bucket) == [placed["s3_key"]]
    for name in ("abc123", placed["s3_key"], f"s3://{bucket}/{placed['s3_key']}"):
        assert backend.get(name) == b"second"
        assert backend.exists(name)
        assert backend.get_etag(name) == placed["s3_etag"]
    assert backend.verify_etag("abc123", placed["s3_etag"])
    assert not backend.verify_etag("abc123", "0")
    # Of b"second", by hashlib.
    import hashlib

    assert backend.get_blob_hash("abc123") == hashlib.sha256(b"second").hexdigest()
    assert backend.get_blob_hash("abc123", "md5") == hashlib.md5(b"second", usedforsecurity=False).hexdigest()
    assert backend.get_blob_hash("abc123", "crc") is None
    assert (backend.get_blob_metadata("abc123") or {})["size"] == 6
    with urllib.request.urlopen(backend.get_presigned_url("abc123", expires_in=60)) as answer:
        assert answer.read() == b"second"
    assert backend.delete("abc123")
    assert not backend.delete("abc123")
    assert backend.get("abc123") is None
    assert backend.get_blob_metadata("abc123") is None
    name = backend.write_blob("x", b"y")
    assert backend.read_blob(name) == b"y"
    assert backend.list_keys("x") == [f"p/{name.removeprefix('blobs/')}"]
    assert backend.delete_blob(name)
    with pytest.raises(FileNotFoundError):
        backend.read_blob(name)
    same = get_blob_backend("s3", bucket=bucket, endpoint_url=endpoint, **ACCESS)
    assert isinstance(same, S3BlobBackend)
    assert "s3" in [found["name"] for found in list_blob_backends()]


def test_a_bucket_that_is_not_there(tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(CacheStorageError, match="NoSuchBucket"):
        cacheness(config=config(tmp_path, "no-such-bucket", endpoint))


def test_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: str, endpoint: str) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    lacking = config(tmp_path, bucket, endpoint)
    lacking.blob.access_key = lacking.blob.secret_key = None
    with pytest.raises(CacheDeniedError, match="no credentials"):
        cacheness(config=lacking)
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("[default]\naws_access_key_id=a\naws_secret_access_key=b\n")
    cacheness(config=lacking).put(VALUE, run=1)


def test_a_server_that_is_not_there_and_one_that_is_silent(tmp_path: Path, bucket: str) -> None:
    gone = config(tmp_path, bucket, "http://127.0.0.1:9", max_retries=1)
    with pytest.raises(CacheUnavailableError) as caught:
        cacheness(config=gone)
    assert caught.value.retryable
    assert isinstance(caught.value, CacheError)


def test_ctrl_c_stops_a_wait(tmp_path: Path, bucket: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        waiting = config(tmp_path, bucket, f"http://127.0.0.1:{silent.getsockname()[1]}")
        asked = threading.Event()

        def interrupt() -> None:
            silent.accept()
            asked.set()
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            cacheness(config=waiting)
        thread.join()
        assert asked.is_set()


def test_a_forked_child_connects_anew(tmp_path: Path, bucket: str, endpoint: str) -> None:
    cache = cacheness(config=config(tmp_path, bucket, endpoint))
    cache.put(VALUE, run=1)
    child = os.fork()
    if child == 0:
        try:
            same = np.array_equal(cache.get(run=1), VALUE)
            cache.put(VALUE + 1, run=2)
            os._exit(0 if same else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(cache.get(run=2), VALUE + 1)


def test_a_configuration_without_its_secrets_is_saved(tmp_path: Path, bucket: str, endpoint: str) -> None:
    from cacheness.config import load_config_from_json, save_config_to_json

    with pytest.warns(UserWarning, match="secret_key"):
        save_config_to_json(config(tmp_path, bucket, endpoint), tmp_path / "config.json")
    assert "hush" not in (tmp_path / "config.json").read_text()
    assert json.loads((tmp_path / "config.json").read_text())
    assert load_config_from_json(tmp_path / "config.json").blob.bucket == bucket


def test_a_batch_is_requested_together(tmp_path: Path, bucket: str, endpoint: str, client: Any) -> None:
    """Values of a batch are those of single gets: objects, small values, missing ones, damaged ones, and defaults."""
    cache = cacheness(config=config(tmp_path, bucket, endpoint))
    for i in range(20):
        cache.put(VALUE * i if i % 2 else i, i=i)
    damaged = cache.put(VALUE, damaged=True)
    entry = cache.get_entry(damaged) or {}
    client.put_object(Bucket=bucket, Key=entry["s3_key"], Body=b"x" * entry["file_size"])
    wanted = [{"i": i, "default": "none"} for i in range(22)] + [{"damaged": True, "default": 7}]
    # A value of its own for each occurrence of a key.
    found = cache.get_batch([*wanted, {"i": 3}])
    assert len(found) == 23
    for i in range(20):
        np.testing.assert_array_equal(found[cache.cache_key(i=i)], VALUE * i if i % 2 else i)
    assert found[cache.cache_key(i=21)] == "none"
    assert found[damaged] == 7
    before = cache.get_stats()
    cache.get_batch([{"i": 0}, {"i": 1}, {"i": 30}])
    after = cache.get_stats()
    assert after["cache_hits"] - before["cache_hits"] == 2
    assert after["cache_misses"] - before["cache_misses"] == 1
    with pytest.raises(CacheError):
        cache.get_batch([{"i": 0}, {"i": 1, "ttl_seconds": -1}])
