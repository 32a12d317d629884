"""The Python blocks of the README run as they stand, one after the other, as a reader would paste them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "readme"}
    for number, block in enumerate(blocks):
        # A file, because keys of functions and decorators may ask for the source.
        script = tmp_path / f"block_{number}.py"
        script.write_text(block, encoding="utf-8")
        exec(compile(block, str(script), "exec"), names)
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == 1
    assert "0.31" in listed[0]
