"""Programs as people know them from the documentation of the interface run as they stand.

Each block runs in a fresh directory with fresh names, and a cache at hand that holds what the block speaks of. What cannot
run yet says so; the list of it may only become shorter.
"""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from reference import api, custom, guide, planning, postgres, waiting

from cacheness import CacheUnsupportedError, cacheness, reset_cache, set_default_cache

#: The address of the PostgreSQL server of the tests.
ADDRESS = os.environ.get("CACHENESS_TEST_POSTGRES_URL", "")
PREPARED = Path(waiting.__file__ or "").with_name("prepared.py").read_text(encoding="utf-8")
RUNNING = {
    f"{document}: {name}": block
    for document, blocks in (
        ("reference", api.BLOCKS),
        ("guide", guide.BLOCKS),
        ("plans", planning.BLOCKS),
        ("typed metadata", custom.BLOCKS),
    )
    for name, block in blocks.items()
}

#: How many blocks waited when the list was made. It may only become smaller.
MOST_WAITING = 2


def run(block: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a block in the directory, and closes what it has opened."""
    monkeypatch.chdir(directory)
    # Functions of a script are cached by its file, which their source is read from.
    script = directory / "block.py"
    source = PREPARED + "\n\n" + textwrap.dedent(block)
    script.write_text(source, encoding="utf-8")
    names: dict[str, Any] = {"__name__": "block"}
    try:
        exec(compile(source, str(script), "exec"), names)
    finally:
        set_default_cache(None)
        reset_cache()
        for value in names.values():
            if isinstance(value, cacheness):
                value.close()


@pytest.mark.parametrize("name", RUNNING)
def test_a_block_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(RUNNING[name], tmp_path, monkeypatch)


@pytest.mark.parametrize("name", postgres.BLOCKS)
def test_a_block_runs_with_postgresql(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schema: str) -> None:
    separator = "&" if "?" in ADDRESS else "?"
    address = f'"{ADDRESS}{separator}schema={schema}"'
    run(re.sub('"postgresql://[^"]*"', lambda _: address, postgres.BLOCKS[name]), tmp_path, monkeypatch)


@pytest.mark.parametrize("name", waiting.WAITING)
def test_a_block_that_waits_says_what_for(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = waiting.WAITING[name]
    with pytest.raises(CacheUnsupportedError) as caught:
        run(waits.block, tmp_path, monkeypatch)
    assert waits.named in str(caught.value), f"{name} waits for {waits.capability}"


def test_the_list_of_what_waits_becomes_shorter() -> None:
    assert len(waiting.WAITING) <= MOST_WAITING
