"""The Python blocks of the README and of other pages run as they stand, one after the other, as a reader would paste them;
the commands of the manual say what it shows. Blocks in Rust are doc tests of the crate ``cacheness``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cacheness import unregister_blob_backend, unregister_handler, unregister_metadata_backend

ROOT = Path(__file__).parents[2]


def _blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    assert blocks
    return blocks


PAGES = [
    "README.md",
    *(f"docs/{name}.md" for name in ("guide", "metadata", "coming-from", "configuration", "backends", "catalog")),
]


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    _run(page, tmp_path, names)


def test_blocks_with_redis_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", redis_url)
    try:
        _run("docs/plugins.md", tmp_path, {"__name__": "page"})
    finally:
        unregister_metadata_backend("redis")
        unregister_blob_backend("directory")
        unregister_handler("sorted_parquet")
    shown = capsys.readouterr().out
    for block in _blocks("docs/plugins.md", "python"):
        for said in re.findall(r"print\(.*\)  # (.*)", block):
            assert f"{said}\n" in shown, (said, shown)
    assert "TestRedis passed 11 tests" in shown


def _run(page: str, tmp_path: Path, names: dict[str, object]) -> None:
    for number, block in enumerate(_blocks(page, "python")):
        # A file, because keys of functions and decorators may ask for the source.
        script = tmp_path / f"block_{number}.py"
        script.write_text(block, encoding="utf-8")
        exec(compile(block, str(script), "exec"), names)


@pytest.mark.parametrize("how", ["script", "prompt"])
def test_readme_is_pasted_in_an_empty_home(how: str, tmp_path: Path) -> None:
    home, project = tmp_path / "home", tmp_path / "project"
    home.mkdir()
    project.mkdir()
    program = "\n".join(_blocks("README.md", "python"))
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("CACHENESS_", "PYTHON", "XDG_"))}
    if how == "script":
        (project / "pasted.py").write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "pasted.py"] if how == "script" else [sys.executable, "-i", "-q"],
        cwd=project,
        env=ours | {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        input=program if how == "prompt" else "",
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr, done.stderr
    assert "npy" in done.stdout
    assert {path.name for path in home.iterdir()} <= {".python_history"}
    assert (project / "demo_cache/cacheness.toml").exists()


def test_commands_of_the_manual_say_what_it_shows(tmp_path: Path) -> None:
    page = "docs/cli.md"
    assert len(_blocks(page, "console")) == len(_blocks(page, "[a-z,_]*")), "a block that no test runs"
    home, zsh = tmp_path / "home", tmp_path / "zsh"
    for directory in (home / ".local/share/bash-completion/completions", home / ".config/fish/completions", zsh):
        directory.mkdir(parents=True)
    for name in ("report.pdf", "notes.txt"):
        (tmp_path / name).write_text("a file of the reader's", encoding="utf-8")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("CACHENESS_", "CLICOLOR"))}
    ours |= {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{ours['PATH']}"}
    for block in _blocks(page, "console"):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = example.partition("\n")
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", f"fpath=(. '{zsh}'); {command}"],
                cwd=tmp_path,
                env=ours,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                check=False,
            )
            assert (done.returncode != 0) == shown.startswith("error: "), (command, done)
            # Columns are as wide as what is in them.
            said, pattern = (re.sub(r" +", " ", text) for text in (done.stdout, shown))
            assert re.fullmatch(re.escape(pattern).replace("…", ".*"), said), (command, shown, done.stdout)
    assert (home / ".local/share/bash-completion/completions/cacheness").stat().st_size > 0
    assert (zsh / "_cacheness").stat().st_size > 0
