"""Draws the pictures of `cache.plot` in docs/images. Needs the extension module (`scripts/build.sh`).

    python scripts/pictures.py [DIRECTORY]

The cache is made up: models of three types, trained over two weeks, whose accuracy grows. Clock and numbers are fixed,
so the pictures change only with the code.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from cacheness import Cache, Clock

IMAGES = Path(__file__).parent.parent / "docs" / "images"

#: 2026-03-01, in seconds since 1970.
START = 1_772_323_200

#: The accuracy of the first model of each type, and of the best.
MODELS = {"forest": (0.78, 0.91), "ridge": (0.74, 0.84), "boost": (0.70, 0.94)}


def fill(cache: Cache, clock: Clock) -> None:
    """Train models for two weeks, and look some of them up."""
    draw = random.Random(14)
    for day in range(14):
        for number, (model, (first, best)) in enumerate(MODELS.items()):
            clock.advance(draw.uniform(0.2, 0.45) * 86_400)
            accuracy = best - (best - first) * 0.8**day + draw.gauss(0, 0.006)
            weights = np.zeros((number + 1) * (800 + 90 * day))
            cache.put(weights, model=model, day=day, metadata={"accuracy": accuracy, "model_type": model})
    for _ in range(900):
        cache.get(model=draw.choices(list(MODELS), (2, 1, 5))[0], day=draw.randrange(16))


def save(axes: Axes, path: Path) -> None:
    """Write a picture as a PNG, without the release of Matplotlib in it."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.set_size_inches(5.6, 3.4)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Draw all pictures."""
    images = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    images.mkdir(parents=True, exist_ok=True)
    clock = Clock(START)
    with Cache(":memory:", clock=clock, array_format="npy", default_ttl_seconds=None) as cache:
        fill(cache, clock)
        save(cache.plot.sizes(by="model_type"), images / "plot_sizes.png")
        save(cache.plot.hits(), images / "plot_hits.png")
        save(cache.plot.metric("accuracy", by="model_type"), images / "plot_metric.png")


if __name__ == "__main__":
    main()
