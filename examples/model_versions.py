"""Versions of a model under names, with metadata to choose by.

Run it: python examples/model_versions.py [DIRECTORY]
"""

from __future__ import annotations

import sys

import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from cacheness import BlobStore


def main() -> None:
    """Train three versions, promote the best, roll back."""
    inputs, targets = load_iris(return_X_y=True)
    with BlobStore(sys.argv[1] if len(sys.argv) > 1 else "./models") as store:
        for version, strength in enumerate((0.01, 1.0, 100.0), start=1):
            model = LogisticRegression(C=strength, max_iter=2_000)
            accuracy = float(cross_val_score(model, inputs, targets).mean())
            store.put(
                model.fit(inputs, targets),
                key=f"iris/v{version}",
                metadata={"version": version, "C": strength, "accuracy": accuracy, "stage": "candidate"},
            )
        keys = store.list(prefix="iris/")
        metadata = {key: (store.get_metadata(key) or {})["metadata"] for key in keys}
        best = max(keys, key=lambda key: metadata[key]["accuracy"])
        store.update_metadata(best, {**metadata[best], "stage": "production"})

        (in_production,) = store.list(prefix="iris/", metadata_filter={"stage": "production"})
        model = store.get(in_production)
        assert model is not None
        print(f"in production: {in_production}, accuracy {metadata[best]['accuracy']:.3f}")
        print(f"predictions: {np.bincount(model.predict(inputs)).tolist()}")

        report = store.verify_integrity(in_production)
        print(f"the file is what was stored: {report['valid']}")
        assert report["valid"]


if __name__ == "__main__":
    main()
