"""The values of the comparison, made fresh for each repetition, and how to tell that one came back equal.

pandas and Polars are imported where a table is made: `hot.py` starts in a simulated processor.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

ROWS = 1_000_000


def small(key: int) -> dict[str, Any]:
    """Return what an experiment would note down: a handful of scalars and a short list, about 100 bytes."""
    return {"run": key, "loss": key / 7, "accuracy": 0.9375, "epoch": 12, "model": "ridge", "tags": ["a", "baseline"]}


def metadata(key: int) -> dict[str, Any]:
    """Return metadata to find an entry by."""
    return {"model": ("ridge", "lasso", "forest")[key % 3], "fold": key % 5, "accuracy": 0.9 + key / 1e6}


def array(kind: str, megabytes: int, seed: int) -> np.ndarray:
    """Return float64 items, ``megabytes`` × 10^6 bytes of them."""
    return floats(kind, megabytes * 1_000_000 // 8, seed)


def floats(kind: str, items: int, seed: int) -> np.ndarray:
    """Return so many float64 items: ``smooth`` is a ramp, ``random`` is uniform noise."""
    if kind == "smooth":
        return np.linspace(seed, seed + 1000.0, items)
    return np.random.default_rng(seed).random(items)


def columns(seed: int) -> dict[str, np.ndarray]:
    """Eight columns of as many sorts: counters, noise, prices, small integers, flags, times, names, categories."""
    random = np.random.default_rng(seed)
    names = np.array([f"sensor-{number:04d}" for number in range(2000)])
    kinds = np.array(["indoor", "outdoor", "roof", "cellar"])
    return {
        "id": np.arange(seed, seed + ROWS, dtype=np.int64),
        "noise": random.standard_normal(ROWS),
        "price": np.round(random.gamma(2.0, 50.0, ROWS), 2),
        "count": random.integers(0, 100, ROWS, dtype=np.int32),
        "flag": random.random(ROWS) < 0.1,
        "time": np.datetime64("2024-01-01", "us") + np.arange(ROWS) * np.timedelta64(1, "s"),
        "name": names[random.integers(0, len(names), ROWS)],
        "kind": kinds[random.integers(0, len(kinds), ROWS)],
    }


def pandas_table(seed: int) -> pd.DataFrame:
    """Return a million rows in pandas: strings in its default string type, ``kind`` categorical."""
    import pandas as pd

    frame = pd.DataFrame(columns(seed))
    return frame.astype({"name": "str", "kind": "category"})


def pandas_objects(seed: int) -> pd.DataFrame:
    """Return the same rows with the names as Python strings, as pandas before release 3 keeps them."""
    import pandas as pd

    frame = pd.DataFrame(columns(seed))
    return frame.astype({"name": object, "kind": "category"})


def polars_table(seed: int) -> pl.DataFrame:
    """Return the same rows in Polars."""
    import polars as pl

    return pl.DataFrame(columns(seed)).with_columns(pl.col("kind").cast(pl.Categorical))


def equal(found: Any, stored: Any) -> bool:
    """Whether a value came back as what it was: the same type and the same content."""
    if type(found) is not type(stored):
        return False
    if isinstance(stored, np.ndarray):
        return bool(found.dtype == stored.dtype and np.array_equal(found, stored))
    frames = [sys.modules[name].DataFrame for name in ("pandas", "polars") if name in sys.modules]
    if isinstance(stored, tuple(frames)):
        return bool(found.equals(stored))
    return bool(found == stored)
