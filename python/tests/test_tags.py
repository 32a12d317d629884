"""Tags: strings in the metadata, which filters and listings find."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cacheness import (
    BlobStore,
    Cache,
    CacheConfigurationError,
    CacheReadOnlyError,
    Clock,
    cached,
)


@pytest.fixture(params=["sqlite", "json", "memory"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cache]:
    with Cache(tmp_path / "cache", metadata_backend=request.param) as cache:
        yield cache


def _metadata(cache: Cache, **key: Any) -> dict[str, Any]:
    found = cache.get_metadata(**key)
    assert found is not None
    return dict(found["metadata"])


def test_tags_are_in_the_metadata(cache: Cache) -> None:
    key = cache.put(1, model="a", tags=["fraud", "eu", "fraud"])
    assert cache.put(1, model="a", tags=("fraud", "eu")) == key == cache.cache_key(model="a"), "they are not in the key"
    cache.put(2, model="b", metadata={"stage": "dev", "tags": ["eu", "x"]}, tags={"fraud"})
    cache.put(3, model="c", metadata={"tags": "single"}, tags=[])
    cache.put(4, model="d", tags=None)
    cache.put(5, params={"tags": ["a parameter"], "model": "e"})
    assert _metadata(cache, model="a") == {"tags": ["fraud", "eu"]}
    assert _metadata(cache, model="b") == {"stage": "dev", "tags": ["eu", "x", "fraud"]}
    assert _metadata(cache, model="c") == {"tags": "single"}
    assert _metadata(cache, model="d") == {}
    assert cache.tags() == {"eu": 2, "fraud": 2, "single": 1, "x": 1}
    assert list(cache.tags()) == sorted(cache.tags())
    for tag, models in (("fraud", "ab"), ("single", "c"), ("fra", ""), ("a parameter", "")):
        found = {entry["cache_key_params"]["model"] for entry in cache.list_entries(tag=tag)}
        assert found == set(models)
        assert cache.count({"tags": tag}) == len(models)
    listed = cache.list_entries(tag="eu", where={"stage": "dev"})
    assert [entry["cache_key_params"]["model"] for entry in listed] == ["b"]
    assert cache.delete_matching(tags="fraud") == 2


def test_tags_are_added_and_removed(cache: Cache) -> None:
    key = cache.put([1], model="a", metadata={"x": 1}, description="d", ttl_seconds=60)
    before = cache.get_metadata(model="a")
    assert before is not None
    assert cache.add_tags("b", "a", model="a")
    assert cache.add_tags("a", "c", cache_key=key)
    assert _metadata(cache, model="a") == {"x": 1, "tags": ["b", "a", "c"]}
    assert cache.remove_tags("a", "nothing", model="a")
    assert cache.add_tags(model="a") and cache.remove_tags(model="a")
    assert _metadata(cache, model="a") == {"x": 1, "tags": ["b", "c"]}
    assert cache.remove_tags("c", "b", model="a")
    after = cache.get_metadata(model="a")
    assert after is not None and after["metadata"] == {"x": 1}
    same = ("description", "created_at", "expires_at", "file_hash", "cache_key_params")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert cache.get(model="a") == [1]
    assert cache.verify_integrity()["valid"]
    assert not cache.add_tags("x", model="other") and not cache.remove_tags("x", cache_key="other")
    assert len(cache) == 1
    cache.update_data([2], model="a")
    cache.add_tags("kept", model="a")
    cache.update_data([3], model="a")
    cache.touch(model="a")
    assert _metadata(cache, model="a")["tags"] == ["kept"], "what is not a put keeps them"


def test_wrong_tags(cache: Cache) -> None:
    cache.put(1, i=1, metadata={"tags": 5})
    with pytest.raises(TypeError, match=r"write tags=\['fraud'\]"):
        cache.put(2, i=2, tags="fraud")
    for wrong in (5, [1], ["a", None], b"ab"):
        with pytest.raises(TypeError, match="tags is a list of strings"):
            cache.put(2, i=2, tags=wrong)
    with pytest.raises(CacheConfigurationError, match="empty"):
        cache.put(2, i=2, tags=[""])
    with pytest.raises(CacheConfigurationError, match="list of strings"):
        cache.put(2, i=2, metadata={"tags": {"a": 1}}, tags=["a"])
    with pytest.raises(CacheConfigurationError, match="list of strings"):
        cache.add_tags("a", i=1)
    with pytest.raises(CacheConfigurationError, match="empty"):
        cache.add_tags("", i=1)
    with pytest.raises(TypeError, match="list of strings"):
        cache.add_tags(5, i=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no parameters"):
        cache.add_tags("a")
    with pytest.raises(CacheConfigurationError, match="tag must be a str"):
        cache.list_entries(tag=5)  # type: ignore[arg-type]
    assert cache.tags() == {} and len(cache) == 1
    for method in (cache.get, cache.exists, cache.invalidate, cache.touch, cache.cache_key):
        with pytest.raises(TypeError, match="no parameters"):
            method(tags=["a"])
    with pytest.warns(UserWarning, match=r"tags=\[…\]"):
        cache.put(1, tag="a")


def test_the_keywords_of_a_put_find_its_entry(cache: Cache) -> None:
    keywords = {"model": "ridge", "tags": ["fraud"], "metadata": {"stage": "prod"}, "description": "a line"}
    key = cache.put([1, 2], **keywords)
    assert cache.get(**keywords) == [1, 2] and cache.exists(**keywords) and cache.touch(**keywords)
    assert cache.cache_key(**keywords) == key == cache.cache_key(model="ridge")
    # They do not select.
    assert cache.get(model="ridge", tags=["other"]) == [1, 2]
    assert cache.invalidate(**keywords) and len(cache) == 0


def test_other_ways_to_put(cache: Cache) -> None:
    assert cache.get_or_compute(lambda: 1, i=1, tags=["computed"]) == 1
    assert cache.get_or_compute(lambda: 2, i=1, tags=["ignored"]) == 1

    @cached(cache_instance=cache, metadata={"stage": "dev"}, tags=["decorated", "eu"])
    def square(x: int) -> int:
        return x * x

    assert square(3) == square(3) == 9
    assert cache.update(4, if_exists=False, i=4, tags=["updated"])
    assert cache.tags() == {"computed": 1, "decorated": 1, "eu": 1, "updated": 1}
    assert cache.count({"tags": "eu", "stage": "dev"}) == 1
    with pytest.raises(CacheConfigurationError, match="list of strings"):
        cached(cache_instance=cache, tags="decorated")


def test_tags_of_artifacts(tmp_path: Path) -> None:
    with BlobStore(tmp_path / "store") as store:
        store.put([1], key="a", metadata={"tags": ["eu"]}, tags=["fraud"])
        store.put([2], key="b", tags=["eu"])
        assert store.add_tags("b", "x", "y") and store.remove_tags("b", "y", "z")
        assert not store.add_tags("c", "x")
        assert store.tags() == {"eu": 2, "fraud": 1, "x": 1}
        assert store.list(metadata_filter={"tags": {"$in": ["x", "fraud"]}}) == ["a", "b"]
        assert store.count({"tags": "eu"}) == 2 and store.count() == 2
        store.update_metadata("a", {"stage": "prod"})
        assert store.tags()["fraud"] == 1
    with BlobStore(tmp_path / "store", read_only=True) as store:
        assert store.tags()["eu"] == 2
        with pytest.raises(CacheReadOnlyError):
            store.add_tags("a", "x")


def test_a_read_only_cache_keeps_its_tags(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        cache.put(1, i=1, tags=["a"])
    with Cache(tmp_path / "cache", read_only=True) as cache:
        assert cache.tags() == {"a": 1}
        assert len(cache.list_entries(tag="a")) == 1
        for change in (cache.add_tags, cache.remove_tags):
            for key in ({"i": 1}, {"i": 2}):
                with pytest.raises(CacheReadOnlyError):
                    change("b", **key)


def test_an_expired_entry_has_its_tags_until_it_is_removed(tmp_path: Path) -> None:
    clock = Clock(1_700_000_000)
    with Cache(tmp_path / "cache", clock=clock) as cache:
        cache.put(1, i=1, tags=["old"], ttl_seconds=10)
        clock.advance(11)
        assert len(cache.list_entries(tag="old")) == cache.tags()["old"] == 1
        assert cache.cleanup_expired() == 1
        assert cache.tags() == {} and cache.list_entries(tag="old") == []


def test_all_changes_at_once_count(tmp_path: Path) -> None:
    """Threads with caches of their own, each adding and removing."""
    rounds, threads = 25, 4
    with Cache(tmp_path / "cache") as cache:
        cache.put(1, i=1, metadata={"x": 1})
        failed: list[BaseException] = []

        def change(n: int) -> None:
            try:
                with Cache(tmp_path / "cache") as own:
                    for turn in range(rounds):
                        assert own.add_tags(f"{n}-{turn}", "shared", i=1)
                        if turn % 2:
                            assert own.remove_tags(f"{n}-{turn}", i=1)
            except BaseException as error:  # noqa: BLE001 - shown below
                failed.append(error)

        running = [threading.Thread(target=change, args=(n,)) for n in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        assert not failed
        expected = {f"{n}-{turn}" for n in range(threads) for turn in range(0, rounds, 2)} | {"shared"}
        assert set(cache.tags()) == expected
        assert _metadata(cache, i=1)["x"] == 1
        assert cache.verify_integrity()["valid"]
