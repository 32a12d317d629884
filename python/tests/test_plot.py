"""Pictures of a cache: what is drawn is what the entries say."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.dates import date2num

from cacheness import Cache, Clock
from cacheness.errors import CacheConfigurationError, CacheError, CacheUnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = 1_700_000_000
MODELS = ["ridge", "lasso", "_boost"]


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Cache]:
    clock = Clock(START)
    with Cache(tmp_path / "cache", clock=clock, default_ttl_seconds=None) as cache:
        for number in range(60):
            clock.advance(600 * (number % 4))
            metadata: dict[str, Any] = {"accuracy": number / 100, "model": MODELS[number % 3]}
            if number % 10 == 0:
                metadata["accuracy"] = ["none", None, float("nan"), True, [0.25, 0.75, "x"], np.float64(0.5)][
                    number // 10
                ]
            cache.put(np.arange(100 * number), number=number, metadata=metadata)
        for number in range(7):
            cache.get(number=number)
        cache.get(number=1000)
        yield cache


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def table(cache: Cache) -> pd.DataFrame:
    frame = pd.DataFrame(cache.list_entries(include_metadata=True))
    frame["model"] = [metadata["model"] for metadata in frame["metadata"]]
    frame["accuracy"] = [metadata["accuracy"] for metadata in frame["metadata"]]
    frame["time"] = pd.to_datetime(frame["created"])
    return frame


def labels(axes: Axes) -> list[str]:
    return [label.removeprefix("\u200b") for label in axes.get_legend_handles_labels()[1]]


def heights(axes: Axes, time: dt.datetime) -> list[float]:
    """The height of every layer of a stack just after a time."""
    at = date2num(time) + 1e-7
    found = []
    for layer in axes.collections:
        path = layer.get_paths()[0]
        # A vertical line through the layer cuts its outline twice.
        x, y = path.vertices[:, 0], path.vertices[:, 1]
        cuts = {round(float(y[i]), 9) for i in range(len(x) - 1) if min(x[i], x[i + 1]) <= at < max(x[i], x[i + 1])}
        found.append(max(cuts) - min(cuts))
    return found


def test_sizes_are_sums_until_each_time(filled: Cache) -> None:
    axes = filled.plot.sizes(by="model")
    frame = table(filled)
    order = frame.groupby("model")["file_size"].sum().sort_values(ascending=False)
    assert labels(axes) == list(order.index)
    assert axes.get_ylabel() == "KB" and order.sum() > 1024
    for time in frame["time"].drop_duplicates():
        until = frame[frame["time"] <= time].groupby("model")["file_size"].sum()
        expected = [until.get(model, 0) / 1024 for model in order.index]
        assert heights(axes, time.to_pydatetime()) == pytest.approx(expected, abs=1e-6)


def test_sizes_of_all_and_of_few(filled: Cache) -> None:
    axes = filled.plot.sizes(by=None, where={"model": "ridge"})
    frame = table(filled)
    ridge = frame[frame["model"] == "ridge"]
    assert heights(axes, ridge["time"].max().to_pydatetime()) == pytest.approx([ridge["file_size"].sum() / 1024])
    assert axes.get_legend() is None
    assert filled.plot.sizes(where={"model": "other"}).collections[:] == []


def test_many_groups_are_drawn_together(filled: Cache) -> None:
    axes = filled.plot.sizes(by="params.number")
    assert len(axes.collections) == 9 and labels(axes)[-1] == "52 others"
    total = table(filled)["file_size"].sum() / 1024
    assert sum(heights(axes, table(filled)["time"].max().to_pydatetime())) == pytest.approx(total)


def test_hits_and_misses(filled: Cache) -> None:
    axes = filled.plot.hits()
    assert [bar.get_height() for bar in axes.patches] == [7, 1]  # type: ignore[attr-defined]
    assert axes.get_title() == "Hits and misses: 88% hits"
    axes = filled.plot.hits(by="model")
    reads = table(filled).groupby("model")["access_count"].sum().sort_values(ascending=False, kind="stable")
    assert [bar.get_width() for bar in axes.patches] == list(reads)  # type: ignore[attr-defined]
    assert sum(reads) == 7
    with pytest.raises(CacheConfigurationError, match="whole cache"):
        filled.plot.hits(where={"model": "ridge"})


def test_a_metric_over_time(filled: Cache) -> None:
    frame = table(filled).explode("accuracy")
    number = [isinstance(value, (int, float)) and not isinstance(value, bool) for value in frame["accuracy"]]
    frame = frame[number]
    frame = frame[frame["accuracy"].astype(float).notna()]
    assert len(frame) == 57
    axes = filled.plot.metric("accuracy", by="model")
    assert sorted(labels(axes)) == sorted(MODELS)
    for line, model in zip(axes.lines, labels(axes), strict=True):
        mine = frame[frame["model"] == model]
        expected = sorted(zip(date2num(mine["time"].dt.to_pydatetime()), mine["accuracy"].astype(float), strict=True))
        assert list(zip(date2num(line.get_xdata()), line.get_ydata(), strict=True)) == expected
    alone = filled.plot.metric("accuracy", where={"model": "lasso"})
    assert len(alone.lines) == 1 and alone.get_legend() is None and alone.get_ylabel() == "accuracy"
    assert len(alone.lines[0].get_ydata()) == len(frame[frame["model"] == "lasso"])  # type: ignore[arg-type]
    params = filled.plot.metric("params.number", by="entry.data_type")
    assert sorted(params.lines[0].get_ydata()) == list(range(60))  # type: ignore[arg-type]


def test_axes_of_the_caller(filled: Cache) -> None:
    _, grid = plt.subplots(1, 3)
    assert filled.plot.sizes(ax=grid[0]) is grid[0]
    assert filled.plot.hits(ax=grid[1]) is grid[1]
    assert filled.plot.metric("accuracy", ax=grid[2]) is grid[2]
    assert len(plt.get_fignums()) == 1
    for axes in (filled.plot.sizes(), filled.plot.hits(), filled.plot.metric("accuracy")):
        assert isinstance(axes, Axes)
        axes.figure.savefig("picture.png")
    assert len(plt.get_fignums()) == 4


def test_an_empty_cache(cache: Cache) -> None:
    for axes in (cache.plot.sizes(), cache.plot.hits(), cache.plot.hits(by="model"), cache.plot.metric("accuracy")):
        axes.figure.savefig("picture.png")
    assert "metric(name)" in repr(cache.plot)


def test_what_cannot_be_drawn(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put(1, cache_key="x", metadata={"tags": ["a", "b"], "accuracy": 1})
    with pytest.raises(CacheConfigurationError, match="entry x has 2 values of tags"):
        cache.plot.sizes(by="tags")
    with pytest.raises(CacheError, match=r"did you mean entry\.file_size"):
        cache.plot.metric("entry.file_siz")
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    for draw in (cache.plot.sizes, cache.plot.hits, lambda: cache.plot.metric("accuracy")):
        with pytest.raises(CacheUnsupportedError, match="needs matplotlib") as raised:
            draw()
        assert "cacheness[plot]" in str(raised.value.hint)
