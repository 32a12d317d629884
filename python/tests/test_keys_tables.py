"""Keys of columns, arrays and zones: what comes back differs, so the keys differ; what is only remembered does not count."""

from __future__ import annotations

import datetime as dt
import functools
import operator
import subprocess
import sys
import tomllib
import types
import zoneinfo
from pathlib import Path
from typing import Any, Optional, TypeVar, Union

import dateutil.tz
import keys_reference
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from pandas.tseries.offsets import CustomBusinessDay, DateOffset, Easter

from cacheness import _core, _libraries
from cacheness.errors import CacheSerializationError, CacheUnsupportedError


def key(value: Any) -> bytes:
    return _core.encode_params({"x": value})


def described(description: Any) -> bytes:
    """What the second implementation makes of a description."""
    return keys_reference.encode_params([["x", description]])


def distinct(values: list[Any]) -> None:
    keys = [key(value) for value in values]
    assert len(set(keys)) == len(keys), [i for i, k in enumerate(keys) if keys.count(k) > 1]


def named(name: str, *parts: Any) -> Any:
    return {"named": [name, {"tuple": list(parts)}]}


# ----- Polars


def test_polars_types_inside_of_others() -> None:
    kinds = [pl.Enum(["a"]), pl.Enum(["a", "b"]), pl.Categorical, pl.String]
    distinct([pl.Series([["a"]], dtype=pl.List(kind)) for kind in kinds])
    distinct([pl.Series([["a"]], dtype=pl.Array(kind, 1)) for kind in kinds])
    distinct([pl.Series([{"x": "a"}], dtype=pl.Struct({"x": kind})) for kind in kinds])
    distinct(
        [
            pl.DataFrame({"c": pl.Series([[{"x": ["a"]}]], dtype=pl.List(pl.Struct({"x": pl.List(kind)})))})
            for kind in kinds
        ]
    )
    # In which of two fields it is.
    both = [pl.Struct({"x": kinds[0], "y": kinds[2]}), pl.Struct({"x": kinds[2], "y": kinds[0]})]
    distinct([pl.Series([{"x": "a", "y": "a"}], dtype=kind) for kind in both])


def test_polars_categories_of_their_own() -> None:
    kinds = [pl.Categories("p"), pl.Categories("q"), pl.Categories("p", namespace="n"), pl.Categories()]
    kinds.append(pl.Categories("p", physical=pl.UInt8))
    distinct([pl.Series(["a"], dtype=pl.Categorical(categories)) for categories in kinds])
    assert key(pl.Series(["a"], dtype=pl.Categorical(pl.Categories()))) == key(pl.Series(["a"], dtype=pl.Categorical))


def test_polars_integers_of_128_bits() -> None:
    distinct(
        [
            pl.Series([1, None], dtype=pl.Int128),
            pl.Series([1, None], dtype=pl.UInt128),
            pl.Series(["1", None]),
            pl.Series([2**100, None], dtype=pl.Int128),
            pl.Series([[1], None], dtype=pl.List(pl.Int128)),
            pl.Series([[1], None], dtype=pl.List(pl.UInt128)),
            pl.Series([["1"], None]),
            pl.DataFrame({"a": pl.Series([1], dtype=pl.Int128)}),
            pl.DataFrame({"a": ["1"]}),
        ]
    )


def test_polars_nulls_inside_of_other_types() -> None:
    distinct(
        [pl.Series([[None]], dtype=pl.List(inner)) for inner in (pl.Null, pl.Boolean)]
        + [pl.Series([{"a": None}], dtype=pl.Struct({"a": inner})) for inner in (pl.Null, pl.Boolean)]
    )


@pytest.mark.parametrize("code", ["pl.DataFrame({'a\\0': [1]})", "pl.Series([{'a\\0': 1}])", "pl.Series('a\\0', [1])"])
def test_a_name_with_a_nul_ends_no_process(code: str) -> None:
    program = (
        "import polars as pl\nfrom cacheness import _core\nfrom cacheness.errors import CacheSerializationError\n"
        f"try:\n    print(len(_core.cache_key({{'x': {code}}})))\n"
        "except CacheSerializationError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # The name of a series is a part of its own.
    assert "a NUL in its name" in done.stdout if "Series('" not in code else done.stdout == "16\n"


# ----- time zones and frequencies


class Zone(dt.tzinfo):
    def __init__(self, number: int) -> None:
        self.number = number

    def utcoffset(self, _: object) -> dt.timedelta:
        return dt.timedelta(hours=1)

    dst = utcoffset

    def tzname(self, _: object) -> str:
        return "Zone"

    def __reduce__(self) -> Any:
        return Zone, (self.number,)


class Named(Zone):
    key = "Europe/Berlin"


def fixed(hours: int, *name: str) -> dt.timezone:
    return dt.timezone(dt.timedelta(hours=hours), *name)


def column(zone: dt.tzinfo) -> pd.Series:
    return pd.Series(pd.DatetimeIndex(["2020-01-01"]).tz_localize("UTC").tz_convert(zone))


ZONES = [
    fixed(1, "X"),
    fixed(2, "X"),
    fixed(5, "UTC"),
    fixed(5, "Europe/Berlin"),
    dt.UTC,
    zoneinfo.ZoneInfo("Europe/Berlin"),
    Zone(1),
    Zone(2),
    Named(1),
    dateutil.tz.gettz("Asia/Tokyo"),
]
ZONES.pop(3)  # its offset is that of the one before


def test_zones_of_columns_and_of_moments() -> None:
    distinct([column(zone) for zone in ZONES])
    distinct([pd.DatetimeIndex(column(zone)) for zone in ZONES])
    distinct([pd.Timestamp("2020-01-01", tz="UTC").tz_convert(zone) for zone in ZONES])
    distinct([dt.datetime(2020, 1, 1, tzinfo=zone) for zone in ZONES])
    # A name of its own makes no other zone of a fixed offset.
    assert fixed(1, "X") == fixed(1) and key(column(fixed(1, "X"))) == key(column(fixed(1)))
    assert key(column(dt.UTC)) == key(column(zoneinfo.ZoneInfo("UTC"))) == key(column(fixed(0)))


def test_a_zone_of_ones_own_is_the_same_in_every_process() -> None:
    assert key(column(Zone(1))) == key(column(Zone(1)))
    wall = {"int": str(1_577_836_800 * 10**9)}
    zone = {"reference": f"{__name__}:Zone"}
    zone = named(f"{__name__}.Zone", zone, {"tuple": [{"int": "1"}]}, {"none": None}, {"none": None}, {"none": None})
    assert key(pd.Timestamp("2020-01-01", tz="UTC").tz_convert(Zone(1))) == described(
        named("pandas.Timestamp", wall, zone)
    )
    offset = {"timedelta": str(7200 * 10**6)}
    moment = pd.Timestamp("2020-01-01", tz="UTC").tz_convert(fixed(2, "X"))
    assert key(moment) == described(named("pandas.Timestamp", wall, offset))


def test_a_zone_without_parts_is_an_error_with_its_place() -> None:
    class Hidden(Zone):
        pass

    with pytest.raises(CacheSerializationError, match=r"params\.x.*defined inside a function"):
        key(column(Hidden(1)))
    with pytest.raises(CacheSerializationError, match=r"params\.x.*defined inside a function"):
        key(pd.Timestamp("2020", tz=Hidden(1)))


def test_the_frequency_of_an_index() -> None:
    days = pd.date_range("2020-01-01", periods=3, freq="D")
    distinct(
        [
            days,
            pd.DatetimeIndex(list(days)),
            pd.DatetimeIndex(list(days), freq=CustomBusinessDay(weekmask="1111111")),
            pd.Series(0, index=days),
            pd.Series(0, index=pd.DatetimeIndex(list(days))),
            pd.timedelta_range(0, periods=3, freq="D"),
            pd.TimedeltaIndex(list(pd.timedelta_range(0, periods=3, freq="D"))),
            *(pd.date_range("2020", periods=2, freq=freq) for freq in (DateOffset(months=1), Easter())),
        ]
    )
    index = pd.date_range("2020", periods=3, freq=DateOffset(months=1))
    before = key(index)
    assert repr(index) and index.inferred_freq == "MS" and index.freq.base and hash(index.freq)
    assert key(index) == before == key(pd.date_range("2020", periods=3, freq=DateOffset(months=1)))


def test_the_step_of_a_range_comes_back_and_counts() -> None:
    assert pd.RangeIndex(0, 1, 1).equals(pd.RangeIndex(0, 1, 5))
    distinct([pd.RangeIndex(0, 1, 1), pd.RangeIndex(0, 1, 5), pd.RangeIndex(0, 2, 5)])


# ----- NumPy and SciPy


class Masked(np.ma.MaskedArray):
    pass


def test_what_a_masked_array_is_filled_with() -> None:
    def array(**more: Any) -> Any:
        return np.ma.array([1, 2], mask=[0, 1], dtype="i4", **more)

    distinct(
        [array(), array(fill_value=5), array(fill_value=6), array(fill_value=5, hard_mask=True), array().view(Masked)]
    )
    value = array()
    before = key(value)
    assert value.fill_value == 999999 and repr(value)
    assert key(value) == before == key(array(fill_value=999999))
    masked, wide = array(fill_value=5), {"array": ["<i4", [2], "0100000000000000"]}
    mask = {"array": ["|b1", [2], "0001"]}
    fill = {"scalar": ["<i4", "05000000"]}
    assert key(masked) == described(named("numpy.ma.MaskedArray", wide, mask, fill, {"bool": False}))
    assert key(np.ma.array([None, "a"], mask=[0, 1])) == key(np.ma.array([None, "b"], mask=[0, 1]))


SPARSE = ["csr", "csc", "bsr", "coo", "dia", "lil", "dok"]


def sparse(kind: str, *, matrix: bool = False) -> Any:
    made = sp.csr_array(([1.0, 2.0, 3.0], ([0, 0, 2], [1, 2, 0])), shape=(3, 3))
    return (sp.csr_matrix(made) if matrix else made).asformat(kind)


def test_sparse_arrays_by_their_content() -> None:
    distinct([sparse(kind) for kind in SPARSE] + [sparse(kind, matrix=True) for kind in SPARSE])
    for kind in SPARSE:
        value = sparse(kind)
        distinct([value, value.astype("f4"), value * 2, value.T.asformat(kind)])
        before = key(value)
        for name in ("has_sorted_indices", "has_canonical_format"):
            getattr(value, name, None)
        assert repr(value) and value.sum() == 6
        assert key(value) == before == key(sparse(kind)) == key(value.copy())


def test_a_sparse_array_in_the_second_implementation() -> None:
    value = sp.csr_array((np.array([1.5]), np.array([1], "i4"), np.array([0, 1], "i4")), shape=(1, 2))
    parts = [
        {"array": ["<f8", [1], np.float64(1.5).tobytes().hex()]},
        {"array": ["<i4", [1], "01000000"]},
        {"array": ["<i4", [2], "0000000001000000"]},
    ]
    dtype = {"named": ["numpy.dtype", {"str": "<f8"}]}
    shape = {"tuple": [{"int": "1"}, {"int": "2"}]}
    assert key(value) == described(named("scipy.sparse.csr_array", shape, dtype, {"tuple": parts}))


# ----- what names lead to


def plain(number: int) -> int:
    return number


def wrapping(times: int) -> Any:
    @functools.wraps(plain)
    def wrapper(number: int) -> int:
        return times * plain(number)

    return wrapper


@functools.lru_cache
def cached(number: int) -> int:
    return number


def decorate(function: Any) -> Any:
    return functools.wraps(function)(lambda *args: function(*args))


@decorate
def decorated(number: int) -> int:
    return number


class Methods:
    def method(self) -> None: ...

    @classmethod
    def of_class(cls) -> None: ...

    @staticmethod
    def of_none() -> None: ...


T = TypeVar("T")


@pytest.mark.parametrize(
    "value",
    [
        wrapping(1),
        functools.partial(wrapping(2), 1),
        decorated.__wrapped__,
        types.FunctionType(plain.__code__, globals(), "plain"),
        type("Methods", (), {"__module__": __name__}),
        TypeVar("T"),  # another one of the name
    ],
    ids=["closure", "partial", "wrapped", "copy", "class", "type variable"],
)
def test_what_its_name_does_not_lead_to_is_an_error(value: Any) -> None:
    with pytest.raises(
        CacheSerializationError, match=r"params\.x.* refers to another object than this .*\nhint: pass the object"
    ):
        key(value)


def test_what_its_name_leads_to() -> None:
    found = [plain, cached, decorated, Methods, Methods.of_class, Methods.of_none, Methods.method, T]
    distinct([*found, len, operator.itemgetter(1), type(None), types.FunctionType, types.GeneratorType, np.sin])
    reference = {"reference": f"{__name__}:decorated"}
    assert key(decorated) == described(reference)


def test_unions_of_both_spellings() -> None:
    assert key(int | None) == key(Optional[int]) == key(Union[int, None])  # noqa: UP007, UP045 - the older spellings
    distinct([int | None, int | str, str | int, int | str | None, list[int] | None, int])
    alternatives = [{"reference": "builtins:int"}, {"reference": "builtins:str"}]
    assert key(int | str) == described(named("typing.Union", *alternatives))


def test_labels_of_text_are_text_whatever_keeps_them() -> None:
    objects, text = pd.Index(["a", "b"], dtype=object), pd.Index(["a", "b"], dtype="str")
    assert objects.dtype != text.dtype
    assert objects.equals(text)
    levels = [pd.MultiIndex.from_arrays([labels]) for labels in (objects, text)]
    frames = [pd.DataFrame([[1, 2]], columns=labels) for labels in (objects, text)]
    series = [pd.Series([1, 2], index=labels) for labels in (objects, text)]
    categories = [pd.Categorical.from_codes([0], categories=labels) for labels in (objects, text)]
    nothing = [labels[:0] for labels in (objects, text)]
    for one, other in ((objects, text), levels, frames, series, categories, nothing):
        assert key(one) == key(other)
    # A column's type is its own, and so is that of labels which are not all text, or of a type that has to be asked for.
    distinct([pd.Series(["a", "b"], dtype=dtype) for dtype in (object, "str", "string")])
    distinct([text, pd.Index(["a", "b"], dtype="string"), pd.Index(["a", 1], dtype=object), pd.Index(["a", None])])
    distinct([pd.Index(["a", missing], dtype=object) for missing in (None, float("nan"), pd.NA)])


def test_offsets_by_what_they_say() -> None:
    distinct(
        [
            pd.DateOffset(months=1, days=2),
            pd.DateOffset(months=1),
            pd.DateOffset(months=1, normalize=True),
            pd.DateOffset(2, months=1),
            pd.DateOffset(month=1),
        ]
    )
    assert key(pd.DateOffset(days=2, months=1)) == key(pd.DateOffset(months=1, days=2))


def test_a_library_that_is_too_old_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_libraries, "_checked", set())
    monkeypatch.setattr(pl, "__version__", "1.33.1")
    with pytest.raises(CacheUnsupportedError, match=r"polars 1\.33\.1 is too old.*1\.34.*\n.*pip install --upgrade"):
        key(pl.Series([1]))
    for version in ("1.34", "1.34.0", "2.0.0rc1", "10.0"):
        monkeypatch.setattr(_libraries, "_checked", set())
        monkeypatch.setattr(pl, "__version__", version)
        key(pl.Series([1]))


def test_the_extras_promise_what_is_checked() -> None:
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    for extra in ("dataframes", "all"):
        promised = set(extras["optional-dependencies"][extra])
        assert {f"{name}>={'.'.join(map(str, oldest))}" for name, oldest in _libraries.OLDEST.items()} <= promised
