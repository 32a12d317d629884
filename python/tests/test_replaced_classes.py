"""Objects whose class was redefined are refused anywhere in a value, with an error; they never come back as a third class."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cacheness import Cache, CacheSerializationError
from cacheness.config import HandlerConfig

SOURCE = """
import collections, dataclasses, enum, functools

class Model:
    def __init__(self, weight):
        self.weight = weight
    def __eq__(self, other):
        return isinstance(other, Model) and self.weight == other.weight
    __hash__ = None
    def predict(self, x):
        return x * self.weight
    @classmethod
    def make(cls):
        return cls(1)
    class Part:
        pass

@dataclasses.dataclass
class Record:
    part: object

@dataclasses.dataclass(slots=True)
class Slotted:
    part: object

class Colour(enum.Enum):
    RED = 1

class Level(enum.IntFlag):
    LOW = 1
    HIGH = 2

class Text(str):
    pass

class Failure(Exception):
    pass

Pair = collections.namedtuple("Pair", "a b")

VALUES = {
    "instance": lambda: Model(2),
    "in a list": lambda: [1, [Model(2)]],
    "in a dictionary": lambda: {"m": {"m": Model(2)}},
    "key of a dictionary": lambda: {Colour.RED: 1},
    "in a set": lambda: {Colour.RED},
    "in an attribute": lambda: Record(Model(2)),
    "in a slot": lambda: Slotted(Slotted(1)),
    "of a nested class": lambda: Model.Part(),
    "beside a function without a name": lambda: (lambda: 1, Model(2)),
    "bound method": lambda: Model(2).predict,
    "class method": lambda: Model.make,
    "partial": lambda: functools.partial(Model.predict, Model(2)),
    "partial of the class": lambda: functools.partial(Model, 2),
    "class": lambda: Model,
    "member": lambda: Colour.RED,
    "flags": lambda: Level.LOW | Level.HIGH,
    "subclass of text": lambda: Text("x"),
    "exception": lambda: Failure("x"),
    "named tuple": lambda: Pair(1, 2),
}
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "made_anew.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    importlib.invalidate_caches()
    yield importlib.import_module("made_anew")
    sys.modules.pop("made_anew", None)


def names() -> list[str]:
    found: dict[str, Any] = {}
    exec(SOURCE.replace("slots=True", ""), found)
    return list(found["VALUES"])


def assert_refused(cache: Cache, value: Any) -> CacheSerializationError:
    with pytest.raises(CacheSerializationError, match=r"made_anew\.\w+(\.\w+)? was redefined") as refused:
        cache.put(value, cache_key="k")
    assert cache.get(cache_key="k") is None
    return refused.value


@pytest.mark.parametrize("dill", [True, False, None])
@pytest.mark.parametrize("name", names())
def test_an_object_of_a_former_class_is_refused(
    module: Any, tmp_path: Path, name: str, dill: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = module.VALUES[name]()
    if dill is None:
        monkeypatch.setitem(sys.modules, "dill", None)
        monkeypatch.delitem(sys.modules, "cacheness._dill", raising=False)
    with Cache(tmp_path / "cache", handlers=HandlerConfig(enable_dill_fallback=bool(dill))) as cache:
        importlib.reload(module)
        error = assert_refused(cache, old)
        wanted = (
            "take the member" if name in ("key of a dictionary", "in a set", "member", "flags") else "create the object"
        )
        assert error.hint is not None and wanted in error.hint
        if "function" in name and not dill:
            return
        cache.put(module.VALUES[name](), cache_key="k")
        back = cache.get(cache_key="k")
        assert type(back) is type(module.VALUES[name]())


@pytest.mark.parametrize(
    "make", [pd.Series, lambda items: pd.DataFrame({"x": items}), lambda items: np.array(items, object)]
)
def test_tables_and_arrays_of_such_objects_are_refused(module: Any, tmp_path: Path, make: Any) -> None:
    old = make([module.Model(1), module.Model(2)])
    importlib.reload(module)
    with Cache(tmp_path / "cache") as cache:
        assert_refused(cache, old)
        cache.put(make([module.Model(1)]), cache_key="k")
        back = np.asarray(cache.get(cache_key="k")).ravel()
        assert back[0] == module.Model(1) and type(back[0]) is module.Model


def test_a_module_that_was_imported_anew(module: Any, tmp_path: Path) -> None:
    old = module.Model(1)
    del sys.modules["made_anew"]
    importlib.import_module("made_anew")
    with Cache(tmp_path / "cache") as cache:
        assert_refused(cache, [old])


def test_the_former_value_stays(module: Any, tmp_path: Path) -> None:
    old = module.Model(1)
    with Cache(tmp_path / "cache") as cache:
        cache.put("former", cache_key="k")
        importlib.reload(module)
        with pytest.raises(CacheSerializationError, match="was redefined"):
            cache.put(old, cache_key="k")
        assert cache.get(cache_key="k") == "former"


def test_what_was_put_before_is_of_the_present_class(module: Any, tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        cache.put([module.Model(1), module.Colour.RED], cache_key="k")
        importlib.reload(module)
        assert cache.get(cache_key="k") == [module.Model(1), module.Colour.RED]


def test_an_instance_of_a_local_class_comes_back_of_a_copy_of_it(tmp_path: Path) -> None:
    class Local:
        def __init__(self) -> None:
            self.x = 1

        def double(self) -> int:
            return self.x * 2

    with Cache(tmp_path) as cache:
        cache.put(Local(), cache_key="k")
        back = cache.get(cache_key="k")
        assert type(back).__qualname__ == Local.__qualname__ and back.double() == 2


def test_classes_of_a_script_are_the_same_beside_what_has_no_name(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        """
import collections, dataclasses, enum, sys
from cacheness import Cache

@dataclasses.dataclass
class Point:
    x: int

class Colour(enum.Enum):
    RED = 1

class Outer:
    class Inner:
        pass

Pair = collections.namedtuple("Pair", "a b")

with Cache(sys.argv[1]) as cache:
    if cache.get(cache_key="k") is None:
        cache.put([lambda x: x + Point(1).x, Point(2), Colour.RED, Outer.Inner(), Pair(1, 2), Point], cache_key="k")
    function, point, colour, inner, pair, cls = cache.get(cache_key="k")
    assert function(2) == 3
    assert point == Point(2) and type(point) is Point and cls is Point
    assert colour is Colour.RED
    assert type(inner) is Outer.Inner
    assert type(pair) is Pair and pair == (1, 2)
    print("same")
"""
    )
    for _ in range(2):
        run = [sys.executable, str(script), str(tmp_path / "cache")]
        assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "same\n"
