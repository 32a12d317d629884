"""Fails where a dependency would be compiled twice, because two builds ask for different features of it.

Compares what cargo resolves for the extension module and for the Rust tests; `crates/workspace-hack` says why it matters
and is where a feature is added. Our own crates differ on purpose: the tests compile in the places that kill them.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict

BUILDS = {
    "the extension module": ["--package", "cacheness-python", "--features", "pyo3/extension-module,testing"],
    "the Rust tests": ["--workspace", "--exclude", "cacheness-python", "--all-features"],
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
    (one, ours), (other, theirs) = ((name, features(selection)) for name, selection in BUILDS.items())
    different = sorted(package for package in ours.keys() & theirs.keys() if ours[package] != theirs[package])
    for package in different:
        print(f"{package} is compiled twice:", file=sys.stderr)
        print(f"  for {one} with {sorted(ours[package])}", file=sys.stderr)
        print(f"  for {other} with {sorted(theirs[package])}", file=sys.stderr)
    if different:
        print("Add the features that one of the two lacks to crates/workspace-hack/Cargo.toml.", file=sys.stderr)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
