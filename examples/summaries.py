"""Short, comparable summaries of values: what kind they are, how large, and a checksum of every bit.

Two values with the same summary are the same value, whether a process computed it, another one found it in the store,
or the Rust program read it. The checksum of floating-point numbers is the wrapping sum of their bit patterns: it does
not depend on the order of summation, so two languages can be held to exact equality.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import polars as pl


def bits(array: np.ndarray) -> int:
    """Sum of the 64-bit patterns of an array of 64-bit numbers, modulo 2^64."""
    return int(np.ascontiguousarray(array).view(np.uint64).sum(dtype=np.uint64))


def summarize(value: Any) -> dict[str, Any]:
    """Return ``kind``, ``size`` and ``checksum`` of a value of the pipeline."""
    if isinstance(value, np.ndarray):
        shape = "×".join(str(length) for length in value.shape)
        return {"kind": f"array {value.dtype}", "size": shape, "checksum": bits(value)}
    if isinstance(value, pd.DataFrame):
        digest = int(pd.util.hash_pandas_object(value).to_numpy().sum(dtype=np.uint64))
        types = ", ".join(map(str, value.dtypes))
        return {"kind": "pandas table", "size": f"{len(value)}×{value.shape[1]}", "checksum": f"{digest} {types}"}
    if isinstance(value, pl.DataFrame):
        digest = int(value.hash_rows(seed=0).to_numpy().sum(dtype=np.uint64))
        return {"kind": "Polars table", "size": f"{value.height}×{value.width}", "checksum": f"{digest} {value.dtypes}"}
    if isinstance(value, dict):
        arrays = sum(bits(part) for part in value.values() if isinstance(part, np.ndarray))
        plain = json.dumps({name: part for name, part in value.items() if not isinstance(part, np.ndarray)})
        return {"kind": "plain data", "size": f"{len(value)} fields", "checksum": f"{plain} {arrays}"}
    # A fitted classifier is what it answers: two are equal when they give the same probabilities on the same rows.
    # Forests add up their trees in any order, so the last digits are left out.
    rows = np.random.default_rng(0).standard_normal((1000, value.n_features_in_))
    answers = bits(np.round(value.predict_proba(rows), 9))
    return {"kind": type(value).__name__, "size": f"{value.n_features_in_} features", "checksum": answers}
