"""Fails if a dependency would be compiled twice because two selections of packages differ in its features.

Compares what cargo resolves for the extension module, the Rust tests, the reader of the demo, the tests of one crate;
`crates/workspace-hack` explains why this matters; add features there. The project's own crates differ on purpose:
the tests compile in failpoints.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict

ALL = "all Rust tests"
SELECTIONS = {
    ALL: ["--workspace", "--exclude", "cacheness-python", "--all-features"],
    "the extension module": ["--package", "cacheness-python", "--features", "pyo3/extension-module,testing"],
    "the reader of the demo": ["--package", "read_demo"],
    "the example of experiments": ["--package", "track_experiments"],
    "the example of a team": ["--package", "share_team_cache"],
    **{
        f"the tests of {crate}": ["--package", crate, "--all-features"]
        for crate in (
            "cacheness",
            "cacheness-catalog",
            "cacheness-cli",
            "cacheness-core",
            "cacheness-objects",
            "cacheness-postgres",
            "cacheness-sqlite",
            "cacheness-testkit",
        )
    },
}


def features(selection: list[str]) -> dict[str, set[str]]:
    """The sets of features with which each dependency is compiled: one for the host, one for the target at most."""
    tree = ["cargo", "tree", "--locked", "--prefix", "none", "--no-dedupe", "--edges", "normal,build,dev"]
    done = subprocess.run([*tree, "--format", "{p}|{f}", *selection], capture_output=True, text=True, check=True)
    found = defaultdict(set)
    for line in done.stdout.splitlines():
        package, bar, chosen = line.partition("|")
        if bar and "(/" not in package:  # a path: one of ours
            found[package.removesuffix(" (proc-macro)")].add(chosen.removesuffix(" (*)"))
    return found


def main() -> int:
    """Prints what differs."""
    everything = features(SELECTIONS[ALL])
    status = 0
    for name, selection in SELECTIONS.items():
        for package, chosen in sorted(features(selection).items()):
            if package in everything and not chosen <= everything[package]:
                status = 1
                print(f"{package} is compiled again for {name}:", file=sys.stderr)
                print(f"  with {sorted(chosen)}, where {ALL} have {sorted(everything[package])}", file=sys.stderr)
    if status:
        print("Add the features that one of the two lacks to crates/workspace-hack/Cargo.toml.", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
