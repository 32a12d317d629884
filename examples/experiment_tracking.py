"""Experiments on the Wisconsin breast cancer data, kept with what is known of them, and asked for in four ways.

A program in Rust, examples/track_experiments, adds experiments of its own to the same store; both see all of them.

Run it: python examples/experiment_tracking.py [DIRECTORY]
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sqlalchemy import Column, Float, Integer, String

from cacheness import Cache
from cacheness.custom_metadata import CustomMetadataBase, custom_metadata_model
from cacheness.metadata import Base

DATASET = "breast_cancer"


@custom_metadata_model("experiments")
class Experiment(Base, CustomMetadataBase):
    """A row of a table with types and constraints, for each experiment of this program."""

    __tablename__ = "custom_experiments"

    name = Column(String(100), nullable=False, unique=True)
    model_type = Column(String(50), index=True)
    accuracy = Column(Float, index=True)
    folds = Column(Integer)


def experiments() -> dict[str, tuple[ClassifierMixin, dict[str, Any]]]:
    """The models that are tried, under the names of their experiments, with their settings."""
    found: dict[str, tuple[ClassifierMixin, dict[str, Any]]] = {}
    for strength in (0.01, 1.0, 100.0):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5_000))
        found[f"logistic-{strength}"] = model, {"type": "logistic", "C": strength}
    for depth in (1, 3, 6):
        tree = DecisionTreeClassifier(max_depth=depth, random_state=0)
        found[f"tree-{depth}"] = tree, {"type": "tree", "depth": depth}
    return found


def run(cache: Cache) -> int:
    """Run the experiments that the store does not have yet; returns how many."""
    inputs, targets = load_breast_cancer(return_X_y=True)
    # The data is an artifact too: the Rust program reads it from here.
    for part, array in (("inputs", inputs), ("targets", targets)):
        if not cache.exists(dataset=DATASET, part=part):
            cache.put(array, dataset=DATASET, part=part, tags=["data"])
    ran = 0
    for name, (model, settings) in experiments().items():
        if cache.exists(experiment=name):
            continue
        ran += 1
        scores = cross_val_score(model, inputs, targets, cv=5)
        accuracy = float(np.mean(scores))
        cache.put(
            model.fit(inputs, targets),
            experiment=name,
            description=f"{settings['type']} on all 30 measurements, cross-validated",
            metadata={"model": settings, "accuracy": accuracy, "scores": scores.tolist()},
            tags=[DATASET, "sklearn"],
            custom_metadata=Experiment(name=name, model_type=settings["type"], accuracy=accuracy, folds=len(scores)),
        )
    return ran


def main() -> None:
    """Run what is missing, then ask."""
    with Cache(sys.argv[1] if len(sys.argv) > 1 else "./experiments") as cache:
        print(f"ran {run(cache)} experiments")
        cache.create_index("accuracy")
        cache.create_text_index()

        print("The best three, by a filter:")
        for entry in cache.list_entries(where={"tags": DATASET}, include_metadata=True, sort="-accuracy", limit=3):
            print(f"  {entry['cache_key_params']['experiment']:15} {entry['metadata']['accuracy']:.4f}")

        print("Trees of more than two levels, by a nested field:")
        deep = cache.list_entries(where={"model.type": "tree", "model.depth": {"$gt": 2}}, sort="model.depth")
        print(f"  {[entry['cache_key_params']['experiment'] for entry in deep]}")

        print("Words of the description:")
        found = cache.search("logistic measurements", where={"accuracy": {"$gte": 0.9}})
        print(f"  {len(found)} experiments")

        print("The typed rows, by SQLAlchemy:")
        with cache.query_custom_session("experiments") as query:
            best = query.filter(Experiment.folds == 5).order_by(Experiment.accuracy.desc()).first()
        model = cache.get(cache_key=best.cache_key)
        assert model is not None
        inputs, targets = load_breast_cancer(return_X_y=True)
        print(f"  {best.name} is right about {model.score(inputs, targets):.1%} of the data that it was fitted to")

        print("Types of models, by SQL:")
        by_type = """SELECT metadata ->> '$.model.type' AS type, count(*) AS n, max(metadata ->> 'accuracy') AS best
                     FROM entries WHERE metadata ->> 'accuracy' IS NOT NULL GROUP BY type ORDER BY best DESC"""
        for row in cache.query_meta(by_type):
            print(f"  {row['type']:10} {row['n']} {row['best']:.4f}")

        print(cache.report(by="model.type", where={"accuracy": {"$exists": True}}))


if __name__ == "__main__":
    main()
