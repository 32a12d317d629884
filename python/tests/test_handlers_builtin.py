"""The built-in handlers without a store, and the registry that says which one a value has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from cacheness import (
    ArrayHandler,
    Cache,
    CacheConfigurationError,
    CacheHandler,
    CacheSerializationError,
    CompressionConfig,
    HandlerConfig,
    HandlerRegistry,
    ObjectHandler,
    register_handler,
    unregister_handler,
)
from cacheness.interfaces import StorageHandler
from cacheness.storage.handlers import (
    ArrowTableHandler,
    PandasDataFrameHandler,
    PandasSeriesHandler,
    PolarsDataFrameHandler,
    PolarsSeriesHandler,
)


@dataclass
class Point:
    x: int


ARRAY = np.arange(24.0).reshape(4, 6)
VALUES: list[tuple[Any, type[CacheHandler], str]] = [
    (ARRAY, ArrayHandler, "numpy_arrays"),
    (np.float32(1.5), ArrayHandler, "numpy_arrays"),
    (np.asfortranarray(ARRAY), ArrayHandler, "numpy_arrays"),
    (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), PandasDataFrameHandler, "pandas_dataframes"),
    (pd.Series([1.5, 2.5], name="s"), PandasSeriesHandler, "pandas_series"),
    (pl.DataFrame({"a": [1, 2]}), PolarsDataFrameHandler, "polars_dataframes"),
    (pl.Series("s", [1, 2]), PolarsSeriesHandler, "polars_series"),
    (pa.table({"a": [1, 2]}), ArrowTableHandler, "arrow_tables"),
    ({"a": (1, None)}, ObjectHandler, "plain_objects"),
    ("numpy", ObjectHandler, "plain_objects"),
    ([ARRAY], ObjectHandler, "plain_objects"),
    (Point(3), ObjectHandler, "object_pickle"),
]


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return all(map(equal, a, b))
    if isinstance(a, np.ndarray | np.generic):
        return type(a) is type(b) and a.dtype == b.dtype and bool(np.array_equal(a, b))
    return bool(a.equals(b)) if hasattr(a, "equals") else bool(a == b and type(a) is type(b))


@pytest.mark.parametrize(("value", "kind", "name"), VALUES, ids=lambda value: repr(value)[:20])
def test_a_handler_writes_and_reads_a_file(value: Any, kind: type[CacheHandler], name: str, tmp_path: Path) -> None:
    handler = kind()
    assert isinstance(handler, CacheHandler)
    assert [other for _, other, _ in VALUES if other().can_handle(value)].count(kind) >= 1
    assert all(other().can_handle(value) is (other is kind) for other in {other for _, other, _ in VALUES})
    metadata = handler.put(value, tmp_path / "file", CompressionConfig())
    path = Path(metadata["file_path"])
    assert path.parent == tmp_path and path.name.startswith("file.")
    assert metadata["handler"] == name
    assert equal(handler.get(path, metadata), value)
    # The file is what a store writes.
    with Cache(":memory:") as cache:
        cache.put(value, x=1)
        entry = cache.get_metadata(x=1)
        assert entry is not None
        assert (entry["storage_format"], entry["object_type"]) == (metadata["storage_format"], metadata["object_type"])
    # It works where handlers of one's own do.
    with Cache(tmp_path / "cache") as cache:
        cache.handler_registry.register_handler(handler, priority=0, name="by_hand")
        cache.put(value, x=1)
        assert cache.get_metadata(x=1)["handler_used"] == "by_hand"  # type: ignore[index]
        assert equal(cache.get(x=1), value)


@pytest.mark.parametrize(("value", "kind", "name"), VALUES, ids=lambda value: repr(value)[:20])
def test_a_value_is_answered_with_its_handler(value: Any, kind: type[CacheHandler], name: str) -> None:
    registry = HandlerRegistry()
    assert type(registry.get_handler(value)) is kind
    assert type(registry.get_handler(name)) is kind, "a text that names one stands for it"
    with Cache(":memory:") as cache:
        assert type(cache.handlers.get_handler(value)) is kind


def test_options_of_compression_count(tmp_path: Path) -> None:
    for config, form in (
        (CompressionConfig(array_format="npy"), "npy"),
        (CompressionConfig(array_format="blosc2"), "b2nd"),
    ):
        metadata = ArrayHandler().put(np.zeros(100_000), tmp_path / form, config)
        assert metadata["storage_format"] == form
        assert Path(metadata["file_path"]).suffix == f".{form}"
    assert np.load(tmp_path / "npy.npy").shape == (100_000,)
    with pytest.raises(CacheConfigurationError, match="config is a dict"):
        ArrayHandler().put(ARRAY, tmp_path / "x", {})


def test_a_handler_refuses_what_is_not_for_it(tmp_path: Path) -> None:
    for handler, value in ((ArrayHandler(), [1]), (PandasSeriesHandler(), ARRAY), (ObjectHandler(), (n for n in ()))):
        assert handler.can_handle(value) is False
        with pytest.raises(CacheSerializationError):
            handler.put(value, tmp_path / "file", None)
    assert list(tmp_path.iterdir()) == []
    metadata = ArrayHandler().put(ARRAY, tmp_path / "file", None)
    with pytest.raises(CacheConfigurationError, match="was written by the handler 'numpy_arrays', not by this one"):
        ObjectHandler().get(metadata["file_path"], metadata)
    with pytest.raises(CacheConfigurationError, match="is not a result of put"):
        ArrayHandler().get(metadata["file_path"], {})


class Points(CacheHandler):
    data_type = "point"  # type: ignore[assignment]

    def can_handle(self, data: Any) -> bool:
        return isinstance(data, Point)

    def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
        file_path.write_text(repr(data))
        return {}

    def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:
        return eval(file_path.read_text())


class Old(StorageHandler):
    def can_handle(self, data: Any) -> bool:
        return isinstance(data, Point)

    def save(self, data: Any, file_path: Path, config: Any) -> None:
        file_path.write_text(repr(data))

    def load(self, file_path: Path, config: Any) -> Any:
        return eval(file_path.read_text())

    def get_file_extension(self) -> str:
        return ".old"


@pytest.mark.parametrize(
    "given", [Points, Points(), Old, Old()], ids=["class", "instance", "old class", "old instance"]
)
def test_a_handler_is_registered_by_name_as_a_class_or_an_instance(given: Any, tmp_path: Path) -> None:
    register_handler("mine", given)
    try:
        with Cache(tmp_path) as cache:
            cache.put(Point(3), x=1)
            assert cache.get_metadata(x=1)["handler_used"] == "mine"  # type: ignore[index]
            assert cache.get(x=1) == Point(3)
    finally:
        assert unregister_handler("mine")
    registry = HandlerRegistry()
    registry.register_handler("mine", given)
    registry.register_handler(given, 0, "other")
    assert [handler["name"] for handler in registry.list_handlers()][:1] == ["other"]
    assert registry.get_handler("mine") is not registry.get_handler("other") or given is not type(given)


def test_a_handler_of_ones_own_comes_in_its_turn() -> None:
    registry = HandlerRegistry()
    registry.register_handler(Points())
    # Plain data goes before it, pickles after.
    assert type(registry.get_handler(Point(1))) is Points
    assert type(registry.get_handler([1])) is ObjectHandler
    assert registry.get_handler("point") is registry.get_handler(Point(1))
    first = HandlerRegistry()
    first.register_handler(Points(), priority=0)
    assert type(first.get_handler(Point(3))) is Points
    nothing = HandlerRegistry(
        HandlerConfig(enable_numpy_arrays=False, enable_object_pickle=False, enable_plain_objects=False)
    )
    assert nothing.get_handler(ARRAY) is None
    assert repr(nothing).startswith("<HandlerRegistry: pandas_dataframes")
