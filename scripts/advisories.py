"""Known vulnerabilities of the project's dependencies: RustSec for Rust, OSV for Python.

    scripts/advisories.py rust|python

Exit status 0: none known; 1: at least one; 75 (EX_TEMPFAIL): the database cannot be reached, so nothing was checked.
Prints the vulnerabilities, or why the database cannot be reached.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

FOUND = 1
UNREACHABLE = 75

#: A proxy that does not answer must not block the checks.
PATIENCE_SECONDS = 180


def _run(*command: str) -> subprocess.CompletedProcess[str] | None:
    """Runs a command; ``None`` if it does not exist or does not end."""
    try:
        return subprocess.run(
            command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_SECONDS
        )
    except (FileNotFoundError, PermissionError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return None


def _unreachable(what: str, why: str) -> int:
    lines = [line.strip() for line in why.splitlines() if line.strip()]
    print(f"{what} cannot be reached: {' / '.join(lines[-3:]) or 'no answer'}")
    return UNREACHABLE


def rust() -> int:
    """Fetches the database first, separately: only a later failure concerns a dependency."""
    fetched = _run("cargo", "deny", "--log-level", "error", "fetch", "db")
    if fetched is None or fetched.returncode != 0:
        return _unreachable("the RustSec database", fetched.stderr if fetched else "")
    checked = _run("cargo", "deny", "--log-level", "error", "check", "--disable-fetch", "advisories")
    if checked is None:
        return _unreachable("the RustSec database", "cargo deny did not end")
    print(checked.stdout, checked.stderr, sep="", end="")
    return FOUND if checked.returncode else 0


def python() -> int:
    """pip-audit exits with 1 for a finding and for a failure; only a finding has a report."""
    tool = Path(sys.executable).with_name("pip-audit")
    audit = _run(
        str(tool) if tool.exists() else "pip-audit",
        *("--vulnerability-service", "osv", "--local", "--skip-editable"),
        *("--format", "json", "--progress-spinner", "off"),
    )
    report = _report(audit.stdout) if audit else None
    if audit is None or report is None:
        return _unreachable("the OSV database", audit.stderr if audit else "")
    known = [(found["name"], found["version"], found["vulns"]) for found in report if found.get("vulns")]
    for name, version, advisories in known:
        for advisory in advisories:
            fixed = ", ".join(advisory.get("fix_versions", [])) or "none yet"
            print(f"{name} {version}: {advisory['id']} (fixed in {fixed})")
    if not known and audit.returncode:
        # A clean report from a tool that failed proves nothing.
        return _unreachable("the OSV database", audit.stderr)
    return FOUND if known else 0


def _report(text: str) -> list[dict[str, Any]] | None:
    try:
        report = json.loads(text)
    except ValueError:
        return None
    dependencies = report.get("dependencies") if isinstance(report, dict) else None
    return dependencies if isinstance(dependencies, list) and dependencies else None


if __name__ == "__main__":
    os.chdir(Path(__file__).parent.parent)
    languages = {"rust": rust, "python": python}
    if sys.argv[1:2] == [] or sys.argv[1] not in languages:
        sys.exit(__doc__)
    sys.exit(languages[sys.argv[1]]())
