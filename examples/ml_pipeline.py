"""A pipeline whose steps are kept, each with its own parameters: change one, and only what follows runs again.

Run it: python examples/ml_pipeline.py [DIRECTORY]
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score

from cacheness import cacheness

cache = cacheness(sys.argv[1] if len(sys.argv) > 1 else "./pipeline_cache")
ran: list[str] = []


def load() -> pd.DataFrame:
    """The data as a table; kept as Parquet."""
    if (table := cache.get(step="load", dataset="diabetes")) is None:
        ran.append("load")
        table = load_diabetes(as_frame=True).frame
        cache.put(table, step="load", dataset="diabetes", description="442 patients, 10 measurements")
    return table


def features(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Powers of the measurements; the table itself is part of the key, by its contents."""
    table = load()
    if (made := cache.get(step="features", data=table, degree=degree)) is None:
        ran.append(f"features {degree}")
        measurements = table.drop(columns="target").to_numpy()
        made = np.hstack([measurements**power for power in range(1, degree + 1)])
        cache.put(made, step="features", data=table, degree=degree)
    return made, table["target"].to_numpy()


def train(degree: int, alpha: float) -> tuple[Any, float]:
    """A model, kept with its score as metadata."""
    params: dict[str, Any] = {"step": "train", "degree": degree, "alpha": alpha}
    if (found := cache.get_with_metadata(**params)) is None:
        ran.append(f"train {degree} {alpha}")
        inputs, targets = features(degree)
        model = Ridge(alpha=alpha)
        score = float(cross_val_score(model, inputs, targets).mean())
        cache.put(model.fit(inputs, targets), metadata={"r2": score, "degree": degree, "alpha": alpha}, **params)
        return model, score
    model, metadata = found
    return model, metadata["r2"]


def main() -> None:
    """Try a few models, twice."""
    scores: dict[tuple[int, float], float] = {}
    for turn in (1, 2):
        ran.clear()
        scores = {(degree, alpha): train(degree, alpha)[1] for degree in (1, 2) for alpha in (0.001, 0.01)}
        print(f"turn {turn}: ran {ran or 'nothing'}")
    assert not ran
    best = max(scores, key=scores.__getitem__)
    print(f"best: degree {best[0]}, alpha {best[1]}, R² {scores[best]:.3f}")
    for entry in cache.list_entries(include_metadata=True):
        print(f"  {entry['cache_key']}  {entry['data_type']:10} {entry['file_size']:>8} bytes  {entry['metadata']}")
    cache.close()


if __name__ == "__main__":
    main()
