"""A cache with limits and a dictionary do the same: what is evicted, what is refused, what is computed."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from soak import times

from cacheness import Cache, CacheFullError, Clock

START = 1_700_000_000.0
DEFAULT_TTL = 100.0
MAX_AGE = 150.0
MAX_ENTRIES = 10
MAX_MB = 0.25
MAX_BYTES = int(MAX_MB * 2**20)

keys = st.integers(0, 15)
# Noise, which cannot be compressed: MessagePack adds three bytes to it, five from 64 KiB on.
values = st.one_of(st.integers(0, 127), st.integers(0, 255).map(lambda seed: np.random.default_rng(seed).bytes(40_000)))
ttls = st.one_of(st.just("default"), st.none(), st.integers(0, 250))
missing = object()


def size(value: int | bytes) -> int:
    """Bytes of a stored value."""
    return 1 if isinstance(value, int) else len(value) + 3


@dataclasses.dataclass
class Entry:
    """What must be known of an entry to say what becomes of it."""

    key: str
    place: int
    value: int | bytes
    expires: float
    accessed: float
    count: int = 0


class LimitedModel(RuleBasedStateMachine):
    """A cache with limits of entries, bytes and age, its clock, and what must be in it."""

    policy = "lru"

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.clock = Clock(START)
        self.model: dict[int, Entry] = {}
        self.pins: set[int] = set()
        self.places = 0
        self.evicted = 0
        self.cache = self.open()

    def open(self) -> Cache:
        #: The limit has been passed, and 90 % of it have not been reached again.
        self.shrinking = False
        return Cache(
            self.directory / "cache",
            default_ttl_seconds=DEFAULT_TTL,
            max_entries=MAX_ENTRIES,
            max_cache_size_mb=MAX_MB,
            max_age_seconds=MAX_AGE,
            eviction_policy=self.policy,
            clock=self.clock,
        )

    def expiry(self, ttl: str | float | None) -> float:
        seconds = {"default": DEFAULT_TTL, None: MAX_AGE}.get(ttl, ttl)  # type: ignore[call-overload]
        return self.clock.now() + min(float(seconds), MAX_AGE)

    def alive(self, key: int) -> bool:
        return key in self.model and self.model[key].expires > self.clock.now()

    def bytes(self) -> int:
        return sum(size(entry.value) for entry in self.model.values())

    def is_within(self, entries: int, limit: int) -> bool:
        return len(self.model) <= entries and self.bytes() <= limit

    def is_refused(self, key: int, value: int | bytes) -> bool:
        """Whether a put fails because the cache is full and evicts nothing but what has expired."""
        if self.policy != "none" or not self.is_full(key, value):
            return False
        self.model = {key: entry for key, entry in self.model.items() if self.alive(key)}
        self.pins &= self.model.keys()
        return self.is_full(key, value)

    def is_full(self, key: int, value: int | bytes) -> bool:
        if key in self.model:
            return self.bytes() - size(self.model[key].value) + size(value) > MAX_BYTES
        return len(self.model) >= MAX_ENTRIES or self.bytes() + size(value) > MAX_BYTES

    def rank(self, key: int) -> tuple[float, ...]:
        entry = self.model[key]
        return {
            "lru": (entry.accessed, entry.place),
            "lfu": (entry.count, entry.accessed, entry.place),
            "fifo": (entry.place,),
        }[self.policy]

    def stored(self, key: int, value: int | bytes, expires: float, name: str) -> None:
        """An entry has been put; makes room as the cache does."""
        if key in self.model:
            former = self.model[key]
            place, count = former.place, former.count
        else:
            self.places += 1
            place, count = self.places, 0
        self.model[key] = Entry(name, place, value, expires, self.clock.now(), count)
        if self.policy == "none" or not (self.shrinking or not self.is_within(MAX_ENTRIES, MAX_BYTES)):
            return
        self.shrinking = True
        may_go = [one for one in self.model if one != key and one not in self.pins]
        expired = [one for one in may_go if not self.alive(one)]
        expired.sort(key=lambda one: (self.model[one].expires, self.model[one].key))
        others = sorted((one for one in may_go if self.alive(one)), key=self.rank)
        target = (MAX_ENTRIES - MAX_ENTRIES // 10, MAX_BYTES - MAX_BYTES // 10)
        gone = 0
        for one in (*expired, *others):
            if self.is_within(*target):
                break
            del self.model[one]
            gone += 1
        self.evicted += gone
        # Where the rest is pinned it is tried again, unless there was nothing to be evicted at all.
        self.shrinking = not self.is_within(*target) and gone > 0 and self.is_within(MAX_ENTRIES, MAX_BYTES)

    @rule(key=keys, value=values, ttl=ttls)
    def put(self, key: int, value: int | bytes, ttl: str | float | None) -> None:
        options = {} if ttl == "default" else {"ttl_seconds": ttl}
        if self.is_refused(key, value):
            with pytest.raises(CacheFullError):
                self.cache.put(value, key=key, **options)
        else:
            self.stored(key, value, self.expiry(ttl), self.cache.put(value, key=key, **options))

    @rule(key=keys)
    def put_too_much(self, key: int) -> None:
        with pytest.raises(CacheFullError):
            self.cache.put(np.random.default_rng(key).bytes(MAX_BYTES + 1), key=key)

    @rule(key=keys)
    def get(self, key: int) -> None:
        found = self.cache.get(key=key, default=missing)
        if self.alive(key):
            assert found == self.read(key)
        else:
            assert found is missing

    def read(self, key: int) -> int | bytes:
        entry = self.model[key]
        entry.accessed, entry.count = self.clock.now(), entry.count + 1
        return entry.value

    @rule(key=keys, value=values, ttl=st.one_of(st.none(), st.integers(0, 250)))
    def get_or_compute(self, key: int, value: int | bytes, ttl: float | None) -> None:
        calls = []

        def compute() -> int | bytes:
            calls.append(key)
            return value

        if self.alive(key):
            assert self.cache.get_or_compute(compute, key=key, ttl_seconds=ttl) == self.read(key)
            assert not calls
        elif self.is_refused(key, value):
            with pytest.raises(CacheFullError):
                self.cache.get_or_compute(compute, key=key, ttl_seconds=ttl)
            assert calls == [key]
        else:
            assert self.cache.get_or_compute(compute, key=key, ttl_seconds=ttl) == value
            assert calls == [key]
            self.stored(key, value, self.expiry("default" if ttl is None else ttl), self.cache.cache_key(key=key))

    @rule(key=keys)
    def a_computation_fails(self, key: int) -> None:
        def compute() -> int:
            raise ZeroDivisionError

        if self.alive(key):
            assert self.cache.get_or_compute(compute, key=key) == self.read(key)
        else:
            with pytest.raises(ZeroDivisionError):
                self.cache.get_or_compute(compute, key=key)

    @rule(key=keys, ttl=ttls)
    def touch(self, key: int, ttl: str | float | None) -> None:
        options = {} if ttl == "default" else {"ttl_seconds": ttl}
        assert self.cache.touch(key=key, **options) == self.alive(key)
        if self.alive(key):
            entry = self.model[key]
            entry.expires, entry.accessed = self.expiry(ttl), self.clock.now()

    @rule(key=keys, value=values)
    def update_data(self, key: int, value: int | bytes) -> None:
        if self.alive(key) and self.is_refused(key, value):
            with pytest.raises(CacheFullError):
                self.cache.update_data(value, key=key)
            return
        assert self.cache.update_data(value, key=key) == self.alive(key)
        if self.alive(key):
            self.stored(key, value, self.expiry("default"), self.cache.cache_key(key=key))

    @rule(key=keys)
    def pin(self, key: int) -> None:
        assert self.cache.pin(key=key) == (key in self.model)
        self.pins |= {key} & self.model.keys()

    @rule(key=keys)
    def unpin(self, key: int) -> None:
        assert self.cache.unpin(key=key) == (key in self.model)
        self.pins.discard(key)

    @rule()
    def pin_all(self) -> None:
        for key in self.model:
            assert self.cache.pin(key=key)
        self.pins = set(self.model)

    @rule()
    def unpin_all(self) -> None:
        for key in self.pins:
            assert self.cache.unpin(key=key)
        self.pins.clear()

    @rule(key=keys)
    def invalidate(self, key: int) -> None:
        assert self.cache.invalidate(key=key) == (key in self.model)
        self.model.pop(key, None)

    @rule(seconds=st.integers(0, 120))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def cleanup(self) -> None:
        expired = [key for key in self.model if not self.alive(key)]
        assert self.cache.cleanup_expired() == len(expired)
        for key in expired:
            del self.model[key]

    @rule()
    def clear(self) -> None:
        assert self.cache.clear() == len(self.model)
        self.model.clear()

    @rule()
    def reopen(self) -> None:
        self.cache.close()
        self.cache = self.open()
        self.evicted = 0

    @precondition(lambda self: hasattr(self, "model"))
    @invariant()
    def what_must_be_there_is_there_and_nothing_else(self) -> None:
        self.pins &= self.model.keys()
        entries = {e["cache_key_params"]["key"]: e for e in self.cache.list_entries(include_metadata=True)}
        assert entries.keys() == self.model.keys()
        for key, entry in self.model.items():
            assert entries[key]["access_count"] == entry.count
            assert entries[key]["file_size"] == size(entry.value)
        stats = self.cache.get_stats()
        assert stats["total_entries"] == len(self.model)
        assert stats["total_size_bytes"] == self.bytes()
        assert stats["cache_evictions"] == self.evicted
        assert self.cache.pinned() == sorted(self.model[key].key for key in self.pins)
        for key in range(16):
            assert self.cache.exists(key=key) == self.alive(key)

    def teardown(self) -> None:
        if hasattr(self, "cache"):
            self.cache.close()
            blobs = self.directory / "cache" / "blobs"
            files = sum(1 for path in blobs.rglob("*") if path.is_file())
            assert files == sum(isinstance(entry.value, bytes) for entry in self.model.values())
            shutil.rmtree(self.directory)


def _test(policy: str) -> Any:
    case = type(f"Limited{policy}", (LimitedModel,), {"policy": policy}).TestCase  # type: ignore[attr-defined]
    case.settings = settings(max_examples=times(25), stateful_step_count=60)
    return case


TestLeastRecentlyUsed = _test("lru")
TestLeastOftenUsed = _test("lfu")
TestFirstIn = _test("fifo")
TestNothingIsEvicted = _test("none")
