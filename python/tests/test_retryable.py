"""What a backend says about a retry of its error is the attribute of the exception, whatever its class."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from cacheness import BlobStore, Cache, CacheError, _core
from cacheness.errors import CacheBusyError, CacheDeniedError, CacheStorageError, CacheUnavailableError

if TYPE_CHECKING:
    from pathlib import Path


def _with_blobs(directory: Path, backend: str) -> Path:
    """A directory that records this blob backend: configurations in Python name only those of this release."""
    Cache(directory).close()
    manifest = directory / "cacheness.toml"
    text = manifest.read_text()
    assert text.count('"filesystem"') == 1
    manifest.write_text(text.replace('"filesystem"', f'"{backend}"'))
    return directory


@pytest.mark.parametrize(
    ("kind", "said", "error", "retryable"),
    [
        ("Busy", False, CacheBusyError, False),
        ("Busy", None, CacheBusyError, True),
        ("Unavailable", False, CacheUnavailableError, False),
        ("Unavailable", None, CacheUnavailableError, True),
        ("Storage", True, CacheStorageError, True),
        ("Storage", None, CacheStorageError, False),
        ("Denied", True, CacheDeniedError, True),
    ],
)
def test_a_backend_says_whether_its_error_is_retryable(
    kind: str, said: bool | None, error: type[CacheError], retryable: bool, tmp_path: Path
) -> None:
    name = f"failing-{kind}-{said}"
    _core.register_failing_blobs(name, kind, said)
    large = random.Random(1).randbytes(100_000)
    with Cache(_with_blobs(tmp_path / "cache", name)) as cache:
        cache.put(1, small=1)
        with pytest.raises(error, match="the backend fails") as raised:
            cache.put(large, large=1)
        assert type(raised.value) is error
        assert raised.value.retryable is retryable
    with BlobStore(_with_blobs(tmp_path / "store", name)) as store:
        store.put(1, "small")
        with pytest.raises(error, match="the backend fails") as raised:
            store.put(large, "large")
        assert raised.value.retryable is retryable


def test_other_errors_are_not_retryable(cache: Cache) -> None:
    cache.close()
    with pytest.raises(CacheError) as raised:
        cache.put(1, x=1)
    assert raised.value.retryable is False
    assert CacheError.retryable is False
