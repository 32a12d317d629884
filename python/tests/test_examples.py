"""Every example runs as a program, twice in one directory: the second time it finds what the first one kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
# The demo has a run of its own (`make demo`), of which these two are parts.
PARTS_OF_THE_DEMO = {"demo.py", "flight_delays.py", "summaries.py"}
NAMES = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name not in PARTS_OF_THE_DEMO)
# These show what happens the first time.
ONCE = {"api_caching.py", "checkpoints.py"}


def _run(name: str, directory: Path) -> str:
    command = [sys.executable, str(EXAMPLES / name), str(directory / "store")]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_examples() -> None:
    assert len(NAMES) >= 6


@pytest.mark.parametrize("name", NAMES)
def test_example_runs(name: str, tmp_path: Path) -> None:
    assert _run(name, tmp_path).strip()
    if name not in ONCE:
        assert _run(name, tmp_path).strip()
    assert [path.name for path in tmp_path.iterdir()] == ["store"], "an example leaves nothing but its store"
