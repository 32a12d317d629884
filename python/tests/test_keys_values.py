"""Keys of Python values: each row of the table in ``docs/formats/keys.md``, properties, and what must not collide."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import json
import math
import operator
import pathlib
import re
import threading
import types
import uuid
import zoneinfo
from typing import Any, NamedTuple

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacheness import _core


def key(value: Any, **config: Any) -> bytes:
    return _core.encode_params({"x": value}, config or None)


def shown(value: Any) -> Any:
    return _core.render_params(key(value))["x"]


class Colour(enum.Enum):
    RED = "r"
    GREEN = "g"


class Number(enum.IntEnum):
    ONE = 1


class Flags(enum.Flag):
    A = 1
    B = 2


@dataclasses.dataclass
class Settings:
    rate: float
    names: list


@dataclasses.dataclass
class Others:
    rate: float
    names: list


class Point(NamedTuple):
    x: int
    y: int


class Model(pydantic.BaseModel):
    depth: int
    name: str = "m"


class Text(str):
    __slots__ = ("language",)


class Attributed(list):
    pass


class Moment(dt.datetime):
    pass


class Where(type(pathlib.Path())):
    pass


class Keyed:
    def __init__(self, identity: object) -> None:
        self.identity = identity
        self.lock = threading.Lock()

    def __cache_key__(self) -> object:
        return self.identity


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: object) -> None:
        self.a = a


class Estimator:
    def __init__(self, alpha: object) -> None:
        self.alpha = alpha

    @functools.cached_property
    def size(self) -> int:
        return 7

    def fit(self) -> None: ...


def function(x: int) -> int:
    return x


# Values that must all have different keys.
DISTINCT: list[Any] = [
    None, False, True, 0, 1, -1, 2**64, -(2**64), 2**1000, 1.0, 0.0, -0.0, math.nan, math.inf, -math.inf, 1j, 1 + 0j,
    "", "1", "a", "é", "e\u0301", "a" * 5000, b"", b"1", b"a", b"a" * 5000, bytearray(b"a"), memoryview(b"a"),
    [], (), {}, set(), frozenset(), [1], (1,), {1: 1}, {1}, frozenset({1}), [[1], [2]], [[1, 2]], [1, [2]], ...,
    {"a": 1, "b": 2}, {"a": 2, "b": 1}, {1: "a"}, {"1": "a"}, {True: "a"}, {None: "a"}, {(1, 2): "a"},
    decimal.Decimal(1), decimal.Decimal("1.0"), decimal.Decimal("NaN"), decimal.Decimal("-0"),
    fractions.Fraction(1, 2), fractions.Fraction(1, 3), uuid.UUID(int=1), uuid.UUID(int=2),
    dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.date(2024, 1, 1), dt.time(0),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
    dt.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    dt.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")),
    dt.datetime(2024, 10, 27, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    dt.datetime(2024, 10, 27, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"), fold=1),
    dt.time(0, tzinfo=dt.UTC), dt.time(0, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    dt.timedelta(1), dt.timedelta(seconds=1), dt.timedelta.max, dt.timedelta.min, Moment(2024, 1, 1),
    pathlib.PurePosixPath("a"), pathlib.PurePosixPath("b"), Where("no/such/thing"), pathlib.Path("no/such/thing"),
    range(3), range(1, 3), slice(3), slice(1, 3), Colour.RED, Colour.GREEN, Number.ONE, Flags.A, Flags.A | Flags.B,
    Flags(0), Settings(0.1, []), Settings(0.2, []), Others(0.1, []), Point(1, 2), Point(2, 1), Model(depth=1),
    Model(depth=2), Text("a"), Attributed([1]), collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1),
    collections.defaultdict(list, a=1), collections.defaultdict(int, a=1), collections.Counter("a"),
    collections.deque([1]), collections.deque([1], 5), types.SimpleNamespace(a=1), types.MappingProxyType({"a": 1}),
    int, str, Colour, Settings, function, json.dumps, json.loads, len, math.sqrt, json, math, str.upper, "a".upper,
    "b".upper, [1].append, functools.partial(function, 1), functools.partial(function, x=1), re.compile("a"),
    re.compile("a", re.IGNORECASE), re.compile(b"a"), operator.itemgetter(1), operator.itemgetter(2), Keyed("a"), Keyed("b"),
    Keyed(None), Slotted(1), Slotted(2), Estimator(1), Estimator(2), Estimator(1).fit, ValueError("a"),
    ValueError("b"), list[int], dict[str, int], NotImplemented, iter([1]), object,
]  # fmt: skip


def test_different_values_have_different_keys() -> None:
    seen: dict[bytes, Any] = {}
    for value in DISTINCT:
        encoding = key(value)
        assert encoding not in seen, f"{value!r} has the key of {seen[encoding]!r}"
        seen[encoding] = value
        _core.render_params(encoding)


def test_equal_values_have_equal_keys() -> None:
    assert key({"a": 1, "b": 2}) == key({"b": 2, "a": 1})
    assert key({3, 1, "a"}) == key({"a", 1, 3})
    assert key(float("nan")) == key(-float("nan"))
    assert key(Settings(0.1, [1])) == key(Settings(0.1, [1]))
    assert key(uuid.UUID(int=1)) == key(uuid.UUID(int=1, is_safe=uuid.SafeUUID.safe))
    assert key(dt.datetime(2024, 1, 1, tzinfo=dt.UTC)) == key(dt.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")))
    assert key(dt.UTC.utcoffset(None)) == key(dt.timedelta(0))
    with decimal.localcontext() as context:
        context.capitals = 0
        assert str(decimal.Decimal("1E+30")) == "1e+30"
        small = key(decimal.Decimal("1E+30"))
    assert key(decimal.Decimal("1E+30")) == small


def test_what_is_computed_on_demand_does_not_matter() -> None:
    estimator = Estimator(1)
    before = key(estimator)
    assert estimator.size == 7
    assert key(estimator) == before
    where = Where("no/such/thing")
    before = key(where)
    assert str(where) and hash(where) and where.parts
    assert key(where) == before


def test_how_listings_show_values() -> None:
    assert shown(Settings(0.5, ["a"])) == {f"{__name__}.Settings": {"rate": 0.5, "names": ["a"]}}
    assert shown(Point(1, 2)) == {f"{__name__}.Point": {"x": 1, "y": 2}}
    assert shown(Model(depth=3)) == {f"{__name__}.Model": {"depth": 3, "name": "m"}}
    assert shown(Colour.RED) == f"{__name__}.Colour.RED"
    assert shown(Number.ONE) == f"{__name__}.Number.ONE"
    assert shown(function) == f"{__name__}:function"
    assert shown(json.dumps) == "json:dumps"
    assert shown(Keyed((1, 2))) == {f"{__name__}.Keyed": [1, 2]}
    assert shown(2**64 - 1) == 2**64 - 1
    assert shown(2**100) == str(2**100)
    text = Text("a")
    text.language = "en"
    assert shown(text) == {f"{__name__}.Text": ["a", {"language": "en"}]}
    attributed = Attributed([1])
    assert shown(attributed) == {f"{__name__}.Attributed": [1]}
    attributed.note = "n"
    assert shown(attributed) == {f"{__name__}.Attributed": [[1], {"note": "n"}]}
    assert shown(range(1, 5)) == {"builtins.range": [1, 5, 1]}
    assert shown(dt.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))) == (
        "2024-07-01T00:00:00.000000+02:00[Europe/Berlin]"
    )


def test_pydantic_extras_and_private_attributes() -> None:
    class Extra(pydantic.BaseModel, extra="allow"):
        a: int
        _secret: int = 0

    Extra.__qualname__ = "Extra"
    one, two = Extra(a=1, b=2), Extra(a=1, b=3)
    assert key(one) != key(two)
    assert shown(one) == {f"{__name__}.Extra": {"_secret": 0, "a": 1, "b": 2}}


def test_paths_by_content_or_by_name(tmp_path: pathlib.Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"content")
    two.write_bytes(b"content")
    assert key(one) == key(two)
    assert key(one, hash_path_content=False) != key(two, hash_path_content=False)
    assert key(one, hash_path_content=False) == key(pathlib.PurePosixPath(str(one)))
    two.write_bytes(b"other")
    assert key(one) != key(two)
    assert shown(one) == f"file {_core.hash_path(one)[:8]}…"
    assert shown(tmp_path) == f"directory {_core.hash_path(tmp_path)[:8]}…"
    assert key(pathlib.Path("no/such")) == key(pathlib.PurePosixPath("no/such"))


def test_hash_value_is_the_fingerprint_of_one_value() -> None:
    assert len(_core.hash_value({"a": 1})) == 32
    assert _core.hash_value({"a": 1, "b": 2}) == _core.hash_value({"b": 2, "a": 1})
    assert _core.hash_value([1]) != _core.hash_value((1,))


def test_long_values_make_short_encodings() -> None:
    assert len(key(list(range(200_000)))) < 100
    assert len(key({str(i): i for i in range(10_000)})) < 100
    assert len(key("x" * 10_000_000)) < 100
    assert key(list(range(200_000))) != key([*range(199_999), 0])


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(), st.binary(),
    st.datetimes(), st.dates(), st.times(), st.timedeltas(), st.decimals(), st.uuids(), st.fractions(),
    st.datetimes(timezones=st.timezones()),
)  # fmt: skip
HASHABLE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.binary()),
    lambda inner: st.one_of(st.tuples(inner, inner), st.frozensets(inner, max_size=3)),
    max_leaves=4,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(HASHABLE, inner, max_size=4),
        st.sets(HASHABLE, max_size=4),
    ),
    max_leaves=15,
)
DEEP = {"max_collection_depth": 100, "max_tuple_recursive_length": 100}


def _copy(value: Any) -> Any:
    """An equal value, built in another order from new objects."""
    match value:
        case dict():
            return {_copy(k): _copy(v) for k, v in reversed(value.items())}
        case list():
            return [_copy(item) for item in value]
        case tuple():
            return tuple(_copy(item) for item in value)
        case set() | frozenset():
            return type(value)(reversed(list(map(_copy, value))))
    return value


@given(VALUES)
def test_keys_do_not_depend_on_order(value: Any) -> None:
    encoding = key(value, **DEEP)
    assert encoding == key(_copy(value), **DEEP)
    _core.render_params(encoding)


def _identity(value: Any) -> Any:
    """Equal exactly for values that must have one key."""
    match value:
        case dict():
            return "dict", frozenset((_identity(k), _identity(v)) for k, v in value.items())
        case list() | tuple():
            return type(value).__name__, tuple(map(_identity, value))
        case set() | frozenset():
            return type(value).__name__, frozenset(map(_identity, value))
        case float():
            return "float", "nan" if math.isnan(value) else value.hex()
        case complex():
            return "complex", _identity(value.real), _identity(value.imag)
        case dt.datetime():
            zone = value.tzinfo and (value.tzinfo.key.removeprefix("Etc/"), value.utcoffset())
            return "datetime", value.replace(tzinfo=None, fold=0).isoformat(), zone
    return type(value).__name__, str(value)


@given(VALUES, VALUES)
def test_keys_are_equal_only_for_equal_values(one: Any, two: Any) -> None:
    assert (key(one, **DEEP) == key(two, **DEEP)) == (_identity(one) == _identity(two))


@pytest.mark.parametrize("depth", [1, 10])
def test_depth_switches(depth: int) -> None:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    key(value, max_collection_depth=depth)
    with pytest.raises(Exception, match=f"nested more than {depth} deep"):
        key([value], max_collection_depth=depth)
