"""What decorated functions make of their arguments."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cacheness import Cache, CacheConfigurationError, CacheSerializationError, cached, get_cache
from cacheness.decorators._binding import _slow, binder
from cacheness.decorators._code import code_hash


def plain(a, b=2): ...
def no_parameters(): ...
def positional_only(a, b=None, /, c=3): ...
def only_positional(a, b=1, /): ...
def keyword_only(a, *, b, c=3): ...
def everything(a, b=1, /, c=2, *args, d, e=5, **kwargs): ...
def collects(*args, **kwargs): ...
def odd_names(_, __absent=1, self=2, arguments=3, ſ=4, make=5): ...
def mutable(a=[]): ...  # noqa: B006


FUNCTIONS = [
    plain, no_parameters, positional_only, only_positional, keyword_only, everything, collects, odd_names, mutable
]  # fmt: skip
NAMES = st.sampled_from(["a", "b", "c", "d", "e", "args", "kwargs", "self", "_", "arguments", "__absent", "s"])


@example(function=everything, args=[0], kwargs={"a": 1, "b": 2, "d": 3}, include_defaults=False, ignore=frozenset())
@example(function=everything, args=[0], kwargs={"b": 2, "d": 3, "f": 4}, include_defaults=True, ignore=frozenset("b"))
@given(
    function=st.sampled_from(FUNCTIONS),
    args=st.lists(st.integers(0, 3), max_size=5),
    kwargs=st.dictionaries(NAMES, st.integers(0, 3), max_size=5),
    include_defaults=st.booleans(),
    ignore=st.frozensets(NAMES, max_size=3),
)
def test_arguments_are_bound_as_the_signature_says(
    function: Any, args: list[int], kwargs: dict[str, int], include_defaults: bool, ignore: frozenset[str]
) -> None:
    compiled = binder(function, {"__function__": "f"}, include_defaults, ignore)
    assert compiled.__closure__ is not None or compiled.__code__.co_name != "bind", "it has been compiled"
    slow = _slow(inspect.signature(function), {"__function__": "f"}, include_defaults, ignore)
    try:
        function(*args, **kwargs)
    except TypeError:
        for bind in (slow, compiled):
            with pytest.raises(TypeError):
                bind(*args, **kwargs)
    else:
        expected = slow(*args, **kwargs)
        assert compiled(*args, **kwargs) == expected
        assert list(expected) == ["__function__", "arguments"]


def test_errors_of_calls_are_those_of_the_function(cache: Cache) -> None:
    with pytest.raises(TypeError, match=r"plain\(\) missing 1 required positional argument: 'a'"):
        cached(cache)(plain)()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        cached(cache)(plain)(1, z=1)  # type: ignore[call-arg]


def test_signatures_that_cannot_be_written_down(cache: Cache) -> None:
    def function(*args: int) -> int:
        return args[0]

    # As functions written in C may have it.
    parameter = inspect.Parameter("class", inspect.Parameter.POSITIONAL_ONLY)
    function.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    kept = cached(cache)(function)
    assert kept(3) == kept(3) == 3
    assert kept.cache_info().hits == 1
    assert kept.cache_key(3) == cache.cache_key(
        params={"__function__": f"{__name__}.{function.__qualname__}", "arguments": {"class": 3}}
    )


def test_the_key_is_the_function_and_its_arguments(cache: Cache) -> None:
    @cached(cache, key_prefix="simulate", version=3)
    def simulate(steps: int, *rest: int, rate: float = 0.5, **more: int) -> int:
        return steps

    simulate(1, 2, x=3)
    arguments = {"steps": 1, "rest": (2,), "rate": 0.5, "more": {"x": 3}}
    expected = cache.cache_key(params={"__function__": "simulate", "__version__": 3, "arguments": arguments})
    assert simulate.cache_key(1, 2, x=3) == expected
    assert cache.get(cache_key=expected) == 1

    @cached(cache, key_prefix="simulate")
    def without_version(steps: int) -> int:
        return steps

    assert without_version.cache_key(1) == cache.cache_key(
        params={"__function__": "simulate", "arguments": {"steps": 1}}
    )


def test_ignored_parameters(cache: Cache) -> None:
    calls = []

    @cached(cache, ignore=["log", "verbose"])
    def function(x: int, log: Any = None, **more: Any) -> int:
        calls.append(more)
        return x

    assert function(1, log=threading.Lock()) == function(1, verbose=True) == 1
    assert function(1, quiet=True) == 1
    assert calls == [{}, {"quiet": True}]


def test_key_func(cache: Cache) -> None:
    calls = []

    def key(x: Any, **options: Any) -> Any:
        calls.append("key")
        return {"none": None, "raises": 1 // 0 if x == "raises" else 0, "lock": threading.Lock()}.get(x, x)

    @cached(cache, key_func=key)
    def function(x: Any, **options: Any) -> str:
        calls.append("call")
        return f"{x}"

    assert function(1, a=1) == function(1, a=2) == "1"
    assert calls == ["key", "call", "key"]
    with pytest.raises(ZeroDivisionError):
        function("raises")
    with pytest.raises(CacheConfigurationError, match="key_func returned None"):
        function("none")
    with pytest.raises(CacheSerializationError, match="function"):
        function("lock")
    # A dictionary of arguments is the key that the arguments would have.
    named = cached(cache, key_prefix="f", key_func=lambda x: {"x": abs(x)})(abs)
    assert named.cache_key(-3) == cached(cache, key_prefix="f")(_absolute).cache_key(3)


def _absolute(x: int) -> int:
    return abs(x)


@dataclasses.dataclass
class Model:
    depth: int
    calls: list[str] = dataclasses.field(default_factory=list, repr=False)

    def __cache_key__(self) -> Any:
        return self.depth

    @cached(key_prefix="Model.fit")
    def fit(self, x: int) -> int:
        """Fits."""
        self.calls.append("fit")
        return self.depth * x

    @classmethod
    @cached
    def made(cls, x: int) -> str:
        return f"{cls.__name__}{x}"

    @cached
    @classmethod
    def made_too(cls, x: int) -> str:
        return f"{cls.__name__}{x}"

    @cached
    @staticmethod
    def static(x: int) -> int:
        return x + 1


class Deeper(Model):
    pass


class Handle:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    @cached
    def read(self) -> int:
        return 1


class Plain:
    def __init__(self, depth: int) -> None:
        self.depth = depth

    @cached
    def twice(self) -> int:
        return self.depth * 2


def test_methods_are_keyed_by_the_state_of_the_object() -> None:
    one, same, other = Model(2), Model(2), Model(3)
    assert (one.fit(5), same.fit(5), other.fit(5)) == (10, 10, 15)
    assert (one.calls, same.calls, other.calls) == (["fit"], [], ["fit"])
    assert Model.fit.cache_key(one, 5) == Model.fit.cache_key(same, 5) != Model.fit.cache_key(other, 5)
    assert Model.fit.__doc__ == "Fits."
    assert Plain(2).twice() == Plain(2).twice() == 4
    assert Plain(3).twice() == 6
    assert Plain.twice.cache_info().hits == 1
    changing = Plain(4)
    assert changing.twice() == 8
    changing.depth = 5
    assert changing.twice() == 10
    # Two objects of one address would be one key.
    with pytest.raises(CacheSerializationError, match=r"Handle.read: .*lock"):
        Handle().read()


def test_classmethods_and_staticmethods() -> None:
    for cls in (Model, Deeper):
        for _ in range(2):
            assert cls.made(1) == cls.made_too(1) == f"{cls.__name__}1"
    assert Model.static(1) == Model(1).static(1) == 2
    assert Model.static.cache_info() == (1, 1, 0, 0)  # type: ignore[attr-defined]


def _from_source(tmp_path: Path, name: str, source: str) -> Any:
    path = tmp_path / f"{name}.py"
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    names: dict[str, Any] = {}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    return names["f"]


ORIGINAL = """
def f(x, y=1):
    return [x + y, "é"]
"""
SAME = [
    '''
# A comment.
def f(x,
      y=1):
    """A docstring."""

    # Another.
    return [x + y,
            'é']
''',
    """
import functools

@functools.lru_cache(maxsize=7)
def f(x, y=1): return [(x + y), "\\xe9"]
f = f.__wrapped__
""",
]
OTHER = [
    'def f(x, y=1):\n    return [x - y, "é"]',
    'def f(x, y=2):\n    return [x + y, "é"]',
    'def f(x, y=1):\n    return [x + y, b"e"]',
    'def f(x, y=1):\n    "docstring"\n    "é"\n    return [x + y, "e"]',
    'async def f(x, y=1):\n    return [x + y, "é"]',
]


def test_the_hash_of_code(tmp_path: Path) -> None:
    original = code_hash(_from_source(tmp_path, "original", ORIGINAL))
    for i, source in enumerate(SAME):
        assert code_hash(_from_source(tmp_path, f"same{i}", source)) == original
    hashes = {code_hash(_from_source(tmp_path, f"other{i}", source)) for i, source in enumerate(OTHER)}
    assert len(hashes) == len(OTHER)
    assert original not in hashes
    # Without its source, by the bytecode.
    names: dict[str, Any] = {}
    variants = ['def f(x):\n "one"\n return x + 1', 'def f(x):\n\n "two"\n return x + 1', "def f(x):\n return x + 2"]
    for i, variant in enumerate(variants):
        exec(variant, names)
        names[f"f{i}"] = names["f"]
    assert code_hash(names["f0"]) == code_hash(names["f1"]) != code_hash(names["f2"])
    one, two = (lambda x: x + 1), (lambda x: x + 2)
    assert code_hash(one) != code_hash(two), "on one line"


def test_tracked_code_is_part_of_the_key(cache: Cache, tmp_path: Path) -> None:
    first = _from_source(tmp_path, "first", ORIGINAL)
    second = _from_source(tmp_path, "second", SAME[0])
    third = _from_source(tmp_path, "third", OTHER[0])
    keys = [cached(cache, key_prefix="f", track_code=True)(f).cache_key(1) for f in (first, second, third)]
    assert keys[0] == keys[1] != keys[2]
    with pytest.raises(CacheConfigurationError, match="no code to track"):
        cached(cache, key_prefix="f", track_code=True, key_func=lambda *args: args)(max)


class Sized:
    """Its methods have defaults, so that an argument could be taken for the object."""

    def __init__(self, size: int) -> None:
        self.size = size

    @cached(key_prefix="Sized.times")
    def times(self, x: int = 1) -> int:
        return self.size * x


class Larger(Sized):
    """Inherits a method."""


class Borrower:
    """Has a method of another class."""

    size = 7
    times = Sized.times


def test_the_methods_of_a_cached_method_want_the_object() -> None:
    for sized in (Sized(3), Larger(3), Borrower()):
        assert sized.times(5) == sized.size * 5
        assert get_cache().exists(cache_key=type(sized).times.cache_key(sized, 5))
        for method in (sized.times.cache_key, sized.times.cache_clear):  # type: ignore[attr-defined]
            with pytest.raises(TypeError, match=r"a int is given as the object.*Sized\.times\.cache_key\(…\)"):
                method(5)
        assert Sized.times.cache_clear(sized, 5) == 1
    bound = cached(key_prefix="bound")(Sized(3).times.__func__.__get__(Sized(4)))  # type: ignore[attr-defined]
    assert bound(5) == 20
    assert get_cache().exists(cache_key=bound.cache_key(5))
