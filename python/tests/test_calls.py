"""Which forms of a call the methods take, and what those say that they do not take."""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cacheness import (
    BlobStore,
    Cache,
    CacheConfigurationError,
    CacheError,
    CacheReadOnlyError,
    Clock,
)


@pytest.fixture
def cache() -> Iterator[Cache]:
    with Cache(":memory:") as cache:
        yield cache


# ----- The value by position or by keyword.


def test_data_is_the_value_where_none_is_given_by_position(cache: Cache) -> None:
    key = cache.put(data=[1], project="x")
    assert key == cache.cache_key(project="x")
    assert cache.get(project="x") == [1]
    assert cache.update_data(data=[2], project="x")
    assert cache.update_data(data=[3], cache_key=key)
    assert cache.get(project="x") == [3]
    assert cache.put(data=None, step="nothing") and cache.get("no such name", 7) == 7
    assert cache.get(step="nothing", default=7) is None


def test_data_is_a_parameter_beside_a_value(cache: Cache) -> None:
    key = cache.put([1], data="a parameter", project="x")
    assert key == cache.cache_key(data="a parameter", project="x") != cache.cache_key(project="x")
    assert cache.get(data="a parameter", project="x") == [1]
    assert cache.update_data([2], data="a parameter", project="x")
    assert cache.get(data="a parameter", project="x") == [2]
    assert not cache.update_data([2], data="another", project="x")


@pytest.mark.parametrize("method", ["put", "update_data", "replace"])
def test_a_missing_value_is_said(cache: Cache, method: str) -> None:
    with pytest.raises(TypeError, match=r"no value to store.*data=value"):
        getattr(cache, method)(project="x")


def test_a_name_by_position_is_a_key_wherever_entries_are_read(cache: Cache) -> None:
    key = cache.put([1], x=1, metadata={"m": 2})
    cache.put("text", cache_key="name")
    for name, value in ((key, [1]), ("name", "text")):
        assert cache.get(name) == value
        assert cache.exists(name)
        assert cache.get_metadata(name)["cache_key"] == name
        assert cache.get_entry(name)["cache_key"] == name
        assert cache.touch(name) and cache.pin(name) and cache.unpin(name)
        assert cache.verify_integrity(name)["valid"]
    assert cache.get_with_metadata(key) == ([1], {"m": 2})
    assert cache.get("other") is None
    assert cache.get("other", "fallback") == "fallback"
    assert cache.get("other", default="fallback") == "fallback"
    assert cache.invalidate(key) and cache.delete("name") and not cache.delete("name")
    assert len(cache) == 0


def test_a_string_is_a_value_like_any_other(cache: Cache) -> None:
    assert cache.put("text", x=1) == cache.cache_key(x=1)
    assert cache.get(x=1) == "text"
    with pytest.raises(TypeError, match=r"put\(value, cache_key=name\) or cache\[name\] = value"):
        cache.put("name", [1])  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"put\(value, cache_key=name\)"):
        cache.put("name", [1], ttl_seconds=5)  # type: ignore[call-overload]
    assert len(cache) == 1


READING: list[Callable[[Cache, Any], object]] = [
    lambda cache, what: cache.get(what),
    lambda cache, what: cache.get_with_metadata(what),
    lambda cache, what: cache.get_metadata(what),
    lambda cache, what: cache.exists(what),
    lambda cache, what: cache.invalidate(what),
    lambda cache, what: cache.delete(what),
    lambda cache, what: cache[what],
]


@pytest.mark.parametrize("read", READING)
@pytest.mark.parametrize("what", [{"model": "x"}, 5, ["a"], b"name", 1.5])
def test_what_is_no_key_is_said_with_the_form_to_write(cache: Cache, read: Callable[..., object], what: Any) -> None:
    with pytest.raises(TypeError, match=r"the key of an entry is a str, not a .*params=\{"):
        read(cache, what)


def test_a_name_and_parameters_are_two_keys(cache: Cache) -> None:
    cache.put(1, x=1)
    for call in (cache.get, cache.exists, cache.invalidate, cache.get_with_metadata):
        with pytest.raises(TypeError, match="not both"):
            call("name", x=1)
        with pytest.raises(TypeError, match="twice"):
            call("name", cache_key="name")
    with pytest.raises(TypeError, match="not both"):
        cache.put(1, cache_key="name", x=1)
    assert cache.get(x=1) == 1


def test_parameters_beside_a_key_are_ignored_where_the_key_comes_first(cache: Cache) -> None:
    key = cache.put(1, x=1)
    other = cache.put(2, x=2)
    assert cache.get_metadata(cache_key=key, x=2)["cache_key"] == key
    assert cache.get_metadata(key, True, x=2, params={"y": 1})["cache_key"] == key
    assert cache.update_data(10, cache_key=key, x=2)
    assert cache.update_data(11, key, x=2)
    assert cache.touch(cache_key=key, x=3)
    assert cache.pin(cache_key=key, x=3) and cache.pinned() == [key] and cache.unpin(key, x=3)
    assert cache.verify_integrity(key, x=3)["valid"]
    assert (cache.get(key), cache.get(other)) == (11, 2)
    assert not cache.touch(cache_key="missing", x=1)
    # What belongs to another method is no parameter.
    with pytest.raises(TypeError, match="reserved keyword of get"):
        cache.touch(cache_key=key, default=1)


def test_dots_are_the_default_time_to_live() -> None:
    clock = Clock(1_700_000_000)
    with Cache(":memory:", clock=clock, default_ttl_seconds=60) as cache:
        for time, expires in ((..., "2023-11-14T22:14:20"), (120, "2023-11-14T22:15:20"), (None, None)):
            cache.put(1, x=1, ttl_seconds=time)
            for change in (lambda: None, lambda t=time: cache.touch(x=1, ttl_seconds=t)):
                change()
                found = cache.get_metadata(x=1)["expires"]
                assert (found[:19] if found else found) == expires
            assert cache.update_data(2, x=1, ttl_seconds=time)
            found = cache.get_metadata(x=1)["expires"]
            assert (found[:19] if found else found) == expires


# ----- Keys from content.


@pytest.mark.parametrize("signing", [True, False])
def test_without_parameters_the_key_is_made_from_the_content(tmp_path: Path, signing: bool) -> None:
    large = np.random.default_rng(0).integers(0, 255, 100_000, np.uint8)
    with Cache(tmp_path, enable_entry_signing=signing) as cache:
        for value, other in (([1], [2]), ({"a": 1}, {"a": 2}), (large, large + 1)):
            key = cache.put(value)
            assert re.fullmatch("[0-9a-f]{32}", key)
            assert key == cache.put(value, metadata={"note": 1}) != cache.put(other)
            assert np.array_equal(cache.get(key), value)
            assert cache.get_with_metadata(key)[1] == {"note": 1}
        assert len(cache) == 6
        files = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
        assert len(files) == 2, "a payload that was put again has no second file"
        assert cache.verify_integrity()["valid"]
        with pytest.raises(CacheConfigurationError, match="custom_metadata"):
            cache.put([1], custom_metadata=object())
        with pytest.raises(TypeError, match="no parameters"):
            cache.get()
    with Cache(tmp_path, read_only=True) as cache, pytest.raises(CacheReadOnlyError):
        cache.put([1])


def test_content_keys_keep_to_the_limits(tmp_path: Path) -> None:
    with Cache(tmp_path, max_cache_size_mb=0.2, eviction_policy="none") as cache:
        noise = np.random.default_rng(0).integers(0, 255, 100_000, np.uint8)
        cache.put(noise)
        with pytest.raises(CacheError, match="full"):
            cache.put(noise + 1, metadata={"n": 1}) and cache.put(noise + 2)
        with pytest.raises(CacheError, match="full"):
            cache.put(np.concatenate([noise, noise, noise]))
        assert len(cache) <= 2
        assert cache.verify_integrity()["valid"]
        files = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
        assert len(files) == len(cache), "what was refused leaves no file"


# ----- Names of options of other libraries.


@pytest.mark.parametrize(
    ("name", "hint"),
    [("ttl", "ttl_seconds="), ("expire", "ttl_seconds="), ("expires", "ttl_seconds="), ("tag", "tags=[…]")],
)
def test_put_warns_of_what_is_called_otherwise_here(cache: Cache, name: str, hint: str) -> None:
    with pytest.warns(UserWarning, match=re.escape(hint)) as caught:
        cache.put(1, x=1, **{name: 60})
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache.get(x=1, **{name: 60}) == 1, "it is a parameter all the same"
        assert cache.put(1, params={name: 60, "x": 1}) == cache.cache_key(x=1, **{name: 60})
        with pytest.raises(UserWarning):
            cache.put(1, x=2, **{name: 60})
    assert not cache.exists(x=2, **{name: 60})


# ----- What signatures show, and messages.

KEYWORDS = {
    "put": {"data", "metadata", "tags", "description", "ttl_seconds", "cache_key", "params", "custom_metadata"},
    "get": {"name", "default", "ttl_seconds", "mmap_mode", "strict_verification", "cache_key", "params"},
    "get_slice": {"index", "verify", "default", "ttl_seconds", "strict_verification", "cache_key", "params"},
    "get_with_metadata": {"name", "ttl_seconds", "mmap_mode", "strict_verification", "cache_key", "params"},
    "get_metadata": {"cache_key", "check_expiration", "params"},
    "exists": {"name", "cache_key", "params"},
    "invalidate": {"name", "cache_key", "params"},
    "delete": {"name", "cache_key", "params"},
    "cache_key": {"cache_key", "params"},
    "update_data": {"data", "cache_key", "ttl_seconds", "params"},
    "replace": {"data", "cache_key", "ttl_seconds", "params"},
    "touch": {"cache_key", "ttl_seconds", "params"},
    "pin": {"cache_key", "params"},
    "unpin": {"cache_key", "params"},
    "verify_integrity": {"cache_key", "params"},
}


@pytest.mark.parametrize("method", KEYWORDS)
def test_signatures_show_the_keywords(cache: Cache, method: str) -> None:
    shown = inspect.signature(getattr(cache, method)).parameters
    open_ended = {name for name, p in shown.items() if p.kind is p.VAR_KEYWORD}
    assert open_ended == {"parameters"}
    assert set(shown) - open_ended == KEYWORDS[method]
    for name, parameter in shown.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert parameter.default is not parameter.empty, name


def test_the_shown_signature_is_that_of_the_stub() -> None:
    """For what Rust takes apart by itself, nothing else compares them."""
    import cacheness

    stub = ast.parse((Path(cacheness.__file__).parent / "_core.pyi").read_text(encoding="utf-8"))
    base = next(node for node in stub.body if isinstance(node, ast.ClassDef) and node.name == "CacheBase")
    for node in base.body:
        if isinstance(node, ast.FunctionDef) and node.name in KEYWORDS and node.name != "put":
            named = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            assert set(named) - {"self"} == KEYWORDS[node.name], node.name


WRONG: list[Callable[[Any], object]] = [
    lambda it: it.put(),
    lambda it: it.put(1, 2, 3, 4, 5),
    lambda it: it.get(1, 2, 3, 4),
    lambda it: it.get_slice(),
    lambda it: it.get_metadata(1, 2, 3, 4),
    lambda it: it.exists(1, 2, 3),
    lambda it: it.delete(1, 2, 3),
    lambda it: it.list_entries(1, 2, 3),
    lambda it: it.list(1, 2, 3),
    lambda it: it.clear(1),
    lambda it: it.close(1),
    lambda it: it.cleanup_expired(1),
    lambda it: it.rotate_signing_key(1),
    lambda it: it.update_metadata(1),
    lambda it: it.update_data(),
    lambda it: it.verify_integrity(1, 2, 3),
    lambda it: it.delete_where(),
    lambda it: it.delete_where(5),
    lambda it: it.delete_matching(5),
    lambda it: it.delete_batch(5),
    lambda it: it.get_batch(5),
    lambda it: it.no_such_method(),
    lambda it: it.set("a", 1),
    lambda it: it.read_only(),
]


@pytest.mark.parametrize("call", WRONG)
@pytest.mark.parametrize("kind", [Cache, BlobStore])
def test_no_message_names_an_internal_class(kind: Any, call: Callable[[Any], object]) -> None:
    with kind(":memory:") as it, pytest.raises((TypeError, AttributeError, CacheError)) as raised:
        call(it)
    assert not re.search("CacheBase|StoreBase|_core|Management|Queries|Names", str(raised.value)), raised.value


async def _later() -> int:
    return 1


def test_what_was_hardly_meant_is_answered(cache: Cache) -> None:
    def later() -> Any:
        coroutine = _later()
        coroutine.close()
        return coroutine

    items = {"a": 1}
    for value, hint in ((later(), "await it"), ((i for i in "ab"), "list first")):
        with pytest.raises(CacheError, match=hint):
            cache.put(value, x=1)
    meant = [(later(), "await it"), ((i for i in "ab"), "list first")]
    meant += [(view, r"pass a list: list\(") for view in (items.keys(), items.values(), items.items())]
    for value, hint in meant:
        with pytest.raises(CacheError, match=hint):
            cache.put(1, x=value)
    with pytest.raises(CacheError, match="await it"):
        cache.get_or_compute(later, cache_key="name")
    assert len(cache) == 0
