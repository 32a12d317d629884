"""Full-text search: what is found, in which order, and that the index stays in step with the entries."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cacheness import BlobStore, Cache, CacheConfigurationError, CacheReadOnlyError, Clock


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache(tmp_path / "cache") as cache:
        cache.create_text_index()
        yield cache


def _ids(entries: list[dict[str, Any]]) -> list[int]:
    return [entry["cache_key_params"]["i"] for entry in entries]


def _found(cache: Cache, text: str, **options: Any) -> list[int]:
    return sorted(_ids(cache.search(text, limit=None, **options)))


def test_what_is_found(cache: Cache) -> None:
    cache.put(0, i=0, description="Fraud detection in card payments", metadata={"note": "first"})
    cache.put(1, i=1, description="detecting frauds", tags=["fraud-eu", "cards"])
    cache.put(2, i=2, metadata={"deep": {"list": ["Überweisung", {"x": "naïve Bayes"}]}, "n": 12345})
    cache.put(3, i=3)
    cache.put(4, i=4, project="fraud")
    for text, found in (
        ("fraud", [0, 1]),
        ("FRAUD detect*", [0, 1]),
        ('"fraud detection"', [0]),
        ("fraud NOT cards", [0]),
        ("first OR cards", [0, 1]),
        ("uberweisung", [2]),
        ("ÜBERWEISUNG bayes", [2]),
        ("12345", []),
        ("payment", []),
        ("note", []),
        ("description : fraud", [0]),
        ('"fraud-eu"', [1]),
    ):
        assert _found(cache, text) == found, text
    assert _found(cache, "fraud", where={"tags": "cards"}) == [1]
    assert _found(cache, "fraud", where={"entry.data_type": "array"}) == []


def test_the_most_relevant_come_first(cache: Cache) -> None:
    filler = "some other words that make the text long and the word rare "
    cache.put(0, i=0, metadata={"note": filler * 3 + "ridge"})
    cache.put(1, i=1, metadata={"note": "ridge ridge ridge"})
    cache.put(2, i=2, description="ridge", metadata={"note": "ridge"})
    for i in range(3, 30):
        cache.put(i, i=i, metadata={"note": filler})
    assert _ids(cache.search("ridge"))[-1] == 0
    assert _ids(cache.search("ridge", limit=1)) != [0]
    assert len(cache.search("words")) == 20
    assert len(cache.search("words", limit=None)) == 28
    assert cache.search("words", limit=0) == []
    found = cache.search("ridge", include_metadata=True)
    assert [entry["metadata"]["note"] for entry in found][-1].endswith("ridge")
    assert "metadata" not in cache.search("ridge")[0]
    assert repr(cache.search("ridge")).startswith("key")


def test_without_an_index(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        cache.put(0, i=0, description="fraud")
        with pytest.raises(CacheConfigurationError, match=r"create_text_index\(\)"):
            cache.search("fraud")
        assert not cache.drop_text_index()
        assert cache.create_text_index() and not cache.create_text_index()
        assert _found(cache, "fraud") == [0], "entries from before"
        assert cache.drop_text_index()
        with pytest.raises(CacheConfigurationError, match="no full-text index"):
            cache.search("fraud")
        cache.put(1, i=1, description="fraud")
        assert cache.create_text_index()
    with Cache(tmp_path / "cache", read_only=True) as cache:
        assert _found(cache, "fraud") == [0, 1]
        for call in (cache.create_text_index, cache.drop_text_index):
            with pytest.raises(CacheReadOnlyError):
                call()


@pytest.mark.parametrize("text", ["", '"half', "AND", "fraud AND", "nothing : fraud", "fraud-eu", "(", "*"])
def test_what_is_no_query_says_so(cache: Cache, text: str) -> None:
    cache.put(0, i=0, description="fraud")
    with pytest.raises(CacheConfigurationError, match=r"no full-text query|empty"):
        cache.search(text)
    with pytest.raises(CacheConfigurationError, match=r"\$gtee"):
        cache.search("fraud", where={"a": {"$gtee": 1}})
    with pytest.raises(CacheConfigurationError, match="text must be a str"):
        cache.search(5)  # type: ignore[arg-type]


def test_the_index_is_in_step(tmp_path: Path) -> None:
    clock = Clock(1_700_000_000)
    large = np.random.default_rng(0).random(20_000)
    with Cache(tmp_path / "cache", clock=clock, max_entries=50) as cache:
        cache.create_text_index()
        for i in range(10):
            cache.put(large + i, i=i, description=f"number{i} all", ttl_seconds=60 if i == 9 else None)
        assert _found(cache, "all") == list(range(10))
        # Replaced.
        cache.put(1, i=0, description="replaced")
        assert (_found(cache, "number0"), _found(cache, "replaced")) == ([], [0])
        # Values and times change no text.
        cache.update_data(2, i=1)
        cache.touch(i=1)
        cache.pin(i=1)
        assert _found(cache, "number1") == [1]
        # Metadata changes.
        cache.add_tags("orange", i=2)
        assert _found(cache, "orange") == [2]
        cache.remove_tags("orange", i=2)
        assert _found(cache, "orange") == []
        # Ways out.
        cache.invalidate(i=3)
        assert _found(cache, "number3") == []
        assert cache.delete_matching({"params.i": 4}) == 1
        assert _found(cache, "number4") == []
        clock.advance(61)
        assert cache.cleanup_expired() == 1
        assert _found(cache, "number9") == []
        assert cache.rotate_signing_key() > 0
        assert _found(cache, "all") == [1, 2, 5, 6, 7, 8]
        # Eviction.
        for i in range(100, 160):
            cache.put(i, i=i, description="later")
        listed = {entry["cache_key_params"]["i"]: entry["description"] for entry in cache.list_entries()}
        assert len(listed) <= 50
        for word in ("all", "later"):
            assert _found(cache, word) == sorted(i for i, text in listed.items() if word in text)
        # Row ids are used again after a clear.
        cache.clear()
        assert _found(cache, "later OR all") == []
        cache.put(1, i=1, description="fresh")
        assert (_found(cache, "fresh"), _found(cache, "later")) == ([1], [])


def test_artifacts(tmp_path: Path) -> None:
    with BlobStore(tmp_path / "store") as store:
        store.create_text_index()
        store.put([1], key="a", metadata={"note": "ridge regression"}, tags=["eu"])
        store.put([2], key="b", metadata={"note": "lasso"})
        store.update_metadata("b", {"note": "ridge"})
        assert {entry["cache_key"] for entry in store.search("ridge")} == {"a", "b"}
        assert store.search("lasso") == []
        found = store.search("ridge", {"tags": "eu"}, include_metadata=True)
        assert [entry["metadata"]["note"] for entry in found] == ["ridge regression"]
        store.delete("a")
        assert [entry["cache_key"] for entry in store.search("ridge")] == ["b"]
        assert store.create_index("note") and store.indexes() == ["note"] and store.drop_index("note")


WRITER = """
import sys
from cacheness import Cache
with Cache(sys.argv[1]) as cache:
    for i in range(200):
        cache.put(i, n=sys.argv[2], i=i % 50, description=f"word{i} of {sys.argv[2]}")
        if i % 3 == 0:
            cache.invalidate(n=sys.argv[2], i=(i * 7) % 50)
"""


def test_processes_and_threads_keep_it_up_to_date(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        cache.create_text_index()
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "cache"), name]) for name in ("one", "two")
        ]

        def write() -> None:
            for i in range(200):
                cache.put(i, n="three", i=i % 50, description=f"word{i} of three")

        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        assert [writer.wait() for writer in writers] == [0, 0]
        texts = [entry["description"] for entry in cache.list_entries()]
        for name in ("one", "two", "three"):
            found = cache.search(name, limit=None)
            assert sorted(entry["description"] for entry in found) == sorted(t for t in texts if t.endswith(name))
