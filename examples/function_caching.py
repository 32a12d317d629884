"""Keep the results of slow functions: the second call, also of the next process, takes microseconds.

Run it twice: python examples/function_caching.py [DIRECTORY]
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np

from cacheness import cached, cacheness

cache = cacheness(sys.argv[1] if len(sys.argv) > 1 else "./function_cache")


@dataclass(frozen=True)
class Model:
    """Parameters may be dataclasses: they are part of the key by their fields."""

    drift: float
    volatility: float


@cached(cache_instance=cache, ttl_seconds=24 * 3600, key_prefix="price_paths")
def simulate(model: Model, steps: int = 500, paths: int = 2_000, seed: int = 0) -> np.ndarray:
    """Simulate price paths; an array of shape (steps, paths)."""
    noise = np.random.default_rng(seed).standard_normal((steps, paths)) / np.sqrt(steps)
    paths_taken: np.ndarray = np.exp(np.cumsum(model.drift / steps + model.volatility * noise, axis=0))
    return paths_taken


def main() -> None:
    """Call the function with the same and with other arguments."""
    for model in (Model(0.05, 0.2), Model(0.05, 0.2), Model(0.05, 0.4)):
        start = time.perf_counter()
        paths = simulate(model)
        seconds = time.perf_counter() - start
        print(f"{model}: mean {paths[-1].mean():.3f} in {seconds * 1e3:.1f} ms")
    print(cache)
    # The caller owns what it gets: changing it changes nothing in the cache.
    simulate(Model(0.05, 0.2))[:] = 0
    assert simulate(Model(0.05, 0.2)).mean() > 0.5
    cache.close()


if __name__ == "__main__":
    main()
