"""Keys of dataclasses, attrs classes and named tuples: by their fields, and by what an object has beside them."""

from __future__ import annotations

import dataclasses
import functools
from collections import namedtuple
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import attrs
import pytest

from cacheness import _core, cached

if TYPE_CHECKING:
    from collections.abc import Callable

    from cacheness import Cache


def key(value: Any) -> bytes:
    return _core.encode_params({"x": value})


def shown(value: Any) -> Any:
    return _core.render_params(key(value))["x"]


@dataclasses.dataclass
class Config:
    name: str = "a"


class Fitted(Config):
    def __init__(self, weight: object) -> None:
        super().__init__()
        self.weight = weight


class FittedSlot(Config):
    __slots__ = ("__weight",)

    def __init__(self, weight: object) -> None:
        super().__init__()
        self.__weight = weight


@dataclasses.dataclass
class Initial:
    name: str
    weight: dataclasses.InitVar[object] = None

    def __post_init__(self, weight: object) -> None:
        self._weight = weight


@dataclasses.dataclass(frozen=True)
class Frozen:
    name: str

    @functools.cached_property
    def size(self) -> int:
        return len(self.name)


@dataclasses.dataclass(slots=True, weakref_slot=True)
class Slotted:
    name: str
    __private: int = dataclasses.field(default=1, compare=False, hash=False)


class SlottedMore(Slotted):
    __slots__ = ("more",)


@attrs.define(slots=False, unsafe_hash=True, cache_hash=True)
class AttrsOpen:
    name: str

    def __attrs_post_init__(self) -> None:
        self.state = [1]

    @functools.cached_property
    def size(self) -> int:
        return len(self.name)


@attrs.define(unsafe_hash=True, cache_hash=True)
class AttrsSlotted:
    name: str

    @functools.cached_property
    def size(self) -> int:
        return len(self.name)


class AttrsMore(AttrsSlotted):
    pass


class Pair(namedtuple("Pair", "a b")):
    @functools.cached_property
    def size(self) -> int:
        return 2


class Typed(NamedTuple):
    a: int


Item = TypeVar("Item")


@dataclasses.dataclass
class Box(Generic[Item]):
    item: Item


def _set(value: Any, name: str, part: object) -> Any:
    object.__setattr__(value, name, part)
    return value


@pytest.mark.parametrize(
    "make",
    [
        lambda part: _set(Config(), "coef_", part),
        Fitted,
        FittedSlot,
        lambda part: Initial("a", part),
        lambda part: _set(Frozen("a"), "_cache", part),
        lambda part: _set(SlottedMore("a"), "more", part),
        lambda part: _set(AttrsOpen("a"), "state", part),
        lambda part: _set(AttrsMore("a"), "coef_", part),
        lambda part: _set(Pair(1, 2), "unit", part),
    ],
    ids=["set later", "subclass", "slot", "InitVar", "frozen", "slots", "attrs", "subclass of attrs", "named tuple"],
)
def test_what_an_object_has_beside_its_fields_is_part_of_the_key(make: Callable[[object], Any]) -> None:
    assert key(make(1)) == key(make(1))
    assert key(make(1)) != key(make(2))
    one, two = (_core.hash_value(make(part)) for part in (1, 2))
    assert one != two


def test_parameters_of_a_generic_class_are_part_of_the_key() -> None:
    assert len({key(Box(1)), key(Box[int](1)), key(Box[str](1))}) == 3


@pytest.mark.parametrize("value", [Frozen("abc"), AttrsOpen("abc"), AttrsSlotted("abc"), AttrsMore("abc"), Pair(1, 2)])
def test_what_is_computed_on_demand_is_not(value: Any) -> None:
    before = key(value)
    assert value.size in (2, 3)
    hash(value)
    assert key(value) == before


def test_nothing_is_computed_for_a_key() -> None:
    class Once(AttrsSlotted):
        pass

    Once.__qualname__ = "Once"
    value = Once("abc")
    key(value)
    slot = AttrsSlotted.__dict__["size"]
    with pytest.raises(AttributeError):
        slot.__get__(value)


def test_how_fields_and_other_attributes_are_encoded() -> None:
    assert shown(Config()) == {f"{__name__}.Config": {"name": "a"}}
    assert shown(Fitted(1)) == {f"{__name__}.Fitted": [{"name": "a"}, {"weight": 1}]}
    assert shown(FittedSlot(1)) == {f"{__name__}.FittedSlot": [{"name": "a"}, {"_FittedSlot__weight": 1}]}
    assert shown(Slotted("a")) == {f"{__name__}.Slotted": {"name": "a", "_Slotted__private": 1}}
    assert shown(AttrsSlotted("a")) == {f"{__name__}.AttrsSlotted": {"name": "a"}}
    assert shown(AttrsOpen("a")) == {f"{__name__}.AttrsOpen": [{"name": "a"}, {"state": [1]}]}
    assert shown(Typed(1)) == {f"{__name__}.Typed": {"a": 1}}


def test_an_attribute_without_an_encoding_is_refused() -> None:
    with pytest.raises(Exception, match="object"):
        key(_set(Config(), "cache", object()))


def test_a_cached_method_of_a_dataclass_sees_what_was_fitted(cache: Cache) -> None:
    assert Estimator().fit(1).predict(cache, 2) == 2
    assert Estimator().fit(5).predict(cache, 2) == 10


@dataclasses.dataclass
class Estimator:
    alpha: float = 1.0

    def fit(self, weight: int) -> Estimator:
        self.weight_ = weight
        return self

    def predict(self, cache: Cache, x: int) -> int:
        return cached(cache_instance=cache)(Estimator.compute)(self, x)

    def compute(self, x: int) -> int:
        return self.weight_ * x
