"""What ARCHITECTURE.md calls hazards, where a program in Python would meet them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cacheness import Cache


def contents(directory: Path) -> dict[str, str]:
    """What the files are, but for the index of SQLite's log: readers note there how far they have read."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


@pytest.mark.parametrize("backend", ["sqlite", "json"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_gets_write_nothing(tmp_path: Path, backend: str, in_memory: bool) -> None:
    values = {0: [1, 2], 1: np.arange(3.0), 2: np.random.default_rng(0).random(20_000)}
    with Cache(tmp_path, metadata_backend=backend, enable_memory_cache=in_memory) as cache:
        for x, value in values.items():
            cache.put(value, x=x)
    with Cache(tmp_path, enable_memory_cache=in_memory) as cache:
        cache.get(x=0)  # a store that is opened may write
        before = contents(tmp_path)
        for _ in range(200):
            for x, value in values.items():
                assert np.array_equal(cache.get(x=x), value)
            assert cache.get(x="missing") is None
            assert cache.exists(x=1)
        assert contents(tmp_path) == before
    with Cache(tmp_path) as cache:
        # Noted when the cache was closed.
        assert cache.get_metadata(x=1)["access_count"] == 200


MEASURED = """
import sys
from cacheness import Cache

def kilobytes(name):
    for line in open("/proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1])

with Cache(sys.argv[1]) as cache:
    cache.get(x="small")  # what every get needs is there from now on
    before = kilobytes("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")  # the high-water mark begins anew
    array = cache.get(x="large")
    print((kilobytes("VmHWM") - before) * 1024 / array.nbytes)
"""


@pytest.mark.parametrize("array_format", ["blosc2", "npy"])
def test_an_array_is_decoded_into_its_place(tmp_path: Path, array_format: str) -> None:
    large = np.repeat(np.arange(2_000_000.0), 8)  # 128 MB, a fraction of it when compressed
    with Cache(tmp_path, array_format=array_format) as cache:
        cache.put(np.zeros(40_000), x="small")
        cache.put(large, x="large")
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path)], capture_output=True, text=True, timeout=300, check=True
    )
    # A buffer between the file and the array would make it 2.
    assert 0.9 < float(ran.stdout) < 1.4


def test_a_second_sqlite_loses_entries_as_the_documentation_shows(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs/metadata.md").read_text(encoding="utf-8")
    shown = page.split("[`examples/two_sqlites.py`]")[1].split("```text\n")[1].split("```")[0]
    script = [sys.executable, str(root / "examples/two_sqlites.py"), str(tmp_path / "store")]
    ran = subprocess.run(script, capture_output=True, text=True, timeout=300, check=True)
    assert ran.stdout == shown
    # Only the copy suffers.
    with Cache(tmp_path / "store") as cache:
        assert cache.get(n=0) == "kept" and len(cache) == 1
