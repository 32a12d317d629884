"""Decorators between `@cached` and the function: a call means what it means to the outermost of them."""

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from cacheness import Cache, CacheConfigurationError, cached

Function = Callable[..., Any]


def passes(f: Function) -> Function:
    @functools.wraps(f)
    def w(*a: Any, **k: Any) -> Any:
        return f(*a, **k)

    return w


def fills(f: Function) -> Function:
    @functools.wraps(f)
    def w(*a: Any, **k: Any) -> Any:
        k.setdefault("y", "filled")
        return f(*a, **k)

    return w


def injects(f: Function) -> Function:
    @functools.wraps(f)
    def w(*a: Any, **k: Any) -> Any:
        return f("injected", *a, **k)

    return w


def retries(f: Function) -> Function:
    @functools.wraps(f)
    def w(*a: Any, retries: int = 1, **k: Any) -> Any:
        return retries, f(*a, **k)

    return w


def takes_away(f: Function) -> Function:
    @functools.wraps(f)
    def w(*a: Any, y: Any = "taken", **k: Any) -> Any:
        return y, f(*a, **k)

    return w


def other_default(f: Function) -> Function:
    @functools.wraps(f)
    def w(x: Any = 10) -> Any:
        return f(x)

    return w


def scales(f: Function) -> Function:
    @functools.wraps(f)
    def w(scale: Any = 10, *a: Any, **k: Any) -> Any:
        return scale, f(*a, **k)

    return w


def same_first(f: Function) -> Function:
    @functools.wraps(f)
    def w(x: Any = 20, *a: Any, **k: Any) -> Any:
        return f(x, *a, **k)

    return w


def swaps(f: Function) -> Function:
    @functools.wraps(f)
    def w(a: Any, b: Any = 3) -> Any:
        return f(b, a)

    return w


def shows(f: Function) -> Function:
    """Sets the signature that it has anyway by `functools.wraps`."""
    w = fills(f)
    w.__signature__ = inspect.signature(f)  # type: ignore[attr-defined]
    return w


WRAPPERS = [passes, fills, injects, retries, takes_away, other_default, scales, same_first, swaps, shows]


def plain(x: Any = 1, y: Any = 2) -> Any:
    return "plain", x, y


def required(x: Any, y: Any = 2) -> Any:
    return "required", x, y


def collects(a: Any = 0, **k: Any) -> Any:
    return "collects", a, k


def everything(x: Any, /, *a: Any, y: Any = 2, **k: Any) -> Any:
    return "everything", x, a, y, k


CALLS = [
    (args, dict(zip(names, values, strict=True)))
    for args in [(), (1,), (2,), (10,), (1, 2), ((1,), {}), (10, 1)]
    for n in range(3)
    for names in itertools.combinations(["x", "y", "a", "k", "retries", "scale", "b"], n)
    for values in itertools.product([1, 2], repeat=n)
]


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("function", [plain, required, collects, everything, fills(plain), retries(plain)])
def test_every_call_has_the_result_of_its_own(wrapper: Any, function: Function) -> None:
    wrapped = wrapper(function)
    with Cache(":memory:") as cache:
        for include in (True, False):
            kept = cached(cache, key_prefix="f", version=include, ignore_errors=False, include_defaults=include)(
                wrapped
            )
            for args, kwargs in CALLS:
                try:
                    expected = wrapped(*args, **kwargs)
                except TypeError:
                    continue
                assert kept(*args, **kwargs) == expected, (args, kwargs)
                assert kept(*args, **kwargs) == expected


def test_what_a_wrapper_passes_on_has_one_entry(cache: Cache) -> None:
    for wrapper in (passes, retries, same_first):
        kept = cached(cache)(wrapper(plain))
        assert kept.cache_key(1) == kept.cache_key(x=1) != kept.cache_key()
        assert kept.cache_key(1, 2) == kept.cache_key(y=2, x=1) != kept.cache_key(1)
    # The wrapper captures the function, which has a name.
    without, direct = cached(cache, ignore=["f"])(passes(plain)), cached(cache)(plain)
    assert without.cache_key(1, 2) == direct.cache_key(1, 2), "everything was given"
    assert cached(cache, ignore=["f"])(passes(passes(plain))).cache_key(1) == without.cache_key(x=1)
    # These are known to pass on everything.
    for function in (functools.lru_cache(plain), cached(cache)(plain)):
        assert cached(cache)(function).cache_key() == direct.cache_key()


def test_another_default_is_another_key(cache: Cache) -> None:
    def make(y: int) -> Any:
        def f(x: int, y: int = y) -> int:
            return x + y

        return cached(cache, key_prefix="f")(passes(f))

    assert (make(1)(1), make(2)(1)) == (2, 3)
    assert make(1).cache_key(1, 5) == make(2).cache_key(1, 5)


def test_ignored_names_are_those_of_both(cache: Cache) -> None:
    kept = cached(cache, ignore=["y"])(passes(plain))
    assert kept.cache_key(1, object()) == kept.cache_key(1) == kept.cache_key(x=1, y=object())
    kept = cached(cache, ignore=["retries"])(retries(plain))
    assert kept.cache_key(1, retries=5) == kept.cache_key(1)
    kept = cached(cache, ignore=["trace"])(passes(plain))
    assert kept.cache_key(1, trace=5) == kept.cache_key(1, trace=6)
    kept = cached(cache, ignore=["a"])(passes(plain))
    assert kept.cache_key(1) == kept.cache_key(2)
    with pytest.raises(CacheConfigurationError, match="no parameter 'y'"):
        cached(cache, ignore=["y"])(other_default(plain))


def test_signatures_set_by_hand_are_believed(cache: Cache) -> None:
    wrapped = passes(plain)
    wrapped.__signature__ = inspect.signature(lambda first, second=5: 0)  # type: ignore[attr-defined]
    direct = cached(cache)(wrapped)
    assert direct.cache_key(1) == direct.cache_key(first=1, second=5)
    # `functools.wraps` copies it; it is that of what is wrapped all the same.
    around = cached(cache)(passes(wrapped))
    assert around.cache_key(1) == around.cache_key(first=1) != around.cache_key(1, 5)


def test_what_is_wrapped_may_be_anything(cache: Cache) -> None:
    def f(*a: Any, **k: Any) -> Any:
        return a, k

    for strange in (5, f, iter, classmethod(f), staticmethod(plain), functools.partial(plain, 1)):
        f.__wrapped__ = strange  # type: ignore[attr-defined]
        assert cached(cache, key_prefix=repr(strange))(f)(1) == ((1,), {})


class Model:
    @cached
    @passes
    def fit(self, x: int, y: int = 2) -> int:
        return x + y

    @cached
    @classmethod
    @passes
    def load(cls, x: int) -> int:
        return x

    @cached
    @mock.patch("os.getcwd")
    def patched(self, x: int, getcwd: Any) -> int:
        return x


def test_methods(cache: Cache) -> None:
    model = Model()
    assert model.fit(1) == model.fit(x=1) == 3
    assert Model.fit.cache_info().hits == 1
    assert Model.fit.cache_clear(model, 1) == 1
    assert Model.load(1) == Model.load(x=1) == 1
    assert Model.load.cache_info().hits == 1
    assert model.patched(1) == model.patched(1) == 1
    assert Model.patched.cache_info().hits == 1
    with pytest.raises(TypeError, match="with the object first"):
        Model.fit.cache_key(1)
    bound = cached(cache)(functools.partial(passes(plain), y=3))
    assert bound(1) == bound(x=1) == ("plain", 1, 3)
    assert bound.cache_info().hits == 1


def test_coroutine_functions(cache: Cache) -> None:
    def metric(f: Function) -> Function:
        @functools.wraps(f)
        async def w(*a: Any, **k: Any) -> Any:
            k.setdefault("units", "metric")
            return await f(*a, **k)

        return w

    @cached(cache)
    @metric
    async def temperature(city: str, units: str = "imperial") -> str:
        return f"{city} {units}"

    assert asyncio.run(temperature("Oslo")) == asyncio.run(temperature(city="Oslo")) == "Oslo metric"
    assert asyncio.run(temperature("Oslo", units="imperial")) == "Oslo imperial"
    assert temperature.cache_info().hits == 1
