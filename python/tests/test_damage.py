"""Arrays whose bytes are damaged: a miss of a cache, which computes them again, and `CacheIntegrityError` of a store.

The head of an array says how much memory its items need, and is read before the hash of the whole is known.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cacheness import BlobStore, Cache, CacheIntegrityError, cached

# Compressed they are still too large to travel inside their entries.
NUMBERS = np.random.default_rng(1).integers(0, 1000, 50_000).astype(float)
VALUES: dict[str, tuple[Any, dict[str, Any]]] = {
    "npy": (NUMBERS, {"array_format": "npy"}),
    "b2nd": (NUMBERS, {"array_format": "blosc2"}),
    "fields": (np.zeros(5000, [("a", "<f8"), ("b", "<M8[s]")]), {"array_format": "npy"}),
    "masked": (np.ma.masked_array(NUMBERS, mask=NUMBERS % 2 == 0), {}),
}


def _damaged(honest: bytes) -> list[bytes]:
    """Heads with another byte each, and heads and payloads without content."""
    flipped = []
    for at in [*range(130), len(honest) - 1]:
        changed = bytearray(honest)
        changed[at] ^= 1 << at % 8
        flipped.append(bytes(changed))
    return [*flipped, *(bytes(length) + honest[length:] for length in (64, 4096, len(honest)))]


@pytest.mark.parametrize("kind", VALUES)
def test_an_array_with_a_damaged_head_is_a_miss(tmp_path: Path, kind: str) -> None:
    value, options = VALUES[kind]
    with Cache(tmp_path, **options) as cache, BlobStore(tmp_path) as store:
        cache.put(value, cache_key="k")
        entry = cache.get_metadata(cache_key="k")
        assert entry is not None
        blob = tmp_path / entry["actual_path"]
        for changed in _damaged(blob.read_bytes()):
            blob.write_bytes(changed)
            assert cache.get(cache_key="k") is None
            assert cache.get(cache_key="k", mmap_mode="r") is None
            assert cache.get_slice(np.s_[:2], cache_key="k", verify=True) is None
            with pytest.raises(CacheIntegrityError):
                store.get("k")
            with pytest.raises(CacheIntegrityError):
                store.get_slice("k", np.s_[:2], verify=True)
        # Nothing is left of the head, so that not even a part can be read.
        assert cache.get_slice(np.s_[:2], cache_key="k") is None
        assert cache.get_or_compute(lambda: value, cache_key="k") is value
        found = cache.get(cache_key="k")
        assert type(found) is type(value)
        assert found.tolist() == value.tolist()


@pytest.mark.parametrize("array_format", ["npy", "blosc2"])
def test_an_array_in_its_entry_with_a_damaged_head_is_a_miss(tmp_path: Path, array_format: str) -> None:
    with Cache(tmp_path, array_format=array_format) as cache:
        cache.put(np.arange(100.0), cache_key="k")
    db = sqlite3.connect(tmp_path / "cache_metadata.db")
    [honest] = db.execute("SELECT payload FROM cache_entries").fetchone()
    for changed in _damaged(honest)[::10]:
        db.execute("UPDATE cache_entries SET payload = ?", [changed])
        db.commit()
        with Cache(tmp_path) as cache, BlobStore(tmp_path) as store:
            assert cache.get(cache_key="k") is None
            with pytest.raises(CacheIntegrityError):
                store.get("k")
    db.close()


def test_a_decorated_function_computes_a_damaged_array_again(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        calls = []

        @cached(cache_instance=cache)
        def numbers() -> Any:
            calls.append(1)
            return NUMBERS

        numbers()
        entry = cache.get_metadata(cache_key=numbers.cache_key())
        assert entry is not None
        blob = tmp_path / entry["actual_path"]
        blob.write_bytes(bytes(blob.stat().st_size))
        assert numbers().shape == NUMBERS.shape
        assert numbers().shape == NUMBERS.shape
        assert len(calls) == 2
        assert numbers.cache_info().failures == 0
