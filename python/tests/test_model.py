"""The cache and a dictionary do the same, whatever is done to them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from soak import times

from cacheness import Cache, Clock

START = 1_700_000_000.0
DEFAULT_TTL = 100.0

keys = st.integers(0, 5)
# Small values travel inside the entry, large ones are files; the memory serves the first kind only.
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=20),
    st.lists(st.integers(), max_size=5),
    st.integers(0, 255).map(lambda seed: np.random.default_rng(seed).bytes(40_000)),
)
ttls = st.one_of(st.just("default"), st.none(), st.integers(0, 250))
missing = object()


class CacheModel(RuleBasedStateMachine):
    """Two caches on one directory, with one clock, and what must be in them."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.clock = Clock(START)
        self.model: dict[int, tuple[Any, float | None, dict[str, Any]]] = {}
        self.caches = [self.open(), self.open()]

    def open(self) -> Cache:
        return Cache(self.directory / "cache", default_ttl_seconds=DEFAULT_TTL, clock=self.clock)

    def expiry(self, ttl: str | float | None) -> float | None:
        if ttl is None:
            return None
        return self.clock.now() + (DEFAULT_TTL if ttl == "default" else float(ttl))

    def alive(self, key: int) -> bool:
        expires = self.model[key][1] if key in self.model else self.clock.now()
        return expires is None or expires > self.clock.now()

    @rule(which=st.integers(0, 1), key=keys, value=values, ttl=ttls)
    def put(self, which: int, key: int, value: Any, ttl: str | float | None) -> None:
        options = {} if ttl == "default" else {"ttl_seconds": ttl}
        self.caches[which].put(value, key=key, metadata={"key": key}, **options)
        self.model[key] = (value, self.expiry(ttl), {"key": key})

    @rule(which=st.integers(0, 1), key=keys)
    def get(self, which: int, key: int) -> None:
        found = self.caches[which].get(key=key, default=missing)
        assert found == self.model[key][0] if self.alive(key) else found is missing

    @rule(which=st.integers(0, 1), key=keys)
    def get_with_metadata(self, which: int, key: int) -> None:
        found = self.caches[which].get_with_metadata(key=key)
        assert found == ((self.model[key][0], self.model[key][2]) if self.alive(key) else None)

    @rule(which=st.integers(0, 1), key=keys)
    def invalidate(self, which: int, key: int) -> None:
        assert self.caches[which].invalidate(key=key) == (key in self.model)
        self.model.pop(key, None)

    @rule(which=st.integers(0, 1), key=keys, ttl=ttls)
    def touch(self, which: int, key: int, ttl: str | float | None) -> None:
        options = {} if ttl == "default" else {"ttl_seconds": ttl}
        assert self.caches[which].touch(key=key, **options) == self.alive(key)
        if self.alive(key):
            value, _, metadata = self.model[key]
            self.model[key] = (value, self.expiry(ttl), metadata)

    @rule(which=st.integers(0, 1), key=keys, value=values)
    def update_data(self, which: int, key: int, value: Any) -> None:
        assert self.caches[which].update_data(value, key=key) == self.alive(key)
        if self.alive(key):
            self.model[key] = (value, self.expiry("default"), self.model[key][2])

    @rule(seconds=st.integers(1, 120))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(which=st.integers(0, 1))
    def cleanup(self, which: int) -> None:
        expired = [key for key in self.model if not self.alive(key)]
        assert self.caches[which].cleanup_expired() == len(expired)
        for key in expired:
            del self.model[key]

    @rule(which=st.integers(0, 1))
    def clear(self, which: int) -> None:
        assert self.caches[which].clear() == len(self.model)
        self.model.clear()

    @rule(which=st.integers(0, 1))
    def reopen(self, which: int) -> None:
        self.caches[which].close()
        self.caches[which] = self.open()

    @precondition(lambda self: hasattr(self, "model"))
    @invariant()
    def totals_and_listing_agree(self) -> None:
        for cache in self.caches:
            entries = cache.list_entries(include_metadata=True)
            assert {entry["cache_key_params"]["key"] for entry in entries} == set(self.model)
            assert len(cache) == len(self.model)
            assert cache.get_stats()["total_size_bytes"] == sum(entry["file_size"] for entry in entries)
            for key in range(6):
                assert cache.exists(key=key) == self.alive(key)

    def teardown(self) -> None:
        for cache in getattr(self, "caches", []):
            cache.close()
        if hasattr(self, "directory"):
            blobs = self.directory / "cache" / "blobs"
            files = sum(1 for path in blobs.rglob("*") if path.is_file())
            assert files == sum(isinstance(value, bytes) for value, _, _ in self.model.values())
            shutil.rmtree(self.directory)


CacheModel.TestCase.settings = settings(max_examples=times(40), stateful_step_count=40)
TestCacheModel = CacheModel.TestCase
