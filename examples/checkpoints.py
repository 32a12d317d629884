"""Checkpoints of a long computation: killed at any moment, it goes on from the last one.

A put replaces the former checkpoint in one step: there is always a whole one.
Run it: python examples/checkpoints.py [DIRECTORY]
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

from cacheness import BlobStore

STEPS = 300


def optimise(directory: str, die_at: int | None = None) -> int:
    """Descend a gradient, keeping the state every 10 steps; returns the step it began with."""
    with BlobStore(directory) as store:
        state = store.get("checkpoint") if store.exists("checkpoint") else None
        begin = state["step"] if state else 0
        weights = state["weights"] if state else np.full(10_000, 10.0)
        for step in range(begin, STEPS):
            weights = weights * 0.97
            if (step + 1) % 10 == 0:
                loss = float(weights @ weights)
                store.put({"step": step + 1, "weights": weights}, key="checkpoint", metadata={"loss": loss})
            if step == die_at:
                os._exit(9)  # As a power switch would: nothing is closed.
        store.put(weights, key="result", metadata={"steps": STEPS})
        return begin


def main() -> None:
    """Let a first process die, and go on in this one."""
    directory = sys.argv[1] if len(sys.argv) > 1 else "./checkpoints"
    child = subprocess.run([sys.executable, __file__, directory, "die"], check=False)
    assert child.returncode == 9
    begin = optimise(directory)
    print(f"the first process died at step 123; this one went on from step {begin}")
    assert begin == 120
    with BlobStore(directory) as store:
        result = store.get("result")
        assert result is not None
        assert np.allclose(result, 10.0 * 0.97**STEPS)
        known = store.get_metadata("checkpoint") or {}
        print(f"{STEPS} steps done, weights {result[0]:.4f}; {known['metadata']}")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        optimise(sys.argv[1], die_at=123)
    else:
        main()
