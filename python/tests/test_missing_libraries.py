"""Without a library that a value needs, and without pickles: the error says what is missing, where, and what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from cacheness import Cache
from cacheness.errors import CachePickleError

VALUES: dict[str, tuple[str, Any]] = {
    "array": ("numpy", np.arange(5)),
    "large array": ("numpy", np.arange(100_000)),
    "Fortran": ("numpy", np.asfortranarray(np.zeros((300, 400)))),
    "scalar": ("numpy", np.float32(1.5)),
    "masked": ("numpy", np.ma.array([1, 2], mask=[0, 1])),
    "in a list": ("numpy", [np.arange(3)]),
    "scalar in a dictionary": ("numpy", {"x": np.int64(5)}),
    "frame": ("pandas", pd.DataFrame({"a": [1]})),
    "series": ("pandas", pd.Series([1.5])),
    "polars frame": ("polars", pl.DataFrame({"a": [1]})),
    "polars series": ("polars", pl.Series("a", [1])),
    "table": ("pyarrow", pa.table({"a": [1]})),
    "batch": ("pyarrow", pa.RecordBatch.from_pydict({"a": [1]})),
    "function": ("dill", eval("lambda: 1", {})),
}
EXTRAS = {"dill": "dill"}

READ = """
import importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from cacheness import Cache
from cacheness.errors import CacheUnsupportedError

with Cache({directory!r}) as cache:
    def told(call):
        try:
            value = call()
        except CacheUnsupportedError as error:
            return " ".join(str(error).split("\\n"))
        return "read"
    for key in {keys!r}:
        print(key, "=", told(lambda: cache.get(cache_key=key)))
    print("part =", told(lambda: cache.get_slice((slice(0, 2),), cache_key="large array")))
    print("mapped =", told(lambda: cache.get(cache_key="mapped", mmap_mode="r")))
    cache.put([1, "a"], cache_key="plain")
    assert cache.get(cache_key="plain") == [1, "a"]
"""


@pytest.mark.parametrize("missing", ["numpy", "pandas", "polars", "pyarrow", "dill"])
def test_reading_says_what_to_install(tmp_path: Path, missing: str) -> None:
    directory = str(tmp_path / "cache")
    with Cache(directory) as cache:
        for key, (_, value) in VALUES.items():
            cache.put(value, cache_key=key)
    with Cache(directory, array_format="npy", inline_threshold_bytes=0) as cache:
        cache.put(np.arange(10), cache_key="mapped")
    code = READ.format(missing={missing}, directory=directory, keys=list(VALUES))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = dict(line.split(" = ", 1) for line in run.stdout.splitlines())
    needs = {"pandas": {"pandas", "numpy", "pyarrow"}}
    expected = {key: missing in needs.get(package, {package}) for key, (package, _) in VALUES.items()}
    expected |= {"part": missing == "numpy", "mapped": missing == "numpy"}
    for key, refused in expected.items():
        if not refused:
            assert found[key] == "read", key
            continue
        assert missing in found[key], key
        assert f"pip install 'cacheness[{EXTRAS.get(missing, 'dataframes')}]'" in found[key], found[key]


WRITE = """
import sys
sys.modules[{missing!r}] = None
import pandas as pd
from cacheness import Cache
from cacheness.errors import CacheError

with Cache({directory!r}) as cache:
    try:
        cache.put({{"pyarrow": pd.DataFrame({{"a": [1]}}), "dill": lambda: 1}}[{missing!r}], cache_key="k")
    except CacheError as error:
        print(error)
"""


@pytest.mark.parametrize(("missing", "extra"), [("pyarrow", "dataframes"), ("dill", "dill")])
def test_writing_says_what_to_install(tmp_path: Path, missing: str, extra: str) -> None:
    code = WRITE.format(missing=missing, directory=str(tmp_path))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"pip install 'cacheness[{extra}]'" in run.stdout


LISTS = pd.Series([[1, 2], [3]])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (pd.DataFrame({"a": [1, 2], "tags": LISTS}), ["column 'tags' of dtype object", "list"]),
        (pd.DataFrame({("x", 1): LISTS}), ["column ('x', ", "of dtype object", "list"]),
        (pd.DataFrame({"a": [1], "b": [object()]}), ["column 'b' of dtype object", "object"]),
        (pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}), ["column 'a'", "Sparse[int64, 0]"]),
        (pd.DataFrame({"a": np.array([1], ">i4")}), ["column 'a'", ">i4"]),
        (pd.DataFrame({"a": [1, "x"]}), ["column 'a' of dtype object", "several types"]),
        (pd.DataFrame({"a": [1]}, index=pd.Index([object()], dtype=object)), ["the index", "dtype object"]),
        (pd.DataFrame([[1]], columns=pd.Index([object()], dtype=object)), ["the labels of the columns", "object"]),
        (LISTS, ["dtype object", "list"]),
        (pl.DataFrame({"a": [1], "o": pl.Series([object()], dtype=pl.Object)}), ["column 'o' of type Object"]),
        (pa.table({"x": pa.chunked_array([pa.array(["a"]).dictionary_encode(), pa.array(["b"]).dictionary_encode()])}), ["dictionaries"]),
        (np.array([object()]), ["numpy.ndarray", "dtype is object"]),
        (np.zeros(2, np.dtypes.StringDType()), ["numpy.ndarray", "StringDType"]),
    ],
    ids=lambda value: None if isinstance(value, list) else type(value).__module__.partition(".")[0],
)  # fmt: skip
def test_without_pickles_the_part_that_needs_one_is_named(tmp_path: Path, value: Any, words: list[str]) -> None:
    with Cache(tmp_path, allow_pickle=False) as cache:
        with pytest.raises(CachePickleError, match="allow_pickle is off") as refused:
            cache.put(value, cache_key="k")
        for word in words:
            assert word in str(refused.value)
        assert refused.value.hint is not None and "allow_pickle" in refused.value.hint
        assert cache.get(cache_key="k") is None
