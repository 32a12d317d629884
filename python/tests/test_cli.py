"""The command that the package installs: the same as the Rust binary, on stores of both languages."""

from __future__ import annotations

import json
import os
import pickle
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cacheness import Cache, cached

COMMAND = Path(sys.executable).parent / "cacheness"


def run(
    *args: str | Path, cwd: Path, stdin: bytes = b"", code: int = 0, **env: str
) -> subprocess.CompletedProcess[bytes]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("CACHENESS_DIR", "CLICOLOR_FORCE")}
    done = subprocess.run(
        [COMMAND, *args], cwd=cwd, input=stdin, capture_output=True, check=False, env={**inherited, **env}
    )
    assert done.returncode == code, done
    assert b"Traceback" not in done.stderr
    return done


@pytest.mark.parametrize("backend", ["sqlite", "json"])
def test_values_go_in_and_out(tmp_path: Path, backend: str) -> None:
    frame = pd.DataFrame({"id": [1, 2, 3], "name": ["a", None, "ç"]})
    with Cache(tmp_path / "cache", metadata_backend=backend) as cache:
        table = cache.put(frame, kind="table")
        array = cache.put(np.arange(6.0).reshape(2, 3), kind="array")
        pickled = cache.put(ValueError("x"), kind="pickle")
        plain = cache.put({"t": (1, None), "s": {2.5}, "f": float("nan")}, kind="plain")
    run("get", table[:8], "-o", "t.parquet", cwd=tmp_path)
    assert pd.read_parquet(tmp_path / "t.parquet").equals(frame)
    run("get", array, "-o", "a.npy", cwd=tmp_path)
    assert np.load(tmp_path / "a.npy").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert json.loads(run("get", plain, cwd=tmp_path).stdout) == {"t": [1, None], "s": [2.5], "f": "NaN"}
    assert b"-o FILE" in run("get", pickled, cwd=tmp_path, code=1).stderr
    run("get", pickled, "-o", "p.pkl", cwd=tmp_path)
    assert isinstance(pickle.loads((tmp_path / "p.pkl").read_bytes()), ValueError)
    key = run(
        "put",
        "-",
        "--json",
        "model=ridge",
        "fold=3",
        "rate=1.0",
        "layers=[64,32]",
        cwd=tmp_path,
        stdin=b"[1, 2.0, null]",
    )
    with Cache(tmp_path / "cache") as cache:
        assert cache.get(model="ridge", fold=3, rate=1.0, layers=[64, 32]) == [1, 2.0, None]
        assert cache.cache_key(model="ridge", fold=3, rate=1.0, layers=[64, 32]) == key.stdout.decode().strip()
        assert cache.get(model="ridge", fold=3, rate=1, layers=[64, 32]) is None
    listed = [json.loads(line) for line in run("ls", "--json", cwd=tmp_path).stdout.splitlines()]
    assert {entry["cache_key"] for entry in listed} == {table, array, pickled, plain, key.stdout.decode().strip()}
    assert run("rm", pickled, cwd=tmp_path).stderr == b"removed 1 entry\n"
    stats = json.loads(run("stats", "--json", cwd=tmp_path).stdout)
    assert (stats["total_entries"], stats["backend_type"]) == (4, backend)


def test_files_of_any_name(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.bin")
    (tmp_path / name).write_bytes(b"\x00\xff")
    run("put", name, "--key", "k", cwd=tmp_path, CACHENESS_DIR="store")
    run("get", "k", "-o", os.fsdecode(b"out\xff"), cwd=tmp_path, CACHENESS_DIR="store")
    assert (tmp_path / os.fsdecode(b"out\xff")).read_bytes() == b"\x00\xff"
    with Cache(tmp_path / "store") as cache:
        assert cache.get(cache_key="k") == b"\x00\xff"


def test_the_module_is_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cacheness", "ls", "missing"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == run("ls", "missing", cwd=tmp_path, code=1).stderr.decode()
    assert run("--version", cwd=tmp_path).stdout.startswith(b"cacheness ")


@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, 0), (b"no\n", 1, 2), (b"\n", 1, 2)])
def test_clear_asks_on_a_terminal(tmp_path: Path, answer: bytes, code: int, left: int) -> None:
    with Cache(tmp_path / "cache") as cache:
        cache.put(1, x=1)
        cache.put(2, x=2)
    ours, theirs = pty.openpty()
    with subprocess.Popen([COMMAND, "clear"], cwd=tmp_path, stdin=theirs, stderr=subprocess.PIPE) as command:
        os.write(ours, answer)
        assert command.stderr is not None
        said = command.stderr.read()
        assert command.wait() == code
    os.close(ours)
    os.close(theirs)
    assert b"Remove all 2 entries" in said
    with Cache(tmp_path / "cache") as cache:
        assert len(cache) == left


def test_functions_tables_and_bulk_removal(tmp_path: Path) -> None:
    @cached(cache_instance=(cache := Cache(tmp_path / "cache")))
    def trips(origin: str, window: int) -> int:
        return window

    trips("EWR", 3)
    trips("JFK", window=3)
    trips("JFK", window=4)
    frame = pd.DataFrame(
        {
            "id": range(100),
            "at": pd.date_range("2024-01-01", periods=100, tz="UTC"),
            "kind": pd.Categorical(["a", "b"] * 50),
        }
    )
    cache.put(frame, cache_key="frame", metadata={"accuracy": np.float64(0.5)})
    cache.put(np.arange("2024-01", "2024-03", dtype="datetime64[D]"), cache_key="days")
    cache.put(ValueError("x"), cache_key="pickle")
    cache.close()

    listed = run("ls", "--function", "trips", cwd=tmp_path).stdout.decode()
    assert listed.count('trips(origin="JFK", window=') == 2, listed
    assert run("ls", "-q", "--where", "accuracy=0.5", cwd=tmp_path).stdout == b"frame\n"
    table = json.loads(run("info", "frame", "--head", "2", "--json", cwd=tmp_path).stdout)["value"]
    assert table["rows"] == 100
    assert table["index"] == "range(0, 100, 1)"
    assert table["columns"][0]["dtype"] == "int64"
    assert [row["kind"] for row in table["head"]] == ["a", "b"]
    assert [row["at"][:10] for row in table["head"]] == ["2024-01-01", "2024-01-02"]
    days = json.loads(run("info", "days", "--head", "2", "--json", cwd=tmp_path).stdout)["value"]
    assert days == {"shape": [60], "dtype": "<M8[D]", "head": ["2024-01-01", "2024-01-02"]}
    assert json.loads(run("info", "pickle", "--json", cwd=tmp_path).stdout)["value"] is None
    assert json.loads(run("verify", "--json", cwd=tmp_path).stdout)["valid"] == 6

    refused = run("rm", "--function", "trips", cwd=tmp_path, code=2).stderr
    assert b"3 entries (" in refused and b"--yes" in refused
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [COMMAND, "rm", "--function", "trips"], cwd=tmp_path, stdin=theirs, stderr=subprocess.PIPE
    ) as rm:
        os.write(ours, b"y\n")
        assert rm.stderr is not None
        said = rm.stderr.read()
        assert rm.wait() == 0
    os.close(ours)
    os.close(theirs)
    assert b"Remove 3 entries (" in said and said.endswith(b"removed 3 entries\n")
    assert run("ls", "-q", "--sort", "key", cwd=tmp_path).stdout == b"days\nframe\npickle\n"


def test_keys_are_completed(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache") as cache:
        cache.put(1, cache_key="model_a")
    assert run("__complete", "--", "cacheness", "get", "mod", cwd=tmp_path).stdout.split(b"\t")[0] == b"model_a"
