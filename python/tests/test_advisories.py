"""A known vulnerability fails the checks, a database that cannot be reached does not: `scripts/advisories.py`.

The tools are stood in for by scripts, as both databases are elsewhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "advisories.py"

FOUND, UNREACHABLE = 1, 75


def _tool(directory: Path, name: str, body: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def _advisories(directory: Path, language: str) -> tuple[int, str]:
    # A copy of the interpreter's name elsewhere, so that no pip-audit stands beside it.
    interpreter = directory / "python"
    interpreter.symlink_to(sys.executable)
    environment = {**os.environ, "PATH": f"{directory}:/usr/bin:/bin"}
    done = subprocess.run([interpreter, SCRIPT, language], capture_output=True, text=True, env=environment, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("fetch", "check", "expected", "said"),
    [
        ("exit 0", "exit 0", 0, ""),
        ("exit 0", "echo 'error[vulnerability]: RUSTSEC-2026-0001'; exit 1", FOUND, "RUSTSEC-2026-0001"),
        ("echo 'failed to fetch advisory database' >&2; exit 1", "exit 1", UNREACHABLE, "failed to fetch"),
        ("echo 'could not resolve host' >&2; exit 2", "exit 0", UNREACHABLE, "cannot be reached"),
        # What cannot be read after it was fetched is a failure of the check, not of the network.
        ("exit 0", "echo 'failed to load the database' >&2; exit 2", FOUND, "failed to load"),
    ],
)
def test_rust(tmp_path: Path, fetch: str, check: str, expected: int, said: str) -> None:
    _tool(tmp_path, "cargo", f'case "$*" in *" fetch "*) {fetch};; *disable-fetch*) {check};; *) exit 99;; esac')
    status, output = _advisories(tmp_path, "rust")
    assert status == expected
    assert said in output


def _dependency(*advisories: str) -> dict[str, object]:
    vulns = [{"id": advisory, "fix_versions": ["2.0"], "aliases": [], "description": ""} for advisory in advisories]
    return {"name": "package", "version": "1.0", "vulns": vulns}


@pytest.mark.parametrize(
    ("report", "status", "expected", "said"),
    [
        ({"dependencies": [_dependency()]}, 0, 0, ""),
        ({"dependencies": [_dependency("PYSEC-1"), _dependency()]}, 1, FOUND, "PYSEC-1 (fixed in 2.0)"),
        # The report counts, whatever status it comes with.
        ({"dependencies": [_dependency("PYSEC-1")]}, 0, FOUND, "package 1.0"),
        ({"dependencies": [{"name": "skipped", "skip_reason": "unknown"}, _dependency()]}, 0, 0, ""),
        (None, 1, UNREACHABLE, "Name or service not known"),
        ({"dependencies": []}, 0, UNREACHABLE, "cannot be reached"),
        ({"dependencies": [_dependency()]}, 1, UNREACHABLE, "cannot be reached"),
    ],
)
def test_python(tmp_path: Path, report: object, status: int, expected: int, said: str) -> None:
    (tmp_path / "report").write_text("" if report is None else json.dumps(report))
    body = f"cat '{tmp_path / 'report'}'; echo 'ConnectionError: Name or service not known' >&2; exit {status}"
    _tool(tmp_path, "pip-audit", body)
    found, output = _advisories(tmp_path, "python")
    assert found == expected
    assert said in output


@pytest.mark.parametrize("language", ["rust", "python"])
def test_without_the_tool_nothing_has_been_checked(tmp_path: Path, language: str) -> None:
    _tool(tmp_path, "cargo", "echo 'no such command: deny' >&2; exit 101")
    assert _advisories(tmp_path, language)[0] == UNREACHABLE
