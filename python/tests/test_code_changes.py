"""A result that other code has computed is never served silently: in scripts, modules, packages and notebooks."""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cacheness import Cache, cached


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache(tmp_path / "cache") as cache:
        yield cache


class Sources:
    """A directory of modules that are written, imported and written again."""

    def __init__(self, path: Path, cache: Cache) -> None:
        self.path = path
        self.cache = cache
        self.names: set[str] = set()

    def write(self, **modules: str) -> None:
        for name, source in modules.items():
            file = self.path.joinpath(*name.split("__")).with_suffix(".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.parent != self.path:
                (file.parent / "__init__.py").touch()
            file.write_text(textwrap.dedent(source), encoding="utf-8")

    def load(self, name: str) -> ModuleType:
        """The module as another process would import it."""
        for known in [known for known, module in sys.modules.items() if self._is_mine(module)]:
            del sys.modules[known]
        importlib.invalidate_caches()
        module = importlib.import_module(name)
        self.names.add(name)
        return module

    def _is_mine(self, module: Any) -> bool:
        return str(getattr(module, "__file__", None)).startswith(str(self.path))

    def forget(self) -> None:
        for known in [known for known, module in sys.modules.items() if self._is_mine(module)]:
            del sys.modules[known]

    def run(self, function: Any, *args: Any, **options: Any) -> bool:
        """Whether a call computes."""
        decorated = cached(cache_instance=self.cache, **options)(function)
        decorated(*args)
        return decorated.cache_info().misses == 1


@pytest.fixture
def sources(tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sources]:
    monkeypatch.syspath_prepend(str(tmp_path / "sources"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    sources = Sources(tmp_path / "sources", cache)
    yield sources
    sources.forget()


#: A function, and what it depends on; each change of a part of it, and whether the result of before counts no more.
FUNCTION = """
    import math
    import re
    import numpy as np
    from dataclasses import dataclass
    from . import other
    from .names import helper as aliased, THRESHOLD

    WINDOW = 3
    TABLE = {"a": [1, 2], "b": (3,)}
    WEIGHTS = np.arange(4.0)
    PATTERN = re.compile("a+")
    OPERATIONS = {"double": lambda x: 2 * x}
    UNUSED = 1
    log = []

    @dataclass
    class Settings:
        depth: int = 1

    SETTINGS = Settings()

    class Base:
        def start(self):
            return 1

    class Model(Base):
        rate = 0.5

        def __init__(self, x):
            self.x = x

        def fit(self):
            return self.start() * self.rate * self.x

    def recursive(n):
        return 0 if n == 0 else mutual(n - 1)

    def mutual(n):
        return recursive(n)

    def unused():
        return 1

    def function(x, power=2):
        # A comment.
        log.append(x)
        from .lazy import late
        total = x**power + WINDOW + TABLE["a"][0] + WEIGHTS.sum() + len(PATTERN.pattern) + SETTINGS.depth
        total += Model(x).fit() + recursive(3) + OPERATIONS["double"](x) + other.compute(x) + other.inner.FACTOR
        return total + aliased(x) + THRESHOLD + late(x) + math.sqrt(4)
"""
PACKAGE = {
    "package__function": FUNCTION,
    "package__other": "from . import inner\ndef compute(x):\n    return deeper(x)\ndef deeper(x):\n    return x\n",
    "package__inner": "FACTOR = 1\nUNUSED = 1\n",
    "package__names": "THRESHOLD = 1\ndef helper(x):\n    return x\n",
    "package__lazy": "from .later import last\ndef late(x):\n    return last(x)\n",
    "package__later": "def last(x):\n    return x\n",
}
CHANGES = [
    ("package__function", "x**power", "x**power + 1"),
    ("package__function", "power=2", "power=int('2')"),
    ("package__function", "WINDOW = 3", "WINDOW = 4"),
    ("package__function", '"b": (3,)', '"b": (4,)'),
    ("package__function", "arange(4.0)", "arange(5.0)"),
    ("package__function", 'compile("a+")', 'compile("a*")'),
    ("package__function", "lambda x: 2 * x", "lambda x: 3 * x"),
    ("package__function", "SETTINGS = Settings()", "SETTINGS = Settings(2)"),
    ("package__function", "return 1\n\n    class Model", "return 2\n\n    class Model"),
    ("package__function", "rate = 0.5", "rate = 0.6"),
    ("package__function", "self.rate * self.x", "self.rate * self.x * 2"),
    ("package__function", "return recursive(n)", "return recursive(n) + 1"),
    ("package__other", "deeper(x):\n    return x", "deeper(x):\n    return x + 1"),
    ("package__inner", "FACTOR = 1", "FACTOR = 2"),
    ("package__names", "THRESHOLD = 1", "THRESHOLD = 2"),
    ("package__names", "helper(x):\n    return x", "helper(x):\n    return -x"),
    ("package__lazy", "return last(x)", "return last(x) + 1"),
    ("package__later", "last(x):\n    return x", "last(x):\n    return x + 1"),
]
SAME = [
    ("package__function", "# A comment.", '"""A docstring."""  # Another comment.'),
    ("package__function", "def mutual(n):\n", 'def mutual(n):\n        """Documented."""\n'),
    ("package__function", "class Base:\n", 'class Base:\n        """Documented."""\n\n'),
    ("package__function", "import math\n", "import math\n\n\n"),
    ("package__function", "UNUSED = 1", "UNUSED = 2"),
    ("package__function", "log = []", "log = [1, 2, 3]"),
    ("package__function", "def unused():\n        return 1", "def unused():\n        return 2"),
    ("package__inner", "UNUSED = 1", "UNUSED = 2"),
    ("package__other", "def compute", "# A comment.\ndef compute"),
    ("package__lazy", "from .later", '"""Documented."""\nfrom .later'),
]


@pytest.mark.parametrize(
    ("module", "before", "after", "computes"),
    [(*change, True) for change in CHANGES] + [(*change, False) for change in SAME],
)
def test_everything_that_a_function_reaches_counts(
    sources: Sources, module: str, before: str, after: str, computes: bool
) -> None:
    sources.write(**PACKAGE)
    assert sources.run(sources.load("package.function").function, 2)
    assert not sources.run(sources.load("package.function").function, 2)
    assert before in PACKAGE[module]
    sources.write(**{module: PACKAGE[module].replace(before, after)})
    assert sources.run(sources.load("package.function").function, 2) is computes
    assert not sources.run(sources.load("package.function").function, 2)


def test_a_changed_function_is_computed_once_and_replaces_its_entry(sources: Sources) -> None:
    sources.write(alone="def f(x):\n    return x + 1\n")
    old = cached(cache_instance=sources.cache)(sources.load("alone").f)
    assert (old(1), old(1)) == (2, 2)
    sources.write(alone="def f(x):\n    return x + 2\n")
    new = cached(cache_instance=sources.cache)(sources.load("alone").f)
    assert new.cache_key(1) == old.cache_key(1)
    assert not new.is_cached(1) and old.is_cached(1)
    assert (new(1), new(1)) == (3, 3)
    assert (new.cache_info().hits, new.cache_info().misses) == (1, 1)
    assert len(sources.cache) == 1
    # Two programs of two versions compute by turns, and neither gets what the other has computed.
    assert (old(1), new(1), old(1)) == (2, 3, 2)
    assert sources.cache.list_entries(include_metadata=True)[0]["metadata"] == {}


def test_an_entry_is_served_with_a_warning_or_without(sources: Sources, caplog: pytest.LogCaptureFixture) -> None:
    sources.write(alone="def f(x):\n    return x + 1\n")
    assert sources.run(sources.load("alone").f, 1)
    sources.write(alone="def f(x):\n    return x + 2\n")
    warns = cached(cache_instance=sources.cache, on_code_change="warn")(sources.load("alone").f)
    ignores = cached(cache_instance=sources.cache, on_code_change="ignore")(sources.load("alone").f)
    with caplog.at_level(logging.INFO, logger="cacheness"):
        assert ignores(1) == 2
        assert not caplog.records
        assert [warns(1) for _ in range(3)] == [2, 2, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "alone.f(x=1): served although its code has changed (logged once)"
    ]
    assert warns.is_cached(1) and ignores.is_cached(1)
    # What it computes itself has its own code.
    assert warns(5) == ignores(5) == 7
    assert not sources.run(sources.load("alone").f, 5)


@pytest.mark.parametrize("wrong", ["never", "", True, None])
def test_what_to_do_is_one_of_three(cache: Cache, wrong: Any) -> None:
    with pytest.raises(Exception, match="on_code_change is") as raised:
        cached(cache_instance=cache, on_code_change=wrong)
    assert '"recompute"' in str(raised.value.hint)  # type: ignore[attr-defined]


def test_a_script_and_the_module_that_it_is_are_one_code(sources: Sources) -> None:
    sources.write(
        train=f"""
        import sys
        from cacheness import Cache, cached
        import beside

        cache = Cache({str(sources.cache.cache_dir)!r})

        @cached(cache_instance=cache)
        def f(x):
            return beside.g(x)

        if __name__ == "__main__":
            print(f(1), f.cache_info().misses)
        """,
        beside="def g(x):\n    return x\n",
    )

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], check=True, capture_output=True, text=True, cwd=sources.path, timeout=60
        )
        return done.stdout.strip()

    call = "import train; print(train.f(1), train.f.cache_info().misses)"
    assert run("train.py") == "1 1"
    assert run("-c", call) == "1 0"
    assert run("-m", "train") == "1 0"
    sources.write(beside="def g(x):\n    return x + 1\n")
    assert run("-c", call) == "2 1"
    assert run("train.py") == "2 0"


def test_cells_of_a_notebook(sources: Sources) -> None:
    """As IPython runs cells: in one namespace, under names of their own, with the source in `linecache`."""
    import linecache

    namespace: dict[str, Any] = {"__name__": "__main__", "cached": cached, "cache": sources.cache}

    def cell(number: int, source: str) -> None:
        source = textwrap.dedent(source)
        name = f"<ipython-input-{number}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        exec(compile(source, name, "exec"), namespace)

    function = """
        @cached(cache_instance=cache, key_prefix="notebook.f")
        def f(x):
            return helper(x) * SCALE
    """
    cell(1, "SCALE = 1\ndef helper(x):\n    return x\n")
    cell(2, function)
    call: Callable[[], tuple[Any, int]] = lambda: (namespace["f"](3), namespace["f"].cache_info().misses)  # noqa: E731
    assert call() == (3, 1)
    cell(3, function)
    assert call() == (3, 0)
    cell(4, "def helper(x):\n    return x + 1\n")
    cell(5, function)
    assert call() == (4, 1)
    cell(6, "SCALE = 2")
    cell(7, function)
    assert call() == (8, 1)
    # Without a prefix the code is part of the key, unless the entries of other code are wanted.
    cell(8, function.replace(', key_prefix="notebook.f"', ""))
    key = namespace["f"].cache_key(3)
    cell(9, function.replace(', key_prefix="notebook.f"', "").replace("* SCALE", "+ SCALE"))
    assert namespace["f"].cache_key(3) != key
    cell(10, function.replace('key_prefix="notebook.f"', 'on_code_change="ignore"'))
    ignoring = namespace["f"].cache_key(3)
    cell(11, function.replace('key_prefix="notebook.f"', 'on_code_change="ignore"').replace("* SCALE", "+ SCALE"))
    assert namespace["f"].cache_key(3) == ignoring


def test_a_source_that_is_edited_while_the_program_runs_is_not_taken_for_what_runs(sources: Sources) -> None:
    sources.write(alone="def f(x):\n    return x + 1\n")
    running = sources.load("alone")
    sources.write(alone="def f(x):\n    return x + 2\n")
    decorated = cached(cache_instance=sources.cache)(running.f)
    assert decorated(1) == 2
    new = cached(cache_instance=sources.cache)(sources.load("alone").f)
    assert new(1) == 3


def test_what_is_captured_counts_unless_the_key_has_it(cache: Cache) -> None:
    def make(values: Any, scale: Any, count: Any = None) -> Any:
        def inner(x: int) -> Any:
            return scale(x)

        @cached(cache_instance=cache, key_prefix="captured")
        def f(x: int) -> Any:
            calls.append(x)
            return sum(values) * inner(x)

        return f

    calls: list[int] = []
    double, triple = (lambda x: 2 * x), (lambda x: 3 * x)
    assert make([1, 2], double)(1) == 6
    assert make([1, 2], double)(1) == 6
    assert len(calls) == 1, "what the function changes does not count"
    assert make([1, 3], double)(1) == 8
    assert make([1, 3], triple)(1) == 12
    assert make(np.array([1, 3]), triple)(1) == 12
    assert len(calls) == 4


def test_methods_count_with_their_class_and_wrapped_functions_with_what_is_around_them(sources: Sources) -> None:
    source = """
        import functools

        def louder(function):
            @functools.wraps(function)
            def wrapper(*args):
                return function(*args) + 1
            return wrapper

        class Model:
            def __init__(self, x):
                self.x = x

            @property
            def half(self):
                return self.x / 2

            @staticmethod
            def scale(x):
                return 2 * x

            def fit(self):
                return self.scale(self.half)

        @louder
        def wrapped(x):
            return x

        @functools.lru_cache
        def helper(x):
            return x

        def calls(x):
            return helper(x) + wrapped(x)
    """
    sources.write(module=source)
    module = sources.load("module")
    assert sources.run(module.Model.fit, module.Model(4))
    assert sources.run(module.wrapped, 1) and sources.run(module.calls, 1)
    module = sources.load("module")
    assert not sources.run(module.Model.fit, module.Model(4))
    assert not (sources.run(module.wrapped, 1) or sources.run(module.calls, 1))
    for before, after, changed in [
        ("self.x / 2", "self.x / 4", "fit"),
        ("return 2 * x", "return 3 * x", "fit"),
        ("function(*args) + 1", "function(*args) + 2", "wrapped calls"),
        ("def helper(x):\n            return x", "def helper(x):\n            return x + 1", "calls"),
    ]:
        assert before in source
        sources.write(module=source.replace(before, after))
        module = sources.load("module")
        assert sources.run(module.Model.fit, module.Model(4)) is ("fit" in changed), after
        assert sources.run(module.wrapped, 1) is ("wrapped" in changed), after
        assert sources.run(module.calls, 1) is ("calls" in changed), after
        sources.write(module=source)
        module = sources.load("module")
        sources.run(module.Model.fit, module.Model(4))
        sources.run(module.wrapped, 1)
        sources.run(module.calls, 1)


def test_a_cache_that_can_only_be_read_serves_nothing_of_other_code(sources: Sources) -> None:
    sources.write(alone="def f(x):\n    return x + 1\n")
    assert sources.run(sources.load("alone").f, 1)
    with Cache(sources.cache.cache_dir, read_only=True) as reader:
        same = cached(cache_instance=reader)(sources.load("alone").f)
        assert (same(1), same.cache_info().hits) == (2, 1)
        sources.write(alone="def f(x):\n    return x + 2\n")
        other = cached(cache_instance=reader)(sources.load("alone").f)
        assert (other(1), other(1), other.cache_info().hits) == (3, 3, 0)


def test_entries_without_a_code_are_served(sources: Sources) -> None:
    """Those of a put with the parameters of a call."""
    sources.write(alone="def f(x):\n    return x + 1\n")
    f = cached(cache_instance=sources.cache)(sources.load("alone").f)
    sources.cache.put(41, params={"__function__": "alone.f", "arguments": {"x": 1}})
    assert f(1) == 41


def test_code_without_source_is_known_by_its_bytecode(cache: Cache) -> None:
    def function(source: str) -> Any:
        namespace: dict[str, Any] = {"__name__": "made", "CONSTANT": 1}
        exec(source, namespace)
        return cached(cache_instance=cache)(namespace["f"])

    assert function("def f(x):\n    return g(x)\ndef g(x):\n    return x in {'a', 'b'}")(1) is False
    again = function("def f(x):\n    '''Doc.'''\n    return g(x)\n\ndef g(x):\n    return x in {'b', 'a'}")
    assert (again(1), again.cache_info().hits) == (False, 1)
    other = function("def f(x):\n    return g(x)\ndef g(x):\n    return x not in {'a', 'b'}")
    assert (other(1), other.cache_info().hits) == (True, 0)


def test_the_hash_is_the_same_in_every_process(sources: Sources) -> None:
    sources.write(**PACKAGE)
    program = (
        "from package.function import function; from cacheness.decorators._reach import code_of;"
        "print(code_of(function, frozenset()).hex())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(sources.path)},
            cwd=sources.path.parent if seed == "1" else sources.path,
            timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(seen) == 1 and len(seen.pop().strip()) == 32


def test_what_cannot_be_seen_through_does_no_harm(cache: Cache) -> None:
    import threading

    class Odd:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    class Hidden(list[int]):
        def __iter__(self) -> Iterator[int]:
            raise RuntimeError("not to be looked at")

    things: Any = (threading.Lock(), Odd(), Hidden(), object(), float("nan"), sys, print, Odd)
    endless: list[Any] = [1]
    endless.append(endless)

    @cached(cache_instance=cache)
    def f(x: int) -> int:
        return x + len(things) + len(endless)

    assert (f(1), f(1)) == (11, 11)
    assert f.cache_info() == (1, 1, 0, 0)
