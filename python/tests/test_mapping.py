"""A cache as a mapping of names to values."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cacheness import Cache, CacheReadOnlyError, Clock

names = st.sampled_from(["a", "b", "model/v1", "größe", "0123456789abcdef"])
values = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)


class LikeADict(RuleBasedStateMachine):
    """Whatever is done, a dictionary says what has to be there."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache(":memory:")
        self.model: dict[str, Any] = {}

    def teardown(self) -> None:
        self.cache.close()

    def both(self, call: Any) -> None:
        outcomes = []
        for mapping in (self.cache, self.model):
            try:
                outcomes.append((call(mapping), None))
            except KeyError as error:
                outcomes.append((None, error.args))
        assert outcomes[0] == outcomes[1]

    @rule(name=names, value=values)
    def set(self, name: str, value: Any) -> None:
        self.both(lambda mapping: mapping.__setitem__(name, value))

    @rule(name=names)
    def delete(self, name: str) -> None:
        self.both(lambda mapping: mapping.__delitem__(name))

    @rule(name=names)
    def look(self, name: str) -> None:
        self.both(lambda mapping: mapping[name])
        self.both(lambda mapping: mapping.get(name))
        self.both(lambda mapping: mapping.get(name, "fallback"))
        self.both(lambda mapping: name in mapping)

    @rule(name=names, default=values)
    def pop(self, name: str, default: Any) -> None:
        self.both(lambda mapping: mapping.pop(name, default))
        self.both(lambda mapping: mapping.pop(name))

    @rule(name=names, default=values)
    def setdefault(self, name: str, default: Any) -> None:
        self.both(lambda mapping: mapping.setdefault(name, default))

    @rule(pairs=st.dictionaries(names, values), as_pairs=st.booleans())
    def update(self, pairs: dict[str, Any], as_pairs: bool) -> None:
        self.both(lambda mapping: mapping.update(list(pairs.items()) if as_pairs else pairs))

    @rule(a=values, b=values)
    def update_keywords(self, a: Any, b: Any) -> None:
        self.both(lambda mapping: mapping.update(a=a, b=b))

    @rule()
    def popitem(self) -> None:
        if not self.model:
            with pytest.raises(KeyError):
                self.cache.popitem()
            return
        name, value = self.cache.popitem()
        assert self.model.pop(name) == value

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model.clear()

    @invariant()
    def same(self) -> None:
        assert list(self.cache) == list(self.cache.keys()) == sorted(self.model, key=str.encode)
        assert dict(self.cache) == dict(self.cache.items()) == self.model
        assert list(self.cache.values()) == [self.model[name] for name in self.cache]
        assert len(self.cache) == len(self.cache.keys()) == len(self.model)
        assert self.cache.keys() & {"a", "z"} == self.model.keys() & {"a", "z"}
        assert ("a", 1) not in self.cache.items() or self.model["a"] == 1


TestLikeADict = LikeADict.TestCase
TestLikeADict.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_it_is_a_mapping_and_equal_to_itself_only() -> None:
    with Cache(":memory:") as cache, Cache(":memory:") as other:
        assert isinstance(cache, MutableMapping) and isinstance(cache, Mapping)
        assert cache != other and cache == cache and len({cache, other}) == 2
        assert bool(cache), "an empty cache is still a cache"
        with pytest.raises(TypeError):
            reversed(cache)  # type: ignore[call-overload]
        missing = {name for name in dir(MutableMapping) if not name.startswith("_") and not hasattr(cache, name)}
        assert not missing


def test_keys_of_parameters_are_keys(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        key = cache.put([1], model="x")
        cache["name"] = 2
        assert list(cache) == sorted([key, "name"])
        assert cache[key] == [1] and key in cache
        cache[key] = 5
        assert cache[key] == 5
        del cache[key]
        assert not cache.exists(model="x")
    with Cache(tmp_path, read_only=True) as cache:
        assert dict(cache) == {"name": 2}
        for change in (lambda: cache.pop("name"), lambda: cache.update(a=1), lambda: cache.__delitem__("name")):
            with pytest.raises(CacheReadOnlyError):
                change()


def test_what_has_expired_is_left_out() -> None:
    clock = Clock(1_700_000_000)
    with Cache(":memory:", clock=clock) as cache:
        cache.put(1, cache_key="soon gone", ttl_seconds=10)
        cache["stays"] = 2
        assert len(list(cache)) == 2
        clock.advance(11)
        assert list(cache) == ["stays"] and dict(cache.items()) == {"stays": 2}
        assert "soon gone" not in cache and cache.pop("soon gone", None) is None
        with pytest.raises(KeyError, match="soon gone"):
            cache["soon gone"]
        assert len(cache) == 2, "counted until it is removed"
        cache.cleanup_expired()
        assert len(cache) == 1


def test_iterating_while_entries_come_and_go(tmp_path: Path) -> None:
    count = 2500
    with Cache(tmp_path) as cache:
        for i in range(count):
            cache[f"{i:05}"] = i
        seen = []
        for name in cache:
            seen.append(name)
            if len(seen) % 100 == 0:
                cache.delete(name)
                cache.delete(f"{count - len(seen) // 100:05}")
                cache[f"new {len(seen)}"] = 0
        old = [name for name in seen if not name.startswith("new")]
        assert old == sorted(set(old)) and len(old) > 2000
        assert set(cache) - set(seen) == {name for name in cache if name.startswith("new")} - set(seen)


def test_update_with_if_exists_is_that_of_one_entry() -> None:
    with Cache(":memory:") as cache:
        assert cache.update([1], experiment="e", if_exists=True) is False
        assert len(cache) == 0
        assert cache.update([1], experiment="e", if_exists=False) is True
        assert cache.update([2], experiment="e", if_exists=True) is True
        assert cache.update(data=[3], cache_key="name", if_exists=False) is True
        assert cache.replace([4], experiment="e") and not cache.replace([4], experiment="other")
        assert (cache.get(experiment="e"), cache["name"]) == ([4], [3])
        with pytest.raises(TypeError, match="if_exists=True"):
            cache.update({"a": 1}, experiment="e")
        with pytest.raises(TypeError, match="no value"):
            cache.update(experiment="e", if_exists=True)
        assert cache.update(a=1, data=2) is None
        assert (cache["a"], cache["data"], len(cache)) == (1, 2, 4)


@pytest.mark.parametrize(
    ("habit", "hint"),
    [("set", r"cache\[name\] = value"), ("expire", "cleanup_expired"), ("has_key", "in cache"), ("stats", "get_stats")],
)
def test_habits_of_other_libraries_are_answered(habit: str, hint: str) -> None:
    with Cache(":memory:") as cache:
        with pytest.raises(AttributeError, match=hint) as raised:
            getattr(cache, habit)
        assert (raised.value.name, raised.value.obj) == (habit, cache)
        assert not hasattr(cache, habit)
