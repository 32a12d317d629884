"""The page about the configuration lists the options that there are, and its commands say what it shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from cacheness import _core

PAGE = Path(__file__).parents[2] / "docs/configuration.md"
ROWS: list[dict[str, Any]] = json.loads(_core.config_options())


def line(row: dict[str, Any]) -> str:
    """An option as the page shows it."""
    names = [row["name"], *([row["alias"]] if row["alias"] else [])]
    default = "none" if row["default"] is None else f"`{json.dumps(row['default'])}`"
    shown = "" if row["of_backend"] else default
    return f"| {', '.join(f'`{name}`' for name in names)} | `{row['variable']}` | {shown} | {row['about']} |"


def test_the_page_lists_every_option() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for section in {row["section"] for row in ROWS}:
        title = f"`{section}`" if section else "Beside the sections"
        part = text.split(f"\n### {title}\n")[1].split("\n### ")[0]
        shown = [entry for entry in part.splitlines() if entry.startswith("| `")]
        assert shown == [line(row) for row in ROWS if row["section"] == section]


def test_commands_say_what_the_page_shows(tmp_path: Path) -> None:
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("CACHENESS_", "CLICOLOR"))}
    ours["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{ours['PATH']}"
    assert blocks
    for block in blocks:
        command, _, shown = block.removeprefix("$ ").partition("\n")
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=ours, capture_output=True, text=True, check=True
        )
        assert done.stdout == shown


def test_the_file_of_the_page_is_one_that_rust_and_python_read(tmp_path: Path) -> None:
    [toml] = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    path = tmp_path / "team.toml"
    path.write_text(toml)
    script = "from cacheness import CacheConfig; print(CacheConfig().database_url, CacheConfig().max_cache_size_mb)"
    environment = {"CACHENESS_CONFIG": str(path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "postgresql://ada@db.example/cache?sslmode=verify-full None\n"
    command = [Path(sys.executable).parent / "cacheness", "config", "--show-origin", "--json"]
    shown = json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert shown["metadata.database_url"] == {"value": done.stdout.split()[0], "source": f"{path}:6"}
    assert shown["storage.max_cache_size_mb"] == {"value": None, "source": f"{path}:2"}
